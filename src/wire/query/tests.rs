//! What each malformed message gets, and agreement with hickory-proto on well-formed ones.

use hickory_proto::op::Edns as OracleEdns;
use hickory_proto::op::Message;
use hickory_proto::op::Query as OracleQuery;
use hickory_proto::rr::DNSClass;
use hickory_proto::rr::Name as OracleName;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::ClientSubnet as OracleSubnet;
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::rdata::opt::EdnsOption;
use proptest::prelude::*;

use super::*;
use crate::base::prefix::Prefix;

const QUESTION: &[u8] = b"\x03WwW\x07example\0\0\x01\0\x01";
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
const TSIG: &[u8] =
    b"\x01k\0\0\xfa\0\xff\0\0\0\0\0\x1d\x0bhmac-sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04";

fn message(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let header = Header {
        id: 0x1234,
        flags: Flags(flags),
        counts,
    };
    [&header.to_wire(), body.concat().as_slice()].concat()
}

fn reject(message: &[u8]) -> Reject<'_> {
    match Query::parse(message, &mut QName::root()) {
        Err(Malformed::Reject(reject)) => reject,
        other => panic!("{other:?} of {message:?}"),
    }
}

#[test]
fn a_query_is_read_in_full() {
    let bytes = message(0x0110, [1, 0, 0, 3], &[QUESTION, A, OPT, TSIG]);
    let mut qname = QName::root();
    let query = Query::parse(&bytes, &mut qname).expect("well-formed");
    assert_eq!(qname.wire(), b"\x03www\x07example\0");
    assert_eq!((query.qtype, query.qclass), (RrType::A, Class::IN));
    assert_eq!((query.echo.id, query.echo.question), (0x1234, QUESTION));
    assert!(query.echo.flags.recursion_desired() && query.echo.flags.checking_disabled());
    assert_eq!(query.edns.map(|edns| edns.udp_payload), Some(1232));
    assert!(query.has_tsig);
    let plain = message(0, [1, 0, 0, 0], &[QUESTION]);
    let query = Query::parse(&plain, &mut qname).expect("well-formed");
    assert!(query.edns.is_none() && !query.has_tsig);
}

#[test]
fn short_messages_and_responses_are_dropped() {
    let whole = message(0, [1, 0, 0, 0], &[QUESTION]);
    for len in 0..12 {
        let parsed = Query::parse(&whole[..len], &mut QName::root());
        assert_eq!(parsed, Err(Malformed::Drop(Fault::Short)), "{len} octets");
    }
    for flags in [0x8000, 0x8180, 0xA800] {
        let response = message(flags, [1, 0, 0, 0], &[QUESTION]);
        let parsed = Query::parse(&response, &mut QName::root());
        assert_eq!(parsed, Err(Malformed::Drop(Fault::Response)), "{flags:#x}");
    }
}

#[test]
fn other_opcodes_are_not_implemented_whatever_follows() {
    for opcode in 1..16 {
        for body in [&[QUESTION][..], &[b"\xFF\xFF"], &[]] {
            let bytes = message(opcode << 11 | 0x0100, [1, 0, 0, 9], body);
            let reject = reject(&bytes);
            assert_eq!((reject.rcode, reject.fault), (Rcode::NotImp, Fault::Opcode));
            assert!(reject.echo.question.is_empty() && !reject.has_opt);
            assert!(reject.echo.flags.recursion_desired());
        }
    }
}

