//! The ring file: the valid contents of each format, and the messages for invalid ones.

use std::fs;

use ringbinder_ring::{
    Format, MAX_FILE_BYTES, MAX_HOST_LEN, MAX_NODES, MAX_VERSION, MAX_WEIGHT, Node, Ring,
    RingError, RingFault,
};

fn toml(text: &str) -> Result<Ring, RingError> {
    Ring::parse(text, Format::Toml, "ring.toml")
}

/// The message for an invalid TOML text.
fn complaint(text: &str) -> String {
    toml(text).expect_err(text).to_string()
}

/// A ring of one ordinary node with this address.
fn with_address(address: &str) -> Result<Ring, RingError> {
    toml(&format!("version = 1\n[[node]]\nname = \"a\"\naddress = {address:?}\n"))
}

const TWO: &str = r#"
version = 7
hash = "ketama"

[[node]]
name = "cache-a"
address = "10.0.0.1:11211"

[[node]]
name = "cache-b"
address = "[2001:db8::1]:11212"
weight = 3
"#;

#[test]
fn all_formats_say_the_same() {
    let yaml = "
version: 7
node:
  - {name: cache-a, address: '10.0.0.1:11211'}
  - name: cache-b
    address: '[2001:db8::1]:11212'
    weight: 3
";
    let json = r#"{"version": 7, "hash": "ketama", "node": [
        {"name": "cache-a", "address": "10.0.0.1:11211", "weight": 1},
        {"name": "cache-b", "address": "[2001:db8::1]:11212", "weight": 3}]}"#;
    let ring = toml(TWO).unwrap();
    assert_eq!(Ring::parse(yaml, Format::Yaml, "ring.yaml").unwrap(), ring);
    assert_eq!(Ring::parse(json, Format::Json, "ring.json").unwrap(), ring);
    assert_eq!(toml(&format!("\u{feff}{TWO}")).unwrap(), ring);

    assert_eq!(ring.id().version, 7);
    let node = |name: &str, host: &str, port, weight| Node {
        name: name.into(),
        host: host.into(),
        port,
        weight,
    };
    let (a, b) = (node("cache-a", "10.0.0.1", 11211, 1), node("cache-b", "2001:db8::1", 11212, 3));
    assert_eq!(ring.nodes(), [a, b]);
    assert_eq!(ring.nodes()[0].to_string(), "10.0.0.1:11211");
    assert_eq!(ring.nodes()[1].to_string(), "[2001:db8::1]:11212");
}

#[test]
fn the_canonical_text_and_its_digest_are_pinned() {
    let text = r#"version = 7
hash = "ketama"

[[node]]
name = "cache-a"
address = "10.0.0.1:11211"
weight = 1

[[node]]
name = "cache-b"
address = "[2001:db8::1]:11212"
weight = 3
"#;
    let ring = toml(TWO).unwrap();
    assert_eq!(ring.to_toml(), text);
    // The md5sum of that text. Nodes of different releases compare it.
    assert_eq!(format!("{:016x}", ring.id().digest), "13148931d8d9fc8b");
}

#[test]
fn nodes_are_found_by_name_and_address() {
    let text = TWO.replace("10.0.0.1", "Cache-A.example.");
    let ring = toml(&text).unwrap();
    assert_eq!(ring.index_of_name("cache-b"), Some(1));
    assert_eq!(ring.index_of_name("cache-c"), None);
    assert_eq!(ring.index_of_name("Cache-b"), None, "names of nodes are taken to the letter");
    for (host, port, index) in [
        ("Cache-A.example.", 11211, Some(0)),
        ("cache-a.EXAMPLE", 11211, Some(0)),
        ("cache-a.example", 11212, None),
        ("2001:db8::1", 11212, Some(1)),
        ("[2001:DB8:0::1]", 11212, Some(1)),
        ("2001:db8::2", 11212, None),
        ("", 11211, None),
    ] {
        assert_eq!(ring.index_of_address(host, port), index, "{host} {port}");
    }
}

