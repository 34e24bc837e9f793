//! Test that docs/protocol.md, which lists every difference from memcached, names in each row tests that
//! exist.

use std::collections::BTreeSet;
use std::fs;

use crate::project::{files, quoted, read, root, rows, section};

/// Names of all functions in Rust and Python files of the project.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["tests", "crates"] {
        for file in files(&root().join(folder), &["rs", "py"]) {
            let text = fs::read_to_string(&file).expect("a source file");
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
    names
}

#[test]
fn every_difference_in_the_docs_has_its_test() {
    let page = read("docs/protocol.md");
    let rows = rows(section(&page, "## Where a node differs from memcached"));
    assert!(rows.len() >= 30, "only {} rows", rows.len());
    let known = functions();
    for row in rows {
        assert_eq!(row.len(), 5, "{row:?}");
        let tests: Vec<_> = quoted(row[4]).collect();
        assert!(!tests.is_empty(), "no test in: {row:?}");
        for test in tests {
            assert!(known.contains(test), "no test is called {test}: {row:?}");
        }
    }
}
