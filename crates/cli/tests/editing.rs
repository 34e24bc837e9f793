//! Tests of changes to a ring file: the text that stays, concurrent changes, and failures.

mod command;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use command::{Place, RING, Ran};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use ringbinder_ring::{Format, Ring};

#[test]
fn a_node_more_less_or_heavier_and_all_else_stays() {
    let place = Place::with(RING);
    let ran = place.run(&["ring", "add", "cache-d=[fd00::4]:11211*3"]).succeeds();
    assert!(ran.out.starts_with("ring.toml  version 7 -> 8, "), "{ran:?}");
    assert!(
        ran.out.ends_with("ring.toml is written; nodes that watch it adopt it within a second\n")
    );
    let added = "\n[[node]]\nname = \"cache-d\"\naddress = \"[fd00::4]:11211\"\nweight = 3\n";
    let expected = format!("{RING}{added}").replace("version = 7", "version = 8");
    assert_eq!(place.text(), expected);

    place.run(&["ring", "weight", "cache-a", "2"]).succeeds();
    let address = "address = \"10.0.0.1:11211\"\n";
    let expected = expected
        .replace(address, &format!("{address}weight = 2\n"))
        .replace("version = 8", "version = 9");
    assert_eq!(place.text(), expected);

    place.run(&["ring", "remove", "cache-b"]).succeeds();
    let start = expected.find("\n[[node]]\nname = \"cache-b\"").unwrap();
    let end = expected.find("# Rack two.").unwrap();
    let expected = format!("{}\n{}", &expected[..start], &expected[end..]);
    assert_eq!(place.text(), expected.replace("version = 9", "version = 10"));
}

#[test]
fn json_says_what_was_done() {
    let place = Place::with(RING);
    let add = ["ring", "add", "cache-d=10.0.0.4:11211", "--json"];
    let dry = place.run(&[&add[..], &["--dry-run"]].concat()).succeeds().json();
    assert_eq!(dry["written"], false);
    assert_eq!(place.text(), RING);
    let mut done = place.run(&add).succeeds().json();
    assert_eq!(done["written"], true);
    done["written"] = false.into();
    assert_eq!(done, dry);
    assert_eq!(done["after"]["version"], 8);
    let same = place.run(&["ring", "weight", "cache-c", "2", "--json"]).succeeds().json();
    assert_eq!((&same["written"], &same["after"]["version"]), (&false.into(), &8.into()));
}

#[test]
fn yaml_and_json_files_are_changed_too() {
    let yaml = "# A ring.\nversion: 1\nnode:\n  - name: a  # first\n    address: h:1\n";
    let json = "{\"version\": 1, \"node\": [{\"name\": \"a\", \"address\": \"h:1\"}]}";
    let place = Place::with(RING);
    for (name, text, added, from, to) in [
        ("r.yaml", yaml, "  - name: \"b\"\n    address: \"h:2\"\n", "version: 1", "version: 2"),
        ("r.json", json, "", "1, \"node\"", "2, \"node\""),
    ] {
        fs::write(place.path().join(name), text).unwrap();
        place.run(&["ring", "add", "--ring", name, "b=h:2"]).succeeds();
        let now = fs::read_to_string(place.path().join(name)).unwrap();
        let mut expected = format!("{text}{added}").replace(from, to);
        if added.is_empty() {
            expected = expected.replace("}]", "}, {\"name\": \"b\", \"address\": \"h:2\"}]");
        }
        assert_eq!(now, expected);
        place.run(&["ring", "remove", "--ring", name, "b"]).succeeds();
        let now = fs::read_to_string(place.path().join(name)).unwrap();
        assert_eq!(now, text.replace(from, &to.replace('2', "3")));
    }
}

