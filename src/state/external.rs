//! What external-dns has set in a pool: which names it manages, and its ownership records.
//!
//! external-dns sets addresses by name and type, a pool has one list of endpoints: all names that are managed
//! in a pool must agree on its addresses of a family. What follows from changes is a value; nothing here is
//! half changed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::model::Endpoint;

/// The most ownership records of a pool.
pub const MAX_OWNERSHIP: usize = 1_000;

/// What external-dns has set in a pool, besides the pool's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// The names and families that it manages; the addresses are the pool's endpoints.
    pub managed: BTreeSet<(Name, Family)>,
    /// By owner the text of its TXT record, which says to which external-dns a managed name belongs.
    pub ownership: BTreeMap<Name, Box<str>>,
}

/// The records of one name and type in one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// The pool's name.
    pub pool: Box<str>,
    /// The owner name.
    pub name: Name,
    /// Type and data.
    pub data: RecordData,
}

/// The type of a [`RecordSet`], and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// Addresses of the family, sorted, each once; irrelevant if they are removed.
    Addresses(Family, Vec<IpAddr>),
    /// An ownership record; irrelevant if it is removed.
    Ownership(Box<str>),
}

/// Changes that are made together or not at all, the removals first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordChanges {
    /// What is no longer managed.
    pub removed: Vec<RecordSet>,
    /// What is managed with these data from now on.
    pub set: Vec<RecordSet>,
}

impl RecordChanges {
    /// The pools that they change.
    pub fn pools(&self) -> BTreeSet<&str> {
        let all = self.removed.iter().chain(&self.set);
        all.map(|records| &*records.pool).collect()
    }
}

impl External {
    /// What the changes of a pool with these endpoints make of both.
    ///
    /// # Errors
    /// Names of the pool would have other addresses than it has: the reason.
    pub(super) fn after(
        &self,
        endpoints: &[Endpoint],
        pool: &str,
        changes: &RecordChanges,
    ) -> Result<(Self, Vec<Endpoint>), String> {
        let mut next = self.clone();
        let mut is_touched = PerFamily::both(false);
        for RecordSet { name, data, .. } in of_pool(&changes.removed, pool) {
            match data {
                RecordData::Addresses(family, _) => {
                    next.managed.remove(&(name.clone(), *family));
                    is_touched[*family] = true;
                }
                RecordData::Ownership(_) => {
                    next.ownership.remove(name);
                }
            }
        }
        let mut set: PerFamily<BTreeMap<&Name, &[IpAddr]>> = PerFamily::default();
        for RecordSet { name, data, .. } in of_pool(&changes.set, pool) {
            match data {
                RecordData::Addresses(family, addresses) => {
                    next.managed.insert((name.clone(), *family));
                    is_touched[*family] = true;
                    if set[*family].insert(name, addresses).is_some() {
                        return Err(format!("`{}` is set twice in pool `{pool}`", name.plain()));
                    }
                }
                RecordData::Ownership(text) => {
                    next.ownership.insert(name.clone(), text.clone());
                }
            }
        }
        if next.ownership.len() > MAX_OWNERSHIP {
            return Err(format!(
                "pool `{pool}` would have {} ownership records, expected at most {MAX_OWNERSHIP}",
                next.ownership.len()
            ));
        }
        if !is_touched.iter().any(|is_touched| *is_touched) {
            return Ok((next, endpoints.to_vec()));
        }
        let mut all = Vec::new();
        for family in Family::ALL {
            let of_family = endpoints
                .iter()
                .filter(|e| Family::of(e.address) == family)
                .copied();
            let before: Vec<Endpoint> = of_family.collect();
            all.extend(match is_touched[family] {
                false => before,
                true => next.endpoints(family, &before, &set[family], pool)?,
            });
        }
        Ok((next, all))
    }

    /// A pool's endpoints of a family, once names have been set to these addresses.
    fn endpoints(
        &self,
        family: Family,
        before: &[Endpoint],
        set: &BTreeMap<&Name, &[IpAddr]>,
        pool: &str,
    ) -> Result<Vec<Endpoint>, String> {
        let mut kept: Vec<IpAddr> = before.iter().map(|endpoint| endpoint.address).collect();
        kept.sort_unstable();
        let managed = self.managed.iter().filter(|(_, of)| *of == family);
        let addresses = managed.map(|(name, _)| (name, set.get(name).copied().unwrap_or(&kept)));
        let mut addresses = addresses.collect::<Vec<_>>().into_iter();
        let Some((name, wanted)) = addresses.next() else {
            return Ok(Vec::new());
        };
        if let Some((other, _)) = addresses.find(|(_, addresses)| *addresses != wanted) {
            return Err(format!(
                "`{}` and `{}` would have different {family} addresses in pool `{pool}`, which has one \
                 list for all its names: give each name a pool of its own, or both the same targets",
                name.plain(),
                other.plain()
            ));
        }
        // An address that stays keeps its weight, and where it is probed.
        let endpoint = |address: &IpAddr| {
            let known = before.iter().find(|endpoint| endpoint.address == *address);
            known.copied().unwrap_or(Endpoint::new(*address, 1))
        };
        Ok(wanted.iter().map(endpoint).collect())
    }
}

fn of_pool<'a>(records: &'a [RecordSet], pool: &'a str) -> impl Iterator<Item = &'a RecordSet> {
    records.iter().filter(move |records| *records.pool == *pool)
}

/// Ownership records as zones have them: several pools may have a record at one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published(BTreeMap<Name, BTreeSet<Box<str>>>);

