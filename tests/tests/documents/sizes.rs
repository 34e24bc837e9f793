//! Test that no file is too long for one idea, and no folder too full to be read at a glance.

use std::fs;
use std::path::{Path, PathBuf};

use crate::project::{entries, files, relative, root};

/// Most lines of a source file.
const LINES: usize = 600;

/// Most entries of a folder of sources.
const ENTRIES: usize = 20;

fn folders(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(folder).into_iter().filter(|path| path.is_dir()) {
        folders(&path, found);
        found.push(path);
    }
}

#[test]
fn files_and_folders_stay_small() {
    let mut faults = Vec::new();
    for part in ["crates", "tests", "deploy"] {
        for file in files(&root().join(part), &["rs", "py", "js"]) {
            let lines = fs::read_to_string(&file).expect("a source file").lines().count();
            if lines > LINES {
                faults.push(format!("{} has {lines} lines", relative(&file)));
            }
        }
    }
    let mut sources = Vec::new();
    for folder in entries(&root().join("crates")) {
        folders(&folder, &mut sources);
    }
    for folder in sources {
        let count = entries(&folder).len();
        // Test vectors are data.
        if count > ENTRIES && !folder.ends_with("vectors") {
            faults.push(format!("{} has {count} entries", relative(&folder)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
