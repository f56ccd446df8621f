//! Address groups of gdnsd's plugins, made into pools.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::base::prefix::Family;
use crate::import::draft::Pool;
use crate::import::draft::PoolNames;
use crate::import::gdnsd::services::Service;
use crate::import::tree::Fields;
use crate::import::tree::Node;
use crate::import::tree::Value;

/// The groups of one resource, in the order of failover.
pub(super) struct Groups {
    pub(super) pools: Vec<Pool>,
    /// Whether an answer has one address of a group.
    pub(super) is_single: bool,
}

/// Parameters that a resource inherits from what it stands in, innermost first.
pub(super) type Inherited<'a> = Vec<&'a Node>;

/// Makes pools of what plugins say of one resource.
pub(super) struct Maker {
    pub(super) services: HashMap<String, Service>,
    pub(super) names: PoolNames,
}

impl Maker {
    /// The groups that a plugin's configuration of one resource makes.
    pub(super) fn group(
        &mut self,
        plugin: &str,
        node: &Node,
        inherited: &Inherited<'_>,
        (scope, label): (&str, &str),
    ) -> Result<Groups, String> {
        let mut name = |more: &str| {
            let label = joined(label, more);
            match &*label {
                "" => self.names.name(scope, "all"),
                label => self.names.name(scope, label),
            }
        };
        let (pools, is_single) = match plugin {
            "multifo" => (vec![Pool::new(name(""))], false),
            "static" => (vec![Pool::new(name(""))], false),
            "weighted" => (vec![Pool::new(name(""))], true),
            "simplefo" => (
                vec![Pool::new(name("primary")), Pool::new(name("secondary"))],
                false,
            ),
            _ => {
                return Err(format!(
                    "the plugin `{plugin}` has no equivalent: {}",
                    node.in_line()
                ));
            }
        };
        let mut groups = Groups { pools, is_single };
        let families = [
            ("addrs_v4", node.get("addrs_v4")),
            ("addrs_v6", node.get("addrs_v6")),
        ];
        if families.iter().all(|(_, stanza)| stanza.is_none()) {
            self.stanza(plugin, node, inherited, &mut groups)?;
        }
        let mut inherited = inherited.clone();
        inherited.insert(0, node);
        for stanza in families.iter().filter_map(|(_, stanza)| *stanza) {
            self.stanza(plugin, stanza, &inherited, &mut groups)?;
        }
        match groups.pools.iter().any(|pool| pool.endpoints.is_empty()) {
            true => Err(format!("a group without addresses: {}", node.in_line())),
            false => Ok(groups),
        }
    }

    /// Adds the addresses of one stanza, which are all of one family.
    fn stanza(
        &self,
        plugin: &str,
        node: &Node,
        inherited: &Inherited<'_>,
        groups: &mut Groups,
    ) -> Result<(), String> {
        let mut fields = Fields::of(node);
        let mut parameters = HashMap::new();
        for key in [
            "service_types",
            "up_thresh",
            "ignore_health",
            "multi",
            "plugin",
        ] {
            if let Some(node) = fields.take(key).or_else(|| find(inherited, key)) {
                parameters.insert(key, node);
            }
        }
        let entries: Vec<(&str, &Node)> = match &node.value {
            Value::Map(_) => fields.rest(),
            _ => node.items().iter().map(|item| ("", item)).collect(),
        };
        let mut added = vec![0; groups.pools.len()];
        for (label, node) in &entries {
            let at = usize::from(plugin == "simplefo" && *label == "secondary");
            let (address, weight) = address(node, plugin == "weighted")?;
            groups.pools[at].add(address, weight);
            added[at] += 1;
        }
        if plugin == "weighted" {
            groups.is_single &= !parameters.get("multi").is_some_and(|node| is_true(node));
            if !groups.is_single {
                let why = "addresses have no odds of their own; all that are up are answered";
                groups.pools[0].notes.missing("`multi => true`", why);
            }
        }
        for (pool, n_added) in groups.pools.iter_mut().zip(added) {
            self.monitor(pool, parameters.get("service_types").copied());
            threshold(plugin, pool, n_added, &parameters);
        }
        Ok(())
    }

