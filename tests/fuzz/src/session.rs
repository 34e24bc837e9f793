//! A session: what the fuzzer's bytes do with a node, and whether it answered as it should.
//!
//! The first byte chooses the kind. A history goes to a node with room for all of it, request by
//! request next to the model. One on a node too small for it may find any item evicted, but never
//! another's value or an old one. A raw stream is not understood here: see [`crate::raw`].
//!
//! Starting a node costs as much as many requests, so one node serves many sessions; each begins
//! with a flush. A failure that needs what an earlier session left behind is found all the same, and
//! `replay` with the same seed repeats it.

use std::fmt;
use std::io;

use ringbinder_node::InProcessNode;

use crate::answer::shorten;
use crate::choices::Choices;
use crate::generate;
use crate::model::Model;
use crate::raw::RawPair;
use crate::request::Request;
use crate::scarce;

/// Largest item of the nodes here.
const MAX_ITEM: usize = 64 << 10;

/// Most requests of one exchange, on a small node and on others, and most exchanges of a session.
const MAX_REQUESTS_SMALL: usize = 64;
const MAX_REQUESTS: usize = 12;
const MAX_EXCHANGES: usize = 12;

/// How far a node's clock may be moved before another takes its place: it counts in 32 bits.
const MAX_AGE: u64 = 1_000_000_000;

/// What the sessions did, to see that they did something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Sessions begun.
    pub sessions: u64,
    /// Requests answered as foreseen.
    pub requests: u64,
    /// Raw streams.
    pub streams: u64,
    /// Items found evicted on the small node.
    pub evicted: u64,
    /// Items found on the small node.
    pub kept: u64,
}

