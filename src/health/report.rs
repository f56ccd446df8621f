//! What a vantage reports of its endpoints: the one form in which verdicts are written to disk, so that they
//! survive a restart, and sent to other machines. Plain data, keyed by names.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::base::health::Health;
use crate::base::per_family::PerFamily;
use crate::health::load::Load;
use crate::health::observation::Moment;

/// What one vantage reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VantageReport {
    /// The vantage's name.
    pub vantage: Arc<str>,
    /// Whether it has lost contact with everything of a family, and must not vote.
    pub is_blind: PerFamily<bool>,
    /// Its endpoints: all, or those whose verdict has changed.
    pub endpoints: Vec<EndpointReport>,
}

/// What one vantage reports of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointReport {
    /// The pool's name.
    pub pool: Arc<str>,
    /// The endpoint's address.
    pub address: IpAddr,
    /// How it is probed: [`crate::health::observation::Target::fingerprint`].
    pub check: u64,
    /// The verdict and what it rests on.
    pub record: VerdictRecord,
}

/// The verdict of one vantage about one endpoint, and what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRecord {
    /// The verdict.
    #[serde(with = "word")]
    pub verdict: Health,
    /// When it was reached, in Unix seconds.
    pub since: Option<u64>,
    /// What the latest evidence says.
    #[serde(default, with = "word")]
    pub latest: Health,
    /// The number of consecutive results that say so.
    #[serde(default)]
    pub run: u32,
    /// The latest failure, kept after recovery.
    #[serde(default)]
    pub last_failure: Option<Note>,
    /// How long the latest probe that is evidence took, in microseconds.
    #[serde(default)]
    pub latency_us: Option<u64>,
    /// When it ended, in Unix milliseconds.
    #[serde(default)]
    pub probed_ms: Option<u64>,
    /// The load that the endpoint reported to it; `None`: the latest evidence has none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "ten_thousandths"
    )]
    pub load: Option<Load>,
}

/// What was not taken of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Records of endpoints that are not configured here, or have no monitor.
    pub unknown_endpoint: u64,
    /// Records of endpoints that are probed in another way here.
    pub other_check: u64,
    /// Records of a vantage whose name one of this machine's has.
    pub local_name: u64,
}

impl Ignored {
    /// The numbers, with the metric labels of their reasons.
    pub fn by_reason(&self) -> [(&'static str, u64); 3] {
        [
            ("local_name", self.local_name),
            ("other_check", self.other_check),
            ("unknown_endpoint", self.unknown_endpoint),
        ]
    }
}

/// A reason and when it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// A sentence without a final dot.
    pub reason: Box<str>,
    /// Unix seconds.
    pub at: u64,
}

/// Every endpoint of a health table, in the health table's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// No pool, address and monitor occur together twice.
    pub endpoints: Vec<SavedEndpoint>,
}

/// An endpoint's health by one monitor, and what its vantages said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedEndpoint {
    /// The pool's name.
    pub pool: Box<str>,
    /// The endpoint's address.
    pub address: IpAddr,
    /// The monitor's name, where the pool has several; `None`: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Box<str>>,
    /// The verdict.
    #[serde(with = "word")]
    pub health: Health,
    /// When it was reached, in Unix seconds.
    pub since: Option<u64>,
    /// The vantages that probed it.
    pub vantages: Vec<SavedVantage>,
}

/// One vantage's verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedVantage {
    /// The vantage's name.
    pub name: Box<str>,
    /// Whether it is one of another machine.
    #[serde(default)]
    pub is_remote: bool,
    /// Whether it took part in the vote; a verdict that was frozen by silence stays out of it.
    pub is_fresh: bool,
    /// How much the endpoint has flapped; `None`: not at all, or flapping is not damped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaps: Option<SavedFlaps>,
    /// Its verdict.
    #[serde(flatten)]
    pub record: VerdictRecord,
}

/// How much an endpoint has flapped at one vantage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedFlaps {
    /// The penalty.
    pub penalty: f64,
    /// When it was that, in Unix seconds.
    pub at: u64,
    /// Whether the endpoint is suppressed.
    pub is_suppressed: bool,
}

impl Note {
    pub(super) fn new(reason: &impl ToString, now: Moment) -> Self {
        Self {
            reason: reason.to_string().into(),
            at: now.unix(),
        }
    }
}

/// A load as its number.
mod ten_thousandths {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serialize;
    use serde::Serializer;

    use crate::health::load::Load;

    pub(super) fn serialize<S: Serializer>(load: &Option<Load>, to: S) -> Result<S::Ok, S::Error> {
        load.map(u32::from).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Load>, D::Error> {
        Ok(Option::<u32>::deserialize(from)?.map(Load::from))
    }
}

/// Health as its word.
mod word {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error;

    use crate::base::health::Health;

    pub(super) fn serialize<S: Serializer>(health: &Health, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(health.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Health, D::Error> {
        let word = std::borrow::Cow::<str>::deserialize(from)?;
        let unknown = |_| D::Error::custom(format!("unknown health `{word}`"));
        word.parse().map_err(unknown)
    }
}
