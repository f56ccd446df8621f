//! The two files of settings, `meridian.toml` and `pools.toml`.

use std::path::Path;
use std::path::PathBuf;

use crate::base::diag::Report;
use crate::base::diag::did_you_mean;
use crate::config;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::daemon::files;
use crate::daemon::load::reader::Moving;
use crate::daemon::load::reader::Reader;
use crate::fleet::nats::Role;

/// Reads `meridian.toml`. After a fault, which is reported, defaults stand in for what is at fault; `None`
/// if nothing of it can be read.
pub(super) fn process(
    path: &Path,
    role: Role,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<Process> {
    match reader.text(path, report) {
        Ok(text) => {
            let defaults = config::Defaults {
                host_name: host_name(),
                serves_dns: role == Role::NameServer,
            };
            let text = text?;
            let is_blank =
                |line: &str| matches!(line.trim_start().chars().next(), None | Some('#'));
            // A file that is being written begins so, and nobody means to serve nothing by it.
            if text.lines().all(is_blank) {
                report.error(files::place(path), "is empty, expected at least `zones`");
            }
            let process = config::process(&source(path, &text), &defaults, report);
            let mut process = process.unwrap_or_else(|faulty| *faulty);
            if role == Role::Vantage {
                leave_dns_out(path, &mut process, report);
            }
            Some(process)
        }
        Err(Moving { before }) => Some(before.config.process.clone()),
    }
}

/// Leaves out what a vantage does without: whatever is about queries. The same files do for it as for a
/// name server, whose zones and databases it need not have.
fn leave_dns_out(path: &Path, process: &mut Process, report: &mut Report) {
    if process.cluster.is_none() && !report.has_errors() {
        let fault = "has no [cluster], expected one: a vantage reports to a fleet";
        report.error(files::place(path), fault);
    }
    if process.pools.is_none() && !report.has_errors() {
        let fault = "has no `pools`, expected the file that says what to probe";
        report.error(files::place(path), fault);
    }
    process.zones = None;
    process.server.listen.clear();
    process.server.xdp.clear();
    process.server.cookies.secret_file = None;
    process.geoip.database = None;
    process.geoip.asn_database = None;
    process.geoip.latency = None;
    process.geoip.update = None;
    process.tsig_keys.clear();
    process.secondaries.clear();
    process.grants.clear();
    process.dnstap = None;
    process.decisions = None;
}

/// Keeps the settings that a running process cannot change as they are, and warns of those that were
/// edited.
pub(super) fn keep_fixed(
    path: &Path,
    process: &mut Process,
    running: &Process,
    report: &mut Report,
) {
    let mut keep = |name: &str, is_same: bool| {
        if !is_same {
            let message = format!("`{name}` has changed: restart to apply");
            report.warning(files::place(path), message);
        }
    };
    let (new, old) = (&mut process.server, &running.server);
    keep("[server] listen", new.listen == old.listen);
    keep("[server] workers", new.workers == old.workers);
    keep("[server] xdp", new.xdp == old.xdp);
    keep(
        "[server] tcp_idle_timeout",
        new.tcp_idle_timeout == old.tcp_idle_timeout,
    );
    keep(
        "[server] max_tcp_connections",
        new.max_tcp_connections == old.max_tcp_connections,
    );
    keep(
        "[server] max_tcp_connections_per_client",
        new.max_tcp_connections_per_client == old.max_tcp_connections_per_client,
    );
    keep("[server.rate_limit]", new.rate_limit == old.rate_limit);
    *new = config::model::Server {
        max_udp_payload: new.max_udp_payload,
        nsid: new.nsid.clone(),
        version: new.version.clone(),
        cookies: new.cookies.clone(),
        ..old.clone()
    };
    keep("state_dir", process.state_dir == running.state_dir);
    process.state_dir.clone_from(&running.state_dir);
    keep("[admin]", process.admin == running.admin);
    process.admin.clone_from(&running.admin);
    keep("[dnstap]", process.dnstap == running.dnstap);
    process.dnstap.clone_from(&running.dnstap);
    keep("[decisions]", process.decisions == running.decisions);
    process.decisions.clone_from(&running.decisions);
    keep("[cluster]", process.cluster == running.cluster);
    process.cluster.clone_from(&running.cluster);
}

/// Where the last good copy is looked for. If `meridian.toml` is so faulty that it does not say, where
/// systemd keeps a service's state, or in `state` beside it.
pub(super) fn state_dir(path: &Path, process: Option<&Process>) -> Option<PathBuf> {
    let configured = process.and_then(|process| process.state_dir.clone());
    configured.or_else(|| {
        let systemd = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
        let beside = path.parent().unwrap_or(Path::new("")).join("state");
        let folders = systemd.into_iter().chain([beside]);
        folders.into_iter().find(|folder| folder.is_dir())
    })
}

/// This machine's name, for `[health] vantage`.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "local".into(),
        name => name.into(),
    }
}

/// Reads `pools.toml`; a vantage has only its pools.
///
/// # Errors
/// After a fault, which is reported: with what could be read, for the zones to be checked with.
pub(super) fn pools(
    process: &Process,
    role: Role,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Result<Pools, Pools> {
    let mut pools = all_pools(process, reader, report);
    if role == Role::Vantage {
        let (Ok(pools) | Err(pools)) = &mut pools;
        (pools.steered, pools.aliases) = (Vec::new(), Vec::new());
    }
    pools
}

fn all_pools(
    process: &Process,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Result<Pools, Pools> {
    let Some(path) = &process.pools else {
        return Ok(Pools::default());
    };
    let text = match reader.text(path, report) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(Pools::default()),
        Err(Moving { before }) => return Ok(before.config.pools.clone()),
    };
    let pools = config::pools(&source(path, &text), &process.safety, report)?;
    let mut faults = Report::default();
    check_clusters(process, &pools, &mut faults);
    if faults.has_errors() {
        report.append(faults);
        return Err(pools);
    }
    // A file that is being written begins so, and nobody means to steer nothing by it.
    if pools == Pools::default() {
        let fault = "is empty, expected pools and steered names; to have none, leave `pools` out of \
                     meridian.toml";
        report.error(files::place(path), fault);
        return Err(pools);
    }
    Ok(pools)
}

/// Reports pools whose cluster meridian.toml does not have.
fn check_clusters(process: &Process, pools: &Pools, report: &mut Report) {
    let names = || process.kubernetes.iter().map(|cluster| &*cluster.name);
    for pool in &pools.pools {
        let PoolSource::Kubernetes { object, place } = &pool.source else {
            continue;
        };
        let cluster = &*object.cluster;
        if !names().any(|name| name == cluster) {
            let near = did_you_mean(cluster, names());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let fault = format!(
                "`kubernetes` is \"{cluster}\", expected the name of a [kubernetes.NAME] of \
                 meridian.toml{hint}"
            );
            report.error(place.clone(), fault);
        }
    }
}

fn source<'a>(path: &'a Path, text: &'a str) -> config::Source<'a> {
    config::Source {
        file: path.to_string_lossy().into(),
        dir: path.parent().unwrap_or(Path::new("")),
        text,
    }
}
