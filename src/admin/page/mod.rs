//! The status page: `/api/v1/status` for people.
//!
//! The page is whole as it is served and works without scripts; its script only fetches it again and puts new
//! content in the place of the old, so that there is one renderer. Style and script are files of their own
//! (`assets.rs`): nothing is loaded from elsewhere, and nothing inline is run. Colours never stand without words
//! or shapes, and every text is escaped by the templates, wherever it comes from.

pub mod assets;
pub mod drain;
mod endpoints;
pub mod events;
pub mod explain;
mod fleet;
mod layout;
mod names;
mod overrides;
mod parts;
mod pools;
mod sources;
mod sparkline;
mod summary;
mod verdicts;
pub mod view;
mod words;
mod world;
mod zones;

use axum::http::HeaderName;
use axum::http::header;
use maud::Markup;
use maud::html;

use crate::admin::page::explain::ExplainQuery;
use crate::admin::page::layout::layout;
use crate::admin::page::pools::is_down;
use crate::admin::page::view::View;

/// Nothing from elsewhere, nothing inline, no frames; forms go to this server only.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The headers of all pages. The referrer policy leaves a form's `Origin` as it is.
pub const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// The page.
pub fn html(view: &View) -> String {
    let status = &view.status;
    let n_down = status.pools.iter().filter(|pool| is_down(pool)).count();
    let title = match n_down {
        0 => format!("{} – Meridian", status.node),
        n => format!("({n} down) {} – Meridian", status.node),
    };
    let main = html! {
        main {
            (live("summary", &summary::section(status)))
            (world::choice(view))
            (live("world", &world::section(view)))
            (pools::filter(&view.choice))
            (live("pools", &pools::section(view)))
            (live("events", &events::section(&view.events, status.now)))
            (live("overrides", &overrides::section(status)))
            (drain::choose(&status.pools))
            h2 { "Explain" }
            (explain::form(&ExplainQuery::default(), status.steered.iter().map(|name| &*name.name)))
            (live("names", &names::section(view)))
            (live("vantages", &fleet::vantages(status)))
            @if let Some(fleet) = &status.fleet {
                (live("fleet", &fleet::machines(fleet, status.now)))
            }
            (live("sources", &sources::section(status)))
            (live("zones", &zones::section(status)))
        }
    };
    layout(&title, &main).into_string()
}

/// A part of the page that the script replaces by a newer one.
fn live(id: &str, section: &Markup) -> Markup {
    html! { section id=(id) data-live { (section) } }
}
