//! The loads, and the order in which the layouts run them.

use crate::error::BenchError;
use crate::load::Load;
use crate::servers::NODES;

/// One load, which gives several rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// The name in the table and for `--only`.
    pub(super) name: &'static str,
    sets: u32,
    gets: u32,
    pipeline: usize,
}

const CASES: [Case; 4] = [
    Case { name: "get-p1", sets: 0, gets: 1, pipeline: 1 },
    Case { name: "mix-p1", sets: 1, gets: 10, pipeline: 1 },
    Case { name: "get-p32", sets: 0, gets: 1, pipeline: 32 },
    Case { name: "mix-p32", sets: 1, gets: 10, pipeline: 32 },
];

/// Connections of a load without pipelining, and of one with it. Each node gets the same number.
const UNPIPELINED: usize = 16 * NODES;
const PIPELINED: usize = 6 * NODES;

/// Most connections of any load.
pub(super) const MOST_CONNECTIONS: usize = UNPIPELINED;

/// Bytes of each value.
pub(super) const VALUE_SIZE: usize = 100;

/// More keys than a core's cache holds.
pub(super) const KEYS: u64 = 200_000;

impl Case {
    pub(super) fn load(&self) -> Load {
        let connections = if self.pipeline > 1 { PIPELINED } else { UNPIPELINED };
        Load { connections, pipeline: self.pipeline, sets: self.sets, gets: self.gets, ..preload() }
    }
}

/// A load that sets each key once.
pub(super) fn preload() -> Load {
    Load {
        connections: NODES,
        pipeline: 16,
        sets: 1,
        gets: 0,
        keys_per_get: 1,
        value_size: VALUE_SIZE,
        keys: KEYS,
    }
}

/// The cases whose names contain one of the words, or all without words.
pub(super) fn select(only: &[String]) -> anyhow::Result<Vec<Case>> {
    let named =
        |case: &Case| only.is_empty() || only.iter().any(|word| case.name.contains(&**word));
    let cases: Vec<Case> = CASES.into_iter().filter(named).collect();
    if cases.is_empty() {
        let names = CASES.map(|case| case.name).join(" ");
        let text = format!("no load is named like {}; there are: {names}", only.join(", "));
        return Err(BenchError::Usage(text).into());
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_choose() {
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            select(&words).map(|cases| cases.iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), CASES.len());
        assert_eq!(names(&["get-p1", "mix-p32"]).unwrap(), ["get-p1", "mix-p32"]);
        let error = names(&["put"]).unwrap_err().to_string();
        assert!(error.contains("put") && error.contains("get-p32"), "{error}");
    }

    #[test]
    fn every_node_gets_as_many_connections() {
        for load in CASES.iter().map(Case::load).chain([preload()]) {
            assert_eq!(load.connections % NODES, 0);
            assert!(load.connections > 0 && load.connections <= MOST_CONNECTIONS);
        }
    }
}
