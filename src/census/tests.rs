//! The census against an oracle that asks for every part of the world by a DNS message.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::ProptestConfig;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::proptest;

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::location::Country;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::base::rr::Rcode;
use crate::engine::explain::explain;
use crate::engine::question::Question;
use crate::geo::atlas::Atlas;
use crate::geo::fixture::Scan;
use crate::geo::fixture::atlas;
use crate::geo::fixture::prefixes;
use crate::geo::fixture::storable;
use crate::health::overrides::Forced;
use crate::state::correspondence::Correspondence;
use crate::state::evidence::Evidence;
use crate::state::fixture;
use crate::state::snapshot::Snapshot;

use super::*;

const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

/// Near each place of the invented databases a pool; one of them has no IPv6.
const POOLS: &str = r#"
[pool.us]
location = [45.6, -121.2]
endpoints = ["10.0.0.1", "2001:db8::1"]
[pool.eu]
location = [50.5, 3.8]
endpoints = ["10.0.0.2", "2001:db8::2"]
[pool.jp]
location = [35.7, 139.7]
endpoints = ["10.0.0.3"]
[steer."app.example.com"]
pools = ["us", "eu", "jp"]
[[steer."app.example.com".rule]]
country = ["FR"]
pools = ["jp"]
fence = true
"#;

const NAME: SteeredIx = SteeredIx(0);

fn snapshot(process: &str, pools: &str, atlas: &Arc<Atlas>, down: &[bool]) -> Snapshot {
    let plan = fixture::plan(process, pools, &[("example.com", ZONE)], Arc::clone(atlas));
    let forced = down.iter().map(|down| down.then_some(Forced::Down));
    let evidence = Evidence {
        forced: forced.collect(),
        ..Evidence::default()
    };
    fixture::snapshot(plan, &evidence)
}

/// What the client of an address is answered: its subnet is sent along, unless that is not used.
fn asked(snapshot: &Snapshot, addr: IpAddr) -> Served {
    let family = Family::of(addr);
    let rtype = match family {
        Family::V4 => "A",
        Family::V6 => "AAAA",
    };
    let ecs = &snapshot.plan.config.process.ecs;
    let client = match ecs.enabled && snapshot.plan.steered(NAME).ecs {
        true => Prefix::cut(addr, ecs.max_scope()[family]).to_string(),
        false => addr.to_string(),
    };
    let question = Question::parse("app.example.com", Some(rtype), Some(&client), addr);
    let explanation = explain(snapshot, question.expect("a question"), &|_, _| None);
    match (explanation.pool, explanation.rcode) {
        (Some(pool), _) => Served::Pool(pool),
        (None, Rcode::NoError) => Served::NoData,
        (None, _) => Served::ServFail,
    }
}

/// The parts of the world in which all have one place and one answer: an address of each, and its number
/// of clients.
fn parts(known: &[(Prefix, u32)], family: Family, granule_len: u8) -> Vec<(IpAddr, f64)> {
    let unit = match family {
        Family::V4 => 1.0,
        Family::V6 => 1.0 / (1_u128 << 80) as f64,
    };
    let bits = |addr: IpAddr| Prefix::host(addr).bits() >> (128 - family.bits());
    let granule = 1_u128 << (family.bits() - granule_len);
    let mut parts = Vec::new();
    for (first, size_less_one, _) in Scan(known).parts(Prefix::of_bits(family, 0, 0)) {
        let (first, last) = (bits(first), bits(first) + size_less_one);
        // What its first granule and its last one share with other parts, and what is between.
        let head = (first | (granule - 1)).min(last);
        let tail = (last & !(granule - 1)).max(first);
        let mut cuts = vec![(first, head)];
        if head < last && head + 1 < tail {
            cuts.push((head + 1, tail - 1));
        }
        if head < tail {
            cuts.push((tail, last));
        }
        for (from, to) in cuts {
            let addr = family.address(from << (128 - family.bits()));
            parts.push((addr, (to - from + 1) as f64 * unit));
        }
    }
    parts
}

