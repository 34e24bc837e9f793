//! `ringbinder get`.

use std::ffi::OsString;

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::{Error, Item};
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::{Fleet, FleetOptions};
use crate::key::{self, Owned};
use crate::output::Output;

/// Values of keys.
#[derive(Args, Debug)]
#[command(after_help = "\
In a pipe or a file, the value of a single key is written byte for byte. With several keys, or on \
a terminal, a line end follows each value. On a terminal, bytes that are not text are escaped. A \
missing key is reported on standard error, and the exit code is 1. In JSON, a value that is not \
text is in value_base64.")]
pub(crate) struct Get {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
}

/// A key and what is under it, as JSON.
#[derive(Default, Serialize)]
struct Got<'a> {
    #[serde(flatten)]
    key: Owned<'a>,
    /// Not there where the node did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cas: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What became of a key; an error is that of its node, shared by the keys of that node.
enum Found {
    Item(Item),
    Missing,
    Failed(String),
}

impl Get {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let keys = key::checked(&self.keys)?;
        let fleet = self.fleet.connect().await?;
        let (found, failures, asked) = ask(&fleet, &keys).await;
        if out.is_json() {
            print_json(&fleet, &keys, &found, out)?;
        } else {
            print(&keys, &found, out)?;
        }
        fleet.failed(failures, asked)?;
        let all = found.iter().all(|found| matches!(found, Found::Item(_)));
        Ok(if all { Answer::Yes } else { Answer::No })
    }
}

/// The values of the keys in order, the failures, and the number of nodes asked.
async fn ask(fleet: &Fleet, keys: &[&[u8]]) -> (Vec<Found>, Vec<Error>, usize) {
    let shares = key::by_owner(&fleet.ring, keys);
    let asked = join_all(shares.iter().map(|share| fleet.client.gets_many(&share.keys))).await;
    let mut found: Vec<Found> = keys.iter().map(|_| Found::Missing).collect();
    let mut failures = Vec::new();
    for (share, answer) in shares.iter().zip(asked) {
        match answer {
            Ok(items) => {
                for (&place, item) in share.places.iter().zip(items) {
                    found[place] = item.map_or(Found::Missing, Found::Item);
                }
            }
            Err(error) => {
                for &place in &share.places {
                    found[place] = Found::Failed(error.to_string());
                }
                failures.push(error);
            }
        }
    }
    (found, failures, shares.len())
}

fn print(keys: &[&[u8]], found: &[Found], out: &mut Output) -> Result<(), CliError> {
    for (key, found) in keys.iter().zip(found) {
        let key = key::shown(key);
        match found {
            Found::Item(item) if out.is_terminal() => {
                let (text, escaped) = key::for_terminal(&item.value);
                out.text(text)?;
                if escaped {
                    out.warn(format_args!(
                        "{key}: bytes that are not text are shown escaped; a pipe or a file gets \
                         them unchanged"
                    ))?;
                }
            }
            Found::Item(item) => {
                out.bytes(&item.value)?;
                if keys.len() > 1 {
                    out.bytes(b"\n")?;
                }
            }
            Found::Missing => out.warn(format_args!("{key} is not there"))?,
            // The error at the end reports it.
            Found::Failed(_) => {}
        }
    }
    Ok(())
}

fn print_json(
    fleet: &Fleet,
    keys: &[&[u8]],
    found: &[Found],
    out: &mut Output,
) -> Result<(), CliError> {
    let mut list = out.json_list();
    for (&key, found) in keys.iter().zip(found) {
        let mut got = Got { key: Owned::new(key, fleet.owner(key)), ..Got::default() };
        match found {
            Found::Item(item) => {
                let text = key::for_json(&item.value);
                got.found = Some(true);
                got.value = text.as_ref().ok().copied();
                got.value_base64 = text.err();
                got.bytes = Some(item.value.len());
                got.flags = Some(item.flags);
                got.cas = item.cas;
            }
            Found::Missing => got.found = Some(false),
            Found::Failed(error) => got.error = Some(error.clone()),
        }
        list.push(&got)?;
    }
    list.end()
}
