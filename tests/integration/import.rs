//! `meridian import`: what is made of other systems' files, that it loads, and what it answers.
//!
//! The examples in `tests/import` have every feature that is known; the snapshots beside this file are what
//! they become.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use hickory_proto::rr::RecordType;

use crate::harness::BRAZIL;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::SOUTH_AFRICA;
use crate::harness::eventually;
use crate::harness::exchange;
use crate::harness::query;
use crate::secondaries::free_address;
use crate::secondaries::program;
use crate::secondaries::start;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the program among the examples of a system.
fn import(system: &str, arguments: &[&str]) -> Output {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    Command::new(env!("CARGO_BIN_EXE_meridian"))
        .current_dir(examples.join(system))
        .args(["import", system])
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// Makes a database of the few countries that are asked for: `explain` reads it in no time.
fn small_database(folder: &Folder) {
    let range = |subnet: &str, country: &str| {
        let first: Ipv4Addr = subnet.trim_end_matches("/24").parse().expect("an address");
        let first = first.to_bits();
        (first, format!("{first},{},{country}\n", first | 0xFF))
    };
    let mut ranges = [
        (BRAZIL, "BR"),
        (FRANCE, "FR"),
        (JAPAN, "JP"),
        (SOUTH_AFRICA, "ZA"),
    ]
    .map(|(subnet, country)| range(subnet, country));
    ranges.sort();
    let v4: String = ranges.into_iter().map(|(_, range)| range).collect();
    folder.write("v4", v4).write(
        "v6",
        "2001:db8:ffff::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,FR\n",
    );
    let output = folder.meridian(&[
        "geoip",
        "build",
        "--ipv4",
        "v4",
        "--ipv6",
        "v6",
        "--output",
        "small.mmdb",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// A folder with the result of an import, which loads.
fn imported(system: &str, arguments: &[&str]) -> Folder {
    let folder = Folder::new();
    let out = folder.path("");
    let out = out.to_str().expect("UTF-8");
    let output = import(system, &[arguments, &["--out", out]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    small_database(&folder);
    let settings =
        "zones = \"zones\"\npools = \"pools.toml\"\n[geoip]\ndatabase = \"small.mmdb\"\n";
    folder.write("meridian.toml", settings);
    let output = folder.meridian(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    folder
}

/// All files, without the serials that the clock made.
fn files(folder: &Folder) -> String {
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let mut text = read(&folder.path("pools.toml"));
    let zones = fs::read_dir(folder.path("zones")).expect("zones");
    let mut zones: Vec<_> = zones.map(|entry| entry.expect("an entry").path()).collect();
    zones.sort();
    for zone in zones {
        let name = zone
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        text += &format!("; {name}\n{}", read(&zone));
    }
    let is_serial = |word: &str| word.len() == 10 && word.starts_with("17");
    let line = |line: &str| {
        let words = line.split(' ');
        let words: Vec<_> = words
            .map(|word| if is_serial(word) { "SERIAL" } else { word })
            .collect();
        words.join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The addresses that a client gets while some pools are down.
fn answer(folder: &Folder, name: &str, rtype: &str, client: &str, down: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "explain", name, "--type", rtype, "--client", client, "--json",
    ];
    for pool in down {
        arguments.extend(["--down", pool]);
    }
    let output = folder.meridian(&arguments);
    let json = serde_json::from_slice::<serde_json::Value>(&output.stdout);
    let json = json.expect("JSON");
    let answer = json["answer"].as_array().cloned().unwrap_or_default();
    let address = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let mut addresses: Vec<_> = answer.iter().filter_map(address).collect();
    addresses.sort();
    addresses
}

/// What a client is to be answered: the name, the type, the client, the pools that are down, the addresses.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn check_answers(folder: &Folder, rows: &[Row]) {
    for (name, rtype, client, down, expected) in rows {
        let answer = answer(folder, name, rtype, client, down);
        assert_eq!(answer, *expected, "{name} {rtype} {client} {down:?}");
    }
}

#[test]
fn octodns_zones_become_pools_and_zones() {
    let folder = imported("octodns", &["example.com.yaml"]);
    insta::assert_snapshot!("octodns", files(&folder));
    let www = "www.example.com";
    check_answers(
        &folder,
        &[
            (www, "A", BRAZIL, &[], &["192.0.2.21"]),
            (www, "AAAA", BRAZIL, &[], &["2001:db8::21"]),
            (www, "AAAA", FRANCE, &[], &["2001:db8::11"]),
            (www, "A", FRANCE, &["www-eu"], &["192.0.2.21"]),
            (www, "AAAA", JAPAN, &[], &["2001:db8::1"]),
            (www, "AAAA", SOUTH_AFRICA, &[], &["2001:db8::1"]),
            (
                www,
                "AAAA",
                JAPAN,
                &["www-apac", "www-na"],
                &["2001:db8::21"],
            ),
            ("example.com", "AAAA", JAPAN, &[], &["2001:db8::1"]),
            (www, "AAAA", "198.51.100.0/24", &[], &["2001:db8::11"]),
            ("tcp.example.com", "A", FRANCE, &[], &["192.0.2.31"]),
            ("tcp.example.com", "AAAA", FRANCE, &[], &["2001:db8::31"]),
            ("geo.example.com", "A", FRANCE, &[], &["192.0.2.41"]),
            ("geo.example.com", "A", BRAZIL, &[], &["192.0.2.44"]),
            ("old.example.com", "A", BRAZIL, &[], &["192.0.2.51"]),
        ],
    );
}

#[expect(clippy::too_many_lines, reason = "a table of answers")]
#[test]
fn route53_record_sets_become_pools_and_zones() {
    let files_of_all = ["record-sets.json", "health-checks.json", "cidr-blocks.json"];
    let folder = imported("route53", &files_of_all);
    insta::assert_snapshot!("route53", files(&folder));
    let (api, geo) = ("api.example.com", "geo.example.com");
    check_answers(
        &folder,
        &[
            (
                "www.example.com",
                "A",
                FRANCE,
                &["www-green"],
                &["192.0.2.11"],
            ),
            (
                "example.com",
                "A",
                FRANCE,
                &["www-blue"],
                &["192.0.2.12", "192.0.2.13"],
            ),
            (
                "example.com",
                "AAAA",
                FRANCE,
                &["www-blue"],
                &["2001:db8::12"],
            ),
            (api, "A", FRANCE, &[], &["192.0.2.22"]),
            (
                api,
                "A",
                FRANCE,
                &["api-eu", "api-xx"],
                &["192.0.2.24", "192.0.2.25"],
            ),
            ("fo.example.com", "A", BRAZIL, &[], &["192.0.2.31"]),
            (
                "fo.example.com",
                "A",
                BRAZIL,
                &["fo-first"],
                &["192.0.2.32"],
            ),
            (
                "fo.example.com",
                "A",
                BRAZIL,
                &["fo-first", "fo-second"],
                &["192.0.2.31"],
            ),
            (geo, "A", FRANCE, &[], &["192.0.2.43"]),
            (geo, "A", FRANCE, &["geo-France"], &["192.0.2.42"]),
            (
                geo,
                "A",
                FRANCE,
                &["geo-France", "geo-Europe"],
                &["192.0.2.41"],
            ),
            (geo, "A", JAPAN, &[], &["192.0.2.41"]),
            (
                "many.example.com",
                "A",
                JAPAN,
                &[],
                &["192.0.2.51", "192.0.2.52", "192.0.2.53"],
            ),
            (
                "cidr.example.com",
                "A",
                "198.51.100.0/24",
                &[],
                &["192.0.2.61"],
            ),
            ("cidr.example.com", "A", SOUTH_AFRICA, &[], &["192.0.2.62"]),
            ("near.example.com", "A", JAPAN, &[], &["192.0.2.71"]),
            ("near.example.com", "A", FRANCE, &[], &["192.0.2.72"]),
            ("copy.example.com", "A", FRANCE, &[], &["192.0.2.1"]),
        ],
    );
}

/// A file that is imported with some options: the exit code, and what stderr has.
type Fault = (
    &'static str,
    &'static str,
    &'static [&'static str],
    i32,
    &'static str,
);

fn check_faults(system: &str, rows: &[Fault]) {
    let folder = Folder::new();
    for (name, content, more, code, expected) in rows {
        folder.write(name, content);
        let output = folder.meridian(&[&["import", system, name], *more].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{content}: {stderr}");
        assert!(stderr.contains(expected), "{content}: {stderr}");
    }
}

#[expect(clippy::too_many_lines, reason = "a table of faults")]
#[test]
fn what_cannot_be_imported_says_why() {
    const ODD: &str = "www: {type: X, value: 1}\n";
    check_faults(
        "octodns",
        &[
            ("a.yaml", "www: [\n", &[], 1, "a.yaml:2:1: is no YAML"),
            ("a.yaml", "- 1\n", &[], 1, "a.yaml:1:1: is no octoDNS zone"),
            (
                "a.yaml",
                "www:\n  ttl: 5\n",
                &[],
                1,
                "a.yaml:2:3: a record of `www` has no `type`",
            ),
            ("a..b.yaml", "", &[], 1, "expected FILE as octoDNS names it"),
            (
                "a.yaml",
                ODD,
                &["--strict"],
                1,
                "2 things have no equivalent",
            ),
            ("a.yaml", ODD, &[], 0, "2 things have no equivalent"),
            (
                "a.yaml",
                "www: {type: A, value: 1.2}\n",
                &[],
                1,
                "zones/a.zone:5:",
            ),
        ],
    );
    check_faults(
        "gdnsd",
        &[
            (
                "config",
                "options => {",
                &[],
                1,
                "config:1:13: the file ends here, expected a key",
            ),
            (
                "config",
                "plugins => {}",
                &[],
                1,
                "the zones beside it: cannot read zones",
            ),
            ("config", "", &["--ns", "a.test"], 1, "--ns are not for it"),
            ("config", "", &["config"], 1, "is one file"),
        ],
    );
    const EMPTY: &str = "{\"ResourceRecordSets\": []}";
    const NAMELESS: &str = "{\"ResourceRecordSets\": [{\"Type\": \"A\"}]}";
    check_faults(
        "route53",
        &[
            ("r.json", "{\n \"a\": }", &[], 1, "r.json:2:7: is no JSON"),
            (
                "r.json",
                "{}",
                &[],
                1,
                "r.json:1:1: has no ResourceRecordSets",
            ),
            ("r.json", EMPTY, &[], 1, "no record set of type SOA"),
            (
                "r.json",
                EMPTY,
                &["--origin", "a.test"],
                0,
                "1 thing has no equivalent",
            ),
            (
                "r.json",
                NAMELESS,
                &[],
                1,
                "a record set without a name or type: {Type: A}",
            ),
        ],
    );
    check_faults("bind", &[("a.yaml", "", &[], 2, "octodns")]);
    let output = import("gdnsd", &["zones"]);
    assert!(text(&output.stderr).contains("no YAML file in zones"));
    let output = import("octodns", &["missing.yaml"]);
    assert!(text(&output.stderr).contains("cannot read missing.yaml"));
}

#[test]
fn parts_can_be_cut_out_of_what_is_printed() {
    let output = import(
        "octodns",
        &[
            "example.com.yaml",
            "--ns",
            "a.example.org",
            "--ns",
            "b.example.org",
        ],
    );
    let stdout = text(&output.stdout);
    let (pools, zone) = stdout
        .split_once("; file: zones/example.com.zone\n")
        .expect("two parts");
    assert!(pools.starts_with("# file: pools.toml\n"));
    assert!(zone.contains("; replaced by --ns: NS ns1.example.net."));
    assert!(zone.contains("example.com. 3600 NS a.example.org.\n"));
    assert!(zone.contains(" SOA a.example.org. hostmaster.example.com. "));
}

/// MaxMind's public test database of cities; `None` where it is not beside the project.
fn city_database() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/geodata");
    let folder = env::var_os("MERIDIAN_GEODATA").map_or(beside, PathBuf::from);
    let path = folder.join("GeoIP2-City-Test.mmdb");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

/// A client subnet in each network of a database that holds whole ones.
fn subnets(database: &Path) -> Vec<String> {
    let reader = maxminddb::Reader::open_readfile(database).expect("a database");
    let networks = reader.networks(Default::default()).expect("networks");
    let subnet = |network: String| {
        let (address, len) = network.split_once('/')?;
        let (address, len): (IpAddr, u8) = (address.parse().ok()?, len.parse().ok()?);
        let is_special =
            |six: Ipv6Addr| six.segments()[0] == 0x2002 || six.segments()[..2] == [0x2001, 0];
        match address {
            IpAddr::V4(_) if len <= 24 => Some(format!("{address}/24")),
            IpAddr::V6(six) if len <= 56 && !is_special(six) => Some(format!("{address}/56")),
            _ => None,
        }
    };
    let networks = networks.filter_map(|found| found.expect("a network").network().ok());
    networks
        .filter_map(|network| subnet(network.to_string()))
        .collect()
}

#[test]
fn gdnsd_configurations_become_pools_and_zones() {
    let folder = imported("gdnsd", &["config"]);
    insta::assert_snapshot!("gdnsd", files(&folder));
}

/// gdnsd's example as files that it serves at an address.
fn gdnsd_example(address: SocketAddr, database: &Path) -> Folder {
    let folder = Folder::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/gdnsd");
    let read = |name: &str| fs::read_to_string(examples.join(name)).expect("an example");
    let (run, state) = (folder.path("run"), folder.path("state"));
    let listen = format!("listen => [ {address} ], run_dir => {run:?}, state_dir => {state:?}");
    // What is probed is down where the test runs.
    let config = read("config")
        .replace("service_types => [ db web ]", "service_types => up")
        .replace("service_types => web", "service_types => up")
        .replace("listen => [ 127.0.0.1 ]", &listen);
    folder
        .write("config", &config)
        .write("run/x", "")
        .write("state/x", "");
    for name in [
        "metafo.cfg",
        "more.inc",
        "geoip/near.nets",
        "zones/example.com",
    ] {
        folder.write(name, read(name));
    }
    fs::copy(database, folder.path("geoip/GeoIP2-City-Test.mmdb")).expect("a copy");
    folder
}

/// The addresses and TTLs that a server answers.
fn ask(
    server: SocketAddr,
    name: &str,
    rtype: RecordType,
    subnet: &str,
) -> (BTreeSet<IpAddr>, BTreeSet<u32>) {
    let reply = exchange(server, &query(name, rtype, Some(subnet)));
    let ttls = reply.message.answers.iter().map(|record| record.ttl);
    (reply.addresses().into_iter().collect(), ttls.collect())
}

#[test]
fn gdnsd_and_its_import_answer_alike() {
    let (Some(program), Some(database)) = (program("gdnsd"), city_database()) else {
        return;
    };
    let gdnsd = free_address();
    let original = gdnsd_example(gdnsd, &database);
    let path = |name: &str| original.path(name).to_str().expect("UTF-8").to_owned();
    let _peer = start(&program, &["-c", &path(""), "start"], &original.path(""));

    let folder = Folder::new();
    let output = folder.meridian(&["import", "gdnsd", &path("config"), "--out", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let settings = format!(
        "zones = \"zones\"\npools = \"pools.toml\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[geoip]\ndatabase = {database:?}\n"
    );
    folder.write("meridian.toml", settings);
    let meridian = folder.serve();
    eventually("gdnsd listens", || TcpStream::connect(gdnsd).ok());
    let subnets = subnets(&database);
    assert!(subnets.len() > 100, "{}", subnets.len());
    let (mut differences, mut n_answers) = (Vec::new(), 0);
    for name in [
        "app", "app2", "near", "mixed", "one", "www", "both", "pair", "first", "chain", "east",
    ] {
        let name = format!("{name}.example.com");
        for (subnet, rtype) in subnets
            .iter()
            .flat_map(|s| [(s, RecordType::A), (s, RecordType::AAAA)])
        {
            let theirs = ask(gdnsd, &name, rtype, subnet);
            n_answers += theirs.0.len();
            let ours = ask(meridian.dns, &name, rtype, subnet);
            // gdnsd answers nothing where the data centers of a client lack the family, and, other than its
            // manual says, where a map has `auto` below a list as default.
            let is_known = rtype == RecordType::AAAA || name.starts_with("mixed.");
            if theirs != ours && !(is_known && theirs.0.is_empty()) {
                differences.push(format!("{name} {rtype} {subnet}: {theirs:?} {ours:?}"));
            }
        }
    }
    assert!(n_answers > 1000, "{n_answers}");
    assert_eq!(differences, [""; 0], "of {} subnets", subnets.len());
}
