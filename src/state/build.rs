//! Plan and evidence to snapshot: the fast step, run on every health flip and override.
//!
//! For each steered name and family the standing of its pools turns every rank list into an answer.
//! Equal answers get equal keys, numbered in order of first use, so that two names (or two moments)
//! with the same key per rank list can share one merged table.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustc_hash::FxHashSet;

use crate::base::health::Health;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::rank::RankList;
use crate::base::rank::Share;
use crate::config::model::Endpoint;
use crate::config::model::Pool;
use crate::geo::answer_table::AnswerTable;
use crate::geo::rank::first_group;
use crate::geo::rank_table::RankTable;
use crate::health::overrides::Forced;
use crate::state::answers::Answer;
use crate::state::answers::FamilyAnswers;
use crate::state::answers::N_VARIANTS;
use crate::state::answers::PoolAnswer;
use crate::state::answers::Records;
use crate::state::plan::Plan;
use crate::state::snapshot::PoolNow;
use crate::state::snapshot::Snapshot;
use crate::state::snapshot::SteeredNow;
use crate::steer;
use crate::steer::AllDown;
use crate::steer::Choice;
use crate::steer::PoolStatus;
use crate::steer::rendezvous;
use crate::steer::rendezvous::ClientKey;

/// What is known of the pools, by `PoolIx`; a pool beyond the end is unknown and not forced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Each pool's endpoints, by `EndpointIx`; one beyond the end is unknown.
    pub endpoints: Vec<Vec<Health>>,
    /// The operator's word.
    pub forced: Vec<Option<Forced>>,
}

/// A merged table to be made in the background.
#[derive(Clone, Debug)]
pub struct MergeJob {
    /// Of which table.
    table: Arc<RankTable>,
    /// The key of each rank list.
    key_of_rank: Arc<[u32]>,
    /// The length of the prefixes that client subnets are cut to, by family.
    granularity: PerFamily<u8>,
}

impl MergeJob {
    fn is_for(&self, answers: &FamilyAnswers) -> bool {
        Arc::ptr_eq(&self.table, &answers.table) && self.key_of_rank == answers.key_of_rank
    }
}

impl Snapshot {
    /// Joins plan and evidence. What the snapshot before has in common is shared; its merged tables
    /// are taken over where they still hold.
    pub fn build(
        plan: Arc<Plan>,
        evidence: &Evidence,
        generation: u64,
        before: Option<&Self>,
    ) -> Self {
        let pools = plan.config.pools.pools.iter().enumerate();
        let pools: Box<[PoolNow]> = pools
            .map(|(ix, pool)| pool_now(ix, pool, evidence))
            .collect();
        let same_plan = before.filter(|before| Arc::ptr_eq(&before.plan, &plan));
        let unchanged = |family| {
            same_plan.is_some_and(|before| is_unchanged(&plan, &pools, &before.pools, family))
        };
        let mut builder = Builder {
            plan: &plan,
            pools: &pools,
            up: Family::ALL.map(|family| {
                let is_up = |pool: &PoolNow| pool.standing[family.ix()] == PoolStatus::Up;
                pools.iter().map(is_up).collect()
            }),
            before: same_plan,
            is_unchanged: Family::ALL.map(unchanged),
            alike: FxHashMap::default(),
            known: before,
            known_names: OnceCell::new(),
            records: FxHashMap::default(),
        };
        let n_steered = plan.config.pools.steered.len();
        let (steered, last_up): (Vec<_>, Vec<_>) = (0..n_steered)
            .map(|ix| builder.steered(SteeredIx::new(ix)))
            .unzip();
        Self {
            generation,
            plan,
            pools,
            steered: steered.into(),
            last_up: last_up.into(),
        }
    }

    /// The merged tables that are still to be made, each once.
    pub fn missing_merges(&self) -> Vec<MergeJob> {
        let ecs = &self.plan.config.process.ecs;
        let mut jobs: Vec<MergeJob> = Vec::new();
        // By address: thousands of names may share their answers.
        let mut looked_at = FxHashSet::default();
        let families = self.steered.iter().flat_map(|now| &now.families);
        for answers in families.filter(|family| looked_at.insert(Arc::as_ptr(family))) {
            if answers.answer_table.is_none() && !jobs.iter().any(|job| job.is_for(answers)) {
                jobs.push(MergeJob {
                    table: Arc::clone(&answers.table),
                    key_of_rank: Arc::clone(&answers.key_of_rank),
                    granularity: ecs.max_scope(),
                });
            }
        }
        jobs
    }