#[test]
fn what_does_not_fit_the_ring_is_refused() {
    let place = Place::with(RING);
    for (words, said) in [
        (&["add", "cache-a=10.0.0.9:11211"][..], "node cache-a already exists, at 10.0.0.1:11211"),
        (&["add", "x=10.0.0.1:11211"], "node cache-a already has the address"),
        (&["add", "x=[::ffff:10.0.0.1]:11211"], "node cache-a already has the address"),
        (
            &["remove", "cache-x"],
            "there is no node \"cache-x\"; there are cache-a, cache-b, cache-c",
        ),
        (&["weight", "cache-x", "2"], "there is no node \"cache-x\""),
    ] {
        place.run(&[&["ring"], words].concat()).fails(65, &["cannot change ring.toml", said]);
    }
    assert_eq!(place.text(), RING);
    place.run(&["ring", "weight", "cache-a", "0"]).fails(64, &["1 to 65535, not 0"]);

    let last = "version = 1\n[[node]]\nname = \"a\"\naddress = \"h:1\"\n";
    let place = Place::with(last);
    place.run(&["ring", "remove", "a"]).fails(65, &["no node would be left"]);
    assert_eq!(place.text(), last);
    let newest = last.replace("= 1\n", &format!("= {}\n", i64::MAX));
    let place = Place::with(&newest);
    place.run(&["ring", "add", "b=h:2"]).fails(65, &["the largest"]);
    assert_eq!(place.text(), newest);
    let place = Place::with("version = 1\n");
    place.run(&["ring", "add", "b=h:2"]).fails(65, &["it has no node"]);
    assert_eq!(place.text(), "version = 1\n");
    fs::remove_file(place.ring()).unwrap();
    place
        .run(&["ring", "add", "--ring", "ring.toml", "b=h:2"])
        .fails(66, &["cannot find the ring file"]);
}

#[test]
fn a_ring_in_etcd_is_left_to_etcdctl() {
    let place = Place::with(RING);
    let words = ["ring", "add", "b=h:2", "--ring", "etcd://h:2379/fleet/ring.toml"];
    place.run(&words).fails(64, &["etcdctl --endpoints h:2379 put fleet/ring.toml < ring.toml"]);
}

#[test]
fn a_link_stays_and_what_is_behind_it_changes() {
    let place = Place::with(RING);
    fs::create_dir(place.path().join("links")).unwrap();
    let link = place.path().join("links/fleet.toml");
    symlink("../ring.toml", &link).unwrap();
    place.run(&["ring", "remove", "cache-b", "--ring", "links/fleet.toml"]).succeeds();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../ring.toml"));
    assert_eq!(Ring::load(place.ring()).unwrap().nodes().len(), 2);
    assert_eq!(fs::read_dir(place.path().join("links")).unwrap().count(), 1);
}

#[test]
fn while_somebody_else_has_the_file_it_is_left_alone() {
    let place = Place::with(RING);
    let file = File::open(place.ring()).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    let ran = place.run(&["ring", "remove", "cache-b", "--wait", "0"]);
    ran.fails(75, &["another process holds its lock", "try again"]);
    assert_eq!(place.text(), RING);
    // A dry run does not wait for the lock.
    place.run(&["ring", "remove", "cache-b", "--dry-run", "--wait", "0"]).succeeds();
    let mut waiting = place.command(&["ring", "remove", "cache-b", "--wait", "60"]);
    let mut child = waiting.stdout(Stdio::null()).spawn().unwrap();
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert_eq!(Ring::load(place.ring()).unwrap().id().version, 8);
}

