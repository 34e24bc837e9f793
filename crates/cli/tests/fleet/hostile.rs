//! Tests with nodes, files and names that attack the reader's terminal: every command prints only harmless
//! text.

use crate::command::{Place, Ran, command};
use crate::scripted::Script;

/// Characters that control a terminal or mislead a reader: C0, DEL, C1, changes of the writing direction, and
/// invisible characters.
const HOSTILE: &str = "\u{1b}[2J\u{1b}[31m\u{1b}]0;x\u{7}\u{8}\u{b}\u{7f}\u{80}\u{85}\u{9b}31m\u{9d}0;y\u{9c}\
                       \u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{202e}\u{2066}\u{feff}\u{e0041}";

/// Whether a character is safe for a terminal and a reader.
fn is_harmless(char: char) -> bool {
    let invisible = matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}')
        || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(char, '\u{e0000}'..='\u{e0fff}');
    matches!(char, '\n' | '\t') || !char.is_control() && !invisible
}

#[track_caller]
fn is_text(ran: &Ran, what: &str) {
    for text in [&ran.out, &ran.err] {
        let bad = text.chars().find(|&char| !is_harmless(char));
        assert!(bad.is_none(), "{what}: {bad:?} in {text:?}");
    }
}

/// Every command that asks nodes, as text and as JSON.
const COMMANDS: [&[&str]; 14] = [
    &["stats"],
    &["stats", "--all"],
    &["stats", "ring"],
    &["stats", "ring", "--all"],
    &["check"],
    &["top", "--once", "--interval", "0.1"],
    &["hot"],
    &["get", "a", "b"],
    &["set", "k", "v"],
    &["delete", "k", "l"],
    &["flush", "--yes"],
    &["refresh-certs"],
    &["get", "--node", "cache-a", "a"],
    &["stats", "--node", "no such node"],
];

/// Runs every command and checks its output.
#[track_caller]
fn look(script: &mut Script, what: &str) {
    let running = script.start();
    for words in COMMANDS {
        let ran = running.run(words);
        is_text(&ran, &format!("{what}: {words:?}"));
        let json = [words, &["--json"]].concat();
        let ran = running.run(&json);
        is_text(&ran, &format!("{what}: {json:?}"));
        if !ran.out.is_empty() {
            let parsed = serde_json::from_str::<serde_json::Value>(&ran.out);
            assert!(parsed.is_ok(), "{what}: {json:?}: {}", ran.out);
        }
    }
}

#[test]
fn answers_of_a_node() {
    for answer in [
        format!("SERVER_ERROR {HOSTILE}"),
        format!("CLIENT_ERROR {HOSTILE}"),
        format!("ERROR {HOSTILE}"),
        HOSTILE.to_owned(),
        format!("STAT {HOSTILE} {HOSTILE}\r\nSTAT a{HOSTILE} 1\r\nSTAT b {HOSTILE}\r\nEND"),
        format!("STAT 1:key {HOSTILE}\r\nSTAT 1:rate {HOSTILE}\r\nSTAT 1:share 0.5\r\nEND"),
        format!("VERSION {HOSTILE}"),
        format!("RING 7 {HOSTILE}"),
        format!("VALUE {HOSTILE} 0 1\r\nx\r\nEND"),
        format!("Error {HOSTILE}"),
    ] {
        let mut script = Script::new(2);
        for line in ["stats", "stats ring", "ring version", "version"] {
            script.answer(0, line, &answer);
        }
        script.otherwise(0, &answer);
        look(&mut script, &answer[..4]);
    }
}

#[test]
fn figures_of_a_node() {
    // Each value is tested separately: with all of them at once, many would not be shown.
    let names: Vec<String> = {
        let mut script = Script::new(3);
        let mut names = Vec::new();
        script.each_stat(0, |(name, _)| names.push(name.clone()));
        names
    };
    let commands: [&[&str]; 4] = [
        &["check"],
        &["check", "--json"],
        &["stats", "ring"],
        &["top", "--once", "--interval", "0.1"],
    ];
    for name in &names {
        for value in [HOSTILE.to_owned(), format!("away {HOSTILE}")] {
            let mut script = Script::new(3);
            script.set(0, name, &value);
            if name.ends_with(":reason") {
                script.set(0, &name.replace(":reason", ":state"), "away");
            }
            let running = script.start();
            for words in commands {
                is_text(&running.run(words), &format!("{name}: {words:?}"));
            }
        }
    }
    let mut script = Script::new(3);
    script.each_stat(0, |(name, value)| {
        name.push_str(HOSTILE);
        value.push_str(HOSTILE);
    });
    for name in ["ringbinder_version", "pid", "curr_items", "bytes", "uptime", HOSTILE] {
        script.general(0, name, HOSTILE);
    }
    look(&mut script, "all figures");
}

