//! Plan and evidence to snapshot: the fast step, run on every health flip and override.
//!
//! For each steered name and family the status of its pools turns every rank list into an answer.
//! Equal answers get equal keys, numbered in order of first use, so that two names (or two moments)
//! with the same key per rank list can share one merged table.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::ix::AliasIx;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::rank::Order;
use crate::base::rank::Policy;
use crate::base::rank::RankList;
use crate::base::rank::Share;
use crate::config::model::TtlRange;
use crate::config::safety::MaxDown;
use crate::geo::answer_table::AnswerTable;
use crate::geo::rank::first_group;
use crate::geo::rank_table::RankTable;
use crate::geo::rules::Spec;
use crate::state::answers::Answer;
use crate::state::answers::Counted;
use crate::state::answers::FamilyAnswers;
use crate::state::answers::PoolAnswer;
use crate::state::answers::Records;
use crate::state::answers::pass_over;
use crate::state::answers::variants_of;
use crate::state::evidence::Evidence;
use crate::state::evidence::LastUp;
use crate::state::evidence::PoolNow;
use crate::state::multivalue;
use crate::state::multivalue::Part;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;
use crate::state::snapshot::SteeredNow;
use crate::state::ttl::Ttls;
use crate::state::view::Answering;
use crate::state::view::View;
use crate::state::view::ViewIx;
use crate::state::view::Viewed;
use crate::state::view::viewed;
use crate::steer;
use crate::steer::AllDown;
use crate::steer::Choice;
use crate::steer::PoolStatus;
use crate::steer::Pools;
use crate::steer::spread::Admitted;
use crate::zone::SteeredTypes;

impl Snapshot {
    /// Joins plan and evidence, and depends on nothing else: `before` only saves work. What the snapshot
    /// before has in common is shared; its merged tables are taken over where they still hold.
    pub fn build(
        plan: Arc<Plan>,
        evidence: &Evidence,
        generation: u64,
        before: Option<&Self>,
    ) -> Self {
        let parts = Parts {
            pools: PoolNow::all(&plan, evidence),
            regional: PoolNow::regional(&plan, evidence),
            aliases: aliases(&plan, evidence),
            last_up: Arc::clone(&evidence.last_up),
        };
        Self::join(plan, parts, generation, before)
    }

    /// The snapshot as it would be if an operator drained a pool.
    #[must_use]
    pub fn with_drained(&self, pool: PoolIx) -> Self {
        let drained = |pools: &[PoolNow]| -> Box<[PoolNow]> {
            let pools = pools.iter().enumerate();
            let pools = pools.map(|(ix, now)| match ix == pool.index() {
                true => now.drained(),
                false => now.clone(),
            });
            pools.collect()
        };
        let parts = Parts {
            pools: drained(&self.pools),
            regional: self.regional.iter().map(|pools| drained(pools)).collect(),
            aliases: Arc::clone(&self.aliases),
            last_up: Arc::clone(&self.last_up),
        };
        Self::join(Arc::clone(&self.plan), parts, self.generation, Some(self))
    }

    fn join(plan: Arc<Plan>, parts: Parts, generation: u64, before: Option<&Self>) -> Self {
        let Parts {
            pools,
            regional,
            aliases,
            last_up,
        } = parts;
        let same = before.filter(|before| {
            // Plans of one configuration differ in their zones alone.
            Arc::ptr_eq(&before.plan.config, &plan.config) && before.last_up == last_up
        });
        let mut builder = Builder {
            plan: &plan,
            last_up: &last_up,
            pools: &pools,
            regional: &regional,
            unchanged: PerFamily::from_fn(|family| {
                same.filter(|same| {
                    let mut regions = regional.iter().zip(&same.regional);
                    is_unchanged(&pools, &same.pools, family)
                        && regional.len() == same.regional.len()
                        && regions.all(|(now, then)| is_unchanged(now, then, family))
                })
            }),
            before,
            alike: FxHashMap::default(),
            records: FxHashMap::default(),
            records_together: FxHashMap::default(),
        };
        let steered = (0..plan.config.pools.steered.len())
            .map(|ix| builder.steered(SteeredIx::new(ix)))
            .collect();
        Self {
            generation,
            steered,
            aliases,
            last_up,
            plan,
            pools,
            regional,
        }
    }
}

