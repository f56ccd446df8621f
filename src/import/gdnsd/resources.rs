//! Resources of gdnsd's plugins: what a name with DYNA is answered.
//!
//! Every address group becomes a pool. metafo and geoip put groups of other plugins into an order; a group that
//! is an order itself (simplefo, metafo) takes its place in it, pool by pool.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::base::prefix::Family;
use crate::import::draft::AllDown;
use crate::import::draft::Notes;
use crate::import::draft::Policy;
use crate::import::draft::Pool;
use crate::import::draft::PoolNames;
use crate::import::draft::Rule;
use crate::import::gdnsd::groups::Groups;
use crate::import::gdnsd::groups::Maker;
use crate::import::gdnsd::groups::count;
use crate::import::gdnsd::groups::find;
use crate::import::gdnsd::groups::is_true;
use crate::import::gdnsd::groups::joined;
use crate::import::gdnsd::groups::most_of_a_family;
use crate::import::gdnsd::maps;
use crate::import::gdnsd::services::Service;
use crate::import::tree::Node;
use crate::import::tree::Value;

/// The deepest chain of resources that name one another.
const MAX_DEPTH: usize = 16;

/// What a name is answered, whichever name it is.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) policy: Policy,
    pub(super) pools: Vec<String>,
    pub(super) rules: Vec<Rule>,
    pub(super) answers: Option<u32>,
    pub(super) notes: Notes,
}

/// Everything about plugins that a configuration says.
pub(super) struct Resources<'a> {
    plugins: &'a Node,
    maker: Maker,
    plans: HashMap<String, Result<Plan, String>>,
    /// The pools of all plans.
    pub(super) pools: Vec<Pool>,
}

impl<'a> Resources<'a> {
    pub(super) fn new(plugins: &'a Node, services: HashMap<String, Service>) -> Self {
        Self {
            plugins,
            maker: Maker {
                services,
                names: PoolNames::default(),
            },
            plans: HashMap::new(),
            pools: Vec::new(),
        }
    }

    /// What `PLUGIN!RESOURCE[/DATACENTER]` is answered.
    ///
    /// # Errors
    /// Why it has no equivalent.
    pub(super) fn plan(&mut self, reference: &str) -> Result<Plan, String> {
        if let Some(plan) = self.plans.get(reference) {
            return plan.clone();
        }
        let plan = self.make(reference);
        self.plans.insert(reference.to_owned(), plan.clone());
        plan
    }

    fn make(&mut self, reference: &str) -> Result<Plan, String> {
        let (plugin, resource) = reference.split_once('!').unwrap_or((reference, ""));
        let (resource, datacenter) = match resource.split_once('/') {
            Some((resource, datacenter)) => (resource, Some(datacenter)),
            None => (resource, None),
        };
        if plugin == "geoip" && datacenter.is_none() {
            return self.geoip(resource);
        }
        let groups = match datacenter {
            Some(datacenter) => {
                // Its pools are those of the whole resource, which knows where they are.
                let _ = self.plan(&format!("{plugin}!{resource}"));
                let node = self.meta(plugin, resource)?;
                self.datacenter(plugin, node, (resource, datacenter), datacenter, 0)?
            }
            None => self.groups(plugin, resource, (resource, ""), 0)?,
        };
        let plan = Plan {
            policy: "failover",
            pools: groups.pools.iter().map(|pool| pool.name.clone()).collect(),
            rules: Vec::new(),
            answers: groups.answers(),
            notes: Notes::default(),
        };
        self.keep(groups.pools);
        Ok(plan)
    }

    /// Adds pools that no other plan has added.
    fn keep(&mut self, pools: Vec<Pool>) {
        for pool in pools {
            if !self.pools.iter().any(|known| known.name == pool.name) {
                self.pools.push(pool);
            }
        }
    }

