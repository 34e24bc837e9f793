//! Which loads there are, and which of them run.

use anyhow::bail;

use crate::load::Load;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    Set,
    /// One set to ten gets.
    Mix,
    /// One get of 100 keys.
    ManyKeys,
}

/// One load, and one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    kind: Kind,
    pipeline: usize,
    /// Bytes of each value.
    pub(super) value_size: usize,
}

/// Keys of one get where it asks for many.
const MANY: usize = 100;

/// Connections of requests that wait for each other, as from many small web workers ...
const UNPIPELINED: usize = 50;
/// ... and of those that do not, or that are large.
const PIPELINED: usize = 16;

/// What any load needs at most.
pub(super) const MOST_CONNECTIONS: usize = UNPIPELINED;

const SMALL: usize = 32;
const MIDDLE: usize = 1024;
const LARGE: usize = 100 * 1024;

/// The loads that run unless others are asked for.
const SELECTION: &[(Kind, usize, usize)] = &[
    (Kind::Get, 1, SMALL),
    (Kind::Set, 1, SMALL),
    (Kind::Mix, 1, SMALL),
    (Kind::Get, 32, SMALL),
    (Kind::Set, 32, SMALL),
    (Kind::Mix, 32, SMALL),
    (Kind::ManyKeys, 1, SMALL),
    (Kind::Get, 32, MIDDLE),
    (Kind::Set, 32, MIDDLE),
    (Kind::ManyKeys, 1, MIDDLE),
    (Kind::Get, 1, LARGE),
    (Kind::Set, 1, LARGE),
];

impl Case {
    /// The name in the table and for `--only`.
    pub(super) fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Get => "get",
            Kind::Set => "set",
            Kind::Mix => "mix",
            Kind::ManyKeys => "get100",
        };
        format!("{kind}-p{}-{}", self.pipeline, size_name(self.value_size))
    }

    /// The load itself.
    pub(super) fn load(&self) -> Load {
        let (sets, gets) = match self.kind {
            Kind::Get | Kind::ManyKeys => (0, 1),
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
            keys: key_count(self.value_size),
        }
    }
}

/// So many that neither a core's cache holds them nor 1024 megabytes are too few.
fn key_count(value_size: usize) -> u64 {
    if value_size >= LARGE { 2_000 } else { 200_000 }
}

/// What a name calls the size.
fn size_name(size: usize) -> String {
    if size.is_multiple_of(1024) { format!("{}k", size / 1024) } else { size.to_string() }
}

/// One set of each key.
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

/// The sizes that occur, each once.
pub(super) fn sizes(cases: &[Case]) -> Vec<usize> {
    let mut sizes: Vec<usize> = cases.iter().map(|case| case.value_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Everything: each kind, pipeline and size. A get of many keys is a pipeline of its own kind.
fn everything() -> Vec<Case> {
    let mut cases = Vec::new();
    for value_size in [SMALL, MIDDLE, LARGE] {
        for pipeline in [1, 32] {
            let kinds = [Kind::Get, Kind::Set, Kind::Mix];
            cases.extend(kinds.map(|kind| Case { kind, pipeline, value_size }));
        }
        cases.push(Case { kind: Kind::ManyKeys, pipeline: 1, value_size });
    }
    cases
}

/// The cases to run: all, those that contain one of the words, or the usual selection.
pub(super) fn select(full: bool, only: &[String]) -> anyhow::Result<Vec<Case>> {
    let mut cases = everything();
    if !only.is_empty() {
        cases.retain(|case| only.iter().any(|word| case.name().contains(word.as_str())));
        if cases.is_empty() {
            let names: Vec<String> = everything().iter().map(Case::name).collect();
            bail!("no load is named like {}; there are: {}", only.join(", "), names.join(" "));
        }
    } else if !full {
        cases = SELECTION
            .iter()
            .map(|&(kind, pipeline, value_size)| Case { kind, pipeline, value_size })
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
        assert_eq!(all.len(), 21);
        assert!(some.len() < all.len() && some.iter().all(|name| all.contains(name)));
        let unique: std::collections::HashSet<&String> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }

    #[test]
    fn words_choose_out_of_everything() {
        assert_eq!(names(false, &["mix-p32"]), ["mix-p32-32", "mix-p32-1k", "mix-p32-100k"]);
        assert_eq!(names(false, &["get100-p1-1k", "set-p1-100k"]).len(), 2);
        let error = select(false, &["put".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("put") && error.contains("get-p1-32"), "{error}");
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
            // What is on its way at once stays far below the memory of any machine.
            let flight = load.connections * load.pipeline * load.keys_per_get * load.value_size;
            assert!(flight <= 256 * 1024 * 1024, "{}", case.name());
        }
    }
}
