//! What an operator should look at, in words, the worst first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::api::{NodeState, Overview, ratio};

/// Connections of a node beyond this part of what is allowed are told.
const MANY_CONNECTIONS: f64 = 0.8;

/// Memory of a node that does not evict beyond this part is told.
const MUCH_MEMORY: f64 = 0.9;

/// A node whose part of all requests is so many times its part of the keys is told...
const UNEVEN: f64 = 1.5;

/// ...where the ring serves at least so many requests a second.
const BUSY: f64 = 1000.0;

/// Names told one by one at most.
const MAX_NAMES: usize = 5;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Requests fail, or nodes act by different rings.
    Error,
    /// It may come to that.
    Warning,
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Advice {
    level: Level,
    text: String,
}

/// Everything that is to be said.
pub(super) fn of(overview: &Overview, evictions: bool) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut say = |level, text| advice.push(Advice { level, text });
    let nodes = &overview.nodes;
    for node in nodes.iter().filter(|node| node.state == "away") {
        let why = node.fault.as_deref().unwrap_or("it does not answer");
        say(Level::Error, format!("{} is away: {why}. Its keys miss until it answers.", node.name));
    }
    if let Some(text) = disagreement(nodes) {
        say(Level::Error, text);
    }
    for node in nodes {
        if !node.ring_error.is_empty() {
            let text = format!("{} does not take the newest ring: {}", node.name, node.ring_error);
            say(Level::Error, text);
        }
        if node.refused_for_memory_per_second.is_some_and(|rate| rate > 0.0) {
            say(Level::Error, format!("{} refuses values for want of memory.", node.name));
        }
        if node.ring_version.is_some() && !node.ring_settled {
            let text =
                format!("{} waits for other nodes before it serves all its keys.", node.name);
            say(Level::Warning, text);
        }
        let full = ratio(node.connections, node.max_connections).unwrap_or(0.0);
        if full >= MANY_CONNECTIONS {
            let text = format!(
                "{} has {} of {} connections open: raise -c, or find out who holds them.",
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
    if let Some(ring) = &overview.ring
        && !ring.member
    {
        say(Level::Warning, "The ring does not name the node that shows this page.".to_owned());
    }
    for text in unevenness(nodes) {
        say(Level::Warning, text);
    }
    advice.sort_by_key(|it| it.level);
    advice
}

/// Names in a row, not too many.
fn names(names: &[&str]) -> String {
    match names {
        all if all.len() <= MAX_NAMES => all.join(", "),
        some => format!("{} and {} more", some[..MAX_NAMES].join(", "), some.len() - MAX_NAMES),
    }
}

/// Which nodes hold which ring, where that is not the same one.
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
    Some(format!("The nodes do not hold the same ring: {groups}."))
}

/// Nodes that do much more than their part.
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
            "The nodes do not hold the same ring: version 2 on b; version 1 on a, c."
        );
        let text = disagreement(&[node("a", 1, "x"), node("b", 1, "y")]).unwrap();
        assert!(text.contains("version 1 (y) on b; version 1 (x) on a"), "{text}");
    }

    #[test]
    fn many_names_are_counted() {
        let all: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(names(&all), "n0, n1, n2, n3, n4 and 3 more");
    }

    #[test]
    fn a_node_that_does_more_than_its_part_is_told_in_a_busy_ring_only() {
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
