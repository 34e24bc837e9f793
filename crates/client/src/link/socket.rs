//! The two directions of a connection, plain or with TLS.
//!
//! The plain ones are the system's own, with one additional branch. With TLS both directions share
//! a session and its lock, which is held for one read or write and never while the other direction
//! waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::client::TlsStream;

/// A stream that can carry requests.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    pub(crate) fn into_split(self) -> (Reader, Writer) {
        match self {
            Socket::Plain(stream) => {
                let (read, write) = stream.into_split();
                (Reader::Plain(read), Writer::Plain(write))
            }
            Socket::Tls(stream) => {
                let (read, write) = split(*stream);
                (Reader::Tls(read), Writer::Tls(Sealed(write)))
            }
        }
    }
}

/// The receiving direction.
#[derive(Debug)]
pub(crate) enum Reader {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

impl AsyncRead for Reader {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Reader::Plain(read) => Pin::new(read).poll_read(cx, buf),
            Reader::Tls(read) => Pin::new(read).poll_read(cx, buf),
        }
    }
}

/// The sending direction.
#[derive(Debug)]
pub(crate) enum Writer {
    Plain(OwnedWriteHalf),
    Tls(Sealed),
}

/// The result of a write without waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Number of bytes accepted.
    pub(crate) len: usize,
    /// Whether some accepted bytes are not sent yet: the connection's task must flush them.
    pub(crate) held: bool,
}

impl Writer {
    /// Writes as much as is accepted at once. The task will find any error.
    #[inline]
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> Written {
        match self {
            Writer::Plain(write) => {
                Written { len: write.try_write(bytes).unwrap_or_default(), held: false }
            }
            Writer::Tls(write) => write.try_write(bytes),
        }
    }

    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Writer::Plain(write) => Pin::new(write).poll_write(cx, bytes),
            Writer::Tls(write) => Pin::new(&mut write.0).poll_write(cx, bytes),
        }
    }

    /// Sends accepted bytes that were held back.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Writer::Plain(_) => Poll::Ready(Ok(())),
            Writer::Tls(write) => Pin::new(&mut write.0).poll_flush(cx),
        }
    }
}

/// The sending side of a session, which closes it properly.
#[derive(Debug)]
pub(crate) struct Sealed(WriteHalf<TlsStream<TcpStream>>);

impl Sealed {
    /// No waker is registered here: a caller that learns of held bytes polls again.
    fn try_write(&mut self, bytes: &[u8]) -> Written {
        let mut cx = Context::from_waker(Waker::noop());
        let len = match Pin::new(&mut self.0).poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(len)) => len,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        let flushed = Pin::new(&mut self.0).poll_flush(&mut cx);
        Written { len, held: !matches!(flushed, Poll::Ready(Ok(()))) }
    }
}

impl Drop for Sealed {
    /// Tells the node that no data was cut off (RFC 8446, 6.1), if the socket accepts that at once.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.0).poll_shutdown(&mut cx);
    }
}
