//! `Comparer`: what files that have been loaded would change of what is served. `[safety] max_move` judges by it
//! whether they are taken, `GET /api/v1/diff` returns it.
//!
//! Both plans are looked at with what is known of the pools now, by name and address. Endpoints of which nothing is known
//! count as up: they would get their clients as soon as they have proven it. Ramps and the shares of pools that spill
//! do not count, as they pass.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::census::Difference;
use crate::census::Move;
use crate::census::NameMoves;
use crate::census::Served;
use crate::census::moves;
use crate::config::model::Pool;
use crate::config::safety::MaxMove;
use crate::daemon::control::evidence;
use crate::daemon::files;
use crate::live::Live;
use crate::live::request;
use crate::state::evidence::Evidence;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;

/// The most names that are reported of a refused reload.
const MAX_NAMES: usize = 10;

/// The most moves that are reported of a name, and the most countries of a move.
const MAX_MOVES: usize = 3;

/// What is served, and what is known of its pools.
pub(super) struct Comparer {
    live: Arc<Live>,
    served: Arc<Plan>,
}

impl Comparer {
    /// Compares with what is served.
    pub(super) fn new(live: Arc<Live>, served: Arc<Plan>) -> Self {
        Self { live, served }
    }

    /// Reports each name of which more clients would move than `[safety] max_move` allows. It is the plan that is
    /// served whose limit counts.
    pub(super) fn check_moves(&self, plan: &Arc<Plan>, report: &mut Report) {
        let max_move = self.served.config.process.safety.max_move;
        if max_move == MaxMove::OFF {
            return;
        }
        let (before, after) = (self.snapshot(&self.served), self.snapshot(plan));
        let all = moves(&before, &after);
        let is_exceeded =
            |name: &&NameMoves| max_move.is_exceeded(name.moves.n_left(), name.moves.n_located);
        let exceeded: Vec<_> = all.iter().filter(is_exceeded).collect();
        for name in exceeded.iter().take(MAX_NAMES) {
            let steered = plan.steered(name.name);
            let database = plan.config.process.geoip.database.as_ref();
            let is_new = !Arc::ptr_eq(&self.served.atlas, &plan.atlas);
            let place = match database.filter(|_| is_new) {
                Some(database) => files::place(database),
                None => steered.place.clone(),
            };
            report.error(place, self.message(plan, name, max_move));
        }
        if let Some(n) = exceeded.len().checked_sub(MAX_NAMES + 1) {
            let place = plan.steered(exceeded[0].name).place.clone();
            report.error(place, format!("so would those of {} more names", n + 1));
        }
    }

    /// What a plan would change, with the warnings of its files.
    pub(super) fn compare(&self, plan: &Arc<Plan>, warnings: Report) -> request::Comparison {
        let mut refused = Report::default();
        self.check_moves(plan, &mut refused);
        request::Comparison {
            difference: Difference::between(&self.snapshot(&self.served), &self.snapshot(plan)),
            refused,
            warnings,
        }
    }

    /// What is served.
    pub(super) fn served(&self) -> &Plan {
        &self.served
    }

    fn message(&self, plan: &Plan, name: &NameMoves, max_move: MaxMove) -> String {
        let located = name.moves.n_located;
        let percent = |n: f64| format!("{:.1} %", n / located * 100.0);
        let (owner, family) = (name.owner.plain(), name.family);
        let mut text = format!(
            "{} of the {family} addresses that ask for `{owner}` would leave their pool, more than the {max_move} \
             of [safety] max_move",
            percent(name.moves.n_left())
        );
        let moves = name.moves.all();
        let left = moves
            .iter()
            .filter(|one| matches!(one.from, Served::Pool(_)));
        for (at, one) in left.take(MAX_MOVES).enumerate() {
            let Move { from, to, n, .. } = one;
            let from = pool_name(&self.served.config.pools.pools, *from);
            let to = pool_name(&plan.config.pools.pools, *to);
            let countries = one.countries.iter().take(MAX_MOVES).map(|(country, n)| {
                let country = country.map_or("-".to_owned(), |country| country.to_string());
                format!("{country} {}", percent(*n))
            });
            let countries: Vec<String> = countries.collect();
            let _ = write!(
                text,
                "{} {from} to {to} {} ({})",
                if at == 0 { ":" } else { "," },
                percent(*n),
                countries.join(", ")
            );
        }
        text + "; if that is meant, reload with force"
    }

    fn snapshot(&self, plan: &Arc<Plan>) -> Snapshot {
        let config = &plan.config;
        let sources = self.live.sources.read();
        let members = sources.membership(&config.pools, &config.process.safety);
        drop(sources);
        let mut start = evidence::Start {
            members,
            ..evidence::Start::default()
        };
        let (health, overrides) = (self.live.health_table.read(), self.live.overrides.read());
        let evidence = evidence::of(plan, &health, &overrides, &mut start);
        drop((health, overrides));
        let evidence = Evidence {
            unproven: Vec::new(),
            admitted: Vec::new(),
            ..evidence
        };
        Snapshot::build(Arc::clone(plan), &evidence, 0, None)
    }
}

fn pool_name(pools: &[Pool], served: Served) -> &str {
    match served {
        Served::Pool(pool) => &pools[pool.index()].name,
        Served::NoData | Served::ServFail => "no address",
    }
}
