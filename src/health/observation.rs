//! What is watched and what was seen: the words between probing and judging.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::fnv::fnv1a;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::load::Load;
use crate::health::load::NoLoad;
use crate::health::monitor::Monitor;

/// A point in time by both clocks, taken together by the caller.
///
/// Ages are measured on the monotonic one, which no administrator can set; what is shown and saved
/// is wall-clock time, which means something after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic time since any fixed point of this process.
    pub elapsed: Duration,
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_ms: u64,
}

impl Moment {
    /// Seconds since 1970-01-01 UTC.
    pub fn unix(self) -> u64 {
        self.unix_ms / 1_000
    }
}

/// An endpoint as one monitor of its pool probes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The pool's name.
    pub pool: Arc<str>,
    /// The endpoint's address.
    pub address: IpAddr,
    /// Where it is probed.
    pub probed_at: SocketAddr,
    /// How it is probed.
    pub monitor: Arc<Monitor>,
    /// Whether the endpoint is down when this monitor says so; otherwise what it says is only shown.
    pub has_vote: bool,
}

impl Target {
    /// One that is probed at its address.
    pub fn new(pool: Arc<str>, address: IpAddr, monitor: Arc<Monitor>, has_vote: bool) -> Self {
        Self {
            pool,
            address,
            probed_at: SocketAddr::new(address, monitor.port),
            monitor,
            has_vote,
        }
    }

    /// Where it is probed, if that is not its address at the monitor's port.
    pub fn probed_elsewhere(&self) -> Option<SocketAddr> {
        let own = SocketAddr::new(self.address, self.monitor.port);
        Some(self.probed_at).filter(|probed_at| *probed_at != own)
    }

    /// Whether an endpoint of this address was probed in the same way, and in the same place.
    pub fn is_same_check(&self, other: &Self) -> bool {
        self.probed_elsewhere() == other.probed_elsewhere()
            && self.monitor.is_same_check(&other.monitor)
    }

    /// A hash of all that [`Target::is_same_check`] compares, the same on every machine; `monitor` is the
    /// [`Monitor::fingerprint`] of its monitor, and the whole where it is probed at its address.
    pub fn fingerprint(&self, monitor: u64) -> u64 {
        match self.probed_elsewhere() {
            Some(probed_at) => fnv1a(format!("{monitor:016x} check {probed_at}").as_bytes()),
            None => monitor,
        }
    }
}

/// One finished probe.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What was probed.
    pub target: Arc<Target>,
    /// The vantage's name.
    pub vantage: Arc<str>,
    /// The result.
    pub result: ProbeResult,
    /// How long it took.
    pub took: Duration,
    /// The load that the endpoint says it has.
    pub load: LoadReading,
}

/// What was read of a load; `None`: none was looked for, since the monitor has no `load` or the probe did not
/// succeed.
pub type LoadReading = Option<Result<Load, NoLoad>>;

/// One finished attempt to reach a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessObservation {
    /// The vantage's name.
    pub vantage: Arc<str>,
    /// The witness.
    pub witness: SocketAddr,
    /// Whether a connection could be opened.
    pub is_reached: bool,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The endpoint does not do what the monitor expects.
    Failure(ProbeFailure),
    /// Nothing was learnt about the endpoint.
    NoEvidence(VantageFault),
    /// It does.
    Success,
}

impl ProbeResult {
    /// Whether the endpoint was reached; `None` if the probe says nothing about it.
    pub fn contact(&self) -> Option<bool> {
        match self {
            Self::Failure(failure) => Some(failure.is_contact()),
            Self::NoEvidence(_) => None,
            Self::Success => Some(true),
        }
    }

    /// Whether the vantage had no way to send the probe: no evidence about the endpoint, but of lost
    /// contact.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::NoEvidence(VantageFault::NoRoute(_)))
    }

    /// The metric label, stable across releases: `success`, or the kind of failure.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Failure(failure) => failure.label(),
            Self::NoEvidence(fault) => fault.label(),
            Self::Success => "success",
        }
    }
}
