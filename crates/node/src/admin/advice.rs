//! Advice for the operator, in words, the worst first.

use std::collections::BTreeMap;

use ringbinder_protocol::Standing;

use super::api::{Advice, Level, NodeState, Overview, ratio};

/// The share of the allowed connections above which a node is reported.
const MANY_CONNECTIONS: f64 = 0.8;

/// The share of the memory above which a node that does not evict is reported.
const MUCH_MEMORY: f64 = 0.9;

/// A node is reported if its share of all requests exceeds its share of the keys by this factor...
const UNEVEN: f64 = 1.5;

/// ...and the ring serves at least this many requests a second.
const BUSY: f64 = 1000.0;

/// The most names listed one by one.
const MAX_NAMES: usize = 5;

/// All advice.
pub(super) fn of(overview: &Overview, evictions: bool) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut say = |level, text| advice.push(Advice { level, text });
    let nodes = &overview.nodes;
    for node in nodes.iter().filter(|node| node.state == "away") {
        let why = node.fault.as_deref().unwrap_or("it does not answer");
        say(
            Level::Error,
            format!("{} is unreachable: {why}. Its keys miss until it answers.", node.name),
        );
    }
    if let Some(text) = disagreement(nodes) {
        say(Level::Error, text);
    }
    for (level, text) in places(nodes).into_iter().chain(reach(nodes)).chain(failing(nodes)) {
        say(level, text);
    }
    for node in nodes {
        if !node.ring_error.is_empty() {
            let text = format!("{} rejects the newest ring: {}", node.name, node.ring_error);
            say(Level::Error, text);
        }
        if node.refused_for_memory_per_second.is_some_and(|rate| rate > 0.0) {
            say(Level::Error, format!("{} refuses values because its memory is full.", node.name));
        }
        if node.ring_version.is_some() && !node.ring_settled {
            let text =
                format!("{} is waiting for other nodes before it serves all its keys.", node.name);
            say(Level::Warning, text);
        }
        let full = ratio(node.connections, node.max_connections).unwrap_or(0.0);
        if full >= MANY_CONNECTIONS {
            let text = format!(
                "{} has {} of {} connections open: raise -c, or find the clients that hold them.",
                node.name, node.connections, node.max_connections
            );
            say(Level::Warning, text);
        }
        let full = ratio(node.bytes, node.max_bytes).unwrap_or(0.0);
        if !evictions && full >= MUCH_MEMORY {
            let text = format!("{} has used {:.0} % of its memory.", node.name, full * 100.0);
            say(Level::Warning, text);
        }
    }
    let absent = Standing::Absent.as_str();
    if let Some(ring) = overview.ring.as_ref().filter(|ring| ring.standing == absent) {
        let reason = sentence(&ring.standing_reason);
        let text = format!("The ring does not list the node that serves this page.{reason}");
        say(Level::Warning, text);
    }
    for text in unevenness(nodes) {
        say(Level::Warning, text);
    }
    advice.sort_by_key(|it| it.level);
    advice
}

/// Nodes that differ from the ring, and rings that differ from their source.
fn places(nodes: &[NodeState]) -> Vec<(Level, String)> {
    let mut advice = Vec::new();
    for node in nodes {
        let (name, reason) = (&node.name, sentence(&node.standing_reason));
        match node.standing {
            "replaced" => advice.push((
                Level::Error,
                format!(
                    "{name} is replaced and serves none of its keys.{reason} Stop that process."
                ),
            )),
            "unconfirmed" => advice.push((
                Level::Warning,
                format!(
                    "{name} does not serve its keys yet: it has no proof of its address.{reason}"
                ),
            )),
            // The node that shows this page has a sentence of its own.
            "absent" if node.share.is_some() => advice.push((
                Level::Warning,
                format!("{name} is up, but its own ring does not list it.{reason}"),
            )),
            _ => {}
        }
        if !node.disputed_by.is_empty() {
            let who: Vec<&str> = node.disputed_by.iter().map(String::as_str).collect();
            advice.push((
                Level::Error,
                format!(
                    "Two processes claim to be {name}, according to {}. Stop one.",
                    names(&who)
                ),
            ));
        }
        if !node.ring_drift.is_empty() {
            advice.push((Level::Warning, format!("{name}:{}", sentence(&node.ring_drift))));
        }
    }
    advice
}

