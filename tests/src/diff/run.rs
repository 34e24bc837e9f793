//! Runs a history against two servers and compares.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::command::{CasPair, Command, Side, words};
use super::renaming::{OWN_NUMBERS, Renaming, cas_numbers, masked};
use super::{Generator, Profile, batch};
use crate::allowed::{self, Case};
use crate::conn::{Conn, SENTINEL, exchange, show};
use crate::server::{Kind, Server};

/// Number of connections that take turns.
const CONNECTIONS: usize = 4;
/// Number of earlier commands on the same key in a failure report.
const HISTORY: usize = 12;

/// The settings of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of commands, rounded up to whole batches.
    pub commands: u64,
    /// The seed of all generated commands.
    pub seed: u64,
    /// The profile of the reference.
    pub profile: Profile,
    /// Whether to compare CAS numbers by order instead of equality, for a memcached that skips numbers.
    pub rename_cas: bool,
    /// Whether to continue after differences, and count them by kind with one example each.
    pub survey: bool,
}

/// The result of a run without failure.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Commands whose answers were compared.
    pub commands: u64,
    /// Number of occurrences of each intended difference.
    pub allowed: BTreeMap<&'static str, u64>,
    /// The differences of a survey: the number of each kind, and its first example.
    pub differences: BTreeMap<String, (u64, String)>,
}

struct Run {
    plan: Plan,
    outcome: Outcome,
    renaming: Renaming,
    /// The last compared commands, the latest at the end, for failure reports.
    recent: VecDeque<(u64, Vec<u8>, Vec<u8>)>,
}

/// Runs a plan. The error contains all information needed to understand and repeat the failure.
pub fn run(theirs: &Server, ours: &Server, plan: Plan) -> Result<Outcome, String> {
    let mut generator = Generator::new(plan.seed, plan.profile, plan.rename_cas);
    // Cuts and turns use a random generator of their own, so that they do not affect the commands.
    let mut rng = StdRng::seed_from_u64(plan.seed ^ 0x5eed);
    let connections = || -> Vec<[Conn; 2]> {
        (0..CONNECTIONS).map(|_| [theirs.connect(), ours.connect()]).collect()
    };
    let mut conns = connections();
    if plan.rename_cas {
        for conn in &mut conns[0] {
            burn_own_numbers(conn);
        }
    }
    let mut run = Run {
        plan,
        outcome: Outcome::default(),
        renaming: Renaming::default(),
        recent: VecDeque::new(),
    };
    while run.outcome.commands < plan.commands {
        if rng.random_ratio(1, 20) {
            let command = super::errors::without_length(&mut generator);
            run.compare_end(&command, theirs, ours)?;
        }
        let (commands, raw) = generator.batch();
        let cuts = batch::cuts(&mut rng);
        let pieces = [Side::Theirs, Side::Ours]
            .map(|side| batch::pieces(&batch::bytes(&commands, raw, side), &cuts));
        let sentinels = if raw { 1 } else { commands.len() };
        let [their_conn, our_conn] = &mut conns[rng.random_range(0..CONNECTIONS)];
        let answers = exchange(&mut [their_conn, our_conn], &pieces, sentinels);
        if raw {
            run.compare_raw(&commands, &answers)?;
        } else if let Err(report) = run.compare_framed(&commands, &answers, &mut generator) {
            if !plan.survey {
                return Err(report);
            }
            // The two sides read at different positions, so the run continues on new connections.
            let kinds = &mut run.outcome.differences;
            kinds.entry("out of step".into()).or_insert((0, report)).0 += 1;
            conns = connections();
        }
        run.outcome.commands += commands.len() as u64;
    }
    Ok(run.outcome)
}

/// Sets a key until the server has used all its numbers below [`OWN_NUMBERS`].
fn burn_own_numbers(conn: &mut Conn) {
    let request = b"set burnt 0 0 0 noreply\r\n\r\n".repeat(1000);
    assert_eq!(u64::try_from(request.len() / 27), Ok(OWN_NUMBERS));
    conn.talk(request, b"");
}

