//! `simulate`, `diff`, and reloads that would move too many clients.

use std::sync::Arc;

use meridian::base::diag::Report;
use meridian::mmdb::country_db;
use serde_json::Value;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::Server;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::still_world;

const AUTH: &str = "Authorization: Bearer s3cret-of-16-octets\r\n";

/// A network of the United States, which have two fifths of all addresses.
const UNITED_STATES: &str = "12.0.0.0/24";

fn reload(server: &Server, query: &str) -> (u16, String) {
    let path = format!("/api/v1/reload{query}");
    http_with(server.admin, "POST", &path, AUTH, "")
}

/// A database in which the networks X.0.0.0/8 lie in these countries.
fn database(country_of: impl Fn(u32) -> &'static str) -> Vec<u8> {
    let line = |x: u32| format!("{},{},{}\n", x << 24, (x << 24) | 0xFF_FFFF, country_of(x));
    let ipv4: String = (11..100).map(line).collect();
    let ipv6 = "2a00::,2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff,FR\n";
    let names: [Arc<str>; 2] = ["ipv4".into(), "ipv6".into()];
    let mut report = Report::default();
    let built = country_db::build((&names[0], &ipv4), (&names[1], ipv6), 1, &mut report);
    built.unwrap_or_else(|| unreachable!("{report}"))
}

#[test]
fn an_edit_that_moves_too_many_is_refused_unless_forced() {
    let pools = still_world(150);
    let server = Folder::usual(&pools, "[safety]\nmax_move = \"30%\"\n").serve();
    let served_by_us = || server.moves_to("app.example.com", UNITED_STATES, "127.0.150.1");
    served_by_us();
    // 4 % of the addresses: below the limit.
    let fewer = pools.replace(", \"jp\", \"br\"]", ", \"jp\"]");
    server.folder.write("pools.toml", &fewer);
    assert_eq!(reload(&server, "").0, 200);
    // Whoever watches the files refuses it like whoever is asked.
    let without_us = fewer.replace("[\"us\", ", "[");
    server.folder.write("pools.toml", &without_us);
    server.wait_for_log("[safety] max_move");
    let (status, body) = reload(&server, "");
    assert_eq!(status, 422, "{body}");
    for part in [
        "pools.toml:",
        "of the ipv4 addresses that ask for `app.example.com` would leave their pool",
        "more than the 30 % of [safety] max_move: us to eu ",
        "(US 4",
        "reload with force",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    served_by_us();
    let (_, diff) = http(server.admin, "GET", "/api/v1/diff");
    let diff: Value = serde_json::from_str(&diff).expect("JSON");
    assert_eq!(diff["names"]["changed"][0]["keys"][0], "pools", "{diff}");
    assert_eq!(diff["moves"][0]["moves"][0]["from"], "us", "{diff}");
    assert!(
        diff["refused"][0]
            .as_str()
            .expect("a text")
            .contains("max_move")
    );
    assert_eq!(reload(&server, "?force=maybe").0, 400);
    assert_eq!(reload(&server, "?force=true").0, 200);
    server.moves_to("app.example.com", UNITED_STATES, "127.0.150.2");
    // A new family is no move, and nor is a new name.
    let more = without_us.replace("\"127.0.150.2\"", "\"127.0.150.2\", \"2001:db8::2\"");
    server.folder.write(
        "pools.toml",
        more + "[steer.\"new.example.com\"]\npools = [\"jp\"]\n",
    );
    assert_eq!(reload(&server, "").0, 200);
    assert_eq!(reload(&server, "").0, 200);
}

#[test]
fn a_database_that_moves_too_many_is_refused() {
    let more = "[geoip]\ndatabase = \"geo.mmdb\"\n[safety]\nmax_move = \"20%\"\n";
    let folder = Folder::usual(&still_world(151), more);
    folder.write("geo.mmdb", database(|x| if x < 50 { "US" } else { "FR" }));
    let server = folder.serve();
    let served_by =
        |subnet: &str, address: &str| server.moves_to("app.example.com", subnet, address);
    served_by("90.0.0.0/24", "127.0.151.2");
    // One of 89 networks has moved.
    server
        .folder
        .write("geo.mmdb", database(|x| if x < 49 { "US" } else { "FR" }));
    assert_eq!(reload(&server, "").0, 200);
    served_by("49.0.0.0/24", "127.0.151.2");
    // Half of the world is said to lie in Japan.
    server
        .folder
        .write("geo.mmdb", database(|x| if x < 49 { "US" } else { "JP" }));
    let (status, body) = reload(&server, "");
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("geo.mmdb:1:1: 57.3 %"), "{body}");
    assert!(body.contains("eu to jp 57.3 % (FR 57.3 %)"), "{body}");
    served_by("90.0.0.0/24", "127.0.151.2");
    assert_eq!(reload(&server, "?force=true").0, 200);
    served_by("90.0.0.0/24", "127.0.151.3");
}

