//! A server for tests, with one thread per connection and a map. It supports only the generator's requests.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Shared {
    items: Mutex<HashMap<String, Vec<u8>>>,
    requests: AtomicU64,
    refuses: bool,
}

/// A running server. Its threads end with the test process.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        Self::with(Shared::default())
    }

    /// A server that stores nothing.
    pub(crate) fn refusing() -> Self {
        Self::with(Shared { refuses: true, ..Shared::default() })
    }

    fn with(shared: Shared) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(shared);
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&theirs);
                std::thread::spawn(move || shared.serve(&stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// Number of lines answered.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Serves a connection until the client closes it or it fails.
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut input = BufReader::new(stream);
        let mut output = BufWriter::new(stream);
        let mut line = String::new();
        while input.read_line(&mut line).ok()? > 0 {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                ["set", key, "0", "0", size] => {
                    let mut body = vec![0; size.parse::<usize>().unwrap() + 2];
                    input.read_exact(&mut body).ok()?;
                    assert!(body.ends_with(b"\r\n"));
                    body.truncate(body.len() - 2);
                    let answer: &[u8] = if self.refuses {
                        b"SERVER_ERROR out of memory storing object\r\n"
                    } else {
                        self.items.lock().unwrap().insert(key.to_owned(), body);
                        b"STORED\r\n"
                    };
                    output.write_all(answer).ok()?;
                }
                ["get", ref keys @ ..] => {
                    let items = self.items.lock().unwrap();
                    for key in keys {
                        let Some(value) = items.get(*key) else { continue };
                        write!(output, "VALUE {key} 0 {}\r\n", value.len()).ok()?;
                        output.write_all(value).ok()?;
                        output.write_all(b"\r\n").ok()?;
                    }
                    output.write_all(b"END\r\n").ok()?;
                }
                ["stats", "ring"] => output.write_all(b"STAT ring_settled yes\r\nEND\r\n").ok()?,
                ["version"] => output.write_all(b"VERSION 1.6.45\r\n").ok()?,
                ["stats"] => {
                    let count = self.items.lock().unwrap().len();
                    write!(output, "STAT curr_items {count}\r\nEND\r\n").ok()?;
                }
                _ => output.write_all(b"ERROR\r\n").ok()?,
            }
            self.requests.fetch_add(1, Ordering::SeqCst);
            if input.buffer().is_empty() {
                output.flush().ok()?;
            }
            line.clear();
        }
        Some(())
    }
}
