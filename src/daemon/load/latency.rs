//! The table of measured round-trip times.

use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::rank::Policy;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::daemon::files;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::load::idle_rules;
use crate::daemon::load::reader::Reader;
use crate::daemon::load::reader::Source;
use crate::geo::atlas::Atlas;
use crate::latency::read;
use crate::latency::read::Context;
use crate::latency::table::Limits;
use crate::latency::table::Table;
use crate::live::clock;
use crate::mmdb::countries;

/// The shortest time between two looks at which rows have got too old, in seconds: each compiles the geography.
const MIN_REREAD: u64 = 3_600;

/// How many unknown pools are named.
const MAX_UNKNOWN: usize = 10;

/// The table and what it was read from.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadedLatency {
    /// The file and what was asked of its rows; `None`: there is no file.
    origin: Option<(Source, Limits)>,
    pub(super) table: Arc<Table>,
}

/// The configured table: that of before where it is still the same. `None` after a fault, which is reported.
pub(super) fn table(
    process: &Process,
    before: &LoadedLatency,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<LoadedLatency> {
    let geoip = &process.geoip;
    let Some(path) = &geoip.latency else {
        return Some(match before.origin {
            Some(_) => LoadedLatency::default(),
            None => before.clone(),
        });
    };
    let limits = Limits {
        min_samples: geoip.latency_min_samples,
        max_age: geoip.latency_max_age.as_secs(),
        now: clock::unix(),
    };
    if let Some((source, of_before)) = &before.origin
        && source.path == *path
        && (of_before.min_samples, of_before.max_age) == (limits.min_samples, limits.max_age)
        && limits.now < reread_at(&before.table, of_before)
        && let Some(mut sources) =
            reader.unchanged(std::slice::from_ref(source), MAX_DATA_LEN, report)
        && let Some(source) = sources.pop()
    {
        reader.expires(path, reread_at(&before.table, of_before));
        let table = Arc::clone(&before.table);
        return Some(LoadedLatency {
            origin: Some((source, *of_before)),
            table,
        });
    }
    let (bytes, source) = match reader.read(path, MAX_DATA_LEN) {
        Ok(read) => read,
        Err(error) => {
            let place = geoip.latency_place.clone();
            let message = format!("`{}`: {}", path.display(), error.fault("latency table"));
            report.error(place.unwrap_or_else(|| files::place(path)), message);
            return None;
        }
    };
    let text = files::text(bytes, path, report)?;
    let context = Context {
        file: &path.to_string_lossy().into(),
        written: source.modified().unwrap_or(limits.now),
        is_country: &|country| countries::country(country).is_some(),
    };
    let (rows, pools) = read::rows(&text, &context, report)?;
    let table = Table::new(rows, pools, &limits);
    reader.expires(path, reread_at(&table, &limits));
    Some(LoadedLatency {
        origin: Some((source, limits)),
        table: Arc::new(table),
    })
}

/// When a table that was made with these limits is to be made anew, as rows have got too old.
fn reread_at(table: &Table, limits: &Limits) -> u64 {
    let expires = table.summary().expires;
    expires.map_or(u64::MAX, |at| at.max(limits.now.saturating_add(MIN_REREAD)))
}

/// Warns of a table that says nothing, of pools in it that there are not, of rows for clients that `atlas` does not know,
/// and of names that are steered by latency without a table.
pub(super) fn warn(
    process: &Process,
    pools: &Pools,
    table: &Table,
    atlas: &Atlas,
    report: &mut Report,
) {
    let is_by_latency = |policy| policy == Policy::Latency;
    let Some(path) = &process.geoip.latency else {
        let by_latency = pools.steered.iter().find(|steered| {
            let mut rules = steered.rules.iter();
            is_by_latency(steered.policy) || rules.any(|rule| is_by_latency(rule.policy))
        });
        if let Some(steered) = by_latency {
            let message = "has policy \"latency\" without a [geoip] latency: round-trip times are estimated from \
                           distances";
            report.warning(steered.place.clone(), message);
        }
        return;
    };
    let place = Place::file(&path.to_string_lossy().into());
    let summary = table.summary();
    if table.n_entries() == 0 {
        let message = format!(
            "no row counts: of {}, {} are older than [geoip] latency_max_age, and {} pairs have fewer than \
             latency_min_samples samples",
            summary.n_rows, summary.n_too_old, summary.n_too_few
        );
        report.warning(place.clone(), message);
    }
    idle_rules::warn_of_rows(table, &place, atlas, report);
    let is_known = |name: &str| pools.pools.iter().any(|pool| *pool.name == *name);
    let n_measured = table.n_by_pool();
    let unknown = table.pools().iter().zip(n_measured);
    let unknown = unknown.filter(|(name, _)| !is_known(name));
    for (name, n) in unknown.take(MAX_UNKNOWN) {
        let message = format!("no pool is named `{name}`: its {n} measurements are ignored");
        report.warning(place.clone(), message);
    }
}
