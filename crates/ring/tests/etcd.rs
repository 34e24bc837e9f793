//! A ring in a real etcd, read and watched as by a node, and in servers that are not etcd.
#![cfg(feature = "etcd")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, CompactionOptions, ConnectOptions, Permission};
use ringbinder_ring::source::{
    Login, Origin, Provenance, Source, SourceError, Update, read_cache, write_cache,
};
use ringbinder_ring::{Format, Ring, RingFault};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time limit of any step before a test fails. A working watch never comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

const ETCD: &str = "/usr/bin/etcd";
const KEY: &str = "cache/ring.toml";

/// Reports visibly that `test` is skipped if there is no etcd. That is a failure if everything must
/// be present (`CI=true`).
fn skipped(test: &str) -> bool {
    if Path::new(ETCD).exists() {
        return false;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} cannot run: there is no {ETCD} (CI=true, so this is a failure and not a skip)"
    );
    // Not eprintln!: the test runner hides that for a test that passes.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {test}: there is no {ETCD}");
    true
}

fn text(version: u64) -> String {
    format!("version = {version}\n\n[[node]]\nname = \"a\"\naddress = \"10.0.0.1:11211\"\n")
}

fn ring(version: u64) -> Ring {
    Ring::parse(&text(version), Format::Toml, "test").unwrap()
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An etcd of one member, killed when dropped.
struct Etcd {
    data: TempDir,
    port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl Etcd {
    async fn start() -> Etcd {
        let data = tempfile::tempdir().unwrap();
        let mut etcd = Etcd { data, port: free_port(), peer_port: free_port(), child: None };
        etcd.start_on(etcd.port).await;
        etcd
    }

    /// Starts it with its data, for clients on this port, and waits until it serves.
    async fn start_on(&mut self, port: u16) {
        let url = |port| format!("http://127.0.0.1:{port}");
        let peer = url(self.peer_port);
        let child = Command::new(ETCD)
            .args(["--name", "m", "--log-level", "panic", "--logger", "zap"])
            .arg("--data-dir")
            .arg(self.data.path())
            .args(["--listen-client-urls", &url(port), "--advertise-client-urls", &url(port)])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("m={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        let child = self.child.insert(child);
        let serves = async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("etcd ended at once: {status}");
                }
                let client = Client::connect([url(port)], None).await;
                if let Ok(mut client) = client
                    && client.get("any", None).await.is_ok()
                {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, serves).await.expect("etcd serves in time");
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // If the process is already gone, that is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn client(&self) -> Client {
        Client::connect([self.address()], None).await.unwrap()
    }

    async fn put(&self, key: &str, value: impl Into<Vec<u8>>) {
        self.client().await.put(key, value, None).await.unwrap();
    }

    /// Changes the ring while the server is unreachable for all others, and compacts its history.
    async fn put_behind_the_scenes(&mut self, value: impl Into<Vec<u8>>) {
        self.stop();
        let port = free_port();
        self.start_on(port).await;
        let mut client = Client::connect([format!("127.0.0.1:{port}")], None).await.unwrap();
        client.put(KEY, value, None).await.unwrap();
        let last = client.put("another", "", None).await.unwrap();
        let last = last.header().unwrap().revision();
        let physically = CompactionOptions::new().with_physical();
        client.compact(last, Some(physically)).await.unwrap();
        self.stop();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn origin(endpoints: &[&str], key: &str) -> Origin {
    format!("etcd://{}/{key}", endpoints.join(",")).parse().unwrap()
}

/// A source without a login, whatever the environment holds.
fn source(origin: Origin, cache: Option<PathBuf>) -> Source {
    Source::new(origin, cache).with_login(None)
}

/// A watched source.
struct Watched {
    updates: Receiver<Result<Update, SourceError>>,
    reload: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watched {
    fn new(source: Source) -> Watched {
        let (sender, updates) = channel(4);
        let (reload, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let task = tokio::spawn(source.watch(sender, Arc::clone(&reload), stop.clone()));
        Watched { updates, reload, stop, task }
    }

    async fn next(&mut self) -> Result<Update, SourceError> {
        let update = timeout(PATIENCE, self.updates.recv()).await;
        update.expect("an update in time").expect("the watch goes on")
    }

    async fn version(&mut self) -> u64 {
        match self.next().await {
            Ok(Update::Ring(ring)) => ring.id().version,
            other => panic!("no ring: {other:?}"),
        }
    }

    async fn failure(&mut self) -> SourceError {
        self.next().await.expect_err("a failure")
    }

    async fn unchanged(&mut self) {
        let update = self.next().await;
        assert!(matches!(update, Ok(Update::Unchanged(_))), "{update:?}");
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("it stops").unwrap();
    }
}

/// The treatment of bytes between a client and etcd by a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Flows,
    /// All bytes take this long, in each direction.
    Delayed(Duration),
    /// Connections stay open, but no bytes pass.
    Stands,
}

/// A proxy in front of an etcd.
struct Proxy {
    address: SocketAddr,
    traffic: watch::Sender<Traffic>,
}

impl Proxy {
    async fn before(etcd: &Etcd, traffic: Traffic) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, traffic) = watch::channel(traffic);
        let to = etcd.address();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&to).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(pass(near_read, far_write, traffic.clone()));
                tokio::spawn(pass(far_read, near_write, traffic.clone()));
            }
        });
        Proxy { address, traffic: sender }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut traffic: watch::Receiver<Traffic>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let now = *traffic.borrow();
        if let Traffic::Delayed(by) = now {
            tokio::time::sleep(by).await;
        }
        if traffic.wait_for(|traffic| *traffic != Traffic::Stands).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            break;
        }
    }
}

