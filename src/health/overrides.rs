//! Overrides: a pool's state as an operator sets it, whatever its probes say, until it expires.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::str::FromStr;

use crate::base::word;
use crate::base::word::UnknownWord;

/// The state that an operator puts a pool into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// No new answers; probes go on.
    Drain,
    /// Treated as down.
    Down,
    /// Treated as up.
    Up,
}

impl Forced {
    /// All, in the order of the contract.
    pub const ALL: [Self; 3] = [Self::Drain, Self::Up, Self::Down];

    /// The word used in the API and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

impl FromStr for Forced {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        word::parse(Self::ALL, Self::as_str, word)
    }
}

/// An operator override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The state.
    pub state: Forced,
    /// When it was set, in Unix seconds.
    pub since: u64,
    /// When it ends by itself, in Unix seconds; `None`: never.
    pub until: Option<u64>,
    /// Why, for people; may be empty.
    pub reason: Box<str>,
}

/// The overrides in force, by pool name; a name may be of a pool that a reload has taken away, and
/// then has no effect until the pool is back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    by_pool: BTreeMap<Box<str>, Override>,
}

impl Overrides {
    /// Sets a pool's override in place of the one before.
    pub fn set(&mut self, pool: &str, override_: Override) {
        self.by_pool.insert(pool.into(), override_);
    }

    /// Removes a pool's override; whether there was one.
    pub fn clear(&mut self, pool: &str) -> bool {
        self.by_pool.remove(pool).is_some()
    }

    /// A pool's override.
    pub fn of(&self, pool: &str) -> Option<&Override> {
        self.by_pool.get(pool)
    }

    /// All overrides, by pool name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        self.by_pool
            .iter()
            .map(|(pool, override_)| (&**pool, override_))
    }

    /// Those of pools that are none of these.
    pub fn orphaned<'a>(
        &'a self,
        pools: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a Override)> {
        let pools: HashSet<&str> = pools.collect();
        self.iter().filter(move |(pool, _)| !pools.contains(pool))
    }

    /// Removes what has ended by `now`, in Unix seconds; returns the pools it was about.
    pub fn expire(&mut self, now: u64) -> Vec<Box<str>> {
        let ended = |override_: &Override| override_.until.is_some_and(|until| until <= now);
        self.by_pool
            .extract_if(.., |_, override_| ended(override_))
            .map(|(pool, _)| pool)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_are_written() {
        for forced in Forced::ALL {
            assert_eq!(forced.as_str().parse(), Ok(forced));
        }
        assert_eq!("Drain".parse::<Forced>(), Err(UnknownWord));
    }

    #[test]
    fn overrides_expire_or_are_cleared() {
        let until = |until| Override {
            state: Forced::Drain,
            since: 100,
            until,
            reason: "".into(),
        };
        let mut overrides = Overrides::default();
        overrides.set("a", until(Some(160)));
        overrides.set("b", until(None));
        assert!(overrides.expire(159).is_empty());
        assert_eq!(overrides.expire(160), ["a".into()]);
        assert_eq!(overrides.of("a"), None);
        assert!(overrides.expire(u64::MAX).is_empty());
        assert!(overrides.clear("b"));
        assert!(!overrides.clear("b"));
    }
}
