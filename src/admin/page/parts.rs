//! Tables, as all sections have them.

use maud::Markup;
use maud::html;

/// The most pools, names and zones that are shown: a page that is fetched every few seconds should not hold a
/// million.
pub(super) const MAX_ROWS: usize = 100;

/// A table that scrolls on its own where it is wider than the page, also by keyboard.
pub(super) fn table(id: &str, label: &str, head: &[&str], body: &Markup) -> Markup {
    html! {
        div .scroll id=(id) tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { @for title in head { th scope="col" { (title) } } } }
                (body)
            }
        }
    }
}

/// The row that says how many of `n` are not shown.
pub(super) fn more(n: usize, n_columns: usize) -> Markup {
    html! {
        @if let Some(more @ 1..) = n.checked_sub(MAX_ROWS) {
            tr { td .soft colspan=(n_columns) { "and " (more) " more" } }
        }
    }
}
