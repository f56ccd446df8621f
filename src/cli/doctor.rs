//! `doctor`: examine a zone from outside, and say what to do about what is wrong.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use anyhow::Result;
use serde::Serialize;

use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::cli::check;
use crate::cli::out;
use crate::cli::table;
use crate::discovery::resolver;
use crate::doctor::ask::Asked;
use crate::doctor::examine::Examination;
use crate::doctor::examine::Request;
use crate::doctor::examine::examine;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Severity;
use crate::doctor::message::ReplyEdns;
use crate::doctor::resolvers::Resolvers;
use crate::doctor::server::Answers;

/// The port of DNS.
const PORT: u16 = 53;

/// Networks of large access providers all over the world, and of two with IPv6.
const SUBNETS: [&str; 8] = [
    "200.160.0.0/24",
    "90.63.0.0/24",
    "126.0.0.0/24",
    "12.0.0.0/24",
    "196.25.0.0/24",
    "1.128.0.0/24",
    "2a01:e00::/56",
    "2001:200::/56",
];

/// What is examined.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The zone, or a name in it
    #[arg(value_parser = name)]
    name: Name,
    /// A server of the zone, as ADDR or ADDR:PORT; may be given again [default: those that the parent delegates to]
    #[arg(long, value_name = "ADDR", value_parser = server)]
    server: Vec<SocketAddr>,
    /// A server of the parent zone, as ADDR or ADDR:PORT [default: found from the root, unless --server is given]
    #[arg(long, value_name = "ADDR", value_parser = server)]
    parent: Option<SocketAddr>,
    /// Ask for clients in this network; may be given again [default: eight networks around the world]
    #[arg(long, value_name = "ADDR/LEN")]
    subnet: Vec<Prefix>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// Reads an address with or without a port.
fn server(text: &str) -> Result<SocketAddr, &'static str> {
    let bare = text.parse::<IpAddr>().map(|address| (address, PORT).into());
    bare.or_else(|_| text.parse())
        .map_err(|_| "expected ADDR or ADDR:PORT, such as 192.0.2.1 or [2001:db8::1]:5353")
}

