//! A table for people: columns that are as wide as they must be, without lines.

use std::io::IsTerminal;

use comfy_table::CellAlignment;
use comfy_table::ContentArrangement;
use comfy_table::Table;
use comfy_table::presets::NOTHING;

/// An empty table without lines, whose cells are broken where a terminal is narrower; what is no terminal gets
/// every row in one line.
pub fn empty() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let stdout = std::io::stdout();
    let size = stdout
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stdout));
    match size {
        Some(Ok(size)) if size.ws_col > 0 => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(size.ws_col),
        _ => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
}

/// Lines of a table; the columns at these positions are numbers, and end at the right.
pub fn lines<const N: usize>(
    header: [&str; N],
    numbers: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = empty();
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for at in numbers {
        if let Some(column) = table.column_mut(*at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}
