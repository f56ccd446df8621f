//! `[cluster]` of `meridian.toml`: which NATS servers, as whom, and who else may report.

use std::path::PathBuf;

use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Cluster;
use crate::config::model::NatsServer;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;

/// What `nats` looks like.
const NATS: &str = "a list such as [\"nats://127.0.0.1:4222\"]";

/// What `reporters` looks like.
const REPORTERS: &str = "a list of nodes such as [\"ns1\", \"ns2\"]";

/// Resolves the table, if it is there; `vantage` is the name that the local vantage would have without it.
pub(super) fn cluster(top: &Table<'_>, health: &Table<'_>, vantage: &str) -> Option<Cluster> {
    let table = top.optional_table("cluster", &keys::CLUSTER)?;
    let nats = table.require("nats", NATS, servers);
    let prefix = table.read_or("prefix", defaults::CLUSTER_PREFIX.into(), |item| {
        item.parse(units::SUBJECT_TOKEN, units::subject_token)
    });
    let node = node(&table, health, vantage);
    let reporters = table.read("reporters", reporters);
    if let (Some(reporters), Some(node), Some(item)) = (&reporters, &node, table.get("reporters"))
        && !reporters.contains(node)
    {
        item.warn(&format!("lacks this node, \"{node}\""));
    }
    let credentials_file = table.read("credentials_file", Item::path);
    let has_login = |server: &NatsServer| server.login.is_some();
    if let (Some(item), Some(nats)) = (table.get("credentials_file"), &nats)
        && nats.iter().any(has_login)
    {
        item.fault("stands beside a user in `nats`, expected only one of them");
    }
    Some(Cluster {
        prefix,
        credentials_file,
        ca_file: table.read("ca_file", Item::path),
        identity: identity(&table),
        reporters,
        nats: nats?,
        node: node?,
    })
}

/// The servers, each once.
fn servers(item: &Item<'_>) -> Option<Vec<NatsServer>> {
    let mut seen: Vec<String> = Vec::new();
    item.list(NATS, |entry| {
        let text = entry.text(units::NATS_SERVER)?;
        let Some(server) = units::nats_server(text) else {
            if text.contains('@') {
                // The value is not repeated: it may hold a password.
                let expected = units::NATS_SERVER;
                entry.fault(&format!("is no URL of a NATS server, expected {expected}"));
            } else {
                entry.expected(units::NATS_SERVER);
            }
            return None;
        };
        let name = server.to_string();
        if seen.contains(&name) {
            entry.fault(&format!("is {name} again, expected each server once"));
        }
        seen.push(name);
        Some(server)
    })
}

/// This machine's name, which is its vantage's as well.
fn node(table: &Table<'_>, health: &Table<'_>, vantage: &str) -> Option<Box<str>> {
    let token = |item: &Item<'_>| item.parse(units::SUBJECT_TOKEN, units::subject_token);
    if table.is_missing("node") {
        let node = units::subject_token(vantage);
        if node.is_none() {
            table.fault(&format!(
                "has no `node`, and \"{vantage}\", the name of the vantage, cannot stand for it, \
                 expected {}",
                units::SUBJECT_TOKEN
            ));
        }
        return node;
    }
    let node = table.read("node", token)?;
    if let Some(item) = health.get("vantage")
        && *node != *vantage
    {
        item.fault(&format!(
            "is \"{vantage}\" and [cluster] node is \"{node}\", expected the same name, or \
             `vantage` left out"
        ));
    }
    Some(node)
}

/// Nodes, each once.
fn reporters(item: &Item<'_>) -> Option<Vec<Box<str>>> {
    let mut seen: Vec<Box<str>> = Vec::new();
    item.list(REPORTERS, |entry| {
        let node = entry.parse(units::SUBJECT_TOKEN, units::subject_token)?;
        if seen.contains(&node) {
            entry.fault(&format!("is \"{node}\" again, expected each node once"));
        }
        seen.push(node.clone());
        Some(node)
    })
}

/// The files of certificate and key; none, or both.
fn identity(table: &Table<'_>) -> Option<(PathBuf, PathBuf)> {
    let certificate = table.read("cert_file", Item::path);
    let key = table.read("key_file", Item::path);
    for (present, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if table.is_missing(missing)
            && let Some(item) = table.get(present)
        {
            item.fault(&format!(
                "stands without `{missing}`, expected both or none"
            ));
        }
    }
    certificate.zip(key)
}