#[test]
fn files_are_loaded_by_their_extension() {
    let dir = tempfile::tempdir().unwrap();
    let ring = toml(TWO).unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("ring.toml"), TWO).unwrap();
    assert_eq!(Ring::load(path("ring.toml")).unwrap(), ring);
    let json = r#"{"version": 1, "node": [{"name": "a", "address": "a:1"}]}"#;
    // JSON is YAML too.
    for name in ["ring.json", "ring.yaml", "ring.yml"] {
        fs::write(path(name), json).unwrap();
        assert_eq!(Ring::load(path(name)).unwrap().nodes()[0].name, "a");
    }
    for name in ["ring", "ring.conf", "ring.toml.bak", "toml"] {
        fs::write(path(name), TWO).unwrap();
        let error = Ring::load(path(name)).unwrap_err();
        assert_eq!(error.fault(), &RingFault::Extension);
        assert_eq!(error.origin(), path(name).to_str().unwrap());
    }
    fs::write(path("bad.toml"), b"version = 1\n# \xff\n").unwrap();
    let error = Ring::load(path("bad.toml")).unwrap_err();
    assert_eq!(error.fault(), &RingFault::NotText { line: 2 });
    let error = Ring::load(path("none.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("none.toml: cannot read it: No such file or directory (os error 2)"),
        "{error}"
    );
    fs::write(path("big.toml"), vec![b'#'; MAX_FILE_BYTES + 1]).unwrap();
    assert_eq!(Ring::load(path("big.toml")).unwrap_err().fault(), &RingFault::TooLarge);
}

#[test]
fn what_is_no_ring_is_told_by_line_or_key() {
    let node = "[[node]]\nname = \"a\"\naddress = \"a:1\"\n";
    for (text, said) in [
        // The parser's own line number comes through.
        ("version = 1\n[[node]]\nname = x\n", "ring.toml: TOML parse error at line 3, column 8"),
        ("version = 1\nversion = 2\n", "line 2, column 1: duplicate key"),
        ("", "`version` is missing"),
        (node, "`version` is missing"),
        ("version = 1\n", "it has no node"),
        ("version = 1\nnode = []\n", "it has no node"),
        (
            &format!("version = 0\n{node}"),
            "`version` must be a whole number from 1 to 9223372036854775807, not 0",
        ),
        (&format!("version = -3\n{node}"), "not -3"),
        (&format!("version = 9223372036854775808\n{node}"), "line 1: the number is beyond 64 bits"),
        (
            "version = 1\nhash = \"00000000000000000000000000000000\"\nnode = [{weight=-9999999999999999999}]\n",
            "line 3: the number is beyond 64 bits",
        ),
        (
            &format!("version = \"7\"\n{node}"),
            "version: invalid type: string \"7\", expected a whole number",
        ),
        (&format!("version = 7.0\n{node}"), "version: invalid type: floating point `7.0`"),
        (&format!("version = true\n{node}"), "version: invalid type: boolean `true`"),
        (&format!("version = 1\nhash = \"modulo\"\n{node}"), "`hash` is \"modulo\""),
        (&format!("version = 1\nhahs = \"ketama\"\n{node}"), "unknown field `hahs`"),
        (&format!("version = 1\n{node}wieght = 2\n"), "node 1: unknown field `wieght`"),
        (&format!("version = 1\n{node}[[node]]\nname = \"b\"\n"), "`address of node 2` is missing"),
        (
            &format!("version = 1\n{node}[[node]]\naddress = \"b:2\"\n"),
            "`name of node 2` is missing",
        ),
        (&format!("version = 1\n{node}weight = \"2\"\n"), "weight of node 1: invalid type: string"),
        (
            &format!("version = 1\n{node}weight = 0\n"),
            "node 1 (a): the weight must be a whole number from 1 to 65535, not 0",
        ),
        (&format!("version = 1\n{node}weight = {}\n", MAX_WEIGHT + 1), "not 65536"),
        (
            "version = 1\n[node]\nname = \"a\"\naddress = \"a:1\"\n",
            "expected a list of nodes ([[node]] in TOML)",
        ),
        ("version = 1\nnode = [1]\n", "node 1: invalid type: integer `1`"),
        (
            &format!("version = 1\n{node}{}", node.replace("a:1", "b:1")),
            "nodes 1 and 2 have the same name, a",
        ),
        (
            &format!("version = 1\n{node}{}", node.replace("\"a\"", "\"b\"")),
            "nodes 1 and 2 have the same address, a:1",
        ),
    ] {
        let complaint = complaint(text);
        assert!(complaint.contains(said), "{text}\nsaid: {complaint}\nnot:  {said}");
        assert!(complaint.starts_with("ring.toml: "), "{complaint}");
        assert!(!complaint.contains(char::is_control), "{complaint:?}");
    }
}

