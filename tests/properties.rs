//! Properties of the whole answer: any bytes get a sound response or none, and ECS scopes are safe and
//! short on random databases with random pools down.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::LazyLock;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::svcb::SvcParamKey;
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use meridian::base::health::Health;
use meridian::base::location::Country;
use meridian::base::name::Name;
use meridian::base::per_family::PerFamily;
use meridian::base::prefix::Prefix;
use meridian::base::rr::RrType;
use meridian::base::transport::Transport;
use meridian::daemon::load::embedded_atlas;
use meridian::engine::Arrival;
use meridian::engine::Scratch;
use meridian::engine::answer;
use meridian::geo::atlas::Atlas;
use meridian::health::load::Load;
use meridian::latency::table::Limits;
use meridian::latency::table::Row;
use meridian::latency::table::Table;
use meridian::mmdb::countries;
use meridian::mmdb::writer;
use meridian::mmdb::writer::Value;
use meridian::state::counters::Counters;
use meridian::state::evidence::Evidence;
use meridian::state::evidence::ShareLimits;
use meridian::state::evidence::Spilling;
use meridian::state::plan::Geography;
use meridian::state::plan::Plan;
use meridian::state::snapshot::Snapshot;
use meridian::steer::spread::Admission;
use meridian::steer::spread::Admitted;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::proptest;
use proptest::sample::Index;
use proptest::sample::select;

const ZONE: &str = "$TTL 60
@ SOA ns h 1 1 1 1 1
@ NS ns
@ NS ns.sub
ns A 192.0.2.1
ns AAAA 2001:db8::1
www CNAME app
*.w MX 10 ns
txt TXT \"text\" \"more\"
sub NS ns.sub
ns.sub A 192.0.2.2
old DNAME new
svc HTTPS 1 . alpn=h2
all HTTPS 1 . alpn=h2
";

/// Four pools far apart, each named by the last octet of its endpoint.
const POOLS: &str = r#"
[pool.us]
location = [45.60, -121.18]
endpoints = ["10.9.9.0"]
[pool.eu]
location = [50.45, 3.82]
endpoints = ["10.9.9.1"]
[pool.jp]
location = [35.69, 139.69]
endpoints = ["10.9.9.2"]
[pool.br]
location = [-23.55, -46.63]
endpoints = ["10.9.9.3"]
"#;

/// Ways in which the name is steered; the first two share no clients by their prefix.
const STEERED: [&str; 10] = [
    r#"
[steer."app.example.com"]
pools = ["us", "eu", "jp", "br"]
"#,
    r#"
[steer."app.example.com"]
policy = "latency"
pools = ["us", "eu", "jp", "br"]
"#,
    r#"
[steer."app.example.com"]
policy = "weighted"
pools = ["us", "eu", "jp", "br"]
"#,
    r#"
[steer."app.example.com"]
policy = "multivalue"
pools = ["us", "eu", "jp", "br"]
"#,
    r#"
[steer."app.example.com"]
policy = "multivalue"
pools = ["us", "eu", "jp", "br"]
answers = 2
all_down = "empty"
"#,
    r#"
[steer."app.example.com"]
pools = ["us", "br"]
[[steer."app.example.com".rule]]
country = ["FR", "JP"]
policy = "multivalue"
pools = ["eu", "jp"]
"#,
    r#"
[pool.spare]
location = [35.69, 139.69]
endpoints = ["10.9.9.4"]
standby = true
trickle = "10%"
[steer."app.example.com"]
pools = ["us", "spare", "eu", "jp"]
"#,
    r#"
[pool.spare]
location = [0, 0]
endpoints = ["10.9.9.4"]
standby = true
trickle = "50%"
[steer."app.example.com"]
pools = ["br", "spare"]
[[steer."app.example.com".rule]]
country = ["FR"]
policy = "multivalue"
pools = ["us", "eu"]
"#,
    r#"
[steer."app.example.com"]
pools = ["us", "eu", "jp", "br"]
ecs = false
"#,
    r#"
[region.mixed]
country = ["JP"]
network = ["10.0.8.0/22", "10.0.32.0/24"]
[steer."app.example.com"]
pools = ["us", "eu", "jp", "br"]
[[steer."app.example.com".rule]]
country = ["JP", "FR"]
pools = ["br"]
[[steer."app.example.com".rule]]
region = ["mixed"]
pools = ["eu"]
fence = true
"#,
];

