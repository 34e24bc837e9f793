//! Tests of the ring manager's published state without a network: they pass in the answers of
//! peers.

use ringbinder_ring::{Format, RingId};

use super::*;
use crate::ring::membership::{Identity, stamp};
use crate::server;
use crate::settings::of_flags;

fn ring(version: u64) -> String {
    format!(
        "version = {version}\n\
         [[node]]\nname = \"a\"\naddress = \"10.0.0.1:11211\"\n\
         [[node]]\nname = \"b\"\naddress = \"10.0.0.2:11211\"\n"
    )
}

fn parsed(version: u64) -> Ring {
    Ring::parse(&ring(version), Format::Toml, "test").unwrap()
}

/// The answer of node b once all its workers hold this ring.
fn answer_of_b(ring: Ring) -> PeerLine {
    let identity =
        Identity { name: Some("b".to_owned()), addresses: vec!["10.0.0.2:11211".parse().unwrap()] };
    Membership::new(identity, Instance(1), Arc::new(ring)).peer_line("b")
}

/// A node with this ring file, without running tasks.
pub(super) fn node_with(ring: &std::path::Path) -> Arc<RingNode> {
    let settings = of_flags(&["--node", "a", "--ring", ring.to_str().unwrap()]);
    let guards = crate::security::guards::Guards::default();
    let dialer = crate::ring::Dialer::new(&guards, crate::settings::PeerTls::Off, Vec::new());
    // It begins with a runtime of its own.
    let settings = settings.ring.unwrap();
    let start = move || crate::ring::start(&settings, dialer).unwrap().node;
    std::thread::spawn(start).join().unwrap()
}

/// The ring manager of node a, which holds ring 1 and has given it to its workers.
fn manager_of_a() -> RingManager {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring.toml");
    std::fs::write(&path, ring(1)).unwrap();
    let flags = ["--node", "a", "--threads", "1", "--ring", path.to_str().unwrap()];
    let settings = of_flags(&flags);
    let guards = crate::security::guards::Guards::default();
    let listening = vec![("10.0.0.1:11211".parse().unwrap(), crate::settings::Guard::Plain)];
    let dialer = crate::ring::Dialer::new(&guards, crate::settings::PeerTls::Off, listening);
    let started = crate::ring::start(settings.ring.as_ref().unwrap(), dialer).unwrap();
    let shared = server::prepare(settings, guards, Some(Arc::clone(&started.node)), 0);
    let workers = Arc::new(Workers::start(&shared).unwrap());
    let Started { node, membership, .. } = started;
    let (mut manager, _) = RingManager::new(&shared, workers, node, membership);
    manager.publish();
    manager
}

fn finish(manager: RingManager) {
    let workers = Arc::clone(&manager.workers);
    drop(manager);
    Arc::into_inner(workers).unwrap().join();
}

#[test]
fn a_greeting_that_brings_no_news_makes_no_view() {
    let mut manager = manager_of_a();
    let node = Arc::clone(&manager.node);
    let b: Address = "10.0.0.2:11211".into();
    let mut hear = |line: &PeerLine| {
        manager.answered(&b, line, None);
        manager.publish();
        node.view()
    };
    let reported = || node.posted.read().status.reported.clone();
    assert_eq!(reported(), [(Arc::clone(&b), None)]);
    assert_eq!(node.posted.read().status.awaited, [Arc::clone(&b)]);

    let first = parsed(1).id();
    let line = answer_of_b(parsed(1));
    let joined = hear(&line);
    assert!(joined.is_settled());
    assert_eq!(reported(), [(Arc::clone(&b), Some(first))]);
    assert_eq!(node.posted.read().status.awaited, []);
    assert!(Arc::ptr_eq(&joined, &hear(&line)), "the same once more");

    let behind = RingId { version: 0, digest: 0 };
    let line = PeerLine { held: stamp(behind), ..line };
    assert!(Arc::ptr_eq(&joined, &hear(&line)), "what it holds is for people only");
    assert_eq!(reported(), [(Arc::clone(&b), Some(behind))]);
    finish(manager);
}

#[test]
fn a_confirmation_makes_a_view_once() {
    let mut manager = manager_of_a();
    let node = Arc::clone(&manager.node);
    let b: Address = "10.0.0.2:11211".into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    manager.answered(&b, &answer_of_b(parsed(1)), None);
    runtime.block_on(manager.adopt(parsed(2), "a test".to_owned()));
    let mut hear = |line: &PeerLine| {
        manager.answered(&b, line, None);
        manager.publish();
        node.view()
    };
    let adopted = node.view();
    assert_eq!((adopted.id(), adopted.is_settled()), (parsed(2).id(), false));
    assert!(node.cluster().starts_with("2\n"), "{}", node.cluster());

    // The first answer means that it has met b. By the second, it is no news that b is behind.
    let met = hear(&answer_of_b(parsed(1)));
    assert!(!met.is_settled());
    assert!(Arc::ptr_eq(&met, &hear(&answer_of_b(parsed(1)))));
    let settled = hear(&answer_of_b(parsed(2)));
    assert!(settled.is_settled());
    assert!(Arc::ptr_eq(&settled, &hear(&answer_of_b(parsed(2)))));
    finish(manager);
}

/// Stores a key that node a owns by every ring here.
fn store_own(manager: &RingManager) -> Vec<u8> {
    use ringbinder_store::{Mode, NewValue, Write};

    let ring = Arc::clone(manager.membership.ring());
    let key = (0..1_000).map(|number| format!("key{number}").into_bytes());
    let key = key.into_iter().find(|key| ring.owner(key) == 0).expect("a owns half of them");
    let write = Write::plain(Mode::Set, &key, NewValue::Slice(b"old"));
    manager.shared.store.write(write, manager.shared.clock.now());
    key
}

#[test]
fn what_came_back_goes_with_a_ring_that_nobody_foresaw() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let b: Address = "10.0.0.2:11211".into();
    // The next ring but one, whose predecessor no peer knows any more; and a ring of the same
    // version.
    for (met, version) in [(false, 3), (false, 2), (true, 2)] {
        let mut manager = manager_of_a();
        manager.came_back = true;
        let key = store_own(&manager);
        let store = Arc::clone(&manager.shared);
        let there = || store.store.peek(&key, store.clock.now(), |_| ()).is_ok();
        if met {
            manager.answered(&b, &answer_of_b(parsed(1)), None);
            manager.came_back &= !manager.membership.has_met_all();
        }
        runtime.block_on(manager.adopt(parsed(version), "a test".to_owned()));
        assert_eq!(there(), met, "met: {met}, ring {version}");
        drop(runtime.enter());
        finish(manager);
    }
}
