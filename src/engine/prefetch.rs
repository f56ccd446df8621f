//! Software prefetch: brings the part of the prefix table that a queued query needs into the cache while
//! earlier queries of its batch are answered.
//!
//! A large table lies in outer caches, and waiting for one line of it takes longer than the rest of an
//! answer. The messages of a batch are all known before their turn, so the client subnet of one a few
//! messages ahead is enough to ask for its line in time (`benches/answer.rs`, `subnets, prefetched`).

use crate::engine::arrival::Scratch;
use crate::geo::answer_table::AnswerTable;
use crate::state::snapshot::Snapshot;
use crate::wire::peek;

/// The prefix table that the coming messages will likely be answered from.
#[derive(Clone, Copy, Debug)]
pub struct Prefetcher<'a> {
    answer_table: Option<&'a AnswerTable>,
}

impl<'a> Prefetcher<'a> {
    /// The table of the steered name that this thread answered last: names that are asked for often
    /// follow themselves, and most names share one table. None where client subnets count for nothing.
    pub fn of(snapshot: &'a Snapshot, scratch: &Scratch) -> Self {
        let is_used = snapshot.plan.config.process.ecs.enabled;
        let (ix, family) = scratch.last_steered;
        let steered = snapshot.steered.get(ix.index());
        let answers = steered.map(|steered| &steered.families[family]);
        let answer_table = answers.and_then(|answers| answers.answer_table.as_deref());
        Self {
            answer_table: answer_table.filter(|_| is_used),
        }
    }

    /// Prefetches what answering a message will read. Only speed depends on it.
    pub fn prefetch(self, message: &[u8]) {
        if let Some(answer_table) = self.answer_table
            && let Some(prefix) = peek::subnet(message).and_then(|subnet| subnet.prefix())
        {
            answer_table.prefetch(prefix);
        }
    }
}