/// A name with hints, some of whose pools have one family alone.
const HINTED: &str = r#"
[pool.six]
location = [50.45, 3.82]
endpoints = ["fd00::1"]
[pool.both]
location = [35.69, 139.69]
endpoints = ["10.9.9.4", "fd00::2"]
[steer."svc.example.com"]
pools = ["us", "eu", "six", "both"]
hints = true
[steer."all.example.com"]
policy = "multivalue"
pools = ["us", "eu", "six", "both"]
hints = true
"#;

/// The position of policy latency in it.
const BY_LATENCY: usize = 1;

/// The /24s of 10.0.0.0/16 that a rule by network knows, in the last way.
const KNOWN_BY_RULE: [u8; 5] = [8, 9, 10, 11, 32];

fn plan(geography: impl Into<Geography>, steered: &str) -> Arc<Plan> {
    let (pools, zones) = (format!("{POOLS}{steered}"), [("example.com", ZONE)]);
    support::plan("", &pools, &zones, geography).expect("no fault")
}

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let atlas = embedded_atlas().expect("the embedded database is sound");
    Snapshot::build(
        plan(Arc::new(atlas), STEERED[0]),
        &Evidence::default(),
        1,
        None,
    )
    .with_merged_tables()
});

fn ask(snapshot: &Snapshot, transport: Transport, message: &[u8]) -> Vec<u8> {
    ask_from(snapshot, IpAddr::from([127, 0, 0, 1]), transport, message)
}

fn ask_from(snapshot: &Snapshot, src: IpAddr, transport: Transport, message: &[u8]) -> Vec<u8> {
    let mut scratch = Scratch::new(Arc::new(Counters::new(1)), 0);
    let mut out = vec![0; 65_535];
    let len = answer(
        snapshot,
        &mut scratch,
        Arrival {
            src,
            transport,
            now_ms: 0,
        },
        message,
        &mut out,
    )
    .response_len();
    out.truncate(len);
    out
}

/// What must hold of the response to anything.
fn check(message: &[u8]) {
    for transport in Transport::ALL {
        let response = ask(&SNAPSHOT, transport, message);
        if message.len() < 12 || message[2] & 0x80 != 0 {
            assert!(response.is_empty(), "a fragment or a response is answered");
            continue;
        }
        assert!(response.len() >= 12, "a query is not answered");
        assert_eq!(response[..2], message[..2], "the id");
        assert_eq!(response[2] & 0x80, 0x80, "QR");
        assert!(transport == Transport::Tcp || response.len() <= 1232);
        let read = Message::from_vec(&response).expect("hickory reads it");
        assert!(read.to_vec().is_ok());
    }
}

const NAMES: [&str; 12] = [
    "app.example.com",
    "www.example.com",
    "example.com",
    "a.b.w.example.com",
    "txt.example.com",
    "x.y.sub.example.com",
    "x.old.example.com",
    "nope.example.com",
    "ns.example.com",
    "version.bind",
    "org",
    ".",
];

