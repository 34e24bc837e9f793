//! Tests with nodes that are unreachable, silent, or not nodes at all.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use ringbinder_tests::ring::{reserve_port, ring_file};

use crate::command::{Ran, rows};
use crate::{Ring, of};

#[test]
fn a_node_that_is_away_hides_nothing_of_the_others() {
    let mut ring = Ring::running(3);
    let keys: Vec<String> = (0..3).map(|node| ring.key_of(node)).collect();
    for key in &keys {
        ring.run(&["set", key, key]).succeeds();
    }
    ring.fleet.kill(1);
    let [a, b, c] = [&keys[0], &keys[1], &keys[2]];

    let ran = ring.run(&["get", a, b, b, c]);
    assert_eq!((ran.code, ran.out.as_str()), (69, format!("{a}\n{c}\n").as_str()));
    assert!(ran.err.contains("cache-1") && ran.err.contains("is unreachable"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    let ran = ring.run(&["get", a, b, "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, &json[0]["value"]), (69, &a.as_str().into()));
    assert!(
        json[1]["error"].as_str().unwrap().contains("is unreachable")
            && json[1].get("found").is_none()
    );

    ring.run(&["set", b, "v"]).fails(69, &["cache-1", "is unreachable"]);
    let ran = ring.run(&["delete", b, a, b]);
    assert_eq!((ran.code, ran.out.as_str()), (69, format!("deleted {a} on cache-0\n").as_str()));

    let ran = ring.run(&["stats"]);
    assert_eq!(ran.code, 69);
    assert!(ran.out.lines().any(|line| line.starts_with("items") && line.contains('-')), "{ran:?}");
    let ran = ring.run(&["flush", "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (69, "emptied cache-0\nemptied cache-2\n"));

    let ran = ring.run(&["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("cache-1") && ran.out.contains("take it out of the ring"), "{ran:?}");
    let json = ring.run(&["check", "--json"]).json();
    let states = [&json["nodes"][0]["state"], &json["nodes"][1]["state"]];
    assert_eq!((states, &json["agree"]), ([&"ok".into(), &"away".into()], &false.into()));
}

#[test]
fn where_all_nodes_are_away_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ring.toml");
    let ports = [reserve_port(), reserve_port()];
    let nodes = [("cache-a", ports[0], 1), ("cache-b", ports[1], 1)];
    std::fs::write(&file, ring_file(1, nodes)).unwrap();
    let run = |words: &[&str]| Ran::of(&mut of(file.to_str().unwrap(), words));
    for words in [&["stats"][..], &["flush", "--yes"], &["stats", "ring"]] {
        run(words).fails(69, &["no node of", "cache-a", "cache-b", " up --ring "]);
    }
    for words in [&["get", "k"][..], &["set", "k", "v"], &["delete", "k"]] {
        run(words).fails(69, &["is unreachable", " check --ring "]);
    }
    let ran = run(&["check"]);
    assert_eq!(ran.code, 69);
    assert_eq!(
        rows(&ran.out).iter().filter(|row| row.get(2) == Some(&"away")).count(),
        2,
        "{ran:?}"
    );
    assert!(ran.err.contains("no node of"), "{ran:?}");
    let ran = run(&["check", "--json"]);
    assert_eq!((ran.code, ran.json()["nodes"].as_array().unwrap().len()), (69, 2));
}

/// A ring of one node whose server runs `serve` on every connection. The server ends with the test.
pub(crate) fn impostor(serve: impl Fn(TcpStream) + Send + 'static) -> (tempfile::TempDir, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(&serve));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ring.toml");
    std::fs::write(&file, ring_file(1, [("cache-a", port, 1)])).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (directory, file)
}

#[test]
fn what_answers_nonsense_is_no_node() {
    let (_directory, file) = impostor(|mut stream| {
        let mut some = [0; 64];
        if stream.read(&mut some).is_ok_and(|len| len > 0) {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n500 what?\r\n");
        }
    });
    let run = |words: &[&str]| Ran::of(&mut of(&file, words));
    for words in
        [&["get", "k"][..], &["set", "k", "v"], &["delete", "k"], &["stats"], &["flush", "--yes"]]
    {
        run(words).fails(76, &["cache-a", "220 mail.example"]);
    }
    let ran = run(&["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("nonsense") && ran.out.contains("see what listens there"), "{ran:?}");
    assert_eq!(run(&["check", "--json"]).json()["nodes"][0]["state"], "nonsense");
}

#[test]
fn silence_is_waited_for_as_long_as_is_said() {
    let (_directory, file) = impostor(|stream| {
        std::thread::spawn(move || {
            let mut stream = stream;
            let mut some = [0; 64];
            while stream.read(&mut some).is_ok_and(|len| len > 0) {}
        });
    });
    let mut command = crate::command::command();
    let words = ["get", "k", "--ring", &file, "--timeout", "0.2"];
    Ran::of(command.args(words)).fails(69, &["no answer within 200ms"]);
    let mut command = crate::command::command();
    let ran = Ran::of(command.args(["get", "k", "--ring", &file, "--timeout", "never"]));
    assert_eq!(ran.code, 64);
}
