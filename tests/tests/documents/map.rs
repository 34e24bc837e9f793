//! Test that the map of the code names what is there, and everything that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::project::{entries, files, prose, quoted, read, relative, root, rows, section};

const PAGE: &str = "docs/architecture.md";

/// The folders from which the map names paths, besides the root.
fn bases() -> Vec<PathBuf> {
    let crates = root().join("crates");
    let mut bases = vec![root()];
    for folder in entries(&crates) {
        bases.push(folder.join("src"));
    }
    bases
}

/// The files that a text in backticks may mean, if it has the form of a path.
fn meant<'a>(text: &str, bases: &[PathBuf], all: &'a [PathBuf]) -> Option<Vec<&'a Path>> {
    let is_path = text.ends_with(".rs") || text.ends_with('/') || text.starts_with("crates/");
    if !is_path || text.contains([' ', '*', '<']) {
        return None;
    }
    let exact: Vec<PathBuf> =
        bases.iter().map(|base| base.join(text)).filter(|path| path.exists()).collect();
    let matches =
        |path: &&PathBuf| exact.iter().any(|known| path.starts_with(known)) || path.ends_with(text);
    let found: Vec<&Path> = all.iter().filter(matches).map(PathBuf::as_path).collect();
    Some(found)
}

/// Whether a file has `name` as a word.
fn has_word(text: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(is_word)
            && !text[at + name.len()..].chars().next().is_some_and(is_word)
    })
}

#[test]
fn every_path_and_name_of_the_map_is_there() {
    let page = read(PAGE);
    let bases = bases();
    let all = files(&root(), &["rs", "js", "py", "md", "html", "css", "toml", "yml"]);
    let mut faults = Vec::new();
    let (mut paths, mut names) = (0, 0);
    // A sentence may go on in the next line.
    let text = prose(&page).join(" ");
    let parts: Vec<&str> = text.split('`').collect();
    for at in (1..parts.len()).step_by(2) {
        let Some(found) = meant(parts[at], &bases, &all) else { continue };
        paths += 1;
        if found.is_empty() {
            faults.push(format!("no file {}", parts[at]));
            continue;
        }
        // Names before a path in brackets are in that file: `a` and `b` (`file.rs`).
        let mut before = at;
        let mut between = [" (", " in "].as_slice();
        while before >= 2 && between.contains(&parts[before - 1]) {
            before -= 2;
            between = &[" and "];
            let name = parts[before].rsplit("::").next().unwrap_or_default();
            let is_name = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
            if !is_name || name.is_empty() {
                break;
            }
            names += 1;
            let is_there =
                |path: &&Path| fs::read_to_string(path).is_ok_and(|text| has_word(&text, name));
            if !found.iter().any(is_there) {
                faults.push(format!("no {name} in {}", parts[at]));
            }
        }
    }
    assert!(paths > 100 && names > 40, "{paths} paths and {names} names");
    assert!(faults.is_empty(), "{PAGE}: {}", faults.join("\n"));
}

#[test]
fn the_map_names_every_part() {
    let page = read(PAGE);
    let tables = section(&page, "## Where the parts are");
    let named: BTreeSet<&str> = tables.lines().flat_map(quoted).collect();
    let mut missing = Vec::new();
    for folder in entries(&root().join("crates")) {
        let source = folder.join("src");
        for entry in entries(&source) {
            let mut name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if matches!(name.as_str(), "lib.rs" | "main.rs" | "tests.rs") {
                continue;
            }
            // Of a crate that the page describes as a whole, folders suffice.
            let is_whole = folder.ends_with("node") || folder.ends_with("store");
            if entry.is_dir() {
                name.push('/');
            } else if !is_whole {
                continue;
            }
            let full = format!("{}/{name}", relative(&source));
            let whole = format!("{}/", relative(&source));
            if ![&name, &full].into_iter().any(|name| named.contains(name.as_str()))
                && !named.contains(whole.as_str())
            {
                missing.push(full);
            }
        }
    }
    assert!(missing.is_empty(), "{PAGE} does not name {}", missing.join(", "));
}

