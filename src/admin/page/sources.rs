//! What names the endpoints of pools, besides their file.

use maud::Markup;
use maud::html;

use crate::admin::json::Status;
use crate::admin::page::parts::MAX_ROWS;
use crate::admin::page::parts::more;
use crate::admin::page::parts::table;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::admin::sources::Source;

/// The sources, those that fail first; nothing without any.
pub(super) fn section(status: &Status) -> Markup {
    let pools = status.pools.iter();
    let sources = pools.flat_map(|pool| {
        let sources = pool.membership.sources.iter();
        sources.map(|source| (&*pool.name, source))
    });
    let mut sources: Vec<_> = sources.collect();
    sources.sort_by_key(|(_, source)| source.error.is_none());
    let head = ["Pool", "Source", "State", "Endpoints", "Changed"];
    let body = html! {
        tbody {
            @for (pool, source) in sources.iter().take(MAX_ROWS) { (row(pool, source, status.now)) }
            (more(sources.len(), head.len()))
        }
    };
    html! {
        @if !sources.is_empty() {
            h2 { "Sources of endpoints" }
            (table("sources-table", "Sources of endpoints", &head, &body))
        }
    }
}

fn row(pool: &str, source: &Source, now: u64) -> Markup {
    html! {
        tr {
            th scope="row" { (pool) }
            td { (source.name) @if source.kind != source.name { small { (source.kind) } } }
            td {
                @match &source.error {
                    Some(error) => { (badge("down", "fails")) small { (error) } },
                    None if source.up => (badge("up", "answers")),
                    None => span .soft { "has not answered yet" },
                }
                @if let Some(at) = source.last_success { small { "answered " (ago(at, now)) } }
                @if let Some(reason) = &source.refused_reason {
                    small { (source.refused) " addresses refused: " (reason) }
                }
            }
            td .number { (source.endpoints) }
            td {
                @if let Some(since) = source.since { (ago(since, now)) }
                @if let Some(token) = &source.by { small { "by " (token) } }
            }
        }
    }
}