/// Nodes that this node reaches and others do not.
fn reach(nodes: &[NodeState]) -> Vec<(Level, String)> {
    let mut cut_off: BTreeMap<&str, (Vec<&str>, &str)> = BTreeMap::new();
    for node in nodes {
        for unreached in &node.unreached {
            let entry = cut_off.entry(&unreached.node).or_default();
            entry.0.push(&node.name);
            if entry.1.is_empty() {
                entry.1 = &unreached.reason;
            }
        }
    }
    let up = nodes.iter().filter(|node| node.state == "up");
    let advice = up.filter_map(|node| {
        let (who, why) = cut_off.get(node.name.as_str())?;
        let (name, who, why) = (&node.name, names(who), sentence(why));
        Some((Level::Error, format!("{name} is up, but unreachable from {who}.{why}")))
    });
    advice.collect()
}

/// Gets that were misses because no owner answered.
fn failing(nodes: &[NodeState]) -> Option<(Level, String)> {
    let sum = |of: fn(&NodeState) -> Option<f64>| nodes.iter().filter_map(of).sum::<f64>();
    let failed = sum(|node| node.failed_gets_per_second);
    let gets = sum(|node| node.gets_per_second);
    (failed > 0.0 && gets > 0.0).then(|| {
        let share = failed / gets * 100.0;
        let share = if share < 0.1 { "Less than 0.1".to_owned() } else { format!("{share:.1}") };
        let text = format!("{share} % of all gets missed because the owners did not answer.");
        (Level::Error, text)
    })
}

/// Another node's sentence to append to one of ours, with a full stop; empty for an empty text.
fn sentence(text: &str) -> String {
    match text.trim().trim_end_matches('.') {
        "" => String::new(),
        text => format!(" {text}."),
    }
}

/// A list of names, limited in length.
fn names(names: &[&str]) -> String {
    match names {
        all if all.len() <= MAX_NAMES => all.join(", "),
        some => format!("{} and {} more", some[..MAX_NAMES].join(", "), some.len() - MAX_NAMES),
    }
}

/// The ring that each node holds, if they differ.
fn disagreement(nodes: &[NodeState]) -> Option<String> {
    let mut holders: BTreeMap<(u64, &str), Vec<&str>> = BTreeMap::new();
    for node in nodes {
        if let Some(version) = node.ring_version {
            holders.entry((version, &node.ring_digest)).or_default().push(&node.name);
        }
    }
    if holders.len() < 2 {
        return None;
    }
    let versions =
        holders.keys().map(|(version, _)| version).collect::<std::collections::HashSet<_>>();
    let twins = versions.len() < holders.len();
    let groups = holders.iter().rev().map(|((version, digest), who)| {
        let digest = if twins { format!(" ({digest})") } else { String::new() };
        format!("version {version}{digest} on {}", names(who))
    });
    let groups = groups.collect::<Vec<_>>().join("; ");
    Some(format!("The nodes have different rings: {groups}."))
}

/// Nodes that do much more than their share.
fn unevenness(nodes: &[NodeState]) -> Vec<String> {
    let all: f64 = nodes.iter().filter_map(|node| node.requests_per_second).sum();
    if nodes.len() < 2 || all < BUSY {
        return Vec::new();
    }
    let uneven = nodes.iter().filter_map(|node| {
        let (load, share) = (node.requests_per_second? / all, node.share.filter(|it| *it > 0.0)?);
        (load > share * UNEVEN).then(|| {
            format!(
                "{} answers {:.0} % of all requests but owns {:.0} % of the keys: see the hottest \
                 keys.",
                node.name,
                load * 100.0,
                share * 100.0
            )
        })
    });
    uneven.collect()
}

#[cfg(test)]
mod tests {
    use super::super::api::Unreached;
    use super::*;

    fn node(name: &str, version: u64, digest: &str) -> NodeState {
        let mut node = NodeState::default();
        name.clone_into(&mut node.name);
        digest.clone_into(&mut node.ring_digest);
        (node.ring_version, node.ring_settled, node.state) = (Some(version), true, "up");
        node
    }

