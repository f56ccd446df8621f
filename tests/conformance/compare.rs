//! The rule: in every part of an answer that carries meaning, Meridian gives what one of the peers
//! gives; so where the three agree, it gives what they give.
//!
//! Parts are judged one by one. An RRset's records are compared as a multiset with their TTLs; the
//! order of RRsets counts in the answer section, where aliases lead from one to the next. Addresses
//! in the additional section are hints: all that the three give must be there, and nothing that none
//! of them gives. NS records of the answering zone itself, which BIND adds to authority, are left out.

use std::fmt::Write as _;

use meridian::base::rr::RrType;

use crate::peers::NAMES;
use crate::peers::OURS;
use crate::wire;
use crate::wire::Record;
use crate::wire::Response;

/// The bits that a client sets and a server may repeat.
const ECHOED: u16 = wire::RD | wire::Z | wire::AD | wire::CD;

/// So many aliases are followed by every peer; Knot stops there.
const SHORTEST_LIMIT: usize = 5;

/// What an address more would take at most, with room to spare.
const ROOM: usize = 64;

/// A part in which Meridian's answer is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub part: &'static str,
    /// Whether the three peers are of one mind.
    pub is_unanimous: bool,
}

/// What is compared of one response.
struct View {
    rcode: u16,
    flags: u16,
    question: Vec<u8>,
    edns: Option<u8>,
    answer: Vec<Record>,
    order: Vec<(Vec<u8>, RrType)>,
    soa: Vec<Record>,
    referral: Vec<Record>,
    addresses: Vec<Record>,
}

impl View {
    fn new(response: &Response, apex: &[u8]) -> Self {
        let mut order: Vec<_> = response
            .answer
            .iter()
            .map(|record| (record.owner.clone(), record.rtype))
            .collect();
        order.dedup();
        let sorted = |records: &[Record], keep: &dyn Fn(&Record) -> bool| {
            let mut records: Vec<Record> = records.iter().filter(|r| keep(r)).cloned().collect();
            records.sort();
            records
        };
        Self {
            rcode: response.rcode,
            flags: response.flags,
            question: response.question.clone(),
            edns: response.edns,
            answer: sorted(&response.answer, &|_| true),
            order,
            soa: sorted(&response.authority, &|record| record.rtype == RrType::SOA),
            referral: sorted(&response.authority, &|record| {
                record.rtype == RrType::NS && record.owner != apex
            }),
            addresses: sorted(&response.additional, &|record| {
                matches!(record.rtype, RrType::A | RrType::AAAA)
            }),
        }
    }

    fn n_aliases(&self) -> usize {
        let is_alias = |record: &&Record| record.rtype == RrType::CNAME;
        self.answer.iter().filter(is_alias).count()
    }

    fn is_truncated(&self) -> bool {
        self.flags & wire::TC != 0
    }
}

/// Compares the four responses to one question, in the order of [`NAMES`], from the zone with this
/// apex in lower-case wire form, where a response can have so many octets.
pub fn differences(
    responses: &[Option<Response>],
    apex: &[u8],
    is_any: bool,
    limit: usize,
) -> Vec<Difference> {
    let views: Vec<Option<View>> = responses
        .iter()
        .map(|response| response.as_ref().map(|response| View::new(response, apex)))
        .collect();
    let silent: Vec<bool> = views.iter().map(Option::is_none).collect();
    let mut found = Vec::new();
    if !among(&silent) {
        let is_unanimous = agree(&silent);
        found.push(Difference {
            part: "silence",
            is_unanimous,
        });
    }
    let (peers, ours) = views.split_at(OURS);
    let peers: Vec<&View> = peers.iter().flatten().collect();
    let [Some(ours)] = ours else {
        return found;
    };
    if peers.is_empty() {
        return found;
    }
    let mut judge = Judge { ours, peers, found };
    judge.same("rcode", |view| view.rcode);
    judge.same("header", |view| {
        view.flags & !(wire::AA | wire::TC | ECHOED)
    });
    judge.same("aa", |view| view.flags & wire::AA);
    judge.same("tc", |view| view.flags & wire::TC);
    judge.same("echoed bits", |view| view.flags & ECHOED);
    judge.same("question", |view| &view.question);
    judge.same("edns", |view| view.edns);
    judge.same("soa", |view| &view.soa);
    judge.same("referral", |view| &view.referral);
    if is_any {
        judge.any();
        return judge.found;
    }
    if !judge.is_cut_chain() {
        judge.same("answer", |view| &view.answer);
        judge.same("order", |view| &view.order);
    }
    // Where there is little room, each server chooses what it sends.
    let is_roomy = |response: &Response| response.len + ROOM < limit;
    judge.addresses(responses.iter().flatten().all(is_roomy));
    judge.found
}

