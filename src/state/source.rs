//! A source: what names endpoints of a pool, besides the addresses in the operator's file, and what is known
//! of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::kubernetes;
use crate::config::model::Endpoint;
use crate::config::safety::Safety;
use crate::state::external::External;
use crate::state::object::AfterStatus;
use crate::state::object::ObjectReport;
use crate::state::object::after_status;
use crate::state::resolved::Refused;

/// What names endpoints of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceId {
    /// `PUT /api/v1/pools/POOL/endpoints`.
    Api,
    /// A host name, of the operator's file or of a Kubernetes object.
    Host(Arc<str>),
    /// The status of a Kubernetes object.
    Kubernetes(Arc<kubernetes::Object>),
}

impl SourceId {
    /// What kind it is, as JSON has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Host(_) => "host",
            Self::Kubernetes(_) => "kubernetes",
        }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("api"),
            Self::Host(host) => f.write_str(host),
            Self::Kubernetes(object) => object.fmt(f),
        }
    }
}

/// What a source names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Endpoints by their address.
    pub endpoints: Arc<[Endpoint]>,
    /// Host names, of a Kubernetes object, each of which is a source as well.
    pub hosts: Arc<[Arc<str>]>,
}

/// What is known of a source. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// Its last good answer.
    pub named: Named,
    /// An answer whose host names are yet to be resolved: it would leave the pool with nothing until then.
    pub next: Option<Named>,
    /// Whether it is an object that its cluster does not have.
    pub is_missing: bool,
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
        before: Named,
        /// Those it names now.
        after: Named,
    },
    /// It does not answer, for this reason.
    Fails(Box<str>),
    /// It answers again.
    Answers,
    /// Addresses of its answer are not taken.
    Refuses(Refused),
}

impl Named {
    /// These endpoints, and no host names.
    pub(super) fn of(endpoints: Arc<[Endpoint]>) -> Self {
        Self {
            endpoints,
            ..Self::default()
        }
    }

    /// Endpoints of weight 1.
    pub(super) fn by_address(addresses: Vec<IpAddr>) -> Self {
        let endpoint = |address| Endpoint::new(address, 1);
        Self::of(addresses.into_iter().map(endpoint).collect())
    }

    /// Whether it names nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.hosts.is_empty()
    }
}

impl SourceState {
    /// The addresses of its endpoints.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let endpoints = self.named.endpoints.iter();
        endpoints.map(|endpoint| endpoint.address).collect()
    }

    /// Takes what an API server says of the object that this is. What it names is in `next` then.
    pub(super) fn report(
        &mut self,
        report: &ObjectReport,
        safety: &Safety,
        now: u64,
    ) -> Vec<SourceChange> {
        let check = |address| safety.check_found(address);
        let unchanged = |fault: Option<Box<str>>| AfterStatus {
            named: None,
            fault,
            refused: self.refused.clone(),
        };
        let after = match report {
            ObjectReport::Addresses(entries) => after_status(&self.addresses(), entries, check),
            ObjectReport::Failed(reason) => unchanged(Some(reason.clone())),
            ObjectReport::Missing => after_status(&[], &[], check),
            ObjectReport::Unchanged => unchanged(self.fault.clone()),
        };
        let mut changes = Vec::new();
        // Each reason asks for something else to be mended, so that another one is a line of its own.
        match (&self.fault, &after.fault) {
            (before, Some(reason)) if before.as_ref() != Some(reason) => {
                changes.push(SourceChange::Fails(reason.clone()));
            }
            (Some(_), None) => changes.push(SourceChange::Answers),
            _ => {}
        }
        if let (None, Some(refused)) = (&self.refused, &after.refused) {
            changes.push(SourceChange::Refuses(refused.clone()));
        }
        if after.fault.is_none() {
            self.last_success = Some(now);
        }
        self.fault = after.fault;
        self.refused = after.refused;
        if let ObjectReport::Addresses(_) | ObjectReport::Missing = report {
            self.is_missing = *report == ObjectReport::Missing;
        }
        if let Some((addresses, hosts)) = after.named {
            self.next = Some(Named {
                hosts: hosts.into(),
                ..Named::by_address(addresses)
            });
        }
        changes
    }

    /// Takes `next` into force.
    pub(super) fn settle(&mut self, now: u64) -> Option<SourceChange> {
        let next = self.next.take()?;
        self.change(next, None, now)
    }

    /// Takes what it names now; `None`: it named the same before.
    pub(super) fn change(
        &mut self,
        after: Named,
        by: Option<Box<str>>,
        now: u64,
    ) -> Option<SourceChange> {
        if self.since.is_some() && self.named == after {
            return None;
        }
        let before = std::mem::replace(&mut self.named, after.clone());
        self.since = Some(now);
        self.revision += 1;
        self.by.clone_from(&by);
        Some(SourceChange::Endpoints { by, before, after })
    }
}
