//! What vantages say of an endpoint, in words.

use maud::Markup;
use maud::html;

use crate::admin::page::words::ago;
use crate::admin::vantages::Note;
use crate::admin::vantages::Vantage;

/// Why a vantage's verdict is not counted.
pub(super) fn void(vantage: &Vantage) -> Option<&'static str> {
    match vantage {
        Vantage { blind: true, .. } => Some("lost contact with all pools: not counted"),
        Vantage { fresh: false, .. } => Some("report expired: not counted"),
        _ => None,
    }
}

/// The latest failure that any of these vantages has seen.
pub(super) fn latest<'a>(
    vantages: impl IntoIterator<Item = &'a Vantage>,
) -> Option<(&'a Note, &'a str)> {
    let failures = vantages.into_iter().filter_map(|vantage| {
        let failure = vantage.last_failure.as_ref()?;
        Some((failure, &*vantage.name))
    });
    failures.max_by_key(|(failure, _)| failure.at)
}

/// A failure and who saw it.
pub(super) fn failure(note: &Note, vantage: &str, now: u64) -> Markup {
    html! { (note.reason) small { (vantage) ", " (ago(note.at, now)) } }
}
