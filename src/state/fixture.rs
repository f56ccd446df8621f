//! Plans and snapshots from texts, for tests of the floors above.

use std::path::Path;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::name::Name;
use crate::config;
use crate::config::model::Config;
use crate::config::safety::Safety;
use crate::geo::atlas::Atlas;
use crate::mmdb::countries;
use crate::state::evidence::Evidence;
use crate::state::plan::Geography;
use crate::state::plan::Plan;
use crate::state::plan::owners_by_zone;
use crate::state::snapshot::Snapshot;
use crate::zone::Zone;
use crate::zone::master;
use crate::zone::set::ZoneSet;

/// The embedded database.
pub fn embedded_atlas() -> Arc<Atlas> {
    let bytes = include_bytes!("../../geoip/world-country.mmdb").to_vec();
    let centre_of = |code| countries::country(code).map(|info| (info.continent, info.centre));
    Arc::new(Atlas::read(bytes, None, &centre_of).expect("the embedded database is sound"))
}

/// A plan from `meridian.toml`, `pools.toml` and zones as (origin, text).
///
/// # Panics
/// With the faults, if there are any.
pub fn plan(
    process: &str,
    pools: &str,
    zones: &[(&str, &str)],
    geography: impl Into<Geography>,
) -> Plan {
    let mut report = Report::default();
    let source = |file: &str, text| config::Source {
        file: file.into(),
        dir: Path::new(""),
        text,
    };
    let defaults = config::Defaults {
        host_name: "ns1".into(),
        serves_dns: true,
    };
    let process = config::process(&source("meridian.toml", process), &defaults, &mut report);
    let pools = config::pools(
        &source("pools.toml", pools),
        &Safety::default(),
        &mut report,
    );
    let (Ok(process), Ok(pools)) = (process, pools) else {
        panic!("{report}");
    };
    let config = Config { process, pools };
    let apexes: Vec<Name> = zones
        .iter()
        .map(|(origin, _)| Name::parse(origin).expect("an origin"))
        .collect();
    let owners = owners_by_zone(&config.pools, &apexes, &mut report);
    let compiled = zones
        .iter()
        .zip(&apexes)
        .zip(owners)
        .map(|(((origin, text), apex), owners)| {
            let file: Arc<str> = format!("{origin}.zone").into();
            let mut include = |_: &str, _: &Arc<str>| Err("no file in a test".to_owned());
            let records = master::read(&file, text.as_bytes(), apex, &mut include, &mut report);
            let zone = Zone::compile(apex, &file, records, &owners, &mut report);
            Arc::new(zone.unwrap_or_else(|| panic!("{report}")))
        });
    let zones = ZoneSet::new(compiled.collect());
    assert!(!report.has_errors(), "{report}");
    Plan::compile(Arc::new(config), zones, geography.into(), 1, None)
}

/// A snapshot with merged tables.
pub fn snapshot(plan: Plan, evidence: &Evidence) -> Snapshot {
    Snapshot::build(Arc::new(plan), evidence, 1, None).with_merged_tables()
}

/// A snapshot that has nothing to serve.
pub fn empty_snapshot() -> Snapshot {
    snapshot(plan("", "", &[], embedded_atlas()), &Evidence::default())
}
