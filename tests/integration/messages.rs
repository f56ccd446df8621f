//! The odd messages of docs/protocol.md as bytes, by the words of its first column.

/// Flags of the header's second 16 bits.
const QR: u16 = 0x8000;
const RD: u16 = 0x0100;

/// `example.com SOA IN`.
pub const QUESTION: &[u8] = b"\x07example\x03com\0\0\x06\0\x01";
/// A record of the zone, its owner a pointer to the question.
const RECORD: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x01";
/// An SOA record, its owner a pointer to the question.
const SOA: &[u8] =
    b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// A TSIG of a key that nobody has.
const TSIG: &[u8] =
    b"\x02no\x03key\0\0\xfa\0\xff\0\0\0\0\0\x2d\x0bhmac-sha256\0\0\0\0\0\0\x01\x01\x2c\0\x10\
sixteen octets..\x12\x34\0\0\0\0";
/// A TSIG of which nothing is well-formed but the frame.
const BAD_TSIG: &[u8] = b"\0\0\xfa\0\xff\0\0\0\0\0\0";

/// A message: flags, counts and what follows the header.
pub fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend_from_slice(&flags.to_be_bytes());
    bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// An OPT with these options: (code, data).
fn opt(options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut rdata = Vec::new();
    for (code, data) in options {
        rdata.extend_from_slice(&code.to_be_bytes());
        rdata.extend_from_slice(&(data.len() as u16).to_be_bytes());
        rdata.extend_from_slice(data);
    }
    raw_opt(&[0, 0, 0, 0], &rdata)
}

/// An OPT with this TTL and RDATA.
fn raw_opt(ttl: &[u8; 4], rdata: &[u8]) -> Vec<u8> {
    let len = (rdata.len() as u16).to_be_bytes();
    [b"\0\0\x29\x04\xd0", &ttl[..], &len, rdata].concat()
}

/// A query with one record in the additional section.
fn with(additional: &[u8]) -> Vec<u8> {
    message(0, [1, 0, 0, 1], &[QUESTION, additional])
}

/// A query with one EDNS option.
fn option(code: u16, data: &[u8]) -> Vec<u8> {
    with(&opt(&[(code, data)]))
}

/// A query with a client subnet.
fn subnet(data: &[u8]) -> Vec<u8> {
    option(8, data)
}

fn cookie(len: usize) -> Vec<u8> {
    option(10, &b"client_1server_secret_that_is_none_of_ours!"[..len])
}

/// A query for a type and class at the apex.
fn question(qtype: u16, qclass: u16) -> Vec<u8> {
    let mut bytes = message(0, [1, 0, 0, 0], &[b"\x07example\x03com\0"]);
    bytes.extend_from_slice(&qtype.to_be_bytes());
    bytes.extend_from_slice(&qclass.to_be_bytes());
    bytes
}

/// A query for a transfer of what is no zone.
fn transfer_below() -> Vec<u8> {
    message(
        0,
        [1, 0, 0, 0],
        &[b"\x03sub\x07example\x03com\0\0\xfc\0\x01"],
    )
}

/// A query for `example.com SOA` with these flags.
fn flags(flags: u16) -> Vec<u8> {
    message(flags, [1, 0, 0, 0], &[QUESTION])
}

/// A query whose qname is these octets.
fn qname(octets: &[u8]) -> Vec<u8> {
    message(0, [1, 0, 0, 0], &[octets, b"\0\x01\0\x01"])
}

/// Every row's message.
pub fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let mut rows = headers();
    rows.extend(questions());
    rows.extend(records());
    rows.extend(edns());
    rows.extend(subnets());
    rows.extend(options());
    rows.extend(types());
    rows
}

fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let header = message(0, [1, 0, 0, 0], &[]);
    let opcode = |opcode: u16| flags(opcode << 11);
    vec![
        ("a query", flags(RD)),
        ("no octets at all", Vec::new()),
        ("eleven octets", header[..11].to_vec()),
        ("a response", flags(QR)),
        ("a response with opcode 15", flags(QR | 15 << 11)),
        ("opcode IQUERY", opcode(1)),
        ("opcode STATUS", opcode(2)),
        ("opcode NOTIFY", opcode(4)),
        ("opcode UPDATE", opcode(5)),
        ("opcode DSO", opcode(6)),
        (
            "opcode 15 and nothing after the header",
            message(15 << 11, [0; 4], &[]),
        ),
        ("AA, TC and RA set in a query", flags(0x0680)),
        ("the Z bit set", flags(0x0040)),
        ("AD and CD set", flags(0x0030)),
        ("an RCODE in a query", flags(0x000f)),
    ]
}