    /// Gives a pool the monitor of its service types.
    fn monitor(&self, pool: &mut Pool, types: Option<&Node>) {
        let types = types.map(Node::texts).unwrap_or_default();
        let mut monitors = Vec::new();
        for name in types {
            match self.services.get(name) {
                Some(Service::Up) => {}
                Some(Service::Probed(monitor, notes)) => {
                    pool.notes.append(notes.clone());
                    monitors.push((name, monitor));
                }
                Some(Service::Down) => {
                    let why = "a pool that is never up; drain it with `meridian drain`";
                    pool.notes.missing(&format!("service type `{name}`"), why);
                }
                Some(Service::Unknown(what)) => {
                    pool.notes
                        .missing(&format!("service type {what}"), "not probed here");
                }
                None => pool
                    .notes
                    .missing(&format!("service type `{name}`"), "not defined"),
            }
        }
        let first = monitors.first().map(|(_, monitor)| (*monitor).clone());
        for (name, _) in monitors.iter().skip(1) {
            let why = "a pool has one monitor, that of its first service type";
            pool.notes.missing(&format!("service type `{name}`"), why);
        }
        let is_first_stanza = pool
            .endpoints
            .iter()
            .all(|e| e.address.is_ipv4() == pool.endpoints[0].address.is_ipv4());
        if is_first_stanza {
            pool.monitor = first;
        } else if pool.monitor != first {
            let why = "a pool has one monitor for both families, that of IPv4";
            pool.notes.missing("service types of IPv6", why);
        }
    }
}

impl Groups {
    /// `answers` of a name: gdnsd answers all addresses of a group, or one.
    pub(super) fn answers(&self) -> Option<u32> {
        let most = self.pools.iter().map(most_of_a_family).max();
        match self.is_single {
            true => Some(1),
            // The default of `answers`.
            false => most
                .filter(|most| *most > 8)
                .and_then(|most| u32::try_from(most).ok()),
        }
    }
}

/// The number of addresses in the family that has more.
pub(super) fn most_of_a_family(pool: &Pool) -> usize {
    let n_of = |family| count(pool, family);
    Family::ALL.map(n_of).into_iter().max().unwrap_or(0)
}

pub(super) fn count(pool: &Pool, family: Family) -> usize {
    let endpoints = pool.endpoints.iter();
    endpoints
        .filter(|e| Family::of(e.address) == family)
        .count()
}

/// Sets how many addresses of a pool must be up.
fn threshold(plugin: &str, pool: &mut Pool, n_added: usize, parameters: &HashMap<&str, &Node>) {
    if pool.monitor.is_none() || !matches!(plugin, "multifo" | "weighted") {
        return;
    }
    if parameters
        .get("ignore_health")
        .is_some_and(|node| is_true(node))
    {
        let why = "an address that is down is not answered while others are up";
        pool.notes.missing("`ignore_health => true`", why);
    }
    let given = parameters.get("up_thresh").and_then(|node| node.as_text());
    let share = given
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|share| *share > 0.0 && *share <= 1.0);
    let share = share.unwrap_or(0.5);
    let first = pool.endpoints.first().map(|e| e.weight);
    if plugin == "weighted" && pool.endpoints.iter().any(|e| Some(e.weight) != first) {
        let why = "it is a share of weights; here a number of addresses must be up, 1";
        pool.notes.missing(&format!("`up_thresh => {share}`"), why);
        return;
    }
    // Of at most 64 addresses: neither rounded nor truncated.
    let wanted = (share * n_added as f64).ceil() as usize;
    if n_added < pool.endpoints.len() && wanted != pool.min_healthy {
        let what = format!("`up_thresh => {share}` of IPv6, {wanted} of {n_added}");
        pool.notes.missing(
            &what,
            "`min_healthy` is one number for both families, that of IPv4",
        );
        return;
    }
    pool.min_healthy = wanted.max(1);
}

/// An address alone, or with its weight.
fn address(node: &Node, is_weighted: bool) -> Result<(IpAddr, u32), String> {
    let texts = node.texts();
    let parsed = match (&texts[..], is_weighted) {
        ([address], false) => address.parse().ok().map(|address| (address, 1)),
        ([address, weight], true) => address.parse().ok().zip(weight.parse().ok()),
        _ => None,
    };
    parsed.ok_or_else(|| match node.as_map() {
        Some(_) if is_weighted => format!(
            "weighted groups of addresses have no equivalent: {}",
            node.in_line()
        ),
        _ => format!(
            "`{}` is no address: only addresses are steered",
            node.in_line()
        ),
    })
}

pub(super) fn joined(label: &str, more: &str) -> String {
    match (label, more) {
        ("", more) => more.to_owned(),
        (label, "") => label.to_owned(),
        (label, more) => format!("{label}-{more}"),
    }
}

/// The innermost value of an inherited parameter.
pub(super) fn find<'a>(inherited: &Inherited<'a>, key: &str) -> Option<&'a Node> {
    inherited.iter().find_map(|node| node.get(key))
}

/// gdnsd's booleans, in any case.
pub(super) fn is_true(node: &Node) -> bool {
    node.as_text()
        .is_some_and(|text| text.eq_ignore_ascii_case("true"))
}
