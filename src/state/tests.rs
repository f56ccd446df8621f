//! Snapshots built from texts: shares and their scopes, what is shown of pools, counters over a reload.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::base::health::Health;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::config::model::Endpoint;
use crate::geo::majority::MajorityScratch;
use crate::health::overrides::Forced;
use crate::state::answers::Client;
use crate::state::answers::Found;
use crate::state::correspondence::Correspondence;
use crate::state::evidence::Evidence;
use crate::state::evidence::PoolNow;
use crate::state::fixture::embedded_atlas;
use crate::state::fixture::plan;
use crate::state::fixture::snapshot;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;
use crate::steer::PoolStatus;
use crate::steer::spread::Admitted;

const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

const POOLS: &str = r#"
[pool.a]
location = [45.60, -121.18]
endpoints = ["10.0.0.1", "10.0.0.2", "fd00::1"]
min_healthy = 2
[pool.b]
location = [50.45, 3.82]
endpoints = ["10.0.1.1"]
[pool.c]
location = [35.69, 139.69]
endpoints = ["10.0.2.1"]
weight = 8
[steer."app.example.com"]
policy = "weighted"
pools = ["a", "b", "c"]
"#;

fn shared() -> Plan {
    plan("", POOLS, &[("example.com", ZONE)], embedded_atlas())
}

/// The pool and the scope that an IPv4 client subnet gets.
fn ask(snapshot: &Snapshot, address: u32, len: u8) -> (u32, u8) {
    let (pool, scope_len, _) = ask_for(
        snapshot,
        Prefix::cut(IpAddr::from(Ipv4Addr::from(address)), len),
    );
    (pool, scope_len)
}

/// The pool and the scope that a client subnet gets, and whether it was passed over for the source.
fn ask_for(snapshot: &Snapshot, prefix: Prefix) -> (u32, u8, bool) {
    let client = Client {
        prefix,
        max_scope: Some(PerFamily { v4: 24, v6: 56 }),
    };
    let src = IpAddr::from([90, 63, 0, 1]);
    let answers = &snapshot.steered[0].families[Family::V4];
    let steered = answers.find(client, src, &mut MajorityScratch::default());
    match steered.found {
        Found::Pools((pool, _)) => (
            pool.pool.0,
            steered.scope_len,
            steered.client == Client::source(src),
        ),
        other => panic!("{other:?}"),
    }
}

/// Checks the scopes of client subnets all over; returns how many are wider than a client prefix.
fn check_scopes(snapshot: &Snapshot, n_subnets: u32) -> u32 {
    let is_one_answer = snapshot.steered[0].families[Family::V4].answers.len() == 1;
    let mut n_widened = 0;
    for n in 0..n_subnets {
        let address = n.wrapping_mul(2_654_435_761) & 0xFFFF_FF00;
        let of = |address: u32| {
            ask_for(
                snapshot,
                Prefix::cut(IpAddr::from(Ipv4Addr::from(address)), 24),
            )
        };
        let (pool, scope, is_passed_over) = of(address);
        if is_passed_over {
            continue;
        }
        assert!(scope <= 24, "{scope}");
        let all_of = |len: u8| {
            let first = address & (u32::MAX << (32 - len));
            let alike = |(other, _, passed_over): (u32, u8, bool)| other == pool && !passed_over;
            (0..1_u32 << (24 - len)).all(|at| alike(of(first + (at << 8))))
        };
        // Wider ones are the table's, which has its own tests.
        if scope >= 18 {
            assert!(all_of(scope), "{address:#x}/{scope} is not safe");
            assert!(
                scope == 18 || !is_one_answer || !all_of(scope - 1),
                "{address:#x}/{scope} is not short"
            );
        }
        n_widened += u32::from(scope < 24);
        // A prefix that holds several shares is kept for itself.
        let (_, longer) = ask(snapshot, address, 12);
        assert!(longer > 12 || scope <= 12);
    }
    n_widened
}

#[test]
fn scopes_of_shared_answers_are_safe_and_as_short_as_the_bound_allows() {
    let n_widened = check_scopes(&snapshot(shared(), &Evidence::default()), 400);
    assert!(
        n_widened > 100,
        "a share of 8 in 10 is often uniform: {n_widened}"
    );
}