proptest! {
    #[test]
    fn any_bytes_get_a_sound_response_or_none(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn damaged_queries_get_a_sound_response(
        name in any::<Index>(),
        qtype in 0_u16..300,
        damage in vec((any::<Index>(), any::<u8>()), 0..4),
        cut in any::<Index>(),
        is_cut in any::<bool>(),
    ) {
        let name = Name::parse(name.get::<&str>(&NAMES)).expect("a name");
        let subnet = "198.51.100.0/24".parse().ok();
        let mut message = support::query(&name, RrType(qtype), Some(4096), subnet);
        check(&message);
        for (at, octet) in damage {
            let at = at.index(message.len());
            message[at] = octet;
        }
        if is_cut {
            message.truncate(cut.index(message.len()));
        }
        check(&message);
    }

    #[test]
    fn scopes_are_safe_and_short(
        way in 0..STEERED.len(),
        networks in vec((0_u8..64, 24_u8..=26, 0_usize..5), 1..12),
        times in vec((0_u8..64, 24_u8..=26, 0_u32..4, any::<u8>()), 0..12),
        times_of_countries in vec((0..COUNTRIES.len(), 0_u32..4, any::<u8>()), 0..6),
        down in vec(any::<bool>(), 4),
        admitted in vec(select(vec![0, 1, 40, 100, 100]), 4),
        spill in vec((select(vec![5, 70, 100, 100]), select(vec![0, 30, 100])), 4),
        asked in vec(0_u8..64, 6),
    ) {
        let geography = Geography {
            atlas: Arc::new(atlas(&networks)),
            latency: Arc::new(latency(&times, &times_of_countries)),
        };
        let plan = plan(geography, STEERED[way]);
        let is_whole = |percent: &u8| *percent == 100;
        let takes_all = |(own, guests): &(u8, u8)| *own == 100 && *guests == 100;
        let is_shared = way > BY_LATENCY
            || !admitted.iter().all(is_whole)
            || !spill.iter().all(takes_all);
        let limits = spill.into_iter().map(|(own, guests)| ShareLimits {
            shed: None,
            spill: Some(Spilling {
                mark: Load::from(8_000),
                load: None,
                shares: Admission {
                    own: Admitted::percent(own),
                    guests: Admitted::percent(guests),
                },
                is_full: false,
            }),
        });
        let admitted = admitted.into_iter().map(Admitted::percent);
        let health = |down: &bool| vec![if *down { Health::Down } else { Health::Up }];
        let evidence = Evidence {
            endpoints: down.iter().map(health).collect(),
            admitted: admitted.map(|share| PerFamily::from_fn(|_| share)).collect(),
            limits: limits.collect(),
            ..Evidence::default()
        };
        let bare = Snapshot::build(plan.clone(), &evidence, 1, None);
        let merged = Snapshot::build(plan, &evidence, 2, None).with_merged_tables();
        let of = |snapshot: &Snapshot, third: u8| steered(snapshot, [10, 0, third, 0], SOURCES[0]);
        let located = sorted(&networks).into_iter().map(|(third, ..)| third);
        let by_rule = KNOWN_BY_RULE.into_iter().filter(|_| way + 1 == STEERED.len());
        let measured = times.iter().map(|(third, ..)| *third);
        let measured = measured.filter(|_| way == BY_LATENCY);
        let known: BTreeSet<u8> = located.chain(measured).chain(by_rule).collect();
        for third in asked {
            let (addresses, scope) = of(&merged, third);
            // The private /24s that the database does not know are passed over for the packet's source,
            // unless all clients get the same.
            let is_alike =
                |other: u8| scope == 0 || known.contains(&other) == known.contains(&third);
            if !known.contains(&third) && scope > 0 {
                prop_assert!(scope >= 8, "no more than 10.0.0.0/8: {}", scope);
                for src in SOURCES {
                    let subnet = [10, 0, third, 0];
                    let own = own_answer(&merged, src);
                    prop_assert_eq!(&steered(&bare, subnet, src).0, &own, "before merging");
                    prop_assert_eq!(steered(&merged, subnet, src), (own, scope), "passed over");
                }
            }
            let (same, finer) = of(&bare, third);
            prop_assert_eq!(&addresses, &same, "the answer does not wait for merging");
            if scope > 24 {
                // The /24 holds several answers, and is kept for itself.
                continue;
            }
            prop_assert!(finer >= scope);
            let inside = |scope: u8, other: u8| {
                let shift = 24_u8.saturating_sub(scope).min(8);
                u16::from(third) >> shift == u16::from(other) >> shift
            };
            for other in 0..64 {
                if inside(scope, other) {
                    prop_assert_eq!(of(&merged, other), (addresses.clone(), scope), "safe");
                    prop_assert!(is_alike(other), "safe for all sources");
                }
                if finer <= 24 && inside(finer, other) {
                    prop_assert_eq!(&of(&bare, other).0, &addresses, "safe before merging");
                    prop_assert!(is_alike(other), "safe for all sources before merging");
                }
            }
            // All 64 networks lie in 10.0.0.0/18; only there the parent can be looked through. Two shares may
            // have the same addresses, and are not the same for that.
            if scope > 18 && !is_shared {
                let is_uniform = (0..64)
                    .filter(|other| inside(scope - 1, *other))
                    .all(|other| {
                        let (same, scope) = of(&merged, other);
                        same == addresses && scope <= 24 && is_alike(other)
                    });
                prop_assert!(!is_uniform, "short: {third} {scope}");
            }
        }
    }
}

proptest! {
    #[test]
    fn hints_are_the_addresses_of_the_same_client_and_their_scope_is_the_longer_one(
        networks in vec((0_u8..64, 24_u8..=26, 0_usize..5), 1..12),
        down in vec(any::<bool>(), 6),
        asked in vec((0_u8..64, 20_u8..=24), 6),
    ) {
        let plan = plan(Arc::new(atlas(&networks)), HINTED);
        let health = |down: &bool| vec![if *down { Health::Down } else { Health::Up }; 2];
        let evidence =
            Evidence { endpoints: down.iter().map(health).collect(), ..Evidence::default() };
        let bare = Snapshot::build(plan.clone(), &evidence, 1, None);
        let merged = Snapshot::build(plan, &evidence, 2, None).with_merged_tables();
        for snapshot in [&bare, &merged] {
            for (name, (third, len)) in ["svc", "all"].iter().flat_map(|n| asked.iter().map(move |a| (n, a))) {
                let subnet = Prefix::cut(IpAddr::from([10, 0, *third, 0]), *len);
                let name = format!("{name}.example.com");
                let of = |rtype| {
                    let message = ask_for(&name, rtype, snapshot, Some(subnet), SOURCES[0]);
                    (addresses(&message), scope(&message))
                };
                let (v4, v6, both) = (of(RrType::A), of(RrType::AAAA), of(RrType::HTTPS));
                prop_assert_eq!(both, ([v4.0, v6.0].concat(), v4.1.max(v6.1)));
            }
        }
    }
}

/// Resolvers in the United States and in France.
const SOURCES: [[u8; 4]; 2] = [[100, 0, 0, 53], [100, 1, 0, 53]];

/// The addresses that a resolver without ECS gets.
fn own_answer(snapshot: &Snapshot, src: [u8; 4]) -> Vec<IpAddr> {
    addresses(&asked(snapshot, None, src))
}

/// The addresses and the scope that a client subnet gets from a resolver.
fn steered(snapshot: &Snapshot, subnet: [u8; 4], src: [u8; 4]) -> (Vec<IpAddr>, u8) {
    let subnet = Prefix::cut(IpAddr::V4(Ipv4Addr::from(subnet)), 24);
    let message = asked(snapshot, Some(subnet), src);
    (addresses(&message), scope(&message))
}

fn scope(message: &Message) -> u8 {
    let edns = message.edns.as_ref().expect("an OPT");
    match edns.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => subnet.scope_prefix(),
        other => unreachable!("{other:?}"),
    }
}

