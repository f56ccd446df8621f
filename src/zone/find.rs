//! The search for a name in a zone: RFC 1034 s4.3.2 as amended by RFC 4592 and RFC 6672.
//!
//! The RFC walks down from the apex label by label. The outcome is the same from the other end: the
//! node itself is looked up first, and if there is none, its closest encloser is found by halving the
//! ancestors, as every ancestor of a name in the zone is in the zone. So a search takes one lookup for
//! names that exist and at most seven more for those that do not, however long they are.

use crate::base::qname::QName;
use crate::base::rr::RrType;
use crate::zone::arena::Node;
use crate::zone::zone::Zone;

/// What a lookup finds: where the search for a name ends.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'z> {
    /// At a delegation at or above the name: the answer is a referral, except for DS at the cut.
    Cut {
        /// The node with the NS records.
        node: Node<'z>,
    },
    /// Below a DNAME: the name is to be rewritten.
    Dname {
        /// The node with the DNAME record.
        node: Node<'z>,
    },
    /// Nowhere: the name does not exist.
    Missing {
        /// Its closest encloser (RFC 4592 s3.3.1).
        encloser: Node<'z>,
    },
    /// At a node that answers; it may be an empty non-terminal.
    Node {
        /// The node.
        node: Node<'z>,
        /// Whether it is the wildcard that the answer is made from.
        wildcard: bool,
    },
}

impl Zone {
    /// Searches a name, which must be at or below the apex; never allocates.
    #[inline(always)] // Hot path, once per query (benches/answer.rs).
    pub fn find(&self, qname: &QName) -> Lookup<'_> {
        // The owners of NSEC3 records are not among the zone's names (RFC 5155 s7.2.8).
        if let Some(node) = self.node(qname).filter(|node| !node.is_denial()) {
            return match self.occluder(node) {
                Some(occluder) => occluded(occluder),
                None => Lookup::Node {
                    node,
                    wildcard: false,
                },
            };
        }
        let depth = qname.n_labels().saturating_sub(self.n_apex_labels);
        let lookup = |nth: usize| {
            self.node_of(qname.suffix(nth))
                .filter(|node| !node.is_denial())
        };
        let (mut missing, mut present) = (0, depth);
        let mut encloser = self.apex_node();
        while present - missing > 1 {
            let middle = missing.midpoint(present);
            match lookup(middle) {
                Some(node) => (present, encloser) = (middle, node),
                None => missing = middle,
            }
        }
        self.below(encloser)
    }

    /// The outcome for a name that is not there and whose closest encloser is.
    fn below<'z>(&'z self, encloser: Node<'z>) -> Lookup<'z> {
        if let Some(occluder) = self.occluder(encloser) {
            return occluded(occluder);
        }
        if encloser.rrset(RrType::DNAME).is_some() {
            return Lookup::Dname { node: encloser };
        }
        match encloser.wildcard() {
            Some(position) => Lookup::Node {
                node: self.arena.node(position),
                wildcard: true,
            },
            None => Lookup::Missing { encloser },
        }
    }
}

