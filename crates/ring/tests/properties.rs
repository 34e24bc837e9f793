//! Properties of every ring: its canonical text parses as the same ring, and the comparison of two
//! rings accounts for the whole key space.

use md5::{Digest as _, Md5};
use proptest::prelude::*;
use ringbinder_ring::{
    Comparison, Format, MAX_VERSION, MAX_WEIGHT, NodeIndex, Point, Ring, Share, compare, point,
};

/// A node's host, port and weight; its name follows from its number.
type Node = (String, u16, u32);

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]").to_uppercase()),
        "[a-z0-9_]{0,20}-?[A-Z][a-z-]{0,10}(\\.[a-z]{2,20}){0,3}\\.?",
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let port = prop_oneof![Just(11211), 1..=u16::MAX];
    let weight = prop_oneof![Just(1), 1..=100u32, 1..=MAX_WEIGHT];
    (host(), port, weight)
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec(node(), 1..12)
}

fn version() -> impl Strategy<Value = u64> {
    prop_oneof![1..10u64, 1..=MAX_VERSION]
}

/// A ring of these nodes, without those that repeat an address.
fn ring(version: u64, nodes: &[Node]) -> Ring {
    let mut text = format!("version = {version}\n");
    let mut count = 0;
    for (host, port, weight) in nodes {
        let line = format!(
            "[[node]]\nname = \"n{count}\"\naddress = \"{host}:{port}\"\nweight = {weight}\n"
        );
        if parse(&format!("{text}{line}")).is_ok() {
            text += &line;
            count += 1;
        }
    }
    parse(&text).unwrap()
}

fn parse(text: &str) -> Result<Ring, ringbinder_ring::RingError> {
    Ring::parse(text, Format::Toml, "it")
}

/// Nodes of equal weight on numbered hosts.
fn even(hosts: std::ops::Range<u32>) -> Vec<Node> {
    hosts.map(|n| (format!("10.0.{}.{}", n / 256, n % 256), 11211, 1)).collect()
}

/// Checks that a comparison accounts for every key.
fn check(old: &Ring, new: &Ring, comparison: &Comparison) {
    let nodes = comparison.nodes();
    assert_eq!(nodes.iter().map(|node| node.before).sum::<Share>(), Share::WHOLE);
    assert_eq!(nodes.iter().map(|node| node.after).sum::<Share>(), Share::WHOLE);
    for (place, node) in nodes.iter().enumerate() {
        let lost = comparison.moves().iter().filter(|step| step.from == place);
        let gained = comparison.moves().iter().filter(|step| step.to == place);
        let lost: u64 = lost.map(|step| step.share.points()).sum();
        let gained: u64 = gained.map(|step| step.share.points()).sum();
        assert_eq!(node.before.points() + gained, node.after.points() + lost);
        if node.old.is_none() {
            assert_eq!(node.before.points(), 0);
        }
        if node.new.is_none() {
            assert_eq!(node.after.points(), 0);
        }
    }
    for step in comparison.moves() {
        assert_ne!(step.from, step.to);
        assert_ne!(step.share.points(), 0);
    }
    assert_eq!(nodes.iter().filter(|node| node.new.is_some()).count(), new.nodes().len());
    assert_eq!(nodes.iter().filter(|node| node.old.is_some()).count(), old.nodes().len());
}

