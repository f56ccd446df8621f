//! Messages that a careful client does not send: what is in them, by name.
//!
//! All ask for the SOA of `odd.test` unless their name says otherwise.

use crate::wire;

/// `\3odd\4test\0`.
pub const APEX: &[u8] = b"\x03odd\x04test\0";

/// The question for the SOA.
fn question() -> Vec<u8> {
    [APEX, &[0, 6, 0, 1]].concat()
}

/// A header with these flags and counts, and what follows it.
fn message(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0x4D, 0x21];
    for field in [flags].into_iter().chain(counts) {
        bytes.extend(field.to_be_bytes());
    }
    bytes.extend(body.concat());
    bytes
}

/// A record at the root.
fn record(rtype: u16, class: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    named(&[0], rtype, class, ttl, rdata)
}

fn named(owner: &[u8], rtype: u16, class: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(rtype.to_be_bytes());
    bytes.extend(class.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((rdata.len() as u16).to_be_bytes());
    bytes.extend(rdata);
    bytes
}

/// An OPT with these options.
fn opt(rdata: &[u8]) -> Vec<u8> {
    record(41, 1232, 0, rdata)
}

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let len = data.len() as u16;
    [&code.to_be_bytes(), &len.to_be_bytes(), data].concat()
}

/// The question with an OPT that holds one option.
fn with_option(code: u16, data: &[u8]) -> Vec<u8> {
    with_opt(&opt(&option(code, data)))
}

fn with_opt(opt: &[u8]) -> Vec<u8> {
    message(0, [1, 0, 0, 1], &[&question(), opt])
}

/// A TSIG by a key that nobody knows.
fn tsig() -> Vec<u8> {
    let algorithm = b"\x0bhmac-sha256\0";
    let rest = [
        &[0; 6][..],
        &[1, 44, 0, 32],
        &[7; 32],
        &[0x4D, 0x21, 0, 0, 0, 0],
    ]
    .concat();
    named(b"\x03key\0", 250, 255, 0, &[&algorithm[..], &rest].concat())
}

/// All messages, each with a name.
pub fn messages() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| all.push((name.to_owned(), bytes));
    headers(&mut add);
    questions(&mut add);
    types_and_classes(&mut add);
    records(&mut add);
    signatures(&mut add);
    edns(&mut add);
    options(&mut add);
    all
}

fn headers(add: &mut dyn FnMut(&str, Vec<u8>)) {
    let asked = |flags: u16| message(flags, [1, 0, 0, 0], &[&question()]);
    for opcode in 1..16_u16 {
        add(&format!("opcode {opcode}"), asked(opcode << 11));
    }
    add("opcode 3 without a question", message(3 << 11, [0; 4], &[]));
    add("a response", asked(wire::QR));
    add("a response to NOTIFY", asked(wire::QR | 4 << 11));
    for (name, bits) in [
        ("AA", wire::AA),
        ("TC", wire::TC),
        ("RA", wire::RA),
        ("Z", wire::Z),
        ("AD", wire::AD),
        ("RCODE 3", 3),
        ("every bit but QR and opcode", 0x07FF),
    ] {
        add(&format!("{name} in the query"), asked(bits));
    }
    let whole = asked(0);
    for len in [0, 1, 2, 11] {
        add(&format!("{len} octets"), whole[..len].to_vec());
    }
    add("a header that announces a question", whole[..12].to_vec());
    add("a header of zeroes", message(0, [0; 4], &[]));
    add("one octet missing", whole[..whole.len() - 1].to_vec());
    for n in [1, 4, 100] {
        let trailing = message(0, [1, 0, 0, 0], &[&question(), &vec![0; n]]);
        add(&format!("{n} octets behind the question"), trailing);
        let trailing = message(0, [1, 0, 0, 1], &[&question(), &opt(&[]), &vec![0; n]]);
        add(&format!("{n} octets behind the OPT"), trailing);
    }
}

