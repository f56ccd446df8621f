//! A source: what names endpoints of a pool, besides the addresses in the operator's file, and what is known
//! of it.

use std::fmt;
use std::sync::Arc;

use crate::config::model::Endpoint;
use crate::state::external::External;
use crate::state::resolved::Refused;
/// What names endpoints of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceId {
    /// `PUT /api/v1/pools/POOL/endpoints`.
    Api,
    /// A host name of the operator's file.
    Host(Arc<str>),
}

impl SourceId {
    /// What kind it is, as JSON has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Host(_) => "host",
        }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("api"),
            Self::Host(host) => f.write_str(host),
        }
    }
}

/// What is known of a source. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// The endpoints of its last good answer.
    pub endpoints: Arc<[Endpoint]>,
    /// Since when it names these; `None`: it has named none yet.
    pub since: Option<u64>,
    /// The token that set them.
    pub by: Option<Box<str>>,
    /// Raised by each change.
    pub revision: u64,
    /// When it last answered for both families.
    pub last_success: Option<u64>,
    /// Why it does not answer now.
    pub fault: Option<Box<str>>,
    /// Addresses of its latest answer that are not taken.
    pub refused: Option<Refused>,
    /// What external-dns manages of them.
    pub external: External,
}

/// Something that an operator reads in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEvent {
    /// The pool.
    pub pool: Box<str>,
    /// What names its endpoints.
    pub source: SourceId,
    /// What has happened.
    pub what: SourceChange,
}

/// What has happened to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceChange {
    /// It names other endpoints.
    Endpoints {
        /// The token that set them.
        by: Option<Box<str>>,
        /// Those it named before.
        before: Arc<[Endpoint]>,
        /// Those it names now.
        after: Arc<[Endpoint]>,
    },
    /// It does not answer, for this reason.
    Fails(Box<str>),
    /// It answers again.
    Answers,
    /// Addresses of its answer are not taken.
    Refuses(Refused),
}

impl SourceState {
    /// Takes what it names now; `None`: it named the same before.
    pub(super) fn change(
        &mut self,
        after: Arc<[Endpoint]>,
        by: Option<Box<str>>,
        now: u64,
    ) -> Option<SourceChange> {
        if self.since.is_some() && self.endpoints == after {
            return None;
        }
        let before = std::mem::replace(&mut self.endpoints, Arc::clone(&after));
        self.since = Some(now);
        self.revision += 1;
        self.by.clone_from(&by);
        Some(SourceChange::Endpoints { by, before, after })
    }
}
