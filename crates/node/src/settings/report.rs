//! The output of `--check-config`: all settings as a TOML file, with the place from which each
//! value comes. Used as a settings file, it gives the same settings again.

use std::fmt::Write;

use config::{Value, ValueKind};

use super::error::SettingsError;
use super::layers::{Merged, Origin, to_map};
use super::options;

/// The effective settings, one line for each key.
pub(super) fn toml(merged: &Merged) -> Result<String, SettingsError> {
    let values = to_map(&merged.options)?;
    let mut text = String::new();
    for key in options::keys() {
        let line = match values.get(&key) {
            Some(value) => format!("{key} = {}", literal(value)),
            None => format!("# {key} is not set"),
        };
        let origin = match merged.origin(&key) {
            Origin::Default => "default".to_owned(),
            Origin::File(path) => path.display().to_string(),
            origin => origin.place(&key),
        };
        // Writing to a string cannot fail.
        let _ = match values.contains_key(&key) {
            true => writeln!(text, "{line:<40} # {}", printable(&origin)),
            false => writeln!(text, "{line}"),
        };
    }
    Ok(text)
}

fn literal(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => quote(text),
        ValueKind::Array(list) => {
            format!("[{}]", list.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        _ => value.to_string(),
    }
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Text that cannot end a comment.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_control_characters_are_escaped() {
        assert_eq!(quote("a\"b\\c\nd"), r#""a\"b\\c\u000Ad""#);
    }
}