fn asked(snapshot: &Snapshot, subnet: Option<Prefix>, src: [u8; 4]) -> Message {
    ask_for("app.example.com", RrType::A, snapshot, subnet, src)
}

fn ask_for(
    name: &str,
    rtype: RrType,
    snapshot: &Snapshot,
    subnet: Option<Prefix>,
    src: [u8; 4],
) -> Message {
    let name = Name::parse(name).expect("a name");
    let query = support::query(&name, rtype, Some(1232), subnet);
    let response = ask_from(snapshot, IpAddr::from(src), Transport::Udp, &query);
    Message::from_vec(&response).expect("a response")
}

/// The addresses that an answer holds, as such or as hints, in order.
fn addresses(message: &Message) -> Vec<IpAddr> {
    let hints = |param: &(SvcParamKey, SvcParamValue)| match &param.1 {
        SvcParamValue::Ipv4Hint(hint) => hint.0.iter().map(|a| IpAddr::V4(a.0)).collect(),
        SvcParamValue::Ipv6Hint(hint) => hint.0.iter().map(|a| IpAddr::V6(a.0)).collect(),
        _ => Vec::new(),
    };
    let addresses = |record: &Record| match &record.data {
        RData::A(a) => vec![IpAddr::V4(a.0)],
        RData::AAAA(a) => vec![IpAddr::V6(a.0)],
        RData::HTTPS(https) => https.svc_params.iter().flat_map(hints).collect(),
        other => unreachable!("{other}"),
    };
    let mut addresses: Vec<IpAddr> = message.answers.iter().flat_map(addresses).collect();
    addresses.sort_unstable();
    addresses
}

