//! The machines: three name servers with a nats-server each, two vantages, three backends, as real processes in
//! namespaces of their own.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::net::Namespaces;
use crate::net::Network;
use crate::net::Running;

/// The last octets of the machines' addresses.
pub const NAME_SERVERS: [u8; 3] = [1, 2, 3];
pub const VANTAGES: [u8; 2] = [11, 12];
pub const BACKENDS: [u8; 3] = [101, 102, 103];

/// The regions: that of each backend, and the subnet of a client next to it.
pub const SUBNETS: [&str; 3] = ["200.160.0.0/24", "90.63.0.0/24", "126.0.0.0/24"];
pub const POOLS: [&str; 3] = ["brazil", "france", "japan"];
pub const NAME: &str = "app.example.com.";

/// Holds the address of a backend in the copy of this program that is one.
pub const BACKEND: &str = "MERIDIAN_NETNS_BACKEND";

const NATS_SERVER: &str = "/usr/sbin/nats-server";

/// The longest that any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(40);

/// The longest that evidence counts; so long a machine without NATS takes the others' last word.
pub const REPORT_MAX_AGE: Duration = Duration::from_secs(10);

const ZONE: &str = "$TTL 1h\n@ SOA ns1 hostmaster 7 1h 15m 1w 5m\n NS ns1\nns1 A 192.0.2.53\n";

const POOLS_TOML: &str = r#"
[monitor.ready]
type = "http"
port = 8081
path = "/_ready"
interval = "1s"
timeout = "500ms"

[pool.brazil]
location = [-23.5, -46.6]
endpoints = ["198.18.3.101"]
monitor = "ready"
[pool.france]
location = [48.9, 2.4]
endpoints = ["198.18.3.102"]
monitor = "ready"
[pool.japan]
location = [35.7, 139.7]
endpoints = ["198.18.3.103"]
monitor = "ready"

[steer."app.example.com"]
pools = ["france", "brazil", "japan"]
ttl = "10s"
"#;

/// Waits until `condition` gives something; returns it and how long it took.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return (value, start.elapsed());
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Everything that runs.
pub struct Fleet {
    prefix: String,
    folder: TempDir,
    nats: Vec<Running>,
    name_servers: Vec<Running>,
    vantages: Vec<Running>,
    backends: Vec<Running>,
}

impl Fleet {
    /// Starts all of it; `prefix` is that of the namespaces.
    pub fn start(prefix: &str) -> Self {
        let mut fleet = Self {
            prefix: prefix.into(),
            folder: tempfile::tempdir().expect("a folder"),
            nats: Vec::new(),
            name_servers: Vec::new(),
            vantages: Vec::new(),
            backends: Vec::new(),
        };
        fleet.backends = BACKENDS.map(|machine| fleet.run_backend(machine)).into();
        fleet.nats = NAME_SERVERS.map(|machine| fleet.run_nats(machine)).into();
        fleet.write_files();
        fleet.name_servers = NAME_SERVERS
            .map(|machine| fleet.run(machine, "serve"))
            .into();
        fleet.vantages = VANTAGES.map(|machine| fleet.run(machine, "vantage")).into();
        eventually("a fleet that agrees", || fleet.agrees().then_some(()));
        fleet
    }

    fn write_files(&self) {
        for machine in NAME_SERVERS.into_iter().chain(VANTAGES) {
            let dir = self.dir(machine);
            fs::create_dir_all(dir.join("zones")).expect("a folder");
            let is_name_server = NAME_SERVERS.contains(&machine);
            // A vantage has no nats-server of its own: any will do.
            let nats: Vec<_> = match is_name_server {
                true => vec![machine],
                false => NAME_SERVERS.into(),
            };
            let nats = nats
                .into_iter()
                .map(|machine| format!("\"nats://{}:4222\"", Network::Bus.address(machine)));
            let front = Network::Front.address(machine);
            let text = format!(
                "zones = \"zones\"\npools = \"pools.toml\"\nstate_dir = \"state\"\n\
                 [server]\nlisten = [\"{front}:53\"]\nworkers = 1\n\
                 [admin]\nlisten = \"{front}:9353\"\ntoken_file = \"token\"\n\
                 [health]\nreport_max_age = \"{}s\"\n\
                 [cluster]\nnats = [{}]\nnode = \"{}\"\n",
                REPORT_MAX_AGE.as_secs(),
                nats.collect::<Vec<_>>().join(", "),
                node(machine),
            );
            fs::write(dir.join("meridian.toml"), text).expect("a file");
            fs::write(dir.join("pools.toml"), POOLS_TOML).expect("a file");
            fs::write(dir.join("zones/example.com.zone"), ZONE).expect("a file");
            fs::write(dir.join("token"), "s3cret-of-16-octets\n").expect("a file");
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(dir.join("token"), mode).expect("a mode");
        }
    }

    fn dir(&self, machine: u8) -> PathBuf {
        self.folder.path().join(machine.to_string())
    }

    fn run_backend(&self, machine: u8) -> Running {
        let program = std::env::current_exe().expect("this test");
        let mut command = self.command(machine, &program);
        command
            .args(["--exact", "backend", "--nocapture"])
            .env(BACKEND, format!("{}:8081", Network::World.address(machine)));
        Running::start(&mut command)
    }

