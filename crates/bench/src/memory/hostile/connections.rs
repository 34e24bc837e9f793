//! Inputs of connections that hold memory: half-sent sets, and answers and lines that the client does not
//! read.

use std::time::Duration;

use super::bed::{Bed, Flags, KEY, MEBIBYTE, NEW, ORDINARY};
use super::{Aim, Aimed, EXTRA, Input, KEPT, Unit, peak};
use ringbinder_stress::Crowd;

/// The longest value that every server accepts without further flags, rounded.
pub(super) const LARGE: usize = 1_000_000;

/// Bytes written at once to one of many connections.
pub(super) const PIECE: usize = 64 * 1024;

pub(super) static INPUTS: &[Input] = &[
    Input {
        name: "half-sent",
        text: "-m 64: 60 clients each hold 999,000 bytes of an unfinished set of 1 MB; \
               3,000 ordinary sets",
        clients: 60,
        figures: &[KEPT, peak(64)],
        measure: half_sent,
    },
    Input {
        name: "unread-values",
        text: "-m 64: each round sets a value of 1 MB anew, and a new client asks for it six times \
               and never reads",
        clients: 1_000,
        figures: &[
            Aimed { what: "peak resident after 300 rounds", ..peak(64) },
            Aimed { what: "peak resident after 1,000 rounds", ..peak(64) },
            Aimed { what: "sets refused", unit: Unit::Number, aim: Aim::AtMost(0.0) },
        ],
        measure: unread_values,
    },
    Input {
        name: "unread-answers",
        text: "-m 64 -t 8: 320 clients ask for 1,500 values of 3 KB and never read; all close after \
               2 s; then ordinary sets",
        clients: 320,
        figures: &[
            Aimed {
                what: "ordinary items afterwards",
                unit: Unit::Mebibytes,
                aim: Aim::AtLeast(57.0),
            },
            peak(64),
        ],
        measure: unread_answers,
    },
    Input {
        name: "many-half-sent",
        text: "-m 64, full: 5,000 clients each send 100,000 bytes of a set of 1 MB; \
               3,000 ordinary sets",
        clients: 5_000,
        figures: &[KEPT, EXTRA, peak(64)],
        measure: many_half_sent,
    },
    Input {
        name: "long-lines",
        text: "-m 64, full: 200 clients each send a line of 100,000 keys and never read; \
               3,000 ordinary sets",
        clients: 200,
        figures: &[KEPT, EXTRA, peak(64)],
        measure: long_lines,
    },
    Input {
        name: "announced",
        text: "-m 64, full: 80 clients announce sets of 64 MiB together and send nothing; 100 sets \
               of 300 KB",
        clients: 80,
        figures: &[
            Aimed { what: "sets refused", unit: Unit::Number, aim: Aim::AtMost(0.0) },
            peak(64),
        ],
        measure: announced,
    },
];

fn half_sent(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    bed.with(Flags::memory(64), |trial| {
        let before = trial.fill(64)?;
        let mut crowd = trial.crowd(60)?;
        crowd.everyone(LARGE - 1000, |it| format!("set half-{it} 0 0 {LARGE}\r\n"));
        crowd.send(PIECE, || trial.check())?;
        trial.store(NEW..NEW + 3000)?;
        Ok(vec![trial.kept(before)?, trial.peak()?])
    })
}

fn unread_values(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    bed.with(Flags::memory(64), |trial| {
        let mut crowd = Crowd::default();
        let (mut refused, mut first) = (0, 0.0);
        for round in 0..1000 {
            trial.stop.check()?;
            refused += u64::from(!trial.feed.set("large", LARGE)?);
            // A server that refuses further clients is not worse for that.
            if crowd.join(trial.address()).is_ok() {
                crowd.tell(crowd.len() - 1, "get large\r\n".repeat(6), 0, b"");
                crowd.send_what_fits(crowd.len() - 1);
            }
            if round == 299 {
                first = trial.peak()?;
            }
        }
        trial.stop.pause(Duration::from_secs(1))?;
        Ok(vec![first, trial.peak()?, refused as f64])
    })
}

fn unread_answers(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    let keys = || (0..1500).map(|number| format!("{:08}", NEW + number));
    bed.with(Flags { threads: 8, ..Flags::memory(64) }, |trial| {
        trial.feed.store(NEW..NEW + 1500, |_| 3000, trial.stop)?;
        let line = keys().fold("get".to_owned(), |line, key| line + " " + &key) + "\r\n";
        let mut crowd = trial.crowd(320)?;
        crowd.everyone(0, |_| line.clone());
        crowd.send(PIECE, || trial.check())?;
        trial.stop.pause(Duration::from_secs(2))?;
        drop(crowd);
        let deletes = keys().map(|key| format!("delete {key}\r\n"));
        trial.feed.count(deletes, "DELETED", trial.stop)?;
        let items = trial.fill(64)?;
        Ok(vec![(items * (KEY + ORDINARY as u64)) as f64 / MEBIBYTE, trial.peak()?])
    })
}

fn many_half_sent(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    bed.with(Flags::memory(64), |trial| {
        let items = trial.fill(64)?;
        let before = trial.settled()?;
        let mut crowd = trial.crowd(5000)?;
        crowd.everyone(100_000, |it| format!("set half-{it} 0 0 {LARGE}\r\n"));
        crowd.send(PIECE, || trial.check())?;
        trial.store(NEW..NEW + 3000)?;
        let peak = trial.peak()?;
        Ok(vec![trial.kept(items)?, peak - before, peak])
    })
}

fn long_lines(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    bed.with(Flags::memory(64), |trial| {
        let items = trial.fill(64)?;
        trial.feed.set("70000", 1)?;
        let before = trial.settled()?;
        let line = format!("get{}\r\n", " 70000".repeat(100_000));
        let mut crowd = trial.crowd(200)?;
        crowd.everyone(0, |_| line.clone());
        crowd.send(PIECE, || trial.check())?;
        trial.store(NEW..NEW + 3000)?;
        let peak = trial.peak()?;
        Ok(vec![trial.kept(items)?, peak - before, peak])
    })
}

fn announced(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    const ALL: usize = 64 << 20;
    // More than any server reads at once.
    const LENGTH: usize = 300_000;
    bed.with(Flags::memory(64), |trial| {
        trial.feed.store(0..250, |_| LENGTH, trial.stop)?;
        let mut crowd = trial.crowd(80)?;
        crowd.everyone(0, |it| format!("set announced-{it} 0 0 {}\r\n", ALL / 80));
        crowd.send(PIECE, || trial.check())?;
        let mut refused = 0;
        for number in 0..100 {
            trial.stop.check()?;
            refused += u64::from(!trial.feed.set(&format!("parts-{number}"), LENGTH)?);
        }
        Ok(vec![refused as f64, trial.peak()?])
    })
}