#[test]
fn bounds_are_inclusive() {
    let text = |version: u64, weight: u32| {
        format!(
            "version = {version}\n[[node]]\nname = \"a\"\naddress = \"a:65535\"\nweight = {weight}\n"
        )
    };
    let ring = toml(&text(MAX_VERSION, MAX_WEIGHT)).unwrap();
    assert_eq!(ring.id().version, MAX_VERSION);
    assert_eq!(toml(&ring.to_toml()).unwrap(), ring);
    // JSON can write numbers that TOML cannot: they are refused nevertheless.
    let json = r#"{"version": 9223372036854775808, "node": [{"name": "a", "address": "a:1"}]}"#;
    let error = Ring::parse(json, Format::Json, "ring.json").unwrap_err();
    assert_eq!(error.fault(), &RingFault::Version { found: 9_223_372_036_854_775_808 });
}

#[test]
fn names_are_short_words() {
    let text = |name: &str| format!("version = 1\n[[node]]\nname = {name:?}\naddress = \"a:1\"\n");
    for name in ["a", "cache-a.rack_1", "UPPER", "7", &"n".repeat(64)] {
        assert_eq!(toml(&text(name)).unwrap().index_of_name(name), Some(0));
    }
    for name in ["", "a b", "a\tb", "ä", "a/b", "a|b", "a\"b", &"n".repeat(65)] {
        let complaint = complaint(&text(name));
        assert!(complaint.contains("node 1: the name "), "{complaint}");
        assert!(!complaint.contains(char::is_control), "{complaint:?}");
    }
}

