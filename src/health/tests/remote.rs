//! Reports of other machines' vantages.

use super::*;
use crate::base::fnv::fnv1a;
use crate::base::per_family::PerFamily;
use crate::health::monitor::GrpcCheck;
use crate::health::monitor::HttpCheck;
use crate::health::monitor::HttpVersion;
use crate::health::monitor::Method;
use crate::health::monitor::TlsCheck;
use crate::health::report::EndpointReport;
use crate::health::report::Ignored;
use crate::health::report::VantageReport;
use crate::health::report::VerdictRecord;

/// What node `name` reports of the simulation's endpoint; probed at this second of the simulation.
fn report(sim: &Simulation, name: &str, verdict: Health, probed: u64) -> VantageReport {
    VantageReport {
        vantage: name.into(),
        is_blind: PerFamily::both(false),
        endpoints: vec![EndpointReport {
            pool: Arc::clone(&sim.target.pool),
            address: sim.target.address,
            check: sim.target.monitor.fingerprint(),
            record: VerdictRecord {
                verdict,
                latest: verdict,
                run: 2,
                probed_ms: Some((1_700_000_000 + probed) * 1_000),
                ..VerdictRecord::default()
            },
        }],
    }
}

impl Simulation {
    fn hear(&mut self, report: &VantageReport) -> Vec<Flip> {
        let (flips, ignored) = (self.health_table).hear(std::slice::from_ref(report), self.now());
        assert_eq!(ignored, Ignored::default());
        flips
    }

    fn is_fresh(&self, vantage: usize) -> bool {
        let view = self.health_table.view(self.now()).next();
        view.expect("an endpoint").vantages[vantage].is_fresh
    }
}

fn majority() -> Simulation {
    let mut sim = Simulation::new(1, monitor(Quorum::Majority, 1, 1));
    sim.second = 100;
    sim.see(0, good());
    sim
}

#[test]
fn remote_vantages_vote_beside_local_ones() {
    let mut sim = majority();
    let down = |sim: &Simulation, node| report(sim, node, Down, sim.second);
    assert!(sim.hear(&down(&sim, "b")).is_empty(), "one of two");
    let flips = sim.hear(&down(&sim, "c/uplink"));
    assert_eq!(flips.len(), 1, "two of three");
    let cause = flips[0].cause.as_ref().expect("a cause");
    assert_eq!(&*cause.vantage, "c/uplink");
    // One that has no verdict yet is one of those asked.
    sim.hear(&report(&sim, "d", Unknown, sim.second));
    assert_eq!(sim.health(), Up, "two of four");
    assert_eq!(sim.health_table.n_awaited(), 0, "others are not waited for");
}

#[test]
fn age_follows_from_the_probe_and_not_from_arrival() {
    for (age, is_fresh) in [(0, true), (30, true), (31, false)] {
        let mut sim = majority();
        sim.hear(&report(&sim, "b", Down, sim.second - age));
        assert_eq!(sim.is_fresh(1), is_fresh, "{age} s old when it comes");
    }
    // Before the process was as old as the report is.
    let mut sim = Simulation::new(1, monitor(Quorum::Majority, 1, 1));
    sim.second = 2;
    sim.hear(&report(&sim, "b", Down, 0));
    sim.wait(28);
    assert!(sim.is_fresh(1));
    sim.wait(1);
    assert!(!sim.is_fresh(1));
    // A probe that is ahead of this machine's clock is as good as one of now, and no better.
    sim.hear(&report(&sim, "b", Down, sim.second + 4));
    sim.wait(30);
    assert!(sim.is_fresh(1));
    sim.wait(1);
    assert!(!sim.is_fresh(1));
}

#[test]
fn repeating_an_old_probe_does_not_refresh() {
    let mut sim = majority();
    let old = report(&sim, "b", Down, sim.second);
    sim.hear(&old);
    sim.wait(30);
    sim.hear(&old);
    assert!(sim.is_fresh(1));
    sim.wait(1);
    sim.hear(&old);
    assert!(!sim.is_fresh(1));
}

