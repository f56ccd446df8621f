//! The rules of RFC 2136 s3 as a table: what each message gets, and what it makes of a zone.
//!
//! A record is written `OWNER CLASS TYPE [ttl=N] [RDATA]`, with its owner relative to the zone. Without a TTL
//! it has 300 if it is added, and 0 in all other places.

use std::sync::Arc;

use meridian::base::diag::Report;
use meridian::base::name::Name;
use meridian::zone::master;
use meridian::zone::master::Record;

/// The zone that every message finds, whatever its origin.
pub const ZONE: &str = "\
$TTL 300
@         SOA ns host 10 3600 600 86400 60
@         NS  ns
@         NS  ns2
@         MX  10 mail
ns        A   192.0.2.1
ns2       A   192.0.2.2
mail      A   192.0.2.25
alias     CNAME mail
multi     A   192.0.2.11
multi     A   192.0.2.12
multi     TXT \"x\"
txt       TXT \"Case\"
below.ent TXT \"e\"
*.wild    TXT \"w\"
sub       NS  ns.sub
ns.sub    A   192.0.2.99
dn        DNAME mail
";

/// What stands in the zone section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneSection {
    /// The zone.
    Apex,
    /// Nothing.
    Empty,
    /// The zone, twice.
    Twice,
    /// The zone with type A.
    TypeA,
    /// The zone with class CH.
    ClassCh,
    /// A name of the zone below its apex.
    Below,
}

/// One message and its outcome.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The section of RFC 2136, without `s`, and what happens.
    pub rule: &'static str,
    pub zone: ZoneSection,
    pub prerequisites: &'static [&'static str],
    pub changes: &'static [&'static str],
    pub rcode: u8,
    /// Records that the zone loses (`-`) and gains (`+`), in the same notation, without the SOA. Empty: nothing
    /// changes, the serial neither.
    pub outcome: &'static [&'static str],
    /// Why BIND's result is another one.
    pub bind_differs: Option<&'static str>,
}

const FORMERR: u8 = 1;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;
const YXDOMAIN: u8 = 6;
const YXRRSET: u8 = 7;
const NXRRSET: u8 = 8;
const NOTAUTH: u8 = 9;
const NOTZONE: u8 = 10;

/// A change that is carried out if what stands before it lets it.
const ADD: &[&str] = &["new IN TXT \"n\""];
const ADDED: &[&str] = &["+new IN TXT \"n\""];

const ROW: Row = Row {
    rule: "",
    zone: ZoneSection::Apex,
    prerequisites: &[],
    changes: &[],
    rcode: 0,
    outcome: &[],
    bind_differs: None,
};

const fn zone(rule: &'static str, zone: ZoneSection, rcode: u8) -> Row {
    Row {
        rule,
        zone,
        changes: ADD,
        rcode,
        ..ROW
    }
}

/// A message whose prerequisites hold.
const fn holds(rule: &'static str, prerequisites: &'static [&'static str]) -> Row {
    Row {
        rule,
        prerequisites,
        changes: ADD,
        outcome: ADDED,
        ..ROW
    }
}

/// A message whose prerequisites fail.
const fn fails(rule: &'static str, prerequisites: &'static [&'static str], rcode: u8) -> Row {
    Row {
        rule,
        prerequisites,
        changes: ADD,
        rcode,
        ..ROW
    }
}

/// A message that changes something.
const fn changes(
    rule: &'static str,
    changes: &'static [&'static str],
    outcome: &'static [&'static str],
) -> Row {
    Row {
        rule,
        changes,
        outcome,
        ..ROW
    }
}