    /// A resource that orders data centers by where the client is.
    fn geoip(&mut self, resource: &str) -> Result<Plan, String> {
        let node = self.meta("geoip", resource)?;
        let name = node.get("map").and_then(Node::as_text).unwrap_or_default();
        let maps = self
            .plugins
            .get("geoip")
            .and_then(|geoip| geoip.get("maps"));
        let map = maps.and_then(|maps| maps.get(name));
        let map = map.ok_or_else(|| format!("geoip has no map `{name}`"))?;
        let mut notes = Notes::default();
        let map = maps::read(map, &mut notes);
        let (mut pools, mut by_datacenter) = (Vec::new(), HashMap::new());
        let (mut is_single, mut is_whole) = (false, false);
        for (datacenter, location) in &map.datacenters {
            let has_any = node
                .get("dcmap")
                .is_some_and(|map| map.get(datacenter).is_some());
            if !has_any {
                continue;
            }
            let scope = (resource, &**datacenter);
            let mut groups = self.datacenter("geoip", node, scope, datacenter, 0)?;
            // A group of one address is answered alike either way.
            let is_one = groups.pools.iter().all(|pool| most_of_a_family(pool) == 1);
            is_single |= groups.is_single && !is_one;
            is_whole |= !groups.is_single && !is_one;
            for (at, pool) in groups.pools.iter_mut().enumerate() {
                pool.location = *location;
                // At one place with the first, but only when that is down.
                pool.weight = u32::from(at == 0 || location.is_none());
            }
            let names = groups.pools.iter().map(|pool| pool.name.clone());
            by_datacenter.insert(datacenter.clone(), names.collect::<Vec<_>>());
            pools.extend(groups.pools);
        }
        let is_mixed = is_single && is_whole;
        note_geoip(resource, is_mixed, node, &mut notes);
        let answers = Groups {
            pools,
            is_single: is_single && !is_mixed,
        };
        let plan = Plan {
            policy: map.policy,
            pools: flat(&map.order, &by_datacenter),
            rules: map
                .rules
                .iter()
                .filter_map(|rule| of_rule(rule, &by_datacenter, &answers.pools))
                .collect(),
            answers: answers.answers(),
            notes,
        };
        self.keep(answers.pools);
        match plan.pools.is_empty() {
            true => Err(format!(
                "geoip!{resource} has no data center with addresses"
            )),
            false => Ok(plan),
        }
    }