#[test]
fn repeating_an_old_probe_decides_nothing() {
    let mut sim = majority();
    sim.hear(&report(&sim, "b", Up, sim.second));
    sim.second += 1;
    let down = report(&sim, "c", Down, sim.second);
    assert!(sim.hear(&down).is_empty(), "one of three");
    // The others have fallen silent first; so has this one, which is not to decide by that.
    sim.wait(30);
    assert!(sim.is_fresh(2) && !sim.is_fresh(1));
    assert!(sim.hear(&down).is_empty());
    assert!(sim.hear(&report(&sim, "b", Up, 100)).is_empty());
    assert_eq!(
        sim.hear(&report(&sim, "c", Down, sim.second)).len(),
        1,
        "evidence"
    );
}

#[test]
fn all_of_a_report_counts_before_any_of_it_decides() {
    let mut sim = majority();
    sim.hear(&report(&sim, "b", Down, sim.second));
    let reports = [("c", Down), ("c/uplink", Up)];
    let reports = reports.map(|(vantage, verdict)| report(&sim, vantage, verdict, sim.second));
    let (flips, _) = sim.health_table.hear(&reports, sim.now());
    assert_eq!(flips, [], "two of four, not two of three");
}

#[test]
fn evidence_is_new_also_after_the_clock_of_its_machine_was_set_back() {
    let mut sim = majority();
    sim.hear(&report(&sim, "b", Down, sim.second + 60));
    sim.wait(31);
    assert!(!sim.is_fresh(1));
    sim.hear(&report(&sim, "b", Down, sim.second));
    assert!(sim.is_fresh(1));
}

#[test]
fn a_blind_remote_vantage_does_not_vote() {
    let mut sim = majority();
    for node in ["b", "c"] {
        let mut report = report(&sim, node, Down, sim.second);
        report.is_blind.v4 = true;
        assert!(sim.hear(&report).is_empty());
    }
    assert_eq!(sim.health(), Up);
    let mut both = 0;
    for node in ["b", "c"] {
        both += sim.hear(&report(&sim, node, Down, sim.second)).len();
    }
    assert_eq!(both, 1, "they see again");
}

#[test]
fn a_remote_vantage_has_a_row_of_its_own() {
    let mut sim = majority();
    let mut report = report(&sim, "b", Down, sim.second);
    report.is_blind.v4 = true;
    sim.hear(&report);
    let row = |sim: &Simulation| {
        let vantage = sim.health_table.vantages(sim.now()).nth(1);
        let vantage = vantage.expect("the second");
        let since = vantage.blind_since;
        assert!(vantage.is_remote && since.v6.is_none());
        (since.v4, vantage.is_silent)
    };
    let heard = Some(sim.now().unix());
    sim.wait(30);
    sim.hear(&report);
    assert_eq!(row(&sim), (heard, false), "since the first report of it");
    sim.wait(1);
    assert_eq!(row(&sim), (heard, true));
    report.is_blind.v4 = false;
    sim.hear(&report);
    assert_eq!(row(&sim), (None, true), "repeating is no evidence");
}

#[test]
fn records_that_do_not_fit_are_ignored_and_counted() {
    let mut sim = majority();
    let fitting = report(&sim, "b", Down, 100);
    let with = |change: fn(&mut VantageReport)| {
        let mut report = fitting.clone();
        change(&mut report);
        report
    };
    for (report, expected) in [
        (
            with(|r| r.endpoints[0].pool = "east".into()),
            Ignored {
                unknown_endpoint: 1,
                ..Ignored::default()
            },
        ),
        (
            with(|r| r.endpoints[0].address = IpAddr::from([192, 0, 2, 11])),
            Ignored {
                unknown_endpoint: 1,
                ..Ignored::default()
            },
        ),
        (
            with(|r| r.endpoints[0].check += 1),
            Ignored {
                other_check: 1,
                ..Ignored::default()
            },
        ),
        (
            with(|r| r.vantage = "v0".into()),
            Ignored {
                local_name: 1,
                ..Ignored::default()
            },
        ),
    ] {
        let heard = sim.health_table.hear(&[report], sim.now());
        assert_eq!(heard, (Vec::new(), expected));
    }
    assert_eq!(sim.verdict(0), Up);
}

