//! Tests of `ringbinder bench` against ringbinderd alone: its output and counts, but never its speed.

mod command;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use command::{Place, Ran};
use nix::sys::signal::Signal;
use ringbinder_tests::{Kind, Server, process, wait};
use serde_json::Value;

/// Runs a benchmark in its own directory. ringbinderd is the measured server, and also the one it is compared
/// with.
fn bench(place: &Place, words: &[&str]) -> Command {
    let program = node();
    let program = program.to_str().unwrap();
    let mut command = place.command(&["bench"]);
    command.args(words).args(["--ringbinderd", program]);
    if !words.contains(&"--vs") {
        command.args(["--vs", program]);
    }
    command
}

fn node() -> PathBuf {
    std::path::absolute(Kind::Ringbinder.program()).unwrap()
}

/// Ten requests. Five of them are hits if everything fits.
const TRACE: &str =
    "time,id,size\n1,1,10\n2,2,20\n3,1,10\n4,3,0\n5,2,20\n6,1,10\n7,3,0\n8,4,5\n9,5,5\n10,5,5\n";

fn with_trace() -> Place {
    let place = Place::with("");
    fs::write(place.path().join("t.csv"), TRACE).unwrap();
    place
}

fn outcomes(data: &Value) -> &Vec<Value> {
    data["outcomes"].as_array().unwrap()
}