    /// The configuration of a resource of metafo or geoip.
    fn meta(&self, plugin: &str, resource: &str) -> Result<&'a Node, String> {
        let node = self
            .plugins
            .get(plugin)
            .and_then(|node| node.get("resources")?.get(resource));
        node.ok_or_else(|| format!("{plugin} has no resource `{resource}`"))
    }

    /// The groups of a data center of a resource of metafo or geoip.
    fn datacenter(
        &mut self,
        plugin: &str,
        resource: &'a Node,
        scope: (&str, &str),
        datacenter: &str,
        depth: usize,
    ) -> Result<Groups, String> {
        let node = resource.get("dcmap").and_then(|map| map.get(datacenter));
        let node =
            node.ok_or_else(|| format!("`{}` has no data center `{datacenter}`", scope.0))?;
        let mut inherited = vec![resource];
        inherited.extend(self.plugins.get(plugin));
        let default = find(&inherited, "plugin")
            .and_then(Node::as_text)
            .unwrap_or("multifo");
        match &node.value {
            Value::Map(_) => {
                let plugin = node
                    .get("plugin")
                    .and_then(Node::as_text)
                    .unwrap_or(default);
                self.maker.group(plugin, node, &inherited, scope)
            }
            Value::List(_) => self.maker.group("multifo", node, &inherited, scope),
            Value::Null => Err("nothing".into()),
            Value::Text(text) => match text.split_once('!') {
                Some((plugin, resource)) => {
                    let plugin = plugin.trim_start_matches('%');
                    let plugin = if plugin.is_empty() { default } else { plugin };
                    self.groups(plugin, resource, scope, depth + 1)
                }
                None if text.parse::<IpAddr>().is_ok() => {
                    self.maker.group("multifo", node, &inherited, scope)
                }
                None => Err(format!(
                    "it is answered with the CNAME `{text}`; only addresses are steered"
                )),
            },
        }
    }

    /// The groups of a resource by name; its pools are named after `scope`.
    fn groups(
        &mut self,
        plugin: &str,
        resource: &str,
        scope: (&str, &str),
        depth: usize,
    ) -> Result<Groups, String> {
        if depth > MAX_DEPTH {
            return Err(format!("{plugin}!{resource} leads to itself"));
        }
        match plugin {
            "metafo" => {
                let node = self.meta(plugin, resource)?;
                let skipped = usize::from(node.get("skip_first").is_some_and(is_true));
                let datacenters = node.get("datacenters").map(Node::texts).unwrap_or_default();
                let mut groups = Groups {
                    pools: Vec::new(),
                    is_single: false,
                };
                for datacenter in datacenters.iter().skip(skipped) {
                    let label = joined(scope.1, datacenter);
                    let of_one =
                        self.datacenter(plugin, node, (scope.0, &label), datacenter, depth)?;
                    groups.is_single |= of_one.is_single;
                    groups.pools.extend(of_one.pools);
                }
                Ok(groups)
            }
            "geoip" => Err(format!(
                "geoip!{resource} inside another resource has no equivalent"
            )),
            "multifo" | "simplefo" | "static" | "weighted" => {
                let top = self.plugins.get(plugin);
                let node = top.and_then(|top| top.get(resource));
                let node = node.ok_or_else(|| format!("{plugin} has no resource `{resource}`"))?;
                self.maker
                    .group(plugin, node, &top.into_iter().collect(), scope)
            }
            _ => Err(format!("the plugin `{plugin}` has no equivalent")),
        }
    }
}

/// Notes what a name cannot do as a resource of geoip does.
fn note_geoip(resource: &str, is_mixed: bool, node: &Node, notes: &mut Notes) {
    if node.get("skip_first").is_some_and(is_true) {
        let why = "the order of a client's data centers cannot be begun at the second";
        notes.missing("`skip_first => true`", why);
    }
    if is_mixed {
        let why = "some of its groups answer one address, others all; `answers` holds for all";
        notes.missing(&format!("groups of geoip!{resource}"), why);
    }
}

/// The pools of data centers, in their order.
fn flat(order: &[String], by_datacenter: &HashMap<String, Vec<String>>) -> Vec<String> {
    let pools = order.iter().filter_map(|name| by_datacenter.get(name));
    pools.flatten().cloned().collect()
}

/// A rule of a map for the pools of a resource; `None` if it has none of its data centers.
///
/// It has a fence, as gdnsd never leaves the list either, but not where its pools lack a family that others
/// have: behind a fence such clients would be answered SERVFAIL.
fn of_rule(
    rule: &maps::Rule,
    by_datacenter: &HashMap<String, Vec<String>>,
    all: &[Pool],
) -> Option<Rule> {
    let pools = flat(&rule.order, by_datacenter);
    let lacking = Family::ALL.into_iter().find(|family| {
        let mut with = all
            .iter()
            .filter(|pool| count(pool, *family) > 0)
            .peekable();
        with.peek().is_some() && !with.any(|pool| pools.contains(&pool.name))
    });
    let mut notes = Notes::default();
    if let Some(family) = lacking {
        let what = format!("no {family} address in {:?}", rule.order);
        notes.missing(
            &what,
            "these clients get those of the name's other pools, and no fence",
        );
    }
    (!pools.is_empty()).then(|| Rule {
        notes,
        key: rule.key,
        values: rule.values.clone(),
        policy: rule.policy,
        pools,
        all_down: AllDown::Nearest,
        fence: lacking.is_none(),
    })
}