fn occluded(occluder: Node<'_>) -> Lookup<'_> {
    if occluder.is_cut() {
        Lookup::Cut { node: occluder }
    } else {
        Lookup::Dname { node: occluder }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::base::diag::Place;
    use crate::base::diag::Report;
    use crate::base::name::Name;
    use crate::zone::master::Record;

    fn n(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    /// A zone `z.` that holds these owners and types besides SOA and NS.
    fn zone(owners: &[(Name, RrType)]) -> Option<Zone> {
        let file: Arc<str> = "z.zone".into();
        let soa = [&[0; 2][..], &[0; 20]].concat();
        let fixed = [(n("z."), RrType::SOA), (n("z."), RrType::NS)];
        let records = fixed.iter().chain(owners).map(|(owner, rtype)| Record {
            owner: owner.clone(),
            rtype: *rtype,
            ttl: 60,
            rdata: match *rtype {
                RrType::SOA => soa.clone().into(),
                RrType::A => Box::new([192, 0, 2, 1]),
                _ => n("elsewhere.").wire().into(),
            },
            place: Place::file(&file),
        });
        Zone::compile(
            &n("z."),
            &file,
            records.collect(),
            &[],
            &mut Report::default(),
        )
    }

    /// `find` in words that can be compared.
    fn shown(zone: &Zone, qname: &Name) -> String {
        match zone.find(&QName::from_name(qname)) {
            Lookup::Cut { node } => format!("cut {}", node.to_name()),
            Lookup::Dname { node } => format!("dname {}", node.to_name()),
            Lookup::Missing { encloser } => format!("missing {}", encloser.to_name()),
            Lookup::Node { node, wildcard } => format!("node {} {wildcard}", node.to_name()),
        }
    }

    /// RFC 1034 s4.3.2 step 3, RFC 4592 s3.3.1 and RFC 6672 s3.2, word by word on a set of names.
    fn naive(owners: &[(Name, RrType)], qname: &Name) -> String {
        let apex = n("z.");
        let has = |name: &Name, rtype| owners.iter().any(|(o, t)| o == name && *t == rtype);
        let mut exists = BTreeSet::from([apex.clone()]);
        for (owner, _) in owners {
            let mut name = owner.clone();
            while name != apex {
                exists.insert(name.clone());
                name = name.parent().expect("below the apex");
            }
        }
        let labels: Vec<_> = qname.labels().collect();
        let mut at = apex.clone();
        for label in labels[..labels.len() - 1].iter().rev() {
            if has(&at, RrType::DNAME) {
                return format!("dname {at}");
            }
            let child = at.child(label).expect("short");
            if !exists.contains(&child) {
                let wildcard = at.child(b"*").expect("short");
                return match exists.contains(&wildcard) {
                    true => format!("node {wildcard} true"),
                    false => format!("missing {at}"),
                };
            }
            if has(&child, RrType::NS) {
                return format!("cut {child}");
            }
            at = child;
        }
        format!("node {at} false")
    }

    fn names() -> impl Strategy<Value = Name> {
        let label = prop::sample::select(vec!["a.", "b.", "*."]);
        prop::collection::vec(label, 0..5).prop_map(|labels| n(&(labels.concat() + "z.")))
    }

    /// Leaves out what no zone may hold: NS at a wildcard, and what a DNAME above or beside forbids.
    fn allowed(owners: &[(Name, RrType)]) -> Vec<(Name, RrType)> {
        let is_allowed = |(owner, rtype): &&(Name, RrType)| {
            let dnames = owners.iter().filter(|(_, t)| *t == RrType::DNAME);
            let forbidden = |dname: &Name| {
                owner.is_at_or_below(dname) && (owner != dname || *rtype == RrType::NS)
            };
            !(dnames.map(|(dname, _)| dname).any(forbidden)
                || *rtype == RrType::NS && (owner.is_wildcard() || *owner == n("z.")))
        };
        owners.iter().filter(is_allowed).cloned().collect()
    }

    #[test]
    fn owners_of_nsec3_alone_are_no_names_of_the_zone() {
        let owners = [
            (n("hash.z."), RrType::NSEC3),
            (n("hash.z."), RrType::RRSIG),
            (n("host.z."), RrType::NSEC3),
            (n("host.z."), RrType::A),
            (n("up.z."), RrType::NSEC3),
            (n("a.up.z."), RrType::A),
            (n("*.z."), RrType::A),
        ];
        let zone = zone(&owners).expect("nothing forbidden in it");
        for (qname, outcome) in [
            ("hash.z.", "node *.z. true"),
            ("a.b.hash.z.", "node *.z. true"),
            ("host.z.", "node host.z. false"),
            ("up.z.", "node up.z. false"),
            ("b.up.z.", "missing up.z."),
        ] {
            assert_eq!(shown(&zone, &n(qname)), outcome, "{qname}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn searches_end_where_the_rfcs_say(
            owners in prop::collection::vec(
                (names(), prop::sample::select(vec![RrType::A, RrType::A, RrType::NS, RrType::DNAME])),
                0..8,
            ),
            qnames in prop::collection::vec(names(), 1..20),
        ) {
            let owners = allowed(&owners);
            let zone = zone(&owners).expect("nothing forbidden in it");
            for qname in &qnames {
                prop_assert_eq!(shown(&zone, qname), naive(&owners, qname), "{}", qname);
            }
        }
    }
}