const COUNTRIES: [&str; 4] = ["US", "FR", "JP", "BR"];

/// Measurements of networks and countries; the times to two pools are never equal.
fn latency(networks: &[(u8, u8, u32, u8)], countries: &[(usize, u32, u8)]) -> Table {
    let row = |key: String, pool: u32, time: u8| Row {
        key: key.parse().expect("a key"),
        pool,
        rtt_ms: (4 * u32::from(time) + pool + 1) as f32,
        samples: None,
        measured: None,
    };
    let networks = networks.iter().map(|(third, len, pool, time)| {
        let network = Prefix::cut([10, 0, *third, 0].into(), *len);
        row(network.to_string(), *pool, *time)
    });
    let countries = countries
        .iter()
        .map(|(country, pool, time)| row(COUNTRIES[*country].to_owned(), *pool, *time));
    let limits = Limits {
        min_samples: 1,
        max_age: 1,
        now: 0,
    };
    let pools = ["us", "eu", "jp", "br"].map(Box::from);
    Table::new(networks.chain(countries).collect(), pools.into(), &limits)
}

/// The networks that are somewhere, ascending, one per /24.
fn sorted(networks: &[(u8, u8, usize)]) -> Vec<(u8, u8, usize)> {
    let mut sorted = networks.to_vec();
    sorted.sort_unstable();
    sorted.dedup_by_key(|(third, ..)| *third);
    sorted.retain(|(.., country)| *country < COUNTRIES.len());
    sorted
}

/// A database of networks in 10.0.0.0/18, each in one of four countries or nowhere, and of [`SOURCES`].
fn atlas(networks: &[(u8, u8, usize)]) -> Atlas {
    let record = |code: &&str| {
        let country: Country = code.parse().expect("a country");
        assert!(countries::country(country).is_some());
        let iso = vec![("iso_code", Value::Text((*code).to_owned()))];
        Value::Map(vec![("country", Value::Map(iso))])
    };
    let records: Vec<Value> = COUNTRIES.iter().map(record).collect();
    let mut ranges: Vec<writer::Range> = Vec::new();
    for (third, len, country) in sorted(networks) {
        let first = u128::from(u32::from_be_bytes([10, 0, third, 0]));
        let last = first + (1 << (32 - len)) - 1;
        ranges.push(writer::Range {
            first,
            last,
            record: country as u32,
        });
    }
    for ([a, b, c, _], record) in SOURCES.into_iter().zip(0..) {
        let first = u128::from(u32::from_be_bytes([a, b, c, 0]));
        ranges.push(writer::Range {
            first,
            last: first + 255,
            record,
        });
    }
    let header = writer::Header {
        database_type: "X-City",
        description: "test",
        build_epoch: 1,
    };
    let bytes = writer::write(header, &ranges, &records).expect("ascending ranges");
    let centre_of = |code| countries::country(code).map(|info| (info.continent, info.centre));
    Atlas::read(bytes, None, &centre_of).expect("a sound database")
}
