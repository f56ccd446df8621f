//! What the encoder writes is read back by hickory-proto and by a naive reader that checks pointers.

use hickory_proto::op::Message;
use proptest::prelude::*;

use super::*;
use crate::base::name::Name;
use crate::wire::ecs::ClientSubnet;
use crate::wire::edns::ExtendedError;

fn n(text: &str) -> Name {
    Name::parse(text).expect(text)
}

fn question(qname: &Name) -> Vec<u8> {
    [qname.wire(), &[0, 1, 0, 1]].concat()
}

fn echo(question: &[u8]) -> Echo<'_> {
    Echo {
        id: 0xBEEF,
        flags: Flags(0x0100),
        question,
    }
}

fn set(rtype: RrType, rdatas: &[&[u8]]) -> RrSet<'static> {
    packed(rtype, 300, rdatas.iter().copied())
}

/// An RRset that nobody owns, as the test is over soon.
fn packed<'r>(rtype: RrType, ttl: u32, rdatas: impl Iterator<Item = &'r [u8]>) -> RrSet<'static> {
    let mut packed = Vec::new();
    rdatas.for_each(|rdata| RrSet::pack(rdata, &mut packed));
    RrSet::new(rtype, ttl, packed.leak())
}

/// A record with all names uncompressed and in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    section: usize,
    owner: Vec<u8>,
    rtype: RrType,
    ttl: u32,
    rdata: Vec<u8>,
}

/// How many octets come before the names in a type's RDATA, and how many names.
fn layout(rtype: RrType) -> (usize, usize) {
    match rtype {
        RrType::NS | RrType::CNAME | RrType::PTR | RrType::MB => (0, 1),
        RrType::SOA | RrType::MINFO => (0, 2),
        RrType::MX => (2, 1),
        _ => (0, 0),
    }
}

/// Reads a name and checks that each pointer leads backwards; returns it with what it takes up.
fn read_name(message: &[u8], start: usize) -> (Vec<u8>, usize) {
    let (mut name, mut at, mut end) = (Vec::new(), start, None);
    loop {
        let len = usize::from(message[at]);
        if len >= 0xC0 {
            let target = (len & 0x3F) << 8 | usize::from(message[at + 1]);
            assert!((12..at).contains(&target), "pointer from {at} to {target}");
            end = end.or(Some(at + 2));
            at = target;
            continue;
        }
        name.extend(message[at..=at + len].to_ascii_lowercase());
        at += 1 + len;
        if len == 0 {
            return (name, end.unwrap_or(at) - start);
        }
    }
}

/// Reads a message by the book, slowly.
fn read(message: &[u8]) -> Vec<Plain> {
    let u16_at = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let mut at = 12;
    if u16_at(4) == 1 {
        at += read_name(message, at).1 + 4;
    }
    let mut records = Vec::new();
    for section in 1..4 {
        for _ in 0..u16_at(4 + 2 * section) {
            let (owner, len) = read_name(message, at);
            at += len;
            let rtype = RrType(u16_at(at));
            let ttl = u32::from(u16_at(at + 4)) << 16 | u32::from(u16_at(at + 6));
            let end = at + 10 + usize::from(u16_at(at + 8));
            at += 10;
            let (fixed_len, n_names) = layout(rtype);
            let mut rdata = message[at..at + fixed_len].to_vec();
            at += fixed_len;
            for _ in 0..n_names {
                let (name, len) = read_name(message, at);
                rdata.extend(name);
                at += len;
            }
            rdata.extend(&message[at..end]);
            at = end;
            records.push(Plain {
                section,
                owner,
                rtype,
                ttl,
                rdata,
            });
        }
    }
    assert_eq!(at, message.len(), "bytes behind the last record");
    records
}

