//! The world map: where the pools are.

use maud::Markup;
use maud::html;

use crate::admin::json::Pool;
use crate::admin::page::pools::State;
use crate::admin::page::pools::state;
use crate::admin::page::view::View;
use crate::base::location::Point;
use crate::map;
use crate::mmdb::countries;

/// The most pools that are on the map, the worst first.
const MAX_MARKS: usize = 300;

/// Up to so many pools their names stand beside them.
const MAX_LABELS: usize = 12;

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
                svg viewBox={ "0 0 " (map::WIDTH) " " (map::HEIGHT) } role="img" aria-label=(label) {
                    path .sea d=(map::outline()) {}
                    @for country in map::countries() {
                        path .land d=(country.path) { title { (country_name(country.code.as_str())) } }
                    }
                    // The worst last: nothing lies above them.
                    @for (state, pool) in marks.into_iter().rev() {
                        (mark(pool, state, pools.len() <= MAX_LABELS))
                    }
                }
                figcaption .legend { (legend()) }
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
