//! The report of `replay`.

use serde_json::{Value, json};

use super::player::KEY_SIZE;
use super::{Matched, Outcome};
use crate::cli::ReplayOptions;
use crate::machine;
use crate::servers::Contender;
use crate::table::{NOTHING, grouped, markdown, megabytes};

const HEAD: [&str; 11] = [
    "server",
    "-m",
    "requests",
    "hits",
    "hit ratio",
    "resident at the end",
    "resident at the most",
    "items at the end",
    "evictions",
    "not stored",
    "flags",
];

/// All outcomes.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) options: &'a ReplayOptions,
    /// The servers. ringbinderd is the last.
    pub(super) contenders: &'a [Contender],
    pub(super) outcomes: &'a [Outcome],
    pub(super) matched: Option<Matched>,
}

impl Report<'_> {
    /// Whether any line carries a flag.
    pub(super) fn is_flagged(&self) -> bool {
        self.outcomes.iter().any(|outcome| !flags(outcome).is_empty())
    }

    /// The report as Markdown.
    pub(super) fn text(&self) -> String {
        let options = self.options;
        let mut text = String::new();
        for contender in self.contenders {
            text.push_str(&format!("- {}\n", contender.describe()));
        }
        text.push_str(&format!(
            "- servers: -t {}; one connection, each request answered before the next\n\
             - trace: {}, keys of {KEY_SIZE} bytes, sizes of values times {}\n\n",
            options.node.threads,
            options.trace.file_name().unwrap_or_default().to_string_lossy(),
            options.multiply,
        ));
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(self.outcomes.iter().map(row));
        text.push_str(&markdown(&rows));
        text.push_str(
            "\nA miss is followed by a set of the value. Resident: VmRSS and VmHWM of the process; a\n\
             MB is 1024 * 1024 bytes. Not stored: values longer than the server takes, or refused.\n",
        );
        if let Some(matched) = self.matched {
            text.push_str(&sentence(matched, &self.contenders[0].name));
        }
        text
    }

    /// The report as JSON, with additional fields.
    pub(super) fn data(&self) -> Value {
        let servers = self.contenders.iter().map(
            |it| json!({ "name": it.name, "version": it.describe(), "started": it.is_program() }),
        );
        let outcomes = self.outcomes.iter().map(|outcome| {
            let mut value = json!(outcome);
            value["hit_ratio"] = json!(outcome.hit_ratio());
            value["flags"] = json!(flags(outcome));
            value
        });
        json!({
            "benchmark": "replay",
            "machine": machine::data(),
            "servers": servers.collect::<Vec<_>>(),
            "threads": self.options.node.threads,
            "trace": self.options.trace.file_name().map(|name| name.to_string_lossy()),
            "multiply": self.options.multiply,
            "key_size": KEY_SIZE,
            "outcomes": outcomes.collect::<Vec<_>>(),
            "matched": self.matched,
        })
    }
}

fn sentence(Matched { target, limit }: Matched, name: &str) -> String {
    let target = megabytes(target);
    match limit {
        Some(limit) => format!(
            "At equal resident memory: ringbinderd stays within the {target} of {name} with -m \
             {limit}.\n"
        ),
        None => format!("ringbinderd exceeds the {target} of {name} with every -m.\n"),
    }
}

fn row(outcome: &Outcome) -> Vec<String> {
    let number = |number: u64| grouped(number as f64);
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| NOTHING.to_owned(), megabytes);
    let flags = flags(outcome);
    vec![
        outcome.server.clone(),
        outcome.memory_limit_mb.map_or_else(|| NOTHING.to_owned(), |limit| limit.to_string()),
        number(outcome.tally.requests),
        number(outcome.tally.hits),
        format!("{:.4}", outcome.hit_ratio()),
        bytes(outcome.resident),
        bytes(outcome.resident_peak),
        number(outcome.items),
        number(outcome.evictions),
        number(outcome.tally.too_large + outcome.tally.refused),
        if flags.is_empty() { NOTHING.to_owned() } else { flags.join("; ") },
    ]
}

fn flags(outcome: &Outcome) -> Vec<String> {
    let mut flags = Vec::new();
    if outcome.items_before > 0 {
        flags.push(format!("held {} items before", grouped(outcome.items_before as f64)));
    }
    if let Some(said) = &outcome.tally.first_refusal {
        let refused = grouped(outcome.tally.refused as f64);
        flags.push(format!("refused {refused}: {}", said.replace(['|', '\n', '\r'], " ")));
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::super::player::Tally;
    use super::*;

    fn outcome() -> Outcome {
        let tally = Tally { requests: 4_000, hits: 1_000, misses: 3_000, ..Tally::default() };
        Outcome {
            server: "x".to_owned(),
            memory_limit_mb: Some(64),
            tally,
            items_before: 0,
            items: 2_000,
            evictions: 1_000,
            resident: Some(70 << 20),
            resident_peak: None,
        }
    }

    #[test]
    fn a_line() {
        let cells = row(&outcome());
        assert_eq!(cells.len(), HEAD.len());
        assert_eq!(cells[..5], ["x", "64", "4,000", "1,000", "0.2500"]);
        assert_eq!(cells[5..], ["70.0 MB", "–", "2,000", "1,000", "0", "–"]);
    }

    #[test]
    fn what_spoils_a_line() {
        let mut outcome = outcome();
        outcome.items_before = 3;
        outcome.tally.refused = 2;
        outcome.tally.first_refusal = Some("SERVER_ERROR a|b".to_owned());
        let said = ["held 3 items before", "refused 2: SERVER_ERROR a b"];
        assert_eq!(flags(&outcome), said);
    }
}
