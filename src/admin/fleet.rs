//! The fleet in the status and in the metrics: which machines there are, and in what they differ from this one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::metrics::Page;
use crate::live::fleet::Digests;
use crate::live::fleet::FleetView;
use crate::live::fleet::NodeView;
use crate::live::fleet::What;

/// The fleet.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fleet {
    /// This machine's name.
    pub node: String,
    /// The NATS server that it is connected to; `None`: to none.
    pub connected_to: Option<String>,
    /// Why not, if not.
    pub reason: Option<String>,
    /// Since when it is connected, or not; 0: the first attempt has not ended.
    pub since: u64,
    /// Whether another machine uses this one's name.
    pub name_taken: bool,
    /// Hashes of what this machine has, in hexadecimal.
    pub digests: BTreeMap<String, String>,
    /// The other machines.
    pub nodes: Vec<Node>,
}

/// Another machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The release that it runs.
    pub version: String,
    /// Hashes of what it has, in hexadecimal.
    pub digests: BTreeMap<String, String>,
    /// When its latest message came.
    pub last_seen: u64,
    /// Seconds since then.
    pub age_seconds: f64,
    /// Whether it has been silent for so long that it has no vote.
    pub lost: bool,
    /// Whether two machines use its name.
    pub duplicate: bool,
    /// What it has in another form than this machine, for more than a few seconds.
    pub differs: Vec<Difference>,
    /// Records of its reports that were ignored, by reason.
    pub ignored_records: BTreeMap<String, u64>,
}

/// One thing that differs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Difference {
    /// `configuration`, `database`, `overrides` or `verdicts`.
    pub what: String,
    /// Since when.
    pub since: u64,
}

impl Page {
    /// What is known of the other machines.
    pub(super) fn fleet(&mut self, fleet: &FleetView) {
        let is = |fact: bool| f64::from(u8::from(fact));
        self.gauge(
            "meridian_fleet_connected",
            "Whether there is a connection to a NATS server.",
            [],
            [([""; 0], is(fleet.connection.server.is_some()))],
        );
        self.gauge(
            "meridian_fleet_name_taken",
            "Whether another machine uses this one's [cluster] node.",
            [],
            [([""; 0], is(fleet.is_name_taken))],
        );
        let nodes = || fleet.nodes.iter();
        self.gauge(
            "meridian_fleet_node_age_seconds",
            "The time since a node's latest message.",
            ["node"],
            nodes().map(|node| ([&node.name], node.age.as_secs_f64())),
        );
        let differs = nodes().flat_map(|node| {
            What::ALL.map(|what| {
                let differs = node.differs.iter().any(|(other, _)| *other == what);
                ([&*node.name, what.as_str()], is(differs))
            })
        });
        self.gauge(
            "meridian_fleet_node_differs",
            "Whether a node has had something in another form than this one for more than a few seconds.",
            ["node", "what"],
            differs,
        );
        self.gauge(
            "meridian_fleet_node_duplicate",
            "Whether two machines use a node's name.",
            ["node"],
            nodes().map(|node| ([&node.name], is(node.is_duplicate))),
        );
        self.fleet_messages(fleet);
    }