/// The next version follows that of the current ring, even if another process wrote it.
#[test]
fn of_changes_made_at_once_all_survive() {
    const ROUNDS: usize = 20;
    let place = Place::with(RING);
    let versions: Vec<u64> = std::thread::scope(|scope| {
        let operators: Vec<_> = ["x", "y", "z"]
            .into_iter()
            .zip(20..)
            .map(|(name, net)| {
                let place = &place;
                scope.spawn(move || {
                    let add = |round| {
                        let node = format!("{name}{round}=10.0.{net}.{round}:11211");
                        let words = ["ring", "add", &node, "--wait", "600", "--json"];
                        let done = place.run(&words).succeeds().json();
                        done["after"]["version"].as_u64().unwrap()
                    };
                    (0..ROUNDS).map(add).collect::<Vec<_>>()
                })
            })
            .collect();
        operators.into_iter().flat_map(|operator| operator.join().unwrap()).collect()
    });
    let mut sorted = versions.clone();
    sorted.sort_unstable();
    let last = 7 + 3 * ROUNDS as u64;
    assert_eq!(sorted, (8..=last).collect::<Vec<_>>());
    let text = place.text();
    let ring = Ring::parse(&text, Format::Toml, "it").unwrap();
    assert_eq!(ring.id().version, last);
    for (name, round) in ["x", "y", "z"].iter().flat_map(|name| (0..ROUNDS).map(move |r| (name, r)))
    {
        assert!(ring.index_of_name(&format!("{name}{round}")).is_some());
    }
    for comment in ["# Our ring.", "# raised with every change", "# the old one", "# Rack two."] {
        assert!(text.contains(comment), "{text}");
    }
}

/// If the command is killed at any moment, the change is made whole or not at all.
#[test]
fn a_kill_leaves_a_whole_file() {
    let nodes =
        |n| format!("[[node]]\nname = \"n{n}\"\naddress = \"10.0.{}.{}:1\"\n", n / 250, n % 250);
    let text = format!("version = 1\n{}# end", (0..1000).map(nodes).collect::<String>());
    let place = Place::with(&text);
    let beside = || {
        let names = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".ring-")).count()
    };
    let (mut version, mut left) = (1, 0);
    let mut cut_short = 0;
    for round in 0..200 {
        if cut_short == 10 {
            break;
        }
        let weight = (round + 2).to_string();
        let mut change = place.command(&["ring", "weight", "n500", &weight, "--wait", "60"]);
        let mut child = change.stdout(Stdio::null()).spawn().unwrap();
        // The new text is being written. Later rounds kill the command a little later.
        let mut turns = 0;
        while child.try_wait().unwrap().is_none() && (beside() == left || turns < round % 30) {
            turns += usize::from(beside() > left);
        }
        let _ = child.kill();
        let made = child.wait().unwrap().success();
        let ring = Ring::parse(&place.text(), Format::Toml, "it").unwrap();
        assert_eq!(ring.nodes().len(), 1000);
        assert!(place.text().ends_with("# end"));
        if made {
            assert_eq!(ring.id().version, version + 1);
        } else {
            cut_short += 1;
            assert!((version..=version + 1).contains(&ring.id().version));
        }
        (version, left) = (ring.id().version, beside());
    }
    assert!(cut_short > 0, "no change was ever cut short");
}

/// The command as a user other than root, since root may do anything.
fn as_nobody(place: &Place, words: &[&str]) -> Command {
    if !geteuid().is_root() {
        return place.command(words);
    }
    const NOBODY: u32 = 65534;
    // The other user may not have access to cargo's build directory.
    let program = place.path().join("ringbinder");
    if !program.exists() {
        // Another process copies the program. If this process did, a child started by another thread at this
        // moment could inherit the open file, and the program could not be run.
        let built = env!("CARGO_BIN_EXE_ringbinder");
        assert!(Command::new("cp").arg(built).arg(&program).status().unwrap().success());
    }
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command.current_dir(place.path()).args(words).uid(NOBODY).gid(NOBODY);
    command
}

#[test]
fn a_file_that_one_may_not_write_stays_as_it_is() {
    let place = Place::with(RING);
    fs::set_permissions(place.ring(), Permissions::from_mode(0o444)).unwrap();
    let ran = Ran::of(&mut as_nobody(&place, &["ring", "remove", "cache-b"]));
    ran.fails(77, &["cannot write ring.toml", "check who may write it", "nothing was changed"]);
    assert_eq!(place.text(), RING);
    // A dry run needs no permission to write.
    Ran::of(&mut as_nobody(&place, &["ring", "remove", "cache-b", "--dry-run"])).succeeds();
}

