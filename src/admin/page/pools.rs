//! Pools down, vantages across, the worst first.

use std::collections::BTreeMap;

use maud::Markup;
use maud::html;

use crate::admin::drills::Drill;
use crate::admin::json::Pool;
use crate::admin::json::percent;
use crate::admin::page::endpoints;
use crate::admin::page::overrides;
use crate::admin::page::parts::MAX_ROWS;
use crate::admin::page::parts::more;
use crate::admin::page::parts::table;
use crate::admin::page::sparkline::sparkline;
use crate::admin::page::verdicts::failure;
use crate::admin::page::verdicts::latest;
use crate::admin::page::verdicts::void;
use crate::admin::page::view::Choice;
use crate::admin::page::view::View;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::admin::rates::per_second;
use crate::admin::vantages::Note;
use crate::health::recent_latencies::RecentLatencies;

/// Verdicts on endpoints that are in the page; those of further pools are a click away.
const MAX_VERDICTS: usize = 100;

/// The state of a pool in a word, from worst to best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// In a family.
    Down,
    /// Not all is known yet.
    Unknown,
    /// By an operator.
    Drained,
    /// In all its families.
    Up,
}

impl State {
    /// As the page has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Drained => "drained",
            Self::Up => "up",
        }
    }
}

/// The state of a pool; without endpoints it is down.
pub(super) fn state(pool: &Pool) -> State {
    let is_drained = pool
        .r#override
        .as_ref()
        .is_some_and(|override_| matches!(&*override_.state, "drain" | "drill"));
    let health = [&pool.ipv4, &pool.ipv6].map(|health| health.as_deref());
    match health {
        _ if is_drained => State::Drained,
        [None, None] => State::Down,
        _ if health.contains(&Some("down")) => State::Down,
        _ if health.contains(&Some("unknown")) => State::Unknown,
        _ => State::Up,
    }
}

/// Whether a pool is down in a family, and no operator wants it to be.
pub(super) fn is_down(pool: &Pool) -> bool {
    state(pool) == State::Down
}

/// What one vantage says of a pool's endpoints.
#[derive(Default)]
struct Cell<'a> {
    n: usize,
    n_down: usize,
    n_unknown: usize,
    /// How many of its verdicts are not counted, and why the first is not.
    n_void: usize,
    void: &'static str,
    /// Of the quickest endpoint.
    latency: Option<(f64, &'a RecentLatencies)>,
}

/// What each vantage says, by name.
fn cells(pool: &Pool) -> BTreeMap<&str, Cell<'_>> {
    let mut cells: BTreeMap<&str, Cell<'_>> = BTreeMap::new();
    for vantage in pool
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.vantages)
    {
        let cell = cells.entry(&vantage.name).or_default();
        cell.n += 1;
        cell.n_down += usize::from(vantage.verdict == "down");
        cell.n_unknown += usize::from(vantage.verdict == "unknown");
        if let Some(void) = void(vantage) {
            cell.n_void += 1;
            cell.void = void;
        }
        if let Some(ms) = vantage.latency_ms
            && cell.latency.is_none_or(|(quickest, _)| ms < quickest)
        {
            cell.latency = Some((ms, &vantage.latencies));
        }
    }
    cells
}

/// The form that says which pools are wanted; the script needs no button.
pub(super) fn filter(choice: &Choice) -> Markup {
    html! {
        h2 #pools-title { "Pools" }
        form .row action="/" method="get" role="search" {
            label for="filter" { "Only pools with" }
            input #filter name="pool" type="search" value=(choice.pool) autocomplete="off"
                placeholder="name, or down, drained";
            button { "Filter" }
            @if !choice.pool.is_empty() { a href="/" { "all" } }
        }
    }
}

