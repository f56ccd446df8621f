//! octoDNS: the zone files of its YamlProvider.
//!
//! A zone is a map from names to a record or a list of records. Those with `dynamic` (or `geo`, its
//! predecessor) become steered names, the others the zone.

mod dynamic;
mod health;
mod rdata;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::import::Input;
use crate::import::addresses::Addresses;
use crate::import::draft::Draft;
use crate::import::draft::Notes;
use crate::import::draft::PoolNames;
use crate::import::merge::Steering;
use crate::import::octodns::dynamic::Dynamic;
use crate::import::tree::Fields;
use crate::import::tree::Node;
use crate::import::tree::Value;
use crate::import::yaml;
use crate::import::zone::Settings;
use crate::import::zone::ZoneDraft;

/// The TTL of records without one.
const DEFAULT_TTL: u32 = 3600;

/// Imports one zone; `None` after a fault, which is reported. Its name is that of the file or folder `name`,
/// unless the settings have one.
pub fn import(
    name: &str,
    inputs: &[Input],
    settings: &Settings,
    report: &mut Report,
) -> Option<Draft> {
    let origin = match &settings.origin {
        Some(origin) => origin.clone(),
        None => origin_of(name).or_else(|| {
            let message = format!("`{name}` is no zone's name, expected FILE as octoDNS names it (`example.com.yaml`), or --origin");
            report.error(Place::file(&name.into()), message);
            None
        })?,
    };
    let mut import = Import {
        zone: ZoneDraft::new(origin.clone()),
        origin,
        names: PoolNames::default(),
        addresses: Addresses::default(),
    };
    for input in inputs {
        for document in yaml::read(&input.file, &input.text, report)? {
            import.document(&document, report);
        }
    }
    if report.has_errors() {
        return None;
    }
    let mut draft = Draft::default();
    draft
        .notes
        .say(format!("Made by `meridian import octodns` from {name}."));
    let owners = import.addresses.finish(&mut draft, &mut import.zone);
    import.zone.finish(&owners, settings, &mut draft);
    Some(draft)
}

/// The zone that a file or folder is named after.
fn origin_of(name: &str) -> Option<Name> {
    let name = name.trim_end_matches('/').rsplit('/').next()?;
    let name = name
        .strip_suffix(".yaml")
        .or(name.strip_suffix(".yml"))
        .unwrap_or(name);
    Name::parse(name).ok()
}

struct Import {
    origin: Name,
    zone: ZoneDraft,
    names: PoolNames,
    addresses: Addresses,
}

impl Import {
    fn document(&mut self, document: &Node, report: &mut Report) {
        let entries = match &document.value {
            Value::Null => return,
            Value::Map(entries) => entries,
            _ => {
                let message = "is no octoDNS zone, expected a map from names to records";
                report.error(document.place.clone(), message);
                return;
            }
        };
        for (key, node) in entries {
            let owner = match &**key {
                "" => Ok(self.origin.clone()),
                key => Name::parse_relative(key, &self.origin),
            };
            match owner {
                Ok(_) if !key.is_ascii() => {
                    let what = format!("{}: the name `{key}`", node.place);
                    let why = "expected its form in ASCII (xn--…); its records are left out";
                    self.zone.notes().missing(&what, why);
                    self.zone.end_notes();
                }
                Ok(owner) => {
                    for record in node.items() {
                        self.record(&owner, key, record, report);
                    }
                }
                Err(error) => {
                    report.error(node.place.clone(), format!("`{key}` is no name: {error}"));
                }
            }
        }
    }

