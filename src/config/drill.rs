//! `drill` of a pool: when it is taken out for practice. Windows are in UTC.

use std::fmt;
use std::time::Duration;

use crate::base::fnv::fnv1a;

/// The days of the week, as Unix time has them: it began on a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const SECONDS_PER_DAY: u64 = 86_400;

/// How long a drill lasts that is ordered by hand without a length, of a pool without `drill`.
pub const LENGTH: Duration = Duration::from_secs(600);

/// When a pool is drilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// The least time from one to the next. Of a day and more, it counts from the begin of the window that the last
    /// one was in, so that a late one does not push the next out of its window.
    pub every: Duration,
    /// When one may be in force.
    pub window: Window,
    /// How long one lasts; at most as long as the window.
    pub length: Duration,
}

/// A time of some days of the week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// By the number of the day modulo 7, see [`DAYS`].
    days: [bool; 7],
    /// Seconds of the day; `from` is before `to`.
    from: u64,
    to: u64,
}

/// When a drill may begin, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When the window opens.
    pub opens: u64,
    /// When the drill is planned to begin.
    pub planned: u64,
    /// When it must begin at the latest, to be over when the window closes.
    pub latest: u64,
}

impl Drill {
    /// How long one lasts, in seconds.
    pub fn seconds(&self) -> u64 {
        self.length.as_secs()
    }

    /// The slot of the window that is open at a time or opens next after it; `None`: its day is not `every` after the
    /// last drill. Where in the window it is planned follows from the pool's name and the day.
    pub fn slot(&self, pool: &str, last_begun: Option<u64>, now: u64) -> Option<Slot> {
        let every = self.every.as_secs();
        let earliest = last_begun.map_or(0, |last| match self.window.opened(last) {
            Some(opened) if every >= SECONDS_PER_DAY => opened + every,
            _ => last + every,
        });
        let first = now.max(earliest) / SECONDS_PER_DAY;
        let days = (first..=first + 7).filter(|day| self.window.has(*day));
        let mut slots = days.map(|day| {
            let opens = day * SECONDS_PER_DAY + self.window.from;
            let closes = day * SECONDS_PER_DAY + self.window.to;
            let latest = closes.saturating_sub(self.seconds());
            let room = latest.saturating_sub(opens).min(every);
            let spread = fnv1a(format!("{pool} {day}").as_bytes()) % (room + 1);
            Slot {
                opens,
                planned: (opens + spread).max(earliest),
                latest,
            }
        });
        slots.find(|slot| slot.planned.max(now) <= slot.latest)
    }
}

impl Window {
    /// How long it is, in seconds.
    pub(super) fn seconds(self) -> u64 {
        self.to - self.from
    }

    /// Reads `DAYS HH:MM-HH:MM`, where `DAYS` are days and ranges of days with commas between.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (days, times) = text.split_once(' ')?;
        let (from, to) = times.split_once('-')?;
        let mut window = Self {
            days: [false; 7],
            from: time_of_day(from)?,
            to: time_of_day(to)?,
        };
        for range in days.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (mut day, last) = (day_of_week(first)?, day_of_week(last)?);
            window.days[day] = true;
            while day != last {
                day = (day + 1) % DAYS.len();
                window.days[day] = true;
            }
        }
        (window.from < window.to).then_some(window)
    }

    fn has(self, day: u64) -> bool {
        self.days[(day % 7) as usize]
    }

    /// When the window opened that is open at a time.
    fn opened(self, now: u64) -> Option<u64> {
        let (day, second) = (now / SECONDS_PER_DAY, now % SECONDS_PER_DAY);
        let is_open = self.has(day) && (self.from..self.to).contains(&second);
        is_open.then(|| day * SECONDS_PER_DAY + self.from)
    }
}

impl fmt::Display for Window {
    /// In the form that is read, from Monday on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = (4..11).map(|at| at % 7).filter(|at| self.days[*at]);
        let days: Vec<&str> = days.map(|at| DAYS[at]).collect();
        let time = |seconds: u64| format!("{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
        let (from, to) = (time(self.from), time(self.to));
        write!(f, "{} {from}-{to}", days.join(","))
    }
}

fn day_of_week(text: &str) -> Option<usize> {
    DAYS.iter().position(|day| *day == text)
}

