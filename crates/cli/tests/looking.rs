//! Tests of the commands that read a ring file, in a pipe.

mod command;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use command::{Place, RING, Ran, command, rows};
use ringbinder_ring::{Format, Ring, compare};

fn ring() -> Ring {
    Ring::parse(RING, Format::Toml, "it").unwrap()
}

#[test]
fn show_tells_every_node_and_its_share() {
    let place = Place::with(RING);
    let ran = place.run(&["ring", "show"]).succeeds();
    assert!(ran.out.starts_with("ring.toml  version 7, 3 nodes\n"), "{ran:?}");
    assert!(ran.out.contains(&format!("digest {:016x}, hash ketama", ring().id().digest)));
    assert!(!ran.out.contains('\x1b'), "{ran:?}");
    let same = compare(&ring(), &ring());
    let table = rows(&ran.out);
    assert_eq!(table[3], ["NODE", "ADDRESS", "WEIGHT", "KEYS"]);
    for (row, node) in table[4..].iter().zip(same.nodes()) {
        let share = format!("{:.2}%", node.after.fraction() * 100.0);
        let (address, weight) = (node.node.to_string(), node.node.weight.to_string());
        assert_eq!(row[..], [&*node.node.name, &*address, &*weight, &*share]);
    }

    let json = place.run(&["ring", "show", "--json"]).succeeds().json();
    assert_eq!(json["version"], 7);
    assert_eq!(json["digest"], format!("{:016x}", ring().id().digest));
    assert_eq!(json["nodes"][2]["address"], "10.0.0.3:11211");
    assert_eq!(json["nodes"][2]["points"], same.nodes()[2].after.points());
    assert_eq!(json["warnings"], serde_json::json!([]));
}

#[test]
fn the_ring_is_found_where_it_is_named() {
    let place = Place::with(RING);
    let other = Place::with(&RING.replace("version = 7", "version = 8"));
    let version = |ran: Ran| ran.succeeds().json()["version"].clone();
    let show = ["ring", "show", "--json"];
    assert_eq!(version(place.run(&show)), 7);
    assert_eq!(version(Ran::of(place.command(&show).env("RINGBINDER_RING", other.ring()))), 8);
    assert_eq!(version(Ran::of(place.command(&show).env("RINGBINDER_RING", ""))), 7);
    let named = ["ring", "show", "--json", "--ring", "ring.toml"];
    assert_eq!(version(Ran::of(place.command(&named).env("RINGBINDER_RING", other.ring()))), 7);
}

