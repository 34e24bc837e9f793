//! Tests of `top` and `hot` with real nodes under load.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{process, wait};

use crate::absent::impostor;
use crate::command::Ran;
use crate::pty::{COLUMNS, LINES, Terminal};
use crate::{Ring, of};

/// A thread that gets one key from one node until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn of(ring: &Ring, node: usize, key: &str) -> Load {
        let mut conn = ring.fleet.connect(node);
        let stop = Arc::new(AtomicBool::new(false));
        let requests = format!("{}mn\r\n", format!("get {key}\r\n").repeat(100));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    conn.send(&requests);
                    conn.take_until(b"MN\r\n");
                }
            }
        });
        Load { stop, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The node may be gone, which is the subject of the test.
            let _ = thread.join();
        }
    }
}

/// The words of a node's row.
fn row(screen: &vt100::Screen, node: usize) -> Option<Vec<String>> {
    let text = screen.contents();
    let name = format!("cache-{node}");
    // The table is above all other text with names of nodes.
    let table = text.lines().skip_while(|line| !line.starts_with("  NODE")).skip(1);
    let words = table.map(|line| line.trim_start_matches('>').split_whitespace());
    let mut words = words.map(|words| words.map(str::to_owned).collect::<Vec<_>>());
    words.find(|words| words.first() == Some(&name))
}

fn state(screen: &vt100::Screen, node: usize) -> Option<String> {
    row(screen, node)?.get(1).cloned()
}

/// Whether the rate columns have numbers, and there are gets.
fn is_busy(screen: &vt100::Screen, node: usize) -> bool {
    row(screen, node).is_some_and(|row| row[1] == "ok" && row[3] != "-" && row[3] != "0")
}

#[test]
fn a_ring_at_work_is_watched_to_the_end() {
    let mut ring = Ring::running(3);
    let key = ring.key_of(0);
    ring.run(&["set", &key, "v"]).succeeds();
    let load = Load::of(&ring, 0, &key);
    let mut terminal = Terminal::start(&ring.command(&["top", "--interval", "0.2"]));
    terminal.until("all nodes with their rates", |screen| {
        let idle = |node| row(screen, node).is_some_and(|row| row[1] == "ok" && row[3] == "0");
        (is_busy(screen, 0) && idle(1) && idle(2)).then_some(())
    });
    assert!(terminal.look(|screen| screen.alternate_screen() && screen.hide_cursor()));
    terminal.until("the hot key, and a latency", |screen| {
        let text = screen.contents();
        let hot = text.lines().any(|line| line.contains("cache-0") && line.contains(&key));
        let slow = row(screen, 0).is_some_and(|row| row[8].ends_with('s'));
        (hot && slow && text.contains("100%")).then_some(())
    });

    // A dead node is shown as such and hides no information about the others.
    ring.fleet.kill(1);
    terminal.until("the node to be away, and the load to go on", |screen| {
        let others = is_busy(screen, 0) && state(screen, 2)? == "ok";
        (others && state(screen, 1)? == "away").then_some(())
    });
    terminal.until_text("1 away");
    terminal.until_text("cache-1 is away: ");

    for (columns, lines) in [(60, 15), (200, 50), (COLUMNS, LINES)] {
        terminal.resize(columns, lines);
        terminal.until("a picture of this size", |screen| {
            let text = screen.contents();
            let last = text.lines().nth(usize::from(lines) - 1)?;
            let all = (0..3).all(|node| row(screen, node).is_some());
            let wide = text.contains("VERSION") == (columns == 200);
            (last.starts_with("q quit") && all && wide && text.contains(&key)).then_some(())
        });
    }

    terminal.press("\x1b[B");
    terminal.until_text("> cache-1");
    terminal.press("\t");
    terminal.until_text("> cache-2");
    terminal.press("\x1b[Z");
    terminal.until_text("> cache-1");
    terminal.press("s");
    terminal.until_text("s sort: requests");
    terminal.press("p");
    terminal.until_text("PAUSED");
    terminal.press("p+");
    terminal.until_text("every 0.5s");
    terminal.press("?");
    terminal.until_text("A dash is what a node does not say.");
    terminal.press("?q");
    let (code, text) = terminal.end();
    assert_eq!((code, text.as_str()), (0, ""));
    drop(load);
}