/// An answer that was not foreseen.
#[derive(Debug)]
pub struct Mismatch(pub(crate) String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// A node and the time it shows.
struct Host {
    node: InProcessNode,
    started: u64,
    now: u64,
}

impl Host {
    fn start(megabytes: &str) -> io::Result<Host> {
        let node = start_node(megabytes)?;
        let now = clock_of(&node)?;
        Ok(Host { node, started: now, now })
    }

    fn advance(&mut self, seconds: u32) {
        self.node.advance(seconds);
        self.now += u64::from(seconds);
    }
}

/// A node of so many megabytes.
pub(crate) fn start_node(megabytes: &str) -> io::Result<InProcessNode> {
    let flags = ["-m", megabytes, "-I", "64k", "-t", "1"];
    InProcessNode::new(&flags)?.ok_or_else(|| io::Error::other("these flags are for serving"))
}

/// A node's clock, which nothing but a Unix exptime's distance shows.
pub(crate) fn clock_of(node: &InProcessNode) -> io::Result<u64> {
    const FAR: u64 = 4_000_000_000;
    let question = format!("ms clock 0 T{FAR}\r\n\r\nmg clock t\r\nmd clock\r\n");
    let answer = node.exchange(&[question.as_bytes()])?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let left = answer.split_once(" t").and_then(|(_, rest)| rest.split_once('\r'));
    left.and_then(|(left, _)| FAR.checked_sub(left.parse().ok()?))
        .ok_or_else(|| io::Error::other(format!("no time in {answer:?}")))
}

/// The nodes, kept from session to session.
#[derive(Default)]
pub struct Sessions {
    roomy: Option<Host>,
    small: Option<Host>,
    raw: RawPair,
    /// What was done so far.
    pub tally: Tally,
}

impl Sessions {
    /// Runs the session these bytes mean.
    ///
    /// # Errors
    /// Where a node answered something else than it should, or could not be run at all.
    pub fn run(&mut self, data: &[u8]) -> Result<(), Mismatch> {
        self.tally.sessions += 1;
        let mut choices = Choices::new(data);
        let failed = |error: io::Error| Mismatch(format!("the node cannot be used: {error}"));
        match choices.below(16) {
            15 => {
                let host = take(&mut self.small, "1").map_err(failed)?;
                let host =
                    History::new(host, true).map_err(failed)?.run(choices, &mut self.tally)?;
                self.small = Some(host);
            }
            12..=14 => {
                self.tally.streams += 1;
                self.raw.run(choices)?;
            }
            _ => {
                let host = take(&mut self.roomy, "64").map_err(failed)?;
                let host =
                    History::new(host, false).map_err(failed)?.run(choices, &mut self.tally)?;
                self.roomy = Some(host);
            }
        }
        Ok(())
    }
}

/// The node kept from the last session, or a new one. It is not put back where a session failed.
fn take(kept: &mut Option<Host>, megabytes: &str) -> io::Result<Host> {
    match kept.take() {
        Some(host) if host.now - host.started < MAX_AGE => Ok(host),
        _ => Host::start(megabytes),
    }
}

/// One history under way.
struct History {
    host: Host,
    model: Model,
    /// Items may be missing.
    lossy: bool,
    done: Vec<Step>,
}

/// What was done, for telling.
enum Step {
    Pause(u32),
    Request(Request),
}

impl History {
    fn new(host: Host, lossy: bool) -> io::Result<History> {
        let answer = host.node.exchange(&[b"flush_all\r\n"])?;
        if answer != b"OK\r\n" {
            return Err(io::Error::other(format!("flush_all: {}", answer.escape_ascii())));
        }
        let model = Model::new(host.now, MAX_ITEM);
        Ok(History { host, model, lossy, done: Vec::new() })
    }

    fn run(mut self, mut choices: Choices<'_>, tally: &mut Tally) -> Result<Host, Mismatch> {
        for _ in 0..MAX_EXCHANGES {
            if choices.is_exhausted() {
                break;
            }
            self.exchange(&mut choices, tally)?;
        }
        Ok(self.host)
    }

    fn exchange(&mut self, choices: &mut Choices<'_>, tally: &mut Tally) -> Result<(), Mismatch> {
        let pause = generate::pause(choices, &self.model);
        if pause > 0 {
            self.host.advance(pause);
            self.model.advance(pause);
            self.done.push(Step::Pause(pause));
        }
        let first = self.done.len();
        let mut sent = Vec::new();
        if self.lossy && self.done.is_empty() {
            for request in scarce::fill() {
                request.write(b"\r\n", &mut sent);
                self.done.push(Step::Request(request));
            }
        }
        let most = if self.lossy { MAX_REQUESTS_SMALL } else { MAX_REQUESTS };
        for _ in 0..=choices.below(most) {
            let request = if self.lossy {
                scarce::request(choices)
            } else {
                generate::request(choices, &self.model, MAX_ITEM)
            };
            let line_end: &[u8] = if choices.once_in(16) { b"\n" } else { b"\r\n" };
            request.write(line_end, &mut sent);
            self.done.push(Step::Request(request));
        }
        let chunks = cut(&sent, choices);
        let answers = self.host.node.exchange(&chunks);
        let answers = answers.map_err(|error| self.mismatch(first, &format!("{error}")))?;
        let mut rest = &answers[..];
        for at in first..self.done.len() {
            let Step::Request(request) = &self.done[at] else { continue };
            let taken = if self.lossy {
                scarce::meet(&mut self.model, request, rest, tally)
            } else {
                let answer = self.model.apply(request);
                answer.take_off(rest, self.model.book()).ok_or(answer)
            };
            rest = match taken {
                Ok(rest) => rest,
                Err(answer) => {
                    let told = format!("expected {answer}\n     got \"{}\"", shorten(rest));
                    return Err(self.mismatch(at, &told));
                }
            };
            tally.requests += 1;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let told = format!("expected nothing more\n     got \"{}\"", shorten(rest));
        Err(self.mismatch(self.done.len(), &told))
    }

    /// The history up to the request that was answered wrongly, and the answer.
    fn mismatch(&self, at: usize, told: &str) -> Mismatch {
        let kind = if self.lossy { "small node" } else { "node" };
        let mut text = format!("wrong answer of the {kind} after:\n");
        for (index, step) in self.done.iter().enumerate().take(at + 1) {
            let mark = if index == at { ">>" } else { "  " };
            match step {
                Step::Pause(seconds) => text += &format!("{mark} ({seconds} seconds pass)\n"),
                Step::Request(request) => {
                    let mut bytes = Vec::new();
                    request.write(b"\r\n", &mut bytes);
                    text += &format!("{mark} {}\n", shorten(&bytes));
                }
            }
        }
        Mismatch(format!("{text}{told}"))
    }
}

/// The bytes in pieces: seldom cut, seldom cut everywhere.
pub(crate) fn cut<'a>(bytes: &'a [u8], choices: &mut Choices<'_>) -> Vec<&'a [u8]> {
    const EVERYWHERE: usize = 300;
    let mut cuts = match choices.below(8) {
        0..=3 => Vec::new(),
        7 if bytes.len() <= EVERYWHERE => (1..bytes.len()).collect(),
        n => (0..n % 4).map(|_| choices.below(bytes.len().max(1))).collect(),
    };
    cuts.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in cuts.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[start..end]);
        start = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_reach_the_node_as_cuts() {
        // A watch may not stand behind another answer, unless that is written already.
        let node = start_node("64").unwrap();
        let whole = node.exchange(&[b"mn\r\nwatch nothing\r\n"]).unwrap();
        let cut = node.exchange(&[b"mn\r\n", b"watch nothing\r\n"]).unwrap();
        assert_eq!(whole, b"MN\r\nERROR cannot pipeline other commands before watch\r\n");
        assert_eq!(cut, b"MN\r\nERROR\r\n");
    }

    #[test]
    fn bytes_are_cut_without_loss() {
        for seed in 0..=255 {
            let bytes: Vec<u8> = (0..50).collect();
            let pieces = cut(&bytes, &mut Choices::new(&[seed, 7, 1, 30]));
            assert_eq!(pieces.concat(), bytes);
        }
    }

    #[test]
    fn a_wrong_answer_is_told_with_what_led_to_it() {
        let host = Host::start("64").unwrap();
        let mut history = History::new(host, false).unwrap();
        let set = Request::Fixed { sent: b"set a 0 0 1\r\nx\r\n", answer: b"STORED\r\n" };
        history.done.extend([Step::Pause(5), Step::Request(set)]);
        let told = history.mismatch(1, "expected this").to_string();
        assert!(
            told.contains("  (5 seconds pass)\n>> set a 0 0 1\\r\\nx\\r\\n\nexpected this"),
            "{told}"
        );
    }

    #[test]
    fn sessions_of_every_kind_go_well_and_do_something() {
        let mut sessions = Sessions::default();
        for kind in [0, 12, 15] {
            for seed in 0_u8..20 {
                let mut byte = seed;
                let mut next = || {
                    byte = byte.wrapping_mul(109).wrapping_add(89);
                    byte ^ (byte >> 3)
                };
                let data: Vec<u8> = std::iter::once(kind).chain((0..800).map(|_| next())).collect();
                sessions.run(&data).unwrap();
            }
        }
        let Tally { requests, streams, kept, evicted, .. } = sessions.tally;
        assert!(requests > 500 && streams == 20, "{:?}", sessions.tally);
        assert!(kept > 100 && evicted > 10, "{:?}", sessions.tally);
    }
}
