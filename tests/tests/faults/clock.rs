//! Fault: the system clock is set forward and back by a day. (libfaketime leaves alone the clocks that cannot
//! be set.) Times to live continue unchanged, and absolute times use the clock at the time of the request.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, Kind, Server, wait};

use crate::{NODES, Row, back_to, briefly, checked, figure, goes_on, levels, plan};

const DAY: i64 = 24 * 3600;

/// The offset of the clock, in libfaketime's format and in seconds.
const JUMPS: [(&str, i64); 4] = [("+1d", DAY), ("+0", 0), ("-1d", -DAY), ("+0", 0)];

#[test]
fn the_clock_jumps_by_a_day() {
    briefly("the_clock_jumps_by_a_day");
}

fn library() -> Option<PathBuf> {
    let directories = fs::read_dir("/usr/lib").ok()?.flatten();
    let libraries = directories.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|path| path.exists())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_secs()).expect("a clock before the year 200 billion")
}

fn faked(command: &mut Command, library: &PathBuf, file: &str) {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
}

fn await_calendar(conn: &mut Conn, wrong_by: i64) {
    wait::until("the clock to have jumped", || {
        let time = i64::try_from(figure(conn, "time")).expect("a time");
        ((time - now() - wrong_by).abs() < 60).then_some(())
    });
}

fn set(conn: &mut Conn, key: &str, exptime: i64) {
    conn.talk(format!("set {key} 0 {exptime} 1\r\nx\r\n"), "STORED\r\n");
}

/// Remaining seconds of an item, -1 for unlimited; `None` if there is no item.
fn left(conn: &mut Conn, key: &str) -> Option<i64> {
    let answer = conn.ask_text(&format!("mg {key} t\r\n"));
    let left = answer.strip_prefix("HD t");
    left.map(|left| left.trim_end().parse().expect("a number"))
}

/// Checks items from before the jump, and new ones, through a node.
fn look(conn: &mut Conn, keys: &[String], wrong_by: i64, round: usize) {
    for key in keys {
        let hour = left(conn, &format!("hour-{key}")).expect("it has most of its hour left");
        assert!((3000..=3600).contains(&hour), "{key}: {hour} of an hour, the clock {wrong_by}");
        let until = left(conn, &format!("until-{key}")).expect("it has most of two hours left");
        assert!((6600..=7200).contains(&until), "{key}: {until}, the clock {wrong_by}");
        assert_eq!(left(conn, &format!("ever-{key}")), Some(-1));

        let name = |what: &str| format!("{what}-{round}-{key}");
        set(conn, &name("soon"), now() + wrong_by + 1000);
        let soon = left(conn, &name("soon")).expect("it is for a thousand seconds");
        assert!((900..=1001).contains(&soon), "{soon} of 1000, the clock {wrong_by}");
        set(conn, &name("over"), now() + wrong_by - 1000);
        assert_eq!(left(conn, &name("over")), None);
    }
    assert!(figure(conn, "uptime") < 3000, "the node is younger");
    let brief = format!("brief-{round}");
    set(conn, &brief, 1);
    wait::until("a second to pass", || left(conn, &brief).is_none().then_some(()));
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    let Some(library) = library() else {
        return Err("libfaketime (Debian: faketime) is not installed");
    };
    let mut fleet = Fleet::new(3);
    let files = NODES.map(|node| fleet.file(&format!("clock-{node}"), "+0"));
    for node in NODES {
        fleet.write(node, &fleet.ring(1, &NODES));
        let ring = fleet.ring_path(node).to_str().expect("a plain path").to_owned();
        fleet.start_with(node, &ring, &[], |command| faked(command, &library, &files[node]));
    }
    fleet.await_settled(&NODES, 1);
    let keys: Vec<String> = NODES
        .iter()
        .flat_map(|&owner| fleet.keys_of(0, owner, "hour-", 3))
        .map(|key| key["hour-".len()..].to_owned())
        .collect();
    let mut conn = fleet.connect(0);
    for key in &keys {
        set(&mut conn, &format!("hour-{key}"), 3600);
        set(&mut conn, &format!("until-{key}"), now() + 7200);
        set(&mut conn, &format!("ever-{key}"), 0);
    }
    let memcached = Kind::Memcached.available().then(|| {
        let arguments = ["-l", "127.0.0.1", "-p", "-1"];
        let server = Server::start_on(Kind::Memcached, &arguments, |command| {
            faked(command, &library, &files[0]);
        });
        set(&mut server.connect(), "hour", 3600);
        server
    });
    let before = levels(&mut fleet);
    let (jumps, summary) = checked(&mut fleet, &plan(), |fleet, gauge| {
        let (start, mut jumps) = (Instant::now(), 0);
        while jumps < JUMPS.len() || goes_on(start, duration) {
            let (says, wrong_by) = JUMPS[jumps % JUMPS.len()];
            jumps += 1;
            let version = jumps as u64 + 1;
            for node in NODES {
                // Replaced atomically, since the nodes read it at any moment.
                let aside = format!("{}.new", files[node]);
                fs::write(&aside, says).expect("a temp file");
                fs::rename(&aside, &files[node]).expect("a rename");
                // One node after the other, so that their clocks differ by a day meanwhile.
                await_calendar(&mut fleet.connect(node), wrong_by);
                gauge.await_more(50);
            }
            for node in NODES {
                look(&mut fleet.connect(node), &keys, wrong_by, jumps * 3 + node);
            }
            // Handshakes, timers and the file watch keep working.
            fleet.write(0, &fleet.weighted(version, &[(0, 2), (1, 2), (2, 2)]));
            fleet.await_settled(&NODES, version);
            gauge.await_more(200);
            if let Some(server) = &memcached {
                let hour = left(&mut server.connect(), "hour").expect("memcached keeps it, too");
                assert!((3000..=3600).contains(&hour), "memcached: {hour}");
            }
        }
        jumps
    });
    assert_eq!((summary.errors, summary.broken), (0, 0), "{summary:?}");
    let held = back_to(&fleet, &before, 16);
    Ok(Row {
        fault: "the clock jumps by a day",
        done: format!(
            "{jumps} jumps forward and back, one node after the other, a ring and items with every \
             kind of exptime after each"
        ),
        summary,
        held: format!("no item went or stayed that should not; {held}"),
    })
}
