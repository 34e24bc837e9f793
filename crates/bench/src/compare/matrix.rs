//! The loads, and the selection of those that run.

use crate::error::BenchError;
use crate::load::Load;

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    Set,
    /// One set to ten gets.
    Mix,
    /// One get of 100 keys.
    ManyKeys,
    /// One key, over every connection.
    Hot,
}

/// One load, which is one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    kind: Kind,
    pipeline: usize,
    /// Bytes of each value.
    pub(super) value_size: usize,
    /// Worker threads of the servers, one core for each. `None` for the number of `--threads`.
    pub(super) workers: Option<u16>,
}

/// The settings by which cases share servers: worker threads and value size.
pub(super) type Group = (Option<u16>, usize);

/// Keys of one get in a load of large gets.
const MANY: usize = 100;

/// Connections of a load without pipelining, as from many small web workers ...
const UNPIPELINED: usize = 50;
/// ... and of a load with pipelining or large gets.
const PIPELINED: usize = 16;

/// Most connections of any load.
pub(super) const MOST_CONNECTIONS: usize = UNPIPELINED;

const SMALL: usize = 32;
const MIDDLE: usize = 1024;
const LARGE: usize = 100 * 1024;

/// Workers for the loads that show how servers use several cores.
const WORKERS: Option<u16> = Some(2);

/// The loads that run by default.
const SELECTION: &[(Kind, usize, usize, Option<u16>)] = &[
    (Kind::Get, 1, SMALL, None),
    (Kind::Set, 1, SMALL, None),
    (Kind::Mix, 1, SMALL, None),
    (Kind::Get, 32, SMALL, None),
    (Kind::Set, 32, SMALL, None),
    (Kind::Mix, 32, SMALL, None),
    (Kind::ManyKeys, 1, SMALL, None),
    (Kind::Get, 32, MIDDLE, None),
    (Kind::Set, 32, MIDDLE, None),
    (Kind::ManyKeys, 1, MIDDLE, None),
    (Kind::Get, 1, LARGE, None),
    (Kind::Set, 1, LARGE, None),
    (Kind::Get, 32, SMALL, WORKERS),
    (Kind::Set, 32, SMALL, WORKERS),
    (Kind::Mix, 32, SMALL, WORKERS),
    (Kind::Hot, 32, SMALL, WORKERS),
];

impl Case {
    /// The name in the table and for `--only`.
    pub(super) fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Get => "get",
            Kind::Set => "set",
            Kind::Mix => "mix",
            Kind::ManyKeys => "get100",
            Kind::Hot => "hot",
        };
        let workers = self.workers.map(|workers| format!("-t{workers}")).unwrap_or_default();
        format!("{kind}-p{}-{}{workers}", self.pipeline, size_name(self.value_size))
    }

    /// The group of servers on which it runs.
    pub(super) fn group(&self) -> Group {
        (self.workers, self.value_size)
    }

    /// The load of this case.
    pub(super) fn load(&self) -> Load {
        let (sets, gets) = match self.kind {
            Kind::Get | Kind::ManyKeys | Kind::Hot => (0, 1),
            Kind::Set => (1, 0),
            Kind::Mix => (1, 10),
        };
        let many = self.kind == Kind::ManyKeys;
        Load {
            connections: if self.pipeline > 1 || many { PIPELINED } else { UNPIPELINED },
            pipeline: self.pipeline,
            sets,
            gets,
            keys_per_get: if many { MANY } else { 1 },
            value_size: self.value_size,
            keys: if self.kind == Kind::Hot { 1 } else { key_count(self.value_size) },
        }
    }
}

/// A number of keys that exceeds a core's cache and fits into 1024 megabytes.
fn key_count(value_size: usize) -> u64 {
    if value_size >= LARGE { 2_000 } else { 200_000 }
}

/// The name of a size in a case's name.
fn size_name(size: usize) -> String {
    if size.is_multiple_of(1024) { format!("{}k", size / 1024) } else { size.to_string() }
}

/// A load that sets each key once.
pub(super) fn preload(value_size: usize) -> Load {
    Load {
        connections: 4,
        pipeline: 16,
        sets: 1,
        gets: 0,
        keys_per_get: 1,
        value_size,
        keys: key_count(value_size),
    }
}

