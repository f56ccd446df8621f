//! Invented databases, good and bad, and MaxMind's own where they are at hand.

use std::path::Path;
use std::path::PathBuf;
use std::sync::LazyLock;

use maxminddb::Reader;
use maxminddb::WithinOptions;
use maxminddb::geoip2;
use proptest::collection::vec;
use proptest::prelude::ProptestConfig;
use proptest::prelude::any;
use proptest::proptest;

use crate::geo::fixture::city;
use crate::geo::fixture::database;
use crate::geo::fixture::file;
use crate::geo::fixture::system;
use crate::geo::fixture::text;

use super::*;

fn p(text: &str) -> Prefix {
    text.parse().expect(text)
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// Of the countries in these tests only France has a centre.
fn centre_of(country: Country) -> Option<(Continent, Point)> {
    let centre = Point::new(46.5, 2.5)?;
    (country.as_str() == "FR").then_some((Continent::Eu, centre))
}

fn read(database: Vec<u8>, asn_database: Option<Vec<u8>>) -> Result<Atlas, MmdbError> {
    Atlas::read(database, asn_database, &centre_of)
}

static CITY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let paris = city("EU", "FR", "IDF", Some((48.85, 2.35)));
    database(
        "Invented-City",
        6,
        &[
            (p("192.0.2.0/24"), paris.clone()),
            (p("192.0.2.128/25"), city("", "FR", "", None)),
            (p("198.51.100.0/24"), city("EU", "", "", None)),
            (p("203.0.113.0/25"), city("", "DE", "", Some((91.0, 0.0)))),
            (p("203.0.113.128/25"), city("XX", "fr", "", None)),
            (p("2001:db8::/32"), paris),
            (
                p("2001:db8::80:0:0:0/73"),
                city("AS", "JP", "13", Some((35.7, 139.7))),
            ),
        ],
    )
});

#[test]
fn records_become_locations() {
    let atlas = read(CITY.clone(), None).expect("a sound database");
    for (client, location, network) in [
        ("192.0.2.1", "EU FR [FR-IDF] 48.85,2.35", "192.0.2.0/25"),
        (
            "::ffff:192.0.2.1",
            "EU FR [FR-IDF] 48.85,2.35",
            "192.0.2.0/25",
        ),
        ("192.0.2.200", "EU FR [] 46.5,2.5", "192.0.2.128/25"),
        ("198.51.100.1", "EU - [] -", "198.51.100.0/24"),
        ("203.0.113.1", "- DE [] -", "203.0.113.0/25"),
        ("203.0.113.129", "- - [] -", "-"),
        ("10.0.0.1", "- - [] -", "-"),
        (
            "2001:db8:1::",
            "EU FR [FR-IDF] 48.85,2.35",
            "2001:db8:1::/48",
        ),
        (
            "2001:db8::ff:0:0:0",
            "AS JP [JP-13] 35.7,139.7",
            "2001:db8:0:0:80::/73",
        ),
        (
            "2002:c000:201::1",
            "EU FR [FR-IDF] 48.85,2.35",
            "192.0.2.0/25",
        ),
        ("64:ff9b::c000:2c8", "EU FR [] 46.5,2.5", "192.0.2.128/25"),
        ("2001:0:c000:201::1", "- - [] -", "-"),
        ("::c000:201", "- - [] -", "-"),
    ] {
        let (found, found_network) = atlas.locate(addr(client));
        let word = |word: Option<String>| word.unwrap_or_else(|| "-".into());
        let shown = format!(
            "{} {} {:?} {}",
            word(found.continent.map(|c| c.to_string())),
            word(found.country.map(|c| c.to_string())),
            found.subdivisions,
            word(
                found
                    .point
                    .map(|p| format!("{},{}", p.latitude, p.longitude))
            ),
        );
        assert_eq!(shown, location, "{client}");
        assert_eq!(
            word(found_network.map(|n| n.to_string())),
            network,
            "{client}"
        );
    }
    assert_eq!(atlas.locations().len(), 6, "equal locations are one");
    assert_eq!(atlas.about().database_type, "Invented-City");
    assert_eq!(atlas.about().description, "invented");
    assert_eq!(
        (atlas.about().build_epoch, atlas.about().ip_version),
        (1_700_000_000, 6)
    );
    assert_eq!(atlas.about().n_networks.v4, 5);
}

#[test]
fn an_ipv4_database_and_one_of_systems_work_together() {
    let paris = city("EU", "FR", "", Some((48.85, 2.35)));
    let cities = database("City", 4, &[(p("192.0.2.0/24"), paris)]);
    let systems = [
        (p("192.0.2.0/25"), system(64496)),
        (p("2001:db8::/32"), system(64497)),
    ];
    let systems = database("ASN", 6, &systems);
    let atlas = read(cities, Some(systems)).expect("sound databases");
    for (client, asn, is_located) in [
        ("192.0.2.1", Some(64496), true),
        ("192.0.2.129", None, true),
        ("2001:db8::1", Some(64497), false),
        ("2001:db9::1", None, false),
    ] {
        let (location, _) = atlas.locate(addr(client));
        assert_eq!(
            (location.asn, location.is_located()),
            (asn, is_located),
            "{client}"
        );
    }
    assert_eq!(atlas.about_asn().map(|about| about.n_networks.v6), Some(1));
}

