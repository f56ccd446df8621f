//! Drills of pools, as printed and as metrics.

use serde::Deserialize;
use serde::Serialize;

use crate::admin::spill::Gauge;
use crate::admin::time::Utc;
use crate::config::model;
use crate::config::units::duration_text;
use crate::health::load::Load;
use crate::live::Live;
use crate::state::drill;
use crate::state::snapshot::Snapshot;

/// The drills of a pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct Drill {
    /// The least time from one to the next; null: by hand only.
    pub every: Option<String>,
    /// When one may be in force, in UTC.
    pub window: Option<String>,
    /// How long one lasts.
    pub r#for: Option<String>,
    /// When the next one is planned.
    pub next: Option<u64>,
    /// Why one that is due does not begin.
    pub waits_for: Option<String>,
    /// When the last one began, on any node.
    pub begun: Option<u64>,
    /// The result of the last one of this node; null: there was none.
    pub last: Option<Outcome>,
}

/// The result of a drill.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// `completed`, `aborted` or `skipped`.
    pub result: String,
    /// Why it was aborted or skipped; else empty.
    pub reason: String,
    /// When it began; of one that was skipped, when its window opened.
    pub begun: u64,
    /// When it ended.
    pub ended: u64,
    /// The share of the answers of its names that were with the pool before, from 0 to 1; null: there were none.
    pub moved: Option<f64>,
    /// The same of each name; of at most ten.
    pub names: Vec<Moved>,
    /// The loads of the pool and the others of its names.
    pub loads: Vec<LoadChange>,
}

/// The clients of a name that were moved.
#[derive(Debug, Serialize, Deserialize)]
pub struct Moved {
    /// The name.
    pub name: String,
    /// The share of its answers, from 0 to 1.
    pub moved: f64,
}

/// A pool's load, 1 at full utilisation.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadChange {
    /// The pool.
    pub pool: String,
    /// When the drill began; null: unknown.
    pub before: Option<f64>,
    /// The most while it was in force; null: unknown.
    pub most: Option<f64>,
}

/// The drills of a pool; `None` if it has none.
pub(super) fn drill(live: &Live, pool: &model::Pool) -> Option<Drill> {
    let (drills, now) = (live.drills.read(), live.clock.now().unix());
    let record = drills.of(&pool.name);
    let config = pool.drill.as_ref();
    if record.is_none() && config.is_none() {
        return None;
    }
    let begun = record.and_then(|record| record.begun);
    let slot = config.and_then(|config| config.slot(&pool.name, begun, now));
    Some(Drill {
        every: config.map(|config| duration_text(config.every)),
        window: config.map(|config| config.window.to_string()),
        r#for: config.map(|config| duration_text(config.length)),
        next: slot.map(|slot| slot.planned),
        waits_for: drills.postponed(&pool.name).map(Into::into),
        begun,
        last: record.and_then(|record| Some(outcome(record.last.as_ref()?))),
    })
}

fn outcome(outcome: &drill::Outcome) -> Outcome {
    let names = outcome.moved.names.iter().map(|(name, moved)| Moved {
        name: name.to_string(),
        moved: *moved,
    });
    let loads = outcome.loads.iter().map(|change| LoadChange {
        pool: change.pool.to_string(),
        before: change.before.map(Load::ratio),
        most: change.most.map(Load::ratio),
    });
    Outcome {
        result: outcome.result.as_str().into(),
        reason: outcome.reason.to_string(),
        begun: outcome.begun,
        ended: outcome.ended,
        moved: outcome.moved.share,
        names: names.collect(),
        loads: loads.collect(),
    }
}

impl Drill {
    /// What there is to say of them, in one line.
    pub fn summary(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(last) = &self.last {
            let mut text = format!("{} at {}", last.result, Utc(last.ended));
            if let Some(moved) = last.moved {
                text += &format!(", moved {:.1} % of the clients", moved * 100.0);
            }
            if !last.reason.is_empty() {
                text += &format!(": {}", last.reason);
            }
            parts.push(text);
        }
        match (&self.waits_for, self.next) {
            (Some(reason), _) => parts.push(format!("waits: {reason}")),
            (None, Some(next)) => parts.push(format!("next from {}", Utc(next))),
            (None, None) => {}
        }
        (!parts.is_empty()).then(|| format!("drill {}", parts.join("; ")))
    }
}

/// The gauges of the last drill of each pool.
pub(super) fn gauges(live: &Live, snapshot: &Snapshot) -> [Gauge; 2] {
    let drills = live.drills.read();
    let pools = snapshot.plan.config.pools.pools.iter();
    let records = pools.filter_map(|pool| Some((pool, drills.of(&pool.name)?)));
    let records: Vec<_> = records.collect();
    let begun = records
        .iter()
        .filter_map(|(pool, record)| Some(([pool.name.to_string()], record.begun? as f64)));
    let seconds = records.iter().filter_map(|(pool, record)| {
        let last = record.last.as_ref()?;
        let is_skipped = last.result == drill::DrillResult::Skipped;
        let seconds = last.ended.saturating_sub(last.begun) as f64;
        (!is_skipped).then(|| ([pool.name.to_string()], seconds))
    });
    [
        (
            "meridian_drill_last_timestamp_seconds",
            "When the last drill of a pool began, on any node, in Unix seconds.",
            begun.collect(),
        ),
        (
            "meridian_drill_last_seconds",
            "How long the last drill that this node began took a pool out.",
            seconds.collect(),
        ),
    ]
}