struct Judge<'a> {
    ours: &'a View,
    peers: Vec<&'a View>,
    found: Vec<Difference>,
}

impl<'a> Judge<'a> {
    fn found(&mut self, part: &'static str, is_unanimous: bool) {
        self.found.push(Difference { part, is_unanimous });
    }

    /// A part that must be that of one of the peers.
    fn same<T: PartialEq>(&mut self, part: &'static str, value: impl Fn(&'a View) -> T) {
        let mut values: Vec<T> = self.peers.iter().map(|view| value(view)).collect();
        let is_unanimous = agree(&values) && self.peers.len() == OURS;
        values.push(value(self.ours));
        if !among(&values) {
            self.found(part, is_unanimous);
        }
    }

    /// RFC 8482 s4.1: a part of the answer to ANY is an answer.
    fn any(&mut self) {
        let ours = &self.ours.answer;
        let is_part =
            |view: &&View| view.answer.is_empty() == ours.is_empty() && within(ours, &view.answer);
        if !self.peers.iter().any(is_part) {
            self.found("answer", true);
        }
    }

    /// How long a chain of aliases is followed is left to the server (RFC 1034 s5.2.2): one that is
    /// longer than the shortest limit may go on or end where a peer's does not.
    fn is_cut_chain(&self) -> bool {
        let ours = self.ours;
        let agrees = |view: &&View| {
            view.n_aliases() >= SHORTEST_LIMIT
                && (within(&ours.answer, &view.answer) || within(&view.answer, &ours.answer))
        };
        let ends_elsewhere = |view: &&View| view.n_aliases() != ours.n_aliases();
        ours.n_aliases() > SHORTEST_LIMIT
            && self.peers.iter().any(ends_elsewhere)
            && self.peers.iter().any(agrees)
    }

    /// Addresses in the additional section, unless a peer left some out.
    fn addresses(&mut self, is_roomy: bool) {
        let (ours, peers) = (&self.ours.addresses, &self.peers);
        if peers.iter().any(|view| view.is_truncated()) {
            return;
        }
        let is_given = |record: &Record| peers.iter().any(|view| view.addresses.contains(record));
        let is_common = |record: &&Record| peers.iter().all(|p| p.addresses.contains(record));
        let has_surplus = !ours.iter().all(is_given);
        let mut common = peers[0].addresses.iter().filter(is_common);
        let lacks_some = is_roomy && !common.all(|record| ours.contains(record));
        if has_surplus {
            self.found("additional: surplus", true);
        }
        if lacks_some {
            self.found("additional: missing", true);
        }
    }
}

/// Whether the last value is one of the others.
fn among<T: PartialEq>(values: &[T]) -> bool {
    values
        .split_last()
        .is_some_and(|(ours, peers)| peers.contains(ours))
}

/// Whether the peers' values, the last one left out if it is ours, are all the same.
fn agree<T: PartialEq>(values: &[T]) -> bool {
    values.iter().take(OURS).all(|value| *value == values[0])
}

/// Whether all of one list is in the other.
fn within(part: &[Record], whole: &[Record]) -> bool {
    part.iter().all(|record| whole.contains(record))
}

/// A response in the form that `dig` made usual.
pub fn shown(response: Option<&Response>) -> String {
    let Some(response) = response else {
        return "    (no response)\n".to_owned();
    };
    let names = [
        (wire::QR, "qr"),
        (wire::AA, "aa"),
        (wire::TC, "tc"),
        (wire::RD, "rd"),
        (wire::RA, "ra"),
        (wire::Z, "z"),
        (wire::AD, "ad"),
        (wire::CD, "cd"),
    ];
    let flags: Vec<&str> = names
        .iter()
        .filter(|(bit, _)| response.flags & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    let mut text = format!(
        "    rcode {} opcode {} flags {} edns {:?} question {}\n",
        response.rcode,
        response.flags >> 11 & 0xF,
        flags.join(" "),
        response.edns,
        response.question.escape_ascii(),
    );
    for (name, records) in [
        ("answer", &response.answer),
        ("authority", &response.authority),
        ("additional", &response.additional),
    ] {
        for record in records.iter().take(20) {
            let _ = writeln!(text, "    {name}: {record}");
        }
        if records.len() > 20 {
            let _ = writeln!(text, "    {name}: ... {} records", records.len());
        }
    }
    text
}

/// All four responses.
pub fn all_shown(responses: &[Option<Response>]) -> String {
    let each = NAMES.iter().zip(responses);
    each.map(|(name, response)| format!("  {name}:\n{}", shown(response.as_ref())))
        .collect()
}
