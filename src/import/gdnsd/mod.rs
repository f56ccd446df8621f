//! gdnsd: its configuration, and the zone files beside it.
//!
//! Resources of plugins become pools and policies, once for each resource; names with DYNA or DYNC become
//! steered names that share them; the rest of the zones is kept as it is written.

mod groups;
mod maps;
mod master;
mod resources;
mod services;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::name::Name;
use crate::import::Include;
use crate::import::Input;
use crate::import::draft::AllDown;
use crate::import::draft::Draft;
use crate::import::draft::Steered;
use crate::import::draft::Zone;
use crate::import::gdnsd::master::Dynamic;
use crate::import::gdnsd::master::Rewriter;
use crate::import::gdnsd::resources::Plan;
use crate::import::gdnsd::resources::Resources;
use crate::import::tree::Fields;
use crate::import::tree::Node;
use crate::import::tree::Value;
use crate::import::vscf;

/// `zones_default_ttl` unless the options say otherwise.
const DEFAULT_TTL: u32 = 86_400;

/// Imports a configuration; `None` after a fault, which is reported. `include` reads the files and folders
/// that it names, and `zones` beside it.
pub fn import(input: &Input, include: &mut Include<'_>, report: &mut Report) -> Option<Draft> {
    let root = vscf::read(input, include, report)?;
    let mut fields = Fields::of(&root);
    let mut draft = Draft::default();
    draft.notes.say(format!(
        "Made by `meridian import gdnsd` from {}.",
        input.file
    ));
    let default_ttl = default_ttl(fields.take("options"), &mut draft);
    let services = services::read(fields.take("service_types"));
    let nothing = Node {
        place: Place::file(&input.file),
        value: Value::Map(Vec::new()),
    };
    let mut plugins = fields.take("plugins").unwrap_or(&nothing).clone();
    for (key, node) in fields.rest() {
        draft
            .notes
            .missing(&format!("`{key} => {}`", node.in_line()), "not known here");
    }
    put_nets_in(&mut plugins, input, include, report)?;
    let mut resources = Resources::new(&plugins, services);
    let zones = match include("zones", &input.file) {
        Ok(zones) => zones,
        Err(why) => {
            report.error(
                Place::file(&input.file),
                format!("the zones beside it: {why}"),
            );
            return None;
        }
    };
    for zone in &zones {
        self::zone(
            zone,
            default_ttl,
            &mut resources,
            include,
            &mut draft,
            report,
        );
    }
    draft.pools = resources.pools;
    (!report.has_errors()).then_some(draft)
}

/// `zones_default_ttl`; the other options are noted.
fn default_ttl(options: Option<&Node>, draft: &mut Draft) -> u32 {
    let mut default_ttl = DEFAULT_TTL;
    for (key, node) in options.map(Fields::of).into_iter().flat_map(Fields::rest) {
        match (key, node.as_text().and_then(|text| text.parse().ok())) {
            ("zones_default_ttl", Some(ttl)) => default_ttl = ttl,
            _ => {
                let what = format!("`options.{key} => {}`", node.in_line());
                let why = "what is about the server stands in meridian.toml";
                draft.notes.missing(&what, why);
            }
        }
    }
    default_ttl
}

/// Rewrites a zone, and makes steered names of its dynamic ones.
fn zone(
    file: &Input,
    default_ttl: u32,
    resources: &mut Resources<'_>,
    include: &mut Include<'_>,
    draft: &mut Draft,
    report: &mut Report,
) {
    let Some(origin) = origin_of(&file.file) else {
        let message =
            "is no zone's name, expected files in `zones` that are named after their zones";
        report.error(Place::file(&file.file), message);
        return;
    };
    let mut rewriter = Rewriter {
        zone: origin.clone(),
        include,
        report,
        default_ttl,
        text: format!("$TTL {default_ttl}\n"),
        dynamic: Vec::new(),
        n_missing: 0,
    };
    rewriter.file(file, &origin, 0);
    for dynamic in std::mem::take(&mut rewriter.dynamic) {
        match resources.plan(&dynamic.reference) {
            Ok(plan) => draft.steered.push(steered(&dynamic, plan, resources)),
            Err(why) => rewriter.missing(&dynamic.entry, &why),
        }
    }
    draft.n_missing_in_zones += rewriter.n_missing;
    let text = rewriter.text;
    draft.zones.push(Zone { origin, text });
}

/// The zone that a file is named after; `@` stands for a slash.
fn origin_of(file: &str) -> Option<Name> {
    let name = file.rsplit('/').next()?;
    Name::parse(&name.replace('@', "/")).ok()
}

/// Reads `nets` that are files of their own, and puts their entries in.
fn put_nets_in(
    plugins: &mut Node,
    input: &Input,
    include: &mut Include<'_>,
    report: &mut Report,
) -> Option<()> {
    let maps = entry(plugins, "geoip").and_then(|geoip| entry(geoip, "maps"));
    let Some(Value::Map(maps)) = maps.map(|maps| &mut maps.value) else {
        return Some(());
    };
    for (_, map) in maps {
        let Some(nets) = entry(map, "nets") else {
            continue;
        };
        let Some(path) = nets.as_text() else {
            continue;
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("geoip/{path}")
        };
        let file = match include(&path, &input.file) {
            Ok(files) => files.into_iter().next(),
            Err(why) => {
                report.error(nets.place.clone(), why);
                None
            }
        };
        *nets = vscf::read(&file?, include, report)?;
    }
    Some(())
}

fn entry<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Map(entries) => entries
            .iter_mut()
            .find_map(|(k, v)| (k == key).then_some(v)),
        _ => None,
    }
}

/// A name that is answered as a plan says.
fn steered(dynamic: &Dynamic, plan: Plan, resources: &Resources<'_>) -> Steered {
    let (max, min) = dynamic.ttl;
    let pools = resources
        .pools
        .iter()
        .filter(|pool| plan.pools.contains(&pool.name));
    // The time to the next possible change while all is up.
    let change = pools
        .filter_map(|pool| {
            let monitor = pool.monitor.as_ref()?;
            monitor.failure_threshold?.checked_mul(monitor.interval?)
        })
        .min();
    let mut notes = plan.notes;
    let ttl = match change {
        Some(change) if min < max => {
            let ttl = change.clamp(min, max);
            let what = format!("TTL {max}/{min}");
            notes.missing(
                &what,
                "a TTL does not follow health here; it is gdnsd's while all is up",
            );
            ttl
        }
        _ => max,
    };
    let limits = dynamic.limits;
    if limits.v4 != limits.v6 {
        let what = format!(
            "$ADDR_LIMIT_V4 {:?}, $ADDR_LIMIT_V6 {:?}",
            limits.v4, limits.v6
        );
        notes.missing(&what, "`answers` holds for both families; it is the larger");
    }
    let limit = limits.v4.max(limits.v6);
    Steered {
        owner: dynamic.owner.clone(),
        notes,
        policy: plan.policy,
        pools: plan.pools,
        ttl,
        answers: [plan.answers, limit].into_iter().flatten().min(),
        all_down: AllDown::Nearest,
        rules: plan.rules,
    }
}
