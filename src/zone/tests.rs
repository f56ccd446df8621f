//! The zone files of this repository: the good ones load clean, the broken ones say what they must.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::qname::QName;
use crate::zone::Computed;
use crate::zone::ComputedOwner;
use crate::zone::Lookup;
use crate::zone::SteeredTypes;
use crate::zone::Zone;
use crate::zone::master;

fn nth_steered(at: usize) -> Computed {
    Computed::Steered {
        ix: SteeredIx::new(at),
        types: SteeredTypes::default(),
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn zone_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "zone"));
    files.sort();
    assert!(!files.is_empty(), "{folder:?}");
    files
}

/// Loads a file under the origin that its name is.
fn load(path: &Path, steered: &[&str]) -> (Option<Zone>, Report, Vec<u8>) {
    let octets = fs::read(path).expect("a file");
    let file: Arc<str> = path
        .file_name()
        .expect("name")
        .to_str()
        .expect("UTF-8")
        .into();
    let apex = Name::parse(file.strip_suffix(".zone").expect("a zone file")).expect("origin");
    let folder = path.parent().expect("a folder");
    let mut include = |written: &str, _: &Arc<str>| {
        let octets = fs::read(folder.join(written));
        octets
            .map(|octets| (written.into(), octets))
            .map_err(|_| "no such file".to_owned())
    };
    let mut report = Report::default();
    let records = master::read(&file, &octets, &apex, &mut include, &mut report);
    let steered: Vec<ComputedOwner> = steered
        .iter()
        .enumerate()
        .map(|(at, name)| ComputedOwner {
            owner: Name::parse_relative(name, &apex).expect("owner"),
            computed: nth_steered(at),
            place: Place {
                file: "pools.toml".into(),
                line: at as u32 + 1,
                column: 1,
            },
        })
        .collect();
    let zone = Zone::compile(&apex, &file, records, &steered, &mut report);
    (zone, report, octets)
}

#[test]
fn sample_zones_load_without_a_word() {
    for path in zone_files(&folder("zones")) {
        let (zone, report, _) = load(&path, &[]);
        assert_eq!(report.to_string(), "", "{path:?}");
        assert!(zone.is_some_and(|zone| zone.n_records() > 5), "{path:?}");
    }
}

#[test]
fn broken_zones_give_the_diagnostics_written_in_them() {
    for path in zone_files(&folder("zones/broken")) {
        let steered = ["www", "@", "new.sub", "old.dname", "sub"];
        let is_steered = path.ends_with("steered.zone");
        let (zone, report, octets) = load(&path, if is_steered { &steered } else { &[] });
        let file = path.file_name().expect("name").to_str().expect("UTF-8");
        let text = String::from_utf8_lossy(&octets);
        let mut expected: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_once("; expect "))
            .map(
                |(_, what)| match what.starts_with(|c: char| c.is_ascii_digit()) {
                    true => format!("{file}:{what}"),
                    false => what.to_owned(),
                },
            )
            .collect();
        let mut given: Vec<String> = report.sorted().iter().map(ToString::to_string).collect();
        expected.sort();
        given.sort();
        let (given, expected) = (given.join("\n"), expected.join("\n"));
        assert!(given == expected, "given\n{given}\nexpected\n{expected}");
        assert!(zone.is_none(), "{file}");
    }
}

#[test]
fn steered_owners_become_nodes_and_names_are_in_order() {
    let path = folder("zones/example.com.zone");
    let steered = ["app", "@", "*.new.deep", "outside.example.org."];
    let (zone, report, _) = load(&path, &steered);
    let zone = zone.unwrap_or_else(|| panic!("{report}"));
    let names: Vec<Name> = zone.iter().map(|node| node.to_name()).collect();
    assert!(names.is_sorted() && names.len() == zone.n_names());
    let is = |at| Some(nth_steered(at));
    assert_eq!(zone.apex_node().computed(), is(1));
    let qname = |text| {
        let name = Name::parse_relative(text, zone.apex()).expect(text);
        QName::from_name(&name)
    };
    let steered = |text| {
        zone.node(&qname(text))
            .map(|node| (node.computed(), node.rrsets().count()))
    };
    assert_eq!(steered("APP"), Some((is(0), 2)));
    assert_eq!(steered("*.new.deep"), Some((is(2), 0)));
    assert_eq!(steered("deep"), Some((None, 0)), "an empty non-terminal");
    assert_eq!(
        steered("ns1.lab"),
        Some((None, 2)),
        "glue is there by its name"
    );
    assert_eq!(steered("nowhere"), None);
    assert!(matches!(
        zone.find(&qname("x.y.new.deep")),
        Lookup::Node { wildcard: true, .. }
    ));
    assert!(matches!(zone.find(&qname("ns1.lab")), Lookup::Cut { .. }));
    assert!(matches!(zone.find(&qname("x.old")), Lookup::Dname { .. }));
    assert!(matches!(
        zone.find(&qname("old")),
        Lookup::Node {
            wildcard: false,
            ..
        }
    ));
    assert!(matches!(
        zone.find(&qname("x.static")),
        Lookup::Missing { .. }
    ));
    assert_eq!((zone.serial(), zone.negative_ttl()), (2_026_073_101, 300));
}

