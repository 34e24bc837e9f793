//! Inputs with difficult contents: large values, dead items, a changing limit, overwrites.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::bail;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::bed::{Bed, Feed, Flags, KEY, MEBIBYTE, NEW, ORDINARY, Trial};
use super::{Aim, Aimed, Input, Unit, peak};
use crate::stop::Stop;

const REFUSED: Aimed = Aimed { what: "sets refused", unit: Unit::Number, aim: Aim::AtMost(0.0) };

/// Bytes of ordinary items that a limit must hold: keys and values are 85 % of the limit.
const fn worth(what: &'static str, megabytes: u64) -> Aimed {
    Aimed { what, unit: Unit::Mebibytes, aim: Aim::AtLeast((megabytes * 85 / 100) as f64) }
}

pub(super) static INPUTS: &[Input] = &[
    Input {
        name: "large-values",
        text: "-m 256 -I 128m: eight values of 127 MiB",
        // One value more than in any other input: it is being received while the last one is sent.
        clients: 0,
        figures: &[REFUSED, Aimed { aim: Aim::AtMost(256.0 + 32.0 + 127.0), ..peak(256) }],
        measure: large_values,
    },
    Input {
        name: "flushed",
        text: "-m 8 -M: full, flush_all, 1,000 ordinary sets",
        clients: 0,
        figures: &[REFUSED, peak(8)],
        measure: flushed,
    },
    Input {
        name: "touches",
        text: "-m 80 -M: up to 2.1 million values of 4 bytes, each touched",
        clients: 0,
        figures: &[
            Aimed { what: "resident beyond -m", unit: Unit::Mebibytes, aim: Aim::AtMost(64.0) },
            Aimed { what: "items lost", unit: Unit::Percent, aim: Aim::AtMost(3.0) },
        ],
        measure: touches,
    },
    Input {
        name: "lower-limit",
        text: "-m 256, full, 10,000 items read; cache_memlimit 128, 64, 32",
        clients: 0,
        figures: &[
            worth("items at 128", 128),
            worth("items at 64", 64),
            worth("items at 32", 32),
            Aimed { what: "of those read", unit: Unit::Percent, aim: Aim::AtLeast(90.0) },
            Aimed { what: "resident at 32", ..peak(32) },
        ],
        measure: lower_limit,
    },
    Input {
        name: "overwrites",
        text: "-m 64: 90 % of the items that fit, each overwritten five times by 500 to 1,500 bytes",
        clients: 0,
        figures: &[
            Aimed { what: "items lost", unit: Unit::Percent, aim: Aim::AtMost(3.0) },
            peak(64),
        ],
        measure: overwrites,
    },
    Input {
        name: "append",
        text: "-m 1024 -I 512m: append 1 byte to a value of 400 MB, while others get small ones",
        clients: 8,
        figures: &[
            Aimed {
                what: "longest wait of the others",
                unit: Unit::Milliseconds,
                aim: Aim::AtMost(10.0),
            },
            // One copy of the value.
            Aimed { what: "more resident", unit: Unit::Mebibytes, aim: Aim::AtMost(400.0 + 32.0) },
            peak(1024),
        ],
        measure: append,
    },
];

fn large_values(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    let more = ["-I", "128m"];
    bed.with(Flags { more: &more, ..Flags::memory(256) }, |trial| {
        let mut refused = 0;
        for number in 0..8 {
            trial.stop.check()?;
            refused += u64::from(!trial.feed.set(&format!("large-{number}"), 127 << 20)?);
        }
        Ok(vec![refused as f64, trial.peak()?])
    })
}

fn flushed(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    bed.with(Flags { more: &["-M"], ..Flags::memory(8) }, |trial| {
        if trial.store(0..20_000)?.refused == 0 {
            bail!("20,000 items fit into 8 MiB");
        }
        trial.feed.ask("flush_all\r\n")?;
        let refused = trial.store(20_000..21_000)?.refused;
        Ok(vec![refused as f64, trial.peak()?])
    })
}

fn touches(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    const MEMORY: u64 = 80;
    const MOST: u64 = 2_100_000;
    bed.with(Flags { more: &["-M"], ..Flags::memory(MEMORY) }, |trial| {
        let (mut count, mut refused) = (0, 0);
        while count < MOST && refused == 0 {
            let tally = trial.feed.store(count..count + 50_000, |_| 4, trial.stop)?;
            (count, refused) = (count + tally.stored, tally.refused);
        }
        let touches = (0..count).map(|it| format!("touch {it:08} {}\r\n", 10_000 + it % 5000));
        trial.feed.count(touches, "TOUCHED", trial.stop)?;
        let lost = 100.0 - trial.kept(count)?;
        Ok(vec![trial.peak()? - MEMORY as f64, lost])
    })
}