fn questions() -> Vec<(&'static str, Vec<u8>)> {
    let labels = |n: usize| b"\x03abc".repeat(n);
    let long = |last: &[u8]| [&labels(62)[..], last, b"\0"].concat();
    vec![
        ("a header alone", message(0, [0; 4], &[])),
        (
            "a header that announces a question",
            message(0, [1, 0, 0, 0], &[]),
        ),
        (
            "QDCOUNT 0 and a question all the same",
            message(0, [0; 4], &[QUESTION]),
        ),
        (
            "no question, with an OPT",
            message(0, [0, 0, 0, 1], &[&opt(&[])]),
        ),
        (
            "two questions",
            message(0, [2, 0, 0, 0], &[QUESTION, QUESTION]),
        ),
        (
            "65,535 questions",
            message(0, [65_535, 0, 0, 0], &[QUESTION]),
        ),
        (
            "a qname that is cut off",
            message(0, [1, 0, 0, 0], &[b"\x07exam"]),
        ),
        (
            "a question without type and class",
            message(0, [1, 0, 0, 0], &[b"\x01a\0"]),
        ),
        ("a compressed qname", qname(b"\xc0\x0c")),
        ("a qname that points at itself", qname(b"\x01a\xc0\x0c")),
        ("a label type other than 00 and 11", qname(b"\x41a\0")),
        ("a qname of 255 octets", qname(&long(b"\x05abcde"))),
        ("a qname of 256 octets", qname(&long(b"\x06abcdef"))),
        ("the root as qname", qname(b"\0")),
        ("a name outside every zone", qname(b"\x07example\x03net\0")),
        ("a qname in mixed case", qname(b"\x07eXaMpLe\x03CoM\0")),
        (
            "a qname with a NUL octet",
            qname(b"\x01\0\x07example\x03com\0"),
        ),
    ]
}

fn records() -> Vec<(&'static str, Vec<u8>)> {
    let query = flags(0);
    let cut = &RECORD[..RECORD.len() - 1];
    let tsig_first = message(0, [1, 0, 0, 2], &[QUESTION, TSIG, RECORD]);
    vec![
        (
            "a record in the answer section",
            message(0, [1, 1, 0, 0], &[QUESTION, RECORD]),
        ),
        (
            "a record in the authority section",
            message(0, [1, 0, 1, 0], &[QUESTION, SOA]),
        ),
        ("a record in the additional section", with(RECORD)),
        ("a record that is cut off", with(cut)),
        (
            "a record with a bad owner",
            with(b"\x80\0\x01\0\x01\0\0\0\0\0\0"),
        ),
        (
            "a record whose owner is a compression loop",
            with(b"\x01a\xc0\x1d\0\x01\0\x01\0\0\0\0\0\0"),
        ),
        (
            "fewer records than ARCOUNT",
            message(0, [1, 0, 0, 2], &[QUESTION, &opt(&[])]),
        ),
        (
            "an octet behind the last record",
            [&query[..], b"\0"].concat(),
        ),
        ("a record behind a TSIG", tsig_first),
        ("a malformed TSIG", with(BAD_TSIG)),
        ("a TSIG of an unknown key", with(TSIG)),
    ]
}

