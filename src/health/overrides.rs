//! Overrides: what an operator says about a pool, whatever its probes say, until it expires.

use std::collections::BTreeMap;

/// What an operator says about a pool.
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

/// One operator's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// What is said.
    pub state: Forced,
    /// When it was said, in Unix seconds.
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
    /// Says something about a pool; what was said before is forgotten.
    pub fn set(&mut self, pool: &str, word: Override) {
        self.by_pool.insert(pool.into(), word);
    }

    /// Takes the word back; whether there was one.
    pub fn clear(&mut self, pool: &str) -> bool {
        self.by_pool.remove(pool).is_some()
    }

    /// What is said about a pool.
    pub fn of(&self, pool: &str) -> Option<&Override> {
        self.by_pool.get(pool)
    }

    /// Everything said, by pool name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        self.by_pool.iter().map(|(pool, word)| (&**pool, word))
    }

    /// Forgets what has ended by `now`, in Unix seconds; returns the pools it was about.
    pub fn expire(&mut self, now: u64) -> Vec<Box<str>> {
        let ended = |word: &Override| word.until.is_some_and(|until| until <= now);
        self.by_pool
            .extract_if(.., |_, word| ended(word))
            .map(|(pool, _)| pool)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_by_themselves_or_when_taken_back() {
        let word = |until| Override {
            state: Forced::Drain,
            since: 100,
            until,
            reason: "".into(),
        };
        let mut overrides = Overrides::default();
        overrides.set("a", word(Some(160)));
        overrides.set("b", word(None));
        assert!(overrides.expire(159).is_empty());
        assert_eq!(overrides.expire(160), ["a".into()]);
        assert_eq!(overrides.of("a"), None);
        assert!(overrides.expire(u64::MAX).is_empty());
        assert!(overrides.clear("b"));
        assert!(!overrides.clear("b"));
    }
}
