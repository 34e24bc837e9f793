//! The results of the inputs: one table, and the same as JSON.

use serde_json::{Value, json};

use super::{Aim, Aimed, Input, Unit};
use crate::servers::Contender;
use crate::table::{NOTHING, grouped, markdown, time};

/// One figure of one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell {
    Figure(f64),
    /// The server ended during the input, by itself or killed.
    Ended,
    /// This machine cannot measure it.
    Nothing,
}

/// One figure of all servers.
pub(super) struct Row {
    input: &'static Input,
    aimed: &'static Aimed,
    /// In the order of the servers; the last is the node.
    pub(super) cells: Vec<Cell>,
}

impl Row {
    pub(super) fn new(input: &'static Input, aimed: &'static Aimed) -> Self {
        Self { input, aimed, cells: Vec::new() }
    }

    /// Whether the node reaches the aim, or this machine cannot measure it.
    pub(super) fn holds(&self) -> bool {
        match self.cells.last() {
            Some(Cell::Figure(figure)) => self.aimed.aim.holds(*figure),
            Some(Cell::Ended) => false,
            Some(Cell::Nothing) | None => true,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.cells.last() {
            Some(Cell::Nothing) | None => NOTHING,
            Some(_) if self.holds() => "yes",
            Some(_) => "NO",
        }
    }
}

/// The table, followed by notes on single inputs.
pub(super) fn text(contenders: &[Contender], rows: &[Row], notes: &[String]) -> String {
    let mut text = String::new();
    for contender in contenders {
        text.push_str(&format!("- {}\n", contender.describe()));
    }
    text.push_str(
        "\n1 MB is 1,000,000 bytes; ordinary items are values of 1,000 bytes under keys of 8.\n\n",
    );
    text.push_str(&table(contenders.iter().map(|it| it.name.clone()), rows));
    for note in notes {
        text.push_str(&format!("\nNOTE: {note}\n"));
    }
    text
}

fn table(servers: impl Iterator<Item = String>, rows: &[Row]) -> String {
    let mut head = vec!["input".to_owned(), "figure".to_owned()];
    head.extend(servers);
    head.extend(["aim".to_owned(), "holds".to_owned()]);
    let mut table = vec![head];
    let mut last = "";
    for row in rows {
        let first = if row.input.name == last { "" } else { row.input.text };
        last = row.input.name;
        let mut line = vec![first.to_owned(), row.aimed.what.to_owned()];
        line.extend(row.cells.iter().map(|&cell| match cell {
            Cell::Figure(figure) => written(figure, row.aimed.unit),
            Cell::Ended => "ended".to_owned(),
            Cell::Nothing => NOTHING.to_owned(),
        }));
        line.extend([aim(row.aimed), row.verdict().to_owned()]);
        table.push(line);
    }
    markdown(&table)
}

fn written(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::Number => grouped(figure),
        Unit::Percent => format!("{figure:.1} %"),
        Unit::Mebibytes => format!("{} MiB", grouped(figure)),
        Unit::Milliseconds => time(figure * 1000.0),
        Unit::Truth => if figure > 0.0 { "yes" } else { "no" }.to_owned(),
    }
}

fn aim(aimed: &Aimed) -> String {
    let limit = |limit: f64| match aimed.unit {
        Unit::Percent => format!("{limit:.0} %"),
        Unit::Milliseconds => format!("{limit:.0} ms"),
        unit => written(limit, unit),
    };
    match aimed.aim {
        _ if aimed.unit == Unit::Truth => "yes".to_owned(),
        Aim::AtMost(0.0) => limit(0.0),
        Aim::AtMost(most) => format!("at most {}", limit(most)),
        Aim::AtLeast(least) => format!("at least {}", limit(least)),
    }
}

/// The table as JSON: figures in the units of their names, and null if there is none.
pub(super) fn data(contenders: &[Contender], rows: &[Row], notes: &[String]) -> Value {
    let rows = rows.iter().map(|row| {
        let cells = contenders.iter().zip(&row.cells).map(|(contender, &cell)| {
            let value = match cell {
                Cell::Figure(figure) => json!(figure),
                Cell::Ended => json!("ended"),
                Cell::Nothing => Value::Null,
            };
            (contender.name.clone(), value)
        });
        let unit = match row.aimed.unit {
            Unit::Number => "number",
            Unit::Percent => "percent",
            Unit::Mebibytes => "MiB",
            Unit::Milliseconds => "ms",
            Unit::Truth => "truth",
        };
        let aim = match row.aimed.aim {
            Aim::AtMost(most) => json!({ "at_most": most }),
            Aim::AtLeast(least) => json!({ "at_least": least }),
        };
        json!({
            "name": row.input.name,
            "input": row.input.text,
            "figure": row.aimed.what,
            "unit": unit,
            "measured": cells.collect::<Value>(),
            "aim": aim,
            "holds": row.holds(),
        })
    });
    let servers = contenders.iter().map(|it| json!({ "name": it.name, "version": it.version }));
    json!({
        "benchmark": "memory-hostile",
        "servers": servers.collect::<Vec<_>>(),
        "figures": rows.collect::<Vec<_>>(),
        "notes": notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    static INPUT: Input = Input {
        name: "test",
        text: "a test",
        clients: 0,
        figures: &[
            Aimed { what: "kept", unit: Unit::Percent, aim: Aim::AtLeast(97.0) },
            Aimed { what: "refused", unit: Unit::Number, aim: Aim::AtMost(0.0) },
            Aimed { what: "survives", unit: Unit::Truth, aim: Aim::AtLeast(1.0) },
        ],
        measure: |_| Ok(Vec::new()),
    };

    fn row(figure: usize, cell: Cell) -> Row {
        Row { input: &INPUT, aimed: &INPUT.figures[figure], cells: vec![cell] }
    }

    #[test]
    fn a_table() {
        let rows = [
            row(0, Cell::Figure(98.26)),
            row(1, Cell::Figure(1234.0)),
            row(2, Cell::Ended),
            row(2, Cell::Nothing),
        ];
        assert_eq!(rows.iter().map(Row::holds).collect::<Vec<_>>(), [true, false, false, true]);
        let table = table(std::iter::once("ours".to_owned()), &rows);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[2], "| a test | kept     | 98.3 % | at least 97 % | yes   |");
        assert_eq!(lines[3], "|        | refused  | 1,234  | 0             | NO    |");
        assert_eq!(lines[4], "|        | survives | ended  | yes           | NO    |");
        assert_eq!(lines[5], "|        | survives | –      | yes           | –     |");
        assert!(text(&[], &rows, &["a note".to_owned()]).ends_with("\nNOTE: a note\n"));
        let data = data(&[], &rows, &[]);
        assert_eq!(data["figures"][0]["aim"]["at_least"], 97.0);
        assert_eq!(data["figures"][2]["holds"], false);
    }
}
