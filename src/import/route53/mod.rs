//! Route 53: what `aws route53 list-resource-record-sets` prints for a hosted zone, with the health checks and
//! CIDR blocks that it names.
//!
//! Record sets without a routing policy become the zone, those with one become steered names. An
//! alias is what its target has, if that is in the same zone.

mod health;
mod regions;
mod routing;
mod set;
mod text;

use std::net::IpAddr;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::import::Input;
use crate::import::addresses::Addresses;
use crate::import::draft::Draft;
use crate::import::draft::Notes;
use crate::import::draft::PoolNames;
use crate::import::route53::health::HealthChecks;
use crate::import::route53::set::Set;
use crate::import::tree::Fields;
use crate::import::tree::Node;
use crate::import::zone::Settings;
use crate::import::zone::ZoneDraft;

/// The deepest chain of aliases that is followed.
const MAX_DEPTH: usize = 8;

/// Imports a hosted zone from files in any order; `None` after a fault, which is reported.
pub fn import(inputs: &[Input], settings: &Settings, report: &mut Report) -> Option<Draft> {
    let roots: Vec<Node> = inputs
        .iter()
        .filter_map(|input| parse(input, report))
        .collect();
    let mut draft = Draft::default();
    let names: Vec<&str> = inputs.iter().map(|input| &*input.file).collect();
    draft.notes.say(format!(
        "Made by `meridian import route53` from {}.",
        names.join(", ")
    ));
    let mut zone = Zone::default();
    for root in &roots {
        zone.file(root, &mut draft.notes, report);
    }
    let soa = zone.sets.iter().find(|set| set.rtype == "SOA");
    let origin = settings.origin.clone().or_else(|| Some(soa?.owner.clone()));
    let Some(origin) = origin.filter(|_| !report.has_errors()) else {
        if !report.has_errors() {
            let message = "no record set of type SOA, expected the output of `aws route53 list-resource-record-sets`, or --origin";
            report.error(Place::file(&inputs.first()?.file), message);
        }
        return None;
    };
    zone.origin = Some(origin.clone());
    let mut records = ZoneDraft::new(origin);
    let mut addresses = Addresses::default();
    let sets = zone.sets.clone();
    let mut rest: Vec<&Set<'_>> = sets.iter().collect();
    while let Some(first) = rest.first().copied() {
        let is_alike = |set: &&Set<'_>| (&set.owner, set.rtype) == (&first.owner, first.rtype);
        let (alike, others) = rest.into_iter().partition::<Vec<_>, _>(is_alike);
        rest = others;
        zone.name(&alike, &mut records, &mut addresses);
    }
    let owners = addresses.finish(&mut draft, &mut records);
    records.finish(&owners, settings, &mut draft);
    Some(draft)
}

fn parse(input: &Input, report: &mut Report) -> Option<Node> {
    match serde_json::from_str(&input.text) {
        Ok(json) => Some(Node::of_json(&input.file, json)),
        Err(error) => {
            let place = Place {
                file: input.file.clone(),
                line: u32::try_from(error.line()).unwrap_or(1),
                column: u32::try_from(error.column()).unwrap_or(1),
            };
            report.error(place, format!("is no JSON: {error}"));
            None
        }
    }
}

/// Addresses with their weights, and the id of a health check.
type Inner<'a> = (Vec<(IpAddr, u32)>, Option<&'a str>);

/// A hosted zone that is being read.
#[derive(Default)]
pub(super) struct Zone<'a> {
    origin: Option<Name>,
    sets: Vec<Set<'a>>,
    checks: HealthChecks<'a>,
    /// CIDR blocks with the names of their locations.
    blocks: Vec<(&'a str, &'a str)>,
    names: PoolNames,
}

impl<'a> Zone<'a> {
    /// Takes what a file has.
    fn file(&mut self, root: &'a Node, notes: &mut Notes, report: &mut Report) {
        let mut fields = Fields::of(root);
        let sets = fields.take("ResourceRecordSets");
        let (checks, blocks) = (fields.take("HealthChecks"), fields.take("CidrBlocks"));
        if sets.is_none() && checks.is_none() && blocks.is_none() {
            let message = "has no ResourceRecordSets, HealthChecks or CidrBlocks, expected what `aws route53 list-…` prints as JSON";
            report.error(root.place.clone(), message);
            return;
        }
        for node in sets.map(Node::items).unwrap_or_default() {
            match Set::of(node) {
                Some(set) => self.sets.push(set),
                None => {
                    let message =
                        format!("a record set without a name or type: {}", node.in_line());
                    report.error(node.place.clone(), message);
                }
            }
        }
        for check in checks.map(Node::items).unwrap_or_default() {
            self.checks.add(check);
        }
        for block in blocks.map(Node::items).unwrap_or_default() {
            let text = |key| block.get(key).and_then(Node::as_text);
            self.blocks
                .extend(text("LocationName").zip(text("CidrBlock")));
        }
        for (key, node) in fields.rest() {
            match (key, node.as_text()) {
                ("IsTruncated", Some("true")) => {
                    notes.missing("`IsTruncated: true`", "the file is not all of it");
                }
                ("IsTruncated" | "MaxItems" | "Marker", _) => {}
                _ => notes.missing(&format!("`{key}: {}`", node.in_line()), "not known here"),
            }
        }
    }

