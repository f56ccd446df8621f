//! `Date`: a day of the Gregorian calendar, in UTC, from 1970 on.
//!
//! The conversions are Howard Hinnant's `days_from_civil` and `civil_from_days`: years begin in
//! March, so that the leap day is the last of its year.

use std::fmt;
use std::str::FromStr;

/// A day in UTC; years past 9999 have more digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Days since 1970-01-01.
    days: u64,
}

impl Date {
    /// The day of a time in seconds since 1970.
    pub fn from_epoch(seconds: u64) -> Self {
        Self {
            days: seconds / SECONDS_PER_DAY,
        }
    }

    /// A day of the calendar; `None` if there is no such day or it lies before 1970.
    pub fn from_civil(year: u16, month: u8, day: u8) -> Option<Self> {
        let (y, m, d) = (u64::from(year), u64::from(month), u64::from(day));
        if y < 1970 || !(1..=12).contains(&m) || d == 0 {
            return None;
        }
        let y = if m <= 2 { y - 1 } else { y };
        let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
        let date = Self {
            days: 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - DAYS_BEFORE_1970,
        };
        // The 31st of a short month came out as a day of the next.
        (date.civil() == (u64::from(year), m, d)).then_some(date)
    }

    /// Its first second, in seconds since 1970.
    pub fn epoch(self) -> u64 {
        self.days * SECONDS_PER_DAY
    }

    /// Year, month and day.
    fn civil(self) -> (u64, u64, u64) {
        let days = self.days + DAYS_BEFORE_1970;
        let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = (from_march + 2) % 12 + 1;
        (
            era * 400 + year + u64::from(month <= 2),
            month,
            day_of_year - (153 * from_march + 2) / 5 + 1,
        )
    }
}

impl fmt::Display for Date {
    /// As `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A time in Unix seconds as in RFC 3339.
pub struct Utc(pub u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at) = *self;
        let (day, second) = (Date::from_epoch(at), at % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{day}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Date {
    type Err = ();

    /// Reads `YYYY-MM-DD`, with exactly that many digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_shaped = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_shaped {
            return Err(());
        }
        let number = |from: usize, to: usize| text[from..to].parse::<u16>().map_err(|_| ());
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        // Two digits each.
        Self::from_civil(year, month as u8, day as u8).ok_or(())
    }
}

const SECONDS_PER_DAY: u64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: u64 = 146_097;
/// Days from the first of March of the year 0 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(Utc(1_795_229_338).to_string(), "2026-11-21T02:48:58Z");
    }

    #[test]
    fn known_days_come_out_right() {
        let rows = [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_782_362_039, "2026-06-25"),
            (4_102_444_800, "2100-01-01"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
        ];
        for (seconds, text) in rows {
            assert_eq!(Date::from_epoch(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Date::from_epoch(seconds)), "{text}");
        }
        let end_of_time = Date::from_epoch(u64::MAX);
        assert_eq!(end_of_time.to_string(), "584554051223-11-09");
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        let rows = [
            "2026-02-29",
            "2100-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "2026-6-25",
            "26-06-25",
            "2026/06/25",
            "2026-06-25 ",
            "+026-06-25",
            "",
            "２026-06-2",
        ];
        for text in rows {
            assert_eq!(text.parse::<Date>(), Err(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_day_is_read_back_and_followed_by_the_next(days in 0_u64..2_900_000) {
            let date = Date { days };
            prop_assert_eq!(date.to_string().parse(), Ok(date));
            let ((y, m, d), next) = (date.civil(), Date { days: days + 1 }.civil());
            prop_assert!(next == (y, m, d + 1) || next == (y, m + 1, 1) || next == (y + 1, 1, 1));
        }
    }
}
