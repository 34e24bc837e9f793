//! Whether the nodes reach each other, in both directions.
//!
//! If this program does not reach a node, `held` has reported it. Each pair of the other nodes has two
//! directions. A finding names the node that is not reached, since one fault usually separates one node from
//! several. A node that reaches no other node has a finding of its own.

use super::evidence::{Asked, Findings};
use super::finding::{Finding, Kind};
use super::held::given_up;

/// Most reasons in one sentence.
const MAX_REASONS: usize = 3;

/// Adds the findings.
pub(super) fn judge(asked: &Asked<'_>, findings: &mut Findings) {
    // Peers report a process with the wrong identity as unreachable, for that reason.
    let nodes = 0..asked.nodes.len();
    let counts = nodes.clone().filter(|&node| {
        asked.report(node).is_some() && !findings.has(node, |kind| kind.is_identity())
    });
    let counts: Vec<usize> = counts.collect();
    let mut missed = vec![0; asked.nodes.len()];
    for &node in &counts {
        for (by, _) in asked.views.of(node).away() {
            missed[by] += usize::from(by < asked.nodes.len());
        }
    }
    // In a ring of two, the cases coincide: a node that reaches no other, and a node that the other does not
    // reach.
    let is_alone = |node: usize| {
        let others = counts.len() - usize::from(counts.binary_search(&node).is_ok());
        others > 1 && missed[node] == others
    };
    for node in nodes.filter(|&node| is_alone(node)) {
        let reasons = counts.iter().map(|&other| (node, asked.views.of(other).reason_of(node)));
        let text = format!(
            "{} reaches no other node{}: check its network, its firewall and its TLS settings",
            asked.name(node),
            why(asked, reasons)
        );
        findings.add(&[node], Finding::of(Kind::ReachesNobody, asked.name(node), text));
    }
    for &node in &counts {
        let away = asked.views.of(node).away().filter(|(by, _)| !is_alone(*by));
        let away: Vec<(usize, Option<&str>)> = away.collect();
        if away.is_empty() {
            continue;
        }
        let by: Vec<usize> = away.iter().map(|(by, _)| *by).collect();
        let text = format!(
            "{} cannot reach {}, which answers here{}: check the network and the firewall in this \
             direction, and the TLS settings of both{}",
            asked.listed(&by),
            asked.name(node),
            why(asked, away.into_iter()),
            given_up(asked, node)
        );
        let finding = Finding::of(Kind::Unreachable, asked.name(node), text);
        findings.add(&[node], finding.about(by.iter().map(|&by| asked.name(by))));
    }
}

/// The distinct reasons that nodes report, as a clause for a sentence.
fn why<'a>(asked: &Asked<'_>, away: impl Iterator<Item = (usize, Option<&'a str>)>) -> String {
    let mut reasons: Vec<(usize, &str)> = Vec::new();
    for (by, reason) in away {
        if let Some(reason) = reason.filter(|new| reasons.iter().all(|(_, known)| known != new)) {
            reasons.push((by, reason));
        }
        if reasons.len() == MAX_REASONS {
            break;
        }
    }
    match reasons.as_slice() {
        [] => String::new(),
        [(_, only)] => format!(" ({only})"),
        some => {
            let some =
                some.iter().map(|(by, reason)| format!("{} says: {reason}", asked.name(*by)));
            format!(" ({})", some.collect::<Vec<_>>().join("; "))
        }
    }
}