#[test]
fn scopes_are_safe_where_pools_take_a_share_of_their_clients() {
    let percent = |percent| PerFamily::both(Admitted::percent(percent));
    for policy in ["weighted", "nearest"] {
        let text = POOLS.replace("\"weighted\"", &format!("\"{policy}\""));
        let plan = Arc::new(plan("", &text, &[("example.com", ZONE)], embedded_atlas()));
        for admitted in [[10, 100, 100], [50, 25, 100], [10, 10, 10]] {
            let evidence = Evidence {
                admitted: admitted.map(percent).to_vec(),
                ..Evidence::default()
            };
            let snapshot = Snapshot::build(Arc::clone(&plan), &evidence, 1, None);
            check_scopes(&snapshot.with_merged_tables(), 50);
        }
    }
}

#[test]
fn a_share_moves_its_own_clients_and_brings_them_back() {
    let text = POOLS.replace("\"weighted\"", "\"nearest\"");
    let plan = Arc::new(plan("", &text, &[("example.com", ZONE)], embedded_atlas()));
    let pools_of = |percent: u8| {
        let evidence = Evidence {
            admitted: vec![PerFamily::both(Admitted::percent(percent))],
            ..Evidence::default()
        };
        let snapshot = Snapshot::build(Arc::clone(&plan), &evidence, 1, None);
        let addresses = (0..4000_u32).map(|n| n.wrapping_mul(2_654_435_761));
        let pools = addresses.map(|address| ask(&snapshot, address, 24).0);
        pools.collect::<Vec<_>>()
    };
    let all = pools_of(100);
    let n_own = all.iter().filter(|pool| **pool == 0).count();
    assert!(n_own > 500, "{n_own}");
    let mut before = pools_of(0);
    assert!(!before.contains(&0));
    for percent in [10, 25, 50, 100] {
        let after = pools_of(percent);
        let mut n_taken = 0;
        for ((before, after), all) in before.iter().zip(&after).zip(&all) {
            assert!(after == before || *after == 0, "{before} to {after}");
            assert!(*after != 0 || *all == 0, "nobody else's client");
            n_taken += usize::from(*after == 0);
        }
        // Binomial: four standard deviations.
        let expected = n_own * usize::from(percent) / 100;
        let deviation = (n_own as f64).sqrt() * 2.0;
        assert!(
            n_taken.abs_diff(expected) as f64 <= deviation,
            "{n_taken} of {n_own}"
        );
        before = after;
    }
    assert_eq!(before, all);
}

#[test]
fn pools_are_shown_as_they_are() {
    let (up, down, unknown) = (Health::Up, Health::Down, Health::Unknown);
    for (endpoints, forced, ipv4, ipv6) in [
        ([unknown, unknown, unknown], None, unknown, unknown),
        ([up, up, down], None, up, down),
        ([up, down, up], None, down, up),
        ([down, down, down], Some(Forced::Up), up, up),
        ([up, up, up], Some(Forced::Down), down, down),
        ([up, up, up], Some(Forced::Drain), up, up),
    ] {
        let evidence = Evidence {
            endpoints: vec![endpoints.to_vec()],
            forced: vec![forced],
            ..Evidence::default()
        };
        let snapshot = snapshot(shared(), &evidence);
        let health = |family| snapshot.pools[0].health(family);
        assert_eq!(health(Family::V4), Some(ipv4), "{endpoints:?} {forced:?}");
        assert_eq!(health(Family::V6), Some(ipv6), "{endpoints:?} {forced:?}");
        let without = snapshot.pools[1].health(Family::V6);
        assert_eq!(without, None);
    }
}

#[test]
fn a_reload_keeps_the_counts_of_what_stays() {
    let before = shared();
    let slot = |plan: &Plan, pool| {
        let slot = plan.counters.slot(SteeredIx(0), PoolIx(pool));
        plan.counters.start(SteeredIx(0)) + slot.expect("a slot")
    };
    before.counters.count(0, slot(&before, 1));
    before.counters.count(0, slot(&before, 2));
    let zones = [("example.com", ZONE)];
    let text = POOLS
        .replace("[pool.c]", "[pool.d]")
        .replace("\"c\"]", "\"d\"]");
    let config = plan("", &text, &zones, embedded_atlas()).config;
    let atlas = before.atlas.clone();
    let zones = shared().zones;
    let correspondence = Correspondence::between(&before.config.pools, &config.pools);
    let after = Plan::compile(
        config,
        zones,
        atlas.into(),
        1,
        Some((&before, &correspondence)),
    );
    after.counters.count(0, slot(&after, 1));
    let totals: Vec<_> = after.counters.totals().collect();
    assert_eq!(
        totals,
        [
            (("app.example.com", "a"), 0),
            (("app.example.com", "b"), 2),
            (("app.example.com", "d"), 0),
        ]
    );
}