#[test]
fn a_trace_is_replayed_on_both_servers() {
    let place = with_trace();
    let replay = ["replay", "t.csv", "-m", "64", "--json", "out.json"];
    let ran = Ran::of(&mut bench(&place, &replay)).succeeds();
    let data: Value =
        serde_json::from_slice(&fs::read(place.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(outcomes(&data).len(), 2);
    for outcome in outcomes(&data) {
        assert_eq!((&outcome["requests"], &outcome["hits"]), (&10.into(), &5.into()), "{data}");
        assert_eq!(outcome["hit_ratio"], 0.5);
        assert_eq!((&outcome["items"], &outcome["evictions"]), (&5.into(), &0.into()));
        assert_eq!((&outcome["bytes"], &outcome["hit_bytes"]), (&85.into(), &45.into()));
        assert!(outcome["resident"].as_u64() <= outcome["resident_peak"].as_u64());
        assert!(outcome["resident"].as_u64().unwrap() > 1 << 20, "{data}");
    }
    let line = |name: &str| {
        let line = ran.out.lines().find(|line| line.starts_with(&format!("| {name} "))).unwrap();
        line.split('|').map(str::trim).map(str::to_owned).collect::<Vec<_>>()
    };
    for name in ["ringbinderd", "ringbinderd-2"] {
        assert_eq!(line(name)[2..6], ["64", "10", "5", "0.5000"], "{}", ran.out);
    }
    assert!(ran.err.contains("ringbinderd-2 -m 64:\n"), "{}", ran.err);
}

#[test]
fn the_formats_say_the_same() {
    let place = with_trace();
    let (mut bin, mut oracle) = (Vec::new(), Vec::new());
    for line in TRACE.lines().skip(1) {
        let cells: Vec<u64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let [time, size] = [cells[0], cells[2]].map(|it| u32::try_from(it).unwrap());
        bin.extend([&cells[1].to_le_bytes()[..], &size.to_le_bytes()].concat());
        oracle.extend([&time.to_le_bytes()[..], &cells[1].to_le_bytes()].concat());
        oracle.extend([&size.to_le_bytes()[..], &(-1i64).to_le_bytes()].concat());
    }
    fs::write(place.path().join("t.bin"), &bin).unwrap();
    fs::write(place.path().join("t.oracleGeneral"), &oracle).unwrap();
    fs::write(place.path().join("plain"), &oracle).unwrap();
    for words in [
        &["replay", "t.bin"][..],
        &["replay", "t.oracleGeneral"],
        &["replay", "plain", "--format", "oracleGeneral"],
        &["replay", "t.csv", "--multiply", "1000"],
    ] {
        let data = Ran::of(bench(&place, words).args(["--json", "-"])).succeeds().json();
        for outcome in outcomes(&data) {
            assert_eq!((&outcome["hits"], &outcome["misses"]), (&5.into(), &5.into()), "{data}");
        }
    }
}

#[test]
fn a_server_that_runs_is_replayed_on_and_left_alone() {
    let place = with_trace();
    let mut server = Server::start(Kind::Ringbinder, &["-m", "64"]);
    let address = server.address().to_string();
    let words = ["replay", "t.csv", "--vs", &address, "--limit", "3", "--json", "-"];
    let data = Ran::of(&mut bench(&place, &words)).succeeds().json();
    let first = &outcomes(&data)[0];
    assert_eq!((&first["server"], &first["requests"]), (&address.clone().into(), &3.into()));
    assert_eq!((&first["hits"], &first["memory_limit_mb"]), (&1.into(), &Value::Null));
    // The process is on this machine.
    assert!(first["resident_peak"].as_u64().unwrap() > 1 << 20, "{data}");
    assert!(server.running());
    // The server already holds items, so the result is flagged and the exit code is 1.
    let ran = Ran::of(&mut bench(&place, &words));
    assert_eq!((ran.code, &outcomes(&ran.json())[0]["items_before"]), (1, &2.into()));
}

#[test]
fn loads_are_compared_and_drawn() {
    let place = Place::with("");
    let words = ["compare", "--only", "get-p1-32,hot-p32-32", "--seconds", "1", "--rounds", "1"];
    let files = ["--generator", "own", "--json", "out.json", "--svg", "out.svg"];
    let ran = Ran::of(bench(&place, &words).args(files)).succeeds();
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let data: Value = serde_json::from_str(&read("out.json")).unwrap();
    let loads = data["loads"].as_array().unwrap();
    let names: Vec<&str> = loads.iter().map(|load| load["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["get-p1-32", "hot-p32-32-t2"]);
    for load in loads {
        for server in ["ringbinderd", "ringbinderd-2"] {
            let run = &load["runs"][server][0];
            assert!(run["requests"].as_u64().unwrap() > 0, "{load}");
            assert_eq!((&run["misses"], &run["trouble"]), (&0.into(), &Value::Null), "{load}");
            assert!(run["cpu_per_request"].as_f64().unwrap() > 0.0, "{load}");
        }
        assert!(load["ringbinderd_to"]["ringbinderd-2"]["per_second"]["median"].is_f64());
        assert!(ran.out.contains(&format!("\n| {} ", load["name"].as_str().unwrap())));
    }
    assert_eq!((&loads[0]["threads"], &loads[1]["threads"]), (&1.into(), &2.into()));
    assert_eq!(loads[1]["load"]["keys"], 1);
    let svg = read("out.svg");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("class=\"one\"").count(), 3);
    assert!(names.iter().all(|name| svg.contains(&format!(">{name}</text>"))), "{svg}");
}

#[test]
fn memory_is_measured_of_every_server() {
    let place = Place::with("");
    let words = ["memory", "--items", "20000", "--values", "100", "-c", "50", "--json", "-"];
    let data = Ran::of(&mut bench(&place, &words)).succeeds().json();
    let bytes = &data["per_item"][0]["bytes_beyond_key_and_value"];
    assert!(bytes["ringbinderd"].is_f64() && bytes["ringbinderd-2"].is_f64(), "{data}");
    assert_eq!(data["per_idle_connection"][0]["connections"], 50);
    let server = Server::start(Kind::Ringbinder, &[]);
    let address = server.address().to_string();
    Ran::of(&mut bench(&place, &["memory", "--vs", &address])).fails(64, &["afresh", &address]);
}

#[test]
fn hostile_inputs_are_measured_of_every_server_and_held_to_their_aims() {
    let place = Place::with("");
    let words = ["memory", "--hostile", "--only", "announced,flushed", "--json", "-"];
    let ran = Ran::of(&mut bench(&place, &words));
    let data: Value = serde_json::from_str(&ran.out).unwrap();
    let figures = data["figures"].as_array().unwrap();
    let names: Vec<_> = figures.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["announced", "announced", "flushed", "flushed"]);
    for figure in figures {
        let measured = &figure["measured"];
        assert!(measured["ringbinderd"].is_f64() && measured["ringbinderd-2"].is_f64(), "{data}");
        assert!(figure["aim"]["at_most"].is_f64() || figure["aim"]["at_least"].is_f64(), "{data}");
    }
    // The exit code reports a figure that misses its aim.
    assert_eq!(ran.code, i32::from(figures.iter().any(|it| it["holds"] == false)), "{ran:?}");
    let fails = |words: &[&str], said: &[&str]| Ran::of(&mut bench(&place, words)).fails(64, said);
    fails(&["memory", "--hostile", "--only", "kind"], &["no hostile input", "half-sent"]);
}

#[test]
fn who_is_at_fault_is_told() {
    let place = with_trace();
    fs::write(place.path().join("bad.csv"), "1,2,3\n4,5\n").unwrap();
    fs::write(place.path().join("empty.bin"), "").unwrap();
    let fails = |words: &[&str], code, said: &[&str]| {
        let ran = Ran::of(&mut bench(&place, words));
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
        let last = ran.err.lines().last().unwrap();
        assert!(last.starts_with("ringbinder: "), "{ran:?}");
        assert!(said.iter().all(|words| last.contains(words)), "{ran:?}");
    };
    fails(&["replay", "no.csv"], 66, &["cannot read no.csv"]);
    fails(&["replay", "bad.csv"], 65, &["bad.csv, line 2"]);
    fails(&["replay", "empty.bin"], 65, &["empty.bin holds no request"]);
    fails(&["replay", "ring.toml"], 64, &["--format"]);
    fails(&["replay", "t.csv", "--json", "no/out.json"], 73, &["cannot write no/out.json"]);
    fails(&["replay", "t.csv", "--vs", "no-such-server"], 69, &["no-such-server is not on the"]);
    fails(&["replay", "t.csv", "--vs", "127.0.0.1:1"], 69, &["no server answers at 127.0.0.1:1"]);
    fails(&["compare", "--only", "put"], 64, &["no load is named like put", "get-p1-32"]);
    let ran = Ran::of(bench(&place, &["replay", "no.csv"]).args(["--json", "-"]));
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.code, &error["exit"]), (66, &66.into()));
}

