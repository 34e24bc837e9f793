//! The clients and their kinds of work.

use clap::ValueEnum;
use serde::Serialize;

use crate::error::BenchError;

/// A client under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contestant {
    #[value(name = "ringbinder-client")]
    #[serde(rename = "ringbinder-client")]
    Ringbinder,
    AsyncMemcached,
    Pylibmc,
}

/// What it does, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// One get after the other.
    Get,
    /// 32 gets at any time.
    Get32,
    /// One get of 100 keys after the other.
    Multi100,
    /// Gets that the near cache answers.
    Near,
}

/// Gets in flight at any time in [`Work::Get32`].
pub(super) const IN_FLIGHT: usize = 32;

/// Keys of a [`Work::Multi100`].
pub(super) const KEYS_PER_GET: usize = 100;

/// Keys that are stored.
pub(super) const KEYS: usize = 20_000;

/// Bytes of each value.
pub(super) const VALUE_SIZE: usize = 100;

impl Contestant {
    pub(super) const ALL: [Contestant; 3] =
        [Contestant::Ringbinder, Contestant::AsyncMemcached, Contestant::Pylibmc];

    /// The name in the table and for a worker's command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Contestant::Ringbinder => "ringbinder-client",
            Contestant::AsyncMemcached => "async-memcached",
            Contestant::Pylibmc => "pylibmc",
        }
    }

    /// Whether the client supports this work.
    pub(super) fn can(self, work: Work) -> bool {
        match work {
            Work::Get | Work::Multi100 => true,
            Work::Get32 => self != Contestant::Pylibmc,
            Work::Near => self == Contestant::Ringbinder,
        }
    }
}

impl Work {
    const ALL: [Work; 4] = [Work::Get, Work::Get32, Work::Multi100, Work::Near];

    /// The name in the table, for `--only` and for a worker's command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Work::Get => "get",
            Work::Get32 => "get32",
            Work::Multi100 => "multi100",
            Work::Near => "near",
        }
    }

    /// The kinds of work whose names contain one of the words, or all without words. The first kind is always
    /// included, because the near cache is compared with it.
    pub(super) fn select(only: &[String]) -> anyhow::Result<Vec<Work>> {
        let named = |work: &Work| only.iter().any(|word| work.name().contains(&**word));
        if only.is_empty() {
            return Ok(Work::ALL.to_vec());
        }
        if !Work::ALL.iter().any(named) {
            let names = Work::ALL.map(Work::name).join(" ");
            let text = format!("no work is named like {}; there are: {names}", only.join(", "));
            return Err(BenchError::Usage(text).into());
        }
        Ok(Work::ALL.into_iter().filter(|work| *work == Work::Get || named(work)).collect())
    }
}

/// The key with a number.
pub(super) fn key(number: usize) -> String {
    format!("note:{number:08}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_choose_beside_what_all_is_compared_with() {
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            Work::select(&words).map(|works| works.iter().map(|it| it.name()).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["get", "get32", "multi100", "near"]);
        assert_eq!(names(&["near"]).unwrap(), ["get", "near"]);
        assert!(names(&["put"]).unwrap_err().to_string().contains("multi100"));
    }
}