/// The pools that the reader wants, the worst first.
fn chosen<'a>(view: &'a View) -> Vec<(&'a Pool, State, BTreeMap<&'a str, Cell<'a>>)> {
    let wanted = view.choice.pool.to_ascii_lowercase();
    let is_wanted = |pool: &&Pool| {
        pool.name.to_ascii_lowercase().contains(&wanted) || state(pool).as_str() == wanted
    };
    let pools = view.status.pools.iter().filter(is_wanted);
    let mut pools: Vec<_> = pools.map(|pool| (pool, state(pool), cells(pool))).collect();
    pools.sort_by_key(|(pool, state, cells)| {
        let n_down: usize = cells.values().map(|cell| cell.n_down).sum();
        (*state, pool.r#override.is_none(), n_down == 0)
    });
    pools
}

/// The matrix.
pub(super) fn section(view: &View) -> Markup {
    let status = &view.status;
    let vantages: Vec<&str> = status
        .vantages
        .iter()
        .map(|vantage| &*vantage.name)
        .collect();
    let mut head = vec!["Pool", "State", "Since", "Answers/s"];
    head.extend(&vantages);
    head.push("Last failure");
    let pools = chosen(view);
    let mut n_verdicts = 0;
    let fits = |(pool, ..): &&(&Pool, _, _)| {
        n_verdicts += (pool.endpoints.len() * vantages.len()).max(1);
        n_verdicts <= MAX_VERDICTS
    };
    // At least one: whoever filters for a pool wants its endpoints.
    let n_details = pools.iter().take_while(fits).count().max(1);
    let is_open = pools.len() == 1 && !view.choice.pool.is_empty();
    let body = html! {
        @for (at, (pool, state, cells)) in pools.iter().take(MAX_ROWS).enumerate() {
            tbody data-pool={ (pool.name) " " (state.as_str()) } {
                tr {
                    th scope="row" { (pool.name) }
                    td { (health(pool, *state, status.now)) }
                    td { @if let Some(since) = since(pool, *state) { (ago(since, status.now)) } }
                    td .number { (rate(view, &pool.name)) }
                    @for vantage in &vantages { (cell(cells.get(vantage))) }
                    td .reason { @if let Some((note, vantage)) = last_failure(pool) { (failure(note, vantage, status.now)) } }
                }
                @if at < n_details {
                    tr { td .inner colspan=(head.len()) { (endpoints::details(pool, status, is_open)) } }
                }
            }
        }
        (more(pools.len(), head.len()))
    };
    html! {
        (table("pools-table", "Pools by vantage", &head, &body))
        @if pools.is_empty() { p .soft { "No pool is like this." } }
        @if pools.len() > n_details {
            p .soft { "Endpoints are shown of the first " (n_details) " pools; filter by a name to see those of another." }
        }
    }
}

fn rate(view: &View, pool: &str) -> String {
    per_second(view.rates.pools.get(pool).copied().unwrap_or(0.0))
}

/// Its state in each family, and which clients it takes.
fn health(pool: &Pool, state: State, now: u64) -> Markup {
    html! {
        @for (family, health) in [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)] {
            @if let Some(health) = health { (badge(health, &format!("{family} {health}"))) " " }
        }
        @if pool.endpoints.is_empty() { (badge("down", "no endpoints")) }
        @for note in shares(pool) { small { (note) } }
        @if pool.full { (badge("down", "full: no other pool takes its clients")) }
        @if let Some(override_) = &pool.r#override { (overrides::in_force(override_, now)) }
        @if let Some(planned) = &pool.planned_override { (overrides::planned(planned, now)) }
        @if pool.monitor.is_none() && state != State::Down { small { "no monitor: always up" } }
    }
}

/// Which clients it takes, where that is not all of them.
fn shares(pool: &Pool) -> Vec<String> {
    let mut notes = Vec::new();
    let families = [("IPv4", pool.ipv4_admitted), ("IPv6", pool.ipv6_admitted)];
    for (family, admitted) in families {
        if let Some(admitted) = admitted.filter(|admitted| *admitted < 1.0) {
            notes.push(format!(
                "takes {} % of its {family} clients",
                percent(admitted)
            ));
        }
    }
    if let Some(trickle) = pool.trickle {
        notes.push(format!("standby, takes {} % of all", percent(trickle)));
    }
    notes.extend(pool.spill());
    notes.extend(pool.drill.as_ref().and_then(Drill::summary));
    notes
}

/// Since when it is in this state, as its endpoints have it.
fn since(pool: &Pool, state: State) -> Option<u64> {
    if let (State::Drained, Some(override_)) = (state, &pool.r#override) {
        return Some(override_.begins.unwrap_or(override_.since));
    }
    let deciding = pool
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.health == state.as_str());
    deciding.filter_map(|endpoint| endpoint.since).max()
}

fn cell(cell: Option<&Cell<'_>>) -> Markup {
    let Some(cell) = cell else {
        return html! { td .soft { "–" } };
    };
    let (class, text) = match cell {
        Cell { n, n_down, .. } if n == n_down => ("down", "down".to_owned()),
        Cell {
            n,
            n_down: n_down @ 1..,
            ..
        } => ("down", format!("{n_down} of {n} down")),
        Cell { n_unknown: 1.., .. } => ("unknown", "unknown".into()),
        _ => ("up", "up".into()),
    };
    html! {
        td {
            b .(class) { (text) }
            @if let Some((ms, latencies)) = cell.latency {
                (format!("{ms:.0} ms")) (sparkline(latencies))
            }
            @if cell.n_void > 0 { small { (cell.void) } }
        }
    }
}

fn last_failure(pool: &Pool) -> Option<(&Note, &str)> {
    let vantages = pool
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.vantages);
    latest(vantages)
}
