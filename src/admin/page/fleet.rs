//! The vantages, and the other machines.

use maud::Markup;
use maud::html;

use crate::admin::fleet::Fleet;
use crate::admin::fleet::Node;
use crate::admin::json::Status;
use crate::admin::page::parts::table;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::admin::time::Span;
use crate::admin::vantages::VantageState;

/// What is wrong in the fleet.
pub(super) fn problems(fleet: &Fleet) -> Vec<String> {
    let mut problems = Vec::new();
    if fleet.connected_to.is_none() && fleet.reason.is_some() {
        problems.push("not connected to the fleet".to_owned());
    }
    if fleet.name_taken {
        problems.push(format!("another machine uses the name {}", fleet.node));
    }
    problems.extend(fleet.nodes.iter().filter_map(|node| {
        let name = &node.name;
        let first = node.differs.first();
        match node {
            Node { lost: true, .. } => Some(format!("{name} is lost")),
            Node {
                duplicate: true, ..
            } => Some(format!("two machines use the name {name}")),
            _ => first.map(|difference| format!("{name} differs in {}", difference.what)),
        }
    }));
    problems
}

/// The vantages themselves.
pub(super) fn vantages(status: &Status) -> Markup {
    let head = [
        "Vantage",
        "Latest report",
        "State",
        "Witnesses reached",
        "Suppressed endpoints",
    ];
    let body = html! {
        tbody { @for vantage in &status.vantages { (self::vantage(vantage, status.now)) } }
    };
    html! {
        h2 { "Vantages" }
        (table("vantages-table", "Vantages", &head, &body))
    }
}

fn vantage(vantage: &VantageState, now: u64) -> Markup {
    let is_blind = vantage.blind().next().is_some();
    html! {
        tr {
            th scope="row" {
                (vantage.name)
                @if !vantage.local { small { "of another machine" } }
            }
            td {
                @match vantage.report_age_seconds {
                    Some(age) => { (Span(age as u64).to_string()) " ago" },
                    None => "probes nothing",
                }
            }
            td {
                @for (family, since) in vantage.blind() {
                    (badge("down", &format!("blind for {family}"))) " " (ago(since, now)) " "
                }
                @if vantage.silent {
                    (badge("down", "silent"))
                } @else if vantage.report_age_seconds.is_some() && !is_blind {
                    (badge("up", "reports"))
                }
            }
            td {
                @match vantage.witnesses.len() {
                    0 => span .soft { "none" },
                    n => { (vantage.n_reached()) " of " (n) },
                }
            }
            td .number { (vantage.suppressed) }
        }
    }
}

/// The other machines, and in what they differ from this one.
pub(super) fn machines(fleet: &Fleet, now: u64) -> Markup {
    let body = html! { tbody { @for node in &fleet.nodes { (machine(node, now)) } } };
    html! {
        h2 { "Fleet" }
        p {
            (fleet.node) ": "
            @match (&fleet.connected_to, &fleet.reason) {
                (Some(server), _) => { "connected to " (server) " " (ago(fleet.since, now)) },
                (None, Some(reason)) => {
                    (badge("down", "not connected")) " " (reason) " " (ago(fleet.since, now))
                },
                (None, None) => "not connected yet",
            }
            @if fleet.name_taken { " " (badge("down", "another machine uses this name")) }
        }
        (table("fleet-table", "Other machines", &["Node", "Version", "Latest message", "State"], &body))
    }
}

fn machine(node: &Node, now: u64) -> Markup {
    html! {
        tr {
            th scope="row" { (node.name) }
            td { (node.version) }
            td { (ago(node.last_seen, now)) }
            td {
                @if node.lost { (badge("down", "lost")) " " }
                @if node.duplicate { (badge("down", "two machines use this name")) " " }
                @for difference in &node.differs {
                    (badge("drained", &format!("differs in {}", difference.what))) " "
                    (ago(difference.since, now)) " "
                }
                @if !node.lost && !node.duplicate && node.differs.is_empty() { (badge("up", "agrees")) }
            }
        }
    }
}
