//! `meridian vantage`: probes without zones, a database or a DNS socket.

use crate::harness::Backends;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::world;

/// The files of a name server, whose zones and databases are not there.
fn folder(pools: &str) -> Folder {
    let folder = Folder::usual(pools, "");
    let text = "zones = \"no-zones\"\npools = \"pools.toml\"\nstate_dir = \"state\"\n\
         [server]\nlisten = [\"192.0.2.1:53\"]\n\
         [geoip]\ndatabase = \"none.mmdb\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"token\"\n\
         [cluster]\nnats = [\"nats://127.0.0.1:1\"]\nnode = \"tokyo\"\n";
    folder.write("meridian.toml", text);
    folder
}

fn is_up(vantage: &Server, pool: &str) -> Option<bool> {
    let (_, metrics) = http(vantage.admin, "GET", "/metrics");
    let prefix = format!("meridian_pool_up{{family=\"ipv4\",pool=\"{pool}\"}} ");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))?;
    Some(line == "1")
}

#[test]
fn a_vantage_probes_reloads_and_keeps_its_verdicts() {
    let backends = Backends::start(90, 5);
    backends.set(2, Mood::Unavailable);
    let pools = world(90, backends.port);
    let vantage = folder(&pools).vantage().ready();
    eventually("the pool is down", || {
        (is_up(&vantage, "eu") == Some(false)).then_some(())
    });
    assert_eq!(is_up(&vantage, "us"), Some(true));
    let (status, page) = http(vantage.admin, "GET", "/");
    assert!(status == 200 && page.contains("tokyo"), "{page}");
    let metrics = http(vantage.admin, "GET", "/metrics").1;
    assert!(
        !metrics.contains("meridian_geoip_build_timestamp_seconds{")
            && !metrics.contains("meridian_geoip_old{"),
        "{metrics}"
    );

    // What overrides are for is not here.
    let headers = "Authorization: Bearer s3cret-of-16-octets\r\n";
    for (method, body) in [("PUT", "{\"state\":\"drain\"}"), ("DELETE", "")] {
        let path = "/api/v1/overrides/us";
        let (status, answer) = http_with(vantage.admin, method, path, headers, body);
        assert!(
            status == 409 && answer.contains("on a name server"),
            "{answer}"
        );
    }
    let status = vantage
        .folder
        .meridian(&["status", "--server", &vantage.admin.to_string()]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(" as a vantage, up"), "{status}");
    assert!(!status.contains("database"), "{status}");

    let more =
        "[pool.more]\nlocation = [0, 0]\nmonitor = \"ready\"\nendpoints = [\"127.0.90.5\"]\n";
    vantage.folder.write("pools.toml", format!("{pools}{more}"));
    vantage.signal("-HUP");
    eventually("the new pool", || {
        (is_up(&vantage, "more") == Some(true)).then_some(())
    });
    assert_eq!(is_up(&vantage, "eu"), Some(false));

    vantage.signal("-TERM");
    let (code, folder, log) = vantage.ended();
    assert_eq!(code, Some(0), "{log}");
    backends.set(2, Mood::Hangs);
    let again = folder.vantage();
    assert_eq!(is_up(&again, "eu"), Some(false), "as the last run left it");
}

#[test]
fn a_vantage_without_a_fleet_or_pools_is_refused() {
    for (line, expected) in [
        (
            "[cluster]\nnats = [\"nats://127.0.0.1:1\"]\nnode = \"tokyo\"\n",
            "has no [cluster], expected one",
        ),
        ("pools = \"pools.toml\"\n", "has no `pools`, expected"),
    ] {
        let folder = folder(&world(91, 1));
        let text = std::fs::read_to_string(folder.path("meridian.toml")).expect("text");
        folder.write("meridian.toml", text.replace(line, ""));
        let output = folder.meridian(&["vantage"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}
