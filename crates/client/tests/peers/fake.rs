//! A server on a free port that treats its connections as a test directs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server's side of a connection.
pub(crate) type Peer = BufReader<TcpStream>;

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Fake {
    address: String,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Serves each connection with `serve`, which gets the number of connections before it.
    pub(crate) async fn start<F>(serve: impl Fn(usize, Peer) -> F + Send + 'static) -> Fake
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let before = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(before, BufReader::new(stream)));
            }
        });
        Fake { address, accepted, task }
    }

    /// Serves the first connection with `first`, and all others correctly.
    pub(crate) async fn at_first<F>(first: impl Fn(Peer) -> F + Send + 'static) -> Fake
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Fake::start(move |before, peer| -> Served {
            if before == 0 { Box::pin(first(peer)) } else { Box::pin(well(peer)) }
        })
        .await
    }

    /// A server that behaves correctly.
    pub(crate) async fn well() -> Fake {
        Fake::start(|_, peer| well(peer)).await
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Number of connections that it accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads a request: its words, or `None` once the client has disconnected. A value is read and
/// discarded.
pub(crate) async fn request(peer: &mut Peer) -> Option<Vec<String>> {
    let mut line = String::new();
    if peer.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if words.first().is_some_and(|verb| verb == "set") {
        let len: usize = words.get(4)?.parse().ok()?;
        let mut value = vec![0; len + 2];
        peer.read_exact(&mut value).await.ok()?;
    }
    Some(words)
}

/// Sends bytes; returns false once the client has disconnected.
pub(crate) async fn say(peer: &mut Peer, bytes: impl AsRef<[u8]>) -> bool {
    peer.get_mut().write_all(bytes.as_ref()).await.is_ok()
}

/// Waits until the client disconnects, and only reads its requests meanwhile.
pub(crate) async fn stay(mut peer: Peer) {
    while request(&mut peer).await.is_some() {}
}

/// The answer of a server whose values are `of` and the key.
pub(crate) fn answer(words: &[String]) -> String {
    let Some((verb, arguments)) = words.split_first() else {
        return "ERROR\r\n".to_owned();
    };
    match verb.as_str() {
        "get" => {
            let values = arguments.iter().map(|key| {
                let value = format!("of {key}");
                format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len())
            });
            values.collect::<String>() + "END\r\n"
        }
        "set" => "STORED\r\n".to_owned(),
        "stats" => "STAT pid 1\r\nEND\r\n".to_owned(),
        _ => "ERROR\r\n".to_owned(),
    }
}

/// Answers correctly.
pub(crate) async fn well(mut peer: Peer) {
    while let Some(words) = request(&mut peer).await {
        if !say(&mut peer, answer(&words)).await {
            break;
        }
    }
}