#[test]
fn names_that_are_answered_alike_share_their_answers_and_count_apart() {
    let more = "[steer.\"same.example.com\"]\npolicy = \"weighted\"\npools = [\"a\", \"b\", \"c\"]\n\
         [steer.\"other.example.com\"]\npolicy = \"weighted\"\npools = [\"a\", \"b\", \"c\"]\nttl = \"5s\"\n";
    let zones = [("example.com", ZONE)];
    let plan = plan("", &format!("{POOLS}{more}"), &zones, embedded_atlas());
    let up = Evidence {
        endpoints: vec![vec![Health::Up; 3], vec![Health::Up], vec![Health::Up]],
        ..Evidence::default()
    };
    let snapshot = snapshot(plan, &up);
    let answers = |at: usize| &snapshot.steered[at].families[Family::V4].answers;
    assert!(Arc::ptr_eq(answers(0), answers(1)));
    assert!(!Arc::ptr_eq(answers(0), answers(2)), "another TTL");
    let counters = &snapshot.plan.counters;
    for (name, pool) in [(0, 1), (1, 1), (1, 2)] {
        let slot = counters
            .slot(SteeredIx(name), PoolIx(pool))
            .expect("a slot");
        let start = snapshot.steered[name as usize].counters;
        counters.count(0, start + slot);
    }
    let counted: Vec<_> = counters.totals().filter(|(_, n)| *n > 0).collect();
    assert_eq!(
        counted,
        [
            (("app.example.com", "b"), 1),
            (("same.example.com", "b"), 1),
            (("same.example.com", "c"), 1),
        ]
    );
}

/// A hundred pools along a meridian, all but some of them down.
fn meridian(standing: impl Fn(u32) -> Health) -> Snapshot {
    let mut pools = String::new();
    for n in 0..100 {
        let latitude = f64::from(n) * 1.5 - 75.0;
        pools +=
            &format!("[pool.p{n}]\nlocation = [{latitude}, 9.0]\nendpoints = [\"10.0.0.{n}\"]\n");
    }
    let names: Vec<String> = (0..100).map(|n| format!("\"p{n}\"")).collect();
    pools += &format!(
        "[steer.\"app.example.com\"]\npools = [{}]\n",
        names.join(", ")
    );
    let evidence = Evidence {
        endpoints: (0..100).map(|pool| vec![standing(pool)]).collect(),
        ..Evidence::default()
    };
    let plan = plan("", &pools, &[("example.com", ZONE)], embedded_atlas());
    snapshot(plan, &evidence)
}

#[test]
fn the_nearest_pool_up_answers_however_many_nearer_ones_are_down() {
    for ups in [&[0][..], &[99], &[0, 99], &[10, 11, 90], &[50]] {
        let now = meridian(|pool| match ups.contains(&pool) {
            true => Health::Up,
            false => Health::Down,
        });
        let mut n_located = 0;
        for n in 0..2000_u32 {
            let address = n.wrapping_mul(0x9E37_79B1);
            let (location, _) = now.plan.atlas.locate(IpAddr::from(address.to_be_bytes()));
            let Some(point) = location.point else {
                continue;
            };
            n_located += 1;
            let distance = |pool: &&u32| {
                let pool = &now.plan.config.pools.pools[**pool as usize];
                pool.location.distance_km(point)
            };
            let nearest = ups
                .iter()
                .min_by(|a, b| distance(a).total_cmp(&distance(b)));
            assert_eq!(Some(&ask(&now, address, 32).0), nearest, "{location:?}");
        }
        assert!(n_located > 1000);
    }
}

/// What an unlocated client of the first name gets: the addresses, or a word.
fn addresses(snapshot: &Snapshot, family: Family) -> String {
    let src = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let answers = &snapshot.steered[0].families[family];
    let mut scratch = MajorityScratch::default();
    match answers.find(Client::source(src), src, &mut scratch).found {
        Found::NoData => "nodata".into(),
        Found::ServFail => "servfail".into(),
        Found::Pools((_, records)) => {
            let last = |rdata: &[u8]| rdata.last().expect("an address").to_string();
            records.rdatas(0).map(last).collect::<Vec<_>>().join(" ")
        }
    }
}

