//! Steered names: who gets which pool, by what the wire says.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use meridian::daemon::load::embedded_atlas;

use crate::harness::BRAZIL;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::Reply;
use crate::harness::SOUTH_AFRICA;
use crate::harness::Server;
use crate::harness::exchange;
use crate::harness::query;
use crate::harness::still_world;

const APP: &str = "app.example.com.";

fn serve(pools: &str, more: &str) -> Server {
    Folder::usual(pools, more).serve()
}

fn v4(text: &str) -> Vec<IpAddr> {
    text.split(' ')
        .filter(|t| !t.is_empty())
        .map(|t| t.parse().expect("address"))
        .collect()
}

#[test]
fn clients_reach_the_nearest_pool() {
    let server = serve(&still_world(30), "");
    assert_eq!(server.steer(APP, FRANCE), v4("127.0.30.2"));
    assert_eq!(server.steer(APP, BRAZIL), v4("127.0.30.4"));
    assert_eq!(server.steer(APP, JAPAN), v4("127.0.30.3"));
    assert_eq!(server.steer(APP, "8.8.8.0/24"), v4("127.0.30.1"));
    // Johannesburg to São Paulo is 7,400 km, to Mons 8,900 km.
    assert_eq!(server.steer(APP, SOUTH_AFRICA), v4("127.0.30.4"));
    // By the resolver's address where there is no subnet: loopback is nowhere, so the first pool.
    assert_eq!(
        server.ask(APP, RecordType::A, None).addresses(),
        v4("127.0.30.1")
    );
    assert_eq!(server.steer(APP, "0.0.0.0/0"), v4("127.0.30.1"));
    // At the end of an alias, and for types that the name does not have.
    let reply = server.ask("www.example.com.", RecordType::A, Some(JAPAN));
    assert_eq!(
        Reply::texts(&reply.message.answers),
        [
            "www.example.com. CNAME app.example.com.",
            "app.example.com. A 127.0.30.3",
        ]
    );
    let reply = server.ask(APP, RecordType::AAAA, Some(JAPAN));
    assert_eq!(
        (reply.rcode(), reply.message.answers.len()),
        (ResponseCode::NoError, 0)
    );
    assert_eq!(reply.scope(), Some(0));
    let reply = server.ask(APP, RecordType::MX, Some(JAPAN));
    assert_eq!((reply.message.answers.len(), reply.scope()), (0, Some(0)));
    assert_eq!(
        server
            .ask("ns1.example.com.", RecordType::A, Some(JAPAN))
            .scope(),
        Some(0)
    );
}

/// A small generator; any seed will do, the same one makes failures repeatable.
fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn scopes_are_safe_and_short() {
    let server = serve(&still_world(31), "");
    let mut state = 7;
    let (mut n_long, mut n_checked) = (0, 0);
    let atlas = embedded_atlas().expect("the embedded database is sound");
    let is_located = |address: u32| atlas.locate(Ipv4Addr::from(address).into()).0.is_located();
    let ask = |address: u32| {
        let reply = server.ask(
            APP,
            RecordType::A,
            Some(&format!("{}/24", Ipv4Addr::from(address & !0xFF))),
        );
        (reply.addresses(), reply.scope().expect("a scope"))
    };
    for _ in 0..300 {
        let address = (random(&mut state) as u32) << 1 ^ random(&mut state) as u32;
        let (answer, scope) = ask(address);
        if scope > 24 {
            // The /24 holds several answers.
            n_long += 1;
            continue;
        }
        n_checked += 1;
        let size = 1_u64 << (32 - scope);
        let first = u64::from(address) / size * size;
        for _ in 0..8 {
            let inside = first + random(&mut state) % size;
            let (other, other_scope) = ask(inside as u32);
            assert_eq!(
                (&other, other_scope),
                (&answer, scope),
                "{address:#x} {inside:#x}"
            );
        }
        let sibling = first ^ size;
        // A block that is passed over for the resolver is apart from others, whatever the answer.
        if scope > 0 && is_located(address) && is_located(sibling as u32) {
            // The other half of the parent has another answer somewhere; if it is of one answer, its
            // scope is its own and no wider.
            let (other, other_scope) = ask(sibling as u32);
            assert!(
                other != answer || other_scope > scope,
                "{address:#x}/{scope}"
            );
        }
    }
    assert!(n_checked > 200 && n_long < 20, "{n_checked} {n_long}");
}

