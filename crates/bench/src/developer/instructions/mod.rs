//! `instructions`: the instructions of each server per request, counted by valgrind's callgrind.
//!
//! A count does not depend on the load of the machine, so it shows differences between two builds that no
//! clock can. It does not cover the kernel's work or the time for which an instruction waits for memory.
//!
//! Each figure comes from two runs that differ only in the number of requests. Both include the cost of
//! starting, filling and stopping. Their difference is divided by the number of additional requests.

mod client;
mod profile;
mod server;

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use crate::Verdict;
use crate::developer::cli::InstructionsOptions;
use crate::output;
use crate::progress::{Look, Progress};
use crate::stop::Stop;
use crate::table::{NOTHING, grouped, markdown};
use client::{LOADS, Load};
use profile::{Part, Profile};
use server::Counted;

/// The result of a load, in instructions and allocations per request.
#[derive(Debug, Serialize)]
struct Figures {
    load: &'static str,
    memcached: f64,
    ringbinderd: f64,
    allocations: f64,
}

/// Runs `ringbinder-bench instructions`.
pub(crate) fn run(
    options: &InstructionsOptions,
    look: Look,
    stop: &Stop,
) -> anyhow::Result<Verdict> {
    output::will_write(options.data.json.as_deref())?;
    let mut progress = Progress::new(look);
    server::valgrind_is_there()?;
    let ours = match &options.ringbinderd {
        Some(path) => path.clone(),
        None => std::env::current_exe()
            .context("cannot find this program's own path; name the server with --ringbinderd")?
            .with_file_name("ringbinderd"),
    };
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = match &options.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            folder
        }
        None => temporary.path(),
    };
    let wanted = |load: &&Load| {
        options.only.is_empty() || options.only.iter().any(|word| load.name.contains(&**word))
    };
    let mut totals = vec![words(&["load", "memcached", "ringbinderd", "ratio", "allocations"])];
    let mut parts = vec![words(&["load", "store", "protocol", "node", "tokio", "other"])];
    let mut data = Vec::new();
    for load in LOADS.iter().filter(wanted) {
        let mut count = |name: &str, program: &PathBuf| -> anyhow::Result<Profile> {
            progress.show(load.name, name);
            let run = |requests: u32| {
                let file = folder.join(format!("{name}.{}.{requests}", load.name));
                let server = Counted::start(program, &file, stop)
                    .with_context(|| format!("cannot count the instructions of {name}"))?;
                client::drive(server.address, load, requests, options.keys, options.value)?;
                server.profile()
            };
            let (few, many) = (run(load.few())?, run(load.many())?);
            Ok(many.beyond(&few, load.many() - load.few()))
        };
        let theirs = count("memcached", &options.vs)?;
        let ours = count("ringbinderd", &ours)?;
        totals.push(vec![
            load.name.to_owned(),
            grouped(theirs.total()),
            grouped(ours.total()),
            format!("{:.2}", ours.total() / theirs.total()),
            format!("{:.2}", ours.allocations.max(0.0)),
        ]);
        let mut row = vec![load.name.to_owned()];
        row.extend(Part::ALL.iter().map(|&part| match ours.of(part) {
            none if none < 0.5 => NOTHING.to_owned(),
            some => grouped(some),
        }));
        parts.push(row);
        data.push(Figures {
            load: load.name,
            memcached: theirs.total(),
            ringbinderd: ours.total(),
            allocations: ours.allocations.max(0.0),
        });
    }
    drop(progress);
    let text = format!(
        "Instructions per request outside the kernel, and what ringbinderd allocates:\n\n{}\n\
         Where those of ringbinderd are spent:\n\n{}",
        markdown(&totals),
        markdown(&parts)
    );
    output::publish(&text, options.data.json.as_deref(), &data)?;
    Ok(Verdict::Clean)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
