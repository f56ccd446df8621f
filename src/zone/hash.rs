//! Names by hash: the one index behind a zone's nodes and behind the set of zones.
//!
//! A name's hash continues that of its parent, so one pass over a query's name from the root's side
//! gives the hash of every ancestor. The table is open addressing with linear probing, at most half
//! full and never changed once built; a lookup touches one cache line of it in most cases and never
//! allocates. Only names of the operator's own files are ever stored, so nobody else can crowd it.

use crate::base::name::Name;
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
    pub(super) fn of(name: &Name) -> Self {
        let qname = QName::from_name(name);
        (0..qname.n_labels())
            .rev()
            .fold(Self::ROOT, |hash, nth| hash.child(&qname, nth))
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
    /// Stores the positions 0, 1, 2, ... under these names, which must differ.
    pub(super) fn new<'a>(names: impl ExactSizeIterator<Item = &'a Name>) -> Self {
        let n_slots = (names.len() * 2).next_power_of_two();
        let mut slots = vec![EMPTY; n_slots].into_boxed_slice();
        for (position, name) in names.enumerate() {
            let tag = NameHash::of(name).tag();
            let mut at = tag as usize & (n_slots - 1);
            while slots[at].position != EMPTY.position {
                at = (at + 1) & (n_slots - 1);
            }
            slots[at] = Slot {
                tag,
                position: position as u32,
            };
        }
        Self { slots }
    }

    /// The position stored under this hash for which `is_same` holds.
    pub(super) fn find(&self, tag: u32, is_same: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        // Ends, as at least half of the slots are empty.
        loop {
            let slot = self.slots[at];
            if slot.position == EMPTY.position {
                return None;
            }
            if slot.tag == tag && is_same(slot.position as usize) {
                return Some(slot.position as usize);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_at_its_position_and_no_other() {
        let names: Vec<Name> = (0..5_000)
            .map(|i| Name::parse(&format!("Host{i}.example.com")).expect("name"))
            .collect();
        let table = Table::new(names.iter());
        for (position, name) in names.iter().enumerate() {
            let found = table.find(NameHash::of(name).tag(), |at| names[at] == *name);
            assert_eq!(found, Some(position));
        }
        let absent = Name::parse("host5000.example.com").expect("name");
        let found = table.find(NameHash::of(&absent).tag(), |at| names[at] == absent);
        assert_eq!(found, None);
        assert_eq!(Table::new([].iter()).find(0, |_| true), None);
    }

    #[test]
    fn hashes_fold_case_and_tell_labels_apart() {
        let hash = |text| NameHash::of(&Name::parse(text).expect("name"));
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
