//! `meridian doctor` on zones that are broken on purpose: a signed root in a namespace delegates each of them to
//! Meridian and NSD in others, and BIND resolves. Each zone has one thing wrong, and that alone must be found.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::fleet::eventually;
use crate::net::Namespaces;
use crate::net::Network;
use crate::net::Running;
use crate::net::ip;

/// Holds the prefix of the namespaces in the copy of this test that runs inside the one with the bridges.
const INSIDE: &str = "MERIDIAN_NETNS_DOCTOR_PREFIX";

/// The last octets of the machines' addresses.
const ROOT: u8 = 10;
const MERIDIAN_A: u8 = 11;
const MERIDIAN_B: u8 = 12;
const NSD: u8 = 13;
/// NSD whose TCP is blocked.
const NSD_UDP: u8 = 14;
const RESOLVER: u8 = 20;
const MACHINES: [u8; 6] = [ROOT, MERIDIAN_A, MERIDIAN_B, NSD, NSD_UDP, RESOLVER];

/// What the zones' servers are called and where they are.
const A: Host = ("ns1", "198.18.2.11");
const B: Host = ("ns2", "198.18.3.12");
const N1: Host = ("ns1", "198.18.2.13");
const N2: Host = ("ns2", "198.18.3.13");

type Host = (&'static str, &'static str);

const PROGRAMS: [&str; 4] = [
    "/usr/sbin/nsd",
    "/usr/sbin/named",
    "/usr/bin/dnssec-keygen",
    "/usr/bin/dnssec-signzone",
];

/// How many zones are examined at a time.
const AT_ONCE: usize = 4;