fn questions(add: &mut dyn FnMut(&str, Vec<u8>)) {
    let other = [b"\x01a", APEX, &[0, 1, 0, 1]].concat();
    let q = question();
    add(
        "no question, an OPT",
        message(0, [0, 0, 0, 1], &[&opt(&[])]),
    );
    let cookie = opt(&option(10, b"12345678"));
    add(
        "no question, a cookie",
        message(0, [0, 0, 0, 1], &[&cookie]),
    );
    add("two equal questions", message(0, [2, 0, 0, 0], &[&q, &q]));
    add("two questions", message(0, [2, 0, 0, 0], &[&q, &other]));
    add(
        "two questions announced, one there",
        message(0, [2, 0, 0, 0], &[&q]),
    );
    add(
        "65535 questions announced",
        message(0, [65_535, 0, 0, 0], &[&q]),
    );
    let mut asked = |name: &str, qname: &[u8], qtype: u16, qclass: u16| {
        let tail = [qtype.to_be_bytes(), qclass.to_be_bytes()].concat();
        add(name, message(0, [1, 0, 0, 0], &[qname, &tail]));
    };
    asked("qname: a pointer to itself", &[0xC0, 12], 6, 1);
    asked("qname: a pointer to the header", &[0xC0, 0], 6, 1);
    asked("qname: a pointer ahead", &[0xC0, 18], 6, 1);
    asked(
        "qname: a label, then a pointer back",
        b"\x01a\xC0\x0C",
        6,
        1,
    );
    asked("qname: a label of type 01", b"\x41a\0", 6, 1);
    asked("qname: a label of type 10", b"\x81a\0", 6, 1);
    let label = [&[63][..], &[b'a'; 63]].concat();
    let long = |n: u8| {
        [
            &label.repeat(3)[..],
            &[n],
            &vec![b'a'; usize::from(n)],
            &[0],
        ]
        .concat()
    };
    asked("qname: 255 octets", &long(61), 6, 1);
    asked("qname: 256 octets", &long(62), 6, 1);
    asked(
        "qname: 320 octets",
        &[&label.repeat(5)[..], &[0]].concat(),
        6,
        1,
    );
    asked("qname: the root", &[0], 6, 1);
    asked("qname: in no zone", b"\x02no\x05where\0", 6, 1);
    asked("qname: nul and dots", b"\x03\0.\\\x03odd\x04test\0", 6, 1);
}

fn types_and_classes(add: &mut dyn FnMut(&str, Vec<u8>)) {
    let mut asked = |name: &str, qname: &[u8], qtype: u16, qclass: u16| {
        let tail = [qtype.to_be_bytes(), qclass.to_be_bytes()].concat();
        add(name, message(0, [1, 0, 0, 0], &[qname, &tail]));
    };
    for (name, qclass) in [
        ("0", 0),
        ("CS", 2),
        ("CH", 3),
        ("HS", 4),
        ("NONE", 254),
        ("ANY", 255),
        ("65280", 65_280),
        ("65535", 65_535),
    ] {
        asked(&format!("class {name}"), APEX, 6, qclass);
        asked(
            &format!("class {name}, no such name"),
            b"\x01x\x03odd\x04test\0",
            1,
            qclass,
        );
        asked(
            &format!("class {name}, in no zone"),
            b"\x02no\x05where\0",
            1,
            qclass,
        );
    }
    for qtype in [0, 41, 103, 128, 249, 250, 251, 252, 253, 254, 65_535] {
        asked(&format!("type {qtype}"), APEX, qtype, 1);
        asked(
            &format!("type {qtype}, no such name"),
            b"\x01x\x03odd\x04test\0",
            qtype,
            1,
        );
        asked(
            &format!("type {qtype}, in no zone"),
            b"\x02no\x05where\0",
            qtype,
            1,
        );
    }
}