/// Hostile text in ring files, in their names, and on the command line.
#[test]
fn files_and_arguments() {
    let toml = |text: &str| text.replace("HOSTILE", "\\u001b[2J\\u009b31m\\u202e\\u200b\\u007f");
    let node = "version = 7\n[[node]]\nname = \"NAME\"\naddress = \"ADDRESS\"\n";
    let of =
        |name: &str, address: &str| toml(&node.replace("NAME", name).replace("ADDRESS", address));
    let texts = [
        of("HOSTILE", "127.0.0.1:9"),
        of("a", "HOSTILE:11211"),
        of("a", "127.0.0.1:HOSTILE"),
        toml(&format!("{}\n\"HOSTILE\" = 1\n", of("a", "127.0.0.1:9"))),
        toml(&format!("hash = \"HOSTILE\"\n{}", of("a", "127.0.0.1:9"))),
        format!("version = 7\n{HOSTILE} = 1\n"),
        format!("version = 7 {HOSTILE}\n"),
        format!("{{\"version\": {HOSTILE}}}"),
        // A valid node name except for a character outside ASCII.
        of("z\u{fc}rich", "127.0.0.1:9"),
    ];
    let commands: [&[&str]; 14] = [
        &["ring", "show"],
        &["ring", "show", "--json"],
        &["ring", "check"],
        &["ring", "owner", "a"],
        &["ring", "owner", HOSTILE],
        &["ring", "plan", "--add", "b=10.0.0.2:1"],
        &["ring", "plan", "--remove", HOSTILE],
        &["ring", "export", "--for", "pylibmc"],
        &["ring", "export", "--for", "haproxy"],
        &["ring", "export", "--for", "twemproxy"],
        &["ring", "add", "HOSTILE=10.0.0.2:1"],
        &["ring", "remove", HOSTILE],
        &["check"],
        &["get", "a"],
    ];
    for text in &texts {
        let place = Place::with(text);
        for words in commands {
            let words: Vec<String> =
                words.iter().map(|word| word.replace("HOSTILE", HOSTILE)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            is_text(&place.run(&words), &format!("{text:?}: {words:?}"));
        }
        for ending in ["yaml", "json"] {
            let name = format!("ring.{ending}");
            std::fs::write(place.path().join(&name), text).unwrap();
            is_text(&place.run(&["ring", "check", "--ring", &name]), &name);
        }
    }

    let place = Place::with(&texts[8]);
    let (file, url) = (format!("{HOSTILE}.toml"), format!("etcd://{HOSTILE}:1/{HOSTILE}"));
    for words in [
        &[HOSTILE][..],
        &["stats", HOSTILE],
        &["ring", HOSTILE],
        &["--color", HOSTILE, "stats"],
        &["stats", "--node", HOSTILE],
        &["get", HOSTILE],
        &["get", "a", "--tls-ca", HOSTILE],
        &["get", "a", "--tls", "--tls-name", HOSTILE],
        &["get", "a", "--auth-file", HOSTILE],
        &["ring", "show", "--ring", &file],
        &["ring", "show", "--ring", &url],
        &["ring", "add", HOSTILE],
        &["ring", "plan", "--add", HOSTILE],
        &["up", "--program", HOSTILE],
        &["up", "--ring", HOSTILE],
        &["bench", "replay", HOSTILE],
        &["bench", "compare", "--vs", HOSTILE],
        &["top", "--interval", HOSTILE],
    ] {
        for json in [&[][..], &["--json"]] {
            let words = [words, json].concat();
            is_text(&place.run(&words), &format!("{words:?}"));
        }
    }
    // If colours are forced, the only escape sequences are our own.
    let mut colored = command();
    colored.current_dir(place.path()).args(["--color", "always", "ring", "show", "--ring", &file]);
    let ran = Ran::of(&mut colored);
    let plain = ran.err.replace("\u{1b}[1m", "").replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
    assert!(plain.contains("\\u{1b}") || !plain.contains('\u{1b}'), "{ran:?}");
    assert!(!ran.err.contains("[2J") || ran.err.contains("\\u{1b}[2J"), "{ran:?}");
}