#[test]
fn without_a_ring_it_is_told_what_to_do() {
    let place = Place::with(RING);
    std::fs::remove_file(place.ring()).unwrap();
    place.run(&["ring", "show"]).fails(66, &["cannot find a ring", "--ring FILE"]);
    place
        .run(&["ring", "show", "--ring", "no.toml"])
        .fails(66, &["cannot find the ring file", "no.toml"]);
    place.run(&["ring", "show", "--ring", ""]).fails(64, &["no ring file is named"]);
    place.run(&["ring", "show", "--ring", "http://h/r"]).fails(64, &["cannot be read from http"]);
    let json = place.run(&["ring", "show", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((json.code, json.out.as_str(), &error["exit"]), (66, "", &66.into()));
}

#[cfg(not(feature = "etcd"))]
#[test]
fn a_ring_in_etcd_needs_a_build_for_it() {
    let place = Place::with(RING);
    let ran = place.run(&["ring", "show", "--ring", "etcd://127.0.0.1:1/ring.toml"]);
    ran.fails(69, &["built without etcd", "--features etcd"]);
}

#[test]
fn what_is_no_ring_is_bad_data() {
    for (text, said) in [
        ("", "is empty"),
        ("version = 1\n", "it has no node"),
        ("version = \n", "line 1"),
        ("version = 1\n[[node]]\nname = \"a\"\naddress = \"h:1\"\nport = 3\n", "port"),
    ] {
        let place = Place::with(text);
        for command in ["show", "check"] {
            place.run(&["ring", command]).fails(65, &["ring.toml", said]);
        }
    }
    let place = Place::with(RING);
    place.run(&["ring", "show", "--ring", "."]).fails(66, &["not a regular file"]);
}

#[test]
fn check_answers_by_its_code() {
    let place = Place::with(RING);
    let ran = place.run(&["ring", "check"]).succeeds();
    assert_eq!(ran.out, "ok ring.toml: version 7, 3 nodes\n");
    // A weight this small beside one this large owns no points.
    let place = Place::with(&RING.replace("weight = 2", "weight = 65535"));
    let ran = place.run(&["ring", "check"]);
    assert_eq!((ran.code, ran.out.matches("owns no key").count()), (1, 2), "{ran:?}");
    let ran = place.run(&["ring", "check", "--json"]);
    assert_eq!((ran.code, ran.json()["warnings"].as_array().unwrap().len()), (1, 2));
}

#[test]
fn owners_are_those_of_the_library() {
    let place = Place::with(RING);
    let ring = ring();
    let keys = ["user:1", "user:2", "schl\u{fc}ssel"];
    let words: Vec<&str> = ["ring", "owner"].into_iter().chain(keys).collect();
    let expected: String = keys
        .iter()
        .map(|key| (key, &ring.nodes()[ring.owner(key.as_bytes()) as usize]))
        .fold(String::new(), |text, (key, node)| format!("{text}{key}\t{}\t{node}\n", node.name));
    assert_eq!(place.run(&words).succeeds().out, expected);

    let json = Ran::of(place.command(&words).arg("--json")).succeeds().json();
    for (object, line) in json.as_array().unwrap().iter().zip(expected.lines()) {
        let [key, node, address] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(*object, serde_json::json!({"key": key, "node": node, "address": address}));
    }
}

#[test]
fn owners_of_any_number_of_keys_are_streamed() {
    let place = Place::with(RING);
    let ring = ring();
    let (mut input, mut expected) = (String::new(), String::new());
    for number in 0..50_000 {
        let key = format!("key:{number}");
        let node = &ring.nodes()[ring.owner(key.as_bytes()) as usize];
        let _ = writeln!(input, "{key}\r");
        let _ = writeln!(expected, "{key}\t{}\t{node}", node.name);
    }
    let ran = Ran::fed(&mut place.command(&["ring", "owner", "-"]), input.as_bytes()).succeeds();
    assert!(ran.out == expected);
    let mut json = place.command(&["ring", "owner", "--json", "-", "last"]);
    let json = Ran::fed(&mut json, input.as_bytes()).succeeds().json();
    assert_eq!(json.as_array().unwrap().len(), 50_001);
    let none = Ran::fed(&mut place.command(&["ring", "owner", "--json", "-"]), b"").succeeds();
    assert_eq!(none.json(), serde_json::json!([]));
}

#[test]
fn keys_that_memcached_would_not_take_are_refused() {
    let place = Place::with(RING);
    let long = "k".repeat(251);
    for (key, said) in
        [("", "empty"), ("a b", "a space"), ("a\tb", "control"), (&long, "250 bytes")]
    {
        place.run(&["ring", "owner", "good", key]).fails(65, &["key 2", said]);
    }
    place.run(&["ring", "owner", &long[..250]]).succeeds();
    for (input, line, said) in [
        ("a\n\nb\n".to_owned(), "line 2", "empty"),
        (format!("a\nb\n{}", "k".repeat(1 << 20)), "line 3", "250 bytes"),
    ] {
        let ran = Ran::fed(&mut place.command(&["ring", "owner", "-"]), input.as_bytes());
        assert_eq!(ran.code, 65, "{line}");
        assert!(ran.err.contains(line) && ran.err.contains(said), "{}", ran.err);
    }
}

#[test]
fn a_plan_shows_what_would_move_and_changes_nothing() {
    let place = Place::with(RING);
    let plan = ["ring", "plan", "--add", "cache-d=10.0.0.4:11211*2", "--remove", "cache-b"];
    let ran = place.run(&[&plan[..], &["--weight", "cache-a=3", "--json"]].concat()).succeeds();
    let json = ran.json();
    assert_eq!((&json["before"]["version"], &json["after"]["version"]), (&7.into(), &8.into()));
    let changes: Vec<_> = json["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["name"].as_str().unwrap(), node["change"].as_str().unwrap()))
        .collect();
    assert_eq!(
        changes,
        [("cache-a", "weight"), ("cache-c", "kept"), ("cache-d", "added"), ("cache-b", "removed")]
    );
    let sum = |list: &str, part: &dyn Fn(&serde_json::Value) -> u64| -> u64 {
        json[list].as_array().unwrap().iter().map(part).sum()
    };
    let side = |side: &'static str| {
        move |node: &serde_json::Value| node[side]["points"].as_u64().unwrap_or_default()
    };
    assert_eq!((sum("nodes", &side("before")), sum("nodes", &side("after"))), (1 << 32, 1 << 32));
    assert_eq!(sum("moves", &|step| step["points"].as_u64().unwrap()), json["moved"]["points"]);
    let text = place.run(&plan).succeeds().out;
    assert!(text.starts_with("ring.toml  version 7 -> 8, "), "{text}");
    assert!(rows(&text).iter().any(|row| row[..].starts_with(&[
        "cache-d",
        "10.0.0.4:11211",
        "2",
        "-"
    ])));
    assert_eq!(place.text(), RING);
    // A node may return at another address.
    place
        .run(&["ring", "plan", "--remove", "cache-b", "--add", "cache-b=10.0.0.9:11211"])
        .succeeds();
}

#[test]
fn a_plan_draws_a_picture() {
    let place = Place::with(RING);
    let plan = ["ring", "plan", "--add", "cache-d=10.0.0.4:11211", "--svg"];
    place.run(&[&plan[..], &["plan.svg"]].concat()).succeeds();
    let svg = std::fs::read_to_string(place.path().join("plan.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    place.run(&[&plan[..], &["no/plan.svg"]].concat()).fails(73, &["cannot write no/plan.svg"]);
}

#[test]
fn a_configuration_is_exported_as_it_is_or_within_json() {
    let place = Place::with(RING);
    let text = place.run(&["ring", "export", "--for", "twemproxy"]).succeeds().out;
    assert!(text.contains("10.0.0.3:11211:2"), "{text}");
    let json = place.run(&["ring", "export", "--for", "twemproxy", "--json"]).succeeds().json();
    assert_eq!(json["configuration"], text);
    place.run(&["ring", "export", "--for", "json"]).succeeds().json();
}

#[test]
fn what_cannot_be_printed_is_told() {
    let place = Place::with(RING);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let child = place.command(&["ring", "show"]).stdout(full).stderr(Stdio::piped()).spawn();
    let ran = Ran::from(child.unwrap().wait_with_output().unwrap());
    ran.fails(74, &["cannot print"]);
}

#[test]
fn a_wrong_command_line_is_told() {
    let place = Place::with(RING);
    for words in [
        &["ring", "plan"][..],
        &["ring", "nonsense"],
        &["ring", "plan", "--add", "x"],
        &["ring", "add", "x=h:1*70000"],
        &["ring", "weight", "cache-a", "x"],
        &["ring", "weight", "cache-a", "-1"],
        &["ring", "owner"],
        &["ring", "export", "--for", "cobol"],
        &[],
    ] {
        let ran = place.run(words);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{words:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{words:?}");
    }
    let help = place.run(&["--help"]).succeeds().out;
    for code in ["64  invalid command line", "75  another process", "77  a permission"] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::with(RING);
    let mut owner = place.command(&["ring", "owner", "-"]);
    let pipes = owner.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        use std::io::Write as _;
        // Writes as long as the command reads. It ends by itself after the reader of its output is gone.
        while stdin.write_all(b"some:key\n").is_ok() {}
    });
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("some:key\t"));
    let ran = Ran::from(child.wait_with_output().unwrap());
    feeder.join().unwrap();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn colors_are_there_where_they_are_asked_for() {
    let place = Place::with(RING);
    let show = ["ring", "show"];
    let colored = |ran: Ran| ran.out.contains('\x1b') || ran.err.contains('\x1b');
    assert!(!colored(place.run(&show)));
    assert!(colored(place.run(&["ring", "show", "--color", "always"])));
    assert!(!colored(place.run(&["nonsense"])));
    assert!(colored(place.run(&["--color=always", "nonsense"])));
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let names = |command: &clap::Command| -> Vec<String> {
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect()
    };
    let place = Place::with(RING);
    place.run(&["man", "--out", "man"]).succeeds();
    let command_line = ringbinder_cli::command();
    for name in names(&command_line) {
        let page = place.path().join(format!("man/ringbinder-{name}.1"));
        assert!(page.exists(), "{}", page.display());
        let page = place.run(&["man"]).succeeds().out;
        let escaped = name.replace('-', "\\-");
        assert!(page.contains(&format!("ringbinder\\-{escaped}(1)")), "{page}");
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = place.run(&["completions", shell]).succeeds().out;
            assert!(script.contains(&name), "{shell}");
        }
    }
}

#[test]
fn bash_completes_by_the_script() {
    let place = Place::with(RING);
    let script = place.run(&["completions", "bash"]).succeeds().out;
    std::fs::write(place.path().join("completions"), script).unwrap();
    let ask = "source ./completions; COMP_WORDS=(ringbinder ring o); COMP_CWORD=2; \
               _ringbinder ringbinder o ring; echo \"${COMPREPLY[@]}\"";
    let mut bash = std::process::Command::new("bash");
    let ran = Ran::of(bash.current_dir(place.path()).args(["--norc", "-c", ask])).succeeds();
    assert_eq!(ran.out, "owner\n");
}

#[test]
fn the_version_is_printed() {
    let ran = Ran::of(command().arg("--version")).succeeds();
    assert_eq!(ran.out, format!("ringbinder {}\n", env!("CARGO_PKG_VERSION")));
}