#[test]
fn addresses_are_a_host_and_a_port() {
    for (address, host, port) in [
        ("10.0.0.1:11211", "10.0.0.1", 11211),
        ("localhost:1", "localhost", 1),
        (
            "Cache-0.ring_binder.svc.cluster.local.:65535",
            "Cache-0.ring_binder.svc.cluster.local.",
            65535,
        ),
        ("3com.example:80", "3com.example", 80),
        ("xn--bcher-kva.example:080", "xn--bcher-kva.example", 80),
        ("[::1]:11211", "::1", 11211),
        ("[2001:DB8:0:0::1]:5", "2001:DB8:0:0::1", 5),
        ("[::ffff:10.0.0.1]:5", "::ffff:10.0.0.1", 5),
    ] {
        let ring = with_address(address).unwrap();
        let node = &ring.nodes()[0];
        assert_eq!((node.host.as_str(), node.port), (host, port), "{address}");
    }
    let long = format!("{}:1", "h".repeat(254));
    for (address, said) in [
        ("", "has no port"),
        ("10.0.0.1", "has no port"),
        ("10.0.0.1:", "has no port"),
        ("[::1]", "has no port"),
        ("[::1]:", "has no port"),
        ("[::1]11211", "has no port"),
        (":11211", "has no host"),
        ("a:0", "not a number from 1 to 65535"),
        ("a:65536", "not a number from 1 to 65535"),
        ("a:-1", "not a number from 1 to 65535"),
        ("a:+1", "not a number from 1 to 65535"),
        ("a:http", "not a number from 1 to 65535"),
        ("a:99999999999999999999", "not a number from 1 to 65535"),
        ("[::1]:0", "not a number from 1 to 65535"),
        ("::1:11211", "without brackets"),
        ("http://a:80", "without brackets, or has too many colons"),
        ("[::1:11211", "no closing bracket"),
        ("[]:11211", "no IPv6 address in its brackets"),
        ("[10.0.0.1]:11211", "no IPv6 address in its brackets"),
        ("[fe80::1%eth0]:11211", "no IPv6 address in its brackets"),
        ("a b:11211", "has a space"),
        (" a:11211", "has a space"),
        ("a\t:11211", "a control character"),
        ("bücher.example:11211", "xn--"),
        ("a|b:11211", "characters other than"),
        ("/run/cache.sock:1", "characters other than"),
        ("a..b:1", "empty part"),
        (".a:1", "empty part"),
        (".:1", "empty part"),
        ("10.1:11211", "neither an IPv4 address nor a name"),
        ("256.0.0.1:11211", "neither an IPv4 address nor a name"),
        ("010.0.0.1:11211", "neither an IPv4 address nor a name"),
        (&long, "longer than 253 bytes"),
    ] {
        let complaint = with_address(address).expect_err(address).to_string();
        assert!(complaint.contains(said), "{address:?} said: {complaint}");
        assert!(complaint.starts_with("ring.toml: node 1 (a): "), "{complaint}");
        assert!(complaint.len() < 300 && !complaint.contains(char::is_control), "{complaint:?}");
    }
}

#[test]
fn one_server_spelled_twice_is_a_duplicate() {
    for (first, second) in [
        ("a:1", "A:1"),
        ("a.example:1", "a.example.:1"),
        ("[::1]:1", "[0:0:0:0:0:0:0:1]:1"),
        ("[2001:db8::a]:1", "[2001:DB8::A]:1"),
        ("10.0.0.1:1", "[::ffff:10.0.0.1]:1"),
        ("a:1", "a:01"),
    ] {
        let node =
            |name, address| format!("[[node]]\nname = \"{name}\"\naddress = \"{address}\"\n");
        let text = format!(
            "version = 1\n{}{}{}",
            node("x", "other:1"),
            node("y", first),
            node("z", second)
        );
        let error = toml(&text).expect_err(&text);
        assert!(
            matches!(
                error.fault(),
                RingFault::Duplicate { what: "address", first: 2, second: 3, .. }
            ),
            "{error}"
        );
    }
    let text = "version = 1\nnode = [{name = \"a\", address = \"a:1\"}, {name = \"b\", address = \"a:2\"}]";
    assert_eq!(toml(text).unwrap().nodes().len(), 2, "another port is another server");
}

