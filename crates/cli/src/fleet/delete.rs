//! `ringbinder delete`.

use std::ffi::OsString;

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::Error;
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::{Fleet, FleetOptions};
use crate::key::{self, Owned};
use crate::output::Output;
use crate::style::{GOOD, WARN};

/// Keys that are to go.
#[derive(Args, Debug)]
#[command(after_help = "The exit code is 1 if a key did not exist.")]
pub(crate) struct Delete {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
}

/// What became of a key, as JSON.
#[derive(Serialize)]
struct Deleted<'a> {
    #[serde(flatten)]
    key: Owned<'a>,
    /// Not there where the node did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Delete {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let keys = key::checked(&self.keys)?;
        let fleet = self.fleet.connect().await?;
        let shares = key::by_owner(&fleet.ring, &keys);
        let answers = join_all(shares.iter().map(|share| of_node(&fleet, &share.keys))).await;
        let mut done: Vec<Option<Result<bool, Error>>> = keys.iter().map(|_| None).collect();
        for (share, answers) in shares.iter().zip(answers) {
            for (&place, answer) in share.places.iter().zip(answers) {
                done[place] = Some(answer);
            }
        }
        let done: Vec<Result<bool, Error>> = done.into_iter().flatten().collect();
        print(&fleet, &keys, &done, out)?;
        let all = done.iter().all(|done| matches!(done, Ok(true)));
        let mut failures: Vec<Error> = done.into_iter().filter_map(Result::err).collect();
        // One unreachable node is one failure, regardless of the number of keys that it owns.
        failures.dedup_by_key(|error| error.to_string());
        fleet.failed(failures, shares.len())?;
        Ok(if all { Answer::Yes } else { Answer::No })
    }
}

/// Deletes keys of one node. If the node is unreachable for the first key, the others are not tried.
async fn of_node(fleet: &Fleet, keys: &[&[u8]]) -> Vec<Result<bool, Error>> {
    let Some((first, rest)) = keys.split_first() else { return Vec::new() };
    let first = fleet.client.delete(first).await;
    let rest = match &first {
        Err(error) if error.is_away() => rest.iter().map(|_| Err(error.clone())).collect(),
        _ => join_all(rest.iter().map(|key| fleet.client.delete(key))).await,
    };
    std::iter::once(first).chain(rest).collect()
}

fn print(
    fleet: &Fleet,
    keys: &[&[u8]],
    done: &[Result<bool, Error>],
    out: &mut Output,
) -> Result<(), CliError> {
    if out.is_json() {
        let mut list = out.json_list();
        for (&key, done) in keys.iter().zip(done) {
            list.push(&Deleted {
                key: Owned::new(key, fleet.owner(key)),
                deleted: done.as_ref().ok().copied(),
                error: done.as_ref().err().map(ToString::to_string),
            })?;
        }
        return list.end();
    }
    for (&key, done) in keys.iter().zip(done) {
        let (node, key) = (fleet.owner(key), key::shown(key));
        match done {
            Ok(true) => out.line(format_args!("{GOOD}deleted{GOOD:#} {key} on {node}"))?,
            Ok(false) => out.line(format_args!("{WARN}not there{WARN:#} {key} on {node}"))?,
            // The error at the end reports it.
            Err(_) => {}
        }
    }
    Ok(())
}