proptest! {
    #[test]
    fn the_canonical_text_is_the_ring(version in version(), nodes in nodes()) {
        let ring = ring(version, &nodes);
        let text = ring.to_toml();
        let again = parse(&text).unwrap();
        prop_assert_eq!(&again, &ring);
        prop_assert_eq!(again.id(), ring.id());
        prop_assert_eq!(again.to_toml(), text.clone());
        prop_assert_eq!(&Ring::of_nodes(version, ring.nodes(), "it").unwrap(), &ring);
        // The same in TOML's inline form, which resembles JSON.
        let list: Vec<String> = ring.nodes().iter().map(|node| format!(
            r#"{{"weight": {}, "address": "{node}", "name": "{}"}}"#, node.weight, node.name
        )).collect();
        let json = format!(r#"{{"node": [{}], "version": {version}}}"#, list.join(", "));
        prop_assert_eq!(&Ring::parse(&json, Format::Json, "it").unwrap(), &ring);
        prop_assert_eq!(&Ring::parse(&json, Format::Yaml, "it").unwrap(), &ring);
        for (node, index) in ring.nodes().iter().zip(0..) {
            prop_assert_eq!(ring.index_of_name(&node.name), Some(index));
            prop_assert_eq!(ring.index_of_address(&node.host, node.port), Some(index));
        }
    }

    #[test]
    fn arcs_are_the_circle(nodes in nodes()) {
        let ring = ring(1, &nodes);
        let mut start = 0;
        for (end, owner) in ring.arcs() {
            prop_assert!(u64::from(end.0) >= start);
            for point in [Point(u32::try_from(start).unwrap()), end] {
                prop_assert_eq!(ring.owner_at(point), owner);
            }
            start = u64::from(end.0) + 1;
        }
        prop_assert_eq!(start, 1 << 32);
    }

    #[test]
    fn another_ring_has_another_id(nodes in nodes(), version in 1..100u64, host in "[a-z]{30}") {
        let one = ring(version, &nodes);
        prop_assert!(one.id() < ring(version + 1, &nodes).id(), "versions come first");
        let mut more = nodes.clone();
        more.push((host, 1, 1));
        prop_assert_ne!(one.id(), ring(version, &more).id());
    }

    #[test]
    fn no_text_makes_parsing_panic(text in ".{0,60}|(version|node|name|address|weight|[\\[\\]{}:=,\"'&*\\n 0-9.-]){0,40}") {
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            let _ = Ring::parse(&text, format, "it");
        }
    }

    #[test]
    fn comparing_accounts_for_every_point(old in nodes(), new in nodes(), kept in nodes()) {
        let old = ring(1, &[&old[..], &kept].concat());
        let new = ring(2, &[&kept[..], &new].concat());
        let comparison = compare(&old, &new);
        check(&old, &new, &comparison);
        // The way back moves the same keys.
        let back = compare(&new, &old);
        prop_assert_eq!(back.moved(), comparison.moved());
        prop_assert_eq!(comparison.moved() == Share::default(), comparison.moves().is_empty());
    }

    #[test]
    fn a_ring_beside_itself_moves_nothing(nodes in nodes()) {
        let ring = ring(1, &nodes);
        let comparison = compare(&ring, &ring);
        check(&ring, &ring, &comparison);
        prop_assert!(comparison.moves().is_empty());
        prop_assert_eq!(comparison.moved().points(), 0);
        prop_assert!(comparison.nodes().iter().all(|node| node.before == node.after));
    }

    #[test]
    fn a_new_node_takes_keys_and_nobody_else_does(count in 1..20u32, place in any::<prop::sample::Index>()) {
        // Equal nodes have the same number of points as before, as long as rounding leaves each its
        // 40 digests.
        let old = even(0..count);
        let mut new = old.clone();
        new.insert(place.index(old.len() + 1), ("newcomer".into(), 11211, 1));
        let comparison = compare(&ring(1, &old), &ring(2, &new));
        check(&ring(1, &old), &ring(2, &new), &comparison);
        let newcomer = &comparison.nodes()[comparison.moves()[0].to];
        prop_assert_eq!(&newcomer.node.host, "newcomer");
        prop_assert!(comparison.moves().iter().all(|step| comparison.nodes()[step.to].old.is_none()));
        prop_assert_eq!(comparison.moved(), newcomer.after);
    }

    #[test]
    fn points_belong_to_whom_the_comparison_says(
        old in nodes(), new in nodes(), kept in nodes(), points in prop::collection::vec(any::<u32>(), 200),
    ) {
        let (old, new) = (ring(1, &[&old[..], &kept].concat()), ring(2, &[&new[..], &kept].concat()));
        let comparison = compare(&old, &new);
        let nodes = comparison.nodes();
        for point in points.into_iter().map(Point).chain([Point(0), Point(u32::MAX)]) {
            let (before, after) = (old.owner_at(point), new.owner_at(point));
            let from = nodes.iter().position(|node| node.old == Some(before)).unwrap();
            let to = nodes.iter().position(|node| node.new == Some(after)).unwrap();
            let moved = comparison.moves().iter().any(|step| (step.from, step.to) == (from, to));
            prop_assert_eq!(moved, from != to);
        }
    }
}

