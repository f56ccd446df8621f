//! `Snapshot`: everything that an answer depends on, immutable once published.

/// What is served now.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts publications; each snapshot has its own number.
    pub generation: u64,
}