    /// The same snapshot with all merged tables made here and now.
    #[must_use]
    pub fn with_merged_tables(self) -> Self {
        let made = merge_tables(self.missing_merges());
        self.with_tables(&made, self.generation)
    }

    /// The same snapshot with merged tables put in where they belong.
    #[must_use]
    pub fn with_tables(&self, made: &[(MergeJob, Arc<AnswerTable>)], generation: u64) -> Self {
        // By address: names that share their answers go on sharing them.
        let mut filled: FxHashMap<*const FamilyAnswers, Arc<FamilyAnswers>> = FxHashMap::default();
        let mut fill = |family: &Arc<FamilyAnswers>| {
            let fill = || with_table(family, made);
            Arc::clone(filled.entry(Arc::as_ptr(family)).or_insert_with(fill))
        };
        let steered = self.steered.iter().map(|now| SteeredNow {
            families: now.families.each_ref().map(&mut fill),
            counters: now.counters,
        });
        Self {
            generation,
            plan: Arc::clone(&self.plan),
            pools: self.pools.clone(),
            steered: steered.collect(),
            last_up: self.last_up.clone(),
        }
    }
}

/// The same answers with their merged table, if it is among those made.
fn with_table(
    family: &Arc<FamilyAnswers>,
    made: &[(MergeJob, Arc<AnswerTable>)],
) -> Arc<FamilyAnswers> {
    match made.iter().find(|(job, _)| job.is_for(family)) {
        Some((_, answer_table)) if family.answer_table.is_none() => Arc::new(FamilyAnswers {
            table: Arc::clone(&family.table),
            key_of_rank: Arc::clone(&family.key_of_rank),
            answer_table: Some(Arc::clone(answer_table)),
            answers: Arc::clone(&family.answers),
        }),
        _ => Arc::clone(family),
    }
}

/// Makes merged tables; each takes milliseconds for a database of millions of networks.
pub fn merge_tables(jobs: Vec<MergeJob>) -> Vec<(MergeJob, Arc<AnswerTable>)> {
    let make = |job: MergeJob| {
        let answer_table = Arc::new(job.table.merged(&job.key_of_rank, job.granularity));
        (job, answer_table)
    };
    jobs.into_iter().map(make).collect()
}

/// One pool's standing in both families.
fn pool_now(ix: usize, pool: &Pool, evidence: &Evidence) -> PoolNow {
    let of_pool = evidence.endpoints.get(ix);
    let health = |at: usize| {
        of_pool
            .and_then(|list| list.get(at))
            .copied()
            .unwrap_or_default()
    };
    let endpoints: Box<[Health]> = (0..pool.endpoints.len()).map(health).collect();
    let forced = evidence.forced.get(ix).copied().flatten();
    let standing = Family::ALL.map(|family| {
        let (mut n, mut n_up) = (0, 0);
        for (endpoint, health) in pool.endpoints.iter().zip(&endpoints) {
            if Family::of(endpoint.address) == family {
                n += 1;
                n_up += usize::from(health.is_usable());
            }
        }
        match forced {
            _ if n == 0 => PoolStatus::Absent,
            Some(Forced::Drain) => PoolStatus::Drained,
            Some(Forced::Down) => PoolStatus::Down,
            Some(Forced::Up) => PoolStatus::Up,
            // A family with fewer endpoints than `min_healthy` needs all that it has.
            None if n_up >= pool.min_healthy.min(n) => PoolStatus::Up,
            None => PoolStatus::Down,
        }
    });
    PoolNow {
        forced,
        endpoints,
        standing,
    }
}

/// What one build shares between names.
struct Builder<'a> {
    plan: &'a Plan,
    pools: &'a [PoolNow],
    /// Which of them are up, by family.
    up: [Arc<[bool]>; 2],
    /// The snapshot before, if it is of the same plan: whole names can be shared with it.
    before: Option<&'a Snapshot>,
    /// The snapshot before, whatever its plan: its merged tables may still hold.
    known: Option<&'a Snapshot>,
    /// Where its names and pools stood, once somebody asked.
    known_names: OnceCell<KnownNames<'a>>,
    /// Whether no pool at all changed since `before`, by family.
    is_unchanged: [bool; 2],
    /// The names made so far: those that are answered alike share everything.
    alike: FxHashMap<Alike, Arc<FamilyAnswers>>,
    /// The RRsets made so far: names with equal TTL and `answers` share them.
    records: FxHashMap<(PoolIx, Family, u32, usize), Arc<[Records]>>,
}

