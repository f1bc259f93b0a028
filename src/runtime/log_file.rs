//! A log file that others may move away: the writer notices, and goes on in a new file of the same name.
//!
//! Looked at once per batch of lines, on the thread of [`super::lines`]: no signal is needed and no request waits.
//! Truncation in place works too, since the file is only ever appended to.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Permission bits of a new file, less the process's mask: its owner writes, its group may read.
const MODE: u32 = 0o640;

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// That it cannot be made again was said; once is enough.
    complained: bool,
}

impl LogFile {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = append(path)?;
        // A folder, a device or a pipe could block whoever writes at a time of its own choosing.
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            complained: false,
        })
    }

    /// Opens the path again if it is another file by now, or none. If it cannot be opened, lines go on to where
    /// they went.
    fn follow(&mut self) -> io::Result<()> {
        let same = |there: &Metadata, ours: &Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
        let ours = self.file.metadata()?;
        if fs::metadata(&self.path).is_ok_and(|there| same(&there, &ours)) {
            return Ok(());
        }
        match Self::open(&self.path) {
            Ok(next) => *self = next,
            Err(error) if !std::mem::replace(&mut self.complained, true) => {
                tracing::warn!(file = %self.path.display(), %error, "a log file was moved away and cannot be made again");
            }
            Err(_) => {}
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        // A pipe without a reader would block the start.
        .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0))
        .open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.follow()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_again_and_one_that_was_emptied_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let mut log = LogFile::open(&path).expect("opened");
        log.write_all(b"1\n").expect("written");
        let moved = folder.path().join("access.log.1");
        fs::rename(&path, &moved).expect("moved");
        log.write_all(b"2\n").expect("written");
        log.write_all(b"3\n").expect("written");
        assert_eq!(fs::read_to_string(&moved).expect("read"), "1\n");
        assert_eq!(fs::read_to_string(&path).expect("read"), "2\n3\n");
        fs::write(&path, "").expect("emptied");
        log.write_all(b"4\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "4\n");
        // Another program may make the new file.
        fs::rename(&path, &moved).expect("moved");
        fs::write(&path, "made\n").expect("written");
        log.write_all(b"5\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "made\n5\n");
        assert_eq!(
            fs::metadata(&moved).expect("there").mode() & 0o7137,
            0,
            "nobody else reads it"
        );
    }

    #[test]
    fn a_file_that_cannot_be_made_again_goes_on_where_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let mut log = LogFile::open(&inner.join("access.log")).expect("opened");
        let moved = folder.path().join("moved");
        fs::rename(&inner, &moved).expect("moved");
        log.write_all(b"1\n").expect("written");
        assert_eq!(fs::read_to_string(moved.join("access.log")).expect("read"), "1\n");
        assert!(log.complained, "said once, not with each batch");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(LogFile::open(folder.path()).is_err(), "a folder");
        assert!(LogFile::open(Path::new("/dev/null")).is_err(), "a device");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        assert!(
            LogFile::open(&pipe).is_err(),
            "a pipe, and nobody is waited for who reads it"
        );
    }
}