#[test]
fn shares_are_exact() {
    // An independent ketama: three nodes of 40 digests, four points each.
    let mut points = Vec::new();
    for node in 0..3usize {
        for number in 0..40 {
            let digest: [u8; 16] = Md5::digest(format!("10.0.0.{node}-{number}")).into();
            points.extend(
                digest.chunks(4).map(|word| (u32::from_le_bytes(word.try_into().unwrap()), node)),
            );
        }
    }
    points.sort_unstable();
    let mut shares = [0u64; 3];
    let mut last = u64::from(points[points.len() - 1].0);
    for (place, &(point, node)) in points.iter().enumerate() {
        let round = if place == 0 { 1 << 32 } else { 0 };
        shares[node] += u64::from(point) + round - last;
        last = u64::from(point);
    }
    let (two, three) = (ring(1, &even(0..2)), ring(2, &even(0..3)));
    let comparison = compare(&two, &three);
    let found: Vec<u64> = comparison.nodes().iter().map(|node| node.after.points()).collect();
    assert_eq!(found, shares);
    assert_eq!(comparison.moved().points(), shares[2]);
    // The bounds of an arc: a node's own point belongs to it, the next one does not.
    let (point, node) = points[7];
    assert_eq!(three.owner_at(Point(point)) as usize, node);
    assert_eq!(three.owner_at(Point(point + 1)) as usize, points[8].1);
    assert_eq!(three.owner_at(Point(u32::MAX)) as usize, points[0].1);
    assert_eq!(three.owner_at(Point(0)) as usize, points[0].1);
}

#[test]
fn sampled_keys_agree_with_the_shares() {
    let nodes: Vec<Node> = (1..=10).map(|n| (format!("cache-{n}"), 11211, n)).collect();
    let (old, new) = (ring(1, &nodes[1..]), ring(2, &nodes[..9]));
    let comparison = compare(&old, &new);
    let samples = 400_000u32;
    let keys: Vec<String> = (0..samples).map(|n| format!("key:{n}")).collect();
    let mut owned = vec![0u32; new.nodes().len()];
    let mut moved = 0u32;
    for (before, after) in old.owners(&keys).zip(new.owners(&keys)) {
        owned[after as usize] += 1;
        moved += u32::from(old.nodes()[before as usize].host != new.nodes()[after as usize].host);
    }
    // Five standard deviations of a share of one half; the keys are always the same.
    let near = |count: u32, share: Share| {
        let sampled = f64::from(count) / f64::from(samples);
        assert!((sampled - share.fraction()).abs() < 0.004, "{sampled} {share:?}");
    };
    for (count, node) in owned.iter().zip(comparison.nodes()) {
        near(*count, node.after);
    }
    near(moved, comparison.moved());
    assert!(moved > 0);
}

#[test]
fn a_node_is_its_address() {
    let text = |nodes: &[(&str, &str)]| {
        let nodes = nodes.iter().map(|(name, address)| {
            format!("[[node]]\nname = \"{name}\"\naddress = \"{address}\"\n")
        });
        parse(&format!("version = 1\n{}", nodes.collect::<String>())).unwrap()
    };
    let old = text(&[("a", "10.0.0.1:11211"), ("b", "[::1]:11211"), ("c", "10.0.0.3:11211")]);
    // Renamed, spelled differently, and moved to another machine.
    let new = text(&[("z", "10.0.0.1:11211"), ("b", "[0::1]:11211"), ("c", "10.0.0.4:11211")]);
    let comparison = compare(&old, &new);
    check(&old, &new, &comparison);
    let seen: Vec<(&str, Option<NodeIndex>, Option<NodeIndex>)> = comparison
        .nodes()
        .iter()
        .map(|node| (node.node.host.as_str(), node.old, node.new))
        .collect();
    assert_eq!(
        seen,
        [
            ("10.0.0.1", Some(0), Some(0)),
            ("0::1", Some(1), Some(1)),
            ("10.0.0.4", None, Some(2)),
            ("10.0.0.3", Some(2), None),
        ]
    );
    // The new spelling is hashed, so keys move from and to that node.
    assert!(comparison.moves().iter().any(|step| step.from == 1));
    assert!(comparison.moves().iter().any(|step| step.to == 1));
    let sorted = comparison.moves().is_sorted_by(|one, next| one.share >= next.share);
    assert!(sorted, "{:?}", comparison.moves());
}

#[test]
fn shares_are_fractions_of_the_whole() {
    let ring = ring(1, &even(0..1));
    let comparison = compare(&ring, &ring);
    assert_eq!(comparison.nodes()[0].before, Share::WHOLE);
    assert_eq!(Share::WHOLE.points(), 1 << 32);
    assert!((Share::WHOLE.fraction() - 1.0).abs() < f64::EPSILON);
    assert_eq!(ring.owner_at(point(b"whatever")), 0);
}
