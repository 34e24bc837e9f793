//! The ring file: a text in one of three formats, and its fields.
//!
//! The `config` crate reads the formats. It is lenient where a ring must not be: it turns strings
//! into numbers, builds YAML by recursion, follows aliases, and lets the last of two equal JSON
//! keys win. So the types here accept every value as written, and [`yaml`] and [`json`] check those
//! texts first.

mod json;
mod model;
mod yaml;

use std::fmt::Write as _;
use std::path::Path;

use config::{FileFormat, Value, ValueKind};

use crate::error::{MAX_FILE_BYTES, RingError, RingFault};
use crate::message::one_line;
use crate::node::Node;
use crate::regular;

pub(crate) use model::{Contents, Entry};

/// The format of a ring file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// TOML, `.toml`
    Toml,
    /// YAML, `.yaml` or `.yml`; without aliases.
    Yaml,
    /// JSON, `.json`
    Json,
}

impl Format {
    /// The format for a file's extension. The contents are not used to guess: a half-written file
    /// of one format may be a complete one of another.
    ///
    /// # Errors
    /// [`RingFault::Extension`] if the extension determines no format.
    pub fn of(path: &Path) -> Result<Format, RingError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Ok(Format::Toml),
            Some("yaml" | "yml") => Ok(Format::Yaml),
            Some("json") => Ok(Format::Json),
            _ => Err(RingError::new(&path.display().to_string(), RingFault::Extension)),
        }
    }
}

/// Reads a file's text, and never much more than [`MAX_FILE_BYTES`] of it.
pub(crate) fn read(path: &Path) -> Result<String, RingFault> {
    let bytes = regular::read(path, MAX_FILE_BYTES as u64)
        .map_err(|error| RingFault::Unreadable(error.to_string()))?;
    decode(bytes)
}

/// Checks that bytes are a text that may be a ring.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, RingFault> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(RingFault::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        RingFault::NotText { line: good.iter().filter(|&&byte| byte == b'\n').count() + 1 }
    })
}

/// The fields of a ring file, each of the right type but otherwise unchecked.
pub(crate) fn parse(text: &str, format: Format) -> Result<Contents, RingFault> {
    if text.len() > MAX_FILE_BYTES {
        return Err(RingFault::TooLarge);
    }
    // Some editors write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let format = match format {
        Format::Toml => FileFormat::Toml,
        Format::Yaml => {
            yaml::check(text)?;
            FileFormat::Yaml
        }
        Format::Json => {
            json::check(text)?;
            FileFormat::Json
        }
    };
    let table = config::Format::parse(&format, None, text)
        .map_err(|error| RingFault::Syntax(explain(&error.to_string(), text)))?;
    Contents::from_value(Value::new(None, ValueKind::Table(table)))
}

/// A parser's message as one line.
fn explain(message: &str, text: &str) -> String {
    if message.contains("number too large") || message.contains("number too small") {
        return oversized(text);
    }
    one_line(message)
}

/// Finds the number that does not fit 64 bits: TOML's parser does not report where it is.
fn oversized(text: &str) -> String {
    let digits = |line: &str| {
        let values = line.split('=').skip(1).map(|value| value.trim_start_matches([' ', '+', '-']));
        let numbers = values.filter(|value| value.starts_with(|c: char| c.is_ascii_digit()));
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let len = |value: &str| value.bytes().take_while(part).count();
        numbers.map(len).max()
    };
    let longest = (1..).zip(text.lines()).max_by_key(|(_, line)| digits(line));
    let (line, _) = longest.unwrap_or((1, ""));
    format!("line {line}: the number is beyond 64 bits; the largest is {}", i64::MAX)
}

/// The canonical text of a ring. Neither names nor hosts have characters that TOML would escape.
pub(crate) fn write(version: u64, nodes: &[Node]) -> String {
    let mut text = format!("version = {version}\nhash = \"ketama\"\n");
    for node in nodes {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[node]]\nname = \"{}\"\naddress = \"{node}\"\nweight = {}\n",
            node.name, node.weight
        );
    }
    text
}