/// The records of those aliases whose targets have been resolved.
fn aliases(plan: &Plan, evidence: &Evidence) -> Arc<[Option<PerFamily<Records>>]> {
    let records = |ix| {
        let resolved = evidence.members.alias(AliasIx::new(ix))?;
        Some(PerFamily::from_fn(|family| {
            let addresses = resolved.addresses.iter().copied();
            let of_family = addresses.filter(|address| Family::of(*address) == family);
            Records::new(&of_family.collect::<Vec<_>>(), resolved.ttl)
        }))
    };
    (0..plan.config.pools.aliases.len()).map(records).collect()
}

/// What a snapshot has of the evidence.
struct Parts {
    pools: Box<[PoolNow]>,
    regional: Box<[Box<[PoolNow]>]>,
    aliases: Arc<[Option<PerFamily<Records>>]>,
    last_up: Arc<LastUp>,
}

/// What one build shares between names.
struct Builder<'a> {
    plan: &'a Plan,
    last_up: &'a LastUp,
    pools: &'a [PoolNow],
    regional: &'a [Box<[PoolNow]>],
    /// The snapshot before, where no answer of the family has changed since.
    unchanged: PerFamily<Option<&'a Snapshot>>,
    /// The snapshot before, whatever its plan: its merged tables may still hold.
    before: Option<&'a Snapshot>,
    /// The names made so far: those that are answered alike share everything.
    alike: FxHashMap<AnswerKey, Arc<FamilyAnswers>>,
    /// The RRsets made so far: names with equal TTL and `answers` share them.
    records: FxHashMap<RecordsKey, Arc<[Records]>>,
    /// The same of pools that answer together.
    records_together: FxHashMap<TogetherKey, Arc<[Records]>>,
}

/// Which RRsets of several pools: each with its share, view and admission; family, TTL, most addresses.
type TogetherKey = (Box<[Viewed]>, Family, u32, usize);

/// Whose RRset: pool, family, TTL, most addresses, view.
type RecordsKey = (PoolIx, Family, u32, usize, ViewIx);

/// Whether the pools are answered as then in a family.
fn is_unchanged(now: &[PoolNow], then: &[PoolNow], family: Family) -> bool {
    let is_same = |now: &PoolNow, then: &PoolNow| {
        now == then
            || (now.status[family] == then.status[family]
                && now.admitted[family] == then.admitted[family]
                && now.horizon[family] == then.horizon[family]
                && now.guests[family] == then.guests[family]
                && now.forced == then.forced
                && now.endpoints.is_empty() == then.endpoints.is_empty()
                && now.usable(family) == then.usable(family))
    };
    now.iter().zip(then).all(|(now, then)| is_same(now, then))
}

/// What the answers of a name depend on, apart from the pools.
#[derive(PartialEq, Eq, Hash)]
struct AnswerKey {
    /// The table's address, which stands for the table: the plan keeps it.
    table: *const RankTable,
    all_down: AllDown,
    all_down_of_rules: Box<[Option<AllDown>]>,
    ttl: TtlRange,
    order: Order,
    max_addresses: usize,
    is_by_name: bool,
    family: Family,
    /// The pools that were up last, where `all_down` asks for them.
    last_up: Box<[PoolIx]>,
}

