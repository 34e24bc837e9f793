//! Refuses what YAML allows and a ring file does not: aliases and depth.

use yaml_rust2::Event;
use yaml_rust2::parser::Parser;

use crate::error::RingFault;
use crate::message::one_line;

/// A ring is a map of a list of maps, and no deeper.
const MAX_DEPTH: usize = 8;

/// Refuses a text that is not YAML, or that would grow when it is loaded: an alias stands for a
/// value that may contain aliases itself, and each level of nesting needs stack. This reads the
/// events one by one, so it needs neither memory nor stack for them.
pub(super) fn check(text: &str) -> Result<(), RingFault> {
    let mut parser = Parser::new_from_str(text);
    let mut depth = 0usize;
    loop {
        let (event, mark) =
            parser.next_token().map_err(|error| RingFault::Syntax(one_line(&error.to_string())))?;
        match event {
            Event::StreamEnd => return Ok(()),
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            Event::Alias(_) => {
                let line = mark.line();
                return Err(RingFault::Syntax(format!(
                    "line {line}: aliases (*name) have no place in a ring file; write the value out"
                )));
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(RingFault::Syntax(format!("line {}: nested too deeply", mark.line())));
        }
    }
}