const POOLS: &str = "
[pool.brazil]
location = [-23.5, -46.6]
endpoints = [\"198.18.3.101\"]
[pool.japan]
location = [35.7, 139.7]
endpoints = [\"198.18.3.103\"]
";

/// A zone below the root.
struct Case {
    zone: &'static str,
    /// Its delegation.
    parent: Vec<Host>,
    /// What its own NS records say.
    own: Vec<Host>,
    /// Who serves it.
    machines: Vec<u8>,
    /// More records, in the zone and, with `=` in front, in the root.
    more: &'static str,
    /// From when to when it is signed.
    signed: Option<[&'static str; 2]>,
    /// What must be found, besides what is fine.
    expected: &'static [&'static str],
}

/// Zones of Meridian alone, then those with NSD, which knows no client subnets.
#[rustfmt::skip]
fn cases() -> Vec<Case> {
    const M: &[u8] = &[MERIDIAN_A, MERIDIAN_B];
    const N: &[u8] = &[NSD];
    let case = |zone, parent: &[Host], own: &[Host], machines: &[u8], more, expected| Case {
        zone,
        parent: parent.into(),
        own: own.into(),
        machines: machines.into(),
        more,
        signed: None,
        expected,
    };
    let nsd = |zone, more, expected| case(zone, &[N1, N2], &[N1, N2], N, more, expected);
    let signed = |zone, more, from, to, expected| Case {
        signed: Some([from, to]),
        ..nsd(zone, more, expected)
    };
    let alone = |zone, second: Host, expected| {
        case(zone, &[A, second], &[A, second], &[MERIDIAN_A], "", expected)
    };
    vec![
        case("fine", &[A, B], &[A, B], M, "alias CNAME ns1", &[]),
        case("differ", &[A, B], &[A, B], M, "", &["answers_differ"]),
        case("old", &[A, B], &[A, B], M, "", &["serial_differs"]),
        alone("lame", ("ns2", "198.18.3.10"), &["lame"]),
        alone("refused", ("ns2", "198.18.3.20"), &["no_answer"]),
        alone("silent", ("ns2", "198.18.3.200"), &["no_answer"]),
        case("glue", &[A, B], &[A, ("ns2", "198.18.1.12")], M, "", &["glue_differs"]),
        case("noglue", &[A, ("ns2", "")], &[A, B], M, "", &["glue_missing"]),
        case("more", &[A, B], &[A, B, ("ns3", "198.18.1.12")], M, "", &["ns_missing_at_parent"]),
        case("less", &[A, B, ("ns3", "198.18.1.12")], &[A, B], M, "ns3 A 198.18.1.12", &["ns_missing_in_zone"]),
        case("alias", &[A, B, ("alias.fine.", "")], &[A, B, ("alias.fine.", "")], M, "", &["ns_cname"]),
        case("nobody", &[A, B, ("nobody.fine.", "")], &[A, B, ("nobody.fine.", "")], M, "", &["ns_unresolvable"]),
        case("short", &[A, B], &[A, B], M, "", &["delegation_ttl"]),
        case("one", &[A], &[A], &[MERIDIAN_A], "", &["one_server"]),
        case("v6", &[A, B], &[A, B], M, "=ns1 AAAA fd00:2::11\n=ns2 AAAA fd00:3::12", &["unreachable"]),
        case("ecs", &[A, N2], &[A, N2], &[MERIDIAN_A, NSD], "", &["ecs_missing"]),
        case("tcp", &[N1, ("ns2", "198.18.3.14")], &[N1, ("ns2", "198.18.3.14")], &[NSD, NSD_UDP], "", &["tcp_blocked", "ecs_unused"]),
        case("near", &[A, ("ns2", "198.18.2.12")], &[A, ("ns2", "198.18.2.12")], M, "", &["one_network"]),
        nsd("open", "", &["transfer_open", "ecs_unused"]),
        nsd("long", "", &["ecs_unused"]),
        signed("signed", "=DS", "20260101000000", "20900101000000", &["ecs_unused"]),
        signed("island", "", "20260101000000", "20900101000000", &["ecs_unused", "dnskey_without_ds"]),
        signed("expired", "=DS", "20250101000000", "20260101000000", &["signature_expired", "ecs_unused"]),
        signed("early", "=DS", "20890101000000", "20900101000000", &["signature_early", "ecs_unused"]),
        // The DS of another zone's key.
        signed("wrong", "=DS signed", "20260101000000", "20900101000000", &["ds_mismatch", "ecs_unused"]),
        nsd("bogus", "=DS signed", &["ds_without_dnskey", "ecs_unused"]),
    ]
}

#[test]
fn doctor_finds_what_is_broken() {
    if let Ok(prefix) = env::var(INSIDE) {
        return World::start(&prefix).examine();
    }
    let made = PROGRAMS.iter().all(|program| Path::new(program).exists());
    let Some(mut namespaces) = made.then(|| Namespaces::new("doctor")).flatten() else {
        return crate::pass_over("doctor in namespaces needs root, iproute2, NSD and BIND");
    };
    for machine in MACHINES {
        namespaces.add(machine);
    }
    namespaces.run_inside("doctor::doctor_finds_what_is_broken", INSIDE);
}

impl Case {
    fn records(&self, hosts: &[Host]) -> String {
        let mut text = String::new();
        for (host, address) in hosts {
            let host = match host.ends_with('.') {
                true => (*host).to_owned(),
                false => format!("{host}.{}.", self.zone),
            };
            text += &format!("{}. NS {host}\n", self.zone);
            if !address.is_empty() {
                text += &format!("{host} A {address}\n");
            }
        }
        text
    }

    /// The zone as a machine has it.
    fn text(&self, machine: u8) -> String {
        let serial = match (self.zone, machine) {
            ("old", MERIDIAN_B) => 6,
            _ => 7,
        };
        let zone = self.zone;
        let ttl = if zone == "short" { 60 } else { 3600 };
        let mut text = format!(
            "$ORIGIN {zone}.\n$TTL {ttl}\n@ IN SOA ns1 hostmaster {serial} 3600 900 604800 300\n"
        );
        text += &self.records(&self.own);
        for line in self.more.lines().filter(|line| !line.starts_with("=DS")) {
            text += &format!("{}\n", line.trim_start_matches('='));
        }
        if [NSD, NSD_UDP].contains(&machine) {
            text += "www A 203.0.113.1\n";
        }
        if zone == "long" {
            text.extend((0..14).map(|n| format!("@ TXT \"{n:0>240}\"\n")));
        }
        text
    }

    /// What the root has of it.
    fn delegation(&self, keys: &Path) -> String {
        let mut text = self.records(&self.parent);
        for line in self.more.lines().filter_map(|line| line.strip_prefix('=')) {
            match line.strip_prefix("DS") {
                Some(of) => {
                    let of = Some(of.trim())
                        .filter(|of| !of.is_empty())
                        .unwrap_or(self.zone);
                    let ds = fs::read_to_string(keys.join(format!("dsset-{of}.")));
                    let ds = ds.expect("a DS set");
                    text += &ds.replace(&format!("{of}."), &format!("{}.", self.zone));
                }
                None => text += &line.replacen(' ', &format!(".{}. ", self.zone), 1),
            }
            text.push('\n');
        }
        text
    }
}

/// Everything that runs.
struct World {
    prefix: String,
    folder: TempDir,
    cases: Vec<Case>,
    running: Vec<Running>,
}

impl World {
    fn start(prefix: &str) -> Self {
        let mut world = Self {
            prefix: prefix.into(),
            folder: tempfile::tempdir().expect("a folder"),
            cases: cases(),
            running: Vec::new(),
        };
        assert!(ip(&[
            "addr",
            "add",
            "fd00:2::fe/64",
            "dev",
            "front",
            "nodad"
        ]));
        let machine = |machine: u8| format!("{prefix}-{machine}");
        let front = ["addr", "add", "fd00:2::11/64", "dev", "front", "nodad"];
        assert!(ip(&[&["-n", &machine(MERIDIAN_A)], &front[..]].concat()));
        let block = ["rule", "add", "ipproto", "tcp", "sport", "53", "blackhole"];
        assert!(ip(&[&["-n", &machine(NSD_UDP)], &block[..]].concat()));
        fs::create_dir(world.dir("keys")).expect("a folder");
        for machine in [NSD, NSD_UDP] {
            world.run_nsd(machine);
        }
        for machine in [MERIDIAN_A, MERIDIAN_B] {
            world.run_meridian(machine);
        }
        world.run_root();
        world.run_resolver();
        world.write_client();
        world.is_up();
        world
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&mut self, machine: u8, program: &str, arguments: &[&str]) {
        let dir = self.dir(&machine.to_string());
        let log = fs::File::create(dir.join("log")).expect("a file");
        let mut command = Namespaces::command(&self.prefix, machine, program);
        command.current_dir(dir).args(arguments).stderr(log);
        self.running.push(Running::start(&mut command));
    }

    fn write(&self, machine: u8, file: &str, text: &str) {
        let path = self.dir(&machine.to_string()).join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn run_nsd(&mut self, machine: u8) {
        let mut zones = String::new();
        let texts: Vec<(String, String)> = self
            .cases
            .iter()
            .filter(|case| case.machines.contains(&machine))
            .map(|case| {
                let text = case.text(machine);
                let text = match case.signed {
                    Some(times) => self.sign(case.zone, &text, times),
                    None => text,
                };
                (case.zone.to_owned(), text)
            })
            .collect();
        for (zone, text) in texts {
            let transfer = match &*zone {
                "open" => " provide-xfr: 0.0.0.0/0 NOKEY\n",
                _ => "",
            };
            self.write(machine, &format!("{zone}.zone"), &text);
            zones += &format!("zone:\n name: {zone}\n zonefile: {zone}.zone\n{transfer}");
        }
        self.start_nsd(machine, &zones);
    }

    fn start_nsd(&mut self, machine: u8, zones: &str) {
        let addresses = Network::ALL.map(|network| network.address(machine));
        let addresses = addresses.map(|address| format!(" ip-address: {address}\n"));
        let text = format!(
            "server:\n{} username: \"\"\n chroot: \"\"\n zonesdir: \".\"\n database: \"\"\n pidfile: \"\"\n \
             xfrdfile: \"\"\n zonelistfile: \"nsd.list\"\n xfrdir: \".\"\n rrl-ratelimit: 0\n server-count: 1\n \
             ipv4-edns-size: 4096\n answer-cookie: yes\nremote-control:\n control-enable: no\n{zones}",
            addresses.concat()
        );
        self.write(machine, "nsd.conf", &text);
        self.run(machine, PROGRAMS[0], &["-d", "-c", "nsd.conf"]);
    }

    fn run_meridian(&mut self, machine: u8) {
        let mut pools = POOLS.to_owned();
        for case in self
            .cases
            .iter()
            .filter(|case| case.machines.contains(&machine))
        {
            let zone = case.zone;
            self.write(machine, &format!("zones/{zone}.zone"), &case.text(machine));
            let names = match (zone, machine) {
                ("differ", MERIDIAN_B) => "\"japan\"",
                _ => "\"brazil\", \"japan\"",
            };
            pools += &format!("[steer.\"www.{zone}\"]\npools = [{names}]\n");
        }
        self.write(machine, "pools.toml", &pools);
        let mut listen: Vec<String> = Network::ALL
            .map(|network| format!("\"{}:53\"", network.address(machine)))
            .into();
        if machine == MERIDIAN_A {
            listen.push("\"[fd00:2::11]:53\"".into());
        }
        let text = format!(
            "zones = \"zones\"\npools = \"pools.toml\"\n[server]\nlisten = [{}]\nworkers = 1\n",
            listen.join(", ")
        );
        self.write(machine, "meridian.toml", &text);
        self.run(
            machine,
            env!("CARGO_BIN_EXE_meridian"),
            &["-c", "meridian.toml", "serve"],
        );
    }

    /// Signs a zone with a key of its own; its DS set stays among the keys.
    fn sign(&self, zone: &str, text: &str, [from, to]: [&str; 2]) -> String {
        let keys = self.dir("keys");
        let origin = format!("{zone}.");
        fs::write(keys.join("in"), text).expect("a file");
        let keygen = ["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", &origin];
        let times = [
            "-S", "-z", "-P", "-s", from, "-e", to, "-o", &origin, "-f", "out", "in",
        ];
        for (program, arguments) in [(PROGRAMS[2], &keygen[..]), (PROGRAMS[3], &times[..])] {
            let output = Command::new(program)
                .current_dir(&keys)
                .args(arguments)
                .output()
                .expect("it runs");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} for {zone}: {error}");
        }
        fs::read_to_string(keys.join("out")).expect("a signed zone")
    }

    fn run_root(&mut self) {
        let address = Network::Front.address(ROOT);
        let mut text = format!(
            "$ORIGIN .\n$TTL 3600\n@ IN SOA ns hostmaster 1 3600 900 604800 300\n@ NS ns\nns A {address}\n"
        );
        for case in &self.cases {
            text += &case.delegation(&self.dir("keys"));
        }
        let text = self.sign("", &text, ["20260101000000", "20900101000000"]);
        self.write(ROOT, "root.zone", &text);
        self.start_nsd(ROOT, "zone:\n name: \".\"\n zonefile: root.zone\n");
    }

    fn run_resolver(&mut self) {
        let front = Network::Front.address(RESOLVER);
        let text = format!(
            "options {{ directory \".\"; listen-on {{ {front}; }}; listen-on-v6 {{ none; }}; pid-file none; \
             session-keyfile none; recursion yes; allow-query {{ any; }}; dnssec-validation no; \
             empty-zones-enable no; }};\ncontrols {{ }};\nzone \".\" {{ type hint; file \"hints\"; }};\n"
        );
        let root = Network::Front.address(ROOT);
        self.write(
            RESOLVER,
            "hints",
            &format!(". 3600 NS ns.\nns. 3600 A {root}\n"),
        );
        self.write(RESOLVER, "named.conf", &text);
        self.run(
            RESOLVER,
            PROGRAMS[1],
            &["-g", "-n", "1", "-c", "named.conf"],
        );
    }

    /// The configuration of the machine where the doctor runs, which says who resolves.
    fn write_client(&self) {
        let dir = self.dir("client");
        fs::create_dir_all(dir.join("zones")).expect("a folder");
        let resolver = Network::Front.address(RESOLVER);
        let text = format!(
            "zones = \"zones\"\n[server]\nlisten = [\"127.0.0.1:53\"]\n[resolve]\nservers = [\"{resolver}:53\"]\n"
        );
        fs::write(dir.join("meridian.toml"), text).expect("a file");
        let zone =
            "@ 300 SOA ns1 hostmaster 1 3600 900 604800 300\n@ 300 NS ns1\nns1 300 A 127.0.0.1\n";
        fs::write(dir.join("zones/local.zone"), zone).expect("a file");
    }

    /// Waits until every server answers for every zone, and the resolver for one of them.
    fn is_up(&self) {
        let asked = self.cases.iter().flat_map(|case| {
            let zone = case.zone;
            case.machines.iter().map(move |machine| (*machine, zone))
        });
        let others = [(ROOT, ""), (RESOLVER, "fine")];
        for (machine, zone) in asked.chain(others) {
            eventually(&format!("`{zone}` on machine {machine}"), || {
                serves(machine, zone).then_some(())
            });
        }
    }

    /// Examines all zones, some at a time; then one of them again where no fragment arrives.
    fn examine(self) {
        for cases in self.cases.chunks(AT_ONCE) {
            thread::scope(|scope| {
                for case in cases {
                    scope.spawn(|| self.finds(case.zone, case.expected));
                }
            });
        }
        self.finds("absent", &["not_delegated"]);
        let limits = "/proc/sys/net/ipv4/ipfrag_";
        for limit in ["low_thresh", "high_thresh"] {
            fs::write(format!("{limits}{limit}"), "0").expect("a limit of this namespace");
        }
        self.finds("long", &["fragments", "ecs_unused"]);
    }

    fn finds(&self, zone: &str, expected: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_meridian"))
            .current_dir(self.dir("client"))
            .args(["doctor", &format!("www.{zone}"), "--json"])
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let findings = document["findings"].as_array().cloned().unwrap_or_default();
        let kinds = findings
            .iter()
            .filter_map(|finding| finding["kind"].as_str());
        let kinds: Vec<&str> = kinds.collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(kinds, expected, "{zone}: {text}{errors}");
        let n_faults = findings
            .iter()
            .filter(|finding| finding["severity"] == "fault")
            .count();
        let code = i32::from(n_faults > 0);
        assert_eq!(output.status.code(), Some(code), "{zone}: {text}{errors}");
    }
}

/// Whether a machine answers for the SOA of a zone that is one label, or the root.
fn serves(machine: u8, zone: &str) -> bool {
    let server: SocketAddr = format!("{}:53", Network::Front.address(machine))
        .parse()
        .expect("an address");
    let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    if !zone.is_empty() {
        query.push(zone.len() as u8);
        query.extend(zone.bytes());
    }
    query.extend(b"\0\0\x06\0\x01");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    let mut response = [0; 4096];
    let is_asked = socket.connect(server).is_ok() && socket.send(&query).is_ok();
    is_asked && socket.recv(&mut response).is_ok() && response[3] & 0x0F == 0 && response[7] > 0
}