/// Whether no pool at all changed in a family since a snapshot of the same plan.
fn is_unchanged(plan: &Plan, now: &[PoolNow], then: &[PoolNow], family: Family) -> bool {
    let at = family.ix();
    let pools = plan.config.pools.pools.iter();
    pools.zip(now.iter().zip(then)).all(|(pool, (now, then))| {
        now.standing[at] == then.standing[at]
            && now.forced == then.forced
            && usable(pool, now, family).eq(usable(pool, then, family))
    })
}

/// What the answers of a name depend on, apart from the pools' standing.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    /// The table's address, which stands for the table: the plan keeps it.
    table: *const RankTable,
    all_down: AllDown,
    ttl: u32,
    answers: usize,
    family: Family,
    /// Only where it is asked for the pools that were up last.
    last_up: Option<Arc<[bool]>>,
}

/// The positions of a snapshot's names and pools.
struct KnownNames<'a> {
    steered: HashMap<&'a Name, usize>,
    pools: HashMap<&'a str, usize>,
}

impl<'a> KnownNames<'a> {
    fn of(plan: &'a Plan) -> Self {
        let config = &plan.config.pools;
        Self {
            steered: config.steered.iter().map(|s| &s.owner).zip(0..).collect(),
            pools: config
                .pools
                .iter()
                .map(|pool| &*pool.name)
                .zip(0..)
                .collect(),
        }
    }
}

impl Builder<'_> {
    /// A name's answers, and the pools that were up when any of its last was.
    fn steered(&mut self, ix: SteeredIx) -> (SteeredNow, [Arc<[bool]>; 2]) {
        let last_up = Family::ALL.map(|family| self.last_up(ix, family));
        let families = Family::ALL.map(|family| {
            let at = family.ix();
            match self.before {
                Some(before)
                    if self.is_unchanged[at] && before.last_up[ix.index()][at] == last_up[at] =>
                {
                    Arc::clone(&before.steered[ix.index()].families[at])
                }
                _ => self.family(ix, family, &last_up[at]),
            }
        });
        let counters = self.plan.counters.start(ix);
        (SteeredNow { families, counters }, last_up)
    }

    /// The pools that were up when any of the name's last was.
    fn last_up(&self, ix: SteeredIx, family: Family) -> Arc<[bool]> {
        let now = &self.up[family.ix()];
        let mut pools = self.plan.steered(ix).pools.iter();
        if pools.any(|pool| now[pool.index()]) {
            return Arc::clone(now);
        }
        self.last_up_before(ix, family)
            .unwrap_or_else(|| Arc::clone(now))
    }

    /// The same in the snapshot before; `None` for a name that it does not have. The plan may have
    /// changed since: names and pools are found again by what they are called.
    fn last_up_before(&self, ix: SteeredIx, family: Family) -> Option<Arc<[bool]>> {
        let known = self.known?;
        let was_up = |at: usize| &known.last_up[at][family.ix()];
        if Arc::ptr_eq(&known.plan.config, &self.plan.config) {
            return Some(Arc::clone(was_up(ix.index())));
        }
        let names = self.known_names.get_or_init(|| KnownNames::of(&known.plan));
        let was_up = was_up(*names.steered.get(&self.plan.steered(ix).owner)?);
        let found = |pool: &Pool| names.pools.get(&*pool.name).is_some_and(|at| was_up[*at]);
        Some(self.plan.config.pools.pools.iter().map(found).collect())
    }

    fn family(
        &mut self,
        ix: SteeredIx,
        family: Family,
        last_up: &Arc<[bool]>,
    ) -> Arc<FamilyAnswers> {
        let steered = self.plan.steered(ix);
        let alike = Alike {
            table: Arc::as_ptr(&self.plan.tables[ix.index()]),
            all_down: steered.all_down,
            ttl: steered.ttl,
            answers: steered.max_addresses,
            family,
            last_up: (steered.all_down == AllDown::LastGood).then(|| Arc::clone(last_up)),
        };
        if let Some(known) = self.alike.get(&alike) {
            return Arc::clone(known);
        }
        let made = Arc::new(self.make_family(ix, family, last_up));
        self.alike.insert(alike, Arc::clone(&made));
        made
    }

    fn make_family(&mut self, ix: SteeredIx, family: Family, last_up: &[bool]) -> FamilyAnswers {
        let table = Arc::clone(&self.plan.tables[ix.index()]);
        let up = &self.up[family.ix()];
        let mut sites = self.plan.specs[ix.index()].all_sites();
        let any_up = sites.any(|site| up[site.pool.index()]);
        let mut keys = FxHashMap::<Choice, u32>::default();
        let mut choices = Vec::new();
        let key_of_rank: Arc<[u32]> = table
            .ranks()
            .iter()
            .map(|rank| {
                let choice = self.choose(ix, rank, family, any_up, last_up);
                *keys.entry(choice).or_insert_with_key(|choice| {
                    choices.push(choice.clone());
                    choices.len() as u32 - 1
                })
            })
            .collect();
        let answers = choices
            .iter()
            .map(|choice| self.answer(ix, family, choice))
            .collect();
        let answer_table = self.known_answer_table(&table, &key_of_rank);
        FamilyAnswers {
            table,
            key_of_rank,
            answer_table,
            answers,
        }
    }

    fn choose(
        &self,
        ix: SteeredIx,
        rank: &RankList,
        family: Family,
        any_up: bool,
        last_up: &[bool],
    ) -> Choice {
        let all_down = self.plan.steered(ix).all_down;
        let standing = |pool: PoolIx| self.pools[pool.index()].standing[family.ix()];
        let was_up = |pool: PoolIx| last_up[pool.index()];
        let spec = &self.plan.specs[ix.index()];
        let complete = |wanted: &dyn Fn(PoolIx) -> bool| first_group(spec, rank, wanted);
        steer::choose(rank, all_down, family, any_up, standing, was_up, complete)
    }

    fn known_answer_table(
        &self,
        table: &Arc<RankTable>,
        key_of_rank: &Arc<[u32]>,
    ) -> Option<Arc<AnswerTable>> {
        let families = self
            .known?
            .steered
            .iter()
            .flat_map(|steered| &steered.families);
        families
            .filter(|f| Arc::ptr_eq(&f.table, table) && f.key_of_rank == *key_of_rank)
            .find_map(|f| f.answer_table.clone())
    }

    fn answer(&mut self, ix: SteeredIx, family: Family, choice: &Choice) -> Answer {
        match choice {
            Choice::Empty => Answer::NoData,
            Choice::ServFail => Answer::ServFail,
            Choice::Pools(shares) => Answer::Pools(
                shares
                    .iter()
                    .map(|share| self.pool_answer(ix, family, *share))
                    .collect(),
            ),
        }
    }

    fn pool_answer(&mut self, ix: SteeredIx, family: Family, share: Share) -> PoolAnswer {
        let steered = self.plan.steered(ix);
        let pool = share.pool;
        let (config, now) = (
            &self.plan.config.pools.pools[pool.index()],
            &self.pools[pool.index()],
        );
        let (ttl, answers) = (steered.ttl, steered.max_addresses);
        let variants = self
            .records
            .entry((pool, family, ttl, answers))
            .or_insert_with(|| {
                variants(
                    &usable(config, now, family).collect::<Vec<_>>(),
                    answers,
                    ttl,
                )
            });
        PoolAnswer {
            pool,
            hash: self.plan.pool_hashes[pool.index()],
            weight: share.weight,
            counter: self.plan.counters.slot(ix, pool).unwrap_or(u32::MAX),
            variants: Arc::clone(variants),
        }
    }
}

