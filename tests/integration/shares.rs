//! Pools that take a share of their clients, or none: ramps, bounds on what probes may do, verdicts by region.

use std::net::IpAddr;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::world;

const APP: &str = "app.example.com.";
const BEARER: &str = "Authorization: Bearer s3cret-of-16-octets\r\n";

/// Those of 200 client subnets in France that get this address.
fn clients_of(server: &Server, address: [u8; 4]) -> Vec<u8> {
    let gets = |n: &u8| server.steer(APP, &format!("90.63.{n}.0/24")) == [IpAddr::from(address)];
    (0..200).filter(gets).collect()
}

#[test]
fn a_pool_that_was_down_gets_its_clients_back_in_steps() {
    let backends = Backends::start(80, 4);
    let pools = world(80, backends.port);
    // An hour, so that no step falls into the test.
    let ramp =
        |ramp: &str| pools.replace("[pool.eu]\n", &format!("[pool.eu]\nramp = \"{ramp}\"\n"));
    let (us, eu) = ([127, 0, 80, 1], [127, 0, 80, 2]);
    let server = Folder::usual(&ramp("1h"), "").serve().ready();
    assert_eq!(clients_of(&server, eu).len(), 200, "none at the start");

    backends.set(2, Mood::Unavailable);
    server.moves_to(APP, FRANCE, "127.0.80.1");
    backends.set(2, Mood::Ready);
    server.wait_for_log("percent=10");
    let back = clients_of(&server, eu);
    // Binomial: 20, and four standard deviations.
    assert!((3..=37).contains(&back.len()), "{back:?}");
    assert_eq!(clients_of(&server, us).len(), 200 - back.len());
    let (_, status) = http(server.admin, "GET", "/api/v1/status");
    assert!(status.contains("\"ipv4_admitted\":0.1"), "{status}");
    let subnet = format!("90.63.{}.0/24", back[0]);
    let path = format!("/api/v1/explain?name=app.example.com&client={subnet}");
    let (_, explained) = http(server.admin, "GET", &path);
    assert!(
        explained.contains("ramping: 10 % of its clients"),
        "{explained}"
    );

    server.signal("-TERM");
    let (_, folder, _) = server.ended();
    let server = folder.serve().ready();
    assert_eq!(clients_of(&server, eu), back, "the same after a restart");

    server.folder.write("pools.toml", ramp("1s"));
    eventually("all clients", || {
        (clients_of(&server, eu).len() == 200).then_some(())
    });
    server.wait_for_log("percent=100");
}

#[test]
fn checks_that_fail_everywhere_move_nobody() {
    let backends = Backends::start(81, 4);
    let more = "[safety]\nmax_down = \"50%\"\n";
    let server = Folder::usual(&world(81, backends.port), more)
        .serve()
        .ready();
    backends.set(2, Mood::Unavailable);
    server.moves_to(APP, FRANCE, "127.0.81.1");
    // The third of four that fails is one too many.
    backends.set(1, Mood::Unavailable);
    backends.set(3, Mood::Unavailable);
    server.moves_to(APP, FRANCE, "127.0.81.2");
    server.wait_for_log("the probes of this name are ignored");
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    let exceeded = "meridian_max_down_exceeded{family=\"ipv4\",name=\"app.example.com\"} 1";
    assert!(metrics.contains(exceeded), "{metrics}");
    let path = format!("/api/v1/explain?name=app.example.com&client={FRANCE}");
    let (_, explained) = http(server.admin, "GET", &path);
    assert!(explained.contains("more of the name's pools are down than max_down allows"));
    backends.set(1, Mood::Ready);
    server.moves_to(APP, FRANCE, "127.0.81.1");
    server.wait_for_log("the probes of this name count again");
}

#[test]
fn a_pool_is_down_for_the_clients_whose_vantages_cannot_reach_it() {
    let backends = Backends::start(84, 4);
    let pools = world(84, backends.port).replacen("[pool", "quorum_scope = \"region\"\n[pool", 1);
    // One vantage in Europe and one in Japan: the backend of pool eu refuses what comes from the latter.
    let vantages = "[[vantage]]\nname = \"europe\"\nsource = \"127.0.84.11\"\nlocation = [48.9, 2.4]\n\
                    [[vantage]]\nname = \"japan\"\nsource = \"127.0.84.12\"\nlocation = [35.7, 139.7]\n";
    let folder = Folder::usual(&pools, "");
    let text = std::fs::read_to_string(folder.path("meridian.toml")).expect("the file");
    folder.write("meridian.toml", text + vantages);
    let server = folder.serve().ready();
    server.moves_to(APP, FRANCE, "127.0.84.2");
    server.moves_to(APP, JAPAN, "127.0.84.3");

    backends.refuse_from(3, [127, 0, 84, 12].into());
    server.moves_to(APP, JAPAN, "127.0.84.1");
    server.wait_for_log("endpoint is down for clients near these vantages");
    let path = |subnet| format!("/api/v1/explain?name=app.example.com&client={subnet}");
    let (_, explained) = http(server.admin, "GET", &path(JAPAN));
    assert!(
        explained.contains("judged by the vantages near the client (japan)"),
        "{explained}"
    );
    let (_, status) = http(server.admin, "GET", "/api/v1/status");
    let regions =
        r#"[{"vantages":["europe"],"health":"up"},{"vantages":["japan"],"health":"down"}]"#;
    assert!(status.replace(' ', "").contains(regions), "{status}");
    let (_, page) = http(server.admin, "GET", "/");
    assert!(page.contains("<small>near japan: down</small>"), "{page}");
    // For all others it is up: with the nearest two drained, they have it.
    for pool in ["us", "eu", "br"] {
        let path = format!("/api/v1/overrides/{pool}");
        let (code, body) = http_with(server.admin, "PUT", &path, BEARER, r#"{"state":"drain"}"#);
        assert_eq!(code, 200, "{body}");
    }
    server.moves_to(APP, FRANCE, "127.0.84.3");
}