/// Compiles `z.` with an SOA, an NS and these lines, of which the first is line 3; diagnostics without the
/// file's name.
fn compile(lines: &str, steered: &[&str]) -> (Option<Zone>, Vec<String>) {
    let steered = steered.iter().map(|owner| ComputedOwner {
        owner: Name::parse(owner).expect("owner"),
        computed: nth_steered(0),
        place: Place::file(&"pools.toml".into()),
    });
    compile_with(lines, &steered.collect::<Vec<_>>())
}

/// The same with these owners of what is computed.
fn compile_with(lines: &str, computed: &[ComputedOwner]) -> (Option<Zone>, Vec<String>) {
    let file: Arc<str> = "z".into();
    let apex = Name::parse("z.").expect("name");
    let text = format!("@ 60 SOA . . 1 1 1 1 1\n@ 60 NS ns.\n{lines}");
    let mut include = |path: &str, _: &Arc<str>| match path {
        "keys" => Ok((path.into(), b"@ 60 DNSKEY 257 3 13 AA==\n".to_vec())),
        _ => Err("no file in a test".to_owned()),
    };
    let mut report = Report::default();
    let records = master::read(&file, text.as_bytes(), &apex, &mut include, &mut report);
    let zone = Zone::compile(&apex, &file, records, computed, &mut report);
    let diagnostics = report.sorted().into_iter();
    let shown = diagnostics.map(|diagnostic| diagnostic.to_string()[2..].to_owned());
    (zone, shown.collect())
}

#[test]
fn records_outside_the_zone_are_passed_over() {
    let (zone, diagnostics) = compile(
        "a 60 A 192.0.2.1\nns.other. 60 A 192.0.2.53\n. 60 NS ns.other.\nother. 60 CNAME a\nother. 60 A 192.0.2.1\n",
        &[],
    );
    assert_eq!(
        zone.map(|zone| (zone.n_names(), zone.n_records())),
        Some((2, 3))
    );
    let warning = |line, owner| {
        format!("{line}:1: warning: `{owner}` is outside the zone `z.`: this record is passed over")
    };
    let expected = [(4, "ns.other."), (5, "."), (6, "other."), (7, "other.")];
    assert_eq!(
        diagnostics,
        expected.map(|(line, owner)| warning(line, owner))
    );
}

#[test]
fn what_is_computed_is_not_in_the_zone_as_well() {
    let hints = SteeredTypes::Addresses {
        hints: true,
        txt: false,
    };
    let txt = SteeredTypes::Addresses {
        hints: false,
        txt: true,
    };
    let hinted = "`a.z.` has `hints = true`, so its HTTPS cannot have hints of its own addresses";
    for (types, lines, expected) in [
        (hints, "a 60 HTTPS 1 . alpn=h2\n", ""),
        (hints, "a 60 HTTPS 1 b.z. ipv4hint=192.0.2.1\n", ""),
        (hints, "a 60 HTTPS 1 . ipv4hint=192.0.2.1\n", hinted),
        (hints, "a 60 HTTPS 1 A.z. port=1 ipv6hint=::1\n", hinted),
        (txt, "a 60 HTTPS 1 . ipv4hint=192.0.2.1\n", ""),
        (
            txt,
            "a 60 TXT x\n",
            "`a.z.` is steered, so its TXT cannot stand in the zone",
        ),
        (SteeredTypes::Cname, "b 60 TXT x\n", ""),
        (
            SteeredTypes::Cname,
            "a 60 TXT x\n",
            "`a.z.` is steered with a CNAME, so its TXT cannot stand in the zone",
        ),
    ] {
        let steered = |owner: &str| ComputedOwner {
            owner: Name::parse(owner).expect("owner"),
            computed: Computed::Steered {
                ix: SteeredIx::new(0),
                types,
            },
            place: Place::file(&"pools.toml".into()),
        };
        let (zone, diagnostics) = compile_with(lines, &[steered("a.z.")]);
        let expected: Vec<_> = expected
            .lines()
            .map(|line| format!("3:1: {line}"))
            .collect();
        assert_eq!(diagnostics, expected, "{types:?} {lines}");
        assert_eq!(zone.is_some(), expected.is_empty());
        if types == SteeredTypes::Cname {
            let (_, diagnostics) = compile_with("", &[steered("z.")]);
            let fault = "ols.toml:1:1: `z.` is an apex, which cannot have a CNAME";
            assert_eq!(diagnostics, [fault]);
        }
    }
}

