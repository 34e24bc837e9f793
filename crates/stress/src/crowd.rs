//! Connections that send what they are told and read nothing until they are asked to.
//!
//! All of them are served in turns by the calling thread. A write never waits longer than
//! the crowd's patience for a server that takes no more, so no server can hang the program this way.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

/// What the kernel keeps for a client that does not read, in bytes. Small, so that what a server
/// holds for it does not depend on how the kernel sizes buffers.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// What values are made of.
static FILLER: [u8; 64 * 1024] = [b'v'; 64 * 1024];

/// Many connections to one server. They close when this is dropped.
pub struct Crowd {
    members: Vec<Member>,
    /// How long all sockets may be idle.
    patience: PollTimeout,
}

struct Member {
    /// None once the server has closed it.
    stream: Option<TcpStream>,
    /// Still to be sent: first this, then so many bytes of filler, then that.
    head: Vec<u8>,
    filler: usize,
    tail: &'static [u8],
    received: Vec<u8>,
}

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd::with_patience(Duration::from_secs(2))
    }
}

impl Crowd {
    /// No connection yet. A server that takes no byte of any, or sends none, for so long counts as taking or
    /// sending no more.
    pub fn with_patience(patience: Duration) -> Crowd {
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        Crowd { members: Vec::new(), patience }
    }

    /// One connection more.
    ///
    /// # Errors
    /// When the server takes no connection.
    pub fn join(&mut self, server: SocketAddr) -> io::Result<()> {
        let stream = Some(quiet(server)?);
        let (head, received) = (Vec::new(), Vec::new());
        self.members.push(Member { stream, head, filler: 0, tail: b"", received });
        Ok(())
    }

    /// So many connections more. `check` says whether to go on.
    ///
    /// # Errors
    /// What `check` says, or that the server takes no connection.
    pub fn join_many<E: From<io::Error>>(
        &mut self,
        count: usize,
        server: SocketAddr,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        for number in 0..count {
            check()?;
            self.join(server).map_err(|error| {
                io::Error::new(error.kind(), format!("no connection {number} of {count}: {error}"))
            })?;
        }
        Ok(())
    }

    /// How many there are, closed ones among them.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many the server has closed, as far as was seen.
    pub fn closed(&self) -> usize {
        self.members.iter().filter(|member| member.stream.is_none()).count()
    }

    /// Closes one and forgets it; the last takes its number.
    pub fn close(&mut self, number: usize) {
        self.members.swap_remove(number);
    }

    /// Everyone is to send `head` and `filler` bytes after it. `head` is given the number of the
    /// connection.
    pub fn everyone(&mut self, filler: usize, mut head: impl FnMut(usize) -> String) {
        for number in 0..self.members.len() {
            self.tell(number, head(number), filler, b"");
        }
    }

    /// One is to send `head`, `filler` bytes and `tail`.
    pub fn tell(&mut self, number: usize, head: String, filler: usize, tail: &'static [u8]) {
        let member = &mut self.members[number];
        (member.head, member.filler, member.tail) = (head.into_bytes(), filler, tail);
    }

