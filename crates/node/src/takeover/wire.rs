//! Lines, and the descriptors sent with them.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::MAX_LISTENERS;

/// The longest line in bytes.
const MAX_LINE: usize = 512;

/// The bytes for that many descriptors beside a message.
const ROOM: usize = rustix::cmsg_space!(ScmRights(MAX_LISTENERS));

/// Sends a line with descriptors.
pub(super) fn send(
    stream: impl AsFd,
    line: &str,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); ROOM];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many listening sockets"));
    }
    // Lines are short, so the system accepts each as a whole.
    let sent = sendmsg(stream, &[IoSlice::new(line.as_bytes())], &mut beside, SendFlags::NOSIGNAL)?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives a line byte by byte, so that no later data is consumed, and the descriptors sent with
/// it.
pub(super) fn receive(mut stream: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); ROOM];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut first)], &mut beside, flags)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let mut line = Vec::from(first);
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        line.extend_from_slice(&byte);
        if line.len() > MAX_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    line.pop();
    let line = String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((line, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn descriptors_come_with_their_line_and_nothing_behind_it_is_lost() {
        let (one, other) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        send(&one, "offer\n", &[listener.as_fd(), listener.as_fd()]).unwrap();
        (&one).write_all(b"more\nrest").unwrap();
        let (line, descriptors) = receive(&other).unwrap();
        assert_eq!((line.as_str(), descriptors.len()), ("offer", 2));
        let address = listener.local_addr().unwrap();
        for descriptor in descriptors {
            assert_eq!(TcpListener::from(descriptor).local_addr().unwrap(), address);
        }
        assert_eq!(receive(&other).unwrap().0, "more");
        drop(one);
        let mut rest = String::new();
        (&other).read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "rest");
        assert!(receive(&other).is_err());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let (one, other) = UnixStream::pair().unwrap();
        (&one).write_all(&[b'x'; 2 * MAX_LINE]).unwrap();
        assert!(receive(&other).is_err());
    }
}
