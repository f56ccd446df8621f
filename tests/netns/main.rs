//! A real fleet in network namespaces: three name servers, each with a nats-server beside it, two vantages and three
//! backends, whose cables are cut and whose processes are killed and stopped while queries go on. No query that
//! reaches a running name server may be lost, and nobody may be moved without a reason.
//!
//! It takes root, iproute2 and nats-server, and the test of `meridian doctor` ([`doctor`]) NSD and BIND. Without, they
//! say so and pass, unless `MERIDIAN_REQUIRE_NETNS` is set.
//! The figures that it prints are those of docs/fleet.md.

#![expect(clippy::print_stderr, reason = "what was measured is printed")]

mod doctor;
mod fleet;
mod load;
mod net;

use std::env;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use crate::fleet::BACKEND;
use crate::fleet::BACKENDS;
use crate::fleet::Fleet;
use crate::fleet::NAME;
use crate::fleet::NAME_SERVERS;
use crate::fleet::POOLS;
use crate::fleet::REPORT_MAX_AGE;
use crate::fleet::SUBNETS;
use crate::fleet::VANTAGES;
use crate::fleet::address;
use crate::fleet::call;
use crate::fleet::dns;
use crate::fleet::eventually;
use crate::fleet::node;
use crate::load::LOST_AFTER;
use crate::load::Load;
use crate::net::Namespaces;
use crate::net::Network;
use crate::net::cut;
use crate::net::deafen;
use crate::net::heal;
use crate::net::undeafen;

/// Holds the prefix of the namespaces in the copy of this test that runs inside the one with the bridges.
const INSIDE: &str = "MERIDIAN_NETNS_PREFIX";

/// Regions, by index.
const BRAZIL: usize = 0;
const FRANCE: usize = 1;
const JAPAN: usize = 2;

/// Two failed probes, the pause before each, and what a busy machine adds.
const FAILOVER: Duration = Duration::from_secs(6);

