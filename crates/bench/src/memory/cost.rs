//! The memory cost of an item and of an idle connection, from resident size.
//!
//! A server is restarted for each figure. Its resident size before the items or connections is subtracted.
//! The kernel's memory for a socket does not belong to a process and is not counted.

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::allow_files;
use crate::Verdict;
use crate::cli::MemoryOptions;
use crate::cores::{Placement, move_to};
use crate::load::{Keys, Load, fill};
use crate::output;
use crate::progress::{Look, Progress};
use crate::servers::{Client, Contender, Server, Setup};
use crate::stop::Stop;
use crate::table::{NOTHING, grouped, markdown};

/// Descriptors other than idle connections, in this program and in the servers.
const SPARE: u64 = 200;

/// Measures the cost for each of these servers.
pub(super) fn run(
    options: &MemoryOptions,
    contenders: &[Contender],
    look: Look,
    stop: &Stop,
) -> anyhow::Result<Verdict> {
    let node = &options.node;
    allow_files(u64::from(options.connections) + SPARE)?;
    output::will_write(options.data.json.as_deref())?;
    let place = Placement::choose(
        node.server_cores.clone(),
        node.load_cores.clone(),
        usize::from(node.threads),
    )?;
    let meter = Meter { place, options, stop };
    let mut progress = Progress::new(look);
    let figures = options.values.len() + usize::from(options.connections > 0);
    progress.begin((figures * contenders.len()) as u64);
    let mut results = Results::default();
    for &size in &options.values {
        let stage = format!("{} items of {size} bytes:", grouped(options.items as f64));
        let mut measured = Vec::new();
        for contender in contenders {
            progress.show(&stage, &contender.name);
            let (cost, lost) = meter.items(contender, size)?;
            if lost > 0 {
                let name = &contender.name;
                results.flags.push(format!("{name} lost {lost} items of {size} bytes"));
            }
            measured.push(cost);
            progress.step();
        }
        results.items.push((size as u64, measured));
    }
    if options.connections > 0 {
        let mut measured = Vec::new();
        for contender in contenders {
            progress.show("idle connections:", &contender.name);
            measured.push(meter.connections(contender)?);
            progress.step();
        }
        results.idle.push((options.connections.into(), measured));
    }
    drop(progress);
    let text = results.text(contenders, options);
    let data = results.data(contenders, options);
    output::publish(&text, options.data.json.as_deref(), &data)?;
    Ok(if results.flags.is_empty() { Verdict::Clean } else { Verdict::Flagged })
}

/// Results of each server. ringbinderd is the last.
#[derive(Debug, Default)]
struct Results {
    /// Bytes per item beyond key and value, by value size.
    items: Vec<(u64, Vec<f64>)>,
    /// Bytes per idle connection, by number of connections.
    idle: Vec<(u64, Vec<f64>)>,
    flags: Vec<String>,
}

impl Results {
    fn text(&self, contenders: &[Contender], options: &MemoryOptions) -> String {
        let mut text = String::new();
        for contender in contenders {
            text.push_str(&format!("- {}\n", contender.describe()));
        }
        let (threads, memory) = (options.node.threads, options.memory_limit);
        text.push_str(&format!("- servers: -t {threads} -m {memory}\n"));
        text.push_str(&format!(
            "\nResident bytes per item beyond key and value, {} items with keys of {} bytes:\n\n{}\n",
            grouped(options.items as f64),
            Keys::FOURTEEN,
            table("value", contenders, &self.items, |size| format!("{size} B"))
        ));
        if !self.idle.is_empty() {
            text.push_str(&format!(
                "Resident bytes per idle connection, after one set and one get on each:\n\n{}\n",
                table("connections", contenders, &self.idle, |count| grouped(count as f64))
            ));
        }
        for flag in &self.flags {
            text.push_str(&format!("FLAGGED: {flag}: give all more with --memory-limit\n\n"));
        }
        text
    }

    fn data(&self, contenders: &[Contender], options: &MemoryOptions) -> Value {
        let bytes = |measured: &[f64]| -> Value {
            let each = contenders.iter().zip(measured);
            each.map(|(contender, &bytes)| (contender.name.clone(), json!(bytes))).collect()
        };
        let items = self.items.iter().map(|(size, measured)| {
            json!({ "value_size": size, "bytes_beyond_key_and_value": bytes(measured) })
        });
        let idle = self.idle.iter().map(|(count, measured)| {
            json!({ "connections": count, "bytes_per_connection": bytes(measured) })
        });
        let servers = contenders.iter().map(|it| json!({ "name": it.name, "version": it.version }));
        json!({
            "benchmark": "memory",
            "servers": servers.collect::<Vec<_>>(),
            "threads": options.node.threads,
            "memory_limit_mb": options.memory_limit,
            "items": options.items,
            "key_size": Keys::FOURTEEN,
            "per_item": items.collect::<Vec<_>>(),
            "per_idle_connection": idle.collect::<Vec<_>>(),
            "flags": self.flags,
        })
    }
}

struct Meter<'a> {
    place: Placement,
    options: &'a MemoryOptions,
    stop: &'a Stop,
}

impl Meter<'_> {
    fn start(&self, contender: &Contender) -> anyhow::Result<Server> {
        let setup = Setup {
            threads: usize::from(self.options.node.threads),
            megabytes: self.options.memory_limit,
            connections: usize::from(self.options.connections) + 100,
        };
        move_to(&self.place.servers)?;
        let server = Server::start(contender, setup, self.stop)?;
        move_to(&self.place.load)?;
        Ok(server)
    }

    /// Bytes per item beyond key and value, and the number of missing items.
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
        // The one-time cost of the first request is not part of an item's cost.
        let mut client = Client::connect(server.address)?;
        client.set_and_get("first")?;
        let before = server.settled_memory(self.stop)?;
        if let Err(error) = fill(&load, Keys::FourteenBytes, server.address, self.stop) {
            server.must_run()?;
            return Err(error.context(format!("cannot store the items in {}", server.name)));
        }
        let after = server.settled_memory(self.stop)?;
        // Excludes the item that was stored before the load.
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

/// One line for each figure: the value of every server, and the ratios of the last to the others.
fn table(
    first: &str,
    contenders: &[Contender],
    figures: &[(u64, Vec<f64>)],
    name: impl Fn(u64) -> String,
) -> String {
    let names = || contenders.iter().map(|contender| contender.name.clone());
    let others = contenders.len().saturating_sub(1);
    let mut head = vec![first.to_owned()];
    head.extend(names());
    head.extend(names().take(others).map(|name| format!("ratio to {name}")));
    let mut rows = vec![head];
    rows.extend(figures.iter().map(|(figure, measured)| row(name(*figure), measured)));
    markdown(&rows)
}

fn row(first: String, measured: &[f64]) -> Vec<String> {
    let mut cells = vec![first];
    cells.extend(measured.iter().map(|&figure| format!("{} B", grouped(figure))));
    if let Some((ours, others)) = measured.split_last() {
        cells.extend(others.iter().map(|theirs| match *theirs > 0.0 {
            true => format!("{:.2}", ours / theirs),
            false => NOTHING.to_owned(),
        }));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let cells = |measured: &[f64]| row("10 B".to_owned(), measured);
        assert_eq!(cells(&[75.4, 326.0]), ["10 B", "75 B", "326 B", "4.32"]);
        assert_eq!(cells(&[0.0, 1.0])[3], "–");
        assert_eq!(cells(&[50.0, 100.0, 25.0])[4..], ["0.50", "0.25"]);
    }
}
