//! Tests of snapshots of a node without a ring.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use ringbinder_tests::server::scratch;
use ringbinder_tests::{Kind, Server, process, wait};

use super::{count, fill, restored, stat, stop, with_snapshot};

#[test]
fn items_outlive_a_restart_with_all_that_they_are() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let server = with_snapshot(&file, &["-m", "256"]);
    fill(&server, 2_000, 100);
    let mut conn = server.connect();
    let large = "l".repeat(700_000);
    conn.talk(format!("set large 1 0 700000\r\n{large}\r\n"), "STORED\r\n");
    conn.talk("set short 0 1000 1\r\nx\r\n", "STORED\r\n");
    conn.talk("set gone 0 1 1\r\nx\r\n", "STORED\r\n");
    conn.talk("ms Zm9v 3 b F9\r\nbar\r\n", "HD\r\n");
    conn.talk("set stale 0 0 1\r\nx\r\nmd stale I\r\n", "STORED\r\nHD\r\n");
    let asked = "gets large key7\r\nmg Zm9v b f k v\r\n";
    let before = conn.ask_text(asked);
    let counted: u64 = conn
        .ask_text("set last 0 0 1\r\nx\r\nmg last c\r\n")
        .split_whitespace()
        .find_map(|word| word.strip_prefix('c')?.parse().ok())
        .expect("a CAS unique");
    drop(conn);
    let log = stop(server);
    assert!(log.contains("holds 200"), "{log}");
    let mode = fs::metadata(&file).expect("a snapshot").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds what clients hold dear");
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing is left beside it");

    let server = with_snapshot(&file, &["-m", "256"]);
    server.connect().talk("get none\r\n", "END\r\n");
    assert!(!file.exists(), "it is used up before the first client is served");
    assert_eq!(restored(&server), "done");
    assert_eq!(count(&server, 2_000, 100), 2_000);
    let mut conn = server.connect();
    assert_eq!(conn.ask_text(asked), before);
    assert_eq!(conn.ask_text("mg stale v\r\n"), "VA 1 X W\r\nx\r\n");
    let ttl = conn.ask_text("mg short t\r\n");
    let ttl: u32 = ttl.trim().strip_prefix("HD t").expect("a time").parse().expect("a number");
    assert!((900..=1_000).contains(&ttl), "{ttl} seconds are left");
    wait::until("an item to expire", || (conn.ask_text("get gone\r\n") == "END\r\n").then_some(()));
    let now: u64 = conn
        .ask_text("set last 0 0 1\r\nx\r\nmg last c\r\n")
        .split_whitespace()
        .find_map(|word| word.strip_prefix('c')?.parse().ok())
        .expect("a CAS unique");
    assert!(now > counted, "CAS uniques went from {counted} to {now}");
    drop(conn);
    stop(server);
}

#[test]
fn a_snapshot_is_never_taken_up_twice() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let server = with_snapshot(&file, &[]);
    fill(&server, 100, 10);
    stop(server);
    let mut server = with_snapshot(&file, &[]);
    assert_eq!(restored(&server), "done");
    // After a crash, changes made since the snapshot must not be undone.
    server.stop(Signal::SIGKILL);
    let server = with_snapshot(&file, &[]);
    assert_eq!(restored(&server), "none");
    assert_eq!(count(&server, 100, 10), 0);
    stop(server);
}

#[test]
fn one_on_demand_is_taken_up_only_where_old_values_are_welcome() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let mut server = with_snapshot(&file, &[]);
    fill(&server, 100, 10);
    process::signal(server.pid(), Signal::SIGUSR2);
    let mut conn = server.connect();
    wait::until("the snapshot", || {
        (stat(&mut conn, "snapshot_last_success_time") != "0").then_some(())
    });
    assert_eq!(stat(&mut conn, "snapshot_items"), "100");
    assert_eq!(stat(&mut conn, "snapshot_state"), "idle");
    server.stop(Signal::SIGKILL);
    let mut server = with_snapshot(&file, &[]);
    assert_eq!(restored(&server), "refused");
    assert!(server.log().contains("--snapshot-stale"), "{}", server.log());
    assert!(file.exists(), "it waits for the operator's word");
    server.stop(Signal::SIGKILL);
    let server = with_snapshot(&file, &["--snapshot-stale"]);
    assert_eq!(restored(&server), "done");
    assert_eq!(count(&server, 100, 10), 100);
    stop(server);
}

