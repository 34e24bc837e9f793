//! The task that resolves the names due in [`super::book`], each on a thread of its own, because
//! the system's resolver blocks and cannot be stopped. The threads belong to no pool, so that none
//! of them delays the end of the process.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Names;
use super::book::Resolved;

/// The stack size of a look-up thread in bytes. The resolver's plugins need more than a minimal
/// stack.
const STACK: usize = 512 * 1024;

/// Resolves a name. May block.
pub(super) type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Asks the system, as every program of this machine does: its hosts file, then DNS.
pub(super) fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Resolves names until the node stops.
pub(super) async fn run(names: Arc<Names>, look_up: Arc<LookUp>, stop: CancellationToken) {
    let (sender, mut answers) = mpsc::unbounded_channel();
    loop {
        let now = Instant::now();
        for name in names.begin(now) {
            begin(name, &look_up, &sender);
        }
        let next = names.next(now);
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((name, answer)) = answers.recv() => {
                names.ended(&name, answer, Instant::now(), rand::random());
            }
            () = names.woken() => {}
            () = due => {}
            () = stop.cancelled() => return,
        }
    }
}

fn begin(name: String, look_up: &Arc<LookUp>, answers: &mpsc::UnboundedSender<(String, Resolved)>) {
    let (look_up, sender, asked) = (Arc::clone(look_up), answers.clone(), name.clone());
    let thread = std::thread::Builder::new().name("resolve".to_owned()).stack_size(STACK);
    let started = thread.spawn(move || {
        let answer = look_up(&asked).map_err(|error| error.to_string());
        // The receiver is gone once the node stops.
        let _ = sender.send((asked, answer));
    });
    if let Err(error) = started {
        let _ = answers.send((name, Err(format!("cannot start a thread: {error}"))));
    }
}
