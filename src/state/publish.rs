//! The one place where snapshots change hands: one publisher, any number of readers, one arc-swap.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::Cache;

use crate::state::snapshot::Snapshot;

/// Replaces what is served. There is one, which cannot be cloned: whoever holds it is the only one
/// that publishes.
#[derive(Debug)]
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
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.current.store(next);
    }

    /// What is served now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A handle that can only read.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader {
            current: Arc::clone(&self.current),
        }
    }
}

/// Reads what is served; made by [`Publisher::reader`].
#[derive(Clone, Debug)]
pub struct SnapshotReader {
    current: Arc<ArcSwap<Snapshot>>,
}

impl SnapshotReader {
    /// What is served now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A reader for one thread that looks often.
    pub fn cached(&self) -> CachedReader {
        CachedReader {
            cache: Cache::new(Arc::clone(&self.current)),
        }
    }
}

/// One thread's view of what is served; looking is one atomic load. It keeps a replaced snapshot alive
/// until it looks again.
#[derive(Clone, Debug)]
pub struct CachedReader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

impl CachedReader {
    /// The snapshot to answer the next batch from; taken once per batch, so that a batch is of one
    /// generation.
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}