const FAILOVER: &str = r#"
[pool.a]
location = [45.60, -121.18]
endpoints = ["10.0.0.1", "10.0.0.2"]
[pool.b]
location = [50.45, 3.82]
endpoints = ["10.0.0.3"]
[pool.c]
location = [35.69, 139.69]
endpoints = ["10.0.0.4"]
[steer."app.example.com"]
policy = "failover"
pools = ["a", "b", "c"]
all_down = "last_good"
"#;

fn failover() -> Arc<Plan> {
    let zones = [("example.com", ZONE)];
    Arc::new(plan("", FAILOVER, &zones, embedded_atlas()))
}

#[test]
fn what_was_never_proven_ranks_behind_what_is_up() {
    let (up, down, unknown) = (Health::Up, Health::Down, Health::Unknown);
    let plan = failover();
    for (a, b, unproven, expected) in [
        ([unknown, unknown], up, PoolStatus::Unproven, "3"),
        ([unknown, unknown], up, PoolStatus::Down, "3"),
        ([unknown, unknown], up, PoolStatus::Up, "1 2"),
        // Beside one that is up, it waits for its first probe.
        ([up, unknown], up, PoolStatus::Unproven, "1"),
        ([down, unknown], up, PoolStatus::Unproven, "3"),
        ([down, unknown], down, PoolStatus::Unproven, "2"),
        ([down, unknown], down, PoolStatus::Down, "4"),
    ] {
        let evidence = Evidence {
            endpoints: vec![a.to_vec(), vec![b], vec![unknown]],
            unproven: vec![unproven, unproven, PoolStatus::Up],
            ..Evidence::default()
        };
        // The third is without a monitor: it must not win where an unproven one is expected.
        let evidence = match expected {
            "2" => Evidence {
                endpoints: vec![a.to_vec(), vec![b], vec![down]],
                ..evidence
            },
            _ => evidence,
        };
        let snapshot = Snapshot::build(Arc::clone(&plan), &evidence, 1, None);
        let context = format!("{a:?} {b:?} {unproven:?}");
        assert_eq!(addresses(&snapshot, Family::V4), expected, "{context}");
    }
}

#[test]
fn endpoints_come_and_go_without_a_new_plan() {
    let plan = failover();
    let mut evidence = Evidence::default();
    let first = Snapshot::build(Arc::clone(&plan), &evidence, 1, None).with_merged_tables();
    assert_eq!(addresses(&first, Family::V4), "1 2");
    assert_eq!(addresses(&first, Family::V6), "nodata");
    let endpoint = |text: &str| Endpoint::new(text.parse().expect("an address"), 1);
    let members = ["10.0.0.9", "2001:db8::8"].map(endpoint);
    evidence.members.set(PoolIx(0), members.into());
    let second = Snapshot::build(Arc::clone(&plan), &evidence, 2, Some(&first));
    assert_eq!(addresses(&second, Family::V4), "9");
    assert_eq!(addresses(&second, Family::V6), "8");
    let table = |snapshot: &Snapshot| Arc::clone(&snapshot.steered[0].families[Family::V4].table);
    assert!(
        Arc::ptr_eq(&table(&first), &table(&second)),
        "compiled once"
    );
    // The pools are chosen as before, so that the merged table is taken over.
    assert!(
        second.steered[0].families[Family::V4]
            .answer_table
            .is_some()
    );

    evidence.members.set(PoolIx(0), [].into());
    let third = Snapshot::build(plan, &evidence, 3, Some(&second));
    assert_eq!(addresses(&third, Family::V4), "3");
    assert_eq!(addresses(&third, Family::V6), "nodata");

    // A name whose pools have no endpoints at all has no addresses that could be denied.
    for pool in 1..3 {
        evidence.members.set(PoolIx(pool), [].into());
    }
    let none = Snapshot::build(Arc::clone(&third.plan), &evidence, 4, Some(&third));
    for family in Family::ALL {
        assert_eq!(addresses(&none, family), "servfail");
        assert_eq!(none.pools[0].health(family), Some(Health::Down));
    }
    evidence.members.set(PoolIx(0), members.into());
    let again = Snapshot::build(Arc::clone(&none.plan), &evidence, 5, Some(&none));
    assert_eq!(addresses(&again, Family::V6), "8");
}