#[test]
fn yaml_and_json_are_taken_as_strictly_as_toml() {
    for (format, text, said) in [
        (Format::Json, r#"{"version": 1, "version": 2}"#, "\"version\" occurs twice at line 1"),
        (
            Format::Json,
            r#"{"version": 1, "node": [{"name": "a", "name": "b"}]}"#,
            "\"name\" occurs twice",
        ),
        (Format::Json, "{\"version\": 1,\n}", "line 2"),
        (Format::Json, "[]", "expected a map"),
        (Format::Json, "{} {}", "trailing characters"),
        (
            Format::Json,
            r#"{"version": 1, "hash": null, "node": []}"#,
            "hash: invalid type: unit value",
        ),
        (
            Format::Json,
            r#"{"version": 1, "node": [{"name": "a", "address": "a:1", "weight": null}]}"#,
            "weight of node 1: invalid type",
        ),
        (Format::Yaml, "version: 1\nversion: 2\n", "duplicated key"),
        (Format::Yaml, "version: 1\nnode: [\n", "line"),
        (Format::Yaml, "- a\n", "expected a map"),
        (Format::Yaml, "", "`version` is missing"),
        (Format::Yaml, "version: 1\n---\nversion: 2\n", "documents"),
        (Format::Yaml, "version: &v 1\nnode:\n  - *v\n", "line 3: aliases"),
        (Format::Yaml, "version: '1'\n", "version: invalid type: string"),
        (
            Format::Yaml,
            "version: 1\nnode:\n  - {name: 1, address: 'a:1'}\n",
            "name of node 1: invalid type: integer",
        ),
        (
            Format::Yaml,
            "version: 1\nnode:\n  - {name: yes, address: [a, 1]}\n",
            "address of node 1: invalid type: sequence",
        ),
    ] {
        let complaint = Ring::parse(text, format, "it").expect_err(text).to_string();
        assert!(complaint.contains(said), "{text}\nsaid: {complaint}\nnot:  {said}");
        assert!(!complaint.contains(char::is_control), "{complaint:?}");
    }
}

#[test]
fn too_many_nodes_are_refused() {
    let ring = |count: usize| {
        let nodes = (0..count).map(|n| format!("[[node]]\nname=\"{n}\"\naddress=\"h{n}:1\"\n"));
        toml(&format!("version=1\n{}", nodes.collect::<String>()))
    };
    assert_eq!(ring(MAX_NODES).unwrap().nodes().len(), MAX_NODES);
    let error = ring(MAX_NODES + 1).unwrap_err();
    assert_eq!(error.fault(), &RingFault::TooManyNodes { found: MAX_NODES + 1 });
    assert_eq!(ring(50_000).unwrap_err().fault(), &RingFault::TooManyNodes { found: 50_000 });
    assert_eq!(ring(100_000).unwrap_err().fault(), &RingFault::TooLarge);
}

#[test]
fn the_largest_ring_fits_its_file() {
    let label = "x".repeat(63);
    let nodes = (0..MAX_NODES).map(|n| {
        let host = format!("{n:061}.{label}.{label}.{label}");
        assert_eq!(host.len(), MAX_HOST_LEN);
        format!("[[node]]\nname = \"{n:064}\"\naddress = \"{host}:65535\"\nweight = 65535\n")
    });
    let ring = toml(&format!("version = {MAX_VERSION}\n{}", nodes.collect::<String>())).unwrap();
    let text = ring.to_toml();
    assert!(text.len() < MAX_FILE_BYTES * 3 / 4, "{}", text.len());
    assert_eq!(toml(&text).unwrap(), ring);
}

#[test]
fn texts_made_to_exhaust_a_parser_are_refused() {
    let deep = 250_000;
    // Each of these would otherwise need a stack frame for every level.
    for (format, text) in [
        (Format::Toml, format!("a = {}", "[".repeat(deep))),
        (Format::Toml, format!("a{} = 1", ".a".repeat(deep))),
        (Format::Toml, format!("[a{}]", ".a".repeat(deep))),
        (Format::Toml, format!("a = {}", "{a=".repeat(deep))),
        (Format::Json, "[".repeat(deep)),
        (Format::Json, "{\"a\":".repeat(deep)),
        (Format::Yaml, "[".repeat(deep)),
        (Format::Yaml, "{a: ".repeat(deep)),
        (Format::Yaml, "- ".repeat(deep)),
        (Format::Yaml, "? ".repeat(deep)),
        (Format::Yaml, (0..1000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
    ] {
        let error = Ring::parse(&text, format, "it").unwrap_err();
        assert!(matches!(error.fault(), RingFault::Syntax(_)), "{format:?} {:.20}: {error}", text);
        assert!(error.to_string().len() < 1000);
    }
    // Nine levels of nine aliases are 400 million strings.
    let mut laughs = "a0: &a0 lol\n".to_owned();
    for n in 1..=9 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs += &format!("a{n}: &a{n} [{aliases}]\n");
    }
    let error = Ring::parse(&laughs, Format::Yaml, "it").unwrap_err();
    assert!(error.to_string().contains("line 2: aliases"), "{error}");
    let error = toml(&" ".repeat(MAX_FILE_BYTES + 1)).unwrap_err();
    assert_eq!(error.fault(), &RingFault::TooLarge);
}

#[test]
fn a_node_without_points_is_warned_of() {
    let text = |light: u32| {
        format!(
            "version = 1\n[[node]]\nname = \"heavy\"\naddress = \"h:1\"\nweight = 65535\n\
             [[node]]\nname = \"light\"\naddress = \"l:1\"\nweight = {light}\n"
        )
    };
    let ring = toml(&text(1)).unwrap();
    assert_eq!(ring.warnings().len(), 1);
    assert!(ring.warnings()[0].starts_with("node light owns no key: "), "{:?}", ring.warnings());
    assert!(ring.warnings()[0].ends_with("give it at least 830"), "{:?}", ring.warnings());
    // The advice is correct, and asks for no more than necessary.
    assert_eq!(toml(&text(829)).unwrap().warnings().len(), 1);
    assert!(toml(&text(830)).unwrap().warnings().is_empty());
    assert!(toml(TWO).unwrap().warnings().is_empty());
}

#[test]
fn messages_stay_short_whatever_the_file_holds() {
    let long = "x".repeat(100_000);
    for (format, text) in [
        (Format::Toml, format!("version = \"{long}\"")),
        (Format::Toml, format!("{long} = 1")),
        (Format::Toml, format!("version = {long}")),
        (Format::Toml, format!("version = 1\nhash = \"{long}\"")),
        (Format::Toml, format!("version = 1\nnode = [{{name = \"{long}\", address = \"a:1\"}}]")),
        (Format::Toml, format!("version = 1\nnode = [{{name = \"a\", address = \"{long}\"}}]")),
        (Format::Toml, format!("version = 1\nnode = [{{name = \"a\", address = \"a:{long}\"}}]")),
        (Format::Toml, format!("version = 1\nnode = [{{\"{long}\\n\" = 1}}]")),
        (Format::Toml, format!("version = {}", "9".repeat(100_000))),
        (Format::Json, format!("{{\"{long}\\u0007\": 1}}")),
        (Format::Json, format!("{{\"{long}\": 1, \"{long}\": 2}}")),
        (Format::Yaml, format!("? [{long}]\n: 1")),
        (Format::Yaml, format!("{long}: 1\n{long}: 2\n")),
        (Format::Yaml, format!("version: !!{long} 1")),
        (Format::Yaml, "version: 1\n\"a\\u0085b\\e[31m\": 1".to_owned()),
    ] {
        let message = Ring::parse(&text, format, "it").expect_err("no ring").to_string();
        assert!(message.len() < 600, "{} bytes: {:.700}", message.len(), message);
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn a_ring_of_nodes_is_checked_as_a_file_is() {
    let node = |name: &str, host: &str| ringbinder_ring::Node {
        name: name.into(),
        host: host.into(),
        port: 11211,
        weight: 1,
    };
    let refused = |version, nodes: &[ringbinder_ring::Node]| {
        Ring::of_nodes(version, nodes, "the new ring").unwrap_err().fault().clone()
    };
    assert_eq!(refused(1, &[]), RingFault::NoNodes);
    assert_eq!(refused(0, &[node("a", "a")]), RingFault::Version { found: 0 });
    assert!(matches!(refused(1, &[node("a b", "a")]), RingFault::Node { place: 1, .. }));
    assert!(matches!(
        refused(1, &[node("a", "h"), node("b", "H")]),
        RingFault::Duplicate { what: "address", first: 1, second: 2, .. }
    ));
    let many: Vec<_> = (0..4097).map(|n| node(&format!("n{n}"), &format!("h{n}"))).collect();
    assert_eq!(refused(1, &many), RingFault::TooManyNodes { found: 4097 });
}
