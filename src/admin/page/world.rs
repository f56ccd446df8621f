//! The world map: where the pools are.

use maud::Markup;
use maud::html;

use crate::admin::json::Pool;
use crate::admin::json::percent;
use crate::admin::page::parts::MAX_ROWS;
use crate::admin::page::pools::State;
use crate::admin::page::pools::state;
use crate::admin::page::view::View;
use crate::admin::page::words::family;
use crate::base::location::Point;
use crate::map;
use crate::map::CountryPath;
use crate::mmdb::countries;

/// The most pools that are on the map, the worst first.
const MAX_MARKS: usize = 300;

/// The most pools whose colours are explained.
const MAX_SHARES: usize = 16;

/// Up to so many pools their names stand beside them.
const MAX_LABELS: usize = 12;

/// Colours of pools; further pools have the same ones again.
const N_COLOURS: usize = 12;

/// The form that says which name the map is of, where there are several.
pub(super) fn choice(view: &View) -> Markup {
    let names = &view.status.steered;
    html! {
        @if names.len() > 1 {
            form .row action="/" method="get" {
                label for="map-name" { "Map of" }
                select #map-name name="name" {
                    @for name in names.iter().take(MAX_ROWS) {
                        option selected[name.name == view.choice.name] { (name.name) }
                    }
                }
                button { "Show" }
            }
        }
    }
}

/// The map.
pub(super) fn section(view: &View) -> Markup {
    let pools = &view.status.pools;
    let label = format!("World map with {} pools", pools.len());
    let mut marks: Vec<(State, &Pool)> = pools.iter().map(|pool| (state(pool), pool)).collect();
    marks.sort_by_key(|(state, _)| *state);
    marks.truncate(MAX_MARKS);
    html! {
        @if !pools.is_empty() {
            figure .map {
                svg .few[pools.len() <= MAX_LABELS] viewBox={ "0 0 " (map::WIDTH) " " (map::HEIGHT) } role="img" aria-label=(label) {
                    path .sea d=(map::outline()) {}
                    @for country in map::countries() { (self::country(country, view)) }
                    // The worst last: nothing lies above them.
                    @for (state, pool) in marks.into_iter().rev() {
                        (mark(pool, state, pools.len() <= MAX_LABELS))
                    }
                }
                figcaption {
                    p .legend { (legend()) }
                    (coverage(view))
                }
            }
        }
    }
}

/// A country in the colour of the pool that serves most of it.
fn country(country: &CountryPath, view: &View) -> Markup {
    let name = country_name(country.code.as_str());
    let coverage = view.coverage.as_deref();
    let most = coverage.and_then(|coverage| coverage.countries.get(&country.code));
    let most = most.and_then(|(pool, share)| Some((*pool, view.status.pools.get(*pool)?, share)));
    html! {
        @match most {
            Some((ix, pool, share)) => {
                path .land.{ "c" (ix % N_COLOURS) } d=(country.path) {
                    title { (name) ": " (pool.name) " " (percent(*share)) " %" }
                }
            },
            None => path .land d=(country.path) { title { (name) } },
        }
    }
}

/// Which colour is which pool, with its share of the world.
fn coverage(view: &View) -> Markup {
    let Some(coverage) = view.coverage.as_deref() else {
        return html! { p .soft { "Who serves which country is being counted." } };
    };
    let mut shares: Vec<(usize, f64)> = Vec::new();
    shares.extend(coverage.pools.iter().map(|(pool, share)| (*pool, *share)));
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let n_more = shares.len().saturating_sub(MAX_SHARES);
    shares.truncate(MAX_SHARES);
    let pools = &view.status.pools;
    let name = match view.choice.name.is_empty() {
        true => view.status.steered.first().map_or("", |name| &*name.name),
        false => &*view.choice.name,
    };
    html! {
        @if !shares.is_empty() {
            p .legend {
                span { "Countries by the pool that serves most of their " (family(coverage.family)) " addresses for " (name)
                    @if coverage.generation != view.status.generation { " (as of generation " (coverage.generation) ", being counted again)" }
                    ":" }
                @for (ix, share) in &shares {
                    @if let Some(pool) = pools.get(*ix) {
                        span {
                            svg viewBox="0 0 16 16" aria-hidden="true" { rect .{ "c" (ix % N_COLOURS) } width="16" height="16" {} }
                            (pool.name) " " (percent(*share)) " %"
                        }
                    }
                }
                @if n_more > 0 { span { "and " (n_more) " more" } }
            }
        }
    }
}

/// A pool at its place, in a shape that says its state.
fn mark(pool: &Pool, state: State, has_label: bool) -> Markup {
    let [latitude, longitude] = pool.location.unwrap_or_default();
    let (x, y) = map::project(Point {
        latitude,
        longitude,
    });
    html! {
        g .mark.(state.as_str()) transform=(format!("translate({x:.0} {y:.0})")) {
            title { (pool.name) ": " (state.as_str()) }
            (shape(state))
            @if has_label { text y="-9" { (pool.name) } }
        }
    }
}

fn shape(state: State) -> Markup {
    let path = match state {
        State::Up => "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
        State::Drained => "M0-7l7 7-7 7-7-7z",
        State::Unknown => "M-6-6h12v12h-12z",
        State::Down => "M-7-4l3-3 4 4 4-4 3 3-4 4 4 4-3 3-4-4-4 4-3-3 4-4z",
    };
    html! { path d=(path) {} }
}

/// What the shapes mean.
fn legend() -> Markup {
    html! {
        @for state in [State::Up, State::Drained, State::Unknown, State::Down] {
            span {
                svg viewBox="-8 -8 16 16" aria-hidden="true" { g .mark.(state.as_str()) { (shape(state)) } }
                (state.as_str())
            }
        }
    }
}

/// A country's English name, or the word itself if it is no code of one.
pub(super) fn country_name(code: &str) -> &str {
    let country = code.parse().ok().and_then(countries::country);
    country.map_or(code, |country| country.name)
}