#[test]
fn an_interrupted_benchmark_says_so() {
    let place = Place::with("");
    let words = ["compare", "--only", "get-p1-32", "--seconds", "600", "--generator", "own"];
    let log = place.path().join("log");
    let mut command = bench(&place, &words);
    command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    // By this time the servers hold all keys.
    wait::until("the load to begin", || said().contains("\nget-p1-32\n").then_some(()));
    process::signal(child.id(), Signal::SIGINT);
    let status = wait::until("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130), "{}", said());
    assert!(said().ends_with("ringbinder: interrupted; the servers are stopped\n"), "{}", said());
}

#[test]
fn what_nobody_types_is_nowhere_offered() {
    let place = Place::with("");
    let mut texts = vec![place.run(&["bench", "--help"]).succeeds().out];
    for shell in ["bash", "zsh", "fish"] {
        texts.push(place.run(&["completions", shell]).succeeds().out);
    }
    for text in texts {
        assert!(text.contains("replay") && !text.contains("worker"), "{text}");
    }
}

#[test]
fn the_recipes_say_what_is_wrong() {
    let recipes = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/recipes");
    let place = Place::with("");
    fs::write(place.path().join("ring.toml"), command::RING).unwrap();
    for (recipe, option, wrong) in
        [("memtier-node", "--server", "11211"), ("memtier-ring", "--ask", "nobody")]
    {
        let run = |words: &[&str]| {
            let mut recipe = Command::new(recipes.join(recipe));
            Ran::of(recipe.current_dir(place.path()).args(words))
        };
        assert!(run(&["--help"]).succeeds().out.starts_with(&format!("Usage: {recipe} ")));
        for words in [&["--nonsense"][..], &[option], &[option, wrong], &["--keys", "many"]] {
            let ran = run(words);
            assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{words:?}: {ran:?}");
            assert!(ran.err.contains(words[0]), "{words:?}: {ran:?}");
        }
        let ran = run(&["--memtier", "no-such-program-anywhere"]);
        assert!(ran.code == 69 && ran.err.contains("no-such-program-anywhere"), "{ran:?}");
    }
}
