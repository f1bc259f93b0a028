//! Listening Unix sockets with a mode, and the files that they leave.
//!
//! A socket is made beside its path and moved there once it has its mode, so that nobody meets it wider than it should
//! be. A file left by a process that is gone is replaced; one that somebody answers at is not. Called by the doors.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};

use super::hand_over::Possessions;

/// The file of a listening socket: removed on drop, unless another process listens with it by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Know whether another process listens with them by now.
    possessions: Possessions,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.possessions.are_ours() {
            // The next start replaces a file that stays behind.
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Listens at this path, in non-blocking mode. Kinds of errors: `AddrInUse`: somebody answers there; `AlreadyExists`:
/// something else is there; others are the system's.
pub fn listen(
    path: &Path,
    mode: u32,
    backlog: i32,
    possessions: &Possessions,
) -> io::Result<(UnixListener, SocketFile)> {
    make_way(path)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let scratch = Scratch(PathBuf::from(beside));
    match fs::remove_file(&scratch.0) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(&scratch.0)?)?;
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    fs::rename(&scratch.0, path)?;
    Ok((socket.into(), file(path, possessions)))
}

/// Goes on listening with a socket of a predecessor's, whose file is at this path.
pub fn inherit(
    socket: OwnedFd,
    path: &Path,
    mode: u32,
    possessions: &Possessions,
) -> io::Result<(UnixListener, SocketFile)> {
    let socket = UnixListener::from(socket);
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok((socket, file(path, possessions)))
}

fn file(path: &Path, possessions: &Possessions) -> SocketFile {
    SocketFile {
        path: path.to_owned(),
        possessions: possessions.clone(),
    }
}

/// A file in the making; gone when it has got its name.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

/// Removes a socket that nobody answers at.
fn make_way(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let refuse = |kind, what: &str| Err(io::Error::new(kind, format!("{} {what}", path.display())));
    if !found.file_type().is_socket() {
        return refuse(
            io::ErrorKind::AlreadyExists,
            "is there and is no socket; move it away",
        );
    }
    match UnixStream::connect(path) {
        Ok(_) => refuse(io::ErrorKind::AddrInUse, "is answered at by another process"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}
