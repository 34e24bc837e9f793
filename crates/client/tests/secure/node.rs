//! A node on a free port, with or without TLS, with or without logins.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
    ReadBuf,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The behaviour of a node.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// `user password`, if the node requires that.
    pub(crate) login: Option<&'static str>,
    /// The answer to every login, right or wrong.
    pub(crate) retort: Option<&'static str>,
    /// The answer to `ring get`.
    pub(crate) ring: Option<String>,
    /// Bytes of an answer in one record; 0 is all.
    pub(crate) record: usize,
    /// Bytes that go to the socket in one write; 0 is all.
    pub(crate) segment: usize,
}

pub(crate) struct Node {
    address: String,
    manner: Arc<Mutex<Manner>>,
    accepted: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
    goodbyes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start(manner: Manner) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let manner = Arc::new(Mutex::new(manner));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (heard, goodbyes) = (Arc::<Mutex<Vec<String>>>::default(), Arc::default());
        let task = tokio::spawn({
            let (manner, accepted) = (Arc::clone(&manner), Arc::clone(&accepted));
            let (heard, goodbyes) = (Arc::clone(&heard), Arc::clone(&goodbyes));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let (manner, heard) = (manner.lock().clone(), Arc::clone(&heard));
                    let goodbyes: Arc<AtomicUsize> = Arc::clone(&goodbyes);
                    tokio::spawn(async move {
                        if serve(stream, manner, heard).await.is_some() {
                            goodbyes.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            }
        });
        Node { address, manner, accepted, heard, goodbyes, task }
    }

    /// A node with this certificate that behaves correctly.
    pub(crate) async fn secure(tls: Arc<ServerConfig>) -> Node {
        Node::start(Manner { tls: Some(tls), ..Manner::default() }).await
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// The node's address with this host name instead of its IP address.
    pub(crate) fn address_as(&self, host: &str) -> String {
        self.address.replace("127.0.0.1", host)
    }

    /// Number of connections that it accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The lines that it received.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }

    /// Number of connections that were closed properly.
    pub(crate) fn goodbyes(&self) -> usize {
        self.goodbyes.load(Ordering::SeqCst)
    }

    /// Changes the treatment of new connections.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a connection; `Some` if the client closed it properly.
async fn serve(stream: TcpStream, manner: Manner, heard: Arc<Mutex<Vec<String>>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let stream = Slow { stream, most: manner.segment };
    match manner.tls.clone() {
        None => talk(BufReader::new(stream), &manner, &heard).await,
        Some(tls) => {
            let stream = TlsAcceptor::from(tls).accept(stream).await.ok()?;
            talk(BufReader::new(stream), &manner, &heard).await
        }
    }
}

async fn talk<S>(mut peer: BufReader<S>, manner: &Manner, heard: &Mutex<Vec<String>>) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut known = manner.login.is_none() && manner.retort.is_none();
    loop {
        let mut line = Vec::new();
        if peer.read_until(b'\n', &mut line).await.ok()? == 0 {
            return Some(());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        heard.lock().push(line.clone());
        let words: Vec<&str> = line.split(' ').collect();
        let mut value = Vec::new();
        if let ["set", _, _, _, len] = words[..] {
            value.resize(len.parse::<usize>().ok()? + 2, 0);
            peer.read_exact(&mut value).await.ok()?;
            value.truncate(value.len() - 2);
        }
        let answer = if known {
            answer(&words, manner)
        } else if words[0] != "set" {
            b"CLIENT_ERROR unauthenticated\r\n".to_vec()
        } else if let Some(retort) = manner.retort {
            retort.as_bytes().to_vec()
        } else if manner.login.is_some_and(|login| login.as_bytes() == value) {
            known = true;
            b"STORED\r\n".to_vec()
        } else {
            b"CLIENT_ERROR authentication failure\r\n".to_vec()
        };
        let record = if manner.record == 0 { answer.len().max(1) } else { manner.record };
        for part in answer.chunks(record) {
            peer.write_all(part).await.ok()?;
            peer.flush().await.ok()?;
        }
        if answer.is_empty() {
            return None;
        }
    }
}

/// The answer to a request. Values have the lengths in their keys: `k-7` has seven bytes.
fn answer(words: &[&str], manner: &Manner) -> Vec<u8> {
    match words {
        ["get", keys @ ..] => {
            let mut answer = Vec::new();
            for key in keys {
                let len = key.rsplit('-').next().and_then(|len| len.parse().ok()).unwrap_or(0);
                answer.extend_from_slice(format!("VALUE {key} 0 {len}\r\n").as_bytes());
                answer.extend(content(len));
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"END\r\n");
            answer
        }
        ["set", ..] => b"STORED\r\n".to_vec(),
        ["version"] => b"VERSION 1.6.45\r\n".to_vec(),
        ["ring", "get"] if manner.ring.is_some() => {
            manner.ring.clone().unwrap_or_default().into_bytes()
        }
        _ => b"ERROR\r\n".to_vec(),
    }
}

/// Bytes that differ from all others near them.
pub(crate) fn content(len: usize) -> impl Iterator<Item = u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap_or_default())
}

/// A socket that takes few bytes at a time.
struct Slow {
    stream: TcpStream,
    most: usize,
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let most = if self.most == 0 { bytes.len() } else { self.most.min(bytes.len()) };
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