/// The modules that a file declares, without its tests.
fn declared(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines() {
        if line.starts_with('#') {
            is_test |= line.contains("cfg(test)");
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        if let [.., "mod", name] = words.as_slice()
            && let Some(name) = name.strip_suffix(';')
            && !line.starts_with([' ', '/'])
            && !is_test
        {
            found.insert(name);
        }
        is_test = false;
    }
    found
}

/// The modules that the table on the front page of a file lists, if it has one. A name with a slash may also be a
/// folder of other files.
fn listed<'t>(text: &'t str, declared: &BTreeSet<&str>) -> Option<BTreeSet<&'t str>> {
    let front = text.lines().take_while(|line| line.is_empty() || line.starts_with("//"));
    let lines: Vec<&str> = front.map(|line| line.trim_start_matches(['/', '!']).trim()).collect();
    let is_heading = |line: &&str| line.starts_with("| module |") || line.starts_with("| file |");
    let start = lines.iter().position(is_heading)?;
    let table = lines[start + 2..].iter().take_while(|line| line.starts_with('|'));
    let first = |line: &'t str| line.trim_matches('|').split('|').next().unwrap_or_default();
    let names = table.flat_map(|line| quoted(first(line)));
    let known = names.filter_map(|name| match name.strip_suffix('/') {
        Some(folder) => declared.contains(folder).then_some(folder),
        None => Some(name.trim_end_matches(".rs")),
    });
    Some(known.collect())
}

#[test]
fn module_tables_list_the_modules() {
    let mut faults = Vec::new();
    let mut tables = 0;
    for file in files(&root(), &["rs"]) {
        let text = fs::read_to_string(&file).expect("a source file");
        let declared = declared(&text);
        let Some(listed) = listed(&text, &declared) else { continue };
        tables += 1;
        if listed != declared {
            let surplus: Vec<_> = listed.difference(&declared).collect();
            let missing: Vec<_> = declared.difference(&listed).collect();
            faults.push(format!("{}: missing {missing:?}, unknown {surplus:?}", relative(&file)));
        }
    }
    assert!(tables >= 15, "only {tables} tables");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_front_page_with_many_modules_has_a_table() {
    let mut faults = Vec::new();
    for file in files(&root().join("crates"), &["rs"]) {
        let text = fs::read_to_string(&file).expect("a source file");
        let is_source = !relative(&file).contains("/tests/");
        let declared = declared(&text);
        if is_source && declared.len() >= 6 && listed(&text, &declared).is_none() {
            faults.push(relative(&file));
        }
    }
    assert!(faults.is_empty(), "no table of modules in {}", faults.join(", "));
}

#[test]
fn the_index_lists_every_decision() {
    let folder = root().join("docs/decisions");
    let index = read("docs/decisions/README.md");
    for path in entries(&folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(
            name == "README.md" || index.contains(&format!("]({name})")),
            "{name} is not listed"
        );
    }
}

#[test]
fn the_glossary_explains_words_of_the_code() {
    let page = read(PAGE);
    let code: String = files(&root().join("crates"), &["rs"])
        .iter()
        .map(|path| fs::read_to_string(path).expect("a source file").to_lowercase())
        .collect();
    let rows = rows(section(&page, "## Glossary"));
    assert!(rows.len() >= 15, "only {} words", rows.len());
    for row in rows {
        for word in row[0].split(", ") {
            let word = word.to_lowercase();
            let is_there = [word.clone(), word.replace(' ', "_"), word.replace(' ', "")]
                .iter()
                .any(|form| code.contains(form.as_str()));
            assert!(is_there, "{word:?} is in the glossary, and nowhere in the code");
        }
    }
}

#[test]
fn a_table_that_is_not_true_is_found() {
    let text = "//! | module | purpose |\n//! |---|---|\n//! | `a`, `b`, `c/`, `d/` | x |\n\nmod a;\npub mod c;\n\
                #[cfg(test)]\nmod tests;\nmod inline {}\n";
    let declared = declared(text);
    assert_eq!(declared, BTreeSet::from(["a", "c"]));
    assert_eq!(listed(text, &declared), Some(BTreeSet::from(["a", "b", "c"])));
    assert!(has_word("fn get_one(", "get_one") && !has_word("fn get_one(", "get"));
}
