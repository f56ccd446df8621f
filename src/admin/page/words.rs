//! Labels and times as the page writes them.

use maud::Markup;
use maud::html;

use crate::admin::time::Span;
use crate::admin::time::Utc;
use crate::base::prefix::Family;

/// The longest label that does not go over several lines, in octets.
const MAX_SHORT: usize = 24;

/// A label in the colour of a class, which also gives it a sign.
pub(super) fn badge(class: &str, label: &str) -> Markup {
    html! { span .badge.(class).long[label.len() > MAX_SHORT] { (label) } }
}

/// A family as people write it.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// A time in Unix seconds as seen from another.
pub(super) fn ago(at: u64, now: u64) -> Markup {
    let time = Utc(at).to_string();
    html! {
        time datetime=(time) title=(time) { (Span(now.saturating_sub(at)).to_string()) " ago" }
    }
}

/// How long it is until a time.
pub(super) fn left(until: u64, now: u64) -> Markup {
    let time = Utc(until).to_string();
    html! { time datetime=(time) title=(time) { (Span(until.saturating_sub(now)).to_string()) } }
}