/// A backend, in a copy of this program.
#[test]
fn backend() {
    let Ok(address) = env::var(BACKEND) else {
        return;
    };
    let listener = TcpListener::bind(address).expect("a port");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let _ = stream.read(&mut [0; 1024]);
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

#[test]
fn a_fleet_stands_its_faults() {
    if let Ok(prefix) = env::var(INSIDE) {
        return stand_faults(&prefix);
    }
    let nats = Path::new("/usr/sbin/nats-server").exists();
    let Some(mut namespaces) = nats.then(|| Namespaces::new("fleet")).flatten() else {
        return pass_over("a fleet in namespaces needs root, iproute2 and nats-server");
    };
    for machine in NAME_SERVERS.into_iter().chain(VANTAGES).chain(BACKENDS) {
        namespaces.add(machine);
    }
    namespaces.run_inside("a_fleet_stands_its_faults", INSIDE);
}

/// Says that a test cannot run here.
fn pass_over(message: &str) {
    assert!(env::var_os("MERIDIAN_REQUIRE_NETNS").is_none(), "{message}");
    eprintln!("passed over: {message}");
}

/// The fleet under load, and the times when a name server did not run.
struct Field {
    fleet: Fleet,
    loads: Vec<Load>,
    away: Vec<Vec<(Instant, Instant)>>,
}

fn stand_faults(prefix: &str) {
    let fleet = Fleet::start(prefix);
    let loads = NAME_SERVERS.map(|machine| Load::start(dns(machine), NAME, &SUBNETS));
    let mut field = Field {
        fleet,
        loads: loads.into(),
        away: vec![Vec::new(); NAME_SERVERS.len()],
    };
    for (region, pool) in POOLS.iter().enumerate() {
        field.moved(
            &format!("{pool} is answered"),
            region,
            region,
            Instant::now(),
        );
    }
    field.backend_is_killed();
    field.backend_is_cut_off();
    field.uplink_is_cut();
    field.uplink_works_one_way();
    field.nats_is_killed();
    field.nats_is_frozen();
    field.fleet_is_divided();
    field.name_server_is_killed();
    field.name_server_is_frozen();
    sleep(LOST_AFTER);
    for (load, away) in field.loads.iter().zip(&field.away) {
        let (n, lost) = load.lost(away);
        eprintln!("{n} queries, {lost} lost");
        assert!(n > 1000 && lost == 0, "{lost} of {n} lost");
    }
}

impl Field {
    /// Waits until every name server answers a region with another's pool; prints how long each took.
    fn moved(&self, what: &str, region: usize, to: usize, since: Instant) -> Duration {
        let took = NAME_SERVERS.map(|machine| self.moved_on(what, machine, region, to, since));
        eprintln!("{what}: {took:.2?}");
        took.into_iter().max().expect("a name server")
    }

    fn moved_on(
        &self,
        what: &str,
        machine: u8,
        region: usize,
        to: usize,
        since: Instant,
    ) -> Duration {
        let load = &self.loads[usize::from(machine) - 1];
        eventually(&format!("{what} on ns{machine}"), || {
            load.first(region, address(to), since)
        })
        .0
    }

    /// Waits until all agree and everything is up; prints how long it took.
    fn agree(&self, what: &str) -> Duration {
        let (_, took) = eventually(&format!("agreement after {what}"), || {
            self.fleet.agrees().then_some(())
        });
        eprintln!("{what}: agreement after {took:.2?}");
        took
    }

    /// Asserts that since then every region was answered with its own pool, everywhere.
    fn nobody_is_moved(&self, what: &str, since: Instant) {
        for (load, machine) in self.loads.iter().zip(NAME_SERVERS) {
            let answers = load.answers(since, Instant::now());
            for (region, addresses) in answers {
                assert_eq!(
                    addresses,
                    [address(region)],
                    "{what}: {} on ns{machine}",
                    POOLS[region]
                );
            }
        }
    }

    fn backend_is_killed(&mut self) {
        let since = Instant::now();
        self.fleet.backend(FRANCE).kill();
        let took = self.moved("backend killed, failover", FRANCE, BRAZIL, since);
        assert!(took < FAILOVER, "{took:?}");
        let since = Instant::now();
        self.fleet.restart_backend(FRANCE);
        self.moved("backend back", FRANCE, FRANCE, since);
        self.agree("backend back");
    }

    fn backend_is_cut_off(&mut self) {
        let since = Instant::now();
        cut(Network::World, BACKENDS[JAPAN]);
        let took = self.moved("backend cut off, failover", JAPAN, FRANCE, since);
        assert!(took < FAILOVER, "{took:?}");
        heal(Network::World, BACKENDS[JAPAN]);
        self.moved("backend reachable again", JAPAN, JAPAN, Instant::now());
        self.agree("backend reachable again");
    }

    /// The machine that sees nothing must know that it is the one that is blind, and nobody is moved.
    fn uplink_is_cut(&mut self) {
        let since = Instant::now();
        cut(Network::World, 1);
        let series = "meridian_vantage_blind{family=\"ipv4\",vantage=\"ns1\"} 1";
        for machine in NAME_SERVERS {
            let (_, took) = eventually(&format!("ns{machine} knows that ns1 is blind"), || {
                let metrics = call(machine, "GET", "/metrics", "")?.1;
                metrics.contains(series).then_some(())
            });
            eprintln!(
                "uplink of ns1 cut: ns{machine} knows that ns1 is blind after {took:.2?} more"
            );
        }
        while since.elapsed() < Duration::from_secs(24) {
            sleep(Duration::from_millis(100));
            self.nobody_is_moved("uplink cut", since);
        }
        let log = self.fleet.log(1);
        assert!(log.contains("lost contact with all pools at once"), "{log}");
        heal(Network::World, 1);
        self.agree("uplink back");
        self.nobody_is_moved("uplink back", since);
    }

    /// Requests leave, responses do not come back.
    fn uplink_works_one_way(&mut self) {
        let since = Instant::now();
        deafen(Network::World, 2, 3);
        eventually("ns2 is blind", || {
            let metrics = call(2, "GET", "/metrics", "")?.1;
            let series = "meridian_vantage_blind{family=\"ipv4\",vantage=\"ns2\"} 1";
            metrics.contains(series).then_some(())
        });
        while since.elapsed() < Duration::from_secs(8) {
            sleep(Duration::from_millis(100));
            self.nobody_is_moved("one-way loss", since);
        }
        undeafen(Network::World, 2, 3);
        self.agree("one-way loss ended");
        self.nobody_is_moved("one-way loss ended", since);
    }

    /// A drain that is typed meanwhile arrives when it is back.
    fn nats_is_killed(&mut self) {
        let since = Instant::now();
        self.fleet.nats(2).kill();
        eventually("ns2 knows that it is alone", || {
            (self.fleet.metric(2, "meridian_fleet_connected")? == 0.0).then_some(())
        });
        self.nobody_is_moved("nats-server killed", since);
        let drained = Instant::now();
        self.set_override(1, "brazil");
        self.moved_on("drain", 1, BRAZIL, FRANCE, drained);
        let took = self.moved_on("drain", 3, BRAZIL, FRANCE, drained);
        eprintln!("drain on ns1, in force on ns3 after {took:.2?}");
        assert_eq!(self.fleet.has_override(2, "brazil"), Some(false));
        let back = Instant::now();
        self.fleet.restart_nats(2);
        let took = self.moved_on("drain", 2, BRAZIL, FRANCE, back);
        eprintln!("nats-server back: the drain is in force on ns2 after {took:.2?}");
        self.clear_override(2, "brazil");
        let cleared = Instant::now();
        self.moved("drain cleared on ns2", BRAZIL, BRAZIL, cleared);
        self.agree("nats-server back");
    }

    /// A frozen server delivers late in one burst: nothing old may count as new.
    fn nats_is_frozen(&mut self) {
        let since = Instant::now();
        self.fleet.nats(3).signal("-STOP");
        eventually("ns3 knows that its nats-server hangs", || {
            (self.fleet.metric(3, "meridian_fleet_connected")? == 0.0).then_some(())
        });
        eprintln!("nats-server frozen: noticed after {:.2?}", since.elapsed());
        self.nobody_is_moved("nats-server frozen", since);
        let killed = Instant::now();
        self.fleet.backend(FRANCE).kill();
        let took = [1, 2, 3].map(|machine| {
            self.moved_on(
                "failover beside a frozen nats-server",
                machine,
                FRANCE,
                BRAZIL,
                killed,
            )
        });
        eprintln!("failover while the nats-server of ns3 is frozen: {took:.2?}");
        assert!(took[0] < FAILOVER && took[1] < FAILOVER, "{took:?}");
        assert!(took[2] < FAILOVER + REPORT_MAX_AGE, "{took:?}");
        if let Some(rest) = Duration::from_secs(12).checked_sub(since.elapsed()) {
            sleep(rest);
        }
        self.fleet.nats(3).signal("-CONT");
        let thawed = Instant::now();
        while thawed.elapsed() < Duration::from_secs(3) {
            let answers = self.loads[2].answers(thawed, Instant::now());
            let of_france = answers.get(&FRANCE).cloned().unwrap_or_default();
            let is_old = of_france.contains(&address(FRANCE).into());
            assert!(!is_old, "old reports have brought a dead pool back");
            sleep(Duration::from_millis(50));
        }
        self.fleet.restart_backend(FRANCE);
        self.agree("nats-server thawed");
    }

    /// Each side goes on, and overrides made on both meet after the heal.
    fn fleet_is_divided(&mut self) {
        let since = Instant::now();
        cut(Network::Bus, 1);
        eventually("ns1 knows that ns2 is lost", || {
            let status = self.fleet.status(1)?;
            let nodes = status["fleet"]["nodes"].as_array()?.clone();
            let mut lost = nodes.iter().filter(|node| node["lost"] == true);
            lost.any(|found| found["name"] == node(2)).then_some(())
        });
        eprintln!("bus of ns1 cut: noticed after {:.2?}", since.elapsed());
        self.nobody_is_moved("division", since);
        self.set_override(1, "brazil");
        self.set_override(2, "japan");
        let healed = Instant::now();
        heal(Network::Bus, 1);
        for (machine, pool) in [(2, "brazil"), (3, "brazil"), (1, "japan")] {
            eventually(&format!("{pool} is drained on ns{machine}"), || {
                self.fleet.has_override(machine, pool)?.then_some(())
            });
        }
        eprintln!(
            "division healed: overrides of both sides everywhere after {:.2?}",
            healed.elapsed()
        );
        self.clear_override(3, "brazil");
        self.clear_override(1, "japan");
        self.agree("division healed");
        for machine in NAME_SERVERS {
            for pool in ["brazil", "japan"] {
                eventually(&format!("{pool} is back on ns{machine}"), || {
                    (!self.fleet.has_override(machine, pool)?).then_some(())
                });
            }
        }
    }

    /// Verdicts and overrides survive, and the rest of the fleet does not move.
    fn name_server_is_killed(&mut self) {
        self.set_override(2, "japan");
        let since = Instant::now();
        self.moved("drain on ns2", JAPAN, FRANCE, since);
        let before = Instant::now();
        self.fleet.name_server(2).kill();
        self.fleet.restart_name_server(2);
        let (_, took) = eventually("ns2 answers again", || self.fleet.status(2).map(drop));
        let started = Instant::now();
        self.away[1].push((before - Duration::from_millis(100), started));
        eprintln!("ns2 killed: its status answers after {took:.2?}");
        assert_eq!(self.fleet.has_override(2, "japan"), Some(true));
        let moved = self.loads[1].answers(started, Instant::now() + Duration::from_secs(1));
        assert_ne!(moved.get(&JAPAN), Some(&vec![address(JAPAN).into()]));
        self.clear_override(3, "japan");
        self.moved("drain cleared on ns3", JAPAN, JAPAN, Instant::now());
        self.agree("ns2 killed and back");
    }

    /// Its vote ends when its last reports are too old; it takes nothing out when it wakes.
    fn name_server_is_frozen(&mut self) {
        let since = Instant::now();
        self.fleet.name_server(3).signal("-STOP");
        eventually("ns1 misses ns3", || {
            let age = self
                .fleet
                .metric(1, "meridian_vantage_report_age_seconds{vantage=\"ns3\"}")?;
            (age > REPORT_MAX_AGE.as_secs_f64()).then_some(())
        });
        self.fleet.name_server(3).signal("-CONT");
        self.away[2].push((
            since - Duration::from_millis(100),
            Instant::now() + Duration::from_millis(500),
        ));
        self.agree("ns3 frozen and thawed");
        self.nobody_is_moved("ns3 frozen and thawed", since);
    }

    fn set_override(&self, machine: u8, pool: &str) {
        let path = format!("/api/v1/overrides/{pool}");
        let answer = call(
            machine,
            "PUT",
            &path,
            r#"{"state":"drain","reason":"test"}"#,
        );
        assert_eq!(
            answer.as_ref().map(|(status, _)| *status),
            Some(200),
            "{answer:?}"
        );
    }

    fn clear_override(&self, machine: u8, pool: &str) {
        let answer = call(machine, "DELETE", &format!("/api/v1/overrides/{pool}"), "");
        assert_eq!(
            answer.as_ref().map(|(status, _)| *status),
            Some(200),
            "{answer:?}"
        );
    }
}
