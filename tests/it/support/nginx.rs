//! A real nginx as an upstream, on free loopback ports, in the foreground; ended with the test.

use std::cell::RefCell;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::wait::until;

/// A running nginx.
pub struct Nginx {
    child: Child,
    folder: TempDir,
    /// One for each server block.
    pub addresses: Vec<SocketAddr>,
}

impl Nginx {
    /// Starts with these server blocks, in which `ADDRESS` stands for the address to listen on and `FOLDER`
    /// for a folder in which `prepare` has put what they need.
    pub fn start(servers: &[&str], prepare: impl Fn(&Path)) -> Self {
        let folder = TempDir::new().expect("a folder");
        prepare(folder.path());
        // A port can be lost between being found free and being listened on: then others are tried.
        for _ in 0..20 {
            let parked: Vec<TcpListener> = servers
                .iter()
                .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
                .collect();
            let addresses: Vec<SocketAddr> = parked
                .iter()
                .map(|l| l.local_addr().expect("an address"))
                .collect();
            drop(parked);
            if let Some(child) = run(folder.path(), servers, &addresses) {
                return Self {
                    child,
                    folder,
                    addresses,
                };
            }
        }
        panic!("nginx did not start: {}", log(folder.path()));
    }

    /// What it wrote to its error log.
    pub fn log(&self) -> String {
        log(self.folder.path())
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("error.log")).unwrap_or_default()
}

fn run(folder: &Path, servers: &[&str], addresses: &[SocketAddr]) -> Option<Child> {
    let here = folder.display().to_string();
    let mut text = format!(
        "daemon off;\nmaster_process off;\npid {here}/nginx.pid;\nerror_log {here}/error.log info;\nevents {{ }}\n\
         http {{\n access_log off;\n default_type text/plain;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        text.push_str(&format!(" {kind}_temp_path {here}/{kind};\n"));
    }
    for (server, address) in servers.iter().zip(addresses) {
        let server = server
            .replace("ADDRESS", &address.to_string())
            .replace("FOLDER", &here);
        text.push_str(&format!(" server {{ {server} }}\n"));
    }
    text.push_str("}\n");
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).expect("written");
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"]
        .into_iter()
        .find(|p| Path::new(p).exists())
        .unwrap_or("nginx");
    let said = File::create(folder.join("said.log")).expect("a file");
    let child = Command::new(program)
        .arg("-c")
        .arg(&path)
        .arg("-p")
        .arg(folder)
        .arg("-e")
        .arg(folder.join("error.log"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .expect("nginx is installed (`scripts/setup.sh test` installs it)");
    let child = RefCell::new(child);
    let ended = || child.borrow_mut().try_wait().expect("waits").is_some();
    until("nginx listens", || {
        ended() || addresses.iter().all(|a| TcpStream::connect(a).is_ok())
    });
    let ended = ended();
    (!ended).then_some(child.into_inner())
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
