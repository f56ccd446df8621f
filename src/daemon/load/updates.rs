//! Dynamic updates: orders to zones, by way of the journal.
//!
//! All orders that have come together for a zone make one new serial. Where together they make a zone that
//! cannot be served, each is tried by itself, so that one cannot spoil the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::error;

use crate::base::diag::Report;
use crate::base::name::Name;
use crate::base::rr::Rcode;
use crate::config::model::Grant;
use crate::daemon::load::journal::ZoneJournal;
use crate::daemon::load::zones::LoadedZone;
use crate::engine::update::Order;
use crate::engine::update::Writer;
use crate::state::plan::Plan;
use crate::zone::Zone;
use crate::zone::editor::Editor;
use crate::zone::set::ZoneSet;
use crate::zone::update::Refused;

/// What became of orders.
#[derive(Debug)]
pub struct Updated {
    /// The plan with the zones that have changed; `None` if none has.
    pub plan: Option<Plan>,
    /// The result of each order.
    pub results: Vec<Result<(), Refused>>,
    /// What has changed.
    pub zones: Vec<ZoneUpdated>,
    /// What clients were refused.
    pub refused: Vec<UpdateRefused>,
}

/// A client's update that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRefused {
    /// The zone.
    pub zone: Name,
    /// The key that it was signed with.
    pub key: Name,
    /// Where it came from.
    pub client: IpAddr,
    /// Why.
    pub reason: Box<str>,
}

/// A zone that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneUpdated {
    /// The zone.
    pub apex: Name,
    /// Its new serial.
    pub serial: u32,
    /// How many updates led to it.
    pub n_updates: usize,
    /// Records that it has lost.
    pub n_removed: usize,
    /// Records that it has gained.
    pub n_added: usize,
}

const NO_ZONE: Refused = Refused {
    rcode: Rcode::NotAuth,
    reason: "the zone is no longer served here",
};

const NOT_SOUND: Refused = Refused {
    rcode: Rcode::Refused,
    reason: "the zone could not be served with this change",
};

const NOT_KEPT: Refused = Refused {
    rcode: Rcode::ServFail,
    reason: "the update could not be written to disk",
};

const NO_STATE_DIR: Refused = Refused {
    rcode: Rcode::ServFail,
    reason: "there is no state_dir to keep updates in",
};

/// Writes the journals that are not on disk as they are in memory: their zone files have been edited.
pub(super) fn write_journals(zones: &mut [LoadedZone]) {
    for journal in zones.iter_mut().filter_map(|zone| zone.journal.as_mut()) {
        if let Err(error) = journal.write() {
            error!(path = %journal.path().display(), %error, "{JOURNAL_NOT_WRITTEN}");
        }
    }
}

const JOURNAL_NOT_WRITTEN: &str = "journal of dynamic updates cannot be written: after a restart the zone \
     may have a serial again that it had before";

/// Carries out orders on the zones of the plan that is served, whose state is `loaded`. What is done is on disk
/// when this returns.
pub(super) fn update(
    loaded: &mut HashMap<PathBuf, LoadedZone>,
    served: &Plan,
    orders: &[Order],
) -> Updated {
    let mut updated = Updated {
        plan: None,
        results: vec![Err(NO_ZONE); orders.len()],
        zones: Vec::new(),
        refused: Vec::new(),
    };
    let process = &served.config.process;
    for loaded in loaded.values_mut() {
        let apex = loaded.zone.apex();
        let places: Vec<usize> = (0..orders.len())
            .filter(|at| orders[*at].apex == *apex)
            .collect();
        if places.is_empty() {
            continue;
        }
        let orders: Vec<&Order> = places.iter().map(|at| &orders[*at]).collect();
        let results = match &process.state_dir {
            Some(state_dir) => {
                let context = Context {
                    grants: &process.grants,
                    state_dir,
                };
                context.update(loaded, &orders, &mut updated)
            }
            None => vec![Err(NO_STATE_DIR); orders.len()],
        };
        for (at, result) in places.into_iter().zip(results) {
            updated.results[at] = result;
        }
    }
    for (order, result) in orders.iter().zip(&updated.results) {
        // A prerequisite that does not hold is an answer like any other. Why a zone is not sound is there already.
        if let Err(refused) = result
            && refused.rcode == Rcode::Refused
            && *refused != NOT_SOUND
        {
            let refused = UpdateRefused::of(order, refused.reason);
            updated.refused.extend(refused);
        }
    }
    if !updated.zones.is_empty() {
        let changed = |zone: &Arc<Zone>| {
            let mut loaded = loaded.values();
            let loaded = loaded.find(|loaded| loaded.zone.apex() == zone.apex());
            loaded.map_or_else(|| Arc::clone(zone), |loaded| Arc::clone(&loaded.zone))
        };
        let zones = served.zones.iter().map(|zone| {
            match updated
                .zones
                .iter()
                .any(|updated| updated.apex == *zone.apex())
            {
                true => changed(zone),
                false => Arc::clone(zone),
            }
        });
        updated.plan = Some(served.with_zones(ZoneSet::new(zones.collect())));
    }
    updated
}

