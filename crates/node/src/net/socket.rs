//! A connected socket, TCP or Unix, plain or with TLS, with the polls that a connection needs.
//!
//! Bytes written with TLS may stay in the session's bounded buffer; [`Socket::poll_flush`] writes
//! them to the socket. Without TLS it does nothing.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BufMut;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;
use tokio_util::io::poll_read_buf;

/// A socket as the acceptor got it, not registered with any runtime.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// A socket of a worker's runtime.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed, so that a plain connection has no room for a session.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Registers an accepted socket, which must be non-blocking, with the current runtime.
    pub(crate) fn register(accepted: Accepted) -> io::Result<Socket> {
        Ok(match accepted {
            Accepted::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Accepted::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }

    /// The valid certificate that the other side presented.
    pub(crate) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Socket::Tls(stream) => stream.get_ref().1.peer_certificates()?.first(),
            Socket::Tcp(_) | Socket::Unix(_) => None,
        }
    }

    /// Makes closing drop the data that the other side has not accepted, instead of delivering it
    /// later.
    pub(crate) fn drop_unsent(&self) {
        let socket = match self {
            Socket::Tcp(stream) => socket2::SockRef::from(stream),
            Socket::Unix(stream) => socket2::SockRef::from(stream),
            Socket::Tls(stream) => socket2::SockRef::from(stream.get_ref().0),
        };
        // This only makes a late delivery less likely; it may happen in any case.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }

    /// Reads into `room`; 0 bytes mean that the client will send no more.
    #[inline]
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(room);
        let done = match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            Socket::Tls(stream) => return read_records(stream, context, &mut buffer),
        };
        done.map_ok(|()| buffer.filled().len())
    }

    /// Whether there is data to read, or the end of it, even if the runtime has not noticed yet.
    pub(crate) fn has_arrived(&self) -> bool {
        let socket = match self {
            Socket::Tcp(stream) => socket2::SockRef::from(stream),
            Socket::Unix(stream) => socket2::SockRef::from(stream),
            Socket::Tls(stream) => socket2::SockRef::from(stream.get_ref().0),
        };
        let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ready once there is data to read, or the end of it, after a read found none.
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(context),
            Socket::Unix(stream) => stream.poll_read_ready(context),
            Socket::Tls(stream) => stream.get_ref().0.poll_read_ready(context),
        }
    }

    /// Reads into the spare room of a growing buffer.
    pub(crate) fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => poll_read_buf(Pin::new(stream), context, buffer),
            Socket::Unix(stream) => poll_read_buf(Pin::new(stream), context, buffer),
            Socket::Tls(stream) => hung_up(poll_read_buf(Pin::new(&mut **stream), context, buffer)),
        }
    }

    /// Reads and drops the data that has arrived, as it is on the wire. Returns 0 if there is none.
    pub(crate) fn discard(&mut self, room: &mut [u8]) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut buffer = ReadBuf::new(room);
        let done = match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(&mut context, &mut buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(&mut context, &mut buffer),
            Socket::Tls(stream) => {
                Pin::new(stream.get_mut().0).poll_read(&mut context, &mut buffer)
            }
        };
        if matches!(done, Poll::Ready(Ok(()))) { buffer.filled().len() } else { 0 }
    }

    /// Writes one run of bytes.
    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// Writes several runs of bytes.
    pub(crate) fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    /// Writes buffered bytes to the socket.
    #[inline]
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tls(stream) => Pin::new(stream).poll_flush(context),
            Socket::Tcp(_) | Socket::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    /// Sends the protocol's end of data, if it has one, as far as the socket accepts it at once.
    pub(crate) fn farewell(&mut self) {
        if let Socket::Tls(stream) = self {
            let mut context = Context::from_waker(Waker::noop());
            let _ = Pin::new(stream).poll_shutdown(&mut context);
        }
    }
}

fn read_records(
    stream: &mut TlsStream<TcpStream>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<usize>> {
    let done = Pin::new(stream).poll_read(context, buffer);
    hung_up(done.map_ok(|()| buffer.filled().len()))
}

/// Treats a connection that closes without an end of data like one that sends it. Many clients
/// never send it. Every request and answer states its length, so a cut one is not taken for a
/// complete one.
fn hung_up(done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    match done {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Poll::Ready(Ok(0))
        }
        done => done,
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len =
            std::task::ready!(Socket::poll_read(&mut self, context, buffer.initialize_unfilled()))?;
        buffer.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Socket::poll_write(&mut self, context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Socket::poll_flush(&mut self, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