#[test]
fn signed_zones_are_refused_and_keys_alone_are_not() {
    const KEY: &str = "@ 60 DNSKEY 257 3 13 AA==\n";
    const RRSIG: &str = "a 60 RRSIG A 13 2 60 0 0 1 z. AA==\n";
    for (lines, rtype) in [
        (
            [KEY, "@ 60 CDS 1 13 2 AA\n@ 60 CDNSKEY 257 3 13 AA==\n"],
            None,
        ),
        ([KEY, "@ 60 NSEC3PARAM 1 0 0 -\n"], None),
        (["a 60 DNSKEY 257 3 13 AA==\n", RRSIG], None),
        (["a 60 A 192.0.2.1\n", RRSIG], None),
        ([KEY, RRSIG], Some("RRSIG here")),
        ([RRSIG, KEY], Some("RRSIG here and DNSKEY in line 4, but")),
        (
            [RRSIG, "$INCLUDE keys\n"],
            Some("RRSIG here and DNSKEY in line 1 of keys, but"),
        ),
        ([KEY, "@ 60 NSEC a A\n"], Some("NSEC here")),
        (
            [
                KEY,
                "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom 60 NSEC3 1 1 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A\n",
            ],
            Some("NSEC3 here"),
        ),
    ] {
        let (zone, diagnostics) = compile(&lines.concat(), &[]);
        let message = rtype.map(|rtype| format!("`z.` is a signed zone, with {rtype}"));
        assert_eq!(zone.is_none(), rtype.is_some(), "{lines:?}");
        let is_as_expected = match &message {
            Some(message) => matches!(&*diagnostics, [one] if one.contains(message)),
            None => diagnostics.is_empty(),
        };
        assert!(is_as_expected, "{lines:?}: {diagnostics:?}");
    }
}

#[test]
fn denials_may_stand_below_a_dname_at_the_apex() {
    const NSEC3: &str = "h 60 NSEC3 1 0 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom SOA DNAME\n";
    const RRSIG: &str = "h 60 RRSIG NSEC3 13 2 60 0 0 1 z. AA==\n";
    for (lines, message) in [
        (["@ 60 DNAME o.\n", NSEC3, RRSIG], None),
        (
            ["@ 60 DNAME o.\n", RRSIG, ""],
            Some("RRSIG at `h.z.`, which is below the DNAME of `z.`"),
        ),
        (
            ["@ 60 DNAME o.\n", NSEC3, "h 60 A 192.0.2.1\n"],
            Some("A at `h.z.`, which is below"),
        ),
        (
            ["@ 60 DNAME o.\n", NSEC3, "a.h 60 A 192.0.2.1\n"],
            Some("A at `a.h.z.`, which is below"),
        ),
        (
            ["$ORIGIN d.z.\n", "@ 60 DNAME o.\n", NSEC3],
            Some("NSEC3 at `h.d.z.`, which is below"),
        ),
    ] {
        let (zone, diagnostics) = compile(&lines.concat(), &[]);
        assert_eq!(zone.is_none(), message.is_some(), "{lines:?}");
        let shown = diagnostics.join("\n");
        assert!(
            shown.contains(message.unwrap_or_default()),
            "{lines:?}: {shown}"
        );
        if let Some(zone) = zone {
            assert_eq!(shown, "");
            let name = QName::from_name(&Name::parse("h.z.").expect("name"));
            assert!(matches!(zone.find(&name), Lookup::Dname { .. }));
        }
    }
}

