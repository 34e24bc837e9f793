//! Test that docs/protocol.md, which lists every difference from memcached, names in each row tests that
//! exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of all functions in Rust and Python files below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            if !hidden && !path.ends_with("target") {
                functions(&path, names);
            }
        } else if path.extension().is_some_and(|end| end == "rs" || end == "py") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            for line in text.lines().map(str::trim_start) {
                let name = line
                    .trim_start_matches("async ")
                    .strip_prefix("fn ")
                    .or_else(|| line.strip_prefix("def "));
                if let Some((name, _)) = name.and_then(|name| name.split_once('(')) {
                    names.insert(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_difference_in_the_docs_has_its_test() {
    let text = std::fs::read_to_string(root().join("docs/protocol.md")).expect("the page");
    let (_, section) =
        text.split_once("## Where a node differs from memcached").expect("the table");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() >= 30, "only {} rows", rows.len());
    let mut known = BTreeSet::new();
    for folder in ["tests", "crates"] {
        functions(&root().join(folder), &mut known);
    }
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        let tests: Vec<_> = cells[4].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test in: {row}");
        for test in tests {
            assert!(known.contains(test), "no test is called {test}: {row}");
        }
    }
}
