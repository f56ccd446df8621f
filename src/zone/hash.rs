//! Names by hash: the one index behind a zone's nodes and behind the set of zones.
//!
//! A name's hash continues that of its parent, so one pass over a query's name from the root's side
//! gives the hash of every ancestor. The table is open addressing with linear probing, at most half
//! full and never changed once built; a lookup touches one cache line of it in most cases and never
//! allocates. Only names of the operator's own files are ever stored, so nobody else can crowd it.

use crate::base::qname::QName;

/// 2^64 divided by the golden ratio: an odd number without a pattern in its bits.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of a name in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameHash(u64);

impl NameHash {
    /// The hash of the root.
    pub(super) const ROOT: Self = Self(MULTIPLIER);

    /// The hash of a name.
    pub(super) fn of(qname: &QName) -> Self {
        let nths = (0..qname.n_labels()).rev();
        nths.fold(Self::ROOT, |hash, nth| hash.child(qname, nth))
    }

    /// The hash of `qname` without its first `nth` labels, from that of the same without one more.
    pub(super) fn child(self, qname: &QName, nth: usize) -> Self {
        // The length octet in front tells labels apart that differ in zero octets at the end only.
        Self(qname.fold_label(nth, self.0, |hash, word| {
            let product = u128::from(hash ^ word) * u128::from(MULTIPLIER);
            (product >> 64) as u64 ^ product as u64
        }))
    }

    /// The part that is stored and compared.
    pub(super) fn tag(self) -> u32 {
        self.0 as u32
    }
}

/// Positions by the hash of a name; whether the name is the same is for the caller to compare.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    position: u32,
}

const EMPTY: Slot = Slot {
    tag: 0,
    position: u32::MAX,
};

impl Table {
    /// Stores `n` positions, all below `u32::MAX`, each under the hash of a name; names must differ.
    pub(super) fn new(n: usize, entries: impl Iterator<Item = (NameHash, u32)>) -> Self {
        let n_slots = (n * 2).next_power_of_two();
        let mut slots = vec![EMPTY; n_slots].into_boxed_slice();
        for (hash, position) in entries {
            let tag = hash.tag();
            let mut at = tag as usize & (n_slots - 1);
            while slots[at].position != EMPTY.position {
                at = (at + 1) & (n_slots - 1);
            }
            slots[at] = Slot { tag, position };
        }
        Self { slots }
    }

    /// What `read` makes of the position that is stored under this hash; `None` sends it on to the
    /// next one.
    pub(super) fn find<T>(&self, tag: u32, read: impl Fn(u32) -> Option<T>) -> Option<T> {
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        // Ends, as at least half of the slots are empty.
        loop {
            let slot = self.slots[at];
            if slot.position == EMPTY.position {
                return None;
            }
            if slot.tag == tag
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

    fn hash(name: &Name) -> NameHash {
        NameHash::of(&QName::from_name(name))
    }

    fn table(names: &[Name]) -> Table {
        Table::new(names.len(), names.iter().map(hash).zip(0..))
    }

    #[test]
    fn every_name_is_found_at_its_position_and_no_other() {
        let names: Vec<Name> = (0..5_000)
            .map(|i| Name::parse(&format!("Host{i}.example.com")).expect("name"))
            .collect();
        let table = table(&names);
        let position = |name: &Name| {
            let is_same = |at: u32| (names.get(at as usize)? == name).then_some(at);
            table.find(hash(name).tag(), is_same)
        };
        for (name, at) in names.iter().zip(0..) {
            assert_eq!(position(name), Some(at));
        }
        let absent = Name::parse("host5000.example.com").expect("name");
        assert_eq!(position(&absent), None);
        assert_eq!(self::table(&[]).find(0, Some), None);
    }

    #[test]
    fn hashes_fold_case_and_tell_labels_apart() {
        let hash = |text| hash(&Name::parse(text).expect("name"));
        assert_eq!(hash("WWW.Example."), hash("www.example."));
        assert_eq!(hash("."), NameHash::ROOT);
        let different = [
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