#[test]
fn subnets_are_cut_and_switched_off_as_configured() {
    let subnet = "90.63.7.8/32";
    let server = serve(&still_world(32), "");
    let reply = server.ask(APP, RecordType::A, Some(subnet));
    assert_eq!(reply.addresses(), v4("127.0.32.2"));
    assert!(reply.scope().is_some_and(|scope| scope > 0 && scope <= 24));
    let server = serve(&still_world(32), "[ecs]\nenabled = false");
    let reply = server.ask(APP, RecordType::A, Some(subnet));
    assert_eq!((reply.addresses(), reply.scope()), (v4("127.0.32.1"), None));
    // RFC 7871 s7.1.2: malformed options are FORMERR, with an OPT.
    let mut bad = query(APP, RecordType::A, Some("90.63.7.0/24"));
    let len = bad.len();
    bad[len - 4] = 1; // the scope
    let server = serve(&still_world(32), "");
    let reply = exchange(server.dns, &bad);
    assert_eq!(reply.rcode(), ResponseCode::FormErr);
    assert!(reply.message.edns.is_some());
}

#[test]
fn policies_rules_and_fences() {
    let pools = still_world(33)
        + "policy = \"failover\"\n\
           [[steer.\"app.example.com\".rule]]\ncontinent = [\"SA\"]\npools = [\"jp\"]\n\
           [[steer.\"app.example.com\".rule]]\ncountry = [\"BR\"]\npools = [\"br\"]\nfence = true\n\
           [[steer.\"app.example.com\".rule]]\nnetwork = [\"90.63.0.0/25\"]\npools = [\"eu\"]\n\
           [steer.\"*.w.example.com\"]\npools = [\"us\", \"eu\", \"jp\", \"br\"]\n\
           policy = \"weighted\"\n\
           [steer.\"example.com\"]\npools = [\"br\"]\n";
    let server = serve(&pools, "");
    assert_eq!(server.steer(APP, JAPAN), v4("127.0.33.1"));
    assert_eq!(server.steer(APP, BRAZIL), v4("127.0.33.4"));
    // Half of the /24 is steered elsewhere: a tie, which the lower half wins.
    let reply = server.ask(APP, RecordType::A, Some("90.63.0.0/24"));
    assert_eq!(
        (reply.addresses(), reply.scope()),
        (v4("127.0.33.2"), Some(25))
    );
    assert_eq!(server.steer(APP, "90.63.1.0/24"), v4("127.0.33.1"));
    // The apex is steered and keeps its other types.
    assert_eq!(server.steer("example.com.", JAPAN), v4("127.0.33.4"));
    assert_eq!(
        server
            .ask("example.com.", RecordType::NS, None)
            .message
            .answers
            .len(),
        2
    );
    // Weighted: every pool has its share, and a client keeps its pool.
    let mut won = [0; 4];
    for n in 0..400_u32 {
        let subnet = format!("{}/24", Ipv4Addr::from(0x0100_0000 + (n << 12)));
        let answer = server.steer("any.w.example.com.", &subnet);
        assert_eq!(answer, server.steer("other.w.example.com.", &subnet));
        let [IpAddr::V4(address)] = answer[..] else {
            panic!("{answer:?}")
        };
        won[usize::from(address.octets()[3]) - 1] += 1;
    }
    assert!(won.iter().all(|n| (60..=140).contains(n)), "{won:?}");
}

#[test]
fn families_are_apart() {
    let pools = "[pool.near]\nlocation = [50.45, 3.82]\nendpoints = [\"127.0.34.1\"]\n\
                 [pool.far]\nlocation = [35.69, 139.69]\nendpoints = [\"127.0.34.2\", \"::1\"]\n\
                 [steer.\"app.example.com\"]\npools = [\"near\", \"far\"]\n";
    let server = serve(pools, "");
    assert_eq!(server.steer(APP, FRANCE), v4("127.0.34.1"));
    let reply = server.ask(APP, RecordType::AAAA, Some(FRANCE));
    assert_eq!(
        reply.addresses(),
        ["::1".parse::<IpAddr>().expect("address")]
    );
}
