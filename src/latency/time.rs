//! Times and ages as a latency table has them.

use crate::base::date::Date;

const DAY: u64 = 86_400;

/// What a time looks like.
pub const TIME: &str =
    "a time such as `2026-11-27T12:00:00Z`, a day such as `2026-11-27`, or seconds since 1970";

/// What an age looks like.
pub const AGE: &str = "an age such as `90s`, `12h` or `3d`";

/// Reads a time in UTC, in seconds since 1970.
pub fn time(text: &str) -> Option<u64> {
    let Some(day) = text.get(..10).filter(|day| day.as_bytes()[4] == b'-') else {
        return text.parse().ok();
    };
    let day = day.parse::<Date>().ok()?.epoch();
    let Some(clock) = text.get(10..).filter(|clock| !clock.is_empty()) else {
        return Some(day);
    };
    let clock = clock.strip_prefix(['T', ' '])?.strip_suffix('Z')?;
    // Fractions of a second count for nothing.
    let clock = clock.split('.').next()?;
    let mut parts = clock.split(':').map(|part| match part.len() {
        2 => part.parse::<u64>().ok(),
        _ => None,
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_time = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    is_time.then_some(day + hour * 3_600 + minute * 60 + second)
}

/// Writes a time in UTC, as [`time`] reads it.
pub fn time_text(epoch: u64) -> String {
    let (hour, minute, second) = (epoch % DAY / 3_600, epoch % 3_600 / 60, epoch % 60);
    format!(
        "{}T{hour:02}:{minute:02}:{second:02}Z",
        Date::from_epoch(epoch)
    )
}

/// Reads an age, in seconds.
pub fn age(text: &str) -> Option<u64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => DAY,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Writes an age in the largest unit that it has two of.
pub fn age_text(seconds: u64) -> String {
    let units = [("d", DAY), ("h", 3_600), ("m", 60)];
    match units.into_iter().find(|(_, unit)| seconds >= 2 * unit) {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_strictly() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1700000000", Some(1_700_000_000)),
            ("1970-01-02", Some(DAY)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000)),
            ("2023-11-14 22:13:20.5Z", Some(1_700_000_000)),
            ("2023-11-14T22:13:20", None),
            ("2023-11-14T24:00:00Z", None),
            ("2023-11-14T2:13:20Z", None),
            ("2023-02-30", None),
            ("yesterday", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(time_text(1_700_000_000), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn ages_have_a_unit() {
        for (text, expected) in [
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("12h", Some(43_200)),
            ("3d", Some(3 * DAY)),
            ("3", None),
            ("d", None),
            ("1.5h", None),
            ("3days", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(age(text), expected, "{text}");
        }
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (3 * DAY, "3d")] {
            assert_eq!(age_text(seconds), text);
        }
    }
}