#[test]
fn remote_verdicts_outlive_restart_and_reload() {
    let mut sim = majority();
    for node in ["b", "c"] {
        sim.hear(&report(&sim, node, Down, sim.second));
    }
    assert_eq!(sim.health(), Down);
    let saved = sim.health_table.saved(sim.now());
    let mut restarted = Simulation::new(1, monitor(Quorum::Majority, 1, 1));
    restarted.health_table.restore(&saved, restarted.now());
    restarted.see(0, good());
    assert_eq!(restarted.health(), Down, "two of three");

    restarted.wait(31);
    let vantages = restarted.health_table.vantages(restarted.now());
    let silent = vantages.filter(|vantage| vantage.is_remote && vantage.is_silent);
    assert_eq!(silent.count(), 2, "they are missed after the restart too");

    let mut reloaded = Simulation::new(1, monitor(Quorum::Majority, 1, 1));
    reloaded.second = sim.second;
    reloaded.health_table.adopt(&sim.health_table);
    reloaded.see(0, good());
    assert_eq!(reloaded.health(), Down, "two of three");

    let mut other = Simulation::new(1, monitor(Quorum::Majority, 2, 1));
    other.second = sim.second;
    other.health_table.adopt(&sim.health_table);
    other.see(0, good());
    assert_eq!(other.health(), Up, "they have probed otherwise");
}

#[test]
fn who_is_gone_for_an_hour_is_forgotten() {
    let mut sim = majority();
    sim.hear(&report(&sim, "b", Down, sim.second));
    sim.hear(&report(&sim, "c", Up, sim.second));
    let names = |sim: &Simulation| {
        let vantages = sim.health_table.vantages(sim.now());
        vantages.map(|v| v.name.to_string()).collect::<Vec<_>>()
    };
    sim.wait(3_000);
    sim.hear(&report(&sim, "c", Up, sim.second));
    sim.wait(600);
    assert_eq!(names(&sim), ["v0", "b", "c"]);
    sim.wait(1);
    assert_eq!(names(&sim), ["v0", "c"]);
    assert_eq!(sim.verdict(1), Up);
}

#[test]
fn after_a_freeze_a_late_report_does_not_make_evidence_older() {
    let mut sim = majority();
    sim.hear(&report(&sim, "b", Up, sim.second));
    // Nothing runs for a minute; then everything that was sent arrives at once.
    sim.second += 60;
    sim.hear(&report(&sim, "b", Up, sim.second - 55));
    assert!(sim.is_fresh(1));
}

