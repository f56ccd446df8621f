//! Names by hash: the one index behind a zone's nodes and behind the set of zones.
//!
//! The table is open addressing with linear probing, at most half full and never changed once built; a
//! lookup touches one cache line of it in most cases and never allocates. Only names of the operator's
//! own files are ever stored, so nobody else can crowd it.

use crate::base::qname::QName;

/// 2^64 divided by the golden ratio: an odd number without a pattern in its bits.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of a name in lower-case wire form, eight octets at a time. The last eight octets are taken
/// once more, so that no tail is left over.
fn hash(lower_wire: &[u8]) -> u32 {
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(MULTIPLIER);
        (product >> 64) as u64 ^ product as u64
    };
    let (words, rest) = lower_wire.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let last = match lower_wire.last_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest
            .iter()
            .fold(0, |word, octet| word << 8 | u64::from(*octet)),
    };
    fold(words.fold(lower_wire.len() as u64, fold), last) as u32
}

/// Positions by the hash of a name; whether the name is the same is for the caller to compare.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    position: u32,
}

const EMPTY: Slot = Slot {
    hash: 0,
    position: u32::MAX,
};

impl Table {
    /// Stores `n` positions, all below `u32::MAX`, each under a name; names must differ.
    pub(super) fn new(n: usize, entries: impl Iterator<Item = (QName, u32)>) -> Self {
        let n_slots = (n * 2).next_power_of_two();
        let mut slots = vec![EMPTY; n_slots].into_boxed_slice();
        for (name, position) in entries {
            let hash = hash(name.wire());
            let mut at = hash as usize & (n_slots - 1);
            while slots[at].position != EMPTY.position {
                at = (at + 1) & (n_slots - 1);
            }
            slots[at] = Slot { hash, position };
        }
        Self { slots }
    }

    /// What `read` makes of the position that is stored under a name in lower-case wire form, or another
    /// name of the same hash; `None` sends it on to the next one.
    pub(super) fn find<T>(&self, lower_wire: &[u8], read: impl Fn(u32) -> Option<T>) -> Option<T> {
        let hash = hash(lower_wire);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        // Ends, as at least half of the slots are empty.
        loop {
            let slot = self.slots[at];
            if slot.position == EMPTY.position {
                return None;
            }
            if slot.hash == hash
                && let Some(found) = read(slot.position)
            {
                return Some(found);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Name;

    fn table(names: &[Name]) -> Table {
        Table::new(names.len(), names.iter().map(QName::from_name).zip(0..))
    }

    #[test]
    fn every_name_is_found_at_its_position_and_no_other() {
        let names: Vec<Name> = (0..5_000)
            .map(|i| Name::parse(&format!("Host{i}.example.com")).expect("name"))
            .collect();
        let table = table(&names);
        let position = |name: &Name| {
            let is_same = |at: u32| (names.get(at as usize)? == name).then_some(at);
            table.find(QName::from_name(name).wire(), is_same)
        };
        for (name, at) in names.iter().zip(0..) {
            assert_eq!(position(name), Some(at));
        }
        let absent = Name::parse("host5000.example.com").expect("name");
        assert_eq!(position(&absent), None);
        assert_eq!(self::table(&[]).find(b"\0", Some), None);
    }

    #[test]
    fn hashes_fold_case_and_tell_labels_apart() {
        let hash = |text| hash(QName::from_name(&Name::parse(text).expect("name")).wire());
        assert_eq!(hash("WWW.Example."), hash("www.example."));
        let different = [
            ".",
            "exactly8.a.",
            "exactly8.b.",
            "a.b.",
            "ab.",
            "b.a.",
            r"a\000.b.",
            r"a\000\000.b.",
            "a.",
            r"a\.b.",
        ];
        for (at, one) in different.iter().enumerate() {
            for other in &different[at + 1..] {
                assert_ne!(hash(one), hash(other), "{one} {other}");
            }
        }
    }
}
