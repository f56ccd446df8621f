//! Text to octets, type by type: against the examples of the RFCs, and against another reader.

use domain::base::rdata::ComposeRecordData as _;
use domain::zonefile::inplace;

use super::*;
use crate::base::name::Name;
use crate::zone::lex::Lexer;

/// Reads `TYPE RDATA` as octets in hexadecimal, or as the message.
fn octets(text: &str) -> Result<String, String> {
    let entry = Lexer::new(text.as_bytes())
        .next()
        .expect("not empty")
        .map_err(|fault| fault.message)?;
    let rtype: RrType = entry.tokens[0].text().parse().expect("a type");
    let origin = Name::parse("z.").expect("name");
    let mut fields = Fields::new(&entry.tokens[1..], entry.end, &origin);
    let rdata = read(rtype, &mut fields).map_err(|fault| fault.message)?;
    assert_eq!(wire::check(rtype, &rdata), Ok(()), "{text}");
    Ok(rdata.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Presentation and wire form. SVCB and HTTPS: RFC 9460 D.1 and D.2; LOC: RFC 1876 s4 and its
/// arithmetic by hand; DS: RFC 4509 s2.3; APL: RFC 3123 s4; the rest by hand.
const FORMS: &[(&str, &str)] = &[
    ("A 192.0.2.1", "c0000201"),
    ("AAAA 2001:db8::1", "20010db8000000000000000000000001"),
    ("NS @", "017a00"),
    ("NS a", "0161017a00"),
    ("NS A.", "014100"),
    ("CNAME .", "00"),
    (
        "SOA a b ( 1 2h 1h30m ; comment\n 1w2d 4294967295 )",
        "0161017a000162017a0000000001000 01c20 00001518 000bdd80 ffffffff",
    ),
    ("MX 10 a.", "000a016100"),
    ("TXT a \"b c\" \"\" \"\\\"\\059\"", "0161036220630002223b"),
    ("HINFO PDP-11 UNIX", "065044502d313104554e4958"),
    ("SRV 1 2 3 .", "00010002000300"),
    (
        "NAPTR 1 2 s \"\" \"!a\\\\\\\\1!\" .",
        "0001000201730006 21615c5c3121 00",
    ),
    ("CAA 128 issue \"\"", "80056973737565"),
    ("CAA 0 issue ca", "000569737375656361"),
    ("CAA 0 \"issue\" \"ca\"", "000569737375656361"),
    ("TXT \"a\\\nb\"", "03610a62"),
    ("URI 1 2 \"x:\"", "00010002783a"),
    ("SSHFP 4 2 ab cd", "0402abcd"),
    ("TLSA 3 1 1 ABcd", "030101abcd"),
    (
        "DS 60485 5 2 D4B7D520E7BB5F0F67674A0C CEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A",
        "ec450502d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a",
    ),
    ("CDS 0 0 0 00", "0000000000"),
    ("DNSKEY 257 3 ED25519 AAEC Aw==", "0101030f00010203"),
    ("KEY 49408 3 0", "c1000300"),
    ("CERT PKIX 1 8 AA==", "000100010800"),
    (
        "NSEC a. A MX RRSIG NSEC TYPE1234",
        "0161000006400100000003 041b 00000000000000000000000000 00000000000000000000000000 20",
    ),
    ("CSYNC 66 3 A NS AAAA", "00000042000300046000 0008"),
    (
        "NSEC3 1 0 0 - 00000000000000000000000000000000",
        "010000000014 0000000000000000000000000000000000000000",
    ),
    ("NSEC3PARAM 1 0 10 ab", "0100000a01ab"),
    ("ZONEMD 1 1 1 00", "00000001010100"),
    ("EUI48 00-00-5e-00-53-2a", "00005e00532a"),
    ("EUI64 00-00-5e-ef-10-00-00-2a", "00005eef1000002a"),
    (
        "APL 1:192.168.32.0/21 !1:192.168.38.0/28",
        "00011503c0a82000011c83c0a826",
    ),
    ("APL", ""),
    ("HIP 2 AB AA== a.", "01020001ab00016100"),
    ("IPSECKEY 1 0 2 . AA==", "01000200"),
    ("IPSECKEY 1 3 0 a.", "010300016100"),
    (
        "LOC 42 21 54 N 71 06 18 W -24m 30m",
        "00331613 89172dd0 70be15f0 00988d20",
    ),
    ("LOC 0 N 0 E 0", "00121613 80000000 80000000 00989680"),
    (
        "LOC 1 S 1 0 0.001 W 0.01m 0.09m 99m 90000000m",
        "00909399 7fc91180 7fc9117f 00989681",
    ),
    (
        "RRSIG A 8 2 60 20380119031408 19700101000000 1 . AA==",
        "000108020000003c8000000000000000000100 00",
    ),
    (
        "RRSIG A 8 2 60 21060207062816 20260101000059 1 . AA==",
        "000108020000003c000000006955b93b000100 00",
    ),
    (
        "RRSIG A 8 2 60 20240229235959 1709251199 1 . AA==",
        "000108020000003c65e11a7f65e11a7f000100 00",
    ),
    (r"TYPE65280 \# 3 ab cdef", "abcdef"),
    (r"TYPE65280 \# 0", ""),
    (r"A \# 4 c0000201", "c0000201"),
    (
        "HTTPS 0 foo.example.com.",
        "000003666f6f076578616d706c6503636f6d00",
    ),
    ("SVCB 1 .", "000100"),
    ("SVCB 16 foo. port=53", "001003666f6f00000300020035"),
    (
        "SVCB 1 foo. key667=hello",
        "000103666f6f00029b000568656c6c6f",
    ),
    (
        "SVCB 1 foo. key667=\"hello\\210qoo\"",
        "000103666f6f00029b000968656c6c6fd2716f6f",
    ),
    (
        "SVCB 1 foo. ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
        "000103666f6f000006002020010db800000000000000000000000120010db8000000000000000000530001",
    ),
    (
        "SVCB 16 foo. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
        "001003666f6f00000000040001000400010009026832 0568332d3139 00040004c0000201",
    ),
    (
        "SVCB 16 foo. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
        "001003666f6f000001000c08665c6f6f2c626172026832",
    ),
    (
        "SVCB 1 . no-default-alpn alpn=h2",
        "00010000010003026832 00020000",
    ),
    // As BIND 9.18 reads them.
    (
        "WKS 192.0.2.1 TCP ( 25 80 )",
        "c0000201060000004000000000000080",
    ),
    ("WKS 192.0.2.1 udp domain", "c00002011100000000000004"),
    ("WKS 192.0.2.1 6 smtp ftp telnet", "c00002010600000540"),
    ("WKS 192.0.2.1 6", "c000020106"),
    ("WKS 192.0.2.1 icmp", "c000020101"),
    (
        "WKS 192.0.2.1 TCP DOMAIN https pop3 imap sunrpc",
        "c0000201060000000000000400000000000003000000010000000000000000000000000000000000000000000000000000000000000000000000000010",
    ),
    ("X25 311061700956", "0c333131303631373030393536"),
    ("X25 \"311061700956\"", "0c333131303631373030393536"),
    (
        "ISDN 150862028003217 004",
        "0f31353038363230323830303332313703303034",
    ),
    ("ISDN 150862028003217", "0f313530383632303238303033323137"),
    (
        "NSAP 0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00",
        "47000580005a0000000001e133ffffff00016100",
    ),
    ("NSAP 0X47", "47"),
    ("NSAP-PTR foo.", "03666f6f00"),
    (
        "PX 10 map.822 px.400",
        "000a036d617003383232017a0002707803343030017a00",
    ),
    (
        "GPOS -32.6882 116.8652 10.0",
        "082d33322e36383832083131362e383635320431302e30",
    ),
    (
        "GPOS \"-32.6882\" \"116.8652\" \"10.0\"",
        "082d33322e36383832083131362e383635320431302e30",
    ),
    ("GPOS a b c", "016101620163"),
    ("NXT a A NS NXT", "0161017a0060000002"),
    ("NXT a", "0161017a00"),
    (
        "NXT a TYPE127",
        "0161017a0000000000000000000000000000000001",
    ),
    ("EID 12 89 AB", "1289ab"),
    ("NIMLOC 1289AB", "1289ab"),
    ("ATMA +61200000000", "013631323030303030303030"),
    ("ATMA 39246f00000001", "0039246f00000001"),
    ("ATMA 39.246f.00000001", "0039246f00000001"),
    ("A6 64 ::1 foo.", "40000000000000000103666f6f00"),
    (
        "A6 64 2001:db8:1:2:3:4:5:6 foo.",
        "40000300040005000603666f6f00",
    ),
    (
        "A6 61 2001:db8:1:27:3:4:5:6 foo.",
        "3d07000300040005000603666f6f00",
    ),
    ("A6 0 2001:db8::1", "0020010db8000000000000000000000001"),
    ("A6 128 foo.", "8003666f6f00"),
    ("SINK 1 0 0 AQID", "010000010203"),
    ("SINK 1 2 3", "010203"),
    ("TALINK a b", "0161017a000162017a00"),
    ("NINFO \"one\" two", "036f6e650374776f"),
    ("RKEY 0 255 1 AQID", "0000ff01010203"),
    ("NID 10 0014:4fff:ff20:ee64", "000a00144fffff20ee64"),
    ("NID 10 14:4fff:ff20:ee64", "000a00144fffff20ee64"),
    ("L32 10 10.1.2.0", "000a0a010200"),
    ("L64 10 2001:0DB8:1140:1000", "000a20010db811401000"),
    ("LP 10 l64", "000a036c3634017a00"),
    (
        "DOA 1234567890 1234567890 1 \"image/gif\" R0lGODlhKAAZAOMCAGZmZgBmmQ==",
        "499602d2499602d20109696d6167652f67696647494638396128001900e30200666666006699",
    ),
    ("DOA 0 1 2 \"\" -", "00000000000000010200"),
    ("AMTRELAY 0 0 0 .", "0000"),
    ("AMTRELAY 0 1 1 0.0.0.0", "008100000000"),
    ("AMTRELAY 1 0 2 ::", "010200000000000000000000000000000000"),
    (
        "AMTRELAY 2 1 3 amtrelay.example.com.",
        "028308616d7472656c6179076578616d706c6503636f6d00",
    ),
    (
        "AVC \"app-name:WOLFGANG|app-class:OAM\"",
        "1f6170702d6e616d653a574f4c4647414e477c6170702d636c6173733a4f414d",
    ),
    (
        "DLV 30795 1 1 310D27F4D82C1FC2400704EA9939FE6E1CEAA3B9",
        "784b0101310d27f4d82c1fc2400704ea9939fe6e1ceaa3b9",
    ),
    (
        "TA 30795 1 1 310D27F4D82C1FC2400704EA9939FE6E1CEAA3B9",
        "784b0101310d27f4d82c1fc2400704ea9939fe6e1ceaa3b9",
    ),
    (
        "DS 30795 1 SHA-1 310D27F4D82C1FC2400704EA9939FE6E1CEAA3B9",
        "784b0101310d27f4d82c1fc2400704ea9939fe6e1ceaa3b9",
    ),
    (
        "DS 30795 1 SHA1 310D27F4D82C1FC2400704EA9939FE6E1CEAA3B9",
        "784b0101310d27f4d82c1fc2400704ea9939fe6e1ceaa3b9",
    ),
    (
        "DS 30795 1 SHA-256 310D27F4D82C1FC2400704EA9939FE6E1CEAA3B9310D27F4D82C1FC240070400",
        "784b0102310d27f4d82c1fc2400704ea9939fe6e1ceaa3b9310d27f4d82c1fc240070400",
    ),
    ("RESINFO qnamemin", "08716e616d656d696e"),
    ("WALLET a b", "01610162"),
    (
        "NSEC a ( A NS MD MF NULL WKS X25 ISDN RT NSAP NSAP-PTR PX GPOS NXT EID NIMLOC ATMA A6 SINK TALINK NINFO RKEY NID L32 L64 LP UINFO UID GID UNSPEC DOA AMTRELAY AVC DLV TA KX )",
        "0161017a00000e78301f33aa8000e0000000000ff00101388001c0",
    ),
    (
        "NSEC a ANY",
        "0161017a0000200000000000000000000000000000000000000000000000000000000000000001",
    ),
    ("NSEC a TYPE0", "0161017a00000180"),
    (
        "RRSIG X25 5 3 60 0 0 1 . AA==",
        "001305030000003c000000000000000000010000",
    ),
    (
        "RRSIG ANY 5 3 60 0 0 1 . AA==",
        "00ff05030000003c000000000000000000010000",
    ),
    ("KEY NOKEY 3 0", "c0000300"),
    (
        "KEY 256 DNSSEC 5 AQPSKmynfzW4",
        "010003050103d22a6ca77f35b8",
    ),
    (
        "KEY NOAUTH|ZONE TLS RSASHA1 AQPSKmynfzW4",
        "810001050103d22a6ca77f35b8",
    ),
    (
        "NSEC3 SHA-1 0 0 - 00000000000000000000000000000000",
        "0100000000140000000000000000000000000000000000000000",
    ),
    ("MB ns", "026e73017a00"),
    ("MINFO a b", "0161017a000162017a00"),
    ("CERT URI 0 0 AA==", "00fd00000000"),
    ("DNSKEY 257 DNSSEC ED25519 AAEC Aw==", "0101030f00010203"),
    (
        "LOC 0 0 0 N 0 0 0 E 10m 1.5m",
        "00121613800000008000000000989a68",
    ),
    // RFC 9859 s4, RFC 9886 s5 and the templates of the registry, by hand.
    ("MD a", "0161017a00"),
    ("DSYNC CDS NOTIFY 5359 a.", "003b0114ef016100"),
    ("DSYNC CSYNC 1 53 .", "003e01003500"),
    ("HHIT AAEC Aw==", "00010203"),
    ("BRID AA==", "00"),
    ("CLA \"TCP-v4\"", "065443502d7634"),
    ("IPN 18446744073709551615", "ffffffffffffffff"),
    (
        "NSEC a. NXNAME DSYNC IPN",
        "016100 0011 0000000000000000 20 00000000000000 80 0102 0080",
    ),
    (
        "HTTPS 1 . ech=AA== dohpath=/q{?dns} ohttp",
        "000100000500010000070008 2f717b3f646e737d 00080000",
    ),
];

#[test]
fn text_becomes_the_octets_of_the_rfcs() {
    for (text, hex) in FORMS {
        assert_eq!(
            octets(text).as_deref(),
            Ok(&*hex.replace(' ', "")),
            "{text}"
        );
    }
}

#[test]
fn every_known_type_has_a_form_in_the_table() {
    for number in (0..1024).chain([RrType::TA.0, RrType::DLV.0]) {
        let rtype = RrType(number);
        let obsolete = [RrType::MF, RrType::MG, RrType::MR, RrType::SIG];
        let same_row = [
            RrType::AFSDB,
            RrType::CDNSKEY,
            RrType::DHCID,
            RrType::DNAME,
            RrType::KX,
            RrType::OPENPGPKEY,
            RrType::PTR,
            RrType::RP,
            RrType::RT,
            RrType::SMIMEA,
            RrType::SPF,
        ];
        if layout(rtype).is_some() && !obsolete.contains(&rtype) && !same_row.contains(&rtype) {
            let head = format!("{rtype} ");
            assert!(
                FORMS
                    .iter()
                    .any(|(text, _)| text.starts_with(&head) || *text == head.trim_end()),
                "{rtype}"
            );
        }
    }
}

/// What the `domain` crate reads; `None` where it cannot.
fn octets_by_domain(text: &str) -> Option<String> {
    let (rtype, rdata) = text.split_once(' ')?;
    let mut file = inplace::Zonefile::new();
    file.set_origin("z.".parse().ok()?);
    file.set_default_class(domain::base::iana::Class::IN);
    file.extend_from_slice(format!("@ 60 IN {rtype} {rdata}\n").as_bytes());
    let Some(inplace::Entry::Record(record)) = file.next_entry().ok()? else {
        return None;
    };
    let mut octets: Vec<u8> = Vec::new();
    record.data().compose_rdata(&mut octets).ok()?;
    Some(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

#[test]
fn the_domain_crate_reads_the_same_octets() {
    let mut n_compared = 0;
    for (text, _) in FORMS {
        // The crate takes `@` in RDATA for a label.
        if text.contains('@') {
            continue;
        }
        if let Some(theirs) = octets_by_domain(text) {
            assert_eq!(octets(text), Ok(theirs), "{text}");
            n_compared += 1;
        }
    }
    assert!(n_compared > 30, "{n_compared}");
}

#[test]
fn octets_that_are_no_record_are_refused() {
    for (rtype, hex) in [
        ("A", "c00002"),
        ("A", "c000020100"),
        ("AAAA", ""),
        ("NS", ""),
        ("NS", "0161"),
        ("NS", "c00c"),
        ("NS", "016100ff"),
        ("MX", "000a"),
        ("TXT", ""),
        ("TXT", "0261"),
        ("CAA", "0000"),
        ("CAA", "0005697373"),
        ("APL", "00012105c000020000"),
        ("APL", "0001"),
        ("NSEC", "00000100"),
        ("NSEC", "000000"),
        ("NSEC", "0000014001000140"),
        ("NSEC", "00010140000140"),
        ("LOC", "01121613800000008000000000989680"),
        ("HIP", "0102000100"),
        ("IPSECKEY", "010402"),
        ("IPSECKEY", "010102c000"),
        ("EUI48", "0000"),
        ("SVCB", "000100000300020035000100026832"),
        ("SVCB", "0001000003000135"),
        ("SVCB", "00010000040003c00002"),
        ("SVCB", "000100000300020035 0003 0002 0035"),
        ("SVCB", "0001000001"),
        ("NXT", "0161000000"),
        ("NXT", "0161004000"),
        ("NXT", "016100400000000000000000000000000000000001"),
        ("WKS", "c0000201"),
        ("NSAP", ""),
        ("ATMA", "00"),
        ("ATMA", "0161"),
        ("ATMA", "0231"),
        ("A6", "81"),
        ("A6", "4000000000000000"),
        ("A6", "400000000000000001"),
        ("A6", "8000ff"),
        ("AMTRELAY", "0004"),
        ("AMTRELAY", "0001c00002"),
        ("AMTRELAY", "000000"),
        ("NID", "000a00144fffff20ee"),
        ("ISDN", "01310131ff"),
        ("DOA", "000000000000000102"),
        ("IPN", "00"),
        ("RESINFO", ""),
    ] {
        let octets_text = hex.replace(' ', "");
        let text = format!(r"{rtype} \# {} {hex}", octets_text.len() / 2);
        let message = octets(&text).expect_err(&text);
        let expected = format!("these octets are no {rtype} record: ");
        assert!(message.starts_with(&expected), "{text}: {message}");
    }
}

/// Text that is no RDATA, and how the message begins.
const FAULTS: &[(&str, &str)] = &[
    ("LOC 90 0 0.001 N 0 E 0", "latitude beyond 90 degrees"),
    ("LOC 0 N 0 E -100000.01", "bad altitude"),
    ("LOC 0 N 0 E 1.234", "bad altitude"),
    ("LOC 0 60 N 0 E 1", "bad latitude"),
    ("LOC 0 0 0 0 N 0 E 1", "bad latitude"),
    ("LOC 0 N 0 E 0 1m 1m 1m 1m", "unexpected `1m`"),
    ("LOC N 0 E 0", "bad latitude"),
    ("APL 1:192.0.2.0/33", "bad prefix"),
    ("APL 3:192.0.2.0/24", "bad prefix"),
    ("EUI48 00-00-5e-00-53", "bad address"),
    ("EUI48 0-000-5e-00-53-2a", "bad address"),
    ("IPSECKEY 1 0 2 a.", "bad gateway"),
    ("IPSECKEY 1 4 2 .", "bad gateway type"),
    ("NSEC3 1 0 0 - 0", "bad next hashed owner"),
    ("NSEC3PARAM 1 0 0 abc", "bad salt"),
    ("DNSKEY 257 3 ED2551 AA==", "bad algorithm"),
    ("OPENPGPKEY AB==", "bad key"),
    ("OPENPGPKEY AA=", "bad key"),
    ("OPENPGPKEY A===", "bad key"),
    ("RRSIG A 8 2 60 20260230 -1 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 20260231000000 0 1 . AA==", "bad expiration"),
    ("RRSIG A 8 2 60 0 20260229000000 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 21000229000000 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 20260001000000 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 20260100000000 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 20260101240000 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 20260101006000 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 20260101000061 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 19691231235959 1 . AA==", "bad inception"),
    ("RRSIG A 8 2 60 0 4294967296 1 . AA==", "bad inception"),
    ("WKS 192.0.2.1 foo", "bad protocol `foo`"),
    ("WKS 192.0.2.1 6 nosuch", "bad service `nosuch`"),
    ("NSAP 47", "bad address"),
    ("NSAP 0x", "bad address"),
    ("NSAP 0x4", "bad address"),
    ("NSAP 0x47 05", "unexpected `05`"),
    ("NXT a TYPE128", "bad type NXNAME"),
    ("NXT a TYPE0", "bad type TYPE0"),
    ("ATMA +", "bad address"),
    ("ATMA +1a", "bad address"),
    ("A6 0 2001:db8::1 foo.", "unexpected `foo.`"),
    ("A6 128 :: foo.", "unexpected `foo.`"),
    ("A6 129 foo.", "bad prefix length"),
    ("RKEY 0 255 1", "the entry ends here, expected public key"),
    ("NID 10 0014:4fff:ff20", "bad node identifier"),
    ("NID 10 0014:4fff:ff20:eg64", "bad node identifier"),
    ("NID 10 00014:4fff:ff20:e64", "bad node identifier"),
    ("NID 10 ::1", "bad node identifier"),
    ("DOA 0 1 2 \"text\" ", "the entry ends here, expected data"),
    ("AMTRELAY 0 0 0", "the entry ends here, expected relay"),
    ("AMTRELAY 2 2 3 amtrelay.example.com.", "bad discovery flag"),
    ("AMTRELAY 2 1 4 aabb", "bad relay type"),
    ("AMTRELAY 2 1 4 .", "bad relay type"),
    ("AMTRELAY 2 1 128 .", "bad relay type"),
    ("AMTRELAY 2 1 0 foo.", "bad relay"),
    ("KEY ZONE|NOSUCH 3 5 AA==", "bad flags"),
    ("KEY 65536 3 5 AA==", "bad flags"),
    ("KEY 0 NOSUCH 5 AA==", "bad protocol"),
    ("IPN 18446744073709551616", "bad node number"),
    ("IPN +1", "bad node number"),
    ("DSYNC CDS NOTFY 1 .", "bad scheme"),
    ("DS 1 8 MD5 aa", "bad digest type"),
    ("SVCB 1 . alpn", "bad value of `alpn`"),
    ("SVCB 1 . alpn=h2,,h3", "bad value of `alpn`"),
    (
        "SVCB 1 . no-default-alpn",
        "`no-default-alpn` without `alpn`",
    ),
    ("SVCB 1 . ipv4hint=", "bad value of `ipv4hint`"),
    ("SVCB 1 . mandatory=mandatory", "bad value of `mandatory`"),
    (
        "SVCB 1 . mandatory=port,port port=1",
        "bad value of `mandatory`",
    ),
    ("SVCB 1 . key65535=x", "unknown parameter"),
    ("SVCB 1 . key3=x", "bad value of `key3`"),
    ("SVCB 1 . port=53 \"x\"", "unexpected string"),
    (r"A \# 65536 00", "bad length"),
    ("SOA . . 1 1 1 1", "the entry ends here, expected minimum"),
    ("SOA . . -1 1 1 1 1", "bad serial"),
    ("SOA . . 1 1 1 1 7102w", "bad minimum"),
];

#[test]
fn text_that_is_no_record_is_refused() {
    let long = format!("TXT {}", "a".repeat(256));
    for (text, message) in FAULTS.iter().chain([&(&*long, "text of 256 octets")]) {
        let given = octets(text).expect_err(text);
        assert!(given.starts_with(message), "{text}: {given}");
    }
}
