//! The one place where snapshots change hands: one publisher, any number of readers, one arc-swap.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::Cache;

use crate::state::snapshot::Snapshot;

/// Replaces what is served.
#[derive(Clone, Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Publisher {
    /// Starts with a first snapshot.
    pub fn new(first: Snapshot) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(first)),
        }
    }

    /// Makes `next` what every later batch is answered from.
    pub fn publish(&self, next: Snapshot) {
        self.current.store(Arc::new(next));
    }

    /// What is served now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A reader for one thread or connection.
    pub fn reader(&self) -> Reader {
        Reader {
            cache: Cache::new(Arc::clone(&self.current)),
        }
    }
}

/// One thread's view of what is served; looking is one atomic load.
#[derive(Clone, Debug)]
pub struct Reader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

impl Reader {
    /// The snapshot to answer the next batch from; taken once per batch, so that a batch is of one
    /// generation.
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}