/// The endpoints of a family that an answer may name: those that are up, or all of them where the
/// pool is answered although it is down.
fn usable(pool: &Pool, now: &PoolNow, family: Family) -> impl Iterator<Item = Endpoint> {
    let of_family = |(endpoint, _): &(&Endpoint, &Health)| Family::of(endpoint.address) == family;
    let all = || pool.endpoints.iter().zip(&now.endpoints).filter(of_family);
    let only_up =
        now.standing[family.ix()] == PoolStatus::Up && all().any(|(_, health)| health.is_usable());
    all()
        .filter(move |(_, health)| !only_up || health.is_usable())
        .map(|(endpoint, _)| *endpoint)
        .collect::<Vec<_>>()
        .into_iter()
}

/// The RRset of some endpoints; where there are more than an answer may hold, a fixed number of
/// selections by weight, which client prefixes share.
fn variants(endpoints: &[Endpoint], answers: usize, ttl: u32) -> Arc<[Records]> {
    if endpoints.len() <= answers {
        let all: Vec<IpAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        return [Records::new(&all, ttl)].into();
    }
    let selection = |n: usize| {
        let key = ClientKey::nth(n as u64);
        let mut scored: Vec<(f64, IpAddr)> = endpoints
            .iter()
            .map(|endpoint| {
                let hash = rendezvous::name_hash(endpoint.address.to_string().as_bytes());
                (
                    rendezvous::score(key, hash, endpoint.weight),
                    endpoint.address,
                )
            })
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.truncate(answers);
        let chosen: Vec<IpAddr> = scored.into_iter().map(|(_, address)| address).collect();
        Records::new(&chosen, ttl)
    };
    (0..N_VARIANTS).map(selection).collect()
}