#[test]
fn without_a_limit_everything_may_move() {
    let server = Folder::usual(&still_world(152), "").serve();
    server.moves_to("app.example.com", JAPAN, "127.0.152.3");
    let pools = still_world(152).replace("[\"us\", \"eu\", \"jp\", \"br\"]", "[\"eu\"]");
    server.folder.write("pools.toml", pools);
    assert_eq!(reload(&server, "").0, 200);
    server.moves_to("app.example.com", JAPAN, "127.0.152.2");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a row per difference")]
fn other_files_are_compared_with_what_is_served() {
    let pools = still_world(153);
    let server = Folder::usual(&pools, "").serve();
    let admin = server.admin.to_string();
    let meridian = |arguments: &[&str]| {
        let server_options = ["--server", &*admin, "--token-file", "token"];
        let output = server
            .folder
            .meridian(&[arguments, &server_options].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let same = meridian(&["diff"]);
    assert_eq!(
        same,
        (Some(0), "nothing would change\n".into(), String::new())
    );

    let other = Folder::usual(&pools, "");
    let zone = std::fs::read_to_string(other.path("zones/example.com.zone")).expect("a zone");
    other.write("zones/example.com.zone", zone + "extra A 192.0.2.77\n");
    let changed = pools
        .replace("[\"us\", ", "[")
        .replace("location = [35.69", "location = [35.70");
    other.write(
        "pools.toml",
        changed + "[pool.za]\nlocation = [-26.2, 28.0]\nendpoints = [\"127.0.153.9\"]\n",
    );
    let path = other.path("meridian.toml");
    let (code, text, stderr) = meridian(&["diff", &path.to_string_lossy()]);
    assert_eq!(code, Some(0), "{stderr}");
    for part in [
        "+ pool za\n",
        "~ pool jp: location\n",
        "~ name app.example.com: pools\n",
        "zone example.com: 1 records added, 0 removed",
        "  + extra.example.com. 3600 A 192.0.2.77\n",
        "app.example.com (ipv4): ",
        " us    eu ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    server.moves_to("app.example.com", UNITED_STATES, "127.0.153.1");

    let path = format!("/api/v1/diff?config={}", path.display());
    assert_eq!(http(server.admin, "GET", &path).0, 401);
    assert_eq!(
        http_with(server.admin, "GET", "/api/v1/diff?config=x.toml", AUTH, "").0,
        400
    );
    other.write("pools.toml", "nonsense");
    let (status, body) = http_with(server.admin, "GET", &path, AUTH, "");
    assert_eq!(status, 422);
    assert!(body.contains("pools.toml:1:"), "{body}");
    let (code, _, stderr) = meridian(&["diff", &other.path("meridian.toml").to_string_lossy()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("pools.toml:1:"), "{stderr}");
    let (folder, nobody) = (Folder::usual(&pools, ""), "127.0.0.1:1");
    let output = folder.meridian(&["diff", "--server", nobody]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("no answer from the server at http://127.0.0.1:1"),
        "{stderr}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a row per form of the command")]
fn simulate_says_who_serves_whom_and_who_takes_over() {
    let folder = Folder::usual(&still_world(154), "");
    let simulate = |arguments: &[&str]| {
        let output = folder.meridian(&[&["simulate"], arguments].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, text, _) = simulate(&["app.example.com", "--down", "eu", "--json"]);
    assert_eq!(code, Some(0));
    let simulated: Value = serde_json::from_str(&text).expect("JSON");
    let ipv4 = &simulated["names"][0]["ipv4"];
    let number = |value: &Value| value.as_f64().expect("a number");
    let pools = |of: &Value| of["pools"].as_array().expect("pools").clone();
    let sum = |of: &Value| {
        pools(of)
            .iter()
            .map(|pool| number(&pool["share"]))
            .sum::<f64>()
    };
    assert!((sum(ipv4) - 1.0).abs() < 1e-5 && (sum(&ipv4["down"]) - 1.0).abs() < 1e-5);
    assert_eq!((pools(ipv4).len(), pools(&ipv4["down"]).len()), (4, 3));
    let europe = pools(ipv4)
        .into_iter()
        .find(|pool| pool["pool"] == "eu")
        .expect("eu");
    let moved = &ipv4["down"]["moved"];
    assert!(
        (number(&moved["share"]) - number(&europe["share"])).abs() < 1e-5,
        "{moved}"
    );
    let first = &moved["moves"][0];
    assert_eq!(first["from"], "eu");
    assert!(number(&first["median_km_after"]) > number(&first["median_km_before"]));
    let france = ipv4["countries"].as_array().expect("countries");
    let france = france
        .iter()
        .find(|country| country["code"] == "FR")
        .expect("FR");
    assert_eq!(france["pools"][0]["pool"], "eu");

    folder.write(
        "clients.csv",
        format!("prefix,count\n{FRANCE},3\n{JAPAN},1\n"),
    );
    let (code, text, _) = simulate(&[
        "--weights",
        "clients.csv",
        "--svg",
        "world.svg",
        "app.example.com",
    ]);
    assert_eq!(code, Some(0));
    assert!(text.contains("4 located IPv4 clients (A)"), "{text}");
    assert!(text.contains(" eu    75.0 %"), "{text}");
    let map = std::fs::read_to_string(folder.path("world.svg")).expect("a map");
    assert!(
        map.contains("<title>FR: eu 100 %</title>")
            && map.contains("<title>US: no clients</title>")
    );

    folder.write("clients.csv", "nobody\n");
    for (arguments, fault) in [
        (&["--weights", "clients.csv"][..], "clients.csv:1:1: "),
        (&["--weights", "gone.csv"], "gone.csv:1:1: "),
        (&["ap.example.com"], "did you mean `app.example.com`?"),
        (&["--down", "ue"], "no pool is named `ue`; did you mean `"),
    ] {
        let (code, stdout, stderr) = simulate(arguments);
        assert_eq!((code, &*stdout), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(fault), "{fault}: {stderr}");
    }
}