/// A server that answers every connection with these bytes and then goes silent.
async fn answers(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // A client that has already gone needs no answer.
            let _ = stream.write_all(bytes).await;
            held.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn a_ring_is_read_in_every_format() {
    if skipped("a_ring_is_read_in_every_format") {
        return;
    }
    let etcd = Etcd::start().await;
    let yaml = "version: 3\nnode:\n  - name: a\n    address: 10.0.0.1:11211\n";
    let json = r#"{"version": 4, "node": [{"name": "a", "address": "10.0.0.1:11211"}]}"#;
    for (key, value, version) in [
        ("cache/ring.toml", text(2), 2),
        ("ring.yaml", yaml.into(), 3),
        ("ring.json", json.into(), 4),
        ("/with/a/slash.toml", text(5), 5),
        ("toml", text(6), 6),
        ("yaml", yaml.into(), 3),
        ("json", json.into(), 4),
    ] {
        etcd.put(key, value).await;
        let source = source(origin(&[&etcd.address()], key), None);
        let (ring, provenance) = source.first().await.expect(key);
        assert_eq!((ring.id().version, provenance), (version, Provenance::Origin), "{key}");
    }
}

#[tokio::test]
async fn what_is_wrong_in_etcd_is_told_apart_even_with_a_copy() {
    if skipped("what_is_wrong_in_etcd_is_told_apart_even_with_a_copy") {
        return;
    }
    let etcd = Etcd::start().await;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("ring.toml");
    write_cache(&cache, &ring(1)).unwrap();
    let source = source(origin(&[&etcd.address()], KEY), Some(cache.clone()));
    let failure = async || source.first().await.expect_err("no ring");

    let error = failure().await;
    assert!(matches!(error, SourceError::Missing(_)), "{error:?}");
    assert!(error.to_string().contains(&format!("etcdctl put {KEY}")), "{error}");
    etcd.put(KEY, " \n").await;
    let error = failure().await;
    assert!(matches!(error, SourceError::Empty(_)), "{error:?}");
    etcd.put(KEY, "version = 0\n").await;
    let error = failure().await;
    assert!(matches!(error, SourceError::Invalid(_)), "{error:?}");
    assert!(error.to_string().contains(&format!("etcd://{}/{KEY}", etcd.address())), "{error}");
    etcd.put(KEY, [b'#', 0xff]).await;
    let error = failure().await;
    let SourceError::Invalid(invalid) = &error else { panic!("{error:?}") };
    assert_eq!(invalid.fault(), &RingFault::NotText { line: 1 });
    assert_eq!(read_cache(&cache).unwrap(), ring(1), "the copy is as it was");
}

#[tokio::test]
async fn changes_are_followed_and_copied() {
    if skipped("changes_are_followed_and_copied") {
        return;
    }
    let etcd = Etcd::start().await;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("ring.toml");
    etcd.put(KEY, text(1)).await;
    let source = source(origin(&[&etcd.address()], KEY), Some(cache.clone()));
    source.first().await.unwrap();
    assert_eq!(read_cache(&cache).unwrap(), ring(1));

    // A change between the first reading and the watch.
    etcd.put(KEY, text(2)).await;
    let mut watched = Watched::new(source);
    assert_eq!(watched.version().await, 2);
    assert_eq!(read_cache(&cache).unwrap(), ring(2));
    etcd.put(KEY, text(3)).await;
    assert_eq!(watched.version().await, 3);
    assert_eq!(read_cache(&cache).unwrap(), ring(3));

    // The watch brings them: the periodic read would take longer.
    let many = async {
        for version in 4..=20 {
            etcd.put(KEY, text(version)).await;
            assert_eq!(watched.version().await, version);
        }
    };
    timeout(PATIENCE, many).await.expect("changes in time");

    // The same ring in another spelling is not news; only a caller that asks gets an answer.
    etcd.put(KEY, format!("# again\n{}", text(20))).await;
    watched.reload.notify_one();
    watched.unchanged().await;

    etcd.put(KEY, "version = 21\n").await;
    assert!(matches!(watched.failure().await, SourceError::Invalid(_)));
    etcd.put(KEY, text(21)).await;
    assert_eq!(watched.version().await, 21);
    etcd.client().await.delete(KEY, None).await.unwrap();
    assert!(matches!(watched.failure().await, SourceError::Missing(_)));
    assert_eq!(read_cache(&cache).unwrap(), ring(21), "the copy stays");
    etcd.put(KEY, text(21)).await;
    watched.unchanged().await;
    watched.stop().await;
}

#[tokio::test]
async fn an_outage_is_reported_once_and_what_changed_in_it_is_delivered() {
    if skipped("an_outage_is_reported_once_and_what_changed_in_it_is_delivered") {
        return;
    }
    let mut etcd = Etcd::start().await;
    etcd.put(KEY, text(1)).await;
    let source = source(origin(&[&etcd.address()], KEY), None);
    source.first().await.unwrap();
    let mut watched = Watched::new(source);

    etcd.stop();
    let failure = watched.failure().await;
    assert!(failure.is_away(), "{failure:?}");
    assert!(failure.to_string().contains("refused"), "{failure}");
    etcd.put_behind_the_scenes(text(2)).await;
    // A caller that asks gets an answer, even without news.
    watched.reload.notify_one();
    assert!(watched.failure().await.is_away());
    etcd.start_on(etcd.port).await;
    // Nothing but the one failure came before. The history from which a watch might have continued
    // is gone; later changes are followed.
    assert_eq!(watched.version().await, 2);
    etcd.put(KEY, text(3)).await;
    assert_eq!(watched.version().await, 3);

    etcd.stop();
    assert!(watched.failure().await.is_away());
    etcd.start_on(etcd.port).await;
    watched.unchanged().await;
    watched.stop().await;
}

#[tokio::test]
async fn an_etcd_that_hangs_is_noticed() {
    if skipped("an_etcd_that_hangs_is_noticed") {
        return;
    }
    let etcd = Etcd::start().await;
    etcd.put(KEY, text(1)).await;
    let proxy = Proxy::before(&etcd, Traffic::Flows).await;
    let source = source(origin(&[&proxy.address()], KEY), None);
    source.first().await.unwrap();
    let mut watched = Watched::new(source);
    etcd.put(KEY, text(2)).await;
    assert_eq!(watched.version().await, 2);

    proxy.traffic.send_replace(Traffic::Stands);
    let failure = watched.failure().await;
    assert!(failure.is_away(), "{failure:?}");
    assert!(failure.to_string().contains("no answer within"), "{failure}");
    etcd.put(KEY, text(3)).await;
    proxy.traffic.send_replace(Traffic::Flows);
    assert_eq!(watched.version().await, 3);
    etcd.put(KEY, text(4)).await;
    assert_eq!(watched.version().await, 4);
    watched.stop().await;
}

#[tokio::test]
async fn a_slow_etcd_is_good_enough() {
    if skipped("a_slow_etcd_is_good_enough") {
        return;
    }
    let etcd = Etcd::start().await;
    etcd.put(KEY, text(1)).await;
    let delay = Traffic::Delayed(Duration::from_millis(200));
    let proxy = Proxy::before(&etcd, delay).await;
    let source = source(origin(&[&proxy.address()], KEY), None);
    assert_eq!(source.first().await.unwrap().0.id().version, 1);
    let mut watched = Watched::new(source);
    etcd.put(KEY, text(2)).await;
    assert_eq!(watched.version().await, 2);
    watched.stop().await;
}

#[tokio::test]
async fn one_member_that_works_is_enough() {
    if skipped("one_member_that_works_is_enough") {
        return;
    }
    let etcd = Etcd::start().await;
    etcd.put(KEY, text(1)).await;
    let gone = format!("127.0.0.1:{}", free_port());
    let silent = answers(b"").await;
    let rubbish = answers(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
    let proxy = Proxy::before(&etcd, Traffic::Flows).await;
    let endpoints = [&gone, &silent, &rubbish, &proxy.address(), &etcd.address()];
    let source = source(origin(&endpoints.map(String::as_str), KEY), None);
    assert_eq!(source.first().await.unwrap().0.id().version, 1);
    let mut watched = Watched::new(source);
    etcd.put(KEY, text(2)).await;
    assert_eq!(watched.version().await, 2);
    // Whether or not it is the watched member: another one takes over, without a report.
    proxy.traffic.send_replace(Traffic::Stands);
    etcd.put(KEY, text(3)).await;
    assert_eq!(watched.version().await, 3);
    watched.stop().await;
}

#[tokio::test]
async fn a_node_starts_from_its_copy_and_hears_when_etcd_is_back() {
    if skipped("a_node_starts_from_its_copy_and_hears_when_etcd_is_back") {
        return;
    }
    let mut etcd = Etcd::start().await;
    etcd.put(KEY, text(1)).await;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("copy");
    let origin = origin(&[&etcd.address()], KEY);
    source(origin.clone(), Some(cache.clone())).first().await.unwrap();

    etcd.stop();
    for changed in [false, true] {
        let source = source(origin.clone(), Some(cache.clone()));
        let (first, provenance) = source.first().await.unwrap();
        assert_eq!(first, ring(1));
        let Provenance::Cache { path, why } = provenance else { panic!("{provenance:?}") };
        assert_eq!(path, cache);
        assert!(why.is_away() && why.to_string().contains("refused"), "{why}");

        let mut watched = Watched::new(source);
        if changed {
            etcd.put_behind_the_scenes(text(2)).await;
        }
        etcd.start_on(etcd.port).await;
        // It is known from the start that etcd is unreachable, and not reported again.
        if changed {
            assert_eq!(watched.version().await, 2);
            assert_eq!(read_cache(&cache).unwrap(), ring(2));
        } else {
            watched.unchanged().await;
        }
        watched.stop().await;
        etcd.stop();
    }
}

#[tokio::test]
async fn without_an_etcd_and_without_a_copy_there_is_no_start() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("copy");
    let gone = format!("127.0.0.1:{}", free_port());
    let origin = origin(&[&gone], KEY);

    let failure = source(origin.clone(), None).first().await.unwrap_err();
    assert!(matches!(failure, SourceError::Away { .. }), "{failure:?}");
    assert!(failure.to_string().contains(&gone), "{failure}");

    let source = source(origin, Some(cache.clone()));
    let failure = source.first().await.unwrap_err();
    assert!(matches!(failure, SourceError::Stranded { .. }), "{failure:?}");
    assert!(failure.to_string().contains("there is no copy"), "{failure}");
    std::fs::write(&cache, "half").unwrap();
    let failure = source.first().await.unwrap_err();
    assert!(failure.to_string().contains("cannot be used"), "{failure}");
}

#[tokio::test]
async fn what_is_no_etcd_counts_as_etcd_being_away() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("copy");
    write_cache(&cache, &ring(1)).unwrap();
    for bytes in [
        &b""[..],
        b"\xff\xfe\xfd\xfc\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"ERROR\r\nERROR\r\n",
        // The beginning of an etcd's answer, and no more.
        b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0",
        // A frame that announces more bytes than permitted.
        b"\xff\xff\xff\x04\0\0\0\0\0",
    ] {
        let source = source(origin(&[&answers(bytes).await], KEY), Some(cache.clone()));
        let (first, provenance) = source.first().await.unwrap();
        assert_eq!(first, ring(1), "{bytes:?}");
        let Provenance::Cache { why, .. } = provenance else { panic!("{provenance:?}") };
        assert!(matches!(why, SourceError::Away { .. }), "{why:?}");
    }
}

