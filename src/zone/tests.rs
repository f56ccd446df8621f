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
use crate::zone::Lookup;
use crate::zone::SteeredOwner;
use crate::zone::Zone;
use crate::zone::master;

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
    let steered: Vec<SteeredOwner> = steered
        .iter()
        .enumerate()
        .map(|(at, name)| SteeredOwner {
            owner: Name::parse_relative(name, &apex).expect("owner"),
            steered: SteeredIx::new(at),
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
    assert_eq!(zone.apex_node().steered(), Some(SteeredIx(1)));
    let qname = |text| {
        let name = Name::parse_relative(text, zone.apex()).expect(text);
        QName::from_name(&name)
    };
    let steered = |text| {
        zone.node(&qname(text))
            .map(|node| (node.steered(), node.rrsets().count()))
    };
    assert_eq!(steered("APP"), Some((Some(SteeredIx(0)), 2)));
    assert_eq!(steered("*.new.deep"), Some((Some(SteeredIx(2)), 0)));
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

/// What master files are made of, whole and in pieces.
const WORDS: &str = "; ( ) \" \\ \\# @ * . - = , a b.z $TTL $ORIGIN $INCLUDE IN CH 1h 60 0 4 255 99999999999 \
    A AAAA NS SOA CNAME DNAME MX TXT SRV CAA HTTPS NAPTR LOC URI APL HIP IPSECKEY \
    NSEC NSEC3 RRSIG EUI48 TLSA TYPE65280 TYPE1 192.0.2.1 ::1 N E alpn port= \
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
