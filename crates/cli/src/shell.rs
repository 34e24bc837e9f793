//! Commands that users are advised to type: the way to call this program from the current directory, shell
//! quoting, and folding of long commands for a terminal.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(crate) use ringbinder_ring::shell::quoted;

/// The program's name if the way it was called is unknown.
const NAME: &str = "ringbinder";

/// The ring that is used if none is named.
const DEFAULT_RING: &str = "ring.toml";

/// Indentation of a command on separate lines.
pub(crate) const INDENT: &str = "    ";

/// Fewest columns after the indentation in which a command is readable.
const MIN_COLUMNS: usize = 12;

/// A command of this program to type in the current directory. `ring` is left out if it is the default.
pub(crate) fn command(command: &str, ring: &str, arguments: &str) -> String {
    let here = env::current_dir().ok();
    let own = env::current_exe().ok();
    let path = env::var_os("PATH").unwrap_or_default();
    let program = program(own.as_deref(), here.as_deref(), &path);
    line(&program, command, &from_here(Path::new(ring), here.as_deref()), arguments)
}

fn line(program: &str, command: &str, ring: &str, arguments: &str) -> String {
    let mut line = format!("{} {command}", quoted(program));
    if ring != DEFAULT_RING {
        line.push_str(&format!(" --ring {}", quoted(ring)));
    }
    if !arguments.is_empty() {
        line.push(' ');
        line.push_str(arguments);
    }
    line
}

/// The bare name if a shell finds this very file by it, else a path.
fn program(own: Option<&Path>, here: Option<&Path>, search: &OsStr) -> String {
    let Some((own, name)) = own.and_then(|own| Some((own, own.file_name()?))) else {
        return NAME.to_owned();
    };
    let found = env::split_paths(search).map(|place| place.join(name)).find(|it| it.is_file());
    let same = |found: PathBuf| found.canonicalize().ok() == own.canonicalize().ok();
    if found.is_some_and(same) {
        return name.to_string_lossy().into_owned();
    }
    let path = from_here(own, here);
    // The shell would look for a bare name on the PATH.
    if path.contains('/') { path } else { format!("./{path}") }
}

/// A path as seen from the current directory: relative if it is below it.
fn from_here(path: &Path, here: Option<&Path>) -> String {
    let below = here.and_then(|here| path.strip_prefix(here).ok());
    let below = below.filter(|below| !below.as_os_str().is_empty());
    below.unwrap_or(path).to_string_lossy().into_owned()
}

/// Folds a command into lines of at most `columns` columns. Each line begins with [`INDENT`] unless it
/// continues a word. A backslash at the end of a line makes the shell read on. Returns `None` if there are
/// too few columns.
pub(crate) fn fold(command: &str, columns: usize) -> Option<Vec<String>> {
    if columns < INDENT.len() + MIN_COLUMNS {
        return None;
    }
    if INDENT.len() + width(command) <= columns {
        return Some(vec![format!("{INDENT}{command}")]);
    }
    let mut lines = Vec::new();
    let mut line = INDENT.to_owned();
    for word in words(command) {
        let is_empty = line.trim_start().is_empty();
        let gap = if is_empty { "" } else { " " };
        // Two columns are reserved for the continuation mark.
        if width(&line) + gap.len() + width(&word) + 2 <= columns {
            line.push_str(gap);
            line.push_str(&word);
            continue;
        }
        if !is_empty {
            lines.push(format!("{line} \\"));
            line = INDENT.repeat(2);
        }
        let mut is_quoted = false;
        for piece in pieces(&word) {
            // There is always room for the mark before a closing quote.
            let kept = if is_quoted && piece == "'" { 2 } else { 3 };
            if width(&line) + width(piece) + kept > columns {
                let quote = if is_quoted { "'" } else { "" };
                lines.push(format!("{line}{quote}\\"));
                line = quote.to_owned();
            }
            line.push_str(piece);
            is_quoted ^= piece == "'";
        }
    }
    lines.push(line);
    Some(lines)
}

fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// Splits a command built from [`quoted`] words into these words, with their quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for piece in pieces(command) {
        match piece {
            " " if !is_quoted => words.push(String::new()),
            piece => words.last_mut().expect("there is a first word").push_str(piece),
        }
        is_quoted ^= piece == "'";
    }
    words
}

/// Pieces of a word that a line break must not split: a character, or a character and the backslash before
/// it. Backslashes occur only outside quotes, before a quote.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let len = if rest.starts_with("\\'") { 2 } else { first.len_utf8() };
        let (piece, after) = rest.split_at(len);
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The words that a shell reads.
    fn read(command: &str) -> String {
        let script = format!("printf '<%s>' {command}");
        let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{command}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn folded_commands_are_what_they_were() {
        let long =
            "/tmp/a rather long folder name with blanks/it's a checkout/target/debug/ringbinder";
        for program in
            ["ringbinder", "target/debug/ringbinder", long, &long.repeat(3), &"\u{672c}".repeat(50)]
        {
            for ring in ["ring.toml", "my rings/it's \u{672c}.toml", &"r".repeat(100)] {
                let whole = line(program, "set", ring, "greeting hello");
                for columns in [16, 17, 20, 40, 79, 80, 200] {
                    let lines = fold(&whole, columns).unwrap();
                    for line in &lines {
                        assert!(width(line) <= columns, "{columns}: {line:?}");
                    }
                    assert_eq!(read(&lines.join("\n")), read(&whole), "{columns}: {lines:#?}");
                }
            }
        }
        assert_eq!(fold("ringbinder up", 10), None);
    }

    #[test]
    fn a_command_is_one_line_where_it_fits() {
        assert_eq!(fold("ringbinder get greeting", 80).unwrap(), ["    ringbinder get greeting"]);
        let lines =
            fold("target/debug/ringbinder set --ring /home/somebody/ring.toml greeting hello", 60);
        assert_eq!(
            lines.unwrap(),
            [
                "    target/debug/ringbinder set --ring \\",
                "        /home/somebody/ring.toml greeting hello"
            ]
        );
    }

    #[test]
    fn a_program_is_named_as_it_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let bin = folder.join("a bin");
        std::fs::create_dir(&bin).unwrap();
        let own = bin.join("ringbinder");
        std::fs::write(&own, "").unwrap();
        let of = |here: &Path, search: &Path| program(Some(&own), Some(here), search.as_os_str());
        assert_eq!(of(&folder, &bin), "ringbinder");
        assert_eq!(of(&folder, &folder), "a bin/ringbinder");
        assert_eq!(of(&bin, &folder), "./ringbinder");
        assert_eq!(of(Path::new("/nonexistent"), &folder), own.to_str().unwrap());
        // Another file with this name comes first.
        let other = folder.join("ringbinder");
        std::fs::write(&other, "").unwrap();
        let both = env::join_paths([&folder, &bin]).unwrap();
        assert_eq!(program(Some(&own), Some(&folder), &both), "a bin/ringbinder");
        // A link to the same file does not hide it.
        std::fs::remove_file(&other).unwrap();
        std::os::unix::fs::symlink(&own, &other).unwrap();
        assert_eq!(program(Some(&own), Some(&folder), &both), "ringbinder");
        assert_eq!(program(None, None, "".as_ref()), "ringbinder");
    }

    #[test]
    fn the_ring_is_named_where_it_has_to_be() {
        assert_eq!(line("ringbinder", "check", "ring.toml", ""), "ringbinder check");
        assert_eq!(
            line("a b/ringbinder", "set", "my rings/r.toml", "k v"),
            "'a b/ringbinder' set --ring 'my rings/r.toml' k v"
        );
        let here = Some(Path::new("/home/somebody"));
        assert_eq!(from_here(Path::new("/home/somebody/ring.toml"), here), "ring.toml");
        assert_eq!(from_here(Path::new("/etc/ring.toml"), here), "/etc/ring.toml");
        assert_eq!(from_here(Path::new("etcd://h:1/k"), here), "etcd://h:1/k");
    }
}