    fn fleet_messages(&mut self, fleet: &FleetView) {
        let nodes = || fleet.nodes.iter();
        let messages = nodes().flat_map(|node| {
            let messages = node.messages.iter();
            messages.map(|(kind, n)| ([*kind, &*node.name], *n as f64))
        });
        self.counter(
            "meridian_fleet_messages_total",
            "Messages taken from a node.",
            ["kind", "node"],
            messages,
        );
        let ignored = nodes().flat_map(|node| {
            let reasons = node.ignored.by_reason();
            reasons.map(|(reason, n)| ([&*node.name, reason], n as f64))
        });
        self.counter(
            "meridian_fleet_records_ignored_total",
            "Verdicts in a node's reports that did not fit this machine's configuration.",
            ["node", "reason"],
            ignored,
        );
        let numbers = |numbers: &[(&'static str, u64)]| -> Vec<_> {
            numbers
                .iter()
                .map(|(reason, n)| ([*reason], *n as f64))
                .collect()
        };
        self.counter(
            "meridian_fleet_messages_dropped_total",
            "Messages that were not accepted.",
            ["reason"],
            numbers(&fleet.dropped),
        );
        self.counter(
            "meridian_fleet_overrides_refused_total",
            "Overrides of other nodes that were not taken.",
            ["reason"],
            numbers(&fleet.refused_overrides),
        );
    }
}

/// The fleet as JSON.
pub fn fleet(view: &FleetView) -> Fleet {
    let connection = &view.connection;
    Fleet {
        node: view.node.to_string(),
        connected_to: connection.server.as_ref().map(ToString::to_string),
        reason: connection.reason.as_ref().map(ToString::to_string),
        since: connection.since,
        name_taken: view.is_name_taken,
        digests: digests(&view.digests),
        nodes: view.nodes.iter().map(node).collect(),
    }
}

fn node(view: &NodeView) -> Node {
    let difference = |(what, since): &(What, u64)| Difference {
        what: what.as_str().into(),
        since: *since,
    };
    let ignored = view.ignored.by_reason().into_iter();
    Node {
        name: view.name.to_string(),
        version: view.version.to_string(),
        digests: digests(&view.digests),
        last_seen: view.last_seen,
        age_seconds: (view.age.as_secs_f64() * 10.0).round() / 10.0,
        lost: view.is_lost,
        duplicate: view.is_duplicate,
        differs: view.differs.iter().map(difference).collect(),
        ignored_records: ignored.map(|(reason, n)| (reason.into(), n)).collect(),
    }
}

fn digests(digests: &Digests) -> BTreeMap<String, String> {
    let digest = |what: What| {
        let digest = digests.of(what)?;
        Some((what.as_str().into(), format!("{digest:016x}")))
    };
    What::ALL.into_iter().filter_map(digest).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::report::Ignored;
    use crate::live::fleet::Connection;

    /// A fleet of two machines.
    pub(in crate::admin) fn view() -> FleetView {
        let digests = Digests::from_fn(|what| Some(what as u64));
        FleetView {
            node: "ns1".into(),
            digests,
            connection: Connection {
                server: Some("127.0.0.1:4222".into()),
                reason: None,
                since: 1_000,
            },
            nodes: vec![NodeView {
                name: "ns2".into(),
                version: "0.1.0".into(),
                digests,
                last_seen: 1_100,
                age: Duration::from_millis(1_234),
                is_lost: false,
                is_duplicate: false,
                differs: vec![(What::Configuration, 1_050)],
                messages: vec![("report", 7)],
                ignored: Ignored {
                    other_check: 3,
                    ..Ignored::default()
                },
            }],
            is_name_taken: false,
            dropped: vec![("clock", 2)],
            refused_overrides: vec![("unknown_pool", 1)],
        }
    }

    #[test]
    fn the_fleet_as_json() {
        let json = serde_json::to_value(fleet(&view())).expect("JSON");
        assert_eq!(json["connected_to"], "127.0.0.1:4222");
        let node = &json["nodes"][0];
        assert_eq!(node["differs"][0]["what"], "configuration");
        assert_eq!(node["differs"][0]["since"], 1_050);
        assert_eq!(node["ignored_records"]["other_check"], 3);
        assert_eq!(node["digests"]["verdicts"], "0000000000000003");
        assert_eq!(node["age_seconds"], 1.2);
    }

    #[test]
    fn the_fleet_as_metrics() {
        let mut page = Page::default();
        page.fleet(&view());
        let text = page.into_text();
        for line in [
            "meridian_fleet_connected 1",
            "meridian_fleet_name_taken 0",
            "meridian_fleet_node_age_seconds{node=\"ns2\"} 1.234",
            "meridian_fleet_node_differs{node=\"ns2\",what=\"configuration\"} 1",
            "meridian_fleet_node_differs{node=\"ns2\",what=\"verdicts\"} 0",
            "meridian_fleet_messages_total{kind=\"report\",node=\"ns2\"} 7",
            "meridian_fleet_records_ignored_total{node=\"ns2\",reason=\"other_check\"} 3",
            "meridian_fleet_messages_dropped_total{reason=\"clock\"} 2",
            "meridian_fleet_overrides_refused_total{reason=\"unknown_pool\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