#[test]
fn the_pools_that_were_up_last_are_evidence() {
    let plan = failover();
    let health = |up: &[usize]| -> Vec<Vec<Health>> {
        let health = |pool: &usize| match up.contains(pool) {
            true => Health::Up,
            false => Health::Down,
        };
        (0..3).map(|pool| vec![health(&pool); 2]).collect()
    };
    let mut evidence = Evidence::default();
    for (up, expected) in [
        (&[0, 1][..], "1 2"),
        (&[1], "3"),
        // The last one that was up, not the first of the list.
        (&[], "3"),
        (&[2], "4"),
        (&[], "4"),
    ] {
        evidence.endpoints = health(up);
        let last_up = evidence
            .last_up
            .after(&plan, &PoolNow::all(&plan, &evidence));
        evidence.last_up = Arc::new(last_up);
        let snapshot = Snapshot::build(Arc::clone(&plan), &evidence, 1, None);
        assert_eq!(addresses(&snapshot, Family::V4), expected, "{up:?}");
    }
    // By name: an edit that shifts positions changes nothing, and a pool that is gone is forgotten.
    let shifted = FAILOVER.replace("[\"a\", \"b\", \"c\"]", "[\"c\", \"a\"]");
    let zones = [("example.com", ZONE)];
    let shifted = self::plan("", &shifted, &zones, embedded_atlas());
    let pools = PoolNow::all(&shifted, &evidence);
    let kept = evidence.last_up.after(&shifted, &pools);
    let steered = shifted.steered(SteeredIx(0));
    assert_eq!(*kept.of(&shifted, steered, Family::V4), [PoolIx(2)]);
}

/// Three pools by distance; sources in France get pool b.
const NEAREST: &str = r#"
[pool.a]
location = [45.60, -121.18]
endpoints = ["10.0.0.1"]
[pool.b]
location = [50.45, 3.82]
endpoints = ["10.0.1.1"]
[pool.c]
location = [35.69, 139.69]
endpoints = ["10.0.2.1"]
[steer."app.example.com"]
pools = ["a", "b", "c"]
[[steer."app.example.com".rule]]
network = ["10.8.0.0/16", "2002:a09::/32"]
pools = ["c"]
"#;

#[test]
fn subnets_that_nothing_is_known_of_are_passed_over_for_the_source() {
    let zones = [("example.com", ZONE)];
    let plan = plan("", NEAREST, &zones, embedded_atlas());
    let fresh = Snapshot::build(Arc::new(plan), &Evidence::default(), 1, None);
    let merged = Snapshot::build(Arc::clone(&fresh.plan), &Evidence::default(), 2, None);
    let merged = merged.with_merged_tables();
    for (subnet, pool, scope_len, is_passed_over) in [
        // Special-purpose blocks, each for itself.
        ("10.1.2.0/24", 1, 13, true),
        ("10.128.0.0/24", 1, 9, true),
        ("192.168.1.0/24", 1, 16, true),
        ("172.31.0.0/16", 1, 12, true),
        ("100.64.0.0/24", 1, 10, true),
        ("127.0.0.0/24", 1, 8, true),
        ("169.254.7.0/24", 1, 16, true),
        ("192.0.2.0/24", 1, 24, true),
        ("fd12:3456::/48", 1, 7, true),
        ("fe80::/56", 1, 10, true),
        ("2001:db8::/48", 1, 32, true),
        // Teredo; the database knows other parts of 2001::/23.
        ("2001:0:102:300::/56", 1, 31, true),
        // A rule knows it.
        ("10.8.7.0/24", 2, 16, false),
        // Not located: between fe80::/10 and ff00::/8.
        ("fec0::/56", 1, 10, true),
        // 6to4: by the IPv4 address inside, in the United States, private, of a rule, and by a rule.
        ("2002:c01:203::/48", 0, 0, false),
        ("2002:c01:200::/40", 0, 0, false),
        ("2002:a01:203::/48", 1, 16 + 13, true),
        ("2002:a08:703::/48", 2, 16 + 16, false),
        ("2002:a09:1::/48", 2, 32, false),
        // Two bits of an IPv4 address hold many places.
        ("2002::/18", 0, 0, false),
    ] {
        let prefix: Prefix = subnet.parse().expect(subnet);
        let (finer_pool, finer, _) = ask_for(&fresh, prefix);
        let (found, scope, passed_over) = ask_for(&merged, prefix);
        assert_eq!((found, passed_over), (pool, is_passed_over), "{subnet}");
        assert_eq!(finer_pool, pool, "{subnet} before merging");
        assert!(finer >= scope, "{subnet} before merging");
        if scope_len > 0 {
            assert_eq!(scope, scope_len, "{subnet}");
        }
    }
    // The scope of a 6to4 client is that of the IPv4 client, 16 bits longer.
    let (_, v4_scope, _) = ask_for(&merged, "12.1.2.0/24".parse().expect("a prefix"));
    let (_, scope, _) = ask_for(&merged, "2002:c01:203::/48".parse().expect("a prefix"));
    assert_eq!(scope, 16 + v4_scope);
}

