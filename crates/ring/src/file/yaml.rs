//! What YAML allows and a ring file does not: aliases and depth.

use yaml_rust2::Event;
use yaml_rust2::parser::Parser;

use crate::error::RingFault;
use crate::message::one_line;

/// A ring is a map of a list of maps; nothing in it is deeper.
const MAX_DEPTH: usize = 8;

/// Refuses a text that is no YAML, or that would grow when it is loaded: an alias stands for what
/// may itself be made of aliases, and each level of nesting takes stack. Events are looked at one
/// by one, which takes neither.
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