/// A message whose changes are refused.
const fn refused(rule: &'static str, changes: &'static [&'static str], rcode: u8) -> Row {
    Row {
        rule,
        changes,
        rcode,
        ..ROW
    }
}

/// Every rule.
pub const ROWS: &[Row] = &[
    zone("3.1.1 no zone", ZoneSection::Empty, FORMERR),
    zone("3.1.1 two zones", ZoneSection::Twice, FORMERR),
    zone("3.1.1 a zone that is no SOA", ZoneSection::TypeA, FORMERR),
    Row {
        bind_differs: Some("it has no view of that class, and answers NOTIMP"),
        ..zone("3.1.2 another class", ZoneSection::ClassCh, NOTAUTH)
    },
    zone("3.1.2 a name that is no zone", ZoneSection::Below, NOTAUTH),
    changes("3.1 the zone", ADD, ADDED),
    fails("3.2 a TTL", &["txt ANY TXT ttl=1"], FORMERR),
    fails(
        "3.2 an owner outside",
        &["elsewhere.test. ANY ANY"],
        NOTZONE,
    ),
    fails("3.2 another class", &["txt CH TXT \"Case\""], FORMERR),
    fails(
        "3.2.1 class ANY with data",
        &["txt ANY TXT \"Case\""],
        FORMERR,
    ),
    fails(
        "3.2.2 class NONE with data",
        &["no NONE TXT \"Case\""],
        FORMERR,
    ),
    fails("3.2.3 class IN of type ANY", &["txt IN ANY"], NXRRSET),
    holds("3.2.4 name in use", &["txt ANY ANY"]),
    holds("3.2.4 name in use, in another case", &["TXT ANY ANY"]),
    holds("3.2.4 apex in use", &["@ ANY ANY"]),
    holds("3.2.4 glue in use", &["ns.sub ANY ANY"]),
    fails("3.2.4 name not in use", &["no ANY ANY"], NXDOMAIN),
    fails(
        "3.2.4 an empty non-terminal is not in use",
        &["ent ANY ANY"],
        NXDOMAIN,
    ),
    fails(
        "3.2.4 a wildcard does not put names in use",
        &["x.wild ANY ANY"],
        NXDOMAIN,
    ),
    fails(
        "3.2.4 a DNAME does not put names in use",
        &["x.dn ANY ANY"],
        NXDOMAIN,
    ),
    holds("3.2.5 name not in use", &["no NONE ANY"]),
    holds(
        "3.2.5 an empty non-terminal is not in use",
        &["ent NONE ANY"],
    ),
    fails("3.2.5 name in use", &["alias NONE ANY"], YXDOMAIN),
    holds("3.2.1 RRset exists", &["multi ANY A"]),
    holds("3.2.1 CNAME exists", &["alias ANY CNAME"]),
    fails("3.2.1 a CNAME is not followed", &["alias ANY A"], NXRRSET),
    fails("3.2.1 RRset does not exist", &["txt ANY A"], NXRRSET),
    fails("3.2.1 nor its name", &["no ANY A"], NXRRSET),
    holds("3.2.3 RRset does not exist", &["txt NONE A"]),
    fails("3.2.3 RRset exists", &["txt NONE TXT"], YXRRSET),
    holds("3.2.2 RRset is equal", &["txt IN TXT \"Case\""]),
    holds(
        "3.2.2 in another order",
        &["multi IN A 192.0.2.12", "multi IN A 192.0.2.11"],
    ),
    holds(
        "3.2.2 with others between",
        &[
            "multi IN A 192.0.2.12",
            "txt ANY ANY",
            "multi IN A 192.0.2.11",
        ],
    ),
    holds("3.2.2 names in any case", &["@ IN MX 10 MAIL"]),
    fails(
        "3.2.2 texts in their case",
        &["txt IN TXT \"case\""],
        NXRRSET,
    ),
    fails(
        "3.2.2 a part of the RRset",
        &["multi IN A 192.0.2.11"],
        NXRRSET,
    ),
    fails(
        "3.2.2 more than the RRset",
        &["txt IN TXT \"Case\"", "txt IN TXT \"more\""],
        NXRRSET,
    ),
    fails("3.2.2 no such RRset", &["no IN A 192.0.2.11"], NXRRSET),
    fails(
        "3.2.5 all must hold",
        &["txt ANY ANY", "txt NONE TXT"],
        YXRRSET,
    ),
    refused(
        "3.4.1.2 an owner outside",
        &["elsewhere.test. IN A 192.0.2.1"],
        NOTZONE,
    ),
    refused("3.4.1.2 another class", &["new CH TXT \"n\""], FORMERR),
    refused("3.4.1.2 class IN of type ANY", &["new IN ANY"], FORMERR),
    refused("3.4.1.2 class IN of type AXFR", &["new IN AXFR"], FORMERR),
    refused(
        "3.4.1.2 class ANY with TTL",
        &["txt ANY TXT ttl=1"],
        FORMERR,
    ),
    refused(
        "3.4.1.2 class ANY with data",
        &["txt ANY TXT \"Case\""],
        FORMERR,
    ),
    refused(
        "3.4.1.2 class ANY of type MAILB",
        &["txt ANY MAILB"],
        FORMERR,
    ),
    refused(
        "3.4.1.2 class NONE with TTL",
        &["txt NONE TXT ttl=1 \"Case\""],
        FORMERR,
    ),
    refused("3.4.1.2 class NONE of type ANY", &["txt NONE ANY"], FORMERR),
    refused(
        "3.4.1 all or nothing",
        &["new IN TXT \"n\"", "txt NONE ANY"],
        FORMERR,
    ),
    changes("3.4.2.2 a new name", ADD, ADDED),
    changes(
        "3.4.2.2 a new type",
        &["txt IN A 192.0.2.9"],
        &["+txt IN A 192.0.2.9"],
    ),
    changes(
        "3.4.2.2 one more record",
        &["multi IN A 192.0.2.13"],
        &["+multi IN A 192.0.2.13"],
    ),
    changes(
        "3.4.2.2 a record that is there",
        &["txt IN TXT \"Case\""],
        &[],
    ),
    changes(
        "3.4.2.2 with another TTL",
        &["txt IN TXT ttl=60 \"Case\""],
        &["-txt IN TXT \"Case\"", "+txt IN TXT ttl=60 \"Case\""],
    ),
    changes(
        "3.4.2.2 the TTL is one for all of an RRset (RFC 2181 s5.2)",
        &["multi IN A ttl=60 192.0.2.13"],
        &[
            "-multi IN A 192.0.2.11",
            "-multi IN A 192.0.2.12",
            "+multi IN A ttl=60 192.0.2.11",
            "+multi IN A ttl=60 192.0.2.12",
            "+multi IN A ttl=60 192.0.2.13",
        ],
    ),
    changes(
        "3.4.2.2 below an empty non-terminal",
        &["a.ent IN TXT \"n\""],
        &["+a.ent IN TXT \"n\""],
    ),
    changes(
        "3.4.2.2 at an empty non-terminal",
        &["ent IN TXT \"n\""],
        &["+ent IN TXT \"n\""],
    ),
    changes(
        "3.4.2.2 at a wildcard",
        &["*.wild IN A 192.0.2.9"],
        &["+*.wild IN A 192.0.2.9"],
    ),
    changes(
        "3.4.2.2 a delegation",
        &["new IN NS ns"],
        &["+new IN NS ns"],
    ),
    changes(
        "3.4.2.2 glue",
        &["b.sub IN A 192.0.2.9"],
        &["+b.sub IN A 192.0.2.9"],
    ),
    changes(
        "3.4.2.2 a CNAME at a new name",
        &["new IN CNAME txt"],
        &["+new IN CNAME txt"],
    ),
    changes("3.4.2.2 no CNAME beside data", &["txt IN CNAME mail"], &[]),
    changes(
        "3.4.2.2 no data beside a CNAME",
        &["alias IN TXT \"n\""],
        &[],
    ),
    changes(
        "3.4.2.2 a CNAME is replaced",
        &["alias IN CNAME txt"],
        &["-alias IN CNAME mail", "+alias IN CNAME txt"],
    ),
    changes(
        "3.4.2.2 a CNAME gives way in the same message",
        &["alias ANY CNAME", "alias IN TXT \"n\""],
        &["-alias IN CNAME mail", "+alias IN TXT \"n\""],
    ),
    changes(
        "3.4.2.2 data gives way to a CNAME in the same message",
        &["txt ANY ANY", "txt IN CNAME mail"],
        &["-txt IN TXT \"Case\"", "+txt IN CNAME mail"],
    ),
    changes(
        "3.4.2.2 an older SOA",
        &["@ IN SOA ns host 9 3600 600 86400 60"],
        &[],
    ),
    changes(
        "3.4.2.2 the same SOA",
        &["@ IN SOA ns other 10 3600 600 86400 60"],
        &[],
    ),
    changes(
        "3.4.2.2 an SOA below the apex",
        &["new IN SOA ns host 99 3600 600 86400 60"],
        &[],
    ),
    changes(
        "3.4.2.3 an RRset",
        &["multi ANY A"],
        &["-multi IN A 192.0.2.11", "-multi IN A 192.0.2.12"],
    ),
    changes(
        "3.4.2.3 the last RRset of a name",
        &["txt ANY TXT"],
        &["-txt IN TXT \"Case\""],
    ),
    changes("3.4.2.3 an RRset that is not there", &["txt ANY A"], &[]),
    changes("3.4.2.3 at a name that is not there", &["no ANY A"], &[]),
    changes("3.4.2.3 not through a wildcard", &["x.wild ANY TXT"], &[]),
    changes("3.4.2.3 at the apex", &["@ ANY MX"], &["-@ IN MX 10 mail"]),
    changes("3.4.2.3 the NS of the apex stay", &["@ ANY NS"], &[]),
    changes("3.4.2.3 the SOA stays", &["@ ANY SOA"], &[]),
    changes(
        "3.4.2.3 a delegation",
        &["sub ANY NS"],
        &["-sub IN NS ns.sub"],
    ),
    changes(
        "3.4.2.3 a name",
        &["multi ANY ANY"],
        &[
            "-multi IN A 192.0.2.11",
            "-multi IN A 192.0.2.12",
            "-multi IN TXT \"x\"",
        ],
    ),
    changes("3.4.2.3 a name that is not there", &["no ANY ANY"], &[]),
    changes("3.4.2.3 an empty non-terminal", &["ent ANY ANY"], &[]),
    changes(
        "3.4.2.3 the apex but for SOA and NS",
        &["@ ANY ANY"],
        &["-@ IN MX 10 mail"],
    ),
    changes(
        "3.4.2.4 a record",
        &["multi NONE A 192.0.2.12"],
        &["-multi IN A 192.0.2.12"],
    ),
    changes(
        "3.4.2.4 names in any case",
        &["@ NONE MX 10 MAIL"],
        &["-@ IN MX 10 mail"],
    ),
    changes(
        "3.4.2.4 texts in their case",
        &["txt NONE TXT \"case\""],
        &[],
    ),
    changes(
        "3.4.2.4 a record that is not there",
        &["multi NONE A 192.0.2.13"],
        &[],
    ),
    changes(
        "3.4.2.4 one NS of the apex",
        &["@ NONE NS ns2"],
        &["-@ IN NS ns2"],
    ),
    changes(
        "3.4.2.4 the last NS of the apex stays",
        &["@ NONE NS ns2", "@ NONE NS ns"],
        &["-@ IN NS ns2"],
    ),
    changes(
        "3.4.2.4 the SOA stays",
        &["@ NONE SOA ns host 10 3600 600 86400 60"],
        &[],
    ),
    changes(
        "3.4.2.4 the last NS is replaced in one message",
        &[
            "@ NONE NS ns2",
            "@ IN NS ns.elsewhere.test.",
            "@ NONE NS ns",
        ],
        &["-@ IN NS ns", "-@ IN NS ns2", "+@ IN NS ns.elsewhere.test."],
    ),
    changes(
        "3.4.2.7 in order: added, then deleted",
        &["new IN TXT \"n\"", "new ANY ANY"],
        &[],
    ),
    changes(
        "3.4.2.7 in order: deleted, then added",
        &["txt ANY TXT", "txt IN TXT \"Case\""],
        &[],
    ),
    changes("3.4.2 nothing", &[], &[]),
    refused("3.4.2 a signature", &["txt IN NSEC mail TXT"], REFUSED),
];

impl Row {
    /// The message for a zone, without a TSIG.
    pub fn message(&self, id: u16, apex: &Name) -> Vec<u8> {
        let (n_zones, name, rtype, class) = match self.zone {
            ZoneSection::Apex => (1, apex.clone(), 6, 1),
            ZoneSection::Empty => (0, apex.clone(), 6, 1),
            ZoneSection::Twice => (2, apex.clone(), 6, 1),
            ZoneSection::TypeA => (1, apex.clone(), 1, 1),
            ZoneSection::ClassCh => (1, apex.clone(), 6, 3),
            ZoneSection::Below => (1, apex.child(b"txt").expect("a name"), 6, 1),
        };
        let mut message = Vec::new();
        let counts = [n_zones, self.prerequisites.len(), self.changes.len(), 0];
        message.extend(id.to_be_bytes());
        message.extend([0x28, 0]);
        message.extend(counts.iter().flat_map(|n| (*n as u16).to_be_bytes()));
        for _ in 0..n_zones {
            message.extend_from_slice(name.wire());
            message.extend([0, rtype, 0, class]);
        }
        for (texts, ttl) in [(self.prerequisites, 0), (self.changes, 300)] {
            for text in texts {
                put_record(&mut message, text, apex, ttl);
            }
        }
        message
    }

    /// The records of the zone before and after, each as `OWNER TTL TYPE RDATA` in lower case with the RDATA in
    /// hexadecimal, without the SOA.
    pub fn before_and_after(&self, apex: &Name) -> [Vec<String>; 2] {
        let mut before: Vec<String> = records(apex).iter().filter_map(shown).collect();
        before.sort();
        let mut after = before.clone();
        for text in self.outcome {
            let (sign, text) = text.split_at(1);
            let shown = shown(&record(text, apex, 300)).expect("no SOA");
            match sign {
                "-" => after.retain(|record| *record != shown),
                _ => after.push(shown),
            }
        }
        after.sort();
        [before, after]
    }
}

/// A record as it is compared; `None` for an SOA.
pub fn shown(record: &Record) -> Option<String> {
    let rdata: String = record
        .rdata
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let owner = record.owner.to_string().to_ascii_lowercase();
    (record.rtype.0 != 6).then(|| format!("{owner} {} {} {rdata}", record.ttl, record.rtype))
}

/// The records of the zone.
pub fn records(apex: &Name) -> Vec<Record> {
    read(ZONE, apex)
}

/// The records of a master file.
pub fn read(text: &str, apex: &Name) -> Vec<Record> {
    let mut report = Report::default();
    let mut include = |_: &str, _: &Arc<str>| Err(String::new());
    let records = master::read(
        &"z".into(),
        text.as_bytes(),
        apex,
        &mut include,
        &mut report,
    );
    assert!(!report.has_errors(), "{text}: {report}");
    records
}

/// The parts of a record's notation: owner, class, type, TTL, RDATA.
fn parts(text: &str, default_ttl: u32) -> (&str, &str, &str, u32, &str) {
    let mut rest = text;
    let mut word = || {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        word
    };
    let (owner, class, rtype) = (word(), word(), word());
    let default_ttl = if class == "IN" { default_ttl } else { 0 };
    let (ttl, rdata) = match rest.strip_prefix("ttl=") {
        Some(rest) => {
            let (ttl, rdata) = rest.split_once(' ').unwrap_or((rest, ""));
            (ttl.parse().expect("a TTL"), rdata)
        }
        None => (default_ttl, rest),
    };
    (owner, class, rtype, ttl, rdata)
}

fn record(text: &str, apex: &Name, default_ttl: u32) -> Record {
    let (owner, _, rtype, ttl, rdata) = parts(text, default_ttl);
    let line = format!("{owner} {ttl} IN {rtype} {rdata}\n");
    read(&line, apex).pop().expect("one record")
}

fn put_record(message: &mut Vec<u8>, text: &str, apex: &Name, default_ttl: u32) {
    let (owner, class, rtype, ttl, rdata) = parts(text, default_ttl);
    let rdata = match rdata {
        "" => Vec::new(),
        _ => record(text, apex, default_ttl).rdata.into_vec(),
    };
    let class: u16 = match class {
        "IN" => 1,
        "CH" => 3,
        "NONE" => 254,
        _ => 255,
    };
    let rtype: meridian::base::rr::RrType = rtype.parse().expect("a type");
    let owner = Name::parse_relative(owner, apex).expect("an owner");
    message.extend_from_slice(owner.wire());
    message.extend(rtype.0.to_be_bytes());
    message.extend(class.to_be_bytes());
    message.extend(ttl.to_be_bytes());
    message.extend((rdata.len() as u16).to_be_bytes());
    message.extend(rdata);
}
