//! What has happened, the latest first.

use std::sync::Arc;

use maud::Markup;
use maud::html;

use crate::admin::page::parts::table;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::live::events::Record;
use crate::live::events::Severity;

/// How many events are shown.
pub const MAX_EVENTS: usize = 30;

/// The latest events.
pub(super) fn section(events: &[Arc<Record>], now: u64) -> Markup {
    let head = ["When", "What", "Details"];
    let body = html! {
        tbody { @for event in events.iter().rev().take(MAX_EVENTS) { (row(event, now)) } }
    };
    html! {
        h2 { "Events" }
        @if events.is_empty() { p .soft { "None yet." } } @else { (table("events-table", "Events", &head, &body)) }
    }
}

fn row(event: &Record, now: u64) -> Markup {
    let (class, word) = match event.severity {
        Severity::Info => ("info", "info"),
        Severity::Warning => ("drained", "warning"),
        Severity::Error => ("down", "error"),
    };
    html! {
        tr {
            td { (ago(event.at / 1000, now)) }
            td { (badge(class, word)) " " (event.message) }
            td {
                @for (at, (name, value)) in event.fields.iter().enumerate() {
                    @if at > 0 { ", " }
                    span .soft { (name) } " " (value.to_string())
                }
            }
        }
    }
}
