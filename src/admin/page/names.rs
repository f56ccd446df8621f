//! The steered names, and where their clients are.

use maud::Markup;
use maud::html;

use crate::admin::json::percent;
use crate::admin::page::parts::MAX_ROWS;
use crate::admin::page::parts::more;
use crate::admin::page::parts::table;
use crate::admin::page::view::View;
use crate::admin::page::words::badge;
use crate::admin::page::world::country_name;
use crate::admin::rates::per_second;
use crate::admin::steering::Steered;

/// The most countries that are listed.
const MAX_COUNTRIES: usize = 20;

/// The names, then the countries of all of them.
pub(super) fn section(view: &View) -> Markup {
    let steered = &view.status.steered;
    let head = ["Name", "Policy", "Pools", "TTL", "Queries by country"];
    let body = html! {
        tbody {
            @for name in steered.iter().take(MAX_ROWS) { (row(name)) }
            (more(steered.len(), head.len()))
        }
    };
    html! {
        h2 { "Steered names" }
        (table("names-table", "Steered names", &head, &body))
        (countries(view))
    }
}

fn row(name: &Steered) -> Markup {
    let n_pools = name.pools.len();
    html! {
        tr {
            th scope="row" {
                (name.name)
                @if !name.max_down_exceeded.is_empty() {
                    " " (badge("down", &format!(
                        "probes ignored for {}: more pools are down than max_down allows",
                        name.max_down_exceeded.join(" and ")
                    )))
                }
            }
            td { (name.policy) }
            td {
                (name.pools[..n_pools.min(MAX_ROWS)].join(", "))
                @if n_pools > MAX_ROWS { span .soft { " and " (n_pools - MAX_ROWS) " more" } }
            }
            td {
                (name.ttl_now) " s"
                @if let Some(reason) = &name.ttl_reason {
                    small { "of " (name.ttl_min) " to " (name.ttl) ": " (reason) }
                }
            }
            td { small { (name.clients.shares()) } }
        }
    }
}

/// Where queries come from now.
fn countries(view: &View) -> Markup {
    let mut countries: Vec<(&str, f64)> = Vec::new();
    countries.extend(
        view.rates
            .countries
            .iter()
            .map(|(code, rate)| (&**code, *rate)),
    );
    countries.retain(|(_, rate)| *rate > 0.0);
    countries.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f64 = countries.iter().map(|(_, rate)| rate).sum();
    let body = html! {
        tbody {
            @for (code, rate) in countries.iter().take(MAX_COUNTRIES) {
                tr {
                    th scope="row" { (country_name(code)) }
                    td .number { (per_second(*rate)) }
                    td .number { (percent(rate / total)) " %" }
                }
            }
        }
    };
    html! {
        @if !countries.is_empty() {
            details #countries {
                summary {
                    "Queries by country: " (per_second(total)) " a second, from a sample of the last "
                    (view.rates.seconds) " s"
                }
                (table("countries-table", "Queries by country", &["Country", "Queries/s", "Share"], &body))
            }
        }
    }
}
