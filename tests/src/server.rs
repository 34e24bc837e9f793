//! Servers as child processes. They start on a free port and are killed when dropped.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::conn::Conn;
use crate::process;
use crate::wait;

/// The program of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ringbinderd`: the variable `RINGBINDERD`, else the one built beside the running test.
    Ringbinder,
    /// memcached: the variable `RINGBINDER_TEST_MEMCACHED`, else the one on `PATH`.
    Memcached,
    /// Another memcached in place of ringbinderd, to check the tests themselves: the variable
    /// `RINGBINDER_DIFF_SUBJECT`.
    Subject,
}

impl Kind {
    /// The program's path or name.
    pub fn program(self) -> PathBuf {
        match self {
            Kind::Ringbinder => std::env::var_os("RINGBINDERD")
                .map_or_else(|| beside_us("ringbinderd", "ringbinder-node"), Into::into),
            Kind::Memcached => std::env::var_os("RINGBINDER_TEST_MEMCACHED")
                .map_or_else(|| "memcached".into(), Into::into),
            Kind::Subject => std::env::var_os("RINGBINDER_DIFF_SUBJECT").unwrap_or_default().into(),
        }
    }

    /// Whether the program can be started.
    pub fn available(self) -> bool {
        Command::new(self.program())
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    }

    /// The version in memcached's numbering: the last word that `-V` prints.
    pub fn version(self) -> (u32, u32, u32) {
        let output = Command::new(self.program())
            .arg("-V")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program().display()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.split_whitespace().last().unwrap_or_default();
        parse_version(last.trim_end_matches(')'))
            .unwrap_or_else(|| panic!("no version in {text:?}"))
    }

    /// A command for this program that can run as root, for tests of flags and exit codes.
    pub fn command(self) -> Command {
        let mut command = unsteered(&self.program());
        if self != Kind::Ringbinder && nix::unistd::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        command
    }
}

/// The operator's tool `ringbinder`: the variable `RINGBINDER`, else the one built beside the running test.
pub fn tool() -> Command {
    let program = std::env::var_os("RINGBINDER")
        .map_or_else(|| beside_us("ringbinder", "ringbinder-cli"), Into::into);
    unsteered(&program)
}

/// A command without the variables that control the tests. The program would report them as unknown settings.
fn unsteered(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGBINDER_") {
            command.env_remove(name);
        }
    }
    command
}

/// Parses `1.6.18` into numbers.
pub fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// The path of one of our programs, in the profile directory that the running test was built into.
fn beside_us(name: &str, package: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a running program has a path");
    let path = exe.ancestors().nth(2).expect("target/<profile>/deps/<test>").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build -p {package}` or set {}",
        path.display(),
        name.to_uppercase()
    );
    path
}

/// A running server.
pub struct Server {
    child: Child,
    kind: Kind,
    address: Option<SocketAddr>,
    dir: TempDir,
}

impl Server {
    /// Starts a server on a free port of 127.0.0.1 with these additional arguments, and waits until it
    /// listens.
    pub fn start(kind: Kind, arguments: &[&str]) -> Server {
        let mut all = vec!["-p", "-1", "-l", "127.0.0.1"];
        all.extend_from_slice(arguments);
        Server::start_on(kind, &all, |_| {})
    }

    /// Starts a server whose addresses are in `arguments`, and waits for the first of them. `adjust` may
    /// change the command, mainly its environment.
    pub fn start_on(kind: Kind, arguments: &[&str], adjust: impl FnOnce(&mut Command)) -> Server {
        let dir = scratch();
        let mut server = Server::spawn_in(kind, arguments, dir, adjust);
        let ports = server.port_file();
        let address = wait::until("the server to listen", || {
            if let Some(status) = server.child.try_wait().expect("waiting for a child") {
                panic!("{kind:?} {arguments:?} ended at once, {status}:\n{}", server.log());
            }
            listening(&ports)?.into_iter().next()
        });
        server.address = Some(address);
        server
    }

    /// Starts a server that listens only on a Unix socket, and waits until it accepts connections.
    pub fn start_unix(kind: Kind, socket: &Path, arguments: &[&str], dir: TempDir) -> Server {
        let path = socket.to_str().expect("a plain path");
        let mut all = vec!["-s", path];
        all.extend_from_slice(arguments);
        let mut server = Server::spawn_in(kind, &all, dir, |_| {});
        wait::until("the Unix socket", || {
            if let Some(status) = server.child.try_wait().expect("waiting for a child") {
                panic!("{kind:?} {all:?} ended at once, {status}:\n{}", server.log());
            }
            Conn::unix(socket).ok()
        });
        server
    }

    fn spawn_in(
        kind: Kind,
        arguments: &[&str],
        dir: TempDir,
        adjust: impl FnOnce(&mut Command),
    ) -> Server {
        let log = File::create(dir.path().join("stderr")).expect("a temp file");
        let mut command = kind.command();
        command.args(arguments).env("MEMCACHED_PORT_FILENAME", dir.path().join("ports"));
        adjust(&mut command);
        // Done after `adjust`, which may have put another program in front of this one.
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{}: {error}", kind.program().display()));
        Server { child, kind, address: None, dir }
    }

    /// The program of this server.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its first TCP address.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a server on TCP")
    }

    /// All its TCP addresses, from its port file.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        listening(&self.port_file()).unwrap_or_default()
    }

    /// A directory of its own, which is removed with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn port_file(&self) -> PathBuf {
        self.dir.path().join("ports")
    }

    /// Its output to stdout and stderr so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A new connection.
    pub fn connect(&self) -> Conn {
        Conn::tcp(self.address()).unwrap_or_else(|error| panic!("connecting: {error}"))
    }

    /// Sends a signal and waits for the end of the process.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        process::signal(self.pid(), signal);
        self.wait()
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        wait::until("the server to end", || self.child.try_wait().expect("waiting for a child"))
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        self.child.try_wait().expect("waiting for a child").is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A server must never panic, whatever a test has sent.
        if self.kind == Kind::Ringbinder && !std::thread::panicking() {
            let log = self.log();
            assert!(!log.contains("panicked at"), "the server panicked:\n{log}");
        }
    }
}

/// A temporary directory that is also writable for a server that has dropped root privileges.
pub fn scratch() -> TempDir {
    let dir = TempDir::with_prefix("ringbinder-test-").expect("a temp directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("our own directory");
    dir
}

/// The `TCP INET: <port>` lines of a port file; `None` until it exists.
fn listening(ports: &Path) -> Option<Vec<SocketAddr>> {
    let text = fs::read_to_string(ports).ok()?;
    let found: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let (family, port) = line.strip_prefix("TCP ")?.split_once(": ")?;
            let host = if family == "INET6" { "[::1]" } else { "127.0.0.1" };
            format!("{host}:{}", port.trim()).parse().ok()
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

/// The program for the shared wire tests: memcached if `RINGBINDER_WIRE_TARGET` is `memcached`, else
/// `ringbinderd`.
pub fn target() -> Kind {
    static TARGET: OnceLock<Kind> = OnceLock::new();
    *TARGET.get_or_init(|| match std::env::var("RINGBINDER_WIRE_TARGET").as_deref() {
        Ok("memcached") => Kind::Memcached,
        Ok("ringbinderd") | Err(_) => Kind::Ringbinder,
        Ok(other) => panic!("RINGBINDER_WIRE_TARGET={other}: ringbinderd or memcached"),
    })
}
