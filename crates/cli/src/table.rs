//! Tables without lines: aligned columns that people can read and `awk` can split.
//!
//! On a terminal a table fits its width, and text too wide for its column is wrapped within it. In a pipe
//! nothing is wrapped.

use std::fmt::Display;

use comfy_table::{Cell, CellAlignment, ContentArrangement};

use crate::style::BOLD;

/// Terminal columns between two columns of the table.
const GAP: u16 = 2;

/// A table that is being built.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings and no rows. A `>` before a heading aligns its column right, as numbers
    /// are; it is not printed. Other columns are aligned left.
    pub(crate) fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column. Cells may be styled.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&dyn Display; N]) {
        assert_eq!(N, self.headings.len(), "a row has a cell for every column");
        self.rows.push(cells.iter().map(ToString::to_string).collect());
    }

    /// Renders the table, with a line break after each line.
    pub(crate) fn render(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
            }
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        let cell = |text: &str, heading: &str| {
            let right = heading.starts_with('>');
            let alignment = if right { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text).set_alignment(alignment)
        };
        table.set_header(self.headings.iter().map(|heading| {
            let name = heading.trim_start_matches('>');
            cell(&format!("{BOLD}{name}{BOLD:#}"), heading)
        }));
        for row in &self.rows {
            let cells = row.iter().zip(&self.headings);
            table.add_row(cells.map(|(text, heading)| cell(text, heading)));
        }
        let last = self.headings.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP }));
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}