#[test]
fn a_network_around_the_missing_ipv4_tree_locates_ipv6_alone() {
    let everywhere = city("EU", "FR", "", None);
    let atlas = read(database("City", 6, &[(p("::/8"), everywhere)]), None);
    let atlas = atlas.expect("a sound database");
    for (client, is_located) in [
        ("192.0.2.1", false),
        ("::1", false),
        ("::ffff", false),
        ("0:0:0:1::", true),
        ("ff::", true),
    ] {
        assert_eq!(
            atlas.locate(addr(client)).0.is_located(),
            is_located,
            "{client}"
        );
    }
}

#[test]
fn databases_of_another_kind_are_named() {
    let systems = database("GeoLite2-ASN", 6, &[(p("192.0.2.0/24"), system(64496))]);
    let error = read(systems.clone(), None).expect_err("no locations");
    assert_eq!(error.which, Which::Locations);
    let error = error.to_string();
    assert!(error.starts_with("MMDB of type `GeoLite2-ASN` holds no locations: no record has "));
    assert!(error.ends_with("the first record has `autonomous_system_number`"));
    let error = read(systems, Some(CITY.clone())).expect_err("no AS numbers");
    assert_eq!(error.which, Which::Systems);
    assert!(
        error
            .to_string()
            .contains("`Invented-City` holds no AS numbers")
    );
}

#[test]
fn broken_files_are_refused() {
    let knot: Vec<[u32; 2]> = (1..=64).map(|next| [next, next]).collect();
    // 96 branches to the left, then the root of the IPv4 tree, reached again from inside.
    let mut alias: Vec<[u32; 2]> = (1..=96).map(|next| [next, 97]).collect();
    alias.push([96, 97]);
    for (name, bytes, expected) in [
        ("empty", Vec::new(), "not a sound MMDB file"),
        (
            "text",
            b"[geoip]\ndatabase = 1\n".repeat(99),
            "not a sound MMDB file",
        ),
        (
            "text for a record",
            database("X", 4, &[(p("192.0.2.0/24"), text("FR"))]),
            "holds no locations",
        ),
        ("knot", file("X", 6, &knot, b""), "meet again"),
        ("cycle", file("X", 4, &[[0, 0]], b""), "meet again"),
        ("alias in itself", file("X", 6, &alias, b""), "cycle"),
        ("beyond", file("X", 4, &[[1, 999]], b""), "not a sound"),
        ("half", CITY[..CITY.len() / 2].to_vec(), "not a sound"),
    ] {
        let error = read(bytes, None).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn flipped_octets_never_break_the_reader(
        flips in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..5),
        asked in any::<u128>(),
    ) {
        let mut bytes = CITY.clone();
        for (at, octet) in flips {
            bytes[at.index(CITY.len())] = octet;
        }
        if let Ok(atlas) = read(bytes.clone(), None) {
            for client in [asked, asked >> 96, asked >> 32 | 0x2001_0db8 << 96] {
                atlas.locate(std::net::Ipv6Addr::from_bits(client).into());
                atlas.locate(std::net::Ipv4Addr::from_bits(client as u32).into());
            }
        }
        let systems = read(CITY.clone(), Some(bytes));
        assert!(systems.is_err_and(|error| error.which == Which::Systems));
    }
}

/// MaxMind's test databases, which are no part of the repository.
fn geodata() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/geodata");
    let folder = std::env::var_os("MERIDIAN_GEODATA").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: no test databases at {}", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn maxminds_test_databases_read_as_their_own_reader_reads_them() {
    let Some(folder) = geodata() else { return };
    for name in [
        "GeoIP2-City-Test",
        "GeoIP2-Country-Test",
        "GeoLite2-City-Test",
        "GeoLite2-Country-Test",
    ] {
        let bytes = std::fs::read(folder.join(name).with_extension("mmdb")).expect(name);
        let atlas = read(bytes.clone(), None).expect(name);
        let reader = Reader::from_source(bytes).expect(name);
        for record in reader.networks(WithinOptions::default()).expect(name) {
            let record = record.expect(name);
            let network = record.network().expect(name);
            let network = Prefix::cut(network.ip(), network.prefix());
            let city: geoip2::City<'_> = record.decode().expect(name).expect(name);
            for client in [network.addr(), network.last()] {
                let (location, found) = atlas.locate(client);
                let country = location.country.map(|country| country.to_string());
                assert_eq!(country.as_deref(), city.country.iso_code, "{name} {client}");
                if let (Some(latitude), Some(longitude)) =
                    (city.location.latitude, city.location.longitude)
                {
                    assert_eq!(location.point, Point::new(latitude, longitude), "{client}");
                }
                if location.is_located() {
                    assert_eq!(location.city.as_deref(), city.city.names.english);
                    assert_eq!(found, Some(network), "{name} {client}");
                }
            }
        }
    }
}

#[test]
fn maxminds_broken_databases_do_no_harm() {
    let Some(folder) = geodata() else { return };
    let mut folders = vec![folder.clone()];
    let broken = std::fs::read_dir(folder.join("bad-data")).expect("bad-data");
    folders.extend(broken.flatten().map(|entry| entry.path()));
    for path in folders
        .iter()
        .flat_map(|folder| folder.read_dir())
        .flatten()
        .flatten()
    {
        let path = path.path();
        if path.extension().is_some_and(|ending| ending == "mmdb") {
            let bytes = std::fs::read(&path).expect("a file");
            for asn_database in [None, Some(bytes.clone())] {
                match read(bytes.clone(), asn_database) {
                    Ok(atlas) => drop(atlas.locate(addr("81.2.69.160"))),
                    Err(error) => println!("{}: {error}", path.display()),
                }
            }
        }
    }
}
