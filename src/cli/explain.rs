//! `explain`: why a client gets its answer.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::admin::explanation;
use crate::admin::explanation::Candidate;
use crate::admin::explanation::Explanation;
use crate::base::ix::PoolIx;
use crate::cli::EXIT_USAGE;
use crate::cli::offline::Offline;
use crate::cli::out;
use crate::cli::remote;
use crate::cli::table;
use crate::engine::explain::explain;
use crate::engine::question::Question;
use crate::latency::time;
use crate::live::clock;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The name
    name: String,
    /// The record type
    #[arg(long, value_name = "TYPE", default_value = "A")]
    r#type: String,
    /// Who asks: ADDR is a resolver without ECS, ADDR/LEN a client subnet [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR[/LEN]")]
    client: Option<String>,
    /// Suppose that this pool is down; may be given again
    #[arg(long, value_name = "POOL", conflicts_with_all = ["live", "server"])]
    down: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Ask the running server, with its current health and overrides, instead of reading the files; implied by
    /// --server
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Explains; exit code 1 if there is nothing of the type asked for in the answer.
pub fn run(config: &Path, options: &Options) -> Result<ExitCode> {
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = options.client.as_deref();
    let question = match Question::parse(&options.name, Some(&options.r#type), client, peer) {
        Ok(question) => question,
        Err(error) => {
            out::complain(&format!("meridian: {error}"));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let explanation = if options.live || options.server.names_server() {
        let remote = options.server.remote(config)?;
        let mut query = vec![("name", &*options.name), ("type", &options.r#type)];
        query.extend(client.map(|client| ("client", client)));
        remote.get("/api/v1/explain", &query)?
    } else {
        let (offline, snapshot) = match Offline::answering(config, &options.down) {
            Ok(answering) => answering,
            Err(code) => return Ok(code),
        };
        let pools = &snapshot.plan.config.pools.pools;
        let is_supposed = |pool: PoolIx| {
            options
                .down
                .iter()
                .any(|d| **d == *pools[pool.index()].name)
        };
        let details = |pool: PoolIx, _| {
            if snapshot.pools[pool.index()].endpoints.is_empty() {
                return Some(offline.sources.why_empty(&pools[pool.index()]));
            }
            is_supposed(pool).then(|| "supposed by --down".to_owned())
        };
        explanation::explanation(&explain(&snapshot, question, &details), &snapshot)
    };
    let text = match options.json {
        true => format!("{}\n", serde_json::to_string_pretty(&explanation)?),
        false => render(&explanation),
    };
    out::print(&text)?;
    Ok(match is_answered(&explanation) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Whether the name has what was asked for: addresses or a CNAME, or records of another type.
fn is_answered(explanation: &Explanation) -> bool {
    let is_led_on = explanation.cname.is_some() && explanation.rcode == "NOERROR";
    match &*explanation.r#type {
        "A" | "AAAA" => !explanation.answer.is_empty() || is_led_on,
        _ => explanation.ttl.is_some(),
    }
}

/// The answer in words.
fn answer(explanation: &Explanation) -> String {
    let answered = explanation.answered();
    let r#type = &explanation.r#type;
    match &**r#type {
        _ if !answered.is_empty() => answered.join(" "),
        "A" | "AAAA" | "ANY" => "no address".into(),
        _ if is_answered(explanation) => {
            format!("{type} records of the zone, which are not steered")
        }
        _ => format!("no {type} records in the zone, which answers all types but A and AAAA"),
    }
}

/// The explanation for a person.
fn render(explanation: &Explanation) -> String {
    let Explanation {
        name,
        r#type,
        client,
        client_source,
        ..
    } = explanation;
    let mut text = format!(
        "{name} {type} for {client} ({})\n",
        match &**client_source {
            "ecs" => "client subnet",
            _ => "resolver's address",
        }
    );
    let _ = writeln!(text, "location   {}", place(explanation));
    if let Some(rule) = &explanation.rule {
        let _ = writeln!(text, "rule       {rule}");
    }
    if let Some(vote) = explanation.vote {
        let _ = writeln!(
            text,
            "vote       the answer of {:.1} % of the subnet's located addresses; others are answered otherwise",
            vote * 100.0
        );
    }
    if !explanation.candidates.is_empty() {
        let _ = writeln!(text, "\n{}\n", candidates(explanation));
    }
    let answer = answer(explanation);
    let _ = writeln!(text, "answer     {} {answer}", explanation.rcode);
    if let Some(pool) = &explanation.pool {
        let _ = writeln!(text, "pool       {pool}");
    }
    if let Some(ttl) = explanation.ttl {
        let reason = explanation.ttl_reason.as_ref();
        let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
        let _ = writeln!(text, "ttl        {ttl} s{reason}");
    }
    if let Some(scope) = explanation.scope {
        let _ = writeln!(text, "scope      /{scope}");
    }
    text
}

fn place(explanation: &Explanation) -> String {
    let place = &explanation.location;
    let words = [
        &place.city,
        &place.subdivision,
        &place.country,
        &place.continent,
    ];
    let mut parts: Vec<String> = words.into_iter().flatten().cloned().collect();
    if parts.is_empty() && place.latitude.is_none() {
        parts.push("unknown".into());
    }
    if let (Some(latitude), Some(longitude)) = (place.latitude, place.longitude) {
        parts.push(format!("({latitude:.2}, {longitude:.2})"));
    }
    parts.extend(place.asn.map(|asn| format!("AS{asn}")));
    parts.extend(
        place
            .network
            .as_ref()
            .map(|network| format!("from {network}")),
    );
    parts.join(" ")
}

fn candidates(explanation: &Explanation) -> String {
    let mut table = table::empty();
    let has_times = explanation
        .candidates
        .iter()
        .any(|candidate| candidate.rtt_ms.is_some());
    let mut header = vec!["", "pool", "distance", "health", "why"];
    if has_times {
        header.insert(3, "round trip");
    }
    table.set_header(header);
    for candidate in &explanation.candidates {
        let distance = candidate
            .distance_km
            .map_or("-".into(), |km| format!("{km:.0} km"));
        let mut row = vec![
            if candidate.chosen { "→" } else { " " }.to_owned(),
            candidate.pool.clone(),
            distance,
            match candidate.drained {
                true => "drained".to_owned(),
                false => candidate.health.clone(),
            },
            candidate.reason_and_checks(),
        ];
        if has_times {
            row.insert(3, round_trip(candidate));
        }
        table.add_row(row);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// The time to a pool, and whose it is.
fn round_trip(candidate: &Candidate) -> String {
    let (Some(ms), Some(from)) = (candidate.rtt_ms, &candidate.rtt_from) else {
        return "-".to_owned();
    };
    if from == "distance" {
        return format!("~{ms:.0} ms (by distance)");
    }
    let samples = candidate.rtt_samples;
    let samples = samples.map_or(String::new(), |n| format!(", {n} samples"));
    let age = candidate
        .rtt_measured
        .map(|at| clock::unix().saturating_sub(at));
    let age = age.map_or(String::new(), |age| {
        format!(", {} old", time::age_text(age))
    });
    format!("{ms} ms ({from}{samples}{age})")
}
