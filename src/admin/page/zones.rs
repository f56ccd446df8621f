//! What answers are made of besides health: zones, databases, measured round-trip times.

use maud::Markup;
use maud::html;

use crate::admin::json::Database;
use crate::admin::json::Status;
use crate::admin::json::Zone;
use crate::admin::latency::Latency;
use crate::admin::page::parts::MAX_ROWS;
use crate::admin::page::parts::more;
use crate::admin::page::parts::table;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::admin::time::Span;

/// All of it.
pub(super) fn section(status: &Status) -> Markup {
    html! {
        h2 { "Zones" }
        (zones(&status.zones))
        h2 { "GeoIP databases" }
        (databases(&status.databases, status.now))
        @if let Some(latency) = &status.latency {
            h2 { "Round-trip times" }
            (measured(latency, status.now))
        }
    }
}

fn zones(zones: &[Zone]) -> Markup {
    let body = html! {
        tbody {
            @for zone in zones.iter().take(MAX_ROWS) {
                tr {
                    th scope="row" { (zone.apex) }
                    td .number { (zone.serial) }
                    td .number { (zone.names) }
                }
            }
            (more(zones.len(), 3))
        }
    };
    table("zones-table", "Zones", &["Apex", "Serial", "Names"], &body)
}

fn databases(databases: &[Database], now: u64) -> Markup {
    let body = html! {
        tbody {
            @for database in databases {
                tr {
                    th scope="row" { (database.r#type) }
                    td {
                        (database.build_date) " "
                        span .soft { (Span(now.saturating_sub(database.built)).to_string()) " ago" }
                        @if database.is_old { " " (badge("drained", "older than max_age")) }
                    }
                    td .number { (database.networks) }
                }
            }
        }
    };
    table(
        "databases-table",
        "GeoIP databases",
        &["Type", "Built", "Networks"],
        &body,
    )
}

fn measured(latency: &Latency, now: u64) -> Markup {
    let left_out = [
        (latency.too_old, "rows are too old"),
        (latency.too_few, "pairs have too few samples"),
        (latency.unknown_pool, "measurements are of unknown pools"),
    ];
    let body = html! {
        tbody {
            @for pool in latency.pools.iter().take(MAX_ROWS) {
                tr {
                    th scope="row" { (pool.pool) }
                    td .number { (pool.measurements) }
                }
            }
            (more(latency.pools.len(), 2))
        }
    };
    html! {
        p {
            (latency.measurements) " measurements of " (latency.rows) " rows"
            @if let Some(newest) = latency.newest { ", the newest " (ago(newest, now)) }
            @for (n, what) in left_out { @if n > 0 { "; " (n) " " (what) } }
        }
        (table("latency-table", "Measurements by pool", &["Pool", "Measurements"], &body))
    }
}