/// The bytes of a snapshot of 500 items, which is written to this file.
fn whole_snapshot(file: &Path) -> Vec<u8> {
    let server = with_snapshot(file, &[]);
    fill(&server, 500, 100);
    stop(server);
    fs::read(file).expect("a snapshot")
}

#[test]
fn what_is_torn_foreign_or_newer_is_told_of_and_not_taken_up() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let whole = whole_snapshot(&file);
    let mut newer = whole.clone();
    newer[8] = 9;
    let mut changed = whole.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let torn = whole[..whole.len() / 2].to_vec();
    for (bytes, why) in [
        (torn, "cut off"),
        (whole[..20].to_vec(), "cut off"),
        (newer, "version 9"),
        (changed, "cut off"),
        ([&whole[..], b"more"].concat(), "cut off"),
    ] {
        fs::write(&file, &bytes).expect("a file");
        let server = with_snapshot(&file, &[]);
        assert_eq!(restored(&server), "refused", "{why}");
        assert!(server.log().contains(why), "{why}: {}", server.log());
        assert_eq!(count(&server, 10, 100), 0);
        assert!(!file.exists());
        let aside = file.with_extension("rejected");
        assert_eq!(fs::read(aside).expect("the rejected snapshot"), bytes);
        stop(server);
    }
    // Damage in the middle: items that were verified before it are right, and stay.
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, &damaged).expect("a file");
    let server = with_snapshot(&file, &[]);
    assert_eq!(restored(&server), "failed");
    assert!(server.log().contains("is damaged"), "{}", server.log());
    count(&server, 500, 100);
    stop(server);
}

/// Ways to damage the beginning of a snapshot.
fn damages(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut head = whole.to_vec();
    head[..64].fill(0xff);
    let mut block = whole.to_vec();
    block[..4096].fill(0);
    vec![
        ("a head", head),
        ("a block", block),
        ("all", vec![0; whole.len()]),
        ("a bit", {
            let mut bit = whole.to_vec();
            bit[0] ^= 1;
            bit
        }),
    ]
}

#[test]
fn what_is_damaged_at_its_beginning_keeps_nobody_from_starting() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let whole = whole_snapshot(&file);
    for (what, bytes) in damages(&whole) {
        fs::write(&file, &bytes).expect("a file");
        let server = with_snapshot(&file, &[]);
        assert_eq!(restored(&server), "refused", "{what}");
        assert_eq!(count(&server, 10, 100), 0, "{what}");
        let log = server.log();
        assert!(
            log.contains("cannot restore the snapshot") && log.contains("the file is kept as"),
            "{what}: {log}"
        );
        let aside = file.with_extension("rejected");
        assert_eq!(fs::read(&aside).expect("the damaged snapshot"), bytes, "{what}");
        // The next stop writes a snapshot again, and the start after it finds it.
        fill(&server, 10, 100);
        stop(server);
        let server = with_snapshot(&file, &[]);
        assert_eq!(restored(&server), "done", "{what}");
        stop(server);
    }
    assert_eq!(
        fs::read_dir(dir.path()).expect("a folder").count(),
        2,
        "one is kept, of all of them"
    );
}

#[test]
fn what_is_damaged_and_cannot_be_moved_is_not_written_over() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    // Other files already have all names to which it could be moved.
    let mut others = vec![dir.path().join("snapshot.rejected")];
    others.extend((2..=9).map(|number| dir.path().join(format!("snapshot.rejected-{number}"))));
    for other in &others {
        fs::write(other, "something dear").expect("a file");
    }
    fs::write(&file, [0; 8192]).expect("a file");
    let mut server = with_snapshot(&file, &[]);
    assert_eq!(restored(&server), "refused");
    server.connect().talk("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    assert!(server.log().contains("cannot rename the file"), "{}", server.log());
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(73));
    assert_eq!(fs::read(&file).expect("the file"), [0; 8192]);
    for other in &others {
        assert_eq!(fs::read(other).expect("a file"), b"something dear");
    }
}