#[tokio::test]
async fn a_login_is_needed_where_etcd_wants_one() {
    if skipped("a_login_is_needed_where_etcd_wants_one") {
        return;
    }
    let etcd = Etcd::start().await;
    etcd.put(KEY, text(1)).await;
    let origin = origin(&[&etcd.address()], KEY);
    let login = Some(Login::new("node", "pass for node"));
    let source_of = |login| source(origin.clone(), None).with_login(login);
    let early = source_of(login.clone());
    assert_eq!(early.first().await.unwrap().0.id().version, 1, "no login is wanted yet");

    let mut client = etcd.client().await;
    client.user_add("root", "pass for root", None).await.unwrap();
    client.role_add("root").await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.user_add("node", "pass for node", None).await.unwrap();
    client.user_add("guest", "pass for guest", None).await.unwrap();
    client.role_add("reader").await.unwrap();
    client.role_grant_permission("reader", Permission::read(KEY)).await.unwrap();
    client.user_grant_role("node", "reader").await.unwrap();
    client.auth_enable().await.unwrap();

    for login in [
        None,
        Some(Login::new("node", "wrong pass")),
        Some(Login::new("nobody", "pass for node")),
        Some(Login::new("guest", "pass for guest")),
    ] {
        let failure = source_of(login.clone()).first().await.unwrap_err();
        assert!(matches!(failure, SourceError::Refused { .. }), "{login:?}: {failure:?}");
        assert!(!failure.to_string().contains("pass for"), "{failure}");
    }

    assert_eq!(source_of(login).first().await.unwrap().0.id().version, 1);
    // The previous one, too.
    let mut watched = Watched::new(early);
    let root = ConnectOptions::new().with_user("root", "pass for root");
    let mut client = Client::connect([etcd.address()], Some(root)).await.unwrap();
    client.put(KEY, text(2), None).await.unwrap();
    assert_eq!(watched.version().await, 2);
    watched.stop().await;
}
