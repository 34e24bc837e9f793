//! Tests of socket activation, and of notifications to the service manager.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use ringbinder_tests::ring::reserve_port;
use ringbinder_tests::server::scratch;
use ringbinder_tests::{Conn, Kind, Server, process, wait};

use super::{count, fill, stop};

/// Starts `ringbinderd` like a service manager: descriptor 3 is a listening socket.
fn activated(socket: OwnedFd, arguments: &[&str]) -> Running {
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(Kind::Ringbinder.program()).args(arguments);
    let child = command.stdin(socket).stderr(Stdio::null()).spawn().expect("a shell");
    Running(child)
}

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn stop(&mut self) {
        process::signal(self.0.id(), Signal::SIGTERM);
        let status = self.0.wait().expect("a child");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sockets_of_the_manager_take_the_place_of_all_others() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let own = listener.try_clone().expect("a second handle");
    let mut server = activated(own.into(), &["-p", "1", "-t", "1"]);
    let mut conn = Conn::tcp(address).expect("a connection");
    conn.talk("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    drop(conn);
    server.stop();
    // The node is down, but connections are not refused: the manager has the socket.
    let mut waiting = Conn::tcp(address).expect("a place in the queue");
    waiting.send_unread(b"get a\r\n");
    let mut server = activated(listener.into(), &["-t", "1"]);
    assert_eq!(waiting.take(5), b"END\r\n");
    server.stop();
}

#[test]
fn a_unix_socket_of_the_manager_is_left_where_it_is() {
    let dir = scratch();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut server = activated(listener.into(), &["-t", "1"]);
    Conn::unix(&path).expect("a connection").talk("get a\r\n", "END\r\n");
    server.stop();
    assert!(path.exists());
}

#[test]
fn systemd_itself_starts_a_node_on_demand() {
    let program = Path::new("/usr/bin/systemd-socket-activate");
    if !program.exists() {
        // The tests above cover the same without it.
        return;
    }
    let port = reserve_port();
    let mut command = Command::new(program);
    command.args(["-l", &format!("127.0.0.1:{port}")]).arg(Kind::Ringbinder.program());
    command.args(["-t", "1"]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut server = Running(command.spawn().expect("systemd-socket-activate"));
    let mut conn = wait::until("the socket", || Conn::tcp(([127, 0, 0, 1], port).into()).ok());
    conn.talk("get a\r\n", "END\r\n");
    drop(conn);
    server.stop();
}

/// Appends the notifications received so far to `all`.
fn told(socket: &UnixDatagram, all: &mut String) {
    let mut buffer = [0; 4096];
    while let Ok(len) = socket.recv(&mut buffer) {
        all.push_str(&String::from_utf8_lossy(&buffer[..len]));
        all.push('\n');
    }
}

#[test]
fn the_manager_hears_of_the_start_a_reload_and_the_end() {
    let dir = scratch();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    let (file, mut all) = (dir.path().join("snapshot"), String::new());
    let arguments = ["-p", "-1", "-l", "127.0.0.1", "-e", file.to_str().expect("a plain path")];
    let server = Server::start_on(Kind::Ringbinder, &arguments, |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    let mut hear = |what: &str| {
        wait::until(what, || {
            told(&socket, &mut all);
            all.contains(what).then_some(())
        });
    };
    hear("READY=1");
    hear(&format!("MAINPID={}", server.pid()));
    fill(&server, 100, 10);
    assert_eq!(count(&server, 100, 10), 100);
    stop(server);
    hear("STOPPING=1");
    hear("EXTEND_TIMEOUT_USEC=");
}
