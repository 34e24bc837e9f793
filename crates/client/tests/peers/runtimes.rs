//! Use of a client on its own runtime, on others, and on none.

use std::sync::mpsc;

use ringbinder_client::{Absence, OnAway, Ttl};
use tokio::runtime::{Builder, Runtime};

use crate::fake::{self, Fake};
use crate::{absence, client_of, connect, value};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn callers_may_run_anywhere() {
    let (servers, home) = (runtime(), runtime());
    let peer = servers.block_on(Fake::well());
    let client = home.block_on(connect(client_of(&[&peer])));
    let other = Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert_eq!(value(other.block_on(client.get("k"))), "of k");
    drop(other);
    // Callers do not even need a runtime, since the connections have theirs.
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let client = client.clone();
            std::thread::spawn(move || {
                for number in 0..200 {
                    let key = format!("k-{thread}-{number}");
                    let item = futures_executor::block_on(client.get(&key));
                    assert_eq!(value(item), format!("of {key}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn a_client_outlives_its_runtime_and_says_so() {
    let (servers, home, other) = (runtime(), runtime(), runtime());
    let peer = servers.block_on(Fake::well());
    let client = home.block_on(connect(client_of(&[&peer])));
    let lenient = home.block_on(connect(client_of(&[&peer]).on_away(OnAway::Miss)));
    assert_eq!(value(home.block_on(client.get("k"))), "of k");
    drop(home);
    for _ in 0..3 {
        let why = absence(other.block_on(client.get("k")));
        assert!(matches!(why, Absence::NoRuntime | Absence::Resting), "{why}");
    }
    assert_eq!(other.block_on(lenient.get("k")).expect("a miss"), None);
    drop(client);
}

#[test]
fn a_runtime_that_ends_ends_the_waiting() {
    let (servers, home, other) = (runtime(), runtime(), runtime());
    let (asked, is_asked) = mpsc::channel();
    let peer = servers.block_on(Fake::start(move |_, mut peer| {
        let asked = asked.clone();
        async move {
            while fake::request(&mut peer).await.is_some() {
                asked.send(()).expect("the test waits");
            }
        }
    }));
    let client = home.block_on(connect(client_of(&[&peer])));
    let get = other.spawn({
        let client = client.clone();
        async move { client.get("k").await }
    });
    let set = other.spawn({
        let client = client.clone();
        async move { client.set("k", "v", Ttl::Never).await }
    });
    is_asked.recv().expect("the first request");
    is_asked.recv().expect("the second request");
    drop(home);
    let get = absence(other.block_on(get).expect("no panic"));
    assert_eq!(get, Absence::NoRuntime);
    let set = absence(other.block_on(set).expect("no panic"));
    assert_eq!(set, Absence::Closed);
}

#[test]
fn a_client_may_be_dropped_anywhere() {
    let (servers, home) = (runtime(), runtime());
    let peer = servers.block_on(Fake::well());
    let client = home.block_on(connect(client_of(&[&peer])));
    assert_eq!(value(home.block_on(client.get("k"))), "of k");
    drop(home);
    drop(client);
}
