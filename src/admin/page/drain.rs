//! What a drain would move, and the form that carries it out.

use maud::Markup;
use maud::html;
use serde::Deserialize;

use crate::admin::failure::Failure;
use crate::admin::json::Pool;
use crate::admin::json::percent;
use crate::admin::page::layout::layout;
use crate::admin::page::overrides;
use crate::admin::page::parts::table;
use crate::admin::page::words::family;
use crate::admin::page::world::country_name;
use crate::admin::preview::Destination;
use crate::admin::preview::NameMoves;
use crate::admin::preview::Preview;

/// The most pools that the form offers; any other is asked for by name.
const MAX_POOLS: usize = 500;

/// Less than this is not told apart from nothing.
const MIN_SHARE: f64 = 0.000_5;

/// What the form sends; the token is never printed.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainForm {
    /// The pool.
    pub pool: String,
    /// `drain` or `clear`.
    pub action: String,
    /// How long; empty: until it is cleared.
    pub r#for: String,
    /// Why.
    pub reason: String,
    /// Not empty: also if that leaves clients without a pool.
    pub force: String,
    /// The token.
    pub token: String,
}

/// What the page shows.
pub struct DrainView<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The time.
    pub now: u64,
    /// The machine.
    pub node: &'a str,
    /// Whom a drain would move.
    pub preview: &'a Preview,
    /// What was sent before.
    pub form: &'a DrainForm,
    /// Why that was not done.
    pub failure: Option<&'a Failure>,
}

/// The first step: which pool.
pub(super) fn choose(pools: &[Pool]) -> Markup {
    html! {
        @if !pools.is_empty() {
            form .row.card action="/drain" method="get" {
                div .field {
                    label for="drain-pool" { "Take a pool out of the answers, or back" }
                    select #drain-pool name="pool" {
                        @for pool in pools.iter().take(MAX_POOLS) { option { (pool.name) } }
                    }
                }
                button { "See what that would move" }
            }
        }
    }
}

/// The page.
pub fn html(view: &DrainView<'_>) -> String {
    let pool = view.pool;
    let overrides = [&pool.r#override, &pool.planned_override];
    let is_overridden = overrides.into_iter().any(Option::is_some);
    let main = html! {
        main {
            p { a href="/" { "← Status" } }
            h1 { "Drain " span .node { (pool.name) " at " (view.node) } }
            @if let Some(failure) = view.failure {
                p .verdict.bad role="alert" { "Nothing has changed: " (failure.reason()) }
            }
            @if let Some(override_) = &pool.r#override { p { (overrides::in_force(override_, view.now)) } }
            @if let Some(planned) = &pool.planned_override { p { (overrides::planned(planned, view.now)) } }
            (moves(view.preview))
            (form(view, is_overridden))
        }
    };
    layout("Drain – Meridian", &main).into_string()
}

/// Whom a drain would move.
fn moves(preview: &Preview) -> Markup {
    html! {
        h2 { "What a drain would move" }
        @if let Some(stranded) = &preview.stranded {
            p .verdict.bad { "Some clients would be left without a pool: " (stranded) }
        }
        @if preview.moves.is_empty() { p { "No located client would get another answer." } }
        @for (at, moves) in preview.moves.iter().enumerate() { (name(at, moves)) }
        @if preview.n_more > 0 { p .soft { "Not counted: " (preview.n_more) " more names." } }
    }
}

fn name(at: usize, moves: &NameMoves) -> Markup {
    let id = format!("moves-{at}");
    let body = html! { tbody { @for to in &moves.to { (destination(to)) } } };
    let what = format!(
        "{} of the {} clients of {}",
        share(moves.share),
        family(moves.family),
        moves.name
    );
    html! {
        p { b { (what) } }
        (table(&id, &what, &["To", "Share", "Half of them within", "Most of them in"], &body))
        @if moves.others > MIN_SHARE {
            p .soft { (share(moves.others)) " more would go from one other pool to another, as they share subnets with these." }
        }
    }
}

/// A share in percent.
fn share(share: f64) -> String {
    match share {
        ..MIN_SHARE => "less than 0.1 %".into(),
        _ => format!("{} %", percent(share)),
    }
}

fn destination(to: &Destination) -> Markup {
    let countries = to
        .countries
        .iter()
        .map(|country| country_name(country.as_str()));
    let countries: Vec<&str> = countries.collect();
    html! {
        tr {
            th scope="row" { @match &to.pool { Some(pool) => (pool), None => "no pool", } }
            td .number { (share(to.share)) }
            td {
                @if let Some((before, after)) = to.median_km {
                    (format!("{after:.0} km")) " " span .soft { (format!("now {before:.0} km")) }
                }
            }
            td { (countries.join(", ")) }
        }
    }
}

fn form(view: &DrainView<'_>, is_overridden: bool) -> Markup {
    let form = view.form;
    html! {
        form .card.change action="/drain" method="post" autocomplete="off" {
            input type="hidden" name="pool" value=(view.pool.name);
            div .row {
                div .field {
                    label for="for" { "For how long; empty: until it is cleared" }
                    input #for name="for" value=(form.r#for) placeholder="2h";
                }
                div .field.wide {
                    label for="reason" { "Reason" }
                    input #reason name="reason" value=(form.reason) maxlength="256" placeholder="kernel upgrade";
                }
            }
            @if view.preview.stranded.is_some() {
                p {
                    input #force type="checkbox" name="force" value="yes";
                    " " label for="force" { "Also if clients are left without a pool" }
                }
            }
            div .row {
                div .field {
                    label for="token" { "Token" }
                    input #token name="token" type="password" required autocomplete="off";
                }
                button name="action" value="drain" { "Drain " (view.pool.name) }
                @if is_overridden { button name="action" value="clear" { "Clear the override" } }
            }
        }
    }
}
