//! `ZoneSet`: all zones that are served, and which of them a name belongs to.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::qname::QName;
use crate::zone::hash::Table;
use crate::zone::zone::Zone;

/// Zones by apex; never allocates once it is built.
#[derive(Debug)]
pub struct ZoneSet {
    zones: Vec<Arc<Zone>>,
    table: Table,
    /// How many labels apexes have, most first: other depths are not looked up.
    depths: Box<[usize]>,
}

impl ZoneSet {
    /// Makes the set; apexes must differ.
    pub fn new(zones: Vec<Arc<Zone>>) -> Self {
        let apexes = zones.iter().map(|zone| QName::from_name(zone.apex()));
        let depths: BTreeSet<_> = zones.iter().map(|zone| zone.n_apex_labels).collect();
        Self {
            table: Table::new(zones.len(), apexes.zip(0..)),
            depths: depths.into_iter().rev().collect(),
            zones,
        }
    }

    /// The zone with the deepest apex at or above a name.
    pub fn zone_for(&self, qname: &QName) -> Option<&Zone> {
        self.deepest(qname, qname.n_labels())
    }

    /// The zone of exactly this name.
    pub fn zone_at(&self, qname: &QName) -> Option<&Arc<Zone>> {
        self.lookup(qname.wire())
    }

    /// The next zone strictly above the one that [`Self::zone_for`] gives: the one that may hold the
    /// DS records of its apex.
    pub fn parent_zone_for(&self, qname: &QName) -> Option<&Zone> {
        let zone = self.zone_for(qname)?;
        self.deepest(qname, zone.n_apex_labels.checked_sub(1)?)
    }

    /// All zones, in the order they were given in.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Zone>> {
        self.zones.iter()
    }

    /// The zone at or above a name with the deepest apex of at most so many labels, which the name must
    /// have.
    fn deepest(&self, qname: &QName, max_depth: usize) -> Option<&Zone> {
        let depths = self.depths.iter().filter(|depth| **depth <= max_depth);
        let mut apexes = depths.map(|depth| qname.suffix(qname.n_labels() - depth));
        let zone = apexes.find_map(|apex| self.lookup(apex))?;
        Some(zone)
    }

    fn lookup(&self, lower_wire: &[u8]) -> Option<&Arc<Zone>> {
        self.table.find(lower_wire, |at| {
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
        let text = b"@ 60 SOA . . 7 1 1 1 30\n@ 60 NS ns.elsewhere.\n";
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