#[test]
fn where_all_clients_get_the_same_none_is_passed_over() {
    let (_, failover) = NEAREST.split_once("[steer").expect("a name");
    let pools = NEAREST.replace(
        failover,
        ".\"app.example.com\"]\npolicy = \"failover\"\npools = [\"a\"]\n",
    );
    let plan = plan("", &pools, &[("example.com", ZONE)], embedded_atlas());
    let snapshot = snapshot(plan, &Evidence::default());
    for subnet in ["10.1.2.0/24", "12.1.2.0/24", "fd00::/56", "2002:a00::/40"] {
        let prefix = subnet.parse().expect(subnet);
        assert_eq!(ask_for(&snapshot, prefix), (0, 0, false), "{subnet}");
    }
}

const REGIONAL: &str = r#"
[monitor.ready]
type = "tcp"
port = 80
quorum_scope = "region"
[pool.a]
location = [48.9, 2.4]
endpoints = ["10.0.0.1", "10.0.0.2"]
monitor = "ready"
[pool.b]
location = [40.7, -74.0]
endpoints = ["10.0.1.1"]
monitor = "ready"
[steer."app.example.com"]
pools = ["a", "b"]
[steer."still.example.com"]
pools = ["c"]
[pool.c]
location = [0, 0]
endpoints = ["10.0.2.1"]
"#;

/// Vantages in Paris, near it, and in New York; the last one is of another machine.
const VANTAGES: &str = r#"
[[vantage]]
name = "ns1"
location = [48.9, 2.4]
[[vantage]]
name = "second"
source = "127.0.0.2"
location = [49.2, 2.4]
[[vantage]]
name = "ns2/uplink"
location = [40.7, -74.0]
"#;

#[test]
fn clients_are_answered_as_the_vantages_near_them_see_it() {
    let zones = [("example.com", ZONE)];
    let plan = Arc::new(plan(VANTAGES, REGIONAL, &zones, embedded_atlas()));
    let names: Vec<_> = plan
        .regions
        .iter()
        .map(|region| region.vantages.join(" "))
        .collect();
    assert_eq!(names, ["ns1 second", "ns2/uplink"]);
    assert!(
        plan.tables[1]
            .ranks()
            .iter()
            .all(|rank| rank.region.is_none())
    );
    let (up, down) = (Health::Up, Health::Down);
    let all = vec![vec![up, up], vec![up], vec![up]];
    let with_a = |a: [Health; 2]| vec![a.to_vec(), vec![up], vec![up]];
    let build = |paris: [Health; 2], new_york: [Health; 2]| {
        let evidence = Evidence {
            endpoints: all.clone(),
            regional: vec![with_a(paris), with_a(new_york)],
            ..Evidence::default()
        };
        let snapshot = Snapshot::build(Arc::clone(&plan), &evidence, 1, None);
        snapshot.with_merged_tables()
    };
    // France is near Paris, Brazil near no vantage, and pool a is the nearest of both.
    let (france, brazil) = ("90.63.0.0/24", "196.25.1.0/24");
    let pool = |snapshot: &Snapshot, subnet: &str| {
        let (pool, _, _) = ask_for(snapshot, subnet.parse().expect(subnet));
        pool
    };
    let alike = build([up, up], [up, up]);
    let n_alike = alike.steered[0].families[Family::V4].answers.len();
    assert_eq!((pool(&alike, france), pool(&alike, brazil)), (0, 0));
    let apart = build([down, down], [up, up]);
    assert_eq!((pool(&apart, france), pool(&apart, brazil)), (1, 0));
    // What makes no difference makes no answer of its own: scopes stay as short as they were.
    assert_eq!(n_alike, 2);
    let elsewhere = build([up, up], [down, down]);
    assert_eq!((pool(&elsewhere, france), pool(&elsewhere, brazil)), (0, 0));
    // A region that sees one endpoint fewer is answered without it.
    let fewer = build([up, down], [up, up]);
    assert_eq!(fewer.steered[0].families[Family::V4].answers.len(), 3);
    assert_eq!((pool(&fewer, france), pool(&fewer, brazil)), (0, 0));
    for snapshot in [&alike, &apart, &fewer] {
        check_scopes(snapshot, 50);
    }
}
