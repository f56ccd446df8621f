//! A line of recent latencies, as small as a word.

use std::fmt::Write as _;

use maud::Markup;
use maud::html;

use crate::health::recent_latencies::RecentLatencies;

const HEIGHT: i64 = 14;

/// From one probe to the next.
const STEP: i64 = 3;

/// The latest latencies, oldest first, from zero up to the longest; nothing if there is no trend yet.
pub(super) fn sparkline(latencies: &RecentLatencies) -> Markup {
    let longest = latencies.iter().max().unwrap_or(0).max(1);
    let height = |us: u32| HEIGHT - 1 - i64::from(us) * (HEIGHT - 2) / i64::from(longest);
    let mut heights = latencies.iter().map(height);
    let first = heights.next();
    let mut before = first.unwrap_or(0);
    let mut path = format!("M1 {before}l");
    let start = path.len();
    for height in heights {
        let step = height - before;
        // A minus sign is enough of a separator: there may be thousands of lines on a page.
        let space = if step < 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(path, "{STEP}{space}{step} ");
        before = height;
    }
    html! {
        @if path.len() > start { svg { path d=(path.trim_end()) {} } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_the_oldest_to_the_latest() {
        let mut latencies = RecentLatencies::default();
        assert_eq!(sparkline(&latencies).into_string(), "");
        latencies.add(100);
        assert_eq!(sparkline(&latencies).into_string(), "");
        for us in [50, 100, 0] {
            latencies.add(us);
        }
        let svg = sparkline(&latencies).into_string();
        assert!(svg.contains("d=\"M1 1l3 6 3-6 3 12\""), "{svg}");
    }
}