#[test]
fn the_terminal_is_given_back_whatever_ends_the_view() {
    let ring = Ring::running(1);
    let own_screen = |screen: &vt100::Screen| {
        (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
    };
    let end: [fn(&mut Terminal); 3] = [
        |terminal| terminal.press("\x03"),
        |terminal| process::signal(terminal.pid(), Signal::SIGTERM),
        |terminal| process::signal(terminal.pid(), Signal::SIGHUP),
    ];
    for end in end {
        let mut terminal = Terminal::start(&ring.command(&["top"]));
        terminal.until_text("cache-0");
        end(&mut terminal);
        terminal.until("the terminal's own screen", own_screen);
        assert_eq!(terminal.end().0, 0);
    }
    // Ctrl-Z restores the terminal for a while.
    let mut terminal = Terminal::start(&ring.command(&["top"]));
    terminal.until_text("cache-0");
    terminal.press("\x1a");
    terminal.until("the terminal's own screen", own_screen);
    let pid = terminal.pid();
    wait::until("the command to stand still", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().starts_with('T').then_some(())
    });
    process::signal(pid, Signal::SIGCONT);
    terminal.until("the view again", |screen| {
        (screen.alternate_screen() && screen.contents().contains("cache-0")).then_some(())
    });
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_node_that_joins_the_ring_file_is_shown() {
    let ring = Ring::running(2);
    let one = ring.fleet.file("one.toml", &ring.fleet.ring(1, &[0]));
    let mut terminal = Terminal::start(&of(&one, &["top", "--interval", "0.2"]));
    terminal.until_text("1 node  ");
    std::fs::write(&one, ring.fleet.ring(2, &[0, 1])).unwrap();
    terminal.until("the second node", |screen| (state(screen, 1)? == "ok").then_some(()));
    // The nodes have not received version 2.
    terminal.until_text("ring 2 is the newest, but cache-0 holds 1");
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn without_a_terminal_there_is_a_table_or_json() {
    let mut ring = Ring::running(2);
    ring.run(&["top"]).fails(64, &["--once", "--json"]);
    let keys = [ring.key_of(0), ring.key_of(1)];
    let _load = [Load::of(&ring, 0, &keys[0]), Load::of(&ring, 1, &keys[1])];
    let ran = ring.run(&["top", "--once", "--interval", "0.3"]).succeeds();
    assert!(ran.out.starts_with("NODE"), "{ran:?}");
    assert!(ran.out.contains("hot keys, last") && ran.out.contains(&keys[0]), "{ran:?}");
    ring.fleet.kill(1);
    let json = ring.run(&["top", "--json", "--interval", "0.3"]).succeeds().json();
    let nodes = json["nodes"].as_array().unwrap();
    assert_eq!((&nodes[0]["state"], &nodes[1]["state"]), (&"ok".into(), &"away".into()));
    assert!(nodes[0]["per_second"]["gets"].as_f64().unwrap() > 0.0, "{json}");
    assert!(nodes[0]["p99_us"].as_f64().unwrap() > 0.0, "{json}");
    assert_eq!(json["hot_keys"][0]["key"], keys[0].as_str());
    ring.fleet.kill(0);
    let ran = ring.run(&["top", "--once", "--interval", "0.1"]);
    assert!(ran.code == 69 && ran.out.contains("away") && ran.err.contains("no node"), "{ran:?}");
}

#[test]
fn gets_that_no_owner_answers_are_in_the_ratio_and_have_a_column() {
    let mut ring = Ring::running(2);
    let keys = [ring.key_of(0), ring.key_of(1)];
    ring.run(&["set", &keys[0], "v"]).succeeds();
    ring.fleet.kill(1);
    // All requests go to one node. It finds its own key. The owner of the other key, which half of the gets
    // request, does not answer.
    let _load = [Load::of(&ring, 0, &keys[0]), Load::of(&ring, 0, &keys[1])];
    let json = wait::until("the failures to be counted", || {
        let json = ring.run(&["top", "--json", "--interval", "0.5"]).succeeds().json();
        (json["nodes"][0]["per_second"]["failed_gets"].as_f64()? > 0.0).then_some(json)
    });
    let node = &json["nodes"][0];
    let rate = |name: &str| node["per_second"][name].as_f64().unwrap();
    let (hits, failed) = (rate("hits"), rate("failed_gets"));
    assert!(hits > 0.0 && rate("gets") == hits && rate("failed") == failed, "{json}");
    for ratio in [&node["hit_ratio"], &json["hit_ratio"]] {
        let ratio = ratio.as_f64().unwrap();
        assert!((ratio - hits / (hits + failed)).abs() < 1e-9, "{ratio}: {json}");
    }
    let ran = ring.run(&["top", "--once", "--interval", "0.5"]).succeeds();
    assert!(ran.out.contains("FAIL/S"), "{ran:?}");
    assert!(ran.out.contains("% of gets miss because no owner answers"), "{ran:?}");
    let mut terminal = Terminal::start(&ring.command(&["top", "--interval", "0.2"]));
    terminal.until("the failures", |screen| {
        let failed = row(screen, 0)?.get(9)?.clone();
        (screen.contents().contains("FAIL/S") && failed != "0" && failed != "-").then_some(())
    });
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);

    // The overview has both figures, and the ratio is the client's.
    let ran = ring.run(&["stats", "--node", "cache-0"]).succeeds();
    let rows = crate::command::rows(&ran.out);
    let cell = |name: &str| rows.iter().find(|row| row.join(" ").starts_with(name)).unwrap().last();
    assert!(!["0", "-"].contains(cell("failed gets").unwrap()), "{ran:?}");
    assert!(!["0", "-"].contains(cell("failed requests").unwrap()), "{ran:?}");
    assert!(!["100%", "-"].contains(cell("hit ratio").unwrap()), "{ran:?}");
}

/// Answers like a node that has been replaced and sees further problems. Its texts attack the terminal.
fn displaced(mut stream: TcpStream) {
    let mut some = [0; 512];
    while let Ok(len @ 1..) = stream.read(&mut some) {
        let lines = String::from_utf8_lossy(&some[..len]).into_owned();
        for line in lines.lines() {
            let answer = match line {
                "stats" => "STAT ringbinder_version 1\u{9b}31m\r\nSTAT pid 1\r\nEND\r\n",
                "stats ring" => {
                    "STAT ring_version 1\r\nSTAT ring_digest 0000000000000000\r\nSTAT ring_standing replaced\r\n\
                     STAT ring_standing_reason \u{9b}31mits address leads to another process\r\n\
                     STAT ring_drift ring.toml has ring 2\u{9b}5m\r\n\
                     STAT peer:cache-a:rival 00000000000000ff\r\n\
                     STAT peer:cache-z:state away\r\nSTAT peer:cache-z:reason it is late\r\nEND\r\n"
                }
                _ => "ERROR\r\n",
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_node_that_is_replaced_is_marked_and_its_words_are_harmless() {
    let (_directory, file) = impostor(displaced);
    let words = ["top", "--once", "--interval", "0.1"];
    let ran = Ran::of(&mut of(&file, &words)).succeeds();
    assert!(ran.out.contains(" replaced "), "{ran:?}");
    for sentence in [
        "cache-a is replaced: \\u{9b}31mits address leads to another process",
        "two processes claim to be cache-a, as cache-a see it",
        "cache-a: ring.toml has ring 2\\u{9b}5m",
    ] {
        assert!(ran.out.contains(sentence), "{sentence}: {ran:?}");
    }
    let ran = Ran::of(&mut of(&file, &["top", "--json", "--interval", "0.1"])).succeeds();
    let json = ran.json();
    let node = &json["nodes"][0];
    assert_eq!((&node["state"], &node["standing"]), (&"replaced".into(), &"replaced".into()));
    assert_eq!(node["disputed_by"], serde_json::json!(["cache-a"]));
    assert_eq!(node["drift"], "ring.toml has ring 2\\u{9b}5m");
    let unreached = serde_json::json!([{ "node": "cache-z", "reason": "it is late" }]);
    assert_eq!(node["unreached"], unreached);
    // `stats` shows the texts unchanged except for control characters.
    for words in [&["stats"][..], &["stats", "--all"], &["stats", "ring"], &["stats", "--json"]] {
        let ran = Ran::of(&mut of(&file, words)).succeeds();
        assert!(!ran.out.contains('\u{9b}'), "{ran:?}");
        assert!(ran.out.contains("9b}") || ran.out.contains("\\u009b"), "{ran:?}");
    }
}

#[test]
fn the_hottest_keys_of_a_ring_are_listed() {
    let ring = Ring::running(2);
    let none = ring.run(&["hot"]).succeeds();
    assert!(none.out.is_empty() && none.err.contains("no key"), "{none:?}");
    let keys = [ring.key_of(0), ring.key_of(1)];
    let load = [Load::of(&ring, 0, &keys[0]), Load::of(&ring, 1, &keys[1])];
    let json = wait::until("both keys to be sampled", || {
        let json = ring.run(&["hot", "--json"]).succeeds().json();
        (json["keys"].as_array()?.len() == 2).then_some(json)
    });
    drop(load);
    assert_eq!(json["nodes"][1]["node"], "cache-1");
    let shares: f64 = [0, 1].iter().map(|&at| json["keys"][at]["share"].as_f64().unwrap()).sum();
    assert!((0.9..=1.1).contains(&shares), "{json}");
    let ran = ring.run(&["hot", "-n", "1"]).succeeds();
    assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
    let ran = ring.run(&["hot", "--node", "cache-1"]).succeeds();
    assert!(ran.out.contains(&keys[1]) && !ran.out.contains(&format!(" {}\n", keys[0])), "{ran:?}");

    let fleet = Fleet::running(1, &["-X"]);
    let file = fleet.file("all.toml", &fleet.ring(1, &[0]));
    Ran::of(&mut of(&file, &["hot"])).fails(1, &["refused", "stats hotkeys not allowed"]);
}

/// Answers each request like a node whose keys and version attack the terminal.
fn malicious(mut stream: TcpStream) {
    let mut some = [0; 512];
    while let Ok(len @ 1..) = stream.read(&mut some) {
        let lines = String::from_utf8_lossy(&some[..len]).into_owned();
        for line in lines.lines() {
            let answer = match line {
                "stats" => "STAT version \x1b]0;owned\x07\r\nSTAT pid 1\r\nEND\r\n",
                "stats hotkeys" => {
                    "STAT window_seconds 9\r\nSTAT 1:key \x1b[2J\u{202e}%1B[31m\r\n\
                     STAT 1:rate 5\r\nSTAT 1:share 1\r\nEND\r\n"
                }
                "stats ring" => "STAT ring_version 1\r\nSTAT ring_digest \x1b[5m\r\nEND\r\n",
                _ => "ERROR\r\n",
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

#[test]
fn nothing_that_a_node_says_can_steer_the_terminal() {
    let (_directory, file) = impostor(malicious);
    for words in [&["hot"][..], &["top", "--once", "--interval", "0.1"]] {
        let ran = Ran::of(&mut of(&file, words)).succeeds();
        assert!(ran.out.contains("%1B[2J%E2%80%AE%1B[31m"), "{ran:?}");
        assert!(!ran.out.contains(['\x1b', '\u{202e}', '\x07']), "{ran:?}");
    }
    let mut terminal = Terminal::start(&of(&file, &["top"]));
    terminal.until_text("%1B[2J%E2%80%AE%1B[31m");
    terminal.until_text("\\u{1b}]0;owned");
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}
