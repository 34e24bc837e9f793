//! The shipped container: `-m 256` and a limit of 384 MiB, beyond which the kernel kills the process.

use anyhow::Context as _;
use ringbinder_stress::{Cgroup, Crowd};

use super::bed::{Bed, Flags, Trial};
use super::connections::{LARGE, PIECE};
use super::{Aim, Aimed, Input, Unit, peak};

/// The value of `-m` in `deploy/`, in MiB.
const MEMORY: u64 = 256;
const LIMIT: u64 = 384;

const SURVIVES: Aimed = Aimed { what: "survives", unit: Unit::Truth, aim: Aim::AtLeast(1.0) };

pub(super) static INPUTS: &[Input] = &[
    Input {
        name: "container-unread",
        text: "-m 256, full, limit of 384 MiB: 150 clients ask six times for a value of 1 MB that was set \
               anew, and never read",
        clients: 150,
        figures: &[SURVIVES, peak(MEMORY)],
        measure: unread,
    },
    Input {
        name: "container-half-sent",
        text: "-m 256, full, limit of 384 MiB: 150 half-sent sets of 1 MB",
        clients: 150,
        figures: &[SURVIVES, peak(MEMORY)],
        measure: half_sent,
    },
    Input {
        name: "container-uploads",
        text: "-m 256, full, limit of 384 MiB: 200 uploads of 1 MB, all in pieces of 10 KB in turn",
        clients: 200,
        figures: &[
            Aimed { what: "uploads stored", unit: Unit::Number, aim: Aim::AtLeast(200.0) },
            peak(MEMORY),
        ],
        measure: uploads,
    },
];

/// Fills a server in a control group with the limit. The server is gone before the group is removed.
fn contained(
    bed: &Bed<'_>,
    act: impl FnOnce(&mut Trial<'_>) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<f64>> {
    let group = Cgroup::with_limit(LIMIT << 20)
        .map_err(anyhow::Error::msg)
        .context("NOT MEASURED: cannot create a control group with a memory limit")?;
    bed.with(Flags { group: Some(&group), ..Flags::memory(MEMORY) }, |trial| {
        // The values are large, since memcached takes long to move memory from small values to large ones.
        trial.feed.store(0..300, |_| LARGE, trial.stop)?;
        act(trial)
    })
}

fn unread(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    contained(bed, |trial| {
        let mut crowd = Crowd::default();
        for number in 0..150 {
            trial.stop.check()?;
            trial.feed.set("large", LARGE)?;
            crowd.join(trial.address())?;
            crowd.tell(number, "get large\r\n".repeat(6), 0, b"");
            crowd.send_what_fits(number);
        }
        trial.counter("curr_items")?;
        Ok(vec![1.0, trial.peak()?])
    })
}

fn half_sent(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    contained(bed, |trial| {
        let mut crowd = trial.crowd(150)?;
        crowd.everyone(LARGE - 1000, |it| format!("set half-{it} 0 0 {LARGE}\r\n"));
        crowd.send(PIECE, || trial.check())?;
        trial.counter("curr_items")?;
        Ok(vec![1.0, trial.peak()?])
    })
}

fn uploads(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    contained(bed, |trial| {
        let mut crowd = trial.crowd(200)?;
        for number in 0..crowd.len() {
            crowd.tell(number, format!("set slow-{number} 0 0 {LARGE}\r\n"), LARGE, b"\r\n");
        }
        crowd.send(10_000, || trial.check())?;
        let lines = crowd.lines(|| trial.check())?;
        let stored = lines.iter().flatten().filter(|line| *line == "STORED").count();
        Ok(vec![stored as f64, trial.peak()?])
    })
}