/// Examines; exit code 1 if there is a fault.
pub fn run(config: &Path, options: &Options) -> Result<ExitCode> {
    let (resolvers, steered) = configured(config);
    let resolvers = match resolvers.is_empty() {
        // Whoever names servers may need none.
        true => resolver::system_servers().unwrap_or_else(|error| {
            out::complain(&format!("meridian: no system's resolvers: {error}"));
            Vec::new()
        }),
        false => resolvers,
    };
    let subnets = match &*options.subnet {
        [] => SUBNETS
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect(),
        given => given.to_vec(),
    };
    let request = Request {
        name: options.name.clone(),
        servers: options.server.clone(),
        parent: options.parent,
        resolvers: Resolvers(resolvers),
        steered,
        subnets,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let examination = runtime.block_on(examine(request));
    let document = Document::of(&examination);
    let text = match options.json {
        true => format!("{}\n", serde_json::to_string_pretty(&document)?),
        false => render(&document),
    };
    out::print(&text)?;
    Ok(match document.faults {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The resolvers and the steered names of the configuration, if there is one.
fn configured(config: &Path) -> (Vec<SocketAddr>, Vec<Name>) {
    if !config.exists() {
        return (Vec::new(), Vec::new());
    }
    match check::load(config) {
        Ok((loaded, _)) => {
            let config = &loaded.plan.config;
            let steered = config
                .pools
                .steered
                .iter()
                .map(|steered| steered.owner.clone());
            let steered = steered.filter(|owner| !owner.is_wildcard());
            (config.process.resolve_servers.clone(), steered.collect())
        }
        Err(_) => {
            let path = config.display();
            out::complain(&format!(
                "meridian: {path} has faults and is not used, see `meridian check`"
            ));
            (Vec::new(), Vec::new())
        }
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    zone: String,
    faults: usize,
    warnings: usize,
    servers: Vec<ServerRow>,
    findings: Vec<FindingRow<'a>>,
}

/// A server in few words.
#[derive(Debug, Serialize)]
struct ServerRow {
    name: Option<String>,
    address: SocketAddr,
    udp: String,
    tcp: String,
    authoritative: bool,
    serial: Option<u32>,
    ecs: Option<bool>,
    cookies: Option<bool>,
}

/// A finding in words.
#[derive(Debug, Serialize)]
struct FindingRow<'a> {
    severity: &'static str,
    kind: Option<&'static str>,
    servers: &'a [String],
    message: &'a str,
    meaning: Option<&'static str>,
    action: Option<&'static str>,
}

impl<'a> Document<'a> {
    fn of(examination: &'a Examination) -> Self {
        let findings = &examination.findings;
        let n = |severity| {
            let of_severity = findings
                .iter()
                .filter(|finding| finding.severity() == severity);
            of_severity.count()
        };
        Self {
            zone: examination.zone.plain(),
            faults: n(Severity::Fault),
            warnings: n(Severity::Warning),
            servers: examination
                .servers
                .iter()
                .map(|server| ServerRow::of(server, &examination.zone))
                .collect(),
            findings: findings.iter().map(FindingRow::of).collect(),
        }
    }
}

impl ServerRow {
    fn of(server: &Answers, zone: &Name) -> Self {
        let more = server.more.as_ref();
        let has = |asked: &Asked, has: fn(&ReplyEdns) -> bool| {
            let reply = asked.as_ref().ok()?;
            Some(reply.edns.as_ref().is_some_and(has))
        };
        Self {
            name: server.server.name.as_ref().map(Name::plain),
            address: server.server.address,
            udp: word(&server.soa),
            tcp: word(&server.tcp),
            authoritative: server.is_authoritative(zone),
            serial: server.serial(zone),
            ecs: more
                .and_then(|more| more.subnets.first())
                .and_then(|answer| has(&answer.asked, |edns| edns.subnet.is_some())),
            cookies: more.and_then(|more| has(&more.cookie, |edns| edns.cookie.is_some())),
        }
    }
}

/// What became of a question, in a word or two.
fn word(asked: &Asked) -> String {
    match asked {
        Ok(reply) if reply.is_ok() => "ok".into(),
        Ok(reply) => reply.rcode_text(),
        Err(failure) => failure.to_string(),
    }
}

impl<'a> FindingRow<'a> {
    fn of(finding: &'a Finding) -> Self {
        let severity = finding.severity().as_str();
        match finding {
            Finding::Of {
                kind,
                servers,
                message,
            } => Self {
                severity,
                kind: Some(kind.code()),
                servers,
                message,
                meaning: Some(kind.meaning()),
                action: Some(kind.action()),
            },
            Finding::Fine(message) => Self {
                severity,
                kind: None,
                servers: &[],
                message,
                meaning: None,
                action: None,
            },
        }
    }
}

/// The examination for a person.
fn render(document: &Document<'_>) -> String {
    let mut text = format!("zone {}\n", document.zone);
    if !document.servers.is_empty() {
        let _ = write!(text, "\n{}", table(&document.servers));
    }
    text.push('\n');
    for finding in &document.findings {
        let _ = write!(text, "{:<8}", finding.severity);
        let Some(kind) = finding.kind else {
            let _ = writeln!(text, "{}", finding.message);
            continue;
        };
        let _ = writeln!(text, "{kind}: {}", finding.message);
        for server in finding.servers {
            let _ = writeln!(text, "        at {server}");
        }
        for line in [finding.meaning, finding.action].into_iter().flatten() {
            let _ = writeln!(text, "        {line}");
        }
        text.push('\n');
    }
    let plural = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    let faults = plural(document.faults, "fault");
    let warnings = plural(document.warnings, "warning");
    format!("{}\n\n{faults}, {warnings}\n", text.trim_end())
}

fn table(servers: &[ServerRow]) -> String {
    let yes_no = |is: Option<bool>| match is {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => "-".to_owned(),
    };
    let row = |server: &ServerRow| {
        let serial = server.serial.map(|serial| serial.to_string());
        [
            server.name.clone().unwrap_or_else(|| "-".into()),
            server.address.to_string(),
            server.udp.clone(),
            server.tcp.clone(),
            yes_no(Some(server.authoritative)),
            serial.unwrap_or_else(|| "-".into()),
            yes_no(server.ecs),
            yes_no(server.cookies),
        ]
    };
    let header = [
        "server",
        "address",
        "udp",
        "tcp",
        "authority",
        "serial",
        "ecs",
        "cookies",
    ];
    table::lines(header, &[], servers.iter().map(row))
}