#[test]
fn a_strict_start_wants_a_snapshot_that_is_whole() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let whole = whole_snapshot(&file);
    let mut all = damages(&whole);
    all.push(("the end", whole[..whole.len() / 2].to_vec()));
    for (what, bytes) in all {
        fs::write(&file, &bytes).expect("a file");
        let path = file.to_str().expect("a plain path");
        for more in [&[][..], &["--check-config"]] {
            let output = Kind::Ringbinder
                .command()
                .args(["-e", path, "-p", "-1", "--snapshot-strict"])
                .args(more)
                .stdin(Stdio::null())
                .output()
                .expect("it starts");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(73), "{what}: {stderr}");
            assert!(stderr.contains("cannot restore the snapshot"), "{what}: {stderr}");
        }
        assert_eq!(fs::read(&file).expect("the file"), bytes, "{what}");
    }
    fs::write(&file, &whole).expect("a file");
    let server = with_snapshot(&file, &["--snapshot-strict"]);
    assert_eq!(restored(&server), "done");
    stop(server);
}

#[test]
fn a_file_that_is_no_snapshot_is_left_alone() {
    let dir = scratch();
    let file = dir.path().join("notes");
    fs::write(&file, "something that is dear to somebody\n").expect("a file");
    let arguments = ["-e", file.to_str().expect("a plain path"), "-p", "-1"];
    for more in [&[][..], &["--check-config"]] {
        let output = Kind::Ringbinder
            .command()
            .args(arguments)
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(73), "{stderr}");
        assert!(stderr.contains("is not a snapshot"), "{stderr}");
    }
    let text = fs::read_to_string(&file).expect("the file");
    assert_eq!(text, "something that is dear to somebody\n");
}

#[test]
fn a_place_that_cannot_be_written_is_told_of_at_the_start() {
    let dir = scratch();
    let file = dir.path().join("missing").join("snapshot");
    let output = Kind::Ringbinder
        .command()
        .args(["-e", file.to_str().expect("a plain path"), "--check-config"])
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(73), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("create its directory"), "{stderr}");
}

#[test]
fn a_disk_that_is_full_costs_the_snapshot_and_nothing_else() {
    let dir = scratch();
    let place = dir.path().join("small");
    fs::create_dir(&place).expect("a folder");
    let Some(_mounted) = Mounted::small(&place) else {
        ringbinder_tests::skip::skip(
            "a_disk_that_is_full_costs_the_snapshot_and_nothing_else",
            "no small file system can be mounted here",
        );
        return;
    };
    let file = place.join("snapshot");
    let server = with_snapshot(&file, &["-m", "64"]);
    fill(&server, 100, 10);
    process::signal(server.pid(), Signal::SIGUSR2);
    let mut conn = server.connect();
    wait::until("the snapshot", || file.exists().then_some(()));
    wait::until("its end", || (stat(&mut conn, "snapshot_state") == "idle").then_some(()));
    let before = fs::read(&file).expect("a snapshot");
    fill(&server, 20_000, 500);
    process::signal(server.pid(), Signal::SIGUSR2);
    wait::until("the failure", || (stat(&mut conn, "snapshot_state") == "failed").then_some(()));
    assert!(server.log().contains("free some space"), "{}", server.log());
    assert_eq!(fs::read(&file).expect("a snapshot"), before, "the old one is unharmed");
    drop(conn);
    let mut server = server;
    let status = server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(73), "{}", server.log());
    assert_eq!(fs::read(&file).expect("a snapshot"), before);
    assert_eq!(fs::read_dir(&place).expect("a folder").count(), 1, "nothing is left beside it");
}