#[test]
fn what_changed_is_reported_once() {
    let mut sim = Simulation::new(2, monitor(Quorum::Majority, 2, 1));
    assert!(sim.health_table.take_unreported().is_empty());
    sim.see(0, good());
    let reports = sim.health_table.take_unreported();
    let n: Vec<_> = reports.iter().map(|r| r.endpoints.len()).collect();
    assert_eq!(n, [1, 0], "the first result is a verdict");
    sim.see(0, bad());
    sim.hear(&report(&sim, "b", Up, sim.second));
    assert!(sim.health_table.take_unreported().is_empty());
    sim.see(0, bad());
    let reports = sim.health_table.take_unreported();
    let record = &reports[0].endpoints[0].record;
    assert_eq!((record.verdict, record.latest, record.run), (Down, Down, 2));
    assert_eq!(sim.health_table.report().len(), 2, "the local ones");
    // What one machine reports means the same on another.
    let mut other = Simulation::named(vec!["x".into()], monitor(Quorum::Majority, 2, 1));
    let mut flips = Vec::new();
    for report in sim.health_table.report() {
        flips.extend(other.hear(&report));
    }
    assert_eq!((flips.len(), other.health()), (1, Down));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of all cases")]
fn fingerprints_are_stable_and_tell_checks_apart() {
    let tcp = monitor(Quorum::Majority, 2, 2);
    assert_eq!(
        tcp.fingerprint(),
        fnv1a(b"80 5000 4000 2 2 majority behind tcp")
    );
    let renamed = Monitor {
        name: "other".into(),
        ..tcp.clone()
    };
    assert_eq!(tcp.fingerprint(), renamed.fingerprint());
    let check = |path: &str, host: Option<&str>| HttpCheck {
        method: Method::Get,
        path: path.into(),
        host: host.map(Into::into),
        headers: Box::default(),
        version: HttpVersion::Http1,
        tls: None,
        expect_status: [(200, 399)].into(),
        expect_body: "".into(),
        load: None,
    };
    let tls = |name: Option<&str>, is_verified| {
        Some(TlsCheck {
            server_name: name.map(Into::into),
            is_verified,
        })
    };
    let plain = || check("/", Some("a"));
    let over = |tls| HttpCheck { tls, ..plain() };
    let of_kind = |kind| Monitor {
        kind,
        ..tcp.clone()
    };
    let target = Target::new(
        "west".into(),
        [10, 0, 0, 1].into(),
        Arc::new(tcp.clone()),
        true,
    );
    let elsewhere = Target {
        probed_at: ([10, 0, 0, 2], 80).into(),
        ..target.clone()
    };
    assert_eq!(target.fingerprint(0xAB), 0xAB, "as without check addresses");
    assert_eq!(
        elsewhere.fingerprint(0xAB),
        fnv1a(b"00000000000000ab check 10.0.0.2:80")
    );
    // As releases before HTTP/2 have it.
    for (kind, text) in [
        (plain(), "http 1:/ 1:a 0: 200-399"),
        (over(tls(Some("a"), true)), "https 1:/ 1:a 0: 200-399"),
    ] {
        let text = format!("80 5000 4000 2 2 majority behind {text}");
        let fingerprint = of_kind(MonitorKind::Http(kind)).fingerprint();
        assert_eq!(fingerprint, fnv1a(text.as_bytes()));
    }
    let headers = |name: &str, value: &str| HttpCheck {
        headers: [(name.into(), value.into())].into(),
        ..plain()
    };
    let grpc = |service: &str, tls| {
        MonitorKind::Grpc(GrpcCheck {
            service: service.into(),
            host: None,
            headers: Box::default(),
            tls,
        })
    };
    let http = [
        check("/", None),
        plain(),
        check("/ 1:a", None),
        HttpCheck {
            tls: tls(None, true),
            ..check("/", None)
        },
        over(tls(Some("b"), true)),
        over(tls(Some("b"), false)),
        over(tls(Some("a"), true)),
        HttpCheck {
            method: Method::Head,
            ..plain()
        },
        HttpCheck {
            version: HttpVersion::Http2,
            ..plain()
        },
        headers("a", "b"),
        headers("a", ""),
    ];
    let grpc = [grpc("", None), grpc("a", None), grpc("", tls(None, true))];
    let kinds = http.into_iter().map(MonitorKind::Http).chain(grpc);
    let prints: Vec<_> = kinds.map(|kind| of_kind(kind).fingerprint()).collect();
    let distinct: std::collections::HashSet<_> = prints.iter().collect();
    assert_eq!(distinct.len(), prints.len());
}

#[test]
fn what_only_the_last_run_knew_is_not_reported() {
    let sim = majority();
    let saved = sim.health_table.saved(sim.now());
    let mut restarted = Simulation::new(1, monitor(Quorum::Majority, 1, 1));
    restarted.health_table.restore(&saved, restarted.now());
    let n_reported = |sim: &Simulation| sim.health_table.report()[0].endpoints.len();
    assert_eq!(n_reported(&restarted), 0);
    restarted.see(0, good());
    assert_eq!(n_reported(&restarted), 1);
}

#[test]
fn what_is_said_of_another_check_address_is_ignored() {
    let sim = majority();
    let target = |probed_at: [u8; 4]| Target {
        probed_at: (probed_at, 80).into(),
        ..(*sim.target).clone()
    };
    let inner = || Simulation::of(sim.vantages.clone(), target([10, 0, 0, 10]));
    let mut there = inner();
    there.second = 100;
    there.see(0, bad());
    let mut reports = there.health_table.report();
    reports[0].vantage = "b".into();
    for (mut here, other_check) in [
        (inner(), 0),
        (
            Simulation::of(sim.vantages.clone(), target([10, 0, 0, 11])),
            1,
        ),
        (majority(), 1),
    ] {
        here.second = 100;
        let (_, ignored) = here.health_table.hear(&reports, here.now());
        let expected = Ignored {
            other_check,
            ..Ignored::default()
        };
        assert_eq!(ignored, expected);
    }
}
