//! `ringbinder ring owner`.

use std::ffi::OsString;
use std::io::{self, BufRead as _};
use std::os::unix::ffi::OsStrExt as _;

use clap::Args;
use ringbinder_ring::{Node, Ring};
use serde::Serialize;

use crate::error::CliError;
use crate::escape::printable;
use crate::exit::Answer;
use crate::key;
use crate::output::Output;
use crate::source::RingOption;
use crate::table::Table;

/// The owners of keys.
#[derive(Args, Debug)]
pub(crate) struct Owner {
    #[command(flatten)]
    ring: RingOption,

    /// Keys; - reads keys from standard input, one per line
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
}

/// A key and its node, as JSON.
#[derive(Serialize)]
struct Owned<'a> {
    key: &'a str,
    node: &'a str,
    address: String,
}

impl Owner {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let ring = self.ring.load().await?;
        let streams = self.keys.iter().any(|key| key == "-");
        // All arguments are checked before anything is printed.
        key::checked(&self.keys)?;
        if out.is_json() {
            let mut list = out.json_list();
            each(&self.keys, |key| {
                let node = owner(&ring, key);
                list.push(&Owned { key: &text(key), node: &node.name, address: node.to_string() })
            })?;
            list.end()?;
        } else if streams || !out.is_terminal() {
            let at_once = out.is_terminal();
            each(&self.keys, |key| {
                let node = owner(&ring, key);
                out.line(format_args!("{}\t{}\t{node}", text(key), node.name))?;
                if at_once { out.flush() } else { Ok(()) }
            })?;
        } else {
            let mut table = Table::new(&["KEY", "NODE", "ADDRESS"]);
            each(&self.keys, |key| {
                let node = owner(&ring, key);
                table.row([&printable(&text(key)), &node.name, node]);
                Ok(())
            })?;
            out.table(&table)?;
        }
        Ok(Answer::Yes)
    }
}

fn owner<'a>(ring: &'a Ring, key: &[u8]) -> &'a Node {
    &ring.nodes()[ring.owner(key) as usize]
}

/// A key as text; invalid UTF-8 is shown as U+FFFD.
fn text(key: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(key)
}

/// Calls `visit` with every key in order. Keys from standard input are read one by one.
fn each(
    keys: &[OsString],
    mut visit: impl FnMut(&[u8]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    for key in keys {
        if key != "-" {
            visit(key.as_bytes())?;
            continue;
        }
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            // No key is longer. The limit also keeps an endless line out of memory.
            let read = io::Read::take(&mut input, key::MAX_LINE)
                .read_until(b'\n', &mut line)
                .map_err(CliError::Input)?;
            if read == 0 {
                break;
            }
            let key = line.strip_suffix(b"\n").unwrap_or(&line);
            let key = key.strip_suffix(b"\r").unwrap_or(key);
            key::check(key, || format!("line {number} of standard input"))?;
            visit(key)?;
        }
    }
    Ok(())
}