    #[test]
    fn nodes_with_different_rings_are_named_by_version_and_twins_by_digest() {
        assert_eq!(disagreement(&[node("a", 1, "x"), node("b", 1, "x")]), None);
        let text = disagreement(&[node("a", 1, "x"), node("b", 2, "y"), node("c", 1, "x")]);
        assert_eq!(
            text.unwrap(),
            "The nodes have different rings: version 2 on b; version 1 on a, c."
        );
        let text = disagreement(&[node("a", 1, "x"), node("b", 1, "y")]).unwrap();
        assert!(text.contains("version 1 (y) on b; version 1 (x) on a"), "{text}");
    }

    #[test]
    fn nodes_that_are_not_what_the_ring_says_are_reported() {
        let mut nodes = ["a", "b", "c", "d"].map(|name| node(name, 1, "x"));
        assert_eq!(places(&nodes), []);
        nodes[0].standing = "replaced";
        "10.0.0.1:11211 answers as another process".clone_into(&mut nodes[0].standing_reason);
        nodes[1].standing = "unconfirmed";
        nodes[2].disputed_by = vec!["a".to_owned(), "b".to_owned()];
        "ring.toml has version 1, older than the ring.".clone_into(&mut nodes[3].ring_drift);
        let texts: Vec<String> = places(&nodes).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            texts,
            [
                "a is replaced and serves none of its keys. 10.0.0.1:11211 answers as another \
                 process. Stop that process.",
                "b does not serve its keys yet: it has no proof of its address.",
                "Two processes claim to be c, according to a, b. Stop one.",
                "d: ring.toml has version 1, older than the ring.",
            ]
        );
        // For a node that no ring lists, that is no fault.
        let mut alone = [node("e", 1, "x")];
        alone[0].standing = "absent";
        assert_eq!(places(&alone), []);
        alone[0].share = Some(0.5);
        assert_eq!(places(&alone)[0].1, "e is up, but its own ring does not list it.");
    }

    #[test]
    fn a_node_that_only_others_do_not_reach_is_reported_with_their_reason() {
        let mut nodes = ["a", "b", "c"].map(|name| node(name, 1, "x"));
        let away = |name: &str, reason: &str| Unreached {
            node: name.to_owned(),
            reason: reason.to_owned(),
        };
        nodes[0].unreached = vec![away("c", "")];
        nodes[1].unreached = vec![away("c", "certificate expired"), away("z", "gone")];
        let advice = reach(&nodes);
        let text = "c is up, but unreachable from a, b. certificate expired.".to_owned();
        assert_eq!(advice, [(Level::Error, text)]);
        nodes[2].state = "away";
        assert_eq!(reach(&nodes), [], "that is reported already");
    }

    #[test]
    fn gets_that_fail_are_a_share_of_all_gets() {
        let mut nodes = ["a", "b"].map(|name| node(name, 1, "x"));
        assert_eq!(failing(&nodes), None);
        (nodes[0].gets_per_second, nodes[0].failed_gets_per_second) = (Some(50.0), Some(31.0));
        (nodes[1].gets_per_second, nodes[1].failed_gets_per_second) = (Some(50.0), Some(0.0));
        let text = "31.0 % of all gets missed because the owners did not answer.";
        assert_eq!(failing(&nodes), Some((Level::Error, text.to_owned())));
        nodes[0].failed_gets_per_second = Some(0.01);
        assert!(failing(&nodes).unwrap().1.starts_with("Less than 0.1 %"));
    }

    #[test]
    fn many_names_are_counted() {
        let all: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(names(&all), "n0, n1, n2, n3, n4 and 3 more");
    }

    #[test]
    fn a_node_that_does_more_than_its_part_is_reported_in_a_busy_ring_only() {
        let mut nodes = [node("a", 1, "x"), node("b", 1, "x")];
        for (node, rate) in nodes.iter_mut().zip([9000.0, 1000.0]) {
            node.share = Some(0.5);
            node.requests_per_second = Some(rate);
        }
        assert_eq!(unevenness(&nodes).len(), 1);
        nodes[0].requests_per_second = Some(9.0);
        nodes[1].requests_per_second = Some(1.0);
        assert_eq!(unevenness(&nodes).len(), 0);
    }
}