/// The counts and the body of a message, and what is wrong with it.
type Row<'a> = ([u16; 4], &'a [&'a [u8]], Fault);

fn all_get_formerr(rows: &[Row<'_>], question: &[u8], has_opt: bool) {
    for (counts, body, fault) in rows {
        let bytes = message(0x0100, *counts, body);
        let reject = reject(&bytes);
        let row = format!("{counts:?} {body:?}");
        assert_eq!(
            (reject.rcode, reject.fault),
            (Rcode::FormErr, *fault),
            "{row}"
        );
        assert_eq!(
            (reject.echo.question, reject.has_opt),
            (question, has_opt),
            "{row}"
        );
        assert_eq!(
            (reject.echo.id, reject.echo.flags),
            (0x1234, Flags(0x0100)),
            "{row}"
        );
    }
}

#[test]
fn a_question_that_cannot_be_read_is_not_repeated() {
    let long = [b"\x07abcdefg".repeat(32).as_slice(), b"\0\0\x01\0\x01"].concat();
    let rows: &[Row<'_>] = &[
        ([0, 0, 0, 0], &[], Fault::QuestionCount),
        ([2, 0, 0, 0], &[QUESTION, QUESTION], Fault::QuestionCount),
        ([1, 0, 0, 0], &[], Fault::Question),
        ([1, 0, 0, 0], &[b"\x03ww"], Fault::Question),
        ([1, 0, 0, 0], &[b"\x03www\0\0\x01\0"], Fault::Question),
        ([1, 0, 0, 0], &[b"\xc0\x0c\0\x01\0\x01"], Fault::Question),
        (
            [1, 0, 0, 0],
            &[b"\x01a\xc0\x0c\0\x01\0\x01"],
            Fault::Question,
        ),
        ([1, 0, 0, 0], &[b"\x40a\0\0\x01\0\x01"], Fault::Question),
        ([1, 0, 0, 0], &[&long], Fault::Question),
    ];
    all_get_formerr(rows, b"", false);
}

#[test]
fn records_where_none_belong_and_broken_ones_get_formerr() {
    let rows: &[Row<'_>] = &[
        ([1, 1, 0, 0], &[QUESTION, A], Fault::SectionCount),
        ([1, 0, 1, 0], &[QUESTION, A], Fault::SectionCount),
        ([1, 1, 0, 0], &[QUESTION, &A[..15]], Fault::Record),
        ([1, 0, 0xFFFF, 0], &[QUESTION, A], Fault::Record),
        ([1, 0, 0, 1], &[QUESTION], Fault::Record),
        ([1, 0, 0, 1], &[QUESTION, &OPT[..10]], Fault::Record),
        ([1, 0, 0, 1], &[QUESTION, &A[..15]], Fault::Record),
        ([1, 0, 0, 1], &[QUESTION, b"\x80\0", &A[2..]], Fault::Record),
        ([1, 0, 0, 0], &[QUESTION, b"\0"], Fault::Trailing),
        ([1, 0, 0, 0], &[QUESTION, OPT], Fault::Trailing),
        ([1, 0, 0, 2], &[QUESTION, TSIG, OPT], Fault::TsigPlace),
        ([1, 0, 0, 2], &[QUESTION, TSIG, TSIG], Fault::TsigPlace),
    ];
    all_get_formerr(rows, QUESTION, false);
}

/// The record begins at octet 29, behind the question; the qname at 12.
#[test]
fn broken_owner_names_are_formerr_wherever_their_pointers_lead() {
    let long = |n_octets: usize| [b"\x01a".repeat(n_octets / 2), vec![0]].concat();
    let rows: &[(&str, &[u8], bool)] = &[
        ("the qname", b"\xc0\x0c", true),
        ("below the qname", b"\x01a\xc0\x0c", true),
        ("the qname's parent", b"\xc0\x10", true),
        ("255 octets", &long(254), true),
        ("257 octets", &long(256), false),
        ("a pointer to itself", b"\xc0\x1d", false),
        ("a label and a pointer to it", b"\x01a\xc0\x1d", false),
        ("a pointer forwards", b"\xc0\x1f\x01a\0", false),
        ("a pointer behind the end", b"\xff\xff", false),
        ("a pointer into a label", b"\xc0\x0d", false),
        ("a label of type 01", b"\x40\0", false),
        ("a label of type 10", b"\x80\0", false),
        (
            "too long by a pointer",
            &[&b"\x01a".repeat(122), &b"\xc0\x0c"[..]].concat(),
            false,
        ),
    ];
    for (what, owner, is_sound) in rows {
        let bytes = message(0, [1, 0, 0, 1], &[QUESTION, owner, &A[2..]]);
        assert_eq!(bytes.len(), 29 + owner.len() + 14);
        let parsed = Query::parse(&bytes, &mut QName::root());
        assert_eq!(parsed.is_ok(), *is_sound, "{what}");
        if !is_sound {
            let reject = reject(&bytes);
            assert_eq!(
                (reject.rcode, reject.fault),
                (Rcode::FormErr, Fault::Record)
            );
        }
    }
}

#[test]
fn faults_in_and_after_an_opt_are_answered_with_an_opt() {
    let at_name = b"\x01a\0\0\x29\x04\xd0\0\0\0\0\0\0";
    let at_pointer = b"\xc0\x18\0\x29\x04\xd0\0\0\0\0\0\0";
    let option = b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x03\0\x02x";
    let subnet = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0d\0\x08\0\x09\0\x01\x21\0\x01\x02\x03\x04\0";
    let cookie = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x0a\0\x071234567";
    let rows: &[Row<'_>] = &[
        ([1, 0, 0, 1], &[QUESTION, at_name], Fault::OptOwner),
        ([1, 0, 0, 1], &[QUESTION, at_pointer], Fault::OptOwner),
        ([1, 0, 0, 1], &[QUESTION, option], Fault::OptOption),
        ([1, 0, 0, 1], &[QUESTION, subnet], Fault::OptSubnet),
        ([1, 0, 0, 1], &[QUESTION, cookie], Fault::OptCookie),
        ([1, 0, 0, 2], &[QUESTION, OPT, OPT], Fault::OptCount),
        ([1, 0, 0, 2], &[QUESTION, OPT, b"\xc0"], Fault::Record),
        ([1, 0, 0, 0xFFFF], &[QUESTION, OPT, A], Fault::Record),
        ([1, 0, 0, 1], &[QUESTION, OPT, b"\0"], Fault::Trailing),
        ([1, 1, 0, 0], &[QUESTION, OPT], Fault::OptSection),
        ([1, 0, 1, 0], &[QUESTION, OPT], Fault::OptSection),
        ([1, 1, 0, 1], &[QUESTION, A, OPT], Fault::SectionCount),
        ([1, 0, 1, 1], &[QUESTION, A, OPT], Fault::SectionCount),
    ];
    all_get_formerr(rows, QUESTION, true);
    all_get_formerr(&[([0, 0, 0, 1], &[OPT], Fault::QuestionCount)], b"", true);
}

#[test]
fn an_ixfr_query_brings_its_soa() {
    let question = b"\x07example\0\0\xfb\0\x01";
    let soa = b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\x04\xd2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let bytes = message(0, [1, 0, 1, 1], &[question, soa, OPT]);
    let query = Query::parse(&bytes, &mut QName::root()).expect("well-formed");
    assert!(query.qtype == RrType::IXFR && query.edns.is_some());
    assert_eq!(query.ixfr_serial, Some(1234));
    let bytes = message(0, [1, 0, 1, 0], &[question, OPT]);
    assert_eq!(reject(&bytes).fault, Fault::OptSection);
    let bytes = message(0, [1, 1, 1, 0], &[question, soa, soa]);
    assert_eq!(reject(&bytes).fault, Fault::SectionCount);
}

#[test]
fn the_longest_qname_is_read() {
    let question = [b"\x01a".repeat(127).as_slice(), b"\0\0\x01\0\x01"].concat();
    let bytes = message(0, [1, 0, 0, 0], &[&question]);
    let mut qname = QName::root();
    assert!(Query::parse(&bytes, &mut qname).is_ok());
    assert_eq!((qname.n_labels(), qname.wire().len()), (127, 255));
}

/// A query as hickory-proto writes it.
fn oracle_query() -> impl Strategy<Value = Message> {
    let labels = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..4);
    let subnet = prop::option::of((any::<std::net::IpAddr>(), any::<u8>()));
    let edns = prop::option::of((any::<u16>(), any::<bool>(), subnet, any::<bool>()));
    (labels, any::<u16>(), any::<bool>(), edns).prop_map(|(labels, qtype, rd, edns)| {
        let name = OracleName::from_labels(labels).expect("at most 193 octets");
        let mut message = Message::query();
        message.metadata.recursion_desired = rd;
        let mut query = OracleQuery::query(name, RecordType::from(qtype));
        query.set_query_class(DNSClass::IN);
        message.add_query(query);
        if let Some((payload, dnssec_ok, subnet, padded)) = edns {
            let mut edns = OracleEdns::new();
            edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
            if padded {
                edns.options_mut()
                    .insert(EdnsOption::Unknown(12, vec![0; 9]));
            }
            if let Some((addr, len)) = subnet {
                // hickory-proto does not clear the bits beyond the length.
                let prefix = Prefix::cut(addr, len);
                let subnet = OracleSubnet::new(prefix.addr(), prefix.len(), 0);
                edns.options_mut().insert(EdnsOption::Subnet(subnet));
            }
            message.set_edns(edns);
        }
        message
    })
}

proptest! {
    #[test]
    fn any_bytes_get_an_outcome(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Query::parse(&bytes, &mut QName::root());
    }

    #[test]
    fn bytes_that_are_nearly_a_query_get_an_outcome(
        oracle in oracle_query(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = oracle.to_vec().expect("fits");
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let mut qname = QName::root();
            match Query::parse(bytes, &mut qname) {
                Ok(query) => {
                    let end = 12 + query.echo.question.len();
                    prop_assert_eq!(query.echo.question, &bytes[12..end]);
                    prop_assert_eq!(qname.wire().len() + 4, query.echo.question.len());
                    prop_assert!(Message::from_vec(bytes).is_ok() || bytes[10..12] != [0, 0]);
                }
                Err(Malformed::Drop(_)) => prop_assert!(bytes.len() < 12 || bytes[2] >= 0x80),
                Err(Malformed::Reject(reject)) => {
                    prop_assert!(bytes[12..].starts_with(reject.echo.question));
                }
            }
        }
    }

    #[test]
    fn what_hickory_writes_is_read_alike(oracle in oracle_query()) {
        let bytes = oracle.to_vec().expect("fits");
        let mut qname = QName::root();
        let query = Query::parse(&bytes, &mut qname).expect("well-formed");
        let asked = &oracle.queries[0];
        let mut wire = Vec::new();
        for label in asked.name().iter() {
            wire.push(label.len() as u8);
            wire.extend(label.to_ascii_lowercase());
        }
        wire.push(0);
        prop_assert_eq!(qname.wire(), wire);
        prop_assert_eq!(query.qtype.0, u16::from(asked.query_type()));
        prop_assert_eq!(query.echo.id, oracle.metadata.id);
        prop_assert_eq!(query.echo.flags.recursion_desired(), oracle.metadata.recursion_desired);
        prop_assert_eq!(query.edns.is_some(), oracle.edns.is_some());
        if let (Some(ours), Some(theirs)) = (query.edns, &oracle.edns) {
            prop_assert_eq!(ours.udp_payload, theirs.max_payload().max(512));
            prop_assert_eq!(ours.dnssec_ok, theirs.flags().dnssec_ok);
            let theirs = match theirs.option(EdnsCode::Subnet) {
                Some(EdnsOption::Subnet(subnet)) => Some((subnet.addr(), subnet.source_prefix())),
                _ => None,
            };
            let ours = ours.subnet.map(|s| (s.addr().expect("a family"), s.source_len()));
            prop_assert_eq!(ours, theirs);
        }
    }
}
