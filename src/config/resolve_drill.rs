//! `drill` of a pool.

use std::time::Duration;

use crate::config::drill::Drill;
use crate::config::drill::Window;
use crate::config::keys;
use crate::config::written::Item;

/// What `drill` looks like.
const DRILL: &str =
    "a table such as { every = \"7d\", window = \"Tue 10:00-16:00\", for = \"10m\" }";

/// What `window` looks like.
const WINDOW: &str = "days and a time in UTC such as \"Tue 10:00-16:00\", \"Mon-Fri 10:00-16:00\" or \
     \"Mon,Thu 00:00-24:00\", which ends on the day it begins";

/// The shortest and longest time from one drill of a pool to the next; one lasts as long as the shortest at least.
const EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(366 * 86_400)];

/// Resolves the table.
pub(super) fn drill(item: &Item<'_>) -> Option<Drill> {
    if !item.is_table() {
        item.expected(DRILL);
        return None;
    }
    let table = item.table(&keys::DRILL, "")?;
    let whole_seconds = |item: &Item<'_>, [least, most]: [Duration; 2]| {
        let duration = item.duration(least..=most)?;
        if duration.subsec_nanos() > 0 {
            item.fault("has a part of a second, expected whole seconds");
        }
        (duration.subsec_nanos() == 0).then_some(duration)
    };
    let every = table.require("every", DRILL, |item| whole_seconds(item, EVERY));
    let window = table.require("window", DRILL, |item| item.parse(WINDOW, Window::parse));
    let length = table.require("for", DRILL, |item| {
        let longest = window.map_or(Duration::from_secs(86_400), |window| {
            Duration::from_secs(window.seconds())
        });
        whole_seconds(item, [EVERY[0], longest])
    });
    if let (Some(item), Some(every), Some(length)) = (table.get("every"), every, length)
        && every <= length
    {
        item.fault("is not longer than `for`, expected a time from the begin of one to the next");
        return None;
    }
    Some(Drill {
        every: every?,
        window: window?,
        length: length?,
    })
}