fn records(add: &mut dyn FnMut(&str, Vec<u8>)) {
    let q = question();
    let a = named(APEX, 1, 1, 60, &[192, 0, 2, 1]);
    let soa = named(APEX, 6, 1, 60, &[&[0, 0][..], &[0; 20]].concat());
    add("an answer", message(0, [1, 1, 0, 0], &[&q, &a]));
    add("an authority", message(0, [1, 0, 1, 0], &[&q, &a]));
    add("an additional record", message(0, [1, 0, 0, 1], &[&q, &a]));
    add(
        "an additional record, then an OPT",
        message(0, [1, 0, 0, 2], &[&q, &a, &opt(&[])]),
    );
    add(
        "an OPT, then an additional record",
        message(0, [1, 0, 0, 2], &[&q, &opt(&[]), &a]),
    );
    let at = 12 + q.len() as u8;
    for (name, owner) in [
        (
            "an additional record in a compression loop",
            vec![1, b'a', 0xC0, at],
        ),
        (
            "an additional record at a pointer to itself",
            vec![0xC0, at],
        ),
        (
            "an additional record at a name too long",
            [b"\x01a".repeat(150), vec![0]].concat(),
        ),
    ] {
        let record = named(&owner, 1, 1, 60, &[192, 0, 2, 1]);
        add(name, message(0, [1, 0, 0, 1], &[&q, &record]));
    }
    add("an answer announced", message(0, [1, 1, 0, 0], &[&q]));
    add(
        "an additional record announced",
        message(0, [1, 0, 0, 1], &[&q]),
    );
    let short = &a[..a.len() - 1];
    add(
        "an additional record cut short",
        message(0, [1, 0, 0, 1], &[&q, short]),
    );
    let ixfr = [APEX, &[0, 251, 0, 1]].concat();
    add(
        "IXFR with its SOA",
        message(0, [1, 0, 1, 0], &[&ixfr, &soa]),
    );
    add("IXFR without its SOA", message(0, [1, 0, 0, 0], &[&ixfr]));
}

fn signatures(add: &mut dyn FnMut(&str, Vec<u8>)) {
    let (q, t) = (question(), tsig());
    add(
        "TSIG by an unknown key",
        message(0, [1, 0, 0, 1], &[&q, &t]),
    );
    add(
        "TSIG, then an OPT",
        message(0, [1, 0, 0, 2], &[&q, &t, &opt(&[])]),
    );
    add(
        "TSIG behind an OPT",
        message(0, [1, 0, 0, 2], &[&q, &opt(&[]), &t]),
    );
    add("TSIG twice", message(0, [1, 0, 0, 2], &[&q, &t, &t]));
    add("TSIG as answer", message(0, [1, 1, 0, 0], &[&q, &t]));
    let empty = named(b"\x03key\0", 250, 255, 0, &[]);
    add("TSIG without data", message(0, [1, 0, 0, 1], &[&q, &empty]));
    let class_in = named(b"\x03key\0", 250, 1, 0, &t[15..]);
    add(
        "TSIG of class IN",
        message(0, [1, 0, 0, 1], &[&q, &class_in]),
    );
}

