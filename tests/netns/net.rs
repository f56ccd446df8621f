//! Network namespaces of the test's own, with three bridges in the one where the test runs: `world` carries probes,
//! `bus` the traffic of the nats-servers, `front` queries and the admin API. Each machine has an end of a cable to
//! each, so that one can be cut and the others stay.

use std::env;
use std::process;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// The networks, each a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Bus,
    Front,
    World,
}

impl Network {
    pub const ALL: [Self; 3] = [Self::Bus, Self::Front, Self::World];

    fn word(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Front => "front",
            Self::World => "world",
        }
    }

    /// The address of a machine on it.
    pub fn address(self, machine: u8) -> String {
        format!("198.18.{}.{machine}", self as u8 + 1)
    }
}

/// All namespaces, which end with this, and what runs in them.
pub struct Namespaces {
    prefix: String,
    machines: Vec<String>,
}

impl Namespaces {
    /// The namespace where a test of this name runs, with the bridges; `None`: not allowed here.
    pub fn new(test: &str) -> Option<Self> {
        let namespaces = Self {
            prefix: format!("meridian-{test}-{}", process::id()),
            machines: Vec::new(),
        };
        let core = namespaces.core();
        let is_made = ip(&["netns", "add", &core])
            && ip(&["-n", &core, "link", "set", "lo", "up"])
            && Network::ALL.into_iter().all(|network| {
                let (bridge, address) = (network.word(), network.address(254) + "/24");
                ip(&["-n", &core, "link", "add", bridge, "type", "bridge"])
                    && ip(&["-n", &core, "addr", "add", &address, "dev", bridge])
                    && ip(&["-n", &core, "link", "set", bridge, "up"])
            });
        is_made.then_some(namespaces)
    }

    /// The name of the namespace with the bridges.
    pub fn core(&self) -> String {
        format!("{}-core", self.prefix)
    }

    /// Adds a machine, by the last octet of its addresses, with a cable to each network.
    pub fn add(&mut self, machine: u8) {
        let name = format!("{}-{machine}", self.prefix);
        let core = self.core();
        assert!(ip(&["netns", "add", &name]), "a namespace");
        self.machines.push(name.clone());
        assert!(ip(&["-n", &name, "link", "set", "lo", "up"]));
        for network in Network::ALL {
            let (bridge, near) = (network.word(), cable(network, machine));
            let address = network.address(machine) + "/24";
            let far = link_address(network, machine);
            let is_laid = ip(&[
                "-n", &core, "link", "add", &near, "type", "veth", "peer", "name", bridge,
                "address", &far, "netns", &name,
            ]) && ip(&["-n", &core, "link", "set", &near, "master", bridge, "up"])
                && ip(&["-n", &name, "addr", "add", &address, "dev", bridge])
                && ip(&["-n", &name, "link", "set", bridge, "up"]);
            assert!(is_laid, "a cable from {name} to {bridge}");
        }
    }

    /// Runs a test again where the bridges are, with the prefix of the namespaces in a variable.
    pub fn run_inside(&self, test: &str, variable: &str) {
        let status = Command::new("ip")
            .args(["netns", "exec", &self.core()])
            .arg(env::current_exe().expect("this test"))
            .args(["--exact", test, "--nocapture"])
            .env(variable, &self.prefix)
            .status();
        assert!(status.expect("ip runs").success());
    }

    /// What runs a program on a machine.
    pub fn command(prefix: &str, machine: u8, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{prefix}-{machine}"), program]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in self.machines.iter().chain([&self.core()]) {
            let output = Command::new("ip").args(["netns", "pids", name]).output();
            let pids = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            for pid in pids.unwrap_or_default().split_whitespace() {
                run("kill", &["-KILL", pid]);
            }
            ip(&["netns", "del", name]);
        }
    }
}

/// Cuts a machine off a network; called where the bridges are.
pub fn cut(network: Network, machine: u8) {
    assert!(ip(&["link", "set", &cable(network, machine), "down"]));
}

/// Undoes that.
pub fn heal(network: Network, machine: u8) {
    assert!(ip(&["link", "set", &cable(network, machine), "up"]));
}

/// Sends what is for a machine astray, at the bridge: what the machine itself sends still arrives.
pub fn deafen(network: Network, machine: u8, astray: u8) {
    let (address, cable) = (link_address(network, machine), cable(network, astray));
    assert!(bridge(&[
        "fdb", "replace", &address, "dev", &cable, "master", "static", "sticky"
    ]));
}

/// Undoes that.
pub fn undeafen(network: Network, machine: u8, astray: u8) {
    let (address, cable) = (link_address(network, machine), cable(network, astray));
    assert!(bridge(&["fdb", "del", &address, "dev", &cable, "master"]));
}

/// The end of a machine's cable at the bridge.
fn cable(network: Network, machine: u8) -> String {
    format!("{}{machine}", network.word())
}

/// The link-layer address of a machine's end.
fn link_address(network: Network, machine: u8) -> String {
    format!("02:00:00:00:{:02x}:{machine:02x}", network as u8)
}

/// Runs `ip`; whether it succeeds.
pub fn ip(arguments: &[&str]) -> bool {
    run("ip", arguments)
}

fn bridge(arguments: &[&str]) -> bool {
    run("bridge", arguments)
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// A program that runs, and is killed with this.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().expect("it starts"))
    }

    pub fn signal(&self, signal: &str) {
        assert!(run("kill", &[signal, &self.0.id().to_string()]));
    }

    pub fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
