//! `ringbinder set`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::{FleetError, FleetOptions, MAX_VALUE, span};
use crate::key::{self, Owned};
use crate::output::Output;
use crate::style::{GOOD, WARN};

/// Longest time to live that counts from now, in seconds. The protocol reads a larger number as a date
/// (`protocol.txt`, "Expiration times").
const MAX_RELATIVE: u64 = 60 * 60 * 24 * 30;

/// Longest value that is read, in bytes.
const MAX_LEN: u64 = MAX_VALUE as u64;

/// A value under a key.
#[derive(Args, Debug)]
#[command(after_help = "\
The exit code is 1 if the value is not stored: --add found the key, --replace did not, or --cas \
found a newer value. Standard input is stored unchanged, including a final line end; `printf` \
writes none.")]
pub(crate) struct Set {
    #[command(flatten)]
    fleet: FleetOptions,

    /// The key
    key: OsString,

    /// The value; if it is - or left out, it is read from standard input
    value: Option<OsString>,

    /// Time to live in seconds, or as 10m, 2h, 7d; 0 means until it is evicted
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = span::ttl)]
    ttl: u64,

    /// 32 bits that clients store with the value, to tell types apart
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    flags: u32,

    /// Store only if the key does not exist
    #[arg(long, group = "condition")]
    add: bool,

    /// Store only if the key exists
    #[arg(long, group = "condition")]
    replace: bool,

    /// Store only if the value still has the cas that `get --json` showed
    #[arg(long, group = "condition", value_name = "NUMBER")]
    cas: Option<u64>,
}

/// What became of it, as JSON.
#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    key: Owned<'a>,
    stored: bool,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cas: Option<u64>,
}

impl Set {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let key = self.key.as_bytes();
        key::check(key, || "the key".to_owned())?;
        let fleet = self.fleet.connect().await?;
        let value = self.value(out)?;
        let reply = match fleet.client.meta_set(key, &value, &self.meta_flags()).await {
            Ok(reply) => reply,
            Err(error) => return fleet.failed(vec![error], 1).map(|()| Answer::No),
        };
        let (code, cas) = reply.as_ref().map_or((&b""[..], None), |it| (it.code(), it.cas()));
        let (stored, result) = match code {
            b"HD" => (true, "stored"),
            b"EX" => (false, "changed"),
            b"NF" => (false, "not there"),
            _ if self.add => (false, "there already"),
            _ if self.replace => (false, "not there"),
            _ => (false, "not stored"),
        };
        let node = fleet.owner(key);
        if out.is_json() {
            let cas = cas.filter(|_| stored);
            out.json(&Done { key: Owned::new(key, node), stored, result, cas })?;
        } else {
            let key = key::shown(key);
            match result {
                "stored" => out.line(format_args!("{GOOD}stored{GOOD:#} {key} on {node}"))?,
                "changed" => out.line(format_args!(
                    "{WARN}not stored{WARN:#} {key}: it has changed since; {node} keeps its value"
                ))?,
                why => out.line(format_args!("{WARN}not stored{WARN:#} {key}: {why} on {node}"))?,
            }
        }
        Ok(if stored { Answer::Yes } else { Answer::No })
    }

    fn value(&self, out: &mut Output) -> Result<Vec<u8>, CliError> {
        if let Some(value) = self.value.as_ref().filter(|value| *value != "-") {
            return Ok(value.as_bytes().to_vec());
        }
        let stdin = io::stdin();
        if stdin.is_terminal() {
            out.note("type the value; Ctrl-D on a new line ends it")?;
        }
        let mut value = Vec::new();
        let read = stdin.lock().take(MAX_LEN + 1).read_to_end(&mut value);
        read.map_err(CliError::Input)?;
        if value.len() as u64 > MAX_LEN {
            let reason = format!("the value is longer than {MAX_LEN} bytes, the limit");
            return Err(FleetError::Value(reason).into());
        }
        Ok(value)
    }

    /// The flags of `ms` (`protocol.txt`, "Meta Set").
    fn meta_flags(&self) -> String {
        let mut flags = format!("c F{} T{}", self.flags, exptime(self.ttl, SystemTime::now()));
        match (self.add, self.replace, self.cas) {
            (true, ..) => flags.push_str(" ME"),
            (_, true, _) => flags.push_str(" MR"),
            // Writing to a string cannot fail.
            (.., Some(cas)) => drop(write!(flags, " C{cas}")),
            _ => {}
        }
        flags
    }
}

fn exptime(ttl: u64, now: SystemTime) -> u64 {
    match ttl {
        0..=MAX_RELATIVE => ttl,
        _ => ttl + now.duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn long_times_are_sent_as_dates() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(exptime(0, now), 0);
        assert_eq!(exptime(MAX_RELATIVE, now), MAX_RELATIVE);
        assert_eq!(exptime(MAX_RELATIVE + 1, now), 1_702_592_001);
    }
}
