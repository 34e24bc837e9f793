//! Tables without lines: aligned columns that people can read and `awk` can split.
//!
//! On a terminal a table fits its width, and text too wide for its column is wrapped within it. In a pipe
//! nothing is wrapped.

use std::fmt::Display;

use comfy_table::{Cell, CellAlignment, ContentArrangement};

use crate::style::BOLD;

/// Terminal columns between two columns of the table.
const GAP: u16 = 2;

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Left, for words.
    Left,
    /// Right, for numbers.
    Right,
}

/// A table that is being built.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column. Cells may be styled.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&dyn Display; N]) {
        assert_eq!(N, self.columns.len(), "a row has a cell for every column");
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
        let cell = |text: String, align| {
            Cell::new(text).set_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            })
        };
        let header = self.columns.iter();
        table.set_header(header.map(|&(name, align)| cell(format!("{BOLD}{name}{BOLD:#}"), align)));
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns);
            table.add_row(cells.map(|(text, &(_, align))| cell(text.clone(), align)));
        }
        let last = self.columns.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP }));
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}
