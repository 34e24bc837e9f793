//! The files of the project, and the parts of a Markdown page.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that no commit contains.
const GENERATED: &[&str] = &["target", "__pycache__", "node_modules", "corpus", "artifacts"];

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root of the project").to_owned()
}

/// Reads a file of the project, named from its root.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The entries of a folder that belong to the project, by name.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with('.') && !GENERATED.contains(&&*name)
        })
        .collect();
    found.sort();
    found
}

/// All files below a folder whose names have one of these extensions.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(folder) {
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|end| extensions.iter().any(|known| end == *known)) {
            found.push(path);
        }
    }
    found
}

/// A path as the project names it.
pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The lines of a page that are not code.
pub(crate) fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    text.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !(fence || fenced || line.starts_with("    ") || line.starts_with('\t'))
        })
        .collect()
}

/// The texts between backticks of a line.
pub(crate) fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The part of a page below a heading, up to the next heading of the same level.
pub(crate) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = format!("\n{heading}\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let level = heading.split(' ').next().unwrap_or_default();
    rest.split(&format!("\n{level} ")).next().unwrap_or(rest)
}

/// The cells of every row of the tables in a text, without headings.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let is_rule = |line: &str| line.starts_with("|---");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let followers = lines.iter().skip(1).chain([&""]);
    lines
        .iter()
        .zip(followers)
        .filter(|(line, next)| line.starts_with('|') && !is_rule(line) && !is_rule(next))
        .map(|(line, _)| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}