type Counted = BTreeMap<(Option<Country>, Served), f64>;

fn is_alike(a: &Counted, b: &Counted) -> bool {
    a.keys().eq(b.keys())
        && a.values()
            .zip(b.values())
            .all(|(a, b)| (a - b).abs() < 1e-6 * a)
}

/// The located clients of every country by what they get.
fn counted(census: &Census) -> Counted {
    let groups = census.by_country().into_iter();
    groups
        .flat_map(|group| {
            group
                .shares
                .into_iter()
                .map(move |(served, n)| ((group.part, served), n))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_client_is_counted_with_what_it_is_answered(
        known in prefixes(),
        down in proptest::array::uniform3(proptest::bool::ANY),
        ecs in proptest::array::uniform2(proptest::bool::ANY),
        v4_len in 1..=32_u8,
        v6_len in 1..=64_u8,
    ) {
        // Without client subnets, the addresses themselves are steered by.
        let process = format!(
            "[ecs]\nenabled = {}\nmax_scope_ipv4 = {v4_len}\nmax_scope_ipv6 = {v6_len}\n",
            ecs[0],
        );
        let pools = POOLS.replace("pools = [\"us\"", &format!("ecs = {}\npools = [\"us\"", ecs[1]));
        let ecs = ecs[0] && ecs[1];
        let known = storable(&known);
        let atlas = Arc::new(atlas(&known, &[]));
        let snapshot = snapshot(&process, &pools, &atlas, &down);
        // One network that every invented database has.
        let own = ("203.0.113.9/32".parse::<Prefix>().expect("a prefix"), 1);
        let known: Vec<_> = known.into_iter().chain([own]).collect();
        for (family, len) in [(Family::V4, v4_len), (Family::V6, v6_len)] {
            let len = if ecs { len } else { family.bits() };
            let mut expected = Counted::new();
            let mut n_others = 0.0;
            for (addr, n) in parts(&known, family, len) {
                let place = &atlas.locations()[atlas.places().value(addr) as usize];
                match place.is_located() {
                    true => *expected.entry((place.country, asked(&snapshot, addr))).or_default() += n,
                    false => n_others += n,
                }
            }
            let census = Census::of(&snapshot, NAME, family, &Clients::World);
            let found = counted(&census);
            prop_assert!(is_alike(&found, &expected), "{} {:?} {:?}", family, found, expected);
            let not_located: f64 = census.not_located().iter().map(|(_, n)| n).sum();
            prop_assert!((not_located - n_others).abs() <= 1e-6 * n_others);
            let shares: f64 = census.shares().iter().map(|share| share.n).sum();
            prop_assert!((shares - census.n_located()).abs() <= 1e-6 * shares);
        }
    }

    #[test]
    fn who_moves_is_who_is_answered_otherwise(
        known in prefixes(),
        others in prefixes(),
        down in proptest::array::uniform3(proptest::bool::ANY),
        down_after in proptest::array::uniform3(proptest::bool::ANY),
        is_removed in proptest::bool::ANY,
    ) {
        let known = storable(&known);
        let others = storable(&others);
        let atlases = [&known, &others].map(|known| Arc::new(atlas(known, &[])));
        let before = snapshot("", POOLS, &atlases[0], &down);
        // The first pool is gone, and the indexes of the others are less by one.
        let fewer = POOLS.split_once("[pool.eu]").expect("pools").1.replace("\"us\", ", "");
        let fewer = format!("[pool.eu]{fewer}");
        let after = match is_removed {
            true => snapshot("", &fewer, &atlases[1], &down_after[1..]),
            false => snapshot("", POOLS, &atlases[1], &down_after),
        };
        let pools = Correspondence::between(&before.plan.config.pools, &after.plan.config.pools);
        let compared = Compared { before: (&before, NAME), after: (&after, NAME), pools: &pools };
        let own = ("203.0.113.9/32".parse::<Prefix>().expect("a prefix"), 1);
        let known: Vec<_> = known.into_iter().chain(others).chain([own]).collect();
        for family in Family::ALL {
            let mut expected = BTreeMap::<(Served, Served), f64>::new();
            let mut n_located = 0.0;
            let len = before.plan.config.process.ecs.max_scope()[family];
            for (addr, n) in parts(&known, family, len) {
                let place = &atlases[0].locations()[atlases[0].places().value(addr) as usize];
                if !place.is_located() {
                    continue;
                }
                n_located += n;
                let (from, to) = (asked(&before, addr), asked(&after, addr));
                let then = match to {
                    Served::Pool(pool) => pools.pool(pool).map(Served::Pool),
                    other => Some(other),
                };
                if then != Some(from) {
                    *expected.entry((from, to)).or_default() += n;
                }
            }
            let moves = compared.moves(family, &Clients::World);
            prop_assert!((moves.n_located - n_located).abs() <= 1e-6 * n_located);
            let found: BTreeMap<_, _> = moves.all().iter().map(|one| ((one.from, one.to), one.n)).collect();
            prop_assert!(found.keys().eq(expected.keys()), "{:?} {:?}", found, expected);
            for (a, b) in found.values().zip(expected.values()) {
                prop_assert!((a - b).abs() <= 1e-6 * a);
            }
            if compared.is_same(family) {
                prop_assert_eq!(found.len(), 0);
            }
        }
    }
}

/// A pool by its position in [`POOLS`].
fn pool(at: u32) -> Served {
    Served::Pool(PoolIx(at))
}

#[test]
fn the_world_has_so_many_addresses() {
    let snapshot = snapshot("", POOLS, &fixture::embedded_atlas(), &[]);
    for (family, all) in [(Family::V4, 2_f64.powi(32)), (Family::V6, 2_f64.powi(48))] {
        let census = Census::of(&snapshot, NAME, family, &Clients::World);
        let others: f64 = census.not_located().iter().map(|(_, n)| n).sum();
        let n = census.n_located();
        assert!(
            ((n + others) / all - 1.0).abs() < 1e-9,
            "{family}: {n} {others}"
        );
    }
}

#[test]
fn shared_clients_count_by_their_shares() {
    let weighted = POOLS.replace("pools = [\"us\"", "policy = \"weighted\"\npools = [\"us\"");
    let weighted = weighted.replace(
        "endpoints = [\"10.0.0.1\"",
        "weight = 3\nendpoints = [\"10.0.0.1\"",
    );
    let snapshot = snapshot(
        "",
        &weighted,
        &fixture::embedded_atlas(),
        &[false, false, true],
    );
    // Of the United States as a whole, and 4,096 client prefixes in it.
    let block: Prefix = "12.0.0.0/12".parse().expect("a prefix");
    let clients = Clients::Prefixes(vec![(block, 4096.0)]);
    let census = Census::of(&snapshot, NAME, Family::V4, &clients);
    let shares: Vec<_> = census
        .shares()
        .iter()
        .map(|share| (share.served, share.n))
        .collect();
    assert_eq!(shares, [(pool(0), 3072.0), (pool(1), 1024.0)]);
    let in_block = (0..4096_u32).map(|n| IpAddr::V4((0x0C00_0000 + (n << 8)).into()));
    let n_first = in_block
        .filter(|addr| asked(&snapshot, *addr) == pool(0))
        .count();
    // Binomial: four standard deviations are 111.
    assert!(n_first.abs_diff(3072) < 111, "{n_first}");
}

#[test]
fn no_more_of_the_shared_move_than_must() {
    let weighted = POOLS.replace("pools = [\"us\"", "policy = \"weighted\"\npools = [\"us\"");
    let atlas = fixture::embedded_atlas();
    let before = snapshot("", &weighted, &atlas, &[]);
    let after = snapshot("", &weighted, &atlas, &[true, false, false]);
    let pools = &before.plan.config.pools;
    let pools = Correspondence::between(pools, pools);
    let compared = Compared {
        before: (&before, NAME),
        after: (&after, NAME),
        pools: &pools,
    };
    let block: Prefix = "12.0.0.0/12".parse().expect("a prefix");
    let clients = Clients::Prefixes(vec![(block, 3000.0)]);
    let moves = compared.moves(Family::V4, &clients);
    let all = moves.all();
    let found: Vec<_> = all
        .iter()
        .map(|one| (one.from, one.to, one.n.round()))
        .collect();
    assert_eq!(
        found,
        [(pool(0), pool(1), 500.0), (pool(0), pool(2), 500.0)]
    );
    assert_eq!((moves.n_located, moves.n_left().round()), (3000.0, 1000.0));
    let country = all[0].countries[0].0.map(|country| country.to_string());
    assert_eq!(country.as_deref(), Some("US"));
    let farther = all
        .iter()
        .all(|one| one.after.map(|d| d.median_km) > one.before.map(|d| d.median_km));
    assert!(farther, "{all:?}");
}

#[test]
fn a_difference_names_what_has_changed() {
    let atlas = fixture::embedded_atlas();
    let plan = |pools: &str, zones: &[(&str, &str)]| {
        let plan = fixture::plan("", pools, zones, Arc::clone(&atlas));
        fixture::snapshot(plan, &Evidence::default())
    };
    let more = format!("{POOLS}[steer.\"old.example.com\"]\npools = [\"eu\"]\n");
    let gone = ("gone.example", ZONE);
    let before = plan(&more, &[("example.com", ZONE), gone]);
    let same = Difference::between(&before, &plan(&more, &[("example.com", ZONE), gone]));
    assert!(same.pools.is_empty() && same.names.is_empty() && same.zones.is_empty());
    assert!(same.moves.is_empty());

    // Indexes shift: what is at the front is no change of the others.
    let new = more
        .replace(
            "[pool.us]",
            "[pool.new]\nlocation = [0, 0]\nendpoints = [\"10.0.0.9\"]\n[pool.us]",
        )
        .replace("[35.7, 139.7]", "[35.7, 139.8]\nweight = 2")
        .replace("country = [\"FR\"]", "country = [\"DE\"]")
        .replace("old.example.com", "new.example.com");
    let zone = ZONE.replace("h 1 ", "h 2 ") + "b A 192.0.2.2\nb A 192.0.2.3\n";
    let zone = zone.replace("ns A 192.0.2.1", "ns 30 A 192.0.2.1");
    let after = plan(&new, &[("example.com", &zone)]);
    let found = Difference::between(&before, &after);
    let changes = |changes: &[Change]| -> Vec<String> {
        let text = |Change { name, kind }: &Change| match kind {
            ChangeKind::Added => format!("+{name}"),
            ChangeKind::Removed => format!("-{name}"),
            ChangeKind::Changed(keys) => format!("{name} {}", keys.join(" ")),
        };
        changes.iter().map(text).collect()
    };
    assert_eq!(changes(&found.pools), ["jp location weight", "+new"]);
    let names = [
        "app.example.com rule",
        "+new.example.com",
        "-old.example.com",
    ];
    assert_eq!(changes(&found.names), names);
    let zones = found.zones.iter().map(|zone| {
        let serials = (zone.serial_before, zone.serial_after);
        (zone.apex.plain(), serials, zone.removed.n, zone.added.n)
    });
    let zones: Vec<_> = zones.collect();
    let expected = [
        ("example.com".to_owned(), (Some(1), Some(2)), 2, 4),
        ("gone.example".to_owned(), (Some(1), None), 3, 0),
    ];
    assert_eq!(zones, expected);
    // Of those who ask for the name that is in both, the French go to their nearest pool, and Germans leave it. With
    // them go neighbours who share a client subnet with more of them.
    let of_name = |moves: &NameMoves| moves.owner.plain() == "app.example.com";
    assert!(found.moves.iter().all(of_name));
    let all = found.moves[0].moves.all();
    let country = |from: Served| {
        let moved = all.iter().find(|one| one.from == from).expect("a move");
        moved.countries[0].0.expect("a country").to_string()
    };
    assert_eq!([pool(2), pool(1)].map(country), ["FR", "DE"]);
}
