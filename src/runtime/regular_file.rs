//! Opening a file that a configuration names, and nothing else: whoever reads a key, a certificate or a secret must
//! not be held up by a pipe that nobody writes to, nor read a device without end.
//!
//! Judged by the open descriptor, not by the path: what is read is what was looked at. Follows links, as mounted
//! secrets are links. Reads nothing itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens it for reading. `Err` with [`io::ErrorKind::InvalidInput`] when it is a folder, a pipe, a socket or a device.
pub fn open(path: &Path) -> io::Result<File> {
    // NONBLOCK: opening a pipe waits for a writer otherwise. On a regular file it changes nothing. NOCTTY: a terminal
    // must not become ours by being looked at.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path);
    let file = match opened {
        // open(2): a socket's file.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Err(not_regular());
        }
        opened => opened?,
    };
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    let what = "it is no regular file (a folder, a pipe, a socket or a device)";
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").expect("written");
        symlink(at("file"), at("link")).expect("a link");
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        symlink(at("pipe"), at("link to a pipe")).expect("a link");
        let _socket = UnixListener::bind(at("socket")).expect("a socket");
        for (path, kind, why) in [
            (at("file"), None, "an ordinary file"),
            (at("link"), None, "a link to one, as a mounted secret is"),
            (
                at("pipe"),
                Some(io::ErrorKind::InvalidInput),
                "a pipe that nobody writes to",
            ),
            (
                at("link to a pipe"),
                Some(io::ErrorKind::InvalidInput),
                "the same behind a link",
            ),
            (at("socket"), Some(io::ErrorKind::InvalidInput), "a socket"),
            (
                folder.path().to_owned(),
                Some(io::ErrorKind::InvalidInput),
                "a folder",
            ),
            (
                "/dev/zero".into(),
                Some(io::ErrorKind::InvalidInput),
                "a device without end",
            ),
            (at("nothing"), Some(io::ErrorKind::NotFound), "nothing at all"),
        ] {
            let opened = open(&path);
            assert_eq!(opened.as_ref().err().map(io::Error::kind), kind, "{why}");
            if let Ok(mut file) = opened {
                let mut text = String::new();
                file.read_to_string(&mut text).expect("readable");
                assert_eq!(text, "text", "{why}");
            }
        }
    }
}
