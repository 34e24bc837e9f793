//! A table with one column for each node. Columns that do not fit beside each other continue below.

use std::fmt::Write as _;

use crate::style::{BOLD, DIM};

/// Terminal columns between two columns of the table.
const GAP: usize = 2;

/// The heading of the sums.
const SUM: &str = "ALL";

/// One statistic and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The name.
    pub(super) name: String,
    /// The sum over all nodes; empty if there is none.
    pub(super) sum: String,
    /// The value of each node; as many as the table has nodes.
    pub(super) cells: Vec<String>,
}

/// One column with its heading, before layout.
struct Column<'a> {
    heading: &'a str,
    cells: Vec<&'a str>,
    width: usize,
}

impl<'a> Column<'a> {
    fn new(heading: &'a str, cells: Vec<&'a str>) -> Column<'a> {
        let widths = cells.iter().map(|cell| cell.chars().count());
        let width = widths.max().unwrap_or(0).max(heading.chars().count());
        Column { heading, cells, width }
    }
}

/// Renders the table. If `width` is given, it holds as many columns side by side as fit, but at least
/// one.
pub(super) fn render(nodes: &[&str], rows: &[Row], width: Option<u16>) -> String {
    let names = Column::new("", rows.iter().map(|row| row.name.as_str()).collect());
    let mut columns = Vec::new();
    if rows.iter().any(|row| !row.sum.is_empty()) {
        columns.push(Column::new(SUM, rows.iter().map(|row| row.sum.as_str()).collect()));
    }
    for (index, node) in nodes.iter().enumerate() {
        let cells = rows.iter().map(|row| row.cells[index].as_str()).collect();
        columns.push(Column::new(node, cells));
    }
    let room = width.map_or(usize::MAX, |width| usize::from(width).saturating_sub(names.width));
    let mut text = String::new();
    let mut rest = columns.as_slice();
    while !rest.is_empty() {
        let mut left = room;
        let fits = rest.iter().take_while(|column| {
            let need = column.width + GAP;
            let fits = need <= left;
            left = left.saturating_sub(need);
            fits
        });
        let (block, after) = rest.split_at(fits.count().max(1));
        if !text.is_empty() {
            text.push('\n');
        }
        write_block(&mut text, &names, block);
        rest = after;
    }
    text
}

fn write_block(text: &mut String, names: &Column<'_>, block: &[Column<'_>]) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{BOLD}{:1$}", "", names.width);
    for column in block {
        let _ = write!(text, "{:1$}{2:>3$}", "", GAP, column.heading, column.width);
    }
    let _ = writeln!(text, "{BOLD:#}");
    for (row, name) in names.cells.iter().enumerate() {
        let _ = write!(text, "{DIM}{name:0$}{DIM:#}", names.width);
        let mut line = String::new();
        for column in block {
            let _ = write!(line, "{:1$}{2:>3$}", "", GAP, column.cells[row], column.width);
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain text of a table in this width.
    fn table(nodes: usize, width: Option<u16>) -> String {
        let nodes: Vec<String> = (0..nodes).map(|index| format!("cache-{index}")).collect();
        let row = |name: &str, sum: &str| Row {
            name: name.to_owned(),
            sum: sum.to_owned(),
            cells: nodes.iter().map(|node| node[6..].to_owned()).collect(),
        };
        let rows = [row("items", "12"), row("uptime", "")];
        let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
        anstream::adapter::strip_str(&render(&names, &rows, width)).to_string()
    }

    #[test]
    fn nodes_stand_beside_each_other_while_there_is_room() {
        let text = table(2, Some(80));
        assert_eq!(
            text,
            "        ALL  cache-0  cache-1\n\
             items    12        0        1\n\
             uptime             0        1\n"
        );
    }

    #[test]
    fn what_does_not_fit_follows_below() {
        let text = table(50, Some(80));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        for node in 0..50 {
            assert!(text.contains(&format!("cache-{node}")), "{node}: {text}");
        }
        assert_eq!(table(50, None).lines().count(), 3);
        // Every node is shown even if no column fits.
        assert!(table(2, Some(1)).contains("cache-1"));
    }
}
