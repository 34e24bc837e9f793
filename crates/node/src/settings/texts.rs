//! A value as the texts that would follow its flag, and the parsing of such texts.
//!
//! The types, bounds and words of a setting are those of its flag. So every value becomes texts, and
//! the parser of the command line reads them.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use config::{Value, ValueKind};

use super::options::long_flag;
use super::values::{ValueError, whole};

/// The key whose value is a number in another base, so that a file has to quote it.
pub(super) const MUST_BE_QUOTED: &str = "unix_mask";

/// The flag of a key.
pub(super) fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| argument.get_id() == key)
}

/// Whether the value of this flag is of this type.
pub(super) fn parses(argument: &Arg, kind: TypeId) -> bool {
    argument.get_value_parser().type_id() == kind
}

/// Whether the value is `true` or `false`.
pub(super) fn is_switch(argument: &Arg) -> bool {
    parses(argument, TypeId::of::<bool>())
}

/// Whether every text is a valid value.
pub(super) fn is_text(argument: &Arg) -> bool {
    parses(argument, TypeId::of::<String>()) || parses(argument, TypeId::of::<PathBuf>())
}

/// Adds the arguments of a command line that set a flag to a text.
pub(super) fn push(argument: &Arg, text: &OsStr, arguments: &mut Vec<OsString>) {
    let mut flag = OsString::from(long_flag(argument.get_id().as_str()));
    match argument.get_action() {
        ArgAction::SetTrue if text == "true" => arguments.push(flag),
        ArgAction::SetTrue => {}
        ArgAction::Count => {
            let times = text.to_str().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            arguments.extend(std::iter::repeat_n(flag, times));
        }
        _ => {
            flag.push("=");
            flag.push(text);
            arguments.push(flag);
        }
    }
}

/// The texts of a value from a file or a variable, or the problem with its type.
pub(super) fn of_value(argument: &Arg, value: Value) -> Result<Vec<OsString>, String> {
    let found = match &value.kind {
        ValueKind::Nil if argument.get_default_values().is_empty() => return Ok(Vec::new()),
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Boolean(value) => format!("boolean {value}"),
        ValueKind::String(text) => format!("'{text}'"),
        _ => value.to_string(),
    };
    let is_plain =
        !matches!(value.kind, ValueKind::Boolean(_) | ValueKind::Float(_)) || is_text(argument);
    let (texts, expected) = if is_switch(argument) {
        (value.into_bool().map(|on| vec![on.to_string()]), "true or false")
    } else if MUST_BE_QUOTED == argument.get_id().as_str()
        && !matches!(value.kind, ValueKind::String(_))
    {
        return Err(format!("must be octal permissions in quotes, such as \"0700\", not {found}"));
    } else if matches!(argument.get_action(), ArgAction::Append) {
        let list = match value.kind {
            ValueKind::String(text) => Ok(vec![text]),
            // Without an address it is rejected, and does not mean the default.
            ValueKind::Array(list) if list.is_empty() => Ok(vec![String::new()]),
            ValueKind::Array(list) => list.into_iter().map(Value::into_string).collect(),
            _ => return Err(format!("must be text or a list of texts, not {found}")),
        };
        (list, "text or a list of texts")
    } else if is_plain {
        (value.into_string().map(|text| vec![text]), "text or a whole number")
    } else {
        return Err(format!("must be text or a whole number, not {found}"));
    };
    let texts = texts.map_err(|_| format!("must be {expected}, not {found}"))?;
    Ok(texts.into_iter().map(OsString::from).collect())
}

/// Parses a value as the flag does.
pub(super) fn check(command: &Command, argument: &Arg, texts: &[OsString]) -> Result<(), String> {
    if let (ArgAction::Count, [text]) = (argument.get_action(), texts) {
        let text = text.to_string_lossy();
        return whole::<u8>(0, 255)(&text)
            .map(drop)
            .map_err(|error| format!("{error}, not '{text}'"));
    }
    let mut arguments = vec![OsString::from(command.get_name())];
    texts.iter().for_each(|text| push(argument, text, &mut arguments));
    let parsed = command.clone().try_get_matches_from(arguments);
    parsed.map(drop).map_err(|error| explain(&error))
}

/// The reason in an error of the parser, without the flag, because the message names the place.
fn explain(error: &clap::Error) -> String {
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    if let Some(ContextValue::Strings(words)) = error.get(ContextKind::ValidValue)
        && !words.is_empty()
    {
        return format!("must be one of {}, not '{value}'", words.join(", "));
    }
    match std::error::Error::source(error) {
        Some(reason) if reason.is::<ValueError>() => format!("{reason}, not '{value}'"),
        Some(reason) => reason.to_string(),
        None => "the name of a file is missing".to_owned(),
    }
}