fn lower_limit(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    const READ: u64 = 10_000;
    bed.with(Flags::memory(256), |trial| {
        trial.fill(256)?;
        let newest = (256 << 20) / ORDINARY as u64;
        for _ in 0..3 {
            present(trial, newest..newest + READ)?;
        }
        let (mut figures, mut resident) = (Vec::new(), 0.0);
        for limit in [128, 64, 32] {
            let answer = trial.feed.ask(&format!("cache_memlimit {limit}\r\n"))?;
            if answer != "OK" {
                bail!("the answer to cache_memlimit is {answer:?}");
            }
            // Traffic continues, so that deferred corrections take effect.
            trial.store(NEW..NEW + 5000)?;
            resident = trial.settled()?;
            let items = trial.counter("curr_items")? * (KEY + ORDINARY as u64);
            figures.push(items as f64 / MEBIBYTE);
        }
        let read = present(trial, newest..newest + READ)?;
        figures.extend([100.0 * read as f64 / READ as f64, resident]);
        Ok(figures)
    })
}

/// Gets items with these numbers and returns how many exist.
fn present(trial: &mut Trial<'_>, numbers: std::ops::Range<u64>) -> anyhow::Result<u64> {
    let mut present = 0;
    for number in numbers {
        if number % 256 == 0 {
            trial.stop.check()?;
        }
        present += u64::from(get(&mut trial.feed, number)?);
    }
    Ok(present)
}

/// Whether an ordinary item exists.
fn get(feed: &mut Feed, number: u64) -> anyhow::Result<bool> {
    if feed.ask(&format!("get {number:08}\r\n"))? == "END" {
        return Ok(false);
    }
    let (_value, end) = (feed.line()?, feed.line()?);
    if end != "END" {
        bail!("a get ends with {end:?}");
    }
    Ok(true)
}

fn overwrites(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    let mut random = StdRng::seed_from_u64(1);
    let mut length = |_| random.random_range(500..=1500);
    let fit = bed.with(Flags::memory(64), |trial| {
        trial.feed.store(0..80_000, &mut length, trial.stop)?;
        trial.counter("curr_items")
    })?;
    bed.with(Flags::memory(64), |trial| {
        let mut numbers: Vec<u64> = (0..fit * 9 / 10).collect();
        trial.feed.store(numbers.iter().copied(), &mut length, trial.stop)?;
        let before = trial.counter("curr_items")?;
        let mut order = StdRng::seed_from_u64(2);
        for _ in 0..5 {
            numbers.shuffle(&mut order);
            trial.feed.store(numbers.iter().copied(), &mut length, trial.stop)?;
        }
        Ok(vec![100.0 - trial.kept(before)?, trial.peak()?])
    })
}

fn append(bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    const LENGTH: usize = 400_000_000;
    const KEYS: u64 = 1000;
    let more = ["-I", "512m"];
    bed.with(Flags { more: &more, ..Flags::memory(1024) }, |trial| {
        trial.store(0..KEYS)?;
        if !trial.feed.set("large", LENGTH)? {
            bail!("a value of 400 MB was rejected");
        }
        let before = trial.settled()?;
        let (address, stop) = (trial.address(), trial.stop);
        // Several connections, so that each thread of the server has some.
        let mut others = Vec::new();
        for _ in 0..8 {
            others.push(Feed::connect(address)?);
        }
        let done = AtomicBool::new(false);
        let (appended, longest) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| longest_wait(&mut others, KEYS, &done, stop));
            // The watcher starts before the append.
            let appended = stop.pause(Duration::from_millis(200)).map_err(anyhow::Error::from);
            let appended = appended.and_then(|()| trial.feed.ask("append large 0 0 1\r\nx\r\n"));
            done.store(true, Relaxed);
            (appended, watcher.join())
        });
        if appended? != "STORED" {
            bail!("the append was rejected");
        }
        let Ok(longest) = longest else { bail!("the watching thread panicked") };
        let peak = trial.peak()?;
        Ok(vec![longest?.as_secs_f64() * 1000.0, peak - before, peak])
    })
}

/// Gets small values on all of these connections in turn until `done`, and returns the longest wait.
fn longest_wait(
    feeds: &mut [Feed],
    keys: u64,
    done: &AtomicBool,
    stop: &Stop,
) -> anyhow::Result<Duration> {
    let (mut longest, mut number) = (Duration::ZERO, 0);
    while !done.load(Relaxed) {
        stop.check()?;
        for feed in &mut *feeds {
            let start = Instant::now();
            get(feed, number % keys)?;
            longest = longest.max(start.elapsed());
            number += 1;
        }
    }
    Ok(longest)
}
