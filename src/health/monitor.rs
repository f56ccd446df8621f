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

/// What an endpoint counts as before its first result. The stricter is the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unproven {
    /// As up.
    Up,
    /// As up, but behind those that are known to be up.
    #[default]
    Behind,
    /// As down.
    Down,
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
            MonitorKind::Grpc(check) => check.append(&mut text),
            MonitorKind::Http(check) => check.append(&mut text),
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
            MonitorKind::Http(check) => check.load.is_some(),
            MonitorKind::Grpc(_) | MonitorKind::Tcp => false,
        }
    }

    /// The shortest time from the start of a probe to the start of the next.
    pub fn shortest_gap(&self) -> Duration {
        self.interval - self.interval / 10
    }

    /// The longest time between two reports of an undisturbed schedule.
    pub fn longest_gap(&self) -> Duration {
        self.interval + self.interval / 10 + self.timeout + Duration::from_secs(1)
    }
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq)]
pub enum MonitorKind {
    /// A call of `grpc.health.v1.Health/Check`, over HTTP/2.
    Grpc(GrpcCheck),
    /// An HTTP request.
    Http(HttpCheck),
    /// A TCP connection that opens.
    Tcp,
}

impl MonitorKind {
    /// How its connections are encrypted; `None`: not at all.
    pub fn tls(&self) -> Option<&TlsCheck> {
        match self {
            Self::Grpc(check) => check.tls.as_ref(),
            Self::Http(check) => check.tls.as_ref(),
            Self::Tcp => None,
        }
    }
}

/// The request, what its response must look like, and what is read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCheck {
    /// What is asked for.
    pub method: Method,
    /// Path and query, starting with a slash.
    pub path: Box<str>,
    /// The Host header, `:authority` in HTTP/2; `None`: the endpoint's address.
    pub host: Option<Box<str>>,
    /// Headers of the request beside its own; names are in lower case, none occurs twice.
    pub headers: Headers,
    /// The only version that is spoken.
    pub version: HttpVersion,
    /// Whether it is HTTPS, and how.
    pub tls: Option<TlsCheck>,
    /// The lowest and highest status that count as good; never empty.
    pub expect_status: Box<[(u16, u16)]>,
    /// A substring that the body must hold; empty: the body is not read.
    pub expect_body: Box<str>,
    /// Where the response has the endpoint's load; `None`: it is not read.
    pub load: Option<LoadSource>,
}

/// Names and values of headers, by name.
pub type Headers = Box<[(Box<str>, Box<str>)]>;

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Asks for head and body.
    #[default]
    Get,
    /// Asks for the head alone.
    Head,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: negotiated over TLS, by prior knowledge without.
    Http2,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsCheck {
    /// The name that is asked for, and that the certificate must be valid for; `None`: the endpoint's address.
    pub server_name: Option<Box<str>>,
    /// Whether the certificate must be valid.
    pub is_verified: bool,
}

/// Which service of a gRPC server must be healthy.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcCheck {
    /// Its name; empty: the server as a whole.
    pub service: Box<str>,
    /// `:authority`; `None`: the endpoint's address.
    pub host: Option<Box<str>>,
    /// The call's metadata; names are in lower case, none occurs twice.
    pub headers: Headers,
    /// Whether it is over TLS, and how.
    pub tls: Option<TlsCheck>,
}

impl HttpCheck {
    /// Appends a text that no other check has: strings follow their length. A host is never empty.
    fn append(&self, text: &mut String) {
        let Self {
            method,
            path,
            host,
            headers,
            version,
            tls,
            expect_status,
            expect_body,
            load,
        } = self;
        text.push_str(if tls.is_some() { "https" } else { "http" });
        let host_text = host.as_deref().unwrap_or_default();
        for field in [path, host_text, expect_body] {
            append_text(field, text);
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
        if *method == Method::Head {
            text.push_str(" method head");
        }
        if *version == HttpVersion::Http2 {
            text.push_str(" http 2");
        }
        append_headers(headers, text);
        append_tls(tls.as_ref(), host.as_deref(), text);
    }
}

impl GrpcCheck {
    /// Appends a text that no other check has.
    fn append(&self, text: &mut String) {
        let Self {
            service,
            host,
            headers,
            tls,
        } = self;
        text.push_str(if tls.is_some() { "grpc+tls" } else { "grpc" });
        append_text(service, text);
        append_text(host.as_deref().unwrap_or_default(), text);
        append_headers(headers, text);
        append_tls(tls.as_ref(), host.as_deref(), text);
    }
}

fn append_text(field: &str, text: &mut String) {
    text.push_str(&format!(" {}:{field}", field.len()));
}

fn append_headers(headers: &Headers, text: &mut String) {
    for (name, value) in headers {
        text.push_str(" header");
        append_text(name, text);
        append_text(value, text);
    }
}

fn append_tls(tls: Option<&TlsCheck>, host: Option<&str>, text: &mut String) {
    let Some(TlsCheck {
        server_name,
        is_verified,
    }) = tls
    else {
        return;
    };
    if let Some(name) = server_name.as_deref().filter(|name| Some(*name) != host) {
        text.push_str(" sni");
        append_text(name, text);
    }
    if !is_verified {
        text.push_str(" unverified");
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