#[test]
fn a_directory_that_one_may_not_write_stays_as_it_is() {
    let place = Place::with(RING);
    fs::set_permissions(place.ring(), Permissions::from_mode(0o666)).unwrap();
    let mut change = as_nobody(&place, &["ring", "remove", "cache-b"]);
    fs::set_permissions(place.path(), Permissions::from_mode(0o555)).unwrap();
    let ran = Ran::of(&mut change);
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    ran.fails(77, &["cannot write ring.toml", "its directory", "nothing was changed"]);
    assert_eq!(place.text(), RING);
    assert_eq!(
        fs::read_dir(place.path())
            .unwrap()
            .filter(|entry| {
                entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".ring-")
            })
            .count(),
        0
    );
}

#[test]
fn a_file_that_one_may_not_read_is_told_apart_from_none() {
    let place = Place::with(RING);
    fs::set_permissions(place.ring(), Permissions::from_mode(0o000)).unwrap();
    for words in [&["ring", "show"][..], &["ring", "remove", "cache-b", "--dry-run"]] {
        let ran = Ran::of(&mut as_nobody(&place, words));
        ran.fails(77, &["cannot read the ring file", "ring.toml"]);
    }
}

/// A path that is not a regular file is never opened: opening a pipe would wait for its writer.
#[test]
fn what_is_no_file_is_not_waited_for() {
    let place = Place::with(RING);
    let pipe = place.path().join("pipe.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    place.run(&["ring", "add", "b=h:2", "--ring", "pipe.toml"]).fails(66, &["not a regular file"]);
}

/// A ring file mounted into a container is itself a mount, so it cannot be replaced.
#[test]
fn a_file_that_is_a_mount_is_written_in_place() {
    let place = Place::with(RING);
    fs::create_dir(place.path().join("etc")).unwrap();
    fs::write(place.path().join("etc/ring.toml"), "").unwrap();
    let program = env!("CARGO_BIN_EXE_ringbinder");
    let within = |options: &str, command: &str| {
        let script = format!(
            "mount --make-rprivate / && mount --bind ring.toml etc/ring.toml {options}\n\
             {program} ring {command} --ring etc/ring.toml"
        );
        let mut unshare = Command::new("unshare");
        unshare.current_dir(place.path()).args(["-m", "-r", "sh", "-ec", &script]);
        Ran::of(&mut unshare)
    };
    let probe = within("", "check");
    if probe.code != 0 {
        eprintln!("SKIPPED: no mount namespace here: {probe:?}");
        return;
    }
    let ran = within("", "add cache-d=10.0.0.4:11211").succeeds();
    let said = "etc/ring.toml is a mount and was written in place; nodes that watch it";
    assert!(ran.out.contains(said), "{ran:?}");
    let ring = Ring::load(place.ring()).unwrap();
    assert_eq!((ring.id().version, ring.nodes().len()), (8, 4));
    assert!(place.text().starts_with("# Our ring.\nversion = 8   # raised"), "{}", place.text());
    // A shorter text leaves no remains of the longer one.
    within("", "remove cache-d").succeeds();
    let ring = Ring::load(place.ring()).unwrap();
    assert_eq!((ring.id().version, ring.nodes().len()), (9, 3));
    let before = place.text();
    let ran = within("&& mount -o remount,bind,ro etc/ring.toml", "remove cache-b");
    ran.fails(73, &["cannot write etc/ring.toml", "mounted read-only here", "nothing was changed"]);
    assert_eq!(place.text(), before);
    assert_eq!(fs::read_dir(place.path().join("etc")).unwrap().count(), 1);
}
