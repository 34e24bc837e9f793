//! Parser for callgrind's output: the cost of each function, by source file.
//!
//! The optimiser inlines functions of one crate into those of another, but every line keeps its file. A cost
//! belongs to the part whose file contains the line. Lines from the standard library and other outside code
//! belong to the part whose function contains them.

use std::collections::HashMap;

use anyhow::bail;

/// A part of ringbinderd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Store,
    Protocol,
    Node,
    Tokio,
    Other,
}

impl Part {
    pub(super) const ALL: [Part; 5] =
        [Part::Store, Part::Protocol, Part::Node, Part::Tokio, Part::Other];

    fn of(file: &str, function: &str) -> Part {
        const FILES: [(&str, Part); 5] = [
            ("crates/store/", Part::Store),
            ("crates/protocol/", Part::Protocol),
            ("crates/node/", Part::Node),
            ("/tokio-", Part::Tokio),
            ("/mio-", Part::Tokio),
        ];
        const FUNCTIONS: [(&str, Part); 5] = [
            ("ringbinder_store::", Part::Store),
            ("ringbinder_protocol::", Part::Protocol),
            ("ringbinder_node::", Part::Node),
            ("tokio::", Part::Tokio),
            ("mio::", Part::Tokio),
        ];
        let from = FILES.iter().find(|(name, _)| file.contains(name));
        // In `<A as B>::f` and `f::<A>` the first name counts.
        let first = || {
            let at = |name: &str| function.find(name);
            let found = FUNCTIONS.iter().filter_map(|&(name, part)| Some((at(name)?, part)));
            found.min_by_key(|&(at, _)| at).map(|(_, part)| part)
        };
        from.map(|&(_, part)| part).or_else(first).unwrap_or(Part::Other)
    }
}

/// Instructions and allocations, of a run or per request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Profile {
    parts: [f64; 5],
    /// Calls of the allocator, jemalloc, from outside it.
    pub(super) allocations: f64,
}

impl Profile {
    pub(super) fn parse(text: &str) -> anyhow::Result<Profile> {
        let mut profile = Profile::default();
        // A name is written in full once and then referred to by number. Files and functions are numbered
        // separately.
        let (mut files, mut functions) = (HashMap::new(), HashMap::new());
        let (mut file, mut function, mut callee) = ("", "", "");
        let mut is_call = false;
        for line in text.lines() {
            if let Some((kind, name)) = line.split_once('=') {
                match kind {
                    "fl" | "fi" | "fe" => file = named(&mut files, name),
                    "cfi" | "cfl" => _ = named(&mut files, name),
                    "fn" => function = named(&mut functions, name),
                    "cfn" => callee = named(&mut functions, name),
                    "calls" => {
                        is_call = true;
                        let count = name.split(' ').next().and_then(|count| count.parse().ok());
                        if allocates(callee) && !is_allocator(function) {
                            profile.allocations += count.unwrap_or(0.0);
                        }
                    }
                    _ => {}
                }
            } else if line
                .starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
            {
                // The line after `calls` has the cost of the callee, whose own lines include it too.
                if std::mem::take(&mut is_call) {
                    continue;
                }
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<f64>().ok());
                profile.parts[Part::of(file, function) as usize] += cost.unwrap_or(0.0);
            }
        }
        if profile.total() < 1.0 {
            bail!("callgrind counted nothing");
        }
        Ok(profile)
    }

    /// The excess over `other`, divided by `requests`.
    pub(super) fn beyond(&self, other: &Profile, requests: u32) -> Profile {
        let per = |many: f64, few: f64| (many - few) / f64::from(requests);
        Profile {
            parts: std::array::from_fn(|part| per(self.parts[part], other.parts[part])),
            allocations: per(self.allocations, other.allocations),
        }
    }

    pub(super) fn of(&self, part: Part) -> f64 {
        self.parts[part as usize]
    }

    pub(super) fn total(&self) -> f64 {
        self.parts.iter().sum()
    }
}

/// The name in `(7) name`, or the name that an earlier `(7)` introduced.
fn named<'a>(known: &mut HashMap<&'a str, &'a str>, text: &'a str) -> &'a str {
    let Some((number, name)) = text.split_once(')') else {
        return text;
    };
    let name = name.trim_start();
    if name.is_empty() {
        return known.get(number).copied().unwrap_or_default();
    }
    known.insert(number, name);
    name
}

fn is_allocator(function: &str) -> bool {
    function.starts_with("_rjem_")
}

fn allocates(function: &str) -> bool {
    is_allocator(function) && ["alloc", "new"].iter().any(|word| function.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
events: Ir
summary: 1000

ob=(1) ringbinderd
fl=(1) /somewhere/crates/node/src/command/step.rs
fn=(1) ringbinder_node::connection::step::store
12 100
fi=(2) /rustc/library/core/src/slice/mod.rs
+3 20
fe=(3) /somewhere/crates/protocol/src/parse.rs
5 7
cfi=(4) /somewhere/jemalloc/src/jemalloc.c
cfn=(2) _rjem_malloc
calls=3 40
5 600

fl=(4)
fn=(2)
40 250
cfn=(3) _rjem_je_malloc_default
calls=3 50
* 350

fn=(3)
50 350
fl=(1)
fn=(4) <tokio::net::TcpStream as ringbinder_node::Read>::read
1 1000
fl=(2)
1 3
";

    #[test]
    fn costs_belong_to_the_file_they_are_from_else_to_the_function() {
        let profile = Profile::parse(SAMPLE).unwrap();
        assert_eq!(profile.of(Part::Node), 1120.0);
        assert_eq!(profile.of(Part::Protocol), 7.0);
        assert_eq!(profile.of(Part::Tokio), 3.0);
        assert_eq!(profile.of(Part::Other), 600.0);
        assert_eq!(profile.of(Part::Store), 0.0);
        assert_eq!(profile.allocations, 3.0, "what the allocator calls itself is not counted");
        let per = profile.beyond(&Profile::default(), 10);
        assert_eq!((per.total(), per.allocations), (173.0, 0.3));
    }

    #[test]
    fn a_file_that_counts_nothing_is_an_error() {
        assert!(Profile::parse("events: Ir\nsummary: 0\n").is_err());
    }
}
