//! What is served: builds each next snapshot and has missing merged tables made, one batch at a time.
//! No clock and no threads: snapshots and jobs go out as [`Published`], merged tables come back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::health::Health;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::safety::MaxDown;
use crate::daemon::control::event::Event;
use crate::daemon::control::event::PoolCause;
use crate::geo::answer_table::AnswerTable;
use crate::state::derive::MergeJob;
use crate::state::evidence::Evidence;
use crate::state::evidence::PoolNow;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;
use crate::steer::PoolStatus;
use crate::steer::spread::Admitted;

/// Merged tables with the jobs that they were made for.
pub(super) type Merged = Vec<(MergeJob, Arc<AnswerTable>)>;

/// What follows from a change of what is served.
#[derive(Debug)]
pub(super) struct Published {
    /// To be published.
    pub snapshot: Arc<Snapshot>,
    /// Merged tables to be made in the background; empty: none. [`Publish::merged`] must follow.
    pub merge: Vec<MergeJob>,
    /// What to log.
    pub events: Vec<Event>,
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Publish {
    served: Arc<Snapshot>,
    is_merging: bool,
    /// Pools that were last logged as down, or were so at start.
    down: Down,
    /// Pools that take a share of their clients only, as last logged.
    sharing: Sharing,
    /// Names whose probes are ignored, as last logged.
    unbelieved: Unbelieved,
    /// Pools that refuse own clients, and whether nobody else takes these, as last logged.
    spilling: BTreeMap<Box<str>, bool>,
}

/// Names of pools that are down in each family.
type Down = PerFamily<BTreeSet<Box<str>>>;

/// Names of pools that take a share of their clients in each family, with that share.
type Sharing = PerFamily<BTreeMap<Box<str>, Admitted>>;

/// Names whose probes are ignored in each family.
type Unbelieved = PerFamily<BTreeSet<String>>;

impl Publish {
    /// Goes on from the first snapshot.
    pub(super) fn new(served: Arc<Snapshot>) -> Self {
        let mut down = Down::default();
        let mut sharing = Sharing::default();
        pool_events(&served, &mut down);
        share_events(&served, &mut sharing);
        Self {
            served,
            is_merging: false,
            down,
            sharing,
            unbelieved: Unbelieved::default(),
            spilling: BTreeMap::new(),
        }
    }

    /// What is served.
    pub(super) fn served(&self) -> &Arc<Snapshot> {
        &self.served
    }

    /// Serves the same plan with the evidence of now.
    pub(super) fn publish(&mut self, evidence: &Evidence) -> Published {
        let plan = Arc::clone(&self.served.plan);
        self.build(plan, evidence)
    }

    /// Serves another plan.
    pub(super) fn adopt(&mut self, plan: Arc<Plan>, evidence: &Evidence) -> Published {
        let names: HashSet<&str> = plan.config.pools.pools.iter().map(|p| &*p.name).collect();
        for family in Family::ALL {
            self.down[family].retain(|pool| names.contains(&**pool));
            self.sharing[family].retain(|pool, _| names.contains(&**pool));
        }
        self.build(plan, evidence)
    }

    fn build(&mut self, plan: Arc<Plan>, evidence: &Evidence) -> Published {
        let generation = self.served.generation + 1;
        let snapshot = Snapshot::build(plan, evidence, generation, Some(&self.served));
        let mut events = pool_events(&snapshot, &mut self.down);
        events.extend(share_events(&snapshot, &mut self.sharing));
        events.extend(max_down_events(&snapshot, &mut self.unbelieved));
        events.extend(spill_events(&snapshot, &mut self.spilling));
        self.serve(snapshot, events)
    }

    /// Serves the same with the merged tables that were made; those that no longer fit are left out.
    pub(super) fn merged(&mut self, merged: &Merged) -> Published {
        self.is_merging = false;
        let generation = self.served.generation + 1;
        let snapshot = self.served.with_tables(merged, generation);
        self.serve(snapshot, Vec::new())
    }

