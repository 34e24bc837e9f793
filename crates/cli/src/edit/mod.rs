//! In-place changes to a ring file: comments, order and layout stay.
//!
//! A new text is the old one with a few bytes replaced. It is never trusted: it must parse as exactly
//! the ring that it is meant to be, or nothing is written.
//!
//! | file | purpose |
//! |---|---|
//! | `file` | a ring file that is being changed |
//! | `layout`, `toml`, `json`, `yaml` | where things are in the text; in each format |
//! | `splice` | changing the text |

mod file;
mod json;
mod layout;
mod splice;
mod toml;
mod yaml;

use ringbinder_ring::{Format, Ring};

use crate::change::Change;

use splice::Splices;

pub(crate) use file::{Editor, Written};

/// The text of `old` with one change made, which parses as `new`. Returns `None` if the file is written in a
/// way that cannot be edited in place.
fn edit(text: &str, format: Format, old: &Ring, change: &Change, new: &Ring) -> Option<String> {
    // Some editors write a byte order mark.
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let layout = match format {
        Format::Toml => toml::layout(body),
        Format::Json => json::layout(body),
        Format::Yaml => yaml::layout(body),
    }?;
    if layout.nodes.len() != old.nodes().len() {
        return None;
    }
    let place = |name: &str| old.index_of_name(name).map(|index| index as usize);
    let mut splices = Splices::new(body, &layout);
    splices.version(new.id().version);
    match change {
        Change::Add(node) => splices.add(node)?,
        Change::Remove { name } => splices.remove(place(name)?),
        Change::Weight(weight) => splices.weight(place(&weight.name)?, weight.weight)?,
    }
    let text = format!("{mark}{}", splices.finish());
    let same = Ring::parse(&text, format, "it").is_ok_and(|ring| ring == *new);
    same.then_some(text)
}

#[cfg(test)]
mod tests;