    fn run_nats(&self, machine: u8) -> Running {
        let routes = NAME_SERVERS
            .into_iter()
            .filter(|other| *other != machine)
            .map(|other| format!("\"nats://{}:6222\"", Network::Bus.address(other)));
        let bus = Network::Bus.address(machine);
        let text = format!(
            "server_name: {}\nlisten: \"{bus}:4222\"\nping_interval: \"2s\"\nping_max: 2\nwrite_deadline: \"5s\"\n\
             cluster {{\n name: meridian\n listen: \"{bus}:6222\"\n routes: [{}]\n}}\n",
            node(machine),
            routes.collect::<Vec<_>>().join(", "),
        );
        let path = self.folder.path().join(format!("nats-{machine}.conf"));
        fs::write(&path, text).expect("a file");
        let mut command = self.command(machine, Path::new(NATS_SERVER));
        command.arg("-c").arg(path);
        Running::start(command.stderr(std::process::Stdio::null()))
    }

    fn run(&self, machine: u8, subcommand: &str) -> Running {
        let program = Path::new(env!("CARGO_BIN_EXE_meridian"));
        let dir = self.dir(machine);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"));
        let mut command = self.command(machine, program);
        command
            .current_dir(&dir)
            .args(["-c", "meridian.toml", subcommand])
            .stderr(log.expect("a file"));
        Running::start(&mut command)
    }

    fn command(&self, machine: u8, program: &Path) -> Command {
        Namespaces::command(
            &self.prefix,
            machine,
            program.to_str().expect("a path in UTF-8"),
        )
    }

    /// The program on a name server.
    pub fn name_server(&mut self, machine: u8) -> &mut Running {
        &mut self.name_servers[usize::from(machine) - 1]
    }

    /// The nats-server beside it.
    pub fn nats(&mut self, machine: u8) -> &mut Running {
        &mut self.nats[usize::from(machine) - 1]
    }

    /// The program that is a backend.
    pub fn backend(&mut self, region: usize) -> &mut Running {
        &mut self.backends[region]
    }

    pub fn restart_backend(&mut self, region: usize) {
        self.backends[region] = self.run_backend(BACKENDS[region]);
    }

    pub fn restart_nats(&mut self, machine: u8) {
        self.nats[usize::from(machine) - 1] = self.run_nats(machine);
    }

    pub fn restart_name_server(&mut self, machine: u8) {
        self.name_servers[usize::from(machine) - 1] = self.run(machine, "serve");
    }

    /// Whether all name servers have the same configuration, overrides and verdicts, all of them up, and hear
    /// every other machine.
    pub fn agrees(&self) -> bool {
        let seen = NAME_SERVERS.map(|machine| self.agreeable(machine));
        seen[0].is_some() && seen.iter().all(|digests| *digests == seen[0])
    }

    /// What a name server has, in hashes; `None` if it misses anybody or anything is down.
    fn agreeable(&self, machine: u8) -> Option<Value> {
        let status = self.status(machine)?;
        let nodes = status["fleet"]["nodes"].as_array()?;
        let endpoints = status["pools"]
            .as_array()?
            .iter()
            .map(|pool| &pool["endpoints"]);
        let mut endpoints =
            endpoints.flat_map(|endpoints| endpoints.as_array().expect("endpoints"));
        let is_fine = status["ready"] == true
            && nodes.len() == NAME_SERVERS.len() + VANTAGES.len() - 1
            && nodes.iter().all(|node| node["lost"] == false)
            && endpoints.all(|endpoint| endpoint["health"] == "up");
        is_fine.then(|| status["fleet"]["digests"].clone())
    }

    /// A machine's status, unless it does not answer.
    pub fn status(&self, machine: u8) -> Option<Value> {
        let (status, body) = call(machine, "GET", "/api/v1/status", "")?;
        (status == 200).then(|| serde_json::from_str(&body).expect("JSON"))
    }

    /// Whether a machine has an override of a pool.
    pub fn has_override(&self, machine: u8, pool: &str) -> Option<bool> {
        let status = self.status(machine)?;
        let pools = status["pools"].as_array().expect("pools");
        let found = pools.iter().find(|found| found["name"] == pool);
        Some(!found.expect("the pool")["override"].is_null())
    }

    /// A number in a machine's metrics.
    pub fn metric(&self, machine: u8, series: &str) -> Option<f64> {
        let (_, body) = call(machine, "GET", "/metrics", "")?;
        let line = body.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// What a machine has logged.
    pub fn log(&self, machine: u8) -> String {
        fs::read_to_string(self.dir(machine).join("log")).expect("a log")
    }
}

/// A machine's name in the fleet.
pub fn node(machine: u8) -> String {
    match NAME_SERVERS.contains(&machine) {
        true => format!("ns{machine}"),
        false => format!("v{machine}"),
    }
}

/// The address that a region's backend is answered by.
pub fn address(region: usize) -> Ipv4Addr {
    Network::World
        .address(BACKENDS[region])
        .parse()
        .expect("an address")
}

/// Where a name server is asked.
pub fn dns(machine: u8) -> SocketAddr {
    format!("{}:53", Network::Front.address(machine))
        .parse()
        .expect("an address")
}

/// One call of the admin API; `None` if nobody answers.
pub fn call(machine: u8, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let admin: SocketAddr = format!("{}:9353", Network::Front.address(machine))
        .parse()
        .expect("an address");
    let mut stream = TcpStream::connect_timeout(&admin, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\nAuthorization: Bearer s3cret-of-16-octets\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let status = response.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = response.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}
