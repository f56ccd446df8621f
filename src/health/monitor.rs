//! `Monitor`: what to probe, how often, and what counts as good.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::base::fnv::fnv1a;
use crate::health::load::LoadSource;

/// One `[monitor.NAME]`, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// The operator's name for it.
    pub name: Box<str>,
    /// What is asked.
    pub kind: MonitorKind,
    /// The port that is connected to.
    pub port: u16,
    /// Time between two probes of one endpoint from one vantage, before jitter.
    pub interval: Duration,
    /// The longest that a probe may take, from connecting to the last byte needed.
    pub timeout: Duration,
    /// Consecutive failures until one vantage says down.
    pub failure_threshold: NonZeroU32,
    /// Consecutive successes until one vantage says up.
    pub success_threshold: NonZeroU32,
    /// How many failures call an endpoint down at one vantage, in a row or not; `None`: only those in a row
    /// count.
    pub failures_in_window: Option<FailureWindow>,
    /// How flapping is damped at each vantage; `None`: not at all.
    pub damping: Option<Damping>,
    /// How many fresh vantages must say down.
    pub quorum: Quorum,
    /// Whose vantages vote on an endpoint.
    pub quorum_scope: QuorumScope,
    /// What an endpoint without any evidence counts as.
    pub unproven: Unproven,
}

/// So many failures in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureWindow {
    /// How many.
    pub failures: NonZeroU32,
    /// In how long.
    pub length: Duration,
}

/// How flapping is damped, as `health::damping` explains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damping {
    /// In what time a penalty halves.
    pub half_life: Duration,
    /// The penalty above which an endpoint is suppressed; less than the ceiling.
    pub suppress: f64,
    /// The penalty below which it is used again; less than `suppress`.
    pub reuse: f64,
}

/// Whose vantages vote on an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuorumScope {
    /// All, for all clients.
    #[default]
    Global,
    /// Those near a client, for that client; all, for clients that none is near to.
    Region,
}

/// What an endpoint counts as before its first result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unproven {
    /// As up, but behind those that are known to be up.
    #[default]
    Behind,
    /// As down.
    Down,
    /// As up.
    Up,
}

impl Monitor {
    /// Whether two monitors, of whatever name, probe and judge alike.
    pub fn is_same_check(&self, other: &Self) -> bool {
        let name = self.name.clone();
        *self
            == Self {
                name,
                ..other.clone()
            }
    }

    /// A hash of all that [`Monitor::is_same_check`] compares, the same on every machine and in every
    /// release: a key that a release adds is part of it only where its value is not the default.
    pub fn fingerprint(&self) -> u64 {
        let Self {
            name: _,
            kind,
            port,
            interval,
            timeout,
            failure_threshold,
            success_threshold,
            quorum,
            quorum_scope,
            unproven,
            failures_in_window,
            damping,
        } = self;
        let (interval, timeout) = (interval.as_millis(), timeout.as_millis());
        let quorum = match quorum {
            Quorum::All => "all".to_owned(),
            Quorum::Any => "any".to_owned(),
            Quorum::Count(n) => n.to_string(),
            Quorum::Majority => "majority".to_owned(),
        };
        let unproven = match unproven {
            Unproven::Behind => "behind",
            Unproven::Down => "down",
            Unproven::Up => "up",
        };
        let mut text = format!(
            "{port} {interval} {timeout} {failure_threshold} {success_threshold} {quorum} {unproven} "
        );
        match kind {
            MonitorKind::Http(check) => check.append("http", &mut text),
            MonitorKind::Https(check) => check.append("https", &mut text),
            MonitorKind::Tcp => text.push_str("tcp"),
        }
        if let Some(FailureWindow { failures, length }) = failures_in_window {
            text.push_str(&format!(
                " failures_in_window {failures} {}",
                length.as_millis()
            ));
        }
        if let Some(damping) = damping {
            let half_life = damping.half_life.as_millis();
            let (suppress, reuse) = (damping.suppress, damping.reuse);
            text.push_str(&format!(" damping {half_life} {suppress} {reuse}"));
        }
        if *quorum_scope == QuorumScope::Region {
            text.push_str(" quorum_scope region");
        }
        fnv1a(text.as_bytes())
    }

    /// Whether it reads a load.
    pub fn reads_load(&self) -> bool {
        match &self.kind {
            MonitorKind::Http(check) | MonitorKind::Https(check) => check.load.is_some(),
            MonitorKind::Tcp => false,
        }
    }

    /// The longest time between two reports of an undisturbed schedule.
    pub fn longest_gap(&self) -> Duration {
        self.interval + self.interval / 10 + self.timeout + Duration::from_secs(1)
    }
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq)]
pub enum MonitorKind {
    /// An HTTP/1.1 GET.
    Http(HttpCheck),
    /// The same over TLS; the certificate must be valid for `host`.
    Https(HttpCheck),
    /// A TCP connection that opens.
    Tcp,
}

/// The request, what its response must look like, and what is read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCheck {
    /// Path and query, starting with a slash.
    pub path: Box<str>,
    /// The Host header and, over TLS, the server name; `None`: the endpoint's address.
    pub host: Option<Box<str>>,
    /// The lowest and highest status that count as good; never empty.
    pub expect_status: Box<[(u16, u16)]>,
    /// A substring that the body must hold; empty: the body is not read.
    pub expect_body: Box<str>,
    /// Where the response has the endpoint's load; `None`: it is not read.
    pub load: Option<LoadSource>,
}

impl HttpCheck {
    /// Appends a text that no other check has: strings follow their length. A host is never empty.
    fn append(&self, scheme: &str, text: &mut String) {
        let Self {
            path,
            host,
            expect_status,
            expect_body,
            load,
        } = self;
        text.push_str(scheme);
        let host = host.as_deref().unwrap_or_default();
        for field in [path, host, expect_body] {
            text.push_str(&format!(" {}:{field}", field.len()));
        }
        for (first, last) in expect_status {
            text.push_str(&format!(" {first}-{last}"));
        }
        match load {
            Some(LoadSource::Header(name)) => text.push_str(&format!(" load header {name}")),
            Some(LoadSource::Json(pointer)) => {
                text.push_str(&format!(" load json {}:{pointer}", pointer.len()));
            }
            None => {}
        }
    }
}

/// How many of the fresh vantages must say down before an endpoint is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// Every one.
    All,
    /// One is enough.
    Any,
    /// At least so many; all of them where fewer are fresh.
    Count(NonZeroU32),
    /// More than half.
    Majority,
}

impl Quorum {
    /// The number of votes needed among `fresh` vantages; at least 1.
    pub fn votes_needed(self, fresh: usize) -> usize {
        match self {
            Self::All => fresh,
            Self::Any => 1,
            Self::Count(n) => (n.get() as usize).min(fresh),
            Self::Majority => fresh / 2 + 1,
        }
        .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_needed_by_quorum_and_fresh_vantages() {
        let two = Quorum::Count(NonZeroU32::new(2).expect("not zero"));
        for (quorum, needed) in [
            (Quorum::Any, [1, 1, 1, 1, 1]),
            (Quorum::Majority, [1, 1, 2, 2, 3]),
            (Quorum::All, [1, 1, 2, 3, 4]),
            (two, [1, 1, 2, 2, 2]),
        ] {
            for (fresh, expected) in needed.into_iter().enumerate() {
                assert_eq!(
                    quorum.votes_needed(fresh),
                    expected,
                    "{quorum:?} of {fresh}"
                );
            }
        }
    }
}
