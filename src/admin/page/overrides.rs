//! What operators have set.

use maud::Markup;
use maud::html;

use crate::admin::json::Override;
use crate::admin::json::Status;
use crate::admin::page::parts::table;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::admin::page::words::left;

/// The class and the words of an override in force.
fn words(override_: &Override) -> (&'static str, &'static str) {
    match &*override_.state {
        "drain" => ("drained", "drained"),
        "drill" => ("drained", "drilled"),
        "up" => ("up", "forced up"),
        "shed" => ("drained", "shed"),
        _ => ("down", "forced down"),
    }
}

/// An override in force.
pub(super) fn in_force(override_: &Override, now: u64) -> Markup {
    let (class, text) = words(override_);
    html! {
        (badge(class, text))
        small {
            (text) " " (ago(override_.begins.unwrap_or(override_.since), now))
            @if let Some(percent) = override_.percent { ", " (percent) " % of its clients" }
            ", " (end(override_, now))
            @if !override_.reason.is_empty() { ": " (override_.reason) }
        }
    }
}

/// An override that begins later.
pub(super) fn planned(override_: &Override, now: u64) -> Markup {
    html! {
        small {
            (override_.state) " in " (left(override_.begins.unwrap_or(now), now))
            @if !override_.reason.is_empty() { ": " (override_.reason) }
        }
    }
}

fn end(override_: &Override, now: u64) -> Markup {
    html! {
        @match override_.until {
            Some(until) => { "for another " (left(until, now)) },
            None => "until it is cleared",
        }
    }
}

/// All overrides, and the way to set one.
pub(super) fn section(status: &Status) -> Markup {
    let now = status.now;
    let pools = status.pools.iter();
    let of_pools = pools.flat_map(|pool| {
        let both = [&pool.r#override, &pool.planned_override];
        both.into_iter()
            .flatten()
            .map(|override_| (&*pool.name, override_, false))
    });
    let orphaned = status.orphaned_overrides.iter();
    let orphaned = orphaned.map(|orphaned| (&*orphaned.pool, &orphaned.r#override, true));
    let overrides: Vec<_> = of_pools.chain(orphaned).collect();
    let body = html! {
        tbody {
            @for (pool, override_, is_orphaned) in &overrides {
                tr {
                    th scope="row" { (pool) @if *is_orphaned { small { "no such pool: has no effect" } } }
                    td {
                        @match override_.begins {
                            Some(begins) if begins > now => { (override_.state) " in " (left(begins, now)) },
                            _ => (badge(words(override_).0, words(override_).1)),
                        }
                        @if let Some(percent) = override_.percent { " " (percent) " %" }
                    }
                    td { (ago(override_.since, now)) }
                    td { (end(override_, now)) }
                    td { (override_.reason) }
                }
            }
        }
    };
    html! {
        h2 { "Overrides" }
        @if overrides.is_empty() {
            p .soft { "None: probes alone decide." }
        } @else {
            (table("overrides-table", "Overrides", &["Pool", "State", "Set", "Ends", "Reason"], &body))
        }
    }
}
