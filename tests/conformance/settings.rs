//! The servers' configurations: the same zones, nothing outside their folder, no control socket, and no
//! limit that a test could run into.

use std::path::Path;

use crate::peers::ZoneText;

/// What each server is started with, its configuration file coming last.
pub const ARGUMENTS: [&[&str]; 4] = [&["-d", "-c"], &["-c"], &["-n", "1", "-g", "-c"], &["-c"]];

/// Writes a configuration for a folder, the zones in it, and a port.
type Writer = fn(&Path, &[ZoneText], u16) -> String;

/// The configurations, in the order of [`crate::peers::NAMES`].
pub const WRITERS: [Writer; 4] = [nsd, knot, bind, meridian];

fn each(zones: &[ZoneText], line: impl Fn(&str, &str) -> String) -> String {
    zones
        .iter()
        .map(|zone| line(&zone.origin, &zone.file()))
        .collect()
}

fn nsd(base: &Path, zones: &[ZoneText], port: u16) -> String {
    let dir = base.display();
    let zones = each(zones, |origin, file| {
        format!("zone:\n name: \"{origin}\"\n zonefile: {file}\n")
    });
    format!(
        "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n \
         zonesdir: \"{dir}/zones\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"\"\n \
         zonelistfile: \"{dir}/nsd.list\"\n xfrdir: \"{dir}\"\n rrl-ratelimit: 0\n \
         server-count: 1\n tcp-count: 1000\nremote-control:\n control-enable: no\n{zones}"
    )
}

fn knot(base: &Path, zones: &[ZoneText], port: u16) -> String {
    let dir = base.display();
    let zones = each(zones, |origin, file| {
        format!(" - domain: \"{origin}\"\n   file: \"{file}\"\n")
    });
    format!(
        "server:\n rundir: {dir}\n listen: 127.0.0.1@{port}\n udp-workers: 1\n tcp-workers: 1\n\
         database:\n storage: {dir}/knot\ntemplate:\n - id: default\n   storage: {dir}/zones\n   \
         semantic-checks: false\n   zonefile-sync: -1\n   journal-content: none\nzone:\n{zones}"
    )
}

fn bind(base: &Path, zones: &[ZoneText], port: u16) -> String {
    let dir = base.display();
    let zones = each(zones, |origin, file| {
        format!("zone \"{origin}\" {{ type primary; file \"zones/{file}\"; }};\n")
    });
    format!(
        "options {{ directory \"{dir}\"; listen-on port {port} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion no; \
         check-names primary ignore; check-integrity no; dnssec-validation no; \
         empty-zones-enable no; max-records-per-type 0; allow-query {{ any; }}; \
         allow-transfer {{ none; }}; tcp-clients 1000; }};\ncontrols {{ }};\n{zones}"
    )
}

fn meridian(_: &Path, _: &[ZoneText], port: u16) -> String {
    format!(
        "zones = \"zones\"\n[server]\nlisten = [\"127.0.0.1:{port}\"]\nworkers = 1\n\
         max_tcp_connections_per_client = 1000\n"
    )
}
