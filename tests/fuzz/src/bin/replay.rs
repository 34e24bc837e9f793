//! Runs the fuzz targets' checks without a fuzzer.
//!
//!     replay [--sessions N] [--seed S]     N random sessions, the same for the same seed
//!     replay FILE...                       inputs of the target `connection`, each told in words
//!     replay --parser FILE...              inputs of the target `parser`
//!     replay --answers FILE...             inputs of the target `answers`, each shown as what came
//!     replay --ring-file FILE...           inputs of the target `ring_file`, each shown as its text
//!     replay --store FILE...               inputs of the target `store`
//!     replay --snapshot FILE...            inputs of the target `snapshot`

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use ringbinder_fuzz::session::Sessions;
use ringbinder_fuzz::{answers, parsing, ring_file, snapshot, storage_line, store};

/// Longest input of a random session.
const MAX_LEN: u64 = 600;

fn main() -> ExitCode {
    let mut sessions = Sessions::default();
    let done = match Arguments::read() {
        Ok(Arguments { files, target, .. }) if !files.is_empty() => {
            files.iter().try_for_each(|file| one(file, target, &mut sessions))
        }
        Ok(Arguments { count, seed, .. }) => random(count, seed, &mut sessions),
        Err(error) => Err(error),
    };
    let tally = sessions.tally;
    println!(
        "{} sessions: {} requests, {} raw streams; on the small node {} items kept, {} evicted",
        tally.sessions, tally.requests, tally.streams, tally.kept, tally.evicted
    );
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn one(file: &str, target: Target, sessions: &mut Sessions) -> Result<(), String> {
    let data = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    match target {
        Target::Connection => {
            sessions.run(&data).map_err(|mismatch| format!("{file}: {mismatch}"))?;
        }
        Target::Parser => {
            parsing::check(&data);
            storage_line::check(&data);
        }
        Target::Answers => {
            let (asked, bytes) = answers::question(&data);
            println!("{asked:?}: {}", bytes.escape_ascii());
            answers::check(&data);
        }
        Target::Store => println!("{file}: {:?}", store::check(&data)),
        Target::Snapshot => println!("{file}: {:?}", snapshot::check(&data)),
        Target::RingFile => {
            for (text, format) in ring_file::texts(&data) {
                println!("{format:?}:\n{text}");
            }
            ring_file::check(&data);
        }
    }
    Ok(())
}

fn random(count: u64, seed: u64, sessions: &mut Sessions) -> Result<(), String> {
    let start = Instant::now();
    let mut rings = ring_file::Tally::default();
    let mut answers = answers::Tally::default();
    let mut stores = store::Tally::default();
    let mut snapshots = snapshot::Tally::default();
    for number in 0..count {
        let mut random = Random(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let len = random.next() % MAX_LEN;
        let data: Vec<u8> = (0..len).map(|_| random.next().to_be_bytes()[0]).collect();
        parsing::check(&data);
        storage_line::check(&data);
        let answer = answers::check(&data);
        answers.read += answer.read;
        answers.refused += answer.refused;
        answers.waiting += answer.waiting;
        let kept = store::check(&data);
        stores.steps += kept.steps;
        stores.evicted += kept.evicted;
        stores.refused += kept.refused;
        let saved = snapshot::check(&data);
        snapshots.whole += saved.whole;
        snapshots.refused += saved.refused;
        let ring = ring_file::check(&data);
        rings.rings += ring.rings;
        rings.refused += ring.refused;
        sessions
            .run(&data)
            .map_err(|mismatch| format!("session {number} of seed {seed}: {mismatch}"))?;
    }
    let elapsed = start.elapsed().as_secs_f64();
    println!("seed {seed}: {:.0} sessions a second", count as f64 / elapsed.max(1e-9));
    println!(
        "histories of a store: {} operations, {} evictions, {} refused",
        stores.steps, stores.evicted, stores.refused
    );
    println!("snapshots: {} whole, {} refused", snapshots.whole, snapshots.refused);
    println!("ring files: {} read, {} refused", rings.rings, rings.refused);
    println!(
        "answers to the client: {} read, {} refused, {} not whole",
        answers.read, answers.refused, answers.waiting
    );
    Ok(())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Whose inputs the files are.
#[derive(Clone, Copy)]
enum Target {
    Connection,
    Parser,
    Answers,
    RingFile,
    Store,
    Snapshot,
}

struct Arguments {
    count: u64,
    seed: u64,
    target: Target,
    files: Vec<String>,
}

impl Arguments {
    fn read() -> Result<Arguments, String> {
        let (target, files) = (Target::Connection, Vec::new());
        let mut read = Arguments { count: 2000, seed: 1, target, files };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let word = arguments.next().ok_or(format!("{argument} wants a number"))?;
                word.parse().map_err(|_| format!("{argument} wants a number, not {word}"))
            };
            match argument.as_str() {
                "--sessions" => read.count = number()?,
                "--seed" => read.seed = number()?,
                "--parser" => read.target = Target::Parser,
                "--answers" => read.target = Target::Answers,
                "--ring-file" => read.target = Target::RingFile,
                "--store" => read.target = Target::Store,
                "--snapshot" => read.target = Target::Snapshot,
                flag if flag.starts_with('-') => return Err(format!("no such flag: {flag}")),
                _ => read.files.push(argument),
            }
        }
        Ok(read)
    }
}