/// The groups of these cases, each once.
pub(super) fn groups(cases: &[Case]) -> Vec<Group> {
    let mut groups: Vec<Group> = cases.iter().map(Case::group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// All combinations of kind, pipeline and size. A get of many keys is never pipelined: it is a pipeline of
/// its own kind.
fn everything() -> Vec<Case> {
    let mut cases = Vec::new();
    let own = [(None, SMALL), (None, MIDDLE), (None, LARGE)];
    for (workers, value_size) in own.into_iter().chain([(WORKERS, SMALL), (WORKERS, MIDDLE)]) {
        let case = |kind, pipeline| Case { kind, pipeline, value_size, workers };
        for pipeline in [1, 32] {
            cases.extend([Kind::Get, Kind::Set, Kind::Mix].map(|kind| case(kind, pipeline)));
        }
        cases.push(case(Kind::ManyKeys, 1));
        if workers.is_some() {
            cases.extend([1, 32].map(|pipeline| case(Kind::Hot, pipeline)));
        }
    }
    cases
}

/// The cases to run: all of them, those that `only` selects, or the default selection. A word selects the
/// case with this name; if there is none, it selects the cases whose names contain it.
pub(super) fn select(full: bool, only: &[String]) -> anyhow::Result<Vec<Case>> {
    let mut cases = everything();
    if !only.is_empty() {
        let names: Vec<String> = cases.iter().map(Case::name).collect();
        let chosen = |name: &String| {
            only.iter().any(|word| word == name || name.contains(&**word) && !names.contains(word))
        };
        cases.retain(|case| chosen(&case.name()));
        if cases.is_empty() {
            let names: Vec<String> = everything().iter().map(Case::name).collect();
            let text = format!("no load is named like {}", only.join(", "));
            let text = format!("{text}; there are: {}", names.join(" "));
            return Err(BenchError::Usage(text).into());
        }
    } else if !full {
        cases = SELECTION
            .iter()
            .map(|&(kind, pipeline, value_size, workers)| Case {
                kind,
                pipeline,
                value_size,
                workers,
            })
            .collect();
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(full: bool, only: &[&str]) -> Vec<String> {
        let only: Vec<String> = only.iter().map(|&word| word.to_owned()).collect();
        select(full, &only).unwrap().iter().map(Case::name).collect()
    }

    #[test]
    fn the_selection_is_a_part_of_everything() {
        let (all, some) = (names(true, &[]), names(false, &[]));
        assert_eq!(all.len(), 39);
        assert!(some.len() < all.len() && some.iter().all(|name| all.contains(name)));
        let unique: std::collections::HashSet<&String> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }

    #[test]
    fn words_choose_out_of_everything() {
        let mixes = ["mix-p32-32", "mix-p32-1k", "mix-p32-100k", "mix-p32-32-t2", "mix-p32-1k-t2"];
        assert_eq!(names(false, &["mix-p32"]), mixes);
        assert_eq!(names(false, &["hot-p32-32"]), ["hot-p32-32-t2"]);
        assert_eq!(names(false, &["get100-p1-1k", "set-p1-100k"]).len(), 2);
        let error = select(false, &["put".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("put") && error.contains("get-p1-32"), "{error}");
    }

    #[test]
    fn one_key_is_hot() {
        let hot = select(false, &["hot-p32-32".to_owned()]).unwrap()[0];
        assert_eq!((hot.load().keys, hot.workers), (1, Some(2)));
        let loads = select(false, &[]).unwrap();
        assert_eq!(groups(&loads).last(), Some(&(Some(2), SMALL)));
        assert_eq!(groups(&loads).len(), 4);
    }

    #[test]
    fn all_keys_fit_into_the_default_memory() {
        for size in [SMALL, MIDDLE, LARGE] {
            let bytes = key_count(size) * (u64::try_from(size).unwrap() + 400);
            assert!(bytes < 512 * 1024 * 1024, "{size}");
        }
    }

    #[test]
    fn loads() {
        for case in everything() {
            let load = case.load();
            assert!(load.connections <= MOST_CONNECTIONS);
            assert!(load.sets + load.gets > 0 && load.keys_per_get > 0);
            // The bytes in flight at once stay far below the memory of any machine.
            let flight = load.connections * load.pipeline * load.keys_per_get * load.value_size;
            assert!(flight <= 256 * 1024 * 1024, "{}", case.name());
        }
    }
}
