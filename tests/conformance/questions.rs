//! What a zone is asked: every name in it, names beside, below and between them, names that its
//! records lead to; and of each the types that matter.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use meridian::base::diag::Report;
use meridian::base::name::Name;
use meridian::base::rr::Class;
use meridian::base::rr::RrType;
use meridian::zone::Zone;
use meridian::zone::master;

use crate::peers::ZoneText;
use crate::random::Random;
use crate::wire;

/// Asked of each name that stands in the zone, besides the types that are there.
const USUAL: [u16; 13] = [
    1, 28, 2, 6, 5, 39, // A, AAAA, NS, SOA, CNAME, DNAME
    15, 16, 33, 43, 255, 65_280, 46, // MX, TXT, SRV, DS, ANY, unknown, RRSIG
];

/// Asked of names that do not.
const FEW: [u16; 7] = [1, 2, 5, 39, 16, 43, 255];

/// The bits that a client may set, each alone and together.
const FLAGS: [u16; 6] = [
    0,
    wire::RD,
    wire::RD | wire::AD,
    wire::CD,
    wire::RD | wire::CD | wire::AD,
    wire::Z,
];

/// A question and the zone it was thought up for.
#[derive(Clone, Debug)]
pub struct Question {
    /// The place of the zone in the caller's list.
    pub zone: usize,
    /// With letters in upper and lower case, as resolvers send it against forgery.
    pub qname: Vec<u8>,
    pub qtype: u16,
    pub qclass: u16,
    pub flags: u16,
}

impl Question {
    /// The message, with an OPT if a payload size is given.
    pub fn message(&self, payload: Option<u16>) -> Vec<u8> {
        wire::query(&self.qname, self.qtype, self.qclass, self.flags, payload)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (qtype, qclass) = (RrType(self.qtype), Class(self.qclass));
        let qname = wire::text(&self.qname);
        write!(f, "{qname} {qclass} {qtype}, flags {:04x}", self.flags)
    }
}

/// Compiles a zone as the server would; `None` if it is refused.
pub fn compile(zone: &ZoneText) -> Option<Zone> {
    let apex = Name::parse(&zone.origin).expect("an origin");
    let file: Arc<str> = zone.file().into();
    let mut report = Report::default();
    let mut include = |_: &str, _: &Arc<str>| Err("no file here".to_owned());
    let records = master::read(
        &file,
        zone.text.as_bytes(),
        &apex,
        &mut include,
        &mut report,
    );
    Zone::compile(&apex, &file, records, &[], &mut report)
}

/// The questions for a zone.
pub fn questions(at: usize, zone: &Zone, random: &mut Random) -> Vec<Question> {
    let mut asked: BTreeMap<Vec<u8>, BTreeSet<u16>> = BTreeMap::new();
    for node in zone {
        let owner = node.to_name();
        let here = node.rrsets().map(|set| set.rtype.0);
        let types = asked.entry(owner.lower_wire().into()).or_default();
        types.extend(USUAL.into_iter().chain(here));
        let mut beside = Vec::new();
        for labels in [
            &[b"q".as_slice()][..],
            &[b"*"],
            &[b"a"],
            &[b"ns"],
            &[b"r", b"q"],
        ] {
            beside.extend(below(&owner, labels));
        }
        for set in node.rrsets() {
            let targets = set.rdatas();
            beside.extend(targets.filter_map(|rdata| wire::target(set.rtype, rdata)));
        }
        for name in beside {
            asked.entry(name).or_default().extend(FEW);
        }
    }
    let mut questions = Vec::new();
    for (name, types) in asked {
        for qtype in types {
            questions.push(Question {
                zone: at,
                qname: mixed(&name, random),
                qtype,
                qclass: 1,
                flags: FLAGS[random.below(FLAGS.len())],
            });
        }
    }
    questions
}

/// The name with these labels in front, from the right; `None` if that gets too long.
fn below(name: &Name, labels: &[&[u8]]) -> Option<Vec<u8>> {
    let child = |name: Name, label: &&[u8]| name.child(label).ok();
    let name = labels.iter().try_fold(name.clone(), child)?;
    Some(name.lower_wire().into())
}

/// The name with some of its letters in upper case.
fn mixed(name: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bits = random.next();
    let mut mixed = name.to_vec();
    let mut at = 0;
    while let Some(len) = name.get(at).copied().filter(|len| *len > 0) {
        let label = at + 1..at + 1 + usize::from(len);
        for octet in &mut mixed[label.clone()] {
            if bits & 1 == 1 {
                octet.make_ascii_uppercase();
            }
            bits = bits.rotate_right(1);
        }
        at = label.end;
    }
    mixed
}
