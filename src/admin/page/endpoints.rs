//! The endpoints of a pool: what each monitor and vantage says of them.

use maud::Markup;
use maud::html;

use crate::admin::checks::Check;
use crate::admin::json::Endpoint;
use crate::admin::json::Pool;
use crate::admin::json::Status;
use crate::admin::page::parts::table;
use crate::admin::page::sparkline::sparkline;
use crate::admin::page::verdicts::failure;
use crate::admin::page::verdicts::latest;
use crate::admin::page::verdicts::void;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::admin::page::words::left;
use crate::admin::vantages::Vantage;

/// A pool's endpoints, folded unless they are what the reader came for.
pub(super) fn details(pool: &Pool, status: &Status, is_open: bool) -> Markup {
    let n = pool.endpoints.len();
    let id = format!("endpoints-{}", pool.name);
    let mut head = vec!["Endpoint", "Together"];
    head.extend(status.vantages.iter().map(|vantage| &*vantage.name));
    head.push("Last failure");
    let label = format!("Endpoints of {}", pool.name);
    let body = html! {
        tbody { @for endpoint in &pool.endpoints { (rows(endpoint, status)) } }
    };
    html! {
        details id=(id) open[is_open] {
            summary { (n) @if n == 1 { " endpoint" } @else { " endpoints" } " of " (pool.name) }
            @if let Some(reason) = &pool.membership.reason { p { (reason) } }
            (table(&format!("{id}-table"), &label, &head, &body))
        }
    }
}

fn rows(endpoint: &Endpoint, status: &Status) -> Markup {
    html! {
        tr {
            th scope="row" { code { (endpoint.address.to_string()) } }
            td {
                (badge(&endpoint.health, &endpoint.health))
                @if let Some(since) = endpoint.since { small { "changed " (ago(since, status.now)) } }
                @for note in endpoint.checked_at().into_iter().chain(endpoint.dissent()) { small { (note) } }
            }
            (cells(&endpoint.vantages, status))
        }
        @for check in &endpoint.checks { (self::check(check, status)) }
    }
}

/// What one of several monitors says.
fn check(check: &Check, status: &Status) -> Markup {
    let role = if check.votes {
        "monitor"
    } else {
        "watched only:"
    };
    html! {
        tr {
            th scope="row" { small { (role) " " (check.monitor) } }
            td {
                (badge(&check.health, &check.health))
                @if let Some(since) = check.since { small { "changed " (ago(since, status.now)) } }
            }
            (cells(&check.vantages, status))
        }
    }
}

/// What each vantage says, and the latest failure.
fn cells(vantages: &[Vantage], status: &Status) -> Markup {
    html! {
        @for column in &status.vantages {
            td {
                @match vantages.iter().find(|vantage| vantage.name == column.name) {
                    Some(vantage) => (self::vantage(vantage, status.now)),
                    None => span .soft { "not probed" },
                }
            }
        }
        td .reason { @if let Some((note, vantage)) = latest(vantages) { (failure(note, vantage, status.now)) } }
    }
}

fn vantage(vantage: &Vantage, now: u64) -> Markup {
    html! {
        b .(vantage.verdict) { (vantage.verdict) }
        @if let Some(ms) = vantage.latency_ms {
            (format!("{ms:.1} ms")) (sparkline(&vantage.latencies))
        }
        @if let Some(since) = vantage.since { small { "changed " (ago(since, now)) } }
        @if let Some(void) = void(vantage) { small { (void) } }
        @if let Some(load) = vantage.load { small { (format!("load {:.0} %", load * 100.0)) } }
        @if let Some(until) = vantage.suppressed_until {
            small { "flaps: suppressed for about " (left(until, now)) }
        }
        @if let Some(note) = &vantage.no_evidence { small { "no evidence: " (note.reason) } }
    }
}
