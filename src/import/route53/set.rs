//! A resource record set as `aws route53 list-resource-record-sets` prints it.

use crate::base::name::Name;
use crate::import::draft::Notes;
use crate::import::route53::text;
use crate::import::tree::Fields;
use crate::import::tree::Node;

/// The fields that some part of the import reads.
const KNOWN: &[&str] = &[
    "AliasTarget",
    "CidrRoutingConfig",
    "Failover",
    "GeoLocation",
    "GeoProximityLocation",
    "HealthCheckId",
    "MultiValueAnswer",
    "Name",
    "Region",
    "ResourceRecords",
    "SetIdentifier",
    "TTL",
    "Type",
    "Weight",
];

/// A record set.
#[derive(Clone)]
pub(super) struct Set<'a> {
    pub(super) node: &'a Node,
    pub(super) owner: Name,
    pub(super) rtype: &'a str,
}

impl<'a> Set<'a> {
    /// Reads what every record set has.
    pub(super) fn of(node: &'a Node) -> Option<Self> {
        let text = |key| node.get(key).and_then(Node::as_text);
        Some(Self {
            node,
            owner: text::name(text("Name")?)?,
            rtype: text("Type")?,
        })
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.node.get(key)?.as_text()
    }

    /// What notes call it.
    pub(super) fn title(&self) -> String {
        let Self { owner, rtype, node } = self;
        let rest = node.as_map().unwrap_or_default().iter();
        let rest = rest.filter(|(key, _)| !matches!(&**key, "Name" | "Type" | "TTL"));
        let rest: Vec<_> = rest
            .map(|(key, value)| format!("{key}: {}", value.in_line()))
            .collect();
        format!("{owner} {rtype} {{{}}}", rest.join(", "))
    }

    pub(super) fn ttl(&self) -> Option<u32> {
        self.text("TTL")?.parse().ok()
    }

    /// The values of its records.
    pub(super) fn values(&self) -> Vec<&'a str> {
        let records = self
            .node
            .get("ResourceRecords")
            .map(Node::items)
            .unwrap_or_default();
        records
            .iter()
            .filter_map(|record| record.get("Value")?.as_text())
            .collect()
    }

    /// What it is an alias of, if it is one.
    pub(super) fn alias(&self) -> Option<Result<Name, String>> {
        let target = self.node.get("AliasTarget")?;
        let name = target
            .get("DNSName")
            .and_then(Node::as_text)
            .unwrap_or_default();
        Some(text::name(name).ok_or_else(|| format!("`{name}` is no name")))
    }

    /// Whether it is an alias that is up as what it leads to is.
    pub(super) fn follows_health(&self) -> bool {
        let target = self.node.get("AliasTarget");
        let follows = target.and_then(|target| target.get("EvaluateTargetHealth")?.as_text());
        follows == Some("true")
    }

    /// Whether it is one of several with a routing policy.
    pub(super) fn is_routed(&self) -> bool {
        self.node.get("SetIdentifier").is_some()
    }

    /// Notes the fields that nothing reads.
    pub(super) fn note_rest(&self, notes: &mut Notes) {
        for (key, node) in Fields::of(self.node).rest() {
            if !KNOWN.contains(&key) {
                let what = format!("`{key}: {}`", node.in_line());
                notes.missing(&what, "not known here");
            }
        }
    }
}
