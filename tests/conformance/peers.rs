//! NSD, Knot DNS and BIND 9 as Debian packages them, and Meridian: found, configured and started on
//! loopback with the same zones.
//!
//! No peer keeps anything outside a temporary folder or opens a control socket. Each gets a port that
//! was free a moment ago; should another program take it meanwhile, the start is tried again.

use std::env;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use meridian::base::name::Name;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process_group;
use tempfile::TempDir;

use crate::exchange;
use crate::settings;
use crate::wire;
use crate::wire::Response;

/// If this is set, a peer that is not installed is a failure.
pub const REQUIRE: &str = "MERIDIAN_REQUIRE_PEERS";

/// The longest that a server may take to load its zones.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a server is started on yet another port.
const STARTS: usize = 3;

/// The servers in the order of all results; the last one is ours.
pub const NAMES: [&str; 4] = ["nsd", "knot", "bind", "meridian"];

/// The place of Meridian in [`NAMES`].
pub const OURS: usize = 3;

/// A zone as text.
#[derive(Clone, Debug)]
pub struct ZoneText {
    /// Without a final dot, save for the root.
    pub origin: String,
    pub text: String,
}

impl ZoneText {
    /// The name of its file.
    pub fn file(&self) -> String {
        match &*self.origin {
            "." => "root.zone".to_owned(),
            origin => format!("{origin}.zone"),
        }
    }
}

/// Finds a program as a shell would, and where Debian puts servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Where the peers' programs are.
pub struct Programs {
    servers: [PathBuf; 3],
    checkers: [PathBuf; 3],
}

impl Programs {
    /// Looks for all of them; `None` if one is not there, which is said on stderr.
    ///
    /// # Panics
    /// If one is not there and [`REQUIRE`] is set.
    pub fn find(test: &str) -> Option<Self> {
        let mut missing = Vec::new();
        let mut look = |program: &'static str| {
            find(program).unwrap_or_else(|| {
                missing.push(program);
                PathBuf::new()
            })
        };
        let found = Self {
            servers: ["nsd", "knotd", "named"].map(&mut look),
            checkers: ["nsd-checkzone", "kzonecheck", "named-checkzone"].map(&mut look),
        };
        if missing.is_empty() {
            return Some(found);
        }
        let missing = missing.join(", ");
        assert!(env::var_os(REQUIRE).is_none(), "not installed: {missing}");
        say(&format!(
            "conformance: SKIPPED `{test}`: not installed: {missing} \
             (Debian: apt install nsd knot knot-dnssecutils bind9)"
        ));
        None
    }

    /// Whether NSD, Knot and BIND take a zone.
    pub fn check(&self, origin: &str, file: &Path) -> [bool; 3] {
        // BIND: as `named` is configured.
        let arguments: [&[&str]; 3] = [&[], &["-o"], &["-q", "-k", "ignore", "-i", "local"]];
        std::array::from_fn(|at| {
            Command::new(&self.checkers[at])
                .args(arguments[at])
                .arg(origin)
                .arg(file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("the program runs")
                .success()
        })
    }
}

/// Says something even if the test passes: only the macros' output is kept back.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The three peers and Meridian with the same zones.
pub struct Fleet {
    servers: Vec<Server>,
    _folder: TempDir,
}

impl Fleet {
    /// Starts all four and waits until they answer from every zone.
    pub fn start(programs: &Programs, zones: &[ZoneText]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path();
        fs::create_dir(base.join("zones")).expect("a folder");
        for zone in zones {
            fs::write(base.join("zones").join(zone.file()), &zone.text).expect("a zone file");
        }
        let servers = (0..NAMES.len())
            .map(|at| Server::start(at, programs, base, zones))
            .collect();
        Self {
            servers,
            _folder: folder,
        }
    }

    /// The servers' addresses, in the order of [`NAMES`].
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    /// What happens to each server at the same time; the results in the order of [`NAMES`].
    pub fn each<T: Send>(&self, ask: impl Fn(SocketAddr) -> T + Sync) -> Vec<T> {
        let ask = &ask;
        thread::scope(|scope| {
            let asking: Vec<_> = self
                .addresses()
                .into_iter()
                .map(|address| scope.spawn(move || ask(address)))
                .collect();
            let answers = asking.into_iter().map(|thread| thread.join());
            answers.map(|answer| answer.expect("no panic")).collect()
        })
    }
}

/// A running server.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(at: usize, programs: &Programs, base: &Path, zones: &[ZoneText]) -> Self {
        let origins: Vec<String> = zones.iter().map(|zone| zone.origin.clone()).collect();
        Self::start_as(NAMES[at], base, &origins, |port| {
            command(at, programs, base, zones, port)
        })
    }

    /// Starts a server by a command for a port, and waits until it answers from every zone.
    pub fn start_as(
        name: &str,
        base: &Path,
        origins: &[String],
        command: impl Fn(u16) -> Command,
    ) -> Self {
        let log = base.join(format!("{name}.log"));
        let start = |_| {
            let address = free_address();
            let mut command = command(address.port());
            let output = File::create(&log).expect("a log");
            let child = command
                .current_dir(base)
                .stdin(Stdio::null())
                .stdout(output.try_clone().expect("a second handle"))
                .stderr(output)
                // NSD is several processes, which end together.
                .process_group(0)
                .spawn()
                .expect("the program starts");
            let mut server = Self { child, address };
            server.is_ready(origins).then_some(server)
        };
        let server = (0..STARTS).find_map(start);
        if server.is_none() {
            say(&fs::read_to_string(&log).unwrap_or_default());
        }
        server.expect("a server that serves every zone")
    }

    /// Waits until every zone's SOA is answered; false if the server ends instead.
    fn is_ready(&mut self, origins: &[String]) -> bool {
        origins.iter().all(|origin| self.serves(origin))
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn serves(&mut self, origin: &str) -> bool {
        let apex = Name::parse(origin).expect("an origin");
        let query = wire::query(apex.wire(), 6, 1, 0, None);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().expect("a child").is_some() {
                return false;
            }
            let response = exchange::once(self.address, &query, Duration::from_millis(100));
            let response = response.and_then(|bytes| Response::read(&bytes));
            if response.is_some_and(|response| response.rcode == 0 && !response.answer.is_empty()) {
                return true;
            }
        }
        say(&format!("conformance: `{origin}` is not served"));
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A loopback port that is free for UDP and TCP.
fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = udp.local_addr().expect("an address");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Writes a server's configuration and gives the command that runs it in the foreground.
fn command(at: usize, programs: &Programs, base: &Path, zones: &[ZoneText], port: u16) -> Command {
    let file = base.join(format!("{}.conf", NAMES[at]));
    fs::write(&file, settings::WRITERS[at](base, zones, port)).expect("a configuration");
    let mut command = match programs.servers.get(at) {
        Some(program) => Command::new(program),
        None => Command::new(env!("CARGO_BIN_EXE_meridian")),
    };
    command.args(settings::ARGUMENTS[at]).arg(file);
    if at == OURS {
        command.arg("serve");
    }
    command
}