    /// Sends in turns, at most `piece` bytes of each at a time, until all is sent or the server
    /// takes no more. Gives the number of bytes that were not sent. `check` says whether to go on.
    ///
    /// # Errors
    /// What `check` says, or that nobody can wait for sockets.
    pub fn send<E: From<io::Error>>(
        &mut self,
        piece: usize,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<usize, E> {
        loop {
            check()?;
            let mut moved = false;
            for member in &mut self.members {
                moved |= member.write(piece);
            }
            let rest: usize = self.members.iter().map(Member::rest).sum();
            if rest == 0 || (!moved && !self.await_any(PollFlags::POLLOUT, |it| it.rest() > 0)?) {
                return Ok(rest);
            }
        }
    }

    /// Sends what the socket of one takes without waiting.
    pub fn send_what_fits(&mut self, number: usize) {
        while self.members[number].write(FILLER.len()) {}
    }

    /// Waits until everyone was answered a line, or closed, or nobody is answered any more, and gives
    /// those lines without their ends. `check` says whether to go on.
    ///
    /// # Errors
    /// What `check` says, or that nobody can wait for sockets.
    pub fn lines<E: From<io::Error>>(
        &mut self,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<Option<String>>, E> {
        loop {
            check()?;
            if self.receive() || !self.await_any(PollFlags::POLLIN, Member::waits)? {
                return Ok(self.answers());
            }
        }
    }

    /// Takes in what has come. Whether everyone was answered a line, or closed.
    pub fn receive(&mut self) -> bool {
        for member in &mut self.members {
            member.read();
        }
        !self.members.iter().any(Member::waits)
    }

    /// The first line that each was answered, without its end; None for one that was closed before.
    pub fn answers(&self) -> Vec<Option<String>> {
        self.members.iter().map(Member::line).collect()
    }

    /// Whether everyone was sent something, or closed. Takes nothing.
    pub fn is_answered(&self) -> bool {
        let mut peeked = [0];
        let mut open = self.members.iter().flat_map(|member| &member.stream);
        open.all(|stream| stream.peek(&mut peeked).is_ok())
    }

    /// Waits until one of those that are meant is ready; false when none is for long.
    fn await_any(&self, wanted: PollFlags, meant: impl Fn(&Member) -> bool) -> io::Result<bool> {
        let members = self.members.iter().filter(|member| meant(member));
        let mut fds: Vec<PollFd<'_>> = members
            .flat_map(|member| &member.stream)
            .map(|stream| PollFd::new(stream.as_fd(), wanted))
            .collect();
        match poll(&mut fds, self.patience) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl Member {
    /// Whether a line of the server is still to come.
    fn waits(&self) -> bool {
        self.stream.is_some() && self.line().is_none()
    }

    fn rest(&self) -> usize {
        match self.stream {
            Some(_) => self.head.len() + self.filler + self.tail.len(),
            None => 0,
        }
    }

    /// Whether anything was sent, or the end of the connection seen.
    fn write(&mut self, piece: usize) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let bytes: &[u8] = match (self.head.len(), self.filler) {
            (0, 0) if self.tail.is_empty() => return false,
            (0, 0) => self.tail,
            (0, filler) => &FILLER[..filler.min(FILLER.len())],
            _ => &self.head,
        };
        match stream.write(&bytes[..bytes.len().min(piece)]) {
            Ok(count) if !self.head.is_empty() => drop(self.head.drain(..count)),
            Ok(count) if self.filler > 0 => self.filler -= count,
            Ok(count) => self.tail = &self.tail[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => self.stream = None,
        }
        true
    }

    /// Takes in the first kilobytes that have come.
    fn read(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => self.stream = None,
            Ok(count) => self.received.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.stream = None,
        }
    }

    fn line(&self) -> Option<String> {
        let end = self.received.iter().position(|&byte| byte == b'\n')?;
        Some(String::from_utf8_lossy(&self.received[..end]).trim_end().to_owned())
    }
}

/// A connection that does not wait and whose side of the kernel keeps little.
fn quiet(server: SocketAddr) -> io::Result<TcpStream> {
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Before it connects: what the other side may send follows from it.
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(server))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn everything_arrives_in_order_and_a_deaf_server_hangs_nobody() {
        let go_on = || io::Result::Ok(());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut crowd = Crowd::with_patience(Duration::from_secs(1));
        let server = listener.local_addr().expect("an address");
        crowd.join_many(1, server, go_on).expect("a connection");
        let (mut server, _) = listener.accept().expect("a connection");
        crowd.tell(0, "head ".to_owned(), 10, b" tail");
        assert_eq!(crowd.send(3, go_on).expect("sockets"), 0);
        let mut bytes = [0; 20];
        server.read_exact(&mut bytes).expect("what was sent");
        assert_eq!(&bytes, b"head vvvvvvvvvv tail");
        assert!(!crowd.is_answered());
        server.write_all(b"line\r\nmore").expect("an open socket");
        assert_eq!(crowd.lines(go_on).expect("sockets"), [Some("line".to_owned())]);
        crowd.tell(0, String::new(), 64 << 20, b"");
        assert!(crowd.send(usize::MAX, go_on).expect("sockets") > 0, "somebody took 64 MiB");
        drop(server);
        assert_eq!((crowd.send(1, go_on).expect("sockets"), crowd.closed()), (0, 1));
    }

    #[test]
    fn what_check_says_ends_it() {
        let mut crowd = Crowd::default();
        let stop = || Err(io::Error::other("stop"));
        assert!(crowd.send(1, stop).is_err() && crowd.lines(stop).is_err());
        assert!(crowd.join_many(1, "127.0.0.1:1".parse().expect("an address"), stop).is_err());
    }
}