fn edns(add: &mut dyn FnMut(&str, Vec<u8>)) {
    let q = question();
    let o = opt(&[]);
    add("OPT twice", message(0, [1, 0, 0, 2], &[&q, &o, &o]));
    add("OPT as answer", message(0, [1, 1, 0, 0], &[&q, &o]));
    add("OPT as authority", message(0, [1, 0, 1, 0], &[&q, &o]));
    add("OPT at a name", with_opt(&named(APEX, 41, 1232, 0, &[])));
    for version in [1_u8, 2, 255] {
        let ttl = u32::from(version) << 16;
        add(
            &format!("EDNS version {version}"),
            with_opt(&record(41, 1232, ttl, &[])),
        );
    }
    let unknown = record(41, 1232, 1 << 16, &option(8, &[]));
    add("EDNS version 1 with a bad option", with_opt(&unknown));
    let no_zone = [&b"\x02no\x05where\0"[..], &[0, 1, 0, 1]].concat();
    let version1 = record(41, 1232, 1 << 16, &[]);
    add(
        "EDNS version 1 for no zone",
        message(0, [1, 0, 0, 1], &[&no_zone, &version1]),
    );
    add(
        "EDNS version 1 for NOTIFY",
        message(4 << 11, [1, 0, 0, 1], &[&q, &version1]),
    );
    add(
        "EDNS with an extended RCODE",
        with_opt(&record(41, 1232, 1 << 24, &[])),
    );
    add(
        "EDNS with all flags",
        with_opt(&record(41, 1232, 0x7FFF, &[])),
    );
    add("EDNS with DO", with_opt(&record(41, 1232, 0x8000, &[])));
    for payload in [0, 1, 511, 512, 65_535] {
        add(
            &format!("EDNS payload {payload}"),
            with_opt(&record(41, payload, 0, &[])),
        );
    }
    add("an option cut short: 1 octet", with_opt(&opt(&[0])));
    add("an option cut short: 3 octets", with_opt(&opt(&[0, 3, 0])));
    add(
        "an option longer than the OPT",
        with_opt(&opt(&[0, 3, 0, 9, 1])),
    );
    add(
        "an unknown option longer than the OPT",
        with_opt(&opt(&[0xFD, 0xE9, 0, 9, 1])),
    );
    let mut longer = opt(&[0, 3, 0, 0]);
    longer[10] = 5;
    add("an OPT longer than the message", with_opt(&longer));
    longer[10] = 3;
    add("an OPT shorter than its options", with_opt(&longer));
}

fn options(add: &mut dyn FnMut(&str, Vec<u8>)) {
    for (name, code) in [
        ("0", 0),
        ("NSID", 3),
        ("EXPIRE", 9),
        ("keepalive", 11),
        ("padding", 12),
        ("CHAIN", 13),
        ("key tag", 14),
        ("extended error", 15),
        ("65001", 65_001),
        ("65535", 65_535),
    ] {
        add(&format!("option {name}, empty"), with_option(code, &[]));
        add(
            &format!("option {name}, 5 octets"),
            with_option(code, b"abcde"),
        );
    }
    add("option keepalive, 2 octets", with_option(11, &[0, 100]));
    for len in [0, 1, 7, 8, 9, 15, 16, 24, 40, 41, 100] {
        add(
            &format!("cookie of {len} octets"),
            with_option(10, &vec![7; len]),
        );
    }
    for (name, data) in [
        ("empty", &b""[..]),
        ("three octets", b"\0\x01\x18"),
        ("family 0", b"\0\0\0\0"),
        ("family 0 with an octet", b"\0\0\0\0\0"),
        ("family 0, length 8", b"\0\0\x08\0\x0A"),
        ("IPv4 /0", b"\0\x01\0\0"),
        ("IPv4 /0 with an octet", b"\0\x01\0\0\0"),
        ("IPv4 /24", b"\0\x01\x18\0\xC0\0\x02"),
        ("IPv4 /24, four octets", b"\0\x01\x18\0\xC0\0\x02\0"),
        ("IPv4 /24, two octets", b"\0\x01\x18\0\xC0\0"),
        ("IPv4 /20, bits beyond", b"\0\x01\x14\0\xC0\0\xFF"),
        ("IPv4 /33", b"\0\x01\x21\0\xC0\0\x02\x01\x80"),
        ("IPv4 /24, scope 24", b"\0\x01\x18\x18\xC0\0\x02"),
        ("IPv6 /32", b"\0\x02\x20\0\x20\x01\x0D\xB8"),
        (
            "IPv6 /129",
            b"\0\x02\x81\0\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        ),
        ("family 3", b"\0\x03\x08\0\x01"),
    ] {
        add(&format!("client subnet {name}"), with_option(8, data));
    }
    let twice = [
        option(8, b"\0\x01\x18\0\xC0\0\x02"),
        option(8, b"\0\x01\x18\0\xC6\x33\x64"),
    ];
    add("client subnet twice", with_opt(&opt(&twice.concat())));
    let many: Vec<u8> = (0..50)
        .flat_map(|code| option(65_001 + code, b"x"))
        .collect();
    add("fifty unknown options", with_opt(&opt(&many)));
}
