//! `Visited`: the names that one answer has already followed, so that a loop ends where it closes.

use crate::base::fnv::fnv1a;

/// The most aliases that one answer follows; longer chains are left to the resolver.
const MAX_ALIASES: usize = 16;

/// The names that an alias led to; a name is kept by its hash, which makes a false loop as unlikely
/// as 2^-60 and costs at worst a shorter answer.
#[derive(Debug, Default)]
pub(super) struct Visited {
    hashes: [u64; MAX_ALIASES],
    n: usize,
}

impl Visited {
    /// Forgets all names.
    pub fn clear(&mut self) {
        self.n = 0;
    }

    /// Whether no name was added.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Adds a name in lower-case wire form; false if it was there before or the chain is too long.
    pub fn add(&mut self, name: &[u8]) -> bool {
        let hash = fnv1a(name);
        if self.hashes.iter().take(self.n).any(|other| *other == hash) {
            return false;
        }
        match self.hashes.get_mut(self.n) {
            Some(slot) => *slot = hash,
            None => return false,
        }
        self.n += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_and_long_chains_end() {
        let mut visited = Visited::default();
        for n in 0..16 {
            assert!(visited.add(&[1, n, 0]));
            assert!(!visited.add(&[1, n, 0]));
        }
        assert!(!visited.add(b"\x01x\0"));
    }
}
