//! The output of `--check-config`: all settings as a TOML file, each as it was written and with its
//! place. Used as a settings file, it gives the same settings again.

use std::fmt::Write;

use clap::{Arg, ArgAction};

use super::layers::{Merged, Origin};
use super::options::{Settings, command_of};
use super::texts::{MUST_BE_QUOTED, is_switch};

/// The effective settings, one line for each key.
pub(super) fn toml(merged: &Merged) -> String {
    let mut text = String::new();
    for argument in command_of::<Settings>().get_arguments() {
        let key = argument.get_id().as_str();
        let texts: Vec<String> =
            merged.texts(argument).iter().map(|text| text.to_string_lossy().into_owned()).collect();
        // Writing to a string cannot fail.
        let _ = match texts.first() {
            None => writeln!(text, "# {key} is not set"),
            Some(first) => {
                let line = format!("{key} = {}", literal(argument, first, &texts));
                let origin = match merged.origin(key) {
                    Origin::Default => "default".to_owned(),
                    Origin::File(path) => path.display().to_string(),
                    origin => origin.place(key),
                };
                writeln!(text, "{line:<40} # {}", printable(&origin))
            }
        };
    }
    text
}

fn literal(argument: &Arg, first: &str, texts: &[String]) -> String {
    let is_number = || first.parse::<i64>().is_ok_and(|number| number.to_string() == first);
    match argument.get_action() {
        ArgAction::Append => {
            format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", "))
        }
        _ if is_switch(argument) => first.to_owned(),
        _ if argument.get_id() != MUST_BE_QUOTED && is_number() => first.to_owned(),
        _ => quote(first),
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
