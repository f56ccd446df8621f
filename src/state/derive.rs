//! What a snapshot needs beyond its answers and may be published without: merged tables, made in the
//! background.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustc_hash::FxHashSet;

use crate::base::per_family::PerFamily;
use crate::geo::answer_table::AnswerTable;
use crate::geo::rank_table::RankTable;
use crate::state::answers::FamilyAnswers;
use crate::state::snapshot::Snapshot;
use crate::state::snapshot::SteeredNow;

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
    /// The merged tables that are still to be made, each once.
    pub fn missing_merges(&self) -> Vec<MergeJob> {
        let ecs = &self.plan.config.process.ecs;
        let mut jobs: Vec<MergeJob> = Vec::new();
        // By address: thousands of names may share their answers.
        let mut looked_at = FxHashSet::default();
        let families = self.steered.iter().flat_map(|now| now.families.iter());
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
            families: now.families.as_ref().map(&mut fill),
            leading: now.leading,
            counters: now.counters,
        });
        Self {
            generation,
            plan: Arc::clone(&self.plan),
            pools: self.pools.clone(),
            regional: self.regional.clone(),
            steered: steered.collect(),
            aliases: Arc::clone(&self.aliases),
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
            least_ttl: family.least_ttl,
            table: Arc::clone(&family.table),
            key_of_rank: Arc::clone(&family.key_of_rank),
            answer_table: Some(Arc::clone(answer_table)),
            answers: Arc::clone(&family.answers),
            passed_over: Arc::clone(&family.passed_over),
            ignores_probes: family.ignores_probes,
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