impl Run {
    /// Compares the answers to a storage line without a length, on separate connections: ringbinderd closes,
    /// and memcached continues to read.
    fn compare_end(
        &mut self,
        command: &Command,
        theirs: &Server,
        ours: &Server,
    ) -> Result<(), String> {
        let (mut their_conn, mut our_conn) = (theirs.connect(), ours.connect());
        let pieces = [Side::Theirs, Side::Ours]
            .map(|side| vec![batch::bytes(std::slice::from_ref(command), false, side)]);
        let answers = exchange(&mut [&mut their_conn, &mut our_conn], &pieces, 1);
        let closes = ours.kind() == Kind::Ringbinder;
        let their_answer = answers[0].strip_suffix(SENTINEL).unwrap_or(&answers[0]);
        let our_answer = answers[1].strip_suffix(SENTINEL).unwrap_or(&answers[1]);
        if closes && (our_answer.len() != answers[1].len() || !our_conn.ended()) {
            return Err(self.report_batch(
                "it does not close",
                std::slice::from_ref(command),
                &answers[0],
                &answers[1],
            ));
        }
        let sent = command.render(Side::Ours);
        let case = Case { command: &sent, theirs: their_answer, ours: our_answer };
        if their_answer != our_answer {
            let Some(name) = allowed::explain(self.plan.profile, &case) else {
                let answers = (answers[0].clone(), answers[1].clone());
                let report = self.report("answers differ", 0, command, None, answers);
                if self.plan.survey {
                    let kind =
                        format!("{} | {} | {}", kind(&sent), kind(their_answer), kind(our_answer));
                    self.outcome.differences.entry(kind).or_insert((0, report)).0 += 1;
                    return Ok(());
                }
                return Err(report);
            };
            *self.outcome.allowed.entry(name).or_default() += 1;
        }
        if closes {
            *self.outcome.allowed.entry("closes").or_default() += 1;
        }
        self.outcome.commands += 1;
        Ok(())
    }

