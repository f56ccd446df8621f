//! What a message will need of memory, asked for while others are answered.
//!
//! A large prefix table lies in outer caches, and waiting for one line of it takes longer than
//! all the rest of an answer. Messages that came together are known before it is their turn: a glance at
//! the client subnet, a few answers early, and the line is there in time.

use crate::engine::arrival::Scratch;
use crate::geo::answer_table::AnswerTable;
use crate::state::snapshot::Snapshot;
use crate::wire::peek;

/// The prefix table that the coming messages will likely be answered from.
#[derive(Clone, Copy, Debug)]
pub struct Ahead<'a> {
    answer_table: Option<&'a AnswerTable>,
}

impl<'a> Ahead<'a> {
    /// The table of the steered name that this thread answered last: names that are asked for often
    /// follow themselves, and most names share one table. None where client subnets count for nothing.
    pub fn of(snapshot: &'a Snapshot, scratch: &Scratch) -> Self {
        let is_used = snapshot.plan.config.process.ecs.enabled;
        let (ix, family) = scratch.last_steered;
        let steered = snapshot.steered.get(ix.index());
        let answers = steered.and_then(|steered| steered.families.get(family.ix()));
        let answer_table = answers.and_then(|answers| answers.answer_table.as_deref());
        Self {
            answer_table: answer_table.filter(|_| is_used),
        }
    }

    /// Prepares for a message. Only speed depends on it.
    pub fn expect(self, message: &[u8]) {
        if let Some(answer_table) = self.answer_table
            && let Some(prefix) = peek::subnet(message).and_then(|subnet| subnet.prefix())
        {
            answer_table.prefetch(prefix);
        }
    }
}
