//! `status`: what the running server knows, as a table of pools and vantages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::admin::checks::Check;
use crate::admin::fleet::Fleet;
use crate::admin::fleet::Node;
use crate::admin::json::Endpoint;
use crate::admin::json::Pool;
use crate::admin::json::Status;
use crate::admin::latency::Latency;
use crate::admin::time::Span;
use crate::admin::vantages::Vantage;
use crate::admin::vantages::VantageState;
use crate::cli::out;
use crate::cli::remote;
use crate::cli::table;

/// How it is printed.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List the machines of the fleet, and in what they differ
    #[arg(long)]
    fleet: bool,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Shows the running server; exit code 1 if it is not ready or cannot be reached.
pub fn run(config: &Path, options: &Options) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let status: Status = remote.get("/api/v1/status", &[])?;
    let text = match options.json {
        true => format!("{}\n", serde_json::to_string_pretty(&status)?),
        false if options.fleet => match &status.fleet {
            Some(fleet) => render_fleet(fleet, &status.version, status.now),
            None => "no fleet: meridian.toml has no [cluster]\n".into(),
        },
        false => render(&status),
    };
    out::print(&text)?;
    Ok(if status.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The status for a person.
fn render(status: &Status) -> String {
    let mut text = format!(
        "meridian {} {}, up {}, generation {}{}\n",
        status.version,
        role(status),
        Span(status.now.saturating_sub(status.started)),
        status.generation,
        match &status.waiting_for {
            Some(reason) => format!(", not ready: {reason}"),
            None => String::new(),
        },
    );
    for database in &status.databases {
        let age = if database.is_old { " (old)" } else { "" };
        let (kind, date) = (&database.r#type, &database.build_date);
        let _ = writeln!(text, "database {kind} of {date}{age}");
    }
    if let Some(latency) = &status.latency {
        let _ = writeln!(text, "{}", measurements(latency, status.now));
    }
    for zone in &status.zones {
        let _ = writeln!(
            text,
            "zone {} serial {}, {} names",
            zone.apex, zone.serial, zone.names
        );
    }
    write_names(&mut text, status);
    write_vantages(&mut text, &status.vantages, status.now);
    write_reload(&mut text, status);
    if !status.orphaned_overrides.is_empty() {
        text.push_str(
            "\noverrides of pools that do not exist (`meridian undrain POOL` clears one):\n",
        );
    }
    for orphaned in &status.orphaned_overrides {
        let (pool, override_) = (&orphaned.pool, &orphaned.r#override);
        let ago = Span(status.now.saturating_sub(override_.since));
        let _ = writeln!(text, "  {pool}: {} since {ago}", override_.state);
    }
    for pool in &status.pools {
        write_membership(&mut text, pool, status.now);
    }
    let _ = writeln!(text, "\n{}", table(status));
    text
}

/// The steered names with their pools.
fn write_names(text: &mut String, status: &Status) {
    for steered in &status.steered {
        let pools = steered.pools.join(" ");
        let ignored = match &*steered.max_down_exceeded.join(" and ") {
            "" => String::new(),
            families => format!(
                " (probes ignored for {families}: more pools are down than max_down allows)"
            ),
        };
        let ttl = match &steered.ttl_reason {
            Some(reason) => format!(" (TTL {} s: {reason})", steered.ttl_now),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "name {} {}: {pools}{ignored}{ttl}",
            steered.name, steered.policy
        );
    }
}

/// Where it answers queries, or that it only probes.
fn role(status: &Status) -> String {
    let listen: Vec<String> = status.listen.iter().map(ToString::to_string).collect();
    match listen.is_empty() {
        true => "as a vantage".into(),
        false => format!("on {}", listen.join(" ")),
    }
}

/// A line for each vantage that needs a look, or one for all.
fn write_vantages(text: &mut String, vantages: &[VantageState], now: u64) {
    let mut is_well = true;
    for vantage in vantages {
        let (n_reached, n) = (vantage.n_reached(), vantage.witnesses.len());
        let blind = vantage.blind().map(|(family, since)| {
            let ago = Span(now.saturating_sub(since));
            format!("blind for {family} for {ago}: its verdicts do not count")
        });
        let silent = vantage.report_age_seconds.filter(|_| vantage.silent);
        let silent = silent.map(|age| format!("silent for {}", Span(age as u64)));
        let witnesses = format!("witnesses reached: {n_reached} of {n}");
        let witnesses = (n_reached < n).then_some(witnesses);
        let trouble: Vec<String> = blind.chain(silent).chain(witnesses).collect();
        if !trouble.is_empty() {
            is_well = false;
            let _ = writeln!(text, "vantage {}: {}", vantage.name, trouble.join("; "));
        }
    }
    if is_well {
        let _ = writeln!(text, "vantages: {}, all report", vantages.len());
    }
}

/// The fleet for a person: a row for each machine, this one first.
fn render_fleet(fleet: &Fleet, version: &str, now: u64) -> String {
    let ago = |at: u64| Span(now.saturating_sub(at));
    let mut text = match (&fleet.connected_to, &fleet.reason) {
        (Some(server), _) => format!("connected to {server} for {}\n", ago(fleet.since)),
        (None, Some(reason)) => format!("not connected for {}: {reason}\n", ago(fleet.since)),
        (None, None) => "not connected yet\n".into(),
    };
    if fleet.name_taken {
        let _ = writeln!(
            text,
            "another machine uses the name {}: give each its own [cluster] node",
            fleet.node
        );
    }
    let mut table = table::empty();
    let what = ["configuration", "database", "overrides", "verdicts"];
    let header = ["node", "version", "seen"].into_iter().chain(what);
    table.set_header(header.chain(["state"]));
    let digests = |of: &BTreeMap<String, String>| {
        what.map(|what| {
            of.get(what)
                .map_or("-".into(), |digest| digest.chars().take(8).collect())
        })
    };
    let own = [fleet.node.clone(), version.into(), "-".into()].into_iter();
    let own = own.chain(digests(&fleet.digests));
    table.add_row(own.chain(["this machine".into()]).collect::<Vec<String>>());
    for node in &fleet.nodes {
        let seen = format!("{} ago", ago(node.last_seen));
        let row = [node.name.clone(), node.version.clone(), seen].into_iter();
        let state = state(node, |since| ago(since).to_string());
        table.add_row(
            row.chain(digests(&node.digests))
                .chain([state])
                .collect::<Vec<String>>(),
        );
    }
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// What an operator should know of a machine.
fn state(node: &Node, ago: impl Fn(u64) -> String) -> String {
    let mut state = Vec::new();
    if node.lost {
        state.push("lost: its vantages have no vote".to_owned());
    }
    if node.duplicate {
        state.push("two machines use this name".to_owned());
    }
    let differs = node.differs.iter();
    let differs: Vec<_> = differs
        .map(|difference| format!("in {} for {}", difference.what, ago(difference.since)))
        .collect();
    if !differs.is_empty() {
        state.push(format!("differs {}", differs.join(", ")));
    }
    if state.is_empty() {
        state.push("agrees".to_owned());
    }
    state.join(", ")
}

/// What the last load of the files found.
fn write_reload(text: &mut String, status: &Status) {
    if let Some(rolled_back) = &status.last_reload.rolled_back {
        let _ = writeln!(text, "\n{rolled_back}");
    }
    if status.last_reload.refused {
        let ago = Span(status.now.saturating_sub(status.last_reload.at));
        let _ = writeln!(
            text,
            "\nreload refused {ago} ago; still serving the previous files:"
        );
        for fault in &status.last_reload.faults {
            let _ = writeln!(text, "  {fault}");
        }
    } else if !status.last_reload.warnings.is_empty() {
        text.push_str("\nfiles loaded with warnings:\n");
        for warning in &status.last_reload.warnings {
            let _ = writeln!(text, "  {warning}");
        }
    }
}

/// What names the endpoints of a pool, one line for each.
fn write_membership(text: &mut String, pool: &Pool, now: u64) {
    let (name, membership) = (&pool.name, &pool.membership);
    if let Some(reason) = &membership.reason {
        let _ = writeln!(text, "pool {name} has no endpoints: {reason}");
    }
    for source in &membership.sources {
        let changed = source.since.map_or(String::new(), |since| {
            let ago = Span(now.saturating_sub(since));
            format!(", {} endpoints, changed {ago} ago", source.endpoints)
        });
        let error = source
            .error
            .as_ref()
            .map_or(String::new(), |error| format!(", fails: {error}"));
        let _ = writeln!(text, "source {} of {name}{changed}{error}", source.name);
    }
}

/// One row for each endpoint, one column for each vantage.
fn table(status: &Status) -> String {
    let mut table = table::empty();
    let fixed = ["pool", "endpoint", "health", "since"].map(str::to_owned);
    table.set_header(
        fixed
            .into_iter()
            .chain(status.vantages.iter().map(|vantage| vantage.name.clone())),
    );
    for pool in &status.pools {
        for endpoint in &pool.endpoints {
            table.add_row(row(status, pool, endpoint));
            for check in &endpoint.checks {
                table.add_row(row_of_check(status, check));
            }
        }
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn row(status: &Status, pool: &Pool, endpoint: &Endpoint) -> Vec<String> {
    let admitted = match endpoint.address {
        IpAddr::V4(_) => pool.ipv4_admitted,
        IpAddr::V6(_) => pool.ipv6_admitted,
    };
    let spilled = 1.0 - pool.spill_admitted.unwrap_or(1.0);
    let name = match (&pool.r#override, &pool.planned_override, admitted) {
        (Some(override_), ..) => match override_.percent {
            Some(percent) => format!("{} [{} {percent} %]", pool.name, override_.state),
            None => format!("{} [{}]", pool.name, override_.state),
        },
        (None, Some(planned), _) => {
            let left = Span(planned.begins_in(status.now));
            format!("{} [{} in {left}]", pool.name, planned.state)
        }
        _ if pool.full => format!("{} [full]", pool.name),
        _ if spilled > 0.0 => {
            let load = pool
                .load
                .map_or("unknown".into(), |load| format!("{:.0} %", load * 100.0));
            let percent = spilled * 100.0;
            format!("{} [spills {percent:.0} %, load {load}]", pool.name)
        }
        (None, None, Some(admitted)) if admitted < 1.0 => {
            format!("{} [ramping: {} %]", pool.name, admitted * 100.0)
        }
        (None, None, _) if pool.standby => format!("{} [standby]", pool.name),
        (None, None, _) => pool.name.clone(),
    };
    let since = endpoint.since.map_or("-".into(), |at| {
        Span(status.now.saturating_sub(at)).to_string()
    });
    let health: Vec<_> = [endpoint.health.clone()]
        .into_iter()
        .chain(endpoint.dissent())
        .collect();
    let address = match endpoint.checked_at() {
        Some(checked_at) => format!("{} ({checked_at})", endpoint.address),
        None => endpoint.address.to_string(),
    };
    let mut row = vec![name, address, health.join("; "), since];
    row.extend(cells(status, &endpoint.vantages));
    row
}

/// What one of an endpoint's monitors says.
fn row_of_check(status: &Status, check: &Check) -> Vec<String> {
    let name = match check.votes {
        true => format!("  {}", check.monitor),
        false => format!("  {} (watched)", check.monitor),
    };
    let since = check.since.map_or("-".into(), |at| {
        Span(status.now.saturating_sub(at)).to_string()
    });
    let mut row = vec![String::new(), name, check.health.clone(), since];
    row.extend(cells(status, &check.vantages));
    row
}

/// What each vantage says.
fn cells(status: &Status, vantages: &[Vantage]) -> Vec<String> {
    let cell = |VantageState { name, .. }: &VantageState| {
        let vantage = vantages.iter().find(|vantage| vantage.name == *name);
        vantage.map_or("-".into(), |vantage| {
            let silence = match (vantage.blind, vantage.fresh) {
                (true, _) => " (blind)",
                (false, true) => "",
                (false, false) => " (stale)",
            };
            let why = match (&vantage.no_evidence, &vantage.last_failure) {
                (Some(note), _) => format!(": {}", note.reason),
                (None, Some(note)) if vantage.verdict == "down" => format!(": {}", note.reason),
                _ => String::new(),
            };
            let flaps = vantage.suppressed_until.map_or(String::new(), |until| {
                let left = Span(until.saturating_sub(status.now));
                format!(" (flaps, suppressed for about {left})")
            });
            format!("{}{silence}{flaps}{why}", vantage.verdict)
        })
    };
    status.vantages.iter().map(cell).collect()
}

/// The latency table in one line.
fn measurements(latency: &Latency, now: u64) -> String {
    let newest = latency.newest.map(|at| now.saturating_sub(at));
    let newest = newest.map_or(String::new(), |age| format!(", newest {} old", Span(age)));
    let left_out = [
        (latency.too_old, "too old"),
        (latency.too_few, "with too few samples"),
        (latency.unknown_pool, "of unknown pools"),
    ];
    let left_out = left_out.iter().filter(|(n, _)| *n > 0);
    let left_out: String = left_out.map(|(n, what)| format!(", {n} {what}")).collect();
    format!(
        "latency {} measurements of {} rows{newest}{left_out}",
        latency.measurements, latency.rows
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fleet_has_a_row_for_each_machine() {
        let digests = |configuration: &str| {
            json!({"configuration": configuration, "database": "b2b2b2b2b2b2b2b2",
                "overrides": "c3c3c3c3c3c3c3c3", "verdicts": "d4d4d4d4d4d4d4d4"})
        };
        let node = |name, age: u64, lost, duplicate, differs| {
            json!({"name": name, "version": "0.1.0", "digests": digests("a2a2a2a2a2a2a2a2"),
                "last_seen": 1_000 - age, "age_seconds": age, "lost": lost,
                "duplicate": duplicate, "differs": differs, "ignored_records": {}})
        };
        let fleet = json!({
            "node": "ns1", "connected_to": "nats://127.0.0.1:4222", "reason": null, "since": 880,
            "name_taken": true, "digests": digests("a1a1a1a1a1a1a1a1"),
            "nodes": [
                node("ns2", 1, false, false, json!([
                    {"what": "configuration", "since": 970}, {"what": "verdicts", "since": 980}])),
                node("ns3", 90, true, true, json!([])),
                json!({"name": "tokyo", "version": "0.1.0", "digests": {}, "last_seen": 998,
                    "age_seconds": 2.0, "lost": false, "duplicate": false, "differs": [],
                    "ignored_records": {}}),
            ],
        });
        let fleet: Fleet = serde_json::from_value(fleet).expect("a fleet");
        let expected = "\
connected to nats://127.0.0.1:4222 for 2m 0s
another machine uses the name ns1: give each its own [cluster] node
 node   version  seen        configuration  database  overrides  verdicts  state
 ns1    0.1.0    -           a1a1a1a1       b2b2b2b2  c3c3c3c3   d4d4d4d4  this machine
 ns2    0.1.0    1s ago      a2a2a2a2       b2b2b2b2  c3c3c3c3   d4d4d4d4  differs in configuration for 30s, in verdicts for 20s
 ns3    0.1.0    1m 30s ago  a2a2a2a2       b2b2b2b2  c3c3c3c3   d4d4d4d4  lost: its vantages have no vote, two machines use this name
 tokyo  0.1.0    2s ago      -              -         -          -         agrees
";
        assert_eq!(render_fleet(&fleet, "0.1.0", 1_000), expected);
        for (reason, since, line) in [
            (Some("refused"), 940, "not connected for 1m 0s: refused\n"),
            (None, 0, "not connected yet\n"),
        ] {
            let fleet = Fleet {
                node: "ns1".into(),
                connected_to: None,
                reason: reason.map(Into::into),
                since,
                name_taken: false,
                digests: BTreeMap::new(),
                nodes: Vec::new(),
            };
            let text = render_fleet(&fleet, "0.1.0", 1_000);
            assert!(text.starts_with(line), "{text}");
            assert_eq!(text.lines().count(), 3, "{text}");
        }
    }

    #[test]
    fn vantages_that_need_a_look_have_a_line_each() {
        let vantage = |name, silent, blind: Option<u64>, reached: &[bool]| {
            let witnesses = reached
                .iter()
                .map(|reached| json!({"address": "192.0.2.53:443", "reached": reached}));
            let vantage = json!({
                "name": name, "local": true, "report_age_seconds": 90.4, "silent": silent,
                "ipv4_blind_since": null, "ipv6_blind_since": blind, "suppressed": 0,
                "witnesses": witnesses.collect::<Vec<_>>(),
            });
            serde_json::from_value(vantage).expect("a vantage")
        };
        for (vantages, lines) in [
            (vec![], "vantages: 0, all report\n"),
            (
                vec![
                    vantage("a", false, None, &[true]),
                    vantage("b", false, None, &[]),
                ],
                "vantages: 2, all report\n",
            ),
            (
                vec![
                    vantage("a", false, Some(940), &[false, false]),
                    vantage("b", false, None, &[]),
                    vantage("c", true, None, &[true, false]),
                ],
                "vantage a: blind for IPv6 for 1m 0s: its verdicts do not count; witnesses reached: 0 of 2\n\
                 vantage c: silent for 1m 30s; witnesses reached: 1 of 2\n",
            ),
        ] {
            let mut text = String::new();
            write_vantages(&mut text, &vantages, 1_000);
            assert_eq!(text, lines);
        }
    }
}