fn edns() -> Vec<(&'static str, Vec<u8>)> {
    let plain = opt(&[]);
    let of_size = |size: [u8; 2]| [b"\0\0\x29", &size[..], &[0; 6]].concat();
    let at_name = [b"\x01a", &plain[..]].concat();
    vec![
        ("an OPT", with(&plain)),
        ("a payload size of 0", with(&of_size([0, 0]))),
        ("a payload size of 65,535", with(&of_size([255, 255]))),
        ("EDNS version 1", with(&raw_opt(&[0, 1, 0, 0], b""))),
        (
            "EDNS version 255 with malformed options",
            with(&raw_opt(&[0, 255, 0, 0], b"\0")),
        ),
        ("DO set", with(&raw_opt(&[0, 0, 0x80, 0], b""))),
        (
            "unknown EDNS flags set",
            with(&raw_opt(&[0, 0, 0x7f, 0xff], b"")),
        ),
        (
            "an extended RCODE in a query",
            with(&raw_opt(&[7, 0, 0, 0], b"")),
        ),
        (
            "two OPTs",
            message(0, [1, 0, 0, 2], &[QUESTION, &plain, &plain]),
        ),
        ("an OPT below the root", with(&at_name)),
        (
            "an OPT in the answer section",
            message(0, [1, 1, 0, 0], &[QUESTION, &plain]),
        ),
        (
            "an OPT in the authority section",
            message(0, [1, 0, 1, 0], &[QUESTION, &plain]),
        ),
        (
            "an option header that is cut off",
            with(&raw_opt(&[0; 4], b"\0\x03\0")),
        ),
        (
            "an option longer than its OPT",
            with(&raw_opt(&[0; 4], b"\0\x03\0\x01")),
        ),
        ("an unknown option", option(65_001, b"whatever")),
    ]
}

fn subnets() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a subnet", subnet(&[0, 1, 24, 0, 192, 0, 2])),
        ("source length 0", subnet(&[0, 1, 0, 0])),
        ("family 0 with length 0", subnet(&[0, 0, 0, 0])),
        ("family 0 with an address", subnet(&[0, 0, 8, 0, 10])),
        ("an unknown family", subnet(&[0, 3, 8, 0, 10])),
        ("an option too short for its fields", subnet(&[0, 1, 0])),
        (
            "fewer address octets than the length needs",
            subnet(&[0, 1, 24, 0, 192, 0]),
        ),
        (
            "more address octets than the length needs",
            subnet(&[0, 1, 16, 0, 192, 0, 2]),
        ),
        (
            "bits set behind the source prefix",
            subnet(&[0, 1, 23, 0, 192, 0, 3]),
        ),
        (
            "source length 33 in IPv4",
            subnet(&[0, 1, 33, 0, 192, 0, 2, 1, 0]),
        ),
        (
            "source length 129 in IPv6",
            subnet(&[&[0, 2, 129, 0][..], &[0; 17]].concat()),
        ),
        (
            "an IPv6 subnet under family 1",
            subnet(&[&[0, 1, 56, 0][..], &[0x20; 7]].concat()),
        ),
        ("a scope in a query", subnet(&[0, 1, 24, 24, 192, 0, 2])),
        (
            "two subnets",
            with(&opt(&[(8, &[0, 1, 24, 0, 192, 0, 2]), (8, &[0, 9])])),
        ),
    ]
}

fn options() -> Vec<(&'static str, Vec<u8>)> {
    let for_cookie = message(0, [0, 0, 0, 1], &[&opt(&[(10, b"client_1")])]);
    vec![
        ("a client cookie", cookie(8)),
        ("a cookie that is not ours", cookie(24)),
        ("a cookie of 40 octets", cookie(40)),
        ("an empty cookie", cookie(0)),
        ("a cookie of 7 octets", cookie(7)),
        ("a cookie of 15 octets", cookie(15)),
        ("a cookie of 41 octets", cookie(41)),
        ("a cookie and no question", for_cookie),
        ("NSID", option(3, b"")),
        ("NSID with data", option(3, b"ns")),
        ("TCP keepalive", option(11, b"")),
        ("TCP keepalive with data", option(11, &[0, 1])),
        ("padding", option(12, &[0; 64])),
        ("an extended error in a query", option(15, &[0, 0])),
    ]
}

fn types() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("type ANY", question(255, 1)),
        ("type AXFR", question(252, 1)),
        ("type IXFR", question(251, 1)),
        ("type AXFR at a name that is no zone", transfer_below()),
        ("type OPT", question(41, 1)),
        ("type TSIG", question(250, 1)),
        ("type TKEY", question(249, 1)),
        ("type MAILB", question(253, 1)),
        ("type MAILA", question(254, 1)),
        ("type 0", question(0, 1)),
        ("type 65,280", question(65_280, 1)),
        ("class ANY", question(6, 255)),
        ("class NONE", question(6, 254)),
        ("class HS", question(6, 4)),
        ("class CH", question(6, 3)),
        ("class 0", question(6, 0)),
    ]
}
