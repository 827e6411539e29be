//! A table as text: names on the left, figures aligned on their right.

/// A table. Every row has as many cells as there are columns.
pub(super) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: Vec<&'static str>) -> Table {
        Table {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row; where a cell has nothing to say it is a dash.
    pub(super) fn row(&mut self, cells: Vec<Option<String>>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        let cells = cells
            .into_iter()
            .map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
        self.rows.push(cells.collect());
    }

    /// One line per row below a line of headings, each indented by two blanks.
    pub(super) fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].as_str());
            let lengths = cells.chain([self.columns[column]]);
            lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let heading = self.columns.iter().map(|word| (*word).to_owned()).collect();
        let mut text = String::new();
        for row in [&heading].into_iter().chain(&self.rows) {
            let mut line = String::from(" ");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line.push_str(&match column {
                    0 => format!(" {cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                });
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn names_stand_left_and_figures_right() {
        let mut table = Table::new(vec!["name", "median", "of umoci"]);
        table.row(vec![
            Some("native".to_owned()),
            Some("0.5 s".to_owned()),
            Some("2.00×".to_owned()),
        ]);
        table.row(vec![
            Some("a longer name".to_owned()),
            Some("12.25 s".to_owned()),
            None,
        ]);
        let expected = "  name            median  of umoci
  native           0.5 s     2.00×
  a longer name  12.25 s         -
";
        assert_eq!(table.render(), expected);
    }
}