impl Builder<'_> {
    fn steered(&mut self, ix: SteeredIx) -> SteeredNow {
        SteeredNow {
            families: PerFamily::from_fn(|family| match self.unchanged[family] {
                Some(before) => Arc::clone(&before.steered[ix.index()].families[family]),
                None => self.family(ix, family),
            }),
            leading: self.leading(ix),
            counters: self.plan.counters.start(ix),
        }
    }

    /// IPv4, unless all endpoints of the name that there are now are IPv6.
    fn leading(&self, ix: SteeredIx) -> Family {
        let has = |family| {
            let mut sites = self.plan.specs[ix.index()].all_sites();
            sites.any(|site| self.pools[site.pool.index()].has_family(family))
        };
        match self.plan.steered(ix).types {
            SteeredTypes::Addresses { txt: false, .. } => Family::V4,
            _ if has(Family::V6) && !has(Family::V4) => Family::V6,
            _ => Family::V4,
        }
    }

    fn family(&mut self, ix: SteeredIx, family: Family) -> Arc<FamilyAnswers> {
        let steered = self.plan.steered(ix);
        let key = AnswerKey {
            table: Arc::as_ptr(&self.plan.tables[ix.index()]),
            all_down: steered.all_down,
            all_down_of_rules: steered.rules.iter().map(|rule| rule.all_down).collect(),
            ttl: steered.ttl,
            order: steered.order,
            max_addresses: steered.max_addresses,
            is_by_name: steered.types == SteeredTypes::Cname,
            family,
            last_up: self.last_up.of(self.plan, steered, family),
        };
        if let Some(made) = self.alike.get(&key) {
            return Arc::clone(made);
        }
        let made = Arc::new(self.make_family(ix, &key));
        self.alike.insert(key, Arc::clone(&made));
        made
    }

    fn make_family(&mut self, ix: SteeredIx, key: &AnswerKey) -> FamilyAnswers {
        let table = Arc::clone(&self.plan.tables[ix.index()]);
        let (spec, family) = (&self.plan.specs[ix.index()], key.family);
        let regions = self.regional.iter().map(|pools| &**pools);
        let regions = regions.filter(|_| !spec.regions.is_empty());
        let views = std::iter::once(self.pools).chain(regions);
        let views = views.map(|pools| View::new(self.plan, ix, pools, family));
        let views: Vec<View<'_>> = views.collect();
        // Their sources name no endpoints now: that is no reason to say that the name has no addresses.
        let are_empty = spec
            .all_sites()
            .all(|site| self.pools[site.pool.index()].endpoints.is_empty());
        let mut keys = FxHashMap::<Choice<Answering>, u32>::default();
        let mut choices = Vec::new();
        let choose = |rank: &RankList| {
            let at = rank.region.map_or(0, |region| usize::from(region) + 1);
            let at = if at < views.len() { at } else { 0 };
            let view = &views[at];
            let standby = view.standby(spec, rank.rule);
            let pools = Pools {
                status: &|pool| view.status(pool),
                admitted: &|pool| view.pools[pool.index()].admitted[family],
                guests: &|pool| view.pools[pool.index()].guests[family],
                is_multivalue: &|pool| spec.policy_of(rank.rule, pool) == Policy::Multivalue,
                standby: &standby,
                was_up: &|pool| key.last_up.contains(&pool),
                occurring: view.occurring,
            };
            let beyond = |wanted: &dyn Fn(PoolIx) -> bool| first_group(spec, rank, wanted);
            let of_rule = rank
                .rule
                .and_then(|rule| key.all_down_of_rules[rule as usize]);
            let all_down = steer::all_down_of(rank, key.all_down, of_rule);
            let choice = match steer::choose(rank, all_down, &pools, beyond) {
                Choice::NoData if are_empty && all_down != AllDown::Empty => Choice::ServFail,
                choice => choice,
            };
            let choice = viewed(&views, at, &choice);
            *keys.entry(choice).or_insert_with_key(|choice| {
                choices.push(choice.clone());
                choices.len() as u32 - 1
            })
        };
        let mut key_of_rank: Vec<u32> = table.ranks().iter().map(choose).collect();
        let ttls = self.ttls(key, spec, &views);
        let answers = choices.iter();
        let answers: Arc<[Answer]> = answers
            .map(|choice| self.answer(ix, &views, &ttls, choice))
            .collect();
        let passed_over = pass_over(table.ranks(), &mut key_of_rank, &answers);
        let key_of_rank: Arc<[u32]> = key_of_rank.into();
        let answer_table = self.known_answer_table(&table, &key_of_rank);
        FamilyAnswers {
            table,
            key_of_rank,
            answer_table,
            answers,
            passed_over,
            least_ttl: ttls.least(),
            ignores_probes: views.iter().any(|view| view.ignores_probes),
        }
    }

    fn ttls<'v>(&self, key: &AnswerKey, spec: &Spec, views: &[View<'v>]) -> Ttls<'v> {
        // With a bound on those that are down, any pool can come to change what the others are worth.
        let is_bounded = self.plan.config.process.safety.max_down != MaxDown::OFF;
        let is_settled = |pool: PoolIx| {
            let is_whole = |view: &View<'_>| {
                view.status(pool) == PoolStatus::Up
                    && view.pools[pool.index()].admitted[key.family] == Admitted::ALL
            };
            !is_bounded && views.iter().all(is_whole)
        };
        let of_name = spec.all_sites().map(|site| site.pool);
        Ttls::new(key.ttl, views[0].pools, key.family, of_name, is_settled)
    }

    fn known_answer_table(
        &self,
        table: &Arc<RankTable>,
        key_of_rank: &Arc<[u32]>,
    ) -> Option<Arc<AnswerTable>> {
        let steered = self.before?.steered.iter();
        let mut families = steered.flat_map(|steered| steered.families.iter());
        families.find_map(|family| {
            let fits = Arc::ptr_eq(&family.table, table) && family.key_of_rank == *key_of_rank;
            family.answer_table.clone().filter(|_| fits)
        })
    }

    fn answer(
        &mut self,
        ix: SteeredIx,
        views: &[View<'_>],
        ttls: &Ttls<'_>,
        choice: &Choice<Answering>,
    ) -> Answer {
        match choice {
            Choice::NoData => Choice::NoData,
            Choice::ServFail => Choice::ServFail,
            Choice::Pools((true, members)) => {
                Choice::Pools([self.answer_together(ix, views, ttls, members)].into())
            }
            Choice::Pools((false, shares)) => {
                let shares = shares.iter();
                let pools = shares
                    .map(|(share, at, _)| self.pool_answer(ix, &views[*at], ttls, *share, *at));
                Choice::Pools(pools.collect())
            }
        }
    }

    fn pool_answer(
        &mut self,
        ix: SteeredIx,
        view: &View<'_>,
        ttls: &Ttls<'_>,
        share: Share,
        at: ViewIx,
    ) -> PoolAnswer {
        let steered = self.plan.steered(ix);
        let (pool, max_addresses) = (share.pool, steered.max_addresses);
        let (ttl, ttl_limited_by) = ttls.of(std::iter::once(pool));
        let now = &view.pools[pool.index()];
        let key = (pool, view.family, ttl, max_addresses, at);
        let variants = self.records.entry(key);
        let variants =
            variants.or_insert_with(|| variants_of(&now.usable(view.family), max_addresses, ttl));
        PoolAnswer {
            pool,
            status: view.status(pool),
            hash: self.plan.pool_hashes[pool.index()],
            weight: share.weight,
            order: steered.order,
            counter: self.plan.counters.slot(ix, pool).unwrap_or(u32::MAX),
            together: Box::default(),
            variants: Arc::clone(variants),
            ttl_limited_by,
        }
    }

    /// The answer of several pools together; there are at least two.
    fn answer_together(
        &mut self,
        ix: SteeredIx,
        views: &[View<'_>],
        ttls: &Ttls<'_>,
        members: &[Viewed],
    ) -> PoolAnswer {
        let steered = self.plan.steered(ix);
        let (first, at, _) = members[0];
        let (family, max_addresses) = (views[at].family, steered.max_addresses);
        let (ttl, ttl_limited_by) = ttls.of(members.iter().map(|(share, ..)| share.pool));
        let counted = |(share, ..): &Viewed| Counted {
            pool: share.pool,
            counter: self.plan.counters.slot(ix, share.pool).unwrap_or(u32::MAX),
        };
        let together: Box<[Counted]> = members.iter().map(counted).collect();
        let part = |(share, at, admitted): &Viewed| Part {
            hash: self.plan.pool_hashes[share.pool.index()],
            weight: share.weight,
            admitted: *admitted,
            endpoints: views[*at].pools[share.pool.index()].usable(family),
        };
        let key = (members.into(), family, ttl, max_addresses);
        let variants = self.records_together.entry(key).or_insert_with(|| {
            let parts: Vec<Part> = members.iter().map(part).collect();
            multivalue::variants_of(&parts, max_addresses, ttl)
        });
        PoolAnswer {
            pool: first.pool,
            status: views[at].status(first.pool),
            hash: self.plan.pool_hashes[first.pool.index()],
            weight: 1,
            order: steered.order,
            counter: together[0].counter,
            together,
            variants: Arc::clone(variants),
            ttl_limited_by,
        }
    }
}
