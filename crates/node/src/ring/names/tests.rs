//! Tests of the whole module with a fake resolver.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;

use ringbinder_ring::Format;

use super::*;

/// A fake resolver: its answers, or that it blocks.
#[derive(Default)]
struct Fake {
    answers: Mutex<HashMap<String, Vec<IpAddr>>>,
    /// Look-ups block until the test ends.
    silent: Mutex<Option<mpsc::Receiver<()>>>,
    is_silent: Mutex<bool>,
    looked: AtomicUsize,
}

impl Fake {
    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.answers.lock().insert(name.to_owned(), addresses);
    }

    fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.looked.fetch_add(1, SeqCst);
        if *self.is_silent.lock() {
            // This ends with the sender.
            let _ = self.silent.lock().as_ref().map(mpsc::Receiver::recv);
        }
        let answers = self.answers.lock();
        answers.get(name).cloned().ok_or_else(|| io::Error::other("no such name"))
    }
}

fn ring(version: u64, hosts: &[&str]) -> Arc<Ring> {
    let mut text = format!("version = {version}\n");
    for (number, host) in hosts.iter().enumerate() {
        text += &format!("[[node]]\nname = \"n{number}\"\naddress = \"{host}:11211\"\n");
    }
    Arc::new(Ring::parse(&text, Format::Toml, "test").unwrap())
}

/// Names of one ring, and the task that looks them up.
fn names(fake: &Arc<Fake>, stop: &CancellationToken) -> Arc<Names> {
    let names = Arc::new(Names::default());
    let asked = Arc::clone(fake);
    let look_up = Arc::new(move |name: &str| asked.look_up(name));
    tokio::spawn(lookup::run(Arc::clone(&names), look_up, stop.clone()));
    names
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("not within ten seconds: {what}");
}

#[tokio::test]
async fn the_list_follows_its_names_and_its_version_rises() {
    let (fake, stop) = (Arc::new(Fake::default()), CancellationToken::new());
    let names = names(&fake, &stop);
    fake.set("cache-a", &["10.0.0.2", "10.0.0.1"]);
    let one = ring(7, &["cache-a", "10.0.0.7", "cache-b"]);
    names.follow(&one, std::slice::from_ref(&one));
    let list = |text: &str| names.payload().split('\n').nth(1) == Some(text);
    until("the first addresses", || {
        list("10.0.0.7|10.0.0.7|11211 cache-a|10.0.0.1|11211 cache-b|cache-b|11211")
    })
    .await;
    let first = names.version();
    assert_eq!(first, 7 + names.epoch());
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    for known in ["10.0.0.1", "10.0.0.2", "10.0.0.7", "::ffff:10.0.0.7"] {
        assert!(names.knows(ip(known)), "{known}");
    }
    assert!(!names.knows(ip("10.0.0.9")));

    // A change of both names at once is one change of the list.
    fake.set("cache-a", &["10.0.0.9"]);
    fake.set("cache-b", &["10.0.0.8"]);
    names.refresh();
    until("both changes", || {
        list("10.0.0.7|10.0.0.7|11211 cache-a|10.0.0.9|11211 cache-b|10.0.0.8|11211")
    })
    .await;
    let second = names.version();
    assert_eq!(second, first + 1);
    assert!(names.knows(ip("10.0.0.9")) && !names.knows(ip("10.0.0.1")));

    // A peer has seen more changes: this node gives that version after it has looked up its own
    // names.
    names.heard(names.epoch() + 5);
    until("the peer's version", || names.version() == second + 5).await;

    let two = ring(8, &["cache-a"]);
    names.follow(&two, std::slice::from_ref(&two));
    assert_eq!(&*names.payload(), format!("{}\ncache-a|10.0.0.9|11211\n", second + 6));
    assert!(!names.knows(ip("10.0.0.7")), "no ring in use names it");
    stop.cancel();
}

#[tokio::test]
async fn without_host_names_the_version_is_that_of_the_ring() {
    let names = Names::default();
    let one = ring(7, &["10.0.0.7"]);
    names.follow(&one, std::slice::from_ref(&one));
    assert_eq!(&*names.payload(), "7\n10.0.0.7|10.0.0.7|11211\n");
    // The ring of the same version with the higher digest: another list needs a higher version.
    let other = ring(7, &["10.0.0.8"]);
    names.follow(&other, std::slice::from_ref(&other));
    assert_eq!(names.version(), 8);
}

#[tokio::test]
async fn the_last_good_addresses_are_dialled_while_dns_fails_or_is_silent() {
    let (fake, stop) = (Arc::new(Fake::default()), CancellationToken::new());
    let names = names(&fake, &stop);
    let one = ring(1, &["cache-a"]);
    names.follow(&one, std::slice::from_ref(&one));
    let error = names.find("cache-a").await.unwrap_err().to_string();
    assert_eq!(error, "cannot resolve cache-a: no such name");

    fake.set("cache-a", &["10.0.0.2"]);
    names.refresh();
    until("the address", || !names.standing("cache-a").0.is_empty()).await;
    let good = vec!["10.0.0.2".parse().unwrap()];
    let found = |is_old| Found { addresses: good.clone(), is_old };
    assert_eq!(names.find("cache-a").await.unwrap(), found(false));
    let before = names.payload();

    fake.answers.lock().clear();
    names.refresh();
    until("the failure", || names.standing("cache-a").1.is_some()).await;
    assert_eq!(names.find("cache-a").await.unwrap(), found(true));
    assert_eq!((names.payload(), names.knows(good[0])), (before.clone(), true));

    // While the resolver is silent, no dial waits long, and threads do not pile up.
    fake.set("cache-a", &["10.0.0.3"]);
    let (end, silent) = mpsc::channel();
    *fake.silent.lock() = Some(silent);
    *fake.is_silent.lock() = true;
    let looked = fake.looked.load(SeqCst);
    names.refresh();
    until("the silent look-up", || fake.looked.load(SeqCst) > looked).await;
    for _ in 0..20 {
        assert_eq!(names.find("cache-a").await.unwrap(), found(true));
        names.refresh();
    }
    assert_eq!(fake.looked.load(SeqCst), looked + 1);

    // The eventual answer takes precedence over the old one.
    *fake.is_silent.lock() = false;
    drop(end);
    until("the late answer", || names.payload() != before).await;
    let now = names.find("cache-a").await.unwrap();
    assert_eq!(now, Found { addresses: vec!["10.0.0.3".parse().unwrap()], is_old: false });
    stop.cancel();
}