/// Reads `HH:MM`, up to `24:00`, in seconds.
fn time_of_day(text: &str) -> Option<u64> {
    let is_shaped = text.len() == 5
        && text.bytes().enumerate().all(|(at, byte)| match at {
            2 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    let (hours, minutes) = text.split_once(':').filter(|_| is_shaped)?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = hours * 3_600 + minutes * 60;
    (minutes < 60 && seconds <= SECONDS_PER_DAY).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::date::Date;

    fn seconds(text: &str) -> u64 {
        let (day, time) = text.split_once(' ').expect("a day and a time");
        day.parse::<Date>().expect("a day").epoch() + time_of_day(time).expect("a time")
    }

    fn drill(every: &str, window: &str, length: &str) -> Drill {
        let duration = |text| crate::config::units::duration(text).expect("a duration");
        Drill {
            every: duration(every),
            window: Window::parse(window).expect("a window"),
            length: duration(length),
        }
    }

    #[test]
    fn windows_are_read() {
        for (text, expected) in [
            ("Tue 10:00-16:00", Some("Tue 10:00-16:00")),
            (
                "Mon-Fri 00:00-24:00",
                Some("Mon,Tue,Wed,Thu,Fri 00:00-24:00"),
            ),
            ("Mon,Thu-Fri 09:30-09:31", Some("Mon,Thu,Fri 09:30-09:31")),
            ("Sat-Mon 10:00-16:00", Some("Mon,Sat,Sun 10:00-16:00")),
            (
                "Mon-Sun 10:00-16:00",
                Some("Mon,Tue,Wed,Thu,Fri,Sat,Sun 10:00-16:00"),
            ),
            ("Tue 22:00-02:00", None),
            ("Tue 10:00-10:00", None),
            ("Tue 10:00-24:01", None),
            ("Tue 10:60-12:00", None),
            ("Tue 9:00-12:00", None),
            ("Tue 10:00", None),
            ("Tue", None),
            ("10:00-16:00", None),
            ("tue 10:00-16:00", None),
            ("Tuesday 10:00-16:00", None),
            ("Mon- 10:00-16:00", None),
            ("Mon,,Tue 10:00-16:00", None),
            ("Tue  10:00-16:00", None),
            ("Tue 10:00-16:00 UTC", None),
            ("", None),
        ] {
            let found = Window::parse(text).map(|window| window.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let tuesday = Window::parse("Tue 10:00-16:00").expect("a window");
        // 2026-07-28 is a Tuesday.
        for (now, expected) in [
            ("2026-07-28 09:59", None),
            ("2026-07-28 10:00", Some("2026-07-28 10:00")),
            ("2026-07-28 15:59", Some("2026-07-28 10:00")),
            ("2026-07-28 16:00", None),
            ("2026-07-29 12:00", None),
        ] {
            assert_eq!(tuesday.opened(seconds(now)), expected.map(seconds), "{now}");
        }
    }

    #[test]
    fn slots_lie_in_their_windows_and_an_interval_apart() {
        let weekly = drill("7d", "Tue 10:00-16:00", "10m");
        let (opens, latest) = (seconds("2026-07-28 10:00"), seconds("2026-07-28 15:50"));
        for (row, now, last, expected) in [
            ("before", "2026-07-26 03:00", None, opens),
            ("within", "2026-07-28 12:00", None, opens),
            ("at the last moment", "2026-07-28 15:50", None, opens),
            ("too late", "2026-07-28 15:51", None, opens + 7 * 86_400),
            (
                "had one",
                "2026-07-28 12:00",
                Some("2026-07-28 11:00"),
                opens + 7 * 86_400,
            ),
            (
                "had one late last week",
                "2026-07-28 09:00",
                Some("2026-07-21 15:50"),
                opens,
            ),
            (
                "by hand",
                "2026-07-28 09:00",
                Some("2026-07-23 15:50"),
                opens + 7 * 86_400,
            ),
        ] {
            let slot = weekly.slot("a", last.map(seconds), seconds(now));
            let slot = slot.unwrap_or_else(|| panic!("{row}: none"));
            assert_eq!(
                (slot.opens, slot.latest - slot.opens),
                (expected, latest - opens),
                "{row}"
            );
            assert!((slot.opens..=slot.latest).contains(&slot.planned), "{row}");
        }
        // A window of a day of the week, more rarely than weekly.
        let rare = drill("21d", "Tue 10:00-16:00", "10m");
        let slot = rare.slot(
            "a",
            Some(seconds("2026-07-28 12:00")),
            seconds("2026-07-29 00:00"),
        );
        assert_eq!(slot.map(|slot| slot.opens), Some(opens + 21 * 86_400));
        // Several in one window.
        let often = drill("1h", "Mon-Sun 00:00-24:00", "1m");
        let slot = often.slot(
            "a",
            Some(seconds("2026-07-28 12:00")),
            seconds("2026-07-28 12:01"),
        );
        assert_eq!(
            slot.map(|slot| slot.planned),
            Some(seconds("2026-07-28 13:00"))
        );
    }

    #[test]
    fn pools_and_weeks_differ() {
        let weekly = drill("7d", "Tue 10:00-16:00", "10m");
        let (now, mut planned) = (seconds("2026-07-26 00:00"), Vec::new());
        for pool in ["a", "b", "asia", "us-east", "us-west"] {
            for week in 0..10 {
                let slot = weekly
                    .slot(pool, None, now + week * 7 * 86_400)
                    .expect("a slot");
                planned.push(slot.planned - slot.opens);
            }
        }
        planned.sort_unstable();
        let (least, most) = (planned[0], planned[planned.len() - 1]);
        assert!(least < 1_800 && most > 19_200, "{least} {most}");
        planned.dedup();
        assert!(planned.len() > 45, "{}", planned.len());
    }
}