#[test]
fn rrsets_that_no_response_can_hold_are_refused() {
    let addresses = |owner: &str, n: u32| {
        let line = |at| {
            format!(
                "{owner} 60 A {}\n",
                std::net::Ipv4Addr::from(0xC000_0000 + at)
            )
        };
        (0..n).map(line).collect::<String>()
    };
    let hosts = |n: u32, suffix: &str| {
        let line = |at| format!("a 60 PTR h{at}.{suffix}.\n");
        (0..n).map(line).collect::<String>()
    };
    let is_large = "refuse the zone, beyond 100";
    let is_too_large = "do not fit into a response of 65535 octets";
    // 65,535 less a header, the question, and 512 octets, is what records of 16 octets have.
    let room = |question_len: u32| (65_535 - 12 - question_len - 512) / 16;
    for (lines, message) in [
        (addresses("a", 100), ""),
        (addresses("a", 101), is_large),
        (addresses("a", room(9)), is_large),
        (addresses("a", room(9) + 1), is_too_large),
        (addresses("*", room(259)), is_large),
        (addresses("*", room(259) + 1), is_too_large),
        (hosts(3_000, &["long"; 20].join(".")), is_large),
        (hosts(4_000, &["long"; 20].join(".")), is_too_large),
        (
            format!("a 60 TYPE65280 \\# 65535 {}\n", "00".repeat(65_535)),
            is_too_large,
        ),
    ] {
        let (zone, diagnostics) = compile(&lines, &[]);
        let head: String = lines.chars().take(60).collect();
        assert_eq!(zone.is_none(), message == is_too_large, "{head}");
        let shown = diagnostics.join("\n");
        assert!(shown.ends_with(message), "{head}: {shown}");
        assert_eq!(shown.is_empty(), message.is_empty(), "{head}: {shown}");
    }
}

#[test]
fn a_digest_of_the_zone_is_left_out_beside_steered_names() {
    let lines = "@ 60 ZONEMD 1 1 1 AA\n@ 60 ZONEMD 1 1 2 AA\na 60 ZONEMD 1 1 1 AA\n";
    let n_records = |zone: Option<Zone>| zone.map(|zone| zone.n_records());
    for (steered, kept) in [(&[][..], 5), (&["other."], 5), (&["app.z."], 3)] {
        let (zone, diagnostics) = compile(lines, steered);
        assert_eq!(n_records(zone), Some(kept), "{steered:?}");
        assert_eq!(diagnostics.len(), 5 - kept, "{diagnostics:?}");
    }
    assert_eq!(
        compile(lines, &["app.z."]).1[0],
        "3:1: warning: this ZONEMD is left out: it cannot cover data that come from elsewhere, such as those of `app.z.`"
    );
}

/// What master files are made of, whole and in pieces.
const WORDS: &str = "; ( ) \" \\ \\# @ * . - = , a b.z $TTL $ORIGIN $INCLUDE IN CH 1h 60 0 4 255 99999999999 \
    A AAAA NS SOA CNAME DNAME MX TXT SRV CAA HTTPS NAPTR LOC URI APL HIP IPSECKEY \
    NSEC NSEC3 RRSIG EUI48 TLSA A6 AMTRELAY ATMA DOA DSYNC KEY NID NSAP NXT WKS 0x47 NOKEY|ZONE TCP TYPE65280 TYPE1 192.0.2.1 ::1 N E alpn port= \
    mandatory=alpn !1: /8 AA== ff 20260731000000 \u{e4} \\300";

/// Octets that look like a master file often enough to get far.
fn any_octets() -> impl Strategy<Value = Vec<u8>> {
    let mut words: Vec<&str> = WORDS.split(' ').collect();
    words.extend(["\n", "\n", "\n", " ", " ", "\t", "\r\n", "\0"]);
    let word = prop_oneof![
        8 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => ".{0,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec((word, prop::sample::select(vec!["", " "])), 0..60).prop_map(|words| {
        words
            .iter()
            .flat_map(|(word, gap)| [word, gap.as_bytes()].concat())
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Whatever the octets: no panic, and every refusal has a place in the file.
    #[test]
    fn any_octets_are_read_or_refused_with_a_place(octets in any_octets()) {
        let file: Arc<str> = "z.zone".into();
        let apex = Name::parse("z.").expect("name");
        let soa = b"@ 60 SOA . . 1 1 1 1 1\n@ 60 NS ns.\n";
        let octets = [soa, &*octets].concat();
        let mut include = |_: &str, _: &Arc<str>| Ok(("x".into(), "@ A 192.0.2.1\n$INCLUDE y\n".into()));
        let mut report = Report::default();
        let records = master::read(&file, &octets, &apex, &mut include, &mut report);
        let zone = Zone::compile(&apex, &file, records, &[], &mut report);
        prop_assert_eq!(zone.is_none(), report.has_errors());
        for diagnostic in report.sorted() {
            let line = diagnostic.place.line as usize;
            prop_assert!(line >= 1 && line <= octets.iter().filter(|octet| **octet == b'\n').count() + 1);
        }
    }
}
