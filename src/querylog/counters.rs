//! What is counted of the logs.

use prometheus::IntCounter;

/// What becomes of the records of a log.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Those that were written.
    pub written: IntCounter,
    /// Those that were not.
    pub dropped: IntCounter,
}

/// What is counted of both logs.
#[derive(Clone, Debug)]
pub struct AllCounters {
    /// dnstap messages.
    pub dnstap: Counters,
    /// Lines of the decision log.
    pub decisions: Counters,
}