impl Published {
    /// All that may be in a zone: owner and texts.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &BTreeSet<Box<str>>)> {
        self.0.iter()
    }

    /// The texts that an owner may have in a zone.
    pub fn of(&self, owner: &Name) -> BTreeSet<Box<str>> {
        self.0.get(owner).cloned().unwrap_or_default()
    }

    /// This record may be in a zone from now on.
    pub fn insert(&mut self, owner: &Name, text: &str) {
        let texts = self.0.entry(owner.clone()).or_default();
        texts.insert(text.into());
    }

    /// This record is in no zone any more.
    pub fn remove(&mut self, owner: &Name, text: &str) {
        if let Some(texts) = self.0.get_mut(owner) {
            texts.remove(text);
            if texts.is_empty() {
                self.0.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    /// `NAME ADDRESS…`, all of the first one's family, or `NAME "TEXT"`.
    fn set(text: &str) -> RecordSet {
        let (name, data) = text.split_once(' ').unwrap_or((text, ""));
        let data = match data.strip_prefix('"') {
            Some(text) => RecordData::Ownership(text.into()),
            None => {
                let words = data.split_whitespace();
                let addresses: Vec<IpAddr> = words
                    .map(|word| word.parse().expect("an address"))
                    .collect();
                RecordData::Addresses(Family::of(addresses[0]), addresses)
            }
        };
        RecordSet {
            pool: "p".into(),
            name: n(name),
            data,
        }
    }

    fn endpoints(text: &str) -> Vec<Endpoint> {
        let endpoint = |word: &str| {
            let (address, weight) = word.split_once('*').unwrap_or((word, "1"));
            let address = address.parse().expect("an address");
            Endpoint::new(address, weight.parse().expect("a weight"))
        };
        text.split_whitespace().map(endpoint).collect()
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    #[test]
    fn endpoints_follow_the_names_that_are_managed() {
        let a4 = "a.x 192.0.2.1";
        for (what, managed, before, removed, wanted, expected) in [
            ("first", "", "", "", a4, Ok("192.0.2.1")),
            (
                "weight stays",
                "",
                "192.0.2.1*3 192.0.2.9",
                "",
                a4,
                Ok("192.0.2.1*3"),
            ),
            (
                "other family stays",
                "",
                "2001:db8::1 192.0.2.9",
                "",
                a4,
                Ok("192.0.2.1 2001:db8::1"),
            ),
            (
                "update",
                "a.x 192.0.2.9",
                "192.0.2.9",
                "a.x 192.0.2.9",
                a4,
                Ok("192.0.2.1"),
            ),
            (
                "last one goes",
                "a.x 192.0.2.9",
                "192.0.2.9",
                "a.x 192.0.2.9",
                "",
                Ok(""),
            ),
            (
                "same twice",
                "",
                "",
                "",
                "a.x 192.0.2.1|b.x 192.0.2.1",
                Ok("192.0.2.1"),
            ),
            (
                "one of two goes",
                "a.x 192.0.2.1|b.x 192.0.2.1",
                "192.0.2.1",
                "b.x 192.0.2.1",
                "",
                Ok("192.0.2.1"),
            ),
            (
                "both move",
                "a.x 192.0.2.9|b.x 192.0.2.9",
                "192.0.2.9",
                "",
                "a.x 192.0.2.1|b.x 192.0.2.1",
                Ok("192.0.2.1"),
            ),
            (
                "one moves",
                "a.x 192.0.2.9|b.x 192.0.2.9",
                "192.0.2.9",
                "",
                a4,
                Err("different ipv4"),
            ),
            (
                "two differ",
                "",
                "",
                "",
                "a.x 192.0.2.1|b.x 192.0.2.2",
                Err("different ipv4"),
            ),
            (
                "a name twice",
                "",
                "",
                "",
                "a.x 192.0.2.1|A.x 192.0.2.1",
                Err("set twice"),
            ),
            (
                "families apart",
                "",
                "",
                "",
                "a.x 192.0.2.1|b.x 2001:db8::1",
                Ok("192.0.2.1 2001:db8::1"),
            ),
        ] {
            let sets = |text: &str| match text {
                "" => Vec::new(),
                text => text.split('|').map(set).collect(),
            };
            let none = RecordChanges {
                removed: Vec::new(),
                set: sets(managed),
            };
            let (external, _) = External::default().after(&[], "p", &none).expect(what);
            let changes = RecordChanges {
                removed: sets(removed),
                set: sets(wanted),
            };
            let after = external.after(&endpoints(before), "p", &changes);
            match (after, expected) {
                (Ok((_, after)), Ok(expected)) => assert_eq!(after, endpoints(expected), "{what}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{what}: {reason}"),
                (after, _) => panic!("{what}: {after:?}"),
            }
            // Of no concern to another pool.
            let other = external.after(&endpoints(before), "other", &changes);
            assert_eq!(other, Ok((external, endpoints(before))), "{what}");
        }
    }

    #[test]
    fn ownership_records_are_kept_by_owner() {
        let changes = |removed: &[&str], wanted: &[&str]| RecordChanges {
            removed: removed.iter().map(|text| set(text)).collect(),
            set: wanted.iter().map(|text| set(text)).collect(),
        };
        let first = changes(&[], &["a-a.x \"one", "a.x \"one"]);
        let (external, _) = External::default().after(&[], "p", &first).expect("sound");
        let second = changes(&["a-a.x \"", "gone.x \""], &["A.X \"two"]);
        let (external, _) = external.after(&[], "p", &second).expect("sound");
        let expected = [(n("a.x"), "two".into())];
        assert_eq!(external.ownership, expected.into());
        let many = (0..=MAX_OWNERSHIP).map(|n| set(&format!("a{n}.x \"t")));
        let many = RecordChanges {
            removed: Vec::new(),
            set: many.collect(),
        };
        assert!(External::default().after(&[], "p", &many).is_err());
    }
}