/// Writes a message by the book, without compression.
fn write(question: &[u8], sets: &[(usize, Name, RrSet<'_>)]) -> Vec<u8> {
    let mut counts = [1, 0, 0, 0];
    let mut body = question.to_vec();
    for (section, owner, set) in sets {
        for rdata in set.rdatas() {
            counts[*section] += 1;
            body.extend(owner.wire());
            body.extend(set.rtype.0.to_be_bytes());
            body.extend([0, 1]);
            body.extend(set.ttl.to_be_bytes());
            body.extend((rdata.len() as u16).to_be_bytes());
            body.extend(rdata);
        }
    }
    let header = Header {
        id: 0xBEEF,
        flags: Flags(0x8500),
        counts,
    };
    [&header.to_wire(), body.as_slice()].concat()
}

#[test]
fn bytes_are_as_by_hand() {
    let question = question(&n("Www.example."));
    let mut out = [0xAA; 512];
    let mut enc = Encoder::begin(&mut out, 512, &echo(&question));
    enc.set_authoritative();
    let a = set(RrType::A, &[&[192, 0, 2, 1]]);
    assert_eq!(enc.answer().rrset(Owner::Qname, a), Ok(()));
    let mx = set(RrType::MX, &[b"\0\x0a\x04mail\x07EXAMPLE\0"]);
    assert_eq!(
        enc.authority().rrset(Owner::Name(&n("www.example")), mx),
        Ok(())
    );
    let srv = set(RrType::SRV, &[b"\0\0\0\0\0\x50\x04mail\x07example\0"]);
    assert_eq!(
        enc.additional()
            .rrset(Owner::Wire(b"\x04MAIL\x07example\0"), srv),
        Ok(())
    );
    let len = enc.finish(Rcode::NxDomain, Some(&Opt::new(1232)));
    let expected = [
        &b"\xbe\xef\x85\x03\0\x01\0\x01\0\x01\0\x02"[..],
        &question,
        b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01",
        b"\xc0\x0c\0\x0f\0\x01\0\0\x01\x2c\0\x09\0\x0a\x04mail\xc0\x10",
        // SRV came after RFC 1035, so that its target is written out.
        b"\xc0\x3b\0\x21\0\x01\0\0\x01\x2c\0\x14\0\0\0\0\0\x50\x04mail\x07example\0",
        b"\0\0\x29\x04\xd0\0\0\0\0\0\0",
    ]
    .concat();
    assert_eq!(
        out[..len].escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

#[test]
fn only_the_types_of_rfc_1035_have_compressed_names() {
    let name = b"\x03www\x07example\0";
    let question = question(&n("www.example"));
    for number in 0..300 {
        let rtype = RrType(number);
        let (fixed_len, _) = layout(rtype);
        let rdata = [&vec![0; fixed_len], &name[..], name].concat();
        let mut out = [0; 512];
        let mut enc = Encoder::begin(&mut out, 512, &echo(&question));
        enc.rrset(Owner::Qname, set(rtype, &[&rdata]))
            .expect("fits");
        let rdata_len = enc.finish(Rcode::NoError, None) - 12 - question.len() - 12;
        let saved = rdata.len() - rdata_len;
        let names_saved = match rtype {
            RrType::NS | RrType::CNAME | RrType::PTR | RrType::MX => 1,
            RrType::MB | RrType::MG | RrType::MR => 1,
            RrType::SOA | RrType::MINFO => 2,
            _ => 0,
        };
        assert_eq!(saved, names_saved * (name.len() - 2), "{rtype}");
    }
}

#[test]
fn a_transfer_compresses_only_names_in_the_same_case() {
    let question = question(&n("example.com."));
    let target = n("mail.EXAMPLE.com.");
    let mut out = [0; 512];
    let mut encoder = Encoder::begin(&mut out, 512, &echo(&question));
    encoder.preserve_case();
    let (a, mx) = (&[192, 0, 2, 1][..], [&[0, 5], target.wire()].concat());
    for (owner, rtype, rdata) in [
        ("www.Example.com.", RrType::A, a),
        ("WWW.Example.com.", RrType::A, a),
        ("www.example.com.", RrType::MX, &mx),
        ("www.Example.com.", RrType::A, a),
    ] {
        let owner = n(owner);
        let owner = Owner::Name(&owner);
        encoder
            .record(owner, rtype, Class::IN, 1, rdata)
            .expect("room");
    }
    let len = encoder.finish(Rcode::NoError, None);
    let written = &out[12 + question.len()..len];
    // com is shared with the question; www.Example.com from the second time on, and what is left of others.
    let expected = [
        &b"\x03www\x07Example\xc0\x14"[..],
        b"\0\x01\0\x01\0\0\0\x01\0\x04\xc0\0\x02\x01",
        b"\x03WWW\xc0\x21",
        b"\0\x01\0\x01\0\0\0\x01\0\x04\xc0\0\x02\x01",
        b"\x03www\xc0\x0c",
        b"\0\x0f\0\x01\0\0\0\x01\0\x11\0\x05\x04mail\x07EXAMPLE\xc0\x14",
        b"\xc0\x1d",
        b"\0\x01\0\x01\0\0\0\x01\0\x04\xc0\0\x02\x01",
    ]
    .concat();
    assert_eq!(written, expected);
}

#[test]
fn a_root_owner_is_a_root_label() {
    let question = question(&Name::root());
    let mut out = [0; 512];
    let mut enc = Encoder::begin(&mut out, 512, &echo(&question));
    let ns = set(RrType::NS, &[b"\x01a\0", b"\x01b\0", b"\0"]);
    enc.rrset(Owner::Qname, ns).expect("fits");
    let len = enc.finish(Rcode::NoError, None);
    let read: Vec<_> = read(&out[..len])
        .into_iter()
        .map(|r| (r.owner, r.rdata))
        .collect();
    let expected = [&b"\x01a\0"[..], b"\x01b\0", b"\0"].map(|rdata| (vec![0], rdata.to_vec()));
    assert_eq!(read, expected);
    assert_eq!(len, 12 + 5 + 3 * 11 + 3 + 3 + 1);
}

#[test]
fn an_rrset_that_does_not_fit_leaves_no_trace() {
    let question = question(&n("example"));
    let ns = set(RrType::NS, &[b"\x02n1\x03net\0", b"\x02n2\x03net\0"]);
    let glue = set(RrType::A, &[&[192, 0, 2, 1]]);
    let both = 12 + question.len() + (12 + 8) + (12 + 5);
    for limit in 0..=both + 16 {
        let mut out = [0; 512];
        let mut enc = Encoder::begin(&mut out, limit, &echo(&question));
        let written = enc.authority().rrset(Owner::Qname, ns);
        assert_eq!(written.is_ok(), limit >= both, "limit {limit}");
        // Were a name of the first set still known, this owner would point at nothing.
        let added = enc
            .additional()
            .rrset(Owner::Wire(b"\x02n1\x03net\0"), glue);
        let len = enc.finish(Rcode::NoError, None);
        assert!(len <= limit);
        if limit >= 12 {
            let n_records = 2 * usize::from(written.is_ok()) + usize::from(added.is_ok());
            assert_eq!(read(&out[..len]).len(), n_records);
            Message::from_vec(&out[..len]).expect("well-formed");
        }
    }
}

#[test]
fn the_opt_has_its_place_in_a_full_message() {
    let question = question(&n("example"));
    let subnet = ClientSubnet::parse(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]).expect("well-formed");
    let opt = Opt {
        subnet: Some(&subnet),
        scope_len: 24,
        ..Opt::new(1232)
    };
    let mut out = [0; 512];
    let mut enc = Encoder::begin(&mut out, 512, &echo(&question));
    enc.reserve(opt.len());
    let mut n_records = 0;
    while enc.record(Owner::Qname, RrType::A, Class::IN, 1, &[0; 4]) == Ok(()) {
        n_records += 1;
    }
    let len = enc.finish(Rcode::BadVers, Some(&opt));
    assert_eq!(len, 12 + question.len() + 16 * n_records + opt.len());
    assert!(len <= 512 && len + 16 > 512);
    let message = Message::from_vec(&out[..len]).expect("well-formed");
    assert_eq!(message.answers.len(), n_records);
    assert_eq!(message.metadata.response_code, 16.into());
    assert!(message.edns.is_some());
}

#[test]
fn a_reservation_beyond_the_limit_keeps_records_out() {
    let question = question(&n("example"));
    let opt = Opt::new(1232);
    let mut out = [0; 512];
    let mut enc = Encoder::begin(&mut out, 512, &echo(&question));
    enc.reserve(usize::MAX);
    assert_eq!(
        enc.record(Owner::Qname, RrType::A, Class::IN, 1, &[0; 4]),
        Err(Full)
    );
    assert_eq!(
        enc.finish(Rcode::NoError, Some(&opt)),
        12 + question.len() + opt.len()
    );
}

#[test]
fn an_opt_without_room_is_cut_down() {
    let question = question(&n("example"));
    let full = Opt {
        nsid: Some(b"ns1"),
        extended_error: Some(ExtendedError {
            code: 0,
            text: "why",
        }),
        ..Opt::new(1232)
    };
    let start = 12 + question.len();
    for (room, taken) in [(27, 27), (26, 18), (18, 18), (17, 11), (11, 11), (10, 0)] {
        let mut out = [0; 512];
        let mut enc = Encoder::begin(&mut out, start + room, &echo(&question));
        let len = enc.finish(Rcode::NoError, Some(&full));
        assert_eq!(len, start + taken, "{room} octets of room");
        let message = Message::from_vec(&out[..len]).expect("well-formed");
        assert_eq!(message.edns.is_some(), taken > 0);
    }
}

#[test]
fn a_cleared_message_starts_again() {
    let question = question(&n("example"));
    let mut out = [0; 512];
    let mut enc = Encoder::begin(&mut out, 512, &echo(&question));
    enc.rrset(Owner::Qname, set(RrType::CNAME, &[b"\x01x\0"]))
        .expect("fits");
    enc.additional()
        .raw([b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\0", b""], 1)
        .expect("fits");
    enc.clear();
    enc.set_truncated();
    enc.answer()
        .rrset(Owner::Wire(b"\x01x\0"), set(RrType::TXT, &[b"\0"]))
        .expect("fits");
    let len = enc.finish(Rcode::NoError, None);
    assert_eq!(&out[..12], b"\xbe\xef\x83\0\0\x01\0\x01\0\0\0\0");
    assert_eq!(len, 12 + question.len() + 3 + 10 + 1);
}

#[test]
fn raw_records_stand_under_the_qname() {
    let question = question(&n("aPP.example"));
    let mut out = [0; 512];
    let mut enc = Encoder::begin(&mut out, 512, &echo(&question));
    let records = b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\x01\x02\x03\x04".repeat(3);
    assert_eq!(enc.raw(records.split_at(5).into(), 3), Ok(()));
    let len = enc.len();
    assert_eq!(enc.raw([&[0; 12], &[0; 512]], 9), Err(Full));
    assert_eq!(enc.len(), len, "nothing of it is left");
    let len = enc.finish(Rcode::NoError, None);
    let message = Message::from_vec(&out[..len]).expect("well-formed");
    assert_eq!(message.answers.len(), 3);
    assert_eq!(message.answers[2].name.to_string(), "aPP.example.");
}

#[test]
fn nothing_points_beyond_the_reach_of_a_pointer() {
    let question = question(&n("example"));
    for filling in [0x3FC0, 0x3FFF - 12 - question.len() - 12, 0x4000, 0x5000] {
        let mut out = vec![0; 65_535];
        let mut enc = Encoder::begin(&mut out, 65_535, &echo(&question));
        let mut expected = vec![filling];
        enc.record(Owner::Qname, RrType(65280), Class::IN, 0, &vec![0; filling])
            .expect("fits");
        for i in 0..40 {
            let owner = n(&format!("n{}.n{}.example", i / 2, i / 8));
            enc.record(Owner::Name(&owner), RrType(65280), Class::IN, 0, &[7])
                .expect("fits");
            expected.push(1);
        }
        let len = enc.finish(Rcode::NoError, None);
        let found: Vec<_> = read(&out[..len]).iter().map(|r| r.rdata.len()).collect();
        assert_eq!(found, expected);
        Message::from_vec(&out[..len]).expect("well-formed");
    }
}

#[test]
fn messages_end_at_65535_octets() {
    let question = question(&n("example"));
    let mut out = vec![0; 70_000];
    let mut enc = Encoder::begin(&mut out, usize::MAX, &echo(&question));
    let too_long = vec![0; 65_535 - 12 - question.len() - 12 + 1];
    let mut record = |rdata| enc.record(Owner::Qname, RrType::NULL, Class::IN, 0, rdata);
    assert_eq!(record(&too_long), Err(Full));
    assert_eq!(record(&too_long[1..]), Ok(()));
    assert_eq!(enc.finish(Rcode::NoError, None), 65_535);
}

#[test]
fn strange_input_is_copied_and_never_followed() {
    // A question that points at itself, RDATA that is none, an owner that ends early.
    let strange: &[&[u8]] = &[
        b"",
        b"\xc0\x0c",
        b"\x05a",
        b"\x01a\xc0\x0c",
        b"\xff",
        b"\0\0\0\0\0",
    ];
    // The owners after the first such stand where their pointers lead to themselves.
    for at in 0..=255 {
        let owner = [1, b'a', 0xC0, at];
        let mut out = [0; 512];
        let mut enc = Encoder::begin(&mut out, 512, &echo(b""));
        for _ in 0..20 {
            let _ = enc.record(Owner::Wire(&owner), RrType::A, Class::IN, 0, &[]);
        }
    }
    for question in strange {
        let mut out = [0; 512];
        let mut enc = Encoder::begin(&mut out, 512, &echo(question));
        for owner in strange {
            for rdata in strange {
                for rtype in [RrType::NS, RrType::MX, RrType::SOA] {
                    let _ = enc.record(Owner::Wire(owner), rtype, Class::IN, 0, rdata);
                }
            }
        }
        assert!(enc.finish(Rcode::NoError, None) <= 512);
    }
}

/// Names with shared suffixes in mixed case, the root among them.
fn name() -> impl Strategy<Value = Name> {
    let label = prop::sample::select(vec![
        "a", "A", "b", "www", "wWw", "example", "Example", "\\000",
    ]);
    prop::collection::vec(label, 0..6).prop_map(|labels| n(&format!("{}.", labels.join("."))))
}

/// An RRset of a type with or without names in its RDATA.
fn rrset() -> impl Strategy<Value = RrSet<'static>> {
    let rtypes = [
        RrType::A,
        RrType::NS,
        RrType::CNAME,
        RrType::SOA,
        RrType::PTR,
        RrType::MX,
        RrType::TXT,
        RrType::SRV,
        RrType::DNAME,
        RrType::MINFO,
        RrType(65280),
    ];
    let rdatas = prop::collection::vec((name(), name(), any::<[u8; 4]>()), 1..4);
    (prop::sample::select(rtypes.to_vec()), 0..1u32 << 31, rdatas).prop_map(
        |(rtype, ttl, parts)| {
            let rdata = |(first, second, octets): &(Name, Name, [u8; 4])| match rtype {
                RrType::A => octets.to_vec(),
                RrType::SOA => [first.wire(), second.wire(), &octets.repeat(5)].concat(),
                RrType::MINFO => [first.wire(), second.wire()].concat(),
                RrType::MX => [&octets[..2], first.wire()].concat(),
                RrType::TXT => [&[4][..], octets].concat(),
                RrType::SRV => [&octets[..], &[0, 80], first.wire()].concat(),
                _ => first.wire().to_vec(),
            };
            let rdatas: Vec<Vec<u8>> = parts.iter().map(rdata).collect();
            packed(rtype, ttl, rdatas.iter().map(Vec::as_slice))
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        qname in name(),
        mut sets in prop::collection::vec((1..4usize, name(), rrset()), 0..12),
        limit in prop_oneof![280..1300usize, Just(65_535)],
    ) {
        sets.sort_by_key(|(section, ..)| *section);
        let question = question(&qname);
        let mut out = vec![0xAA; 65_535];
        let mut enc = Encoder::begin(&mut out, limit, &echo(&question));
        enc.set_authoritative();
        sets.retain(|(section, owner, set)| {
            let owner = if *owner == qname { Owner::Qname } else { Owner::Name(owner) };
            let enc = match section {
                1 => enc.answer(),
                2 => enc.authority(),
                _ => enc.additional(),
            };
            let plain_len: usize = set.rdatas().map(|rdata| 265 + rdata.len()).sum();
            let must_fit = enc.len + plain_len <= limit;
            let written = enc.rrset(owner, *set);
            assert!(written.is_ok() || !must_fit);
            written.is_ok()
        });
        let len = enc.finish(Rcode::NoError, None);
        prop_assert!(len <= limit);
        prop_assert!(out[len..].iter().all(|byte| *byte == 0xAA) || limit < 65_535);
        let plain = write(&question, &sets);
        prop_assert_eq!(read(&out[..len]), read(&plain));
        prop_assert!(len <= plain.len());
        // hickory-proto does not know MINFO and compares its compressed RDATA byte by byte.
        if sets.iter().all(|(.., set)| set.rtype != RrType::MINFO) {
            let ours = Message::from_vec(&out[..len]).expect("well-formed");
            prop_assert_eq!(ours, Message::from_vec(&plain).expect("well-formed"));
        }
    }
}