/// What updates of a zone are judged by, and where they are kept.
struct Context<'a> {
    grants: &'a [Grant],
    state_dir: &'a Path,
}

impl Context<'_> {
    /// Carries out the orders for a zone, in their order.
    fn update(
        &self,
        loaded: &mut LoadedZone,
        orders: &[&Order],
        updated: &mut Updated,
    ) -> Vec<Result<(), Refused>> {
        match self.together(loaded, orders, updated) {
            Some(results) => results,
            None if orders.len() == 1 => vec![Err(NOT_SOUND)],
            None => {
                let each = orders.iter().map(std::slice::from_ref);
                each.flat_map(|order| self.update(loaded, order, updated))
                    .collect()
            }
        }
    }

    /// Carries out all orders with one new serial; `None` if the zone could not be served then.
    fn together(
        &self,
        loaded: &mut LoadedZone,
        orders: &[&Order],
        updated: &mut Updated,
    ) -> Option<Vec<Result<(), Refused>>> {
        let apex = loaded.zone.apex().clone();
        let mut editor = Editor::new(&loaded.zone, &"dynamic update".into());
        let mut results: Vec<_> = orders
            .iter()
            .map(|order| {
                editor.apply(&order.update, &|owner, rtype| {
                    order.permits(self.grants, owner, rtype)
                })
            })
            .collect();
        let Some(difference) = editor.difference() else {
            return Some(results);
        };
        let mut report = Report::default();
        let file = "dynamic update".into();
        let records = editor.into_records();
        let Some(zone) = Zone::compile(&apex, &file, records, &loaded.owners, &mut report) else {
            if let ([order], Some(fault)) = (orders, report.without_warnings().sorted().first()) {
                let refused = UpdateRefused::of(order, &fault.message);
                updated.refused.extend(refused);
            }
            return None;
        };
        let zone_updated = ZoneUpdated {
            serial: difference.to_serial(),
            n_updates: results.iter().filter(|result| result.is_ok()).count(),
            n_removed: difference.removed.len(),
            n_added: difference.added.len(),
            apex,
        };
        let new;
        let journal = match &loaded.journal {
            Some(journal) => journal,
            None => {
                new = ZoneJournal::begin(&loaded.zone, self.state_dir);
                &new
            }
        };
        match journal.with(difference) {
            Ok(journal) => {
                loaded.zone = Arc::new(zone.with_history(journal.history()));
                loaded.journal = Some(journal);
                updated.zones.push(zone_updated);
            }
            Err(error) => {
                error!(path = %journal.path().display(), %error, "update not carried out: journal cannot be written");
                for result in results.iter_mut().filter(|result| result.is_ok()) {
                    *result = Err(NOT_KEPT);
                }
            }
        }
        Some(results)
    }
}

impl UpdateRefused {
    /// `None` for what this machine wanted to write itself.
    fn of(order: &Order, reason: &str) -> Option<Self> {
        match &order.writer {
            Writer::Client { key, address } => Some(Self {
                zone: order.apex.clone(),
                key: key.clone(),
                client: *address,
                reason: reason.into(),
            }),
            Writer::Server => None,
        }
    }
}