/// A mounted file system of one megabyte. It is unmounted when this is dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn small(place: &std::path::Path) -> Option<Mounted> {
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs"])
            .arg(place)
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then(|| Mounted(place.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_smaller_memory_takes_up_what_fits_and_evicts_nothing_for_it() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let server = with_snapshot(&file, &["-m", "32"]);
    fill(&server, 30_000, 500);
    stop(server);
    let server = with_snapshot(&file, &["-m", "8"]);
    assert_eq!(restored(&server), "stopped");
    let mut conn = server.connect();
    assert_eq!(stat(&mut conn, "evictions"), "0");
    let items: u64 = stat(&mut conn, "curr_items").parse().expect("a number");
    assert!((5_000..20_000).contains(&items), "{items} items in 8 MiB");
    assert!(server.log().contains("the memory is full"), "{}", server.log());
    drop(conn);
    stop(server);
}

#[test]
fn a_delayed_flush_and_one_at_once_outlive_the_restart_too() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let server = with_snapshot(&file, &[]);
    fill(&server, 100, 10);
    server.connect().talk("flush_all 3\r\n", "OK\r\n");
    stop(server);
    let server = with_snapshot(&file, &[]);
    wait::until("the flush to come due", || (count(&server, 100, 10) == 0).then_some(()));
    fill(&server, 100, 10);
    server.connect().talk("flush_all\r\n", "OK\r\n");
    stop(server);
    let server = with_snapshot(&file, &[]);
    restored(&server);
    assert_eq!(count(&server, 100, 10), 0);
    stop(server);
}

#[test]
fn clients_that_stay_busy_do_not_keep_a_node_from_its_snapshot() {
    let dir = scratch();
    let file = dir.path().join("snapshot");
    let server = with_snapshot(&file, &["-m", "64"]);
    fill(&server, 1_000, 10);
    let address = server.address();
    let stopped = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The clients never read all answers, and never stop sending requests.
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let stopped = &stopped;
                scope.spawn(move || {
                    let mut conn = TcpStream::connect(address).expect("a connection");
                    let mut acknowledged = 0_u64;
                    while !stopped.load(std::sync::atomic::Ordering::SeqCst) {
                        let next = acknowledged + 1;
                        let text = next.to_string();
                        let set = format!("set busy{writer} 0 0 {}\r\n{text}\r\n", text.len());
                        let mut answer = [0; 8];
                        let answered = conn
                            .write_all(set.as_bytes())
                            .and_then(|()| conn.read_exact(&mut answer));
                        match answered {
                            Ok(()) if answer == *b"STORED\r\n" => acknowledged = next,
                            _ => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let mut conn = server.connect();
        wait::until("writes", || {
            (stat(&mut conn, "cmd_set").parse::<u64>().ok()? > 3_000).then_some(())
        });
        stop(server);
        stopped.store(true, std::sync::atomic::Ordering::SeqCst);
        let server = with_snapshot(&file, &["-m", "64"]);
        assert_eq!(restored(&server), "done");
        let mut conn = server.connect();
        for (number, writer) in writers.into_iter().enumerate() {
            let acknowledged = writer.join().expect("a writer");
            let answer = conn.ask_text(&format!("get busy{number}\r\n"));
            let there: u64 = answer.lines().nth(1).expect("a value").parse().expect("a number");
            // One more may have been stored, whose answer was not read.
            assert!((acknowledged..=acknowledged + 1).contains(&there), "{acknowledged}: {answer}");
        }
        drop(conn);
        stop(server);
    });
}

#[test]
fn without_a_file_a_signal_for_a_snapshot_is_harmless() {
    let server = Server::start(Kind::Ringbinder, &[]);
    server.connect().talk("get a\r\n", "END\r\n");
    process::signal(server.pid(), Signal::SIGUSR2);
    wait::until("the log to say so", || server.log().contains("--snapshot").then_some(()));
    server.connect().talk("get a\r\n", "END\r\n");
    assert!(!server.connect().ask_text("stats\r\n").contains("restore_state"));
    stop(server);
}