    fn serve(&mut self, snapshot: Snapshot, events: Vec<Event>) -> Published {
        self.served = Arc::new(snapshot);
        let merge = match self.is_merging {
            true => Vec::new(),
            false => self.served.missing_merges(),
        };
        self.is_merging |= !merge.is_empty();
        Published {
            snapshot: Arc::clone(&self.served),
            merge,
            events,
        }
    }
}

/// What to log of the pools that went down or came up, of which `down` keeps account. What is drained or
/// not yet proven is neither.
fn pool_events(snapshot: &Snapshot, down: &mut Down) -> Vec<Event> {
    let mut events = Vec::new();
    for (config, now) in snapshot.plan.config.pools.pools.iter().zip(&snapshot.pools) {
        for family in Family::ALL {
            // Most pools have not changed: their names are not copied.
            let (down, pool) = (&mut down[family], &config.name);
            let is_empty = now.endpoints.is_empty();
            match now.status[family] {
                status if (status == PoolStatus::Down || is_empty) && !down.contains(pool) => {
                    down.insert(pool.clone());
                    let of_family = now.of_family(family);
                    let (n, n_up) = of_family.fold((0, 0), |(n, n_up), (_, health)| {
                        (n + 1, n_up + usize::from(health == Health::Up))
                    });
                    events.push(Event::PoolDown {
                        pool: pool.clone(),
                        family,
                        n_up,
                        n,
                        n_needed: config.min_healthy.of(n),
                        cause: cause(now),
                    });
                }
                PoolStatus::Up if down.remove(pool) => {
                    events.push(Event::PoolUp {
                        pool: pool.clone(),
                        family,
                        cause: cause(now),
                    });
                }
                _ => {}
            }
        }
    }
    events
}

/// What decides whether a pool serves.
fn cause(pool: &PoolNow) -> PoolCause {
    match pool.forced {
        Some(_) => PoolCause::Override,
        None if pool.endpoints.is_empty() => PoolCause::NoEndpoints,
        None => PoolCause::Endpoints,
    }
}

/// What to log of the pools whose share of their clients has changed, of which `sharing` keeps account.
fn share_events(snapshot: &Snapshot, sharing: &mut Sharing) -> Vec<Event> {
    let mut events = Vec::new();
    for (config, now) in snapshot.plan.config.pools.pools.iter().zip(&snapshot.pools) {
        for family in Family::ALL {
            let (sharing, admitted) = (&mut sharing[family], now.ramp[family]);
            let before = sharing.get(&config.name).copied().unwrap_or_default();
            if before == admitted {
                continue;
            }
            match admitted {
                Admitted::ALL => sharing.remove(&config.name),
                _ => sharing.insert(config.name.clone(), admitted),
            };
            // A pool that is down takes none: that is logged already.
            if now.status[family] == PoolStatus::Up {
                events.push(Event::PoolAdmits {
                    pool: config.name.clone(),
                    family,
                    percent: admitted.ratio() * 100.0,
                });
            }
        }
    }
    events
}

/// What to log of the pools that have begun or ended to refuse own clients for their load, or whose clients nobody
/// else takes, of which `spilling` keeps account.
fn spill_events(snapshot: &Snapshot, spilling: &mut BTreeMap<Box<str>, bool>) -> Vec<Event> {
    let mut events = Vec::new();
    let before = std::mem::take(spilling);
    for (config, now) in snapshot.plan.config.pools.pools.iter().zip(&snapshot.pools) {
        let Some(spill) = now.limits.spill else {
            continue;
        };
        let pool = &config.name;
        let (is_spilling, was) = (spill.shares.own != Admitted::ALL, before.get(pool));
        let (load, mark) = (spill.load, spill.mark);
        if spill.is_full && was != Some(&true) {
            let pool = pool.clone();
            events.push(Event::SpillFull { pool, load, mark });
        } else if is_spilling && was.is_none() {
            let pool = pool.clone();
            events.push(Event::SpillBegins { pool, load, mark });
        } else if was == Some(&true) && !spill.is_full {
            let pool = pool.clone();
            events.push(Event::SpillRoom { pool });
        }
        match is_spilling || spill.is_full {
            true => drop(spilling.insert(pool.clone(), spill.is_full)),
            false if was.is_some() => events.push(Event::SpillEnds { pool: pool.clone() }),
            false => {}
        }
    }
    events
}

/// What to log of the names whose probes have come to be ignored, or to count, of which `unbelieved` keeps
/// account.
fn max_down_events(snapshot: &Snapshot, unbelieved: &mut Unbelieved) -> Vec<Event> {
    let mut events = Vec::new();
    let is_off = snapshot.plan.config.process.safety.max_down == MaxDown::OFF;
    if is_off && unbelieved.iter().all(BTreeSet::is_empty) {
        return events;
    }
    for family in Family::ALL {
        let names = snapshot
            .plan
            .config
            .pools
            .steered
            .iter()
            .zip(&snapshot.steered);
        let ignored = names.filter(|(_, now)| now.families[family].ignores_probes);
        let now: BTreeSet<String> = ignored.map(|(name, _)| name.owner.plain()).collect();
        let before = std::mem::replace(&mut unbelieved[family], now);
        let now = &unbelieved[family];
        let began = now.difference(&before).cloned();
        let ended = before.difference(now).cloned();
        events.extend(began.map(|name| Event::MaxDownExceeded { name, family }));
        events.extend(ended.map(|name| Event::MaxDownEnded { name, family }));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::overrides::Forced;
    use crate::state::derive::merge_tables;
    use crate::state::fixture;

    const POOLS: &str = r#"
[pool.a]
location = [45.60, -121.18]
endpoints = ["10.0.0.1", "fd00::1"]
[pool.b]
location = [50.45, 3.82]
endpoints = ["10.0.0.2"]
[pool.c]
location = [35.69, 139.69]
endpoints = ["10.0.0.3"]
[steer."app.example.com"]
pools = ["a", "b", "c"]
"#;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    fn start() -> Publish {
        let zones = [("example.com", ZONE)];
        let plan = fixture::plan("", POOLS, &zones, fixture::embedded_atlas());
        let first = fixture::snapshot(plan, &Evidence::default());
        Publish::new(Arc::new(first))
    }

    fn with_a(health: Health) -> Evidence {
        Evidence {
            endpoints: vec![vec![health; 2]],
            ..Evidence::default()
        }
    }

    fn is_merged(snapshot: &Snapshot) -> bool {
        snapshot.missing_merges().is_empty()
    }

    #[test]
    fn a_flip_while_tables_are_merged_is_merged_behind_them() {
        let mut publish = start();
        let first = publish.publish(&with_a(Health::Down));
        assert_eq!(first.snapshot.generation, 2);
        assert!(!is_merged(&first.snapshot) && !first.merge.is_empty());

        // Back, and another one out, before the tables are there.
        let forced = Evidence {
            forced: vec![None, Some(Forced::Drain)],
            ..Evidence::default()
        };
        let second = publish.publish(&forced);
        assert_eq!(second.snapshot.generation, 3);
        assert!(second.merge.is_empty(), "one batch at a time");

        // What was made for the first does not fit the second.
        let third = publish.merged(&merge_tables(first.merge));
        assert_eq!(third.snapshot.generation, 4);
        assert!(!is_merged(&third.snapshot) && !third.merge.is_empty());
        let fourth = publish.merged(&merge_tables(third.merge));
        assert!(is_merged(&fourth.snapshot) && fourth.merge.is_empty());
        assert!(Arc::ptr_eq(&fourth.snapshot, publish.served()));
    }

    #[test]
    fn names_whose_probes_are_ignored_are_logged_at_both_ends() {
        let zones = [("example.com", ZONE)];
        let process = "[safety]\nmax_down = \"50%\"\n";
        let plan = fixture::plan(process, POOLS, &zones, fixture::embedded_atlas());
        let first = fixture::snapshot(plan, &Evidence::default());
        let mut publish = Publish::new(Arc::new(first));
        let mut events_of = |down: &[usize]| -> Vec<Event> {
            let health = |pool| match down.contains(&pool) {
                true => vec![Health::Down; 2],
                false => vec![Health::Up; 2],
            };
            let evidence = Evidence {
                endpoints: (0..3).map(health).collect(),
                ..Evidence::default()
            };
            let events = publish.publish(&evidence).events.into_iter();
            let is_of_pool =
                |event: &Event| matches!(event, Event::PoolDown { .. } | Event::PoolUp { .. });
            events.filter(|event| !is_of_pool(event)).collect()
        };
        let exceeded = |family| Event::MaxDownExceeded {
            name: "app.example.com".into(),
            family,
        };
        let ended = |family| Event::MaxDownEnded {
            name: "app.example.com".into(),
            family,
        };
        assert_eq!(events_of(&[1]), []);
        assert_eq!(events_of(&[1, 2]), [exceeded(Family::V4)]);
        // The only one with an IPv6 endpoint.
        assert_eq!(events_of(&[0, 1, 2]), [exceeded(Family::V6)]);
        assert_eq!(events_of(&[0]), [ended(Family::V4)]);
        assert_eq!(events_of(&[]), [ended(Family::V6)]);
    }

    #[test]
    fn pools_that_change_are_logged_once() {
        let mut publish = start();
        let drained = || Evidence {
            forced: vec![Some(Forced::Drain)],
            ..with_a(Health::Down)
        };
        let mut events_of = |evidence: &Evidence| publish.publish(evidence).events;
        let pool = || "a".into();
        let down = |family| Event::PoolDown {
            pool: pool(),
            family,
            n_up: 0,
            n: 1,
            n_needed: 1,
            cause: PoolCause::Endpoints,
        };
        let up = |family| Event::PoolUp {
            pool: pool(),
            family,
            cause: PoolCause::Endpoints,
        };
        assert_eq!(events_of(&with_a(Health::Up)), []);
        assert_eq!(events_of(&with_a(Health::Down)), Family::ALL.map(down));
        assert_eq!(events_of(&with_a(Health::Down)), []);
        // What is neither up nor down in between hides nothing.
        assert_eq!(events_of(&drained()), []);
        assert_eq!(events_of(&with_a(Health::Down)), []);
        assert_eq!(events_of(&drained()), []);
        assert_eq!(events_of(&with_a(Health::Up)), Family::ALL.map(up));
    }
}
