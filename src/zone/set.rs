//! `ZoneSet`: all zones that are served, and which of them a name belongs to.

use std::sync::Arc;

use crate::base::qname::QName;
use crate::zone::hash::NameHash;
use crate::zone::hash::Table;
use crate::zone::tree::Zone;

/// Zones by apex; never allocates once it is built.
#[derive(Debug)]
pub struct ZoneSet {
    zones: Vec<Arc<Zone>>,
    table: Table,
    /// Bit n is set if an apex has n labels: other depths are not looked up.
    depths: u128,
}

impl ZoneSet {
    /// Makes the set; apexes must differ.
    pub fn new(zones: Vec<Arc<Zone>>) -> Self {
        Self {
            table: Table::new(
                zones.len(),
                zones.iter().map(|zone| zone.apex_hash).zip(0..),
            ),
            depths: zones
                .iter()
                .fold(0, |bits, zone| bits | 1 << zone.n_apex_labels),
            zones,
        }
    }

    /// The zone with the deepest apex at or above a name.
    pub fn zone_for(&self, qname: &QName) -> Option<&Zone> {
        self.deepest(qname, self.depths)
    }

    /// The zone of exactly this name.
    pub fn zone_at(&self, qname: &QName) -> Option<&Arc<Zone>> {
        self.lookup(NameHash::of(qname), qname.wire())
    }

    /// The next zone strictly above the one that [`Self::zone_for`] gives: the one that may hold the
    /// DS records of its apex.
    pub fn parent_zone_for(&self, qname: &QName) -> Option<&Zone> {
        let zone = self.zone_for(qname)?;
        let above = (1 << zone.n_apex_labels) - 1;
        self.deepest(qname, self.depths & above)
    }

    /// All zones, in the order they were given in.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Zone>> {
        self.zones.iter()
    }

    fn deepest(&self, qname: &QName, mut depths: u128) -> Option<&Zone> {
        let mut hash = NameHash::ROOT;
        let mut found = None;
        let mut nth = qname.n_labels();
        while depths != 0 {
            if depths & 1 == 1 {
                found = self.lookup(hash, qname.suffix(nth)).or(found);
            }
            if nth == 0 {
                break;
            }
            nth -= 1;
            hash = hash.child(qname, nth);
            depths >>= 1;
        }
        found.map(|zone| &**zone)
    }

    fn lookup(&self, hash: NameHash, lower_wire: &[u8]) -> Option<&Arc<Zone>> {
        self.table.find(hash.tag(), |at| {
            let zone = &self.zones[at as usize];
            zone.apex().is(lower_wire).then_some(zone)
        })
    }
}

impl<'s> IntoIterator for &'s ZoneSet {
    type Item = &'s Arc<Zone>;
    type IntoIter = std::slice::Iter<'s, Arc<Zone>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diag::Report;
    use crate::base::name::Name;
    use crate::zone::master;

    fn zone(apex: &str) -> Arc<Zone> {
        let file: Arc<str> = apex.into();
        let apex = Name::parse(apex).expect(apex);
        let text = "@ 60 SOA . . 7 1 1 1 30\n@ 60 NS ns.elsewhere.\n";
        let mut report = Report::default();
        let mut include = |_: &str, _: &Arc<str>| Err(String::new());
        let records = master::read(&file, text, &apex, &mut include, &mut report);
        Zone::compile(&apex, &file, records, &[], &mut report)
            .expect("a zone")
            .into()
    }

    #[test]
    fn the_deepest_zone_wins_and_its_parent_is_the_next() {
        let apexes = ["example.com.", "a.b.EXAMPLE.com.", "com.", "example.org."];
        let with_root = ZoneSet::new(apexes.into_iter().chain(["."]).map(zone).collect());
        let without = ZoneSet::new(apexes.into_iter().map(zone).collect());
        for (qname, expected, parent) in [
            ("www.example.com.", "example.com.", "com."),
            ("Example.COM.", "example.com.", "com."),
            ("b.example.com.", "example.com.", "com."),
            ("x.A.b.example.com.", "a.b.EXAMPLE.com.", "example.com."),
            ("com.", "com.", "."),
            ("example.org.", "example.org.", "."),
            ("badexample.com.", "com.", "."),
            ("org.", ".", ""),
            (".", ".", ""),
        ] {
            let name = QName::from_name(&Name::parse(qname).expect(qname));
            let shown = |zone: Option<&Zone>| zone.map_or(String::new(), |z| z.apex().to_string());
            assert_eq!(shown(with_root.zone_for(&name)), expected, "{qname}");
            assert_eq!(shown(with_root.parent_zone_for(&name)), parent, "{qname}");
            let unless_root = |apex: &str| {
                if apex == "." {
                    String::new()
                } else {
                    apex.to_owned()
                }
            };
            assert_eq!(
                shown(without.zone_for(&name)),
                unless_root(expected),
                "{qname}"
            );
            assert_eq!(
                shown(without.parent_zone_for(&name)),
                unless_root(parent),
                "{qname}"
            );
        }
        assert!(ZoneSet::new(Vec::new()).zone_for(&QName::root()).is_none());
        let serials: Vec<_> = with_root
            .iter()
            .map(|z| (z.serial(), z.negative_ttl()))
            .collect();
        assert_eq!(serials, [(7, 30); 5]);
    }
}
