//! Inputs that take much memory, at full size, and their results.
//!
//! An input is one function. It starts its own server through [`Bed`] and returns one figure for each
//! [`Aimed`] of its entry in a table of inputs. `connections` has inputs whose connections hold memory,
//! `contents` those whose contents are hard to store, and `container` those in a control group with a memory
//! limit. Smaller versions of them are tests of the project.

mod bed;
mod connections;
mod container;
mod contents;
mod report;

use super::allow_files;
use crate::Verdict;
use crate::cli::MemoryOptions;
use crate::error::BenchError;
use crate::output;
use crate::progress::{Look, Progress};
use crate::servers::Contender;
use crate::stop::Stop;
use bed::{Bed, Ended};
use report::{Cell, Row};

/// Connections that a server allows (`-c`): slightly more than the largest crowd.
const CLIENTS: usize = 5_100;

/// Open files besides the connections of a crowd, in this program and in the servers.
const SPARE: u64 = 500;

/// An input, and the requirements on a server that gets it.
struct Input {
    /// The name for `--only`.
    name: &'static str,
    /// The description for people, with the flags of the servers.
    text: &'static str,
    /// Number of its connections.
    clients: u64,
    figures: &'static [Aimed],
    /// The function that measures. Returns the figures in the order of their aims.
    measure: fn(&Bed<'_>) -> anyhow::Result<Vec<f64>>,
}

/// A figure and its aim.
struct Aimed {
    what: &'static str,
    unit: Unit,
    aim: Aim,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Number,
    Percent,
    Mebibytes,
    Milliseconds,
    /// 1 if the statement is true.
    Truth,
}

/// The value that a node must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn holds(self, figure: f64) -> bool {
        match self {
            Aim::AtLeast(least) => figure >= least,
            Aim::AtMost(most) => figure <= most,
        }
    }
}

/// The percentage of items that must survive the connections.
const KEPT: Aimed = Aimed { what: "items kept", unit: Unit::Percent, aim: Aim::AtLeast(97.0) };

/// Most resident memory: `-m`, the memory of connections (an eighth of `-m`, at least 32 MiB), and 32 MiB
/// more.
const fn peak(megabytes: u64) -> Aimed {
    let connections = if megabytes / 8 > 32 { megabytes / 8 } else { 32 };
    let most = (megabytes + connections + 32) as f64;
    Aimed { what: "peak resident", unit: Unit::Mebibytes, aim: Aim::AtMost(most) }
}

/// Additional resident memory if nothing is stored: the memory of connections and 32 MiB.
const EXTRA: Aimed = Aimed { what: "more resident", unit: Unit::Mebibytes, aim: Aim::AtMost(64.0) };

/// Runs the chosen inputs on each of these servers.
pub(super) fn run(
    options: &MemoryOptions,
    contenders: &[Contender],
    look: Look,
    stop: &Stop,
) -> anyhow::Result<Verdict> {
    let inputs = chosen(&options.only)?;
    allow_files(inputs.iter().map(|input| input.clients).max().unwrap_or(0) + SPARE)?;
    output::will_write(options.data.json.as_deref())?;
    let mut progress = Progress::new(look);
    progress.begin((inputs.len() * contenders.len()) as u64);
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for input in inputs {
        let mut new: Vec<Row> = input.figures.iter().map(|it| Row::new(input, it)).collect();
        for contender in contenders {
            progress.show(&format!("{}:", input.text), &contender.name);
            let measured = (input.measure)(&Bed { contender, stop });
            // Checked before a failure is reported: Ctrl-C ends the server too.
            stop.check()?;
            match measured {
                Ok(figures) => {
                    for (row, figure) in new.iter_mut().zip(figures) {
                        row.cells.push(Cell::Figure(figure));
                    }
                }
                Err(error) => {
                    let ended = error.is::<Ended>();
                    notes.push(format!("{}, {}: {error:#}", contender.name, input.text));
                    for row in &mut new {
                        row.cells.push(if ended { Cell::Ended } else { Cell::Nothing });
                    }
                }
            }
            progress.step();
        }
        rows.append(&mut new);
    }
    drop(progress);
    let text = report::text(contenders, &rows, &notes);
    let data = report::data(contenders, &rows, &notes);
    output::publish(&text, options.data.json.as_deref(), &data)?;
    Ok(if rows.iter().all(Row::holds) { Verdict::Clean } else { Verdict::Flagged })
}

/// The inputs whose names contain one of the words, or all without words.
fn chosen(words: &[String]) -> Result<Vec<&'static Input>, BenchError> {
    let all = || [connections::INPUTS, contents::INPUTS, container::INPUTS].into_iter().flatten();
    let chosen: Vec<_> = all()
        .filter(|input| words.is_empty() || words.iter().any(|word| input.name.contains(&**word)))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = all().map(|input| input.name).collect();
        let text = format!("no hostile input has such a name; the names are {}", names.join(", "));
        return Err(BenchError::Usage(text));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_chosen_by_parts_of_their_names() {
        let names = |words: &[&str]| -> Vec<&str> {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            chosen(&words).unwrap().iter().map(|input| input.name).collect()
        };
        let mut all = names(&[]);
        assert_eq!(names(&["container"]).len(), 3);
        assert_eq!(names(&["overwrites", "append"]), ["overwrites", "append"]);
        assert!(chosen(&["nothing".to_owned()]).is_err());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a name is there twice");
    }

    #[test]
    fn aims() {
        assert!(Aim::AtMost(2.0).holds(2.0) && !Aim::AtMost(2.0).holds(2.1));
        assert!(Aim::AtLeast(2.0).holds(2.0) && !Aim::AtLeast(2.0).holds(1.9));
        assert_eq!(peak(64).aim, Aim::AtMost(128.0));
        assert_eq!(peak(1024).aim, Aim::AtMost(1184.0));
    }
}
