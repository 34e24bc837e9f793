//! `memory`: what an item and an idle connection cost, from resident size.
//!
//! A server is started afresh for each figure. What it holds before the items or connections come
//! is subtracted; what the kernel holds for a socket is not part of a process and not counted.

use std::io::Write;

use anyhow::{Context, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Verdict;
use crate::cli::MemoryOptions;
use crate::cores::{Placement, move_to};
use crate::load::{Keys, Load, fill};
use crate::progress::Progress;
use crate::servers::{Client, Contender, Server, Setup};
use crate::stop::Stop;
use crate::table::{NOTHING, grouped, markdown};

/// Descriptors that are not idle connections, in this program and in the servers.
const SPARE: u64 = 200;

/// Runs `ringbinder-bench memory`.
pub(crate) fn run(options: &MemoryOptions, stop: &Stop) -> anyhow::Result<Verdict> {
    let asked = &options.servers;
    let pair = [
        Contender::memcached(asked.memcached.as_deref(), &asked.memcached_flags)?,
        Contender::ringbinderd(asked.ringbinderd.as_deref(), &asked.ringbinderd_flags)?,
    ];
    allow_files(u64::from(options.connections) + SPARE)?;
    let place = Placement::choose(
        asked.server_cores.clone(),
        asked.load_cores.clone(),
        usize::from(asked.threads),
    )?;
    let meter = Meter { place, options, stop };
    let mut progress = Progress::new();
    let mut items = vec![head("value", &pair)];
    let mut flags = Vec::new();
    for &size in &options.values {
        let mut measured = Vec::new();
        for contender in &pair {
            let stage = format!("{} items of {size} bytes:", grouped(options.items as f64));
            progress.show(&stage, contender.name);
            let (cost, lost) = meter.items(contender, size)?;
            if lost > 0 {
                flags.push(format!("{} lost {lost} items of {size} bytes", contender.name));
            }
            measured.push(cost);
        }
        items.push(row(&format!("{size} B"), &measured, "B"));
    }
    let mut idle = vec![head("connections", &pair)];
    if options.connections > 0 {
        let mut measured = Vec::new();
        for contender in &pair {
            progress.show("idle connections:", contender.name);
            measured.push(meter.connections(contender)?);
        }
        idle.push(row(&grouped(f64::from(options.connections)), &measured, "B"));
    }
    drop(progress);
    let mut out = std::io::stdout();
    for contender in &pair {
        writeln!(out, "- {}", contender.describe())?;
    }
    writeln!(out, "- servers: -t {} -m {}", asked.threads, options.memory_limit)?;
    writeln!(
        out,
        "\nResident bytes per item beyond key and value, {} items with keys of {} bytes:\n\n{}",
        grouped(options.items as f64),
        Keys::FOURTEEN,
        markdown(&items)
    )?;
    if options.connections > 0 {
        writeln!(
            out,
            "Resident bytes per idle connection, after one set and one get on each:\n\n{}",
            markdown(&idle)
        )?;
    }
    for flag in &flags {
        writeln!(out, "FLAGGED: {flag}: give both more with --memory-limit\n")?;
    }
    Ok(if flags.is_empty() { Verdict::Clean } else { Verdict::Flagged })
}

struct Meter<'a> {
    place: Placement,
    options: &'a MemoryOptions,
    stop: &'a Stop,
}

impl Meter<'_> {
    fn start(&self, contender: &Contender) -> anyhow::Result<Server> {
        let setup = Setup {
            threads: usize::from(self.options.servers.threads),
            megabytes: self.options.memory_limit,
            connections: usize::from(self.options.connections) + 100,
        };
        move_to(&self.place.servers)?;
        let server = Server::start(contender, setup, self.stop)?;
        move_to(&self.place.load)?;
        Ok(server)
    }

    /// Bytes per item beyond key and value, and how many items are not there.
    fn items(&self, contender: &Contender, value_size: usize) -> anyhow::Result<(f64, u64)> {
        let mut server = self.start(contender)?;
        let count = self.options.items;
        let load = Load {
            connections: 4,
            pipeline: 16,
            sets: 1,
            gets: 0,
            keys_per_get: 1,
            value_size,
            keys: count,
        };
        // What the first request needs once is no item's cost.
        let mut client = Client::connect(server.address)?;
        client.set_and_get("first")?;
        let before = server.settled_memory(self.stop)?;
        if let Err(error) = fill(&load, Keys::FourteenBytes, server.address, self.stop) {
            server.must_run()?;
            return Err(error.context(format!("cannot store the items in {}", server.name)));
        }
        let after = server.settled_memory(self.stop)?;
        // The one from before the load is no part of it.
        let kept = client.counter("curr_items")?.saturating_sub(1);
        if kept == 0 {
            bail!("{} kept no item", server.name);
        }
        let grown = after.saturating_sub(before) as f64;
        let own = (Keys::FOURTEEN + u64::try_from(value_size)?) as f64;
        Ok((grown / kept as f64 - own, count.saturating_sub(kept)))
    }

    /// Bytes per connection.
    fn connections(&self, contender: &Contender) -> anyhow::Result<f64> {
        let mut server = self.start(contender)?;
        Client::connect(server.address)?.set_and_get("first")?;
        let before = server.settled_memory(self.stop)?;
        let count = self.options.connections;
        let mut idle = Vec::with_capacity(usize::from(count));
        for number in 0..count {
            self.stop.check()?;
            let opened = Client::connect(server.address).and_then(|mut client| {
                client.set_and_get("idle")?;
                Ok(client)
            });
            idle.push(opened.with_context(|| {
                format!("{} fails at connection {} of {count}", server.name, number + 1)
            })?);
        }
        let after = server.settled_memory(self.stop)?;
        server.must_run()?;
        Ok(after.saturating_sub(before) as f64 / f64::from(count))
    }
}

/// Raises the limit of open files as far as needed; the servers inherit it.
fn allow_files(needed: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if needed <= soft {
        return Ok(());
    }
    if needed > hard {
        bail!("{needed} open files are needed and {hard} allowed: ask for fewer --connections");
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).context("cannot raise the limit of open files")
}

fn head(first: &str, pair: &[Contender; 2]) -> Vec<String> {
    [first, pair[0].name, pair[1].name, "ratio"].map(str::to_owned).to_vec()
}

fn row(first: &str, measured: &[f64], unit: &str) -> Vec<String> {
    let mut cells = vec![first.to_owned()];
    cells.extend(measured.iter().map(|&figure| format!("{} {unit}", grouped(figure))));
    let ratio = match measured {
        [theirs, ours] if *theirs > 0.0 => format!("{:.2}", ours / theirs),
        _ => NOTHING.to_owned(),
    };
    cells.push(ratio);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        assert_eq!(row("10 B", &[75.4, 326.0], "B"), ["10 B", "75 B", "326 B", "4.32"]);
        assert_eq!(row("10 B", &[0.0, 1.0], "B")[3], "–");
    }
}
