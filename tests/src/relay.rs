//! A relay between nodes that can delay their traffic, like a broken network. Bytes are held, and delivered
//! after the network is repaired, if the receiver still listens.
//!
//! Nodes send their name when they connect (`ring greet NAME ...`), so a relay can hold the connections of
//! one node.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::ring::local;

/// Every connection, from any node.
pub const ALL: &str = "*";

#[derive(Default)]
struct Gate {
    held: Mutex<HashSet<String>>,
    changed: Condvar,
    over: AtomicBool,
}

impl Gate {
    /// Returns as soon as this node's traffic is not held.
    fn pass(&self, name: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.over.load(SeqCst) && (held.contains(ALL) || held.contains(name)) {
            held = self.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A listener on one port that relays to another.
pub struct Relay {
    port: u16,
    gate: Arc<Gate>,
}

impl Relay {
    /// Relays connections from `port` to `target`, both on 127.0.0.1.
    ///
    /// # Panics
    /// If the port is in use.
    pub fn start(port: u16, target: u16) -> Relay {
        let listener = TcpListener::bind(local(port)).expect("a reserved port");
        let gate = Arc::new(Gate::default());
        let ours = Arc::clone(&gate);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if gate.over.load(SeqCst) {
                    break;
                }
                let (Ok(stream), gate) = (stream, Arc::clone(&gate)) else { continue };
                // The thread ends with the connection; both sides are processes of the test.
                thread::spawn(move || connect(stream, target, &gate));
            }
        });
        Relay { port, gate: ours }
    }

    /// Holds or releases the traffic of connections that this node opened.
    pub fn hold(&self, name: &str, held: bool) {
        let mut names = self.gate.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held {
            names.insert(name.to_owned());
        } else {
            names.remove(name);
        }
        self.gate.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.gate.over.store(true, SeqCst);
        self.hold(ALL, false);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect_timeout(&local(self.port), Duration::from_secs(1));
    }
}

fn connect(mut near: TcpStream, target: u16, gate: &Arc<Gate>) {
    let mut first = vec![0; 64 * 1024];
    let Ok(len) = near.read(&mut first) else { return };
    first.truncate(len);
    let text = String::from_utf8_lossy(&first).into_owned();
    let name = text.strip_prefix("ring greet ").and_then(|rest| rest.split(' ').next());
    let name = name.unwrap_or_default().to_owned();
    gate.pass(&name);
    let Ok(mut far) = TcpStream::connect(local(target)) else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    if far.write_all(&first).is_err() {
        return;
    }
    let (Ok(near_reader), Ok(far_writer)) = (near.try_clone(), far.try_clone()) else { return };
    let (there, back) = ((Arc::clone(gate), name.clone()), (Arc::clone(gate), name));
    let forth = thread::spawn(move || pump(near_reader, far_writer, &there.0, &there.1));
    pump(far, near, &back.0, &back.1);
    let _ = forth.join();
}

/// Copies bytes until one side closes. Held bytes are sent later, and so is the end of the connection.
fn pump(mut from: TcpStream, mut to: TcpStream, gate: &Gate, name: &str) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer);
        gate.pass(name);
        match read {
            Ok(len) if len > 0 => {
                if to.write_all(&buffer[..len]).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
