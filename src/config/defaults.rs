//! Every default, with its reason. docs/config.md lists them for operators.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::model::MinHealthy;
use crate::health::monitor::Quorum;
use crate::health::monitor::QuorumScope;
use crate::health::monitor::Unproven;
use crate::wire::tsig::Algorithm;

/// Loopback and an unprivileged port: serving the Internet is something the operator writes down.
pub const LISTEN: SocketAddr = loopback(5300);
/// One UDP thread per core, each with a socket of its own.
pub const WORKERS: u32 = 0;
/// The payload that passes unfragmented on nearly every path (DNS flag day 2020).
pub const MAX_UDP_PAYLOAD: u16 = 1232;
/// Seconds rather than the minutes of RFC 7766 s6.2.3: connections are cheap to reopen, and scarce.
pub const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Well below the usual limit of open files, with room for probes.
pub const MAX_TCP_CONNECTIONS: u32 = 4096;
/// One client cannot take more than one connection in 64; a resolver farm behind NAT still fits.
pub const MAX_TCP_CONNECTIONS_PER_CLIENT: u32 = 64;

/// Above what a resolver asks of one name in a second, far below what a reflector is good for.
pub const RESPONSES_PER_SECOND: u32 = 50;
/// Every second suppressed response is sent truncated, so that real clients come back over TCP.
pub const SLIP: u32 = 2;
/// A household or small office, as in BIND and Knot.
pub const RATE_LIMIT_IPV4_PREFIX: u8 = 24;
/// The usual delegation to one site.
pub const RATE_LIMIT_IPV6_PREFIX: u8 = 56;

/// The most often that vendors make one.
pub const GEOIP_UPDATE_EVERY: Duration = Duration::from_secs(86_400);
/// Free databases appear every week or month; one that old has missed at least one.
pub const GEOIP_MAX_AGE: Duration = Duration::from_secs(60 * 86_400);

/// So many that a few slow clients do not decide for all.
pub const LATENCY_MIN_SAMPLES: u32 = 10;
/// Routes and peerings change within weeks.
pub const LATENCY_MAX_AGE: Duration = Duration::from_secs(30 * 86_400);

/// The longest subnet that RFC 7871 s11.1 recommends for IPv4, for privacy and cache size.
pub const MAX_SCOPE_IPV4: u8 = 24;
/// The same for IPv6.
pub const MAX_SCOPE_IPV6: u8 = 56;

/// Whoever reads dnstap decides what to keep.
pub const DNSTAP_SAMPLE: f64 = 1.0;
/// Of a thousand answers a second some ten lines, 200 MB a day.
pub const DECISIONS_SAMPLE: f64 = 0.01;

/// Loopback: whoever reaches it sees the whole state.
pub const ADMIN_LISTEN: SocketAddr = loopback(9353);

/// Several probe intervals, so that one late report changes nothing.
pub const REPORT_MAX_AGE: Duration = Duration::from_secs(30);

/// Several probe intervals: an uplink that is rerouted or a router that restarts is back by then.
pub const BLIND_MAX: Duration = Duration::from_secs(30);

/// One fleet per NATS account is the usual case.
pub const CLUSTER_PREFIX: &str = "meridian";

/// What every peer knows and none calls weak.
pub const TSIG_ALGORITHM: Algorithm = Algorithm::Sha256;
/// Where nameservers listen (RFC 1035 s4.2).
pub const DNS_PORT: u16 = 53;

/// The convention of the readiness endpoint that pools serve.
pub const MONITOR_PATH: &str = "/_ready";
/// The port of `http`.
pub const HTTP_PORT: u16 = 80;
/// The port of `https`.
pub const HTTPS_PORT: u16 = 443;
/// Success and redirects; what a server says while it works.
pub const EXPECT_STATUS: (u16, u16) = (200, 399);
/// A dead pool is left within some 15 s, at a cost that no backend notices.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Long enough for a lost SYN and a slow answer, and shorter than the interval.
pub const TIMEOUT: Duration = Duration::from_secs(4);
/// One lost probe is no outage.
pub const FAILURE_THRESHOLD: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");
/// One lucky probe is no recovery.
pub const SUCCESS_THRESHOLD: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");
/// A vantage with a broken uplink is outvoted.
pub const QUORUM: Quorum = Quorum::Majority;
/// One verdict for everybody.
pub const QUORUM_SCOPE: QuorumScope = QuorumScope::Global;

/// As long as resolvers and clients keep an address of a pool that goes down, and some.
pub const HALF_LIFE: Duration = Duration::from_secs(300);
/// The fourth time down in short order is flapping.
pub const SUPPRESS: f64 = 3.0;
/// Two half-lives after that.
pub const REUSE: f64 = 1.0;

/// Better a proven pool than one that nobody has seen serve.
pub const UNPROVEN: Unproven = Unproven::Behind;

/// A pool serves while anything in it does.
pub const MIN_HEALTHY: MinHealthy = MinHealthy::Count(1);
/// All alike.
pub const WEIGHT: u32 = 1;
/// The map as it is.
pub const BIAS_KM: f64 = 0.0;
/// What probes call up serves: only the operator knows how long caches take to warm.
pub const RAMP: Duration = Duration::ZERO;

/// Short enough that a flip reaches clients within half a minute, long enough for caches to work.
pub const TTL: u32 = 30;
/// Eight AAAA fit any payload; more help no client.
pub const ANSWERS: u32 = 8;

/// The timeout of a monitor that has none: [`TIMEOUT`], or four fifths of a shorter interval.
pub fn timeout(interval: Duration) -> Duration {
    TIMEOUT.min(interval * 4 / 5)
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// `[[webhook]] timeout`: a receiver that is far away, or slow once.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