    /// Takes over all record sets of one name and type.
    fn name(&mut self, sets: &[&Set<'_>], records: &mut ZoneDraft, addresses: &mut Addresses) {
        let [first, ..] = sets else {
            return;
        };
        let family = match first.rtype {
            "A" => Some(Family::V4),
            "AAAA" => Some(Family::V6),
            _ => None,
        };
        match family {
            Some(family) if first.is_routed() => {
                match routing::steering(&first.owner, sets, self) {
                    Ok(steering) => addresses.add_dynamic(&first.owner, family, steering),
                    Err(notes) => {
                        records.notes().append(notes);
                        records.end_notes();
                    }
                }
            }
            _ => self.fixed(first, &sets[1..], family, records, addresses),
        }
    }

    /// Puts records into the zone: those of the first set, where there are several.
    fn fixed(
        &self,
        set: &Set<'_>,
        others: &[&Set<'_>],
        family: Option<Family>,
        records: &mut ZoneDraft,
        addresses: &mut Addresses,
    ) {
        for other in others {
            let why = "only addresses are steered; the first record set is served";
            records.notes().missing(&other.title(), why);
        }
        set.note_rest(records.notes());
        match (set.alias(), family) {
            (None, _) => {
                let rtype = if set.rtype == "SPF" { "TXT" } else { set.rtype };
                let ttl = set.ttl().unwrap_or_default();
                let values = set.values();
                if let Some(family) = family {
                    let all = values
                        .iter()
                        .filter_map(|value| value.parse().ok())
                        .collect();
                    addresses.add_fixed(&set.owner, family, all, ttl);
                }
                for value in values {
                    records.add(&set.owner, ttl, rtype, &text::data(rtype, value));
                }
            }
            (Some(Ok(target)), Some(family)) if self.has(&target) => {
                addresses.add_alias(&set.owner, target, &[family]);
            }
            (Some(_), _) => {
                let why = "an alias of what is not in the zone is not served; the name has no such record";
                records.notes().missing(&set.title(), why);
            }
        }
        records.end_notes();
    }

    fn has(&self, name: &Name) -> bool {
        self.sets.iter().any(|set| set.owner == *name)
    }

    /// The addresses and weights that an alias of a name stands for inside a record set with a routing policy, and
    /// its health check.
    ///
    /// # Errors
    /// Why there are none.
    fn endpoints(&self, target: &Name, rtype: &str, depth: usize) -> Result<Inner<'a>, String> {
        if depth == MAX_DEPTH {
            return Err("its aliases lead to themselves".into());
        }
        let of_target = |set: &&Set<'a>| set.owner == *target && set.rtype == rtype;
        let sets: Vec<&Set<'a>> = self.sets.iter().filter(of_target).collect();
        let (mut endpoints, mut check) = (Vec::new(), None);
        for set in &sets {
            let weight = match (set.is_routed(), set.text("Weight")) {
                (true, Some(weight)) => weight.parse().unwrap_or(0),
                (true, None) if set.node.get("MultiValueAnswer").is_none() => {
                    return Err(format!(
                        "a routing policy below another has no equivalent: {}",
                        set.title()
                    ));
                }
                _ => 1,
            };
            check = check.or(set.text("HealthCheckId"));
            match set.alias() {
                Some(alias) => {
                    let (inner, inner_check) = self.endpoints(&alias?, rtype, depth + 1)?;
                    check = check.or(inner_check);
                    endpoints.extend(inner.into_iter().map(|(address, _)| (address, weight)));
                }
                None => {
                    let values = set
                        .values()
                        .into_iter()
                        .filter_map(|value| value.parse().ok());
                    endpoints.extend(values.map(|address| (address, weight)));
                }
            }
        }
        match endpoints.is_empty() {
            true => Err(format!(
                "an alias of {target}, which has no address in the zone"
            )),
            false => Ok((endpoints, check)),
        }
    }

    /// The name of a record set's pool.
    fn pool_name(&mut self, set: &Set<'_>) -> String {
        self.plain_pool_name(&set.owner, set.text("SetIdentifier").unwrap_or("all"))
    }

    /// The name of a pool of a name.
    fn plain_pool_name(&mut self, owner: &Name, label: &str) -> String {
        let owner = owner.plain();
        let origin = self.origin.as_ref().map(Name::plain).unwrap_or_default();
        let scope = match owner.strip_suffix(&origin) {
            Some("") => "apex",
            Some(scope) => scope.trim_end_matches('.'),
            None => &owner,
        };
        self.names.name(scope, label)
    }
}
