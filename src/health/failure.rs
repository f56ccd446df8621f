//! Why a probe failed, or why it is no evidence: closed enums with a label for metrics and a sentence
//! for people.
//!
//! [`ProbeFailure`] speaks about the endpoint and counts against it. [`VantageFault`] speaks about
//! the place the probe was sent from: a proxy that is down or a machine out of sockets says nothing
//! about the endpoint, so it counts for nothing and the vantage's report grows old instead.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What went wrong at the endpoint, as one vantage saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// The body does not hold the expected text.
    Body {
        /// The text.
        expected: Box<str>,
        /// The body's content coding, if it has one.
        coding: Option<Box<str>>,
        /// How many octets were searched; `None`: all of them.
        searched: Option<usize>,
    },
    /// The certificate is not valid.
    Certificate(CertificateFault),
    /// The connection was closed too early.
    Closed(Phase),
    /// The health check of gRPC says that it does not serve.
    Grpc(GrpcFault),
    /// The response is not of the protocol that is spoken.
    Protocol(Cow<'static, str>),
    /// The vantage's proxy says that it cannot reach the endpoint.
    Proxied(ProxyReply),
    /// Nothing listens on the port.
    Refused,
    /// The connection was reset.
    Reset(Phase),
    /// The status is not among the expected ones.
    Status {
        /// What was answered.
        status: u16,
        /// What is expected, as ranges.
        expected: Box<[(u16, u16)]>,
    },
    /// The time was over.
    Timeout {
        /// The monitor's timeout.
        after: Duration,
        /// What was waited for.
        phase: Phase,
    },
    /// The TLS handshake failed for another reason than the certificate.
    Tls(Box<str>),
    /// The network says that the host cannot be reached.
    Unreachable,
}

/// How the health check of gRPC says that an endpoint does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcFault {
    /// The call failed.
    Call {
        /// Its status; never 0.
        code: u32,
        /// What the server says of it; may be empty.
        text: Box<str>,
    },
    /// The service has this status, which is not `SERVING`.
    NotServing(u64),
}

/// The codes of failed calls, from 1.
const GRPC_CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// How a proxy says that it cannot reach an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyReply {
    /// It closes the connection instead of replying, as OpenSSH does.
    Closed,
    /// This SOCKS5 reply.
    Socks5(u8),
    /// This HTTP status.
    Status(u16),
}

/// How far a probe had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The TCP connection, the proxy's part of it included.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The response's status line and headers.
    Head,
    /// The response's body.
    Body,
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// It has expired.
    Expired,
    /// It is for other names than this one.
    Name(Box<str>),
    /// It is not valid yet.
    NotYetValid,
    /// Something else, in the TLS library's words.
    Other(Box<str>),
    /// No trusted authority has issued it.
    UnknownIssuer,
}

/// Why a probe is no evidence about the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VantageFault {
    /// This machine could not send it: no socket, no source address, no CA certificates.
    Local(Box<str>),
    /// This machine's routing table has no way to the endpoint.
    NoRoute(Box<str>),
    /// The proxy is down, or refuses to serve us.
    Proxy(Box<str>),
}

impl ProbeFailure {
    /// Whether the endpoint gave any response, so that the vantage can reach it: a bad status or
    /// certificate is one; a connection that is refused is none, since firewalls refuse as well.
    pub fn is_contact(&self) -> bool {
        match self {
            Self::Body { .. }
            | Self::Certificate(_)
            | Self::Grpc(_)
            | Self::Protocol(_)
            | Self::Status { .. }
            | Self::Tls(_) => true,
            Self::Closed(phase) | Self::Reset(phase) | Self::Timeout { phase, .. } => {
                *phase == Phase::Body
            }
            Self::Proxied(_) | Self::Refused | Self::Unreachable => false,
        }
    }

    /// The metric label, stable across releases.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Body { .. } => "body",
            Self::Certificate(_) => "certificate",
            Self::Closed(_) => "closed",
            Self::Protocol(_) => "protocol",
            Self::Proxied(_) | Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Reset(_) => "reset",
            Self::Grpc(_) | Self::Status { .. } => "status",
            Self::Timeout { .. } => "timeout",
            Self::Tls(_) => "tls",
        }
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body {
                expected,
                coding,
                searched,
            } => {
                match searched {
                    Some(n) => write!(f, "first {n} octets of the body do not hold `{expected}`")?,
                    None => write!(f, "body does not hold `{expected}`")?,
                }
                match coding {
                    Some(coding) => write!(f, "; it has content coding `{coding}`"),
                    None => Ok(()),
                }
            }
            Self::Certificate(fault) => fault.fmt(f),
            Self::Closed(phase) => write!(f, "connection closed while {phase}"),
            Self::Grpc(fault) => fault.fmt(f),
            Self::Protocol(what) => f.write_str(what),
            Self::Proxied(reply) => write!(f, "the proxy cannot reach it: {reply}"),
            Self::Refused => f.write_str("connection refused"),
            Self::Reset(phase) => write!(f, "connection reset while {phase}"),
            Self::Status { status, expected } => {
                write!(f, "status {status}, expected ")?;
                for (i, (low, high)) in expected.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    if low == high {
                        write!(f, "{comma}{low}")?;
                    } else {
                        write!(f, "{comma}{low}-{high}")?;
                    }
                }
                Ok(())
            }
            Self::Timeout { after, phase } => write!(f, "timed out after {after:?} while {phase}"),
            Self::Tls(what) => write!(f, "TLS handshake failed: {what}"),
            Self::Unreachable => f.write_str("host unreachable"),
        }
    }
}