    fn record(&mut self, owner: &Name, key: &str, node: &Node, report: &mut Report) {
        let mut fields = Fields::of(node);
        let Some(rtype) = fields.take_text("type") else {
            let message = format!("a record of `{key}` has no `type`");
            report.error(node.place.clone(), message);
            return;
        };
        let options = fields.take("octodns");
        let ignored = options.and_then(|options| options.get("ignored"));
        if ignored.is_some_and(is_true) {
            let text = format!("{owner} {rtype} is `ignored` by octoDNS, and left out");
            self.zone.notes().say(text);
            self.zone.end_notes();
            return;
        }
        let record = Record {
            owner,
            key,
            rtype,
            ttl: fields.take_parsed("ttl").unwrap_or(DEFAULT_TTL),
            values: values(&mut fields),
            options,
        };
        let (pools, geo) = (fields.take("dynamic"), fields.take("geo"));
        match record.family() {
            Some(family) if pools.is_some() || geo.is_some() => {
                let mut notes = Notes::default();
                note_rest(fields, &mut notes);
                let steering = self.steering(&record, pools, geo, notes, report);
                self.addresses.add_dynamic(owner, family, steering);
            }
            _ => {
                if let Some(pools) = pools {
                    let what = format!("`dynamic` of {rtype}: {}", pools.in_line());
                    let why = "only addresses are steered; the record has its default value";
                    self.zone.notes().missing(&what, why);
                }
                note_rest(fields, self.zone.notes());
                self.fixed(&record);
            }
        }
    }

    /// What a dynamic record answers.
    fn steering(
        &mut self,
        record: &Record<'_>,
        pools: Option<&Node>,
        geo: Option<&Node>,
        mut notes: Notes,
        report: &mut Report,
    ) -> Steering {
        let mut dynamic = Dynamic {
            owner: record.owner,
            scope: if record.key.is_empty() {
                "apex"
            } else {
                record.key
            },
            ttl: record.ttl,
            monitor: health::monitor(record.owner, record.options, &mut notes),
            values: &record.values,
            names: &mut self.names,
        };
        let mut steering = match pools {
            Some(pools) => dynamic.steering(pools, report),
            None => dynamic.of_geo(geo),
        };
        health::note_options(record.options, true, &mut notes);
        steering.steered.notes.append(notes);
        steering
    }

    /// Puts a static record into the zone.
    fn fixed(&mut self, record: &Record<'_>) {
        let Record {
            owner,
            rtype,
            ttl,
            values,
            ..
        } = record;
        health::note_options(record.options, false, self.zone.notes());
        if let Some(family) = record.family() {
            let all = values
                .iter()
                .filter_map(|value| value.as_text()?.parse().ok());
            self.addresses.add_fixed(owner, family, all.collect(), *ttl);
        }
        let text = values.first().and_then(|value| value.as_text());
        if *rtype == "ALIAS"
            && let Some(Ok(target)) = text.map(Name::parse)
        {
            self.addresses.add_alias(owner, target, &Family::ALL);
            self.zone.end_notes();
            return;
        }
        for value in values {
            match rdata::of(rtype, value, self.zone.notes()) {
                Some(data) => self.zone.add(owner, *ttl, rdata::written(rtype), &data),
                None => self.zone.end_notes(),
            }
        }
        self.zone.end_notes();
    }
}

/// A record that is being read.
struct Record<'a> {
    owner: &'a Name,
    /// The owner as the file has it.
    key: &'a str,
    rtype: &'a str,
    ttl: u32,
    values: Vec<&'a Node>,
    /// `octodns:`.
    options: Option<&'a Node>,
}

impl Record<'_> {
    /// The family of its addresses, if it has any.
    fn family(&self) -> Option<Family> {
        match self.rtype {
            "A" => Some(Family::V4),
            "AAAA" => Some(Family::V6),
            _ => None,
        }
    }
}

fn is_true(node: &Node) -> bool {
    node.as_text()
        .is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

/// `value` or `values`.
fn values<'a>(fields: &mut Fields<'a>) -> Vec<&'a Node> {
    let nodes = [fields.take("value"), fields.take("values")];
    nodes.into_iter().flatten().flat_map(Node::items).collect()
}

/// Notes what nobody knew.
fn note_rest(fields: Fields<'_>, notes: &mut Notes) {
    for (key, node) in fields.rest() {
        notes.missing(&format!("`{key}: {}`", node.in_line()), "not known here");
    }
}
