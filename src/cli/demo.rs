//! `doorward demo`: a temporary folder of its own, removed in the end.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::Failure;
use super::output::Output;
use crate::app;

/// A folder for its owner alone, removed with everything in it on drop.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, Failure> {
        // A name that cannot be foreseen: nobody can put something there first.
        let path = std::env::temp_dir().join(format!("doorward-demo-{}", uuid::Uuid::new_v4()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays behind lies among temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Serves the demo until told to stop.
pub fn run(listen: SocketAddr, out: Output) -> Result<(), Failure> {
    let folder = Temporary::new()?;
    let say = move |text: &str| {
        let _ = out.line(text);
    };
    app::demo(&folder.0, listen, Box::new(say)).map_err(Failure::failed)
}