    fn compare_framed(
        &mut self,
        commands: &[Command],
        [theirs, ours]: &[Vec<u8>; 2],
        generator: &mut Generator,
    ) -> Result<(), String> {
        let split = (batch::answers(theirs, commands.len()), batch::answers(ours, commands.len()));
        let (Some(theirs), Some(ours)) = split else {
            return Err(self.report_batch("not one answer a command", commands, theirs, ours));
        };
        for (index, command) in commands.iter().enumerate() {
            self.compare(index as u64, command, theirs[index], ours[index], generator)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        index: u64,
        command: &Command,
        theirs: &[u8],
        ours: &[u8],
        generator: &mut Generator,
    ) -> Result<(), String> {
        let sent = command.render(Side::Ours);
        let found = (cas_numbers(&sent, theirs), cas_numbers(&sent, ours));
        let mut same = theirs == ours;
        let mut renamed = None;
        if found.0.len() == found.1.len() {
            let pairs = found.0.iter().zip(&found.1);
            for (theirs, ours) in pairs.clone() {
                let pair = CasPair { theirs: theirs.number, ours: ours.number };
                if self.plan.rename_cas && !self.plan.survey && !self.renaming.accept(pair) {
                    let why = format!(
                        "CAS {pair:?} does not fit those before: {:?}",
                        self.renaming.around(pair)
                    );
                    let numbers = (theirs.number.to_string(), ours.number.to_string());
                    let answers = (numbers.0.into_bytes(), numbers.1.into_bytes());
                    return Err(self.report(&why, index, command, Some(&ours.key), answers));
                }
                generator.learn(ours.key.clone(), pair);
            }
            if self.plan.rename_cas {
                let masks = (masked(theirs, &found.0), masked(ours, &found.1));
                same = masks.0 == masks.1;
                renamed = Some(masks);
            }
        }
        if !same {
            let (theirs, ours) =
                renamed.as_ref().map_or((theirs, ours), |(theirs, ours)| (theirs, ours));
            let Some(name) =
                allowed::explain(self.plan.profile, &Case { command: &sent, theirs, ours })
            else {
                let answers = (theirs.to_vec(), ours.to_vec());
                let report = self.report("answers differ", index, command, None, answers);
                if !self.plan.survey {
                    return Err(report);
                }
                let kind = format!("{} | {} | {}", kind(&sent), kind(theirs), kind(ours));
                self.outcome.differences.entry(kind).or_insert((0, report)).0 += 1;
                return Ok(());
            };
            *self.outcome.allowed.entry(name).or_default() += 1;
        }
        if self.recent.len() >= 20_000 {
            self.recent.pop_front();
        }
        let shown = ours[..ours.len().min(200)].to_vec();
        self.recent.push_back((self.outcome.commands + index, sent, shown));
        Ok(())
    }

    fn compare_raw(
        &mut self,
        commands: &[Command],
        [theirs, ours]: &[Vec<u8>; 2],
    ) -> Result<(), String> {
        if theirs != ours && !self.plan.survey {
            return Err(self.report_batch("a raw batch's output differs", commands, theirs, ours));
        }
        for (index, command) in commands.iter().enumerate() {
            if self.recent.len() >= 20_000 {
                self.recent.pop_front();
            }
            let at = self.outcome.commands + index as u64;
            self.recent.push_back((at, command.render(Side::Ours), b"(raw batch)".to_vec()));
        }
        Ok(())
    }

    fn heading(&self, why: &str, index: u64) -> String {
        format!(
            "{why}\n  command {index} of RINGBINDER_DIFF_SEED={} ({:?})\n",
            self.plan.seed, self.plan.profile
        )
    }

    fn report(
        &self,
        why: &str,
        index: u64,
        command: &Command,
        key: Option<&[u8]>,
        (theirs, ours): (Vec<u8>, Vec<u8>),
    ) -> String {
        let sent = command.render(Side::Ours);
        let mut out = self.heading(why, self.outcome.commands + index);
        let _ = writeln!(out, "    sent: {}", show(&sent));
        let _ = writeln!(out, "  theirs: {}", show(&theirs));
        let _ = writeln!(out, "    ours: {}", show(&ours));
        let words = words(&sent);
        let key = key.or(words.get(1).copied()).unwrap_or_default();
        let _ = writeln!(out, "  before it, on that key or on all:");
        let related = self.recent.iter().filter(|(_, sent, _)| {
            let line = super::command::words(sent);
            line.contains(&key) || line.first() == Some(&b"flush_all".as_slice())
        });
        let related: Vec<_> = related.collect();

        for (at, sent, ours) in &related[related.len().saturating_sub(HISTORY)..] {
            let short = &sent[..sent.len().min(160)];
            let _ = writeln!(out, "    {at}: {} -> {}", show(short), show(ours));
        }
        out
    }

    fn report_batch(&self, why: &str, commands: &[Command], theirs: &[u8], ours: &[u8]) -> String {
        let at = theirs.iter().zip(ours).take_while(|(a, b)| a == b).count();
        let around = at.saturating_sub(300);
        let mut out = self.heading(why, self.outcome.commands);
        let _ = writeln!(out, "  {} and {} bytes, alike for {at}", theirs.len(), ours.len());
        let tail =
            |bytes: &[u8]| show(&bytes[around.min(bytes.len())..(at + 200).min(bytes.len())]);
        let _ = writeln!(out, "  theirs, from {around}: {}", tail(theirs));
        let _ = writeln!(out, "    ours, from {around}: {}", tail(ours));
        let _ = writeln!(out, "  the batch:");
        for (index, command) in commands.iter().enumerate() {
            let _ = writeln!(out, "    {index}: {}", show(&command.render(Side::Ours)));
        }
        out
    }
}

/// The form of a line without its numbers.
fn kind(bytes: &[u8]) -> String {
    let words = words(bytes).into_iter().take(2);
    let text: Vec<_> =
        words.map(|word| String::from_utf8_lossy(&word[..word.len().min(30)])).collect();
    text.join(" ").replace(|letter: char| letter.is_ascii_digit(), "")
}