impl fmt::Display for GrpcFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { code, text } => {
                write!(f, "gRPC status {code}")?;
                let at = (*code as usize).checked_sub(1);
                if let Some(name) = at.and_then(|at| GRPC_CODES.get(at)) {
                    write!(f, " ({name})")?;
                }
                match code {
                    5 => f.write_str(", the server does not know this service")?,
                    12 => f.write_str(", the server has no grpc.health.v1")?,
                    _ => {}
                }
                match &**text {
                    "" => Ok(()),
                    text => write!(f, ": {text}"),
                }
            }
            Self::NotServing(status) => {
                f.write_str("service is ")?;
                match status {
                    0 => f.write_str("UNKNOWN")?,
                    2 => f.write_str("NOT_SERVING")?,
                    3 => f.write_str("SERVICE_UNKNOWN")?,
                    other => write!(f, "of status {other}")?,
                }
                f.write_str(", expected SERVING")
            }
        }
    }
}

impl fmt::Display for ProxyReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("it closes the connection"),
            Self::Socks5(code) => write!(f, "SOCKS5 reply {code}"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Tls => "in the TLS handshake",
            Self::Head => "waiting for the response",
            Self::Body => "reading the body",
        })
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("certificate has expired"),
            Self::Name(name) => write!(f, "certificate is not valid for `{name}`"),
            Self::NotYetValid => f.write_str("certificate is not valid yet"),
            Self::Other(what) => write!(f, "certificate is not valid: {what}"),
            Self::UnknownIssuer => f.write_str("certificate is not from a trusted authority"),
        }
    }
}

impl VantageFault {
    /// The metric label, stable across releases; distinct from every [`ProbeFailure::label`].
    pub fn label(&self) -> &'static str {
        match self {
            Self::Local(_) | Self::NoRoute(_) => "local",
            Self::Proxy(_) => "proxy",
        }
    }
}

impl fmt::Display for VantageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(what) | Self::NoRoute(what) => f.write_str(what),
            Self::Proxy(what) => write!(f, "proxy: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_sentences() {
        let expected = Box::from([(200, 399), (404, 404)]);
        let status = 503;
        for (failure, text) in [
            (
                ProbeFailure::Timeout {
                    after: Duration::from_secs(4),
                    phase: Phase::Head,
                },
                "timed out after 4s while waiting for the response",
            ),
            (
                ProbeFailure::Status { status, expected },
                "status 503, expected 200-399,404",
            ),
            (
                ProbeFailure::Certificate(CertificateFault::Name("app.example.com".into())),
                "certificate is not valid for `app.example.com`",
            ),
            (
                ProbeFailure::Body {
                    expected: "ok".into(),
                    coding: None,
                    searched: None,
                },
                "body does not hold `ok`",
            ),
            (
                ProbeFailure::Body {
                    expected: "ok".into(),
                    coding: Some("gzip".into()),
                    searched: Some(65_536),
                },
                "first 65536 octets of the body do not hold `ok`; it has content coding `gzip`",
            ),
            (
                ProbeFailure::Reset(Phase::Body),
                "connection reset while reading the body",
            ),
        ] {
            assert_eq!(failure.to_string(), text);
        }
    }

    #[test]
    fn grpc_failures_say_what_to_look_at() {
        for (fault, text) in [
            (
                GrpcFault::NotServing(2),
                "service is NOT_SERVING, expected SERVING",
            ),
            (
                GrpcFault::NotServing(7),
                "service is of status 7, expected SERVING",
            ),
            (
                GrpcFault::Call {
                    code: 5,
                    text: "unknown service".into(),
                },
                "gRPC status 5 (NOT_FOUND), the server does not know this service: unknown service",
            ),
            (
                GrpcFault::Call {
                    code: 99,
                    text: "".into(),
                },
                "gRPC status 99",
            ),
        ] {
            assert_eq!(ProbeFailure::Grpc(fault).to_string(), text);
        }
    }
}
