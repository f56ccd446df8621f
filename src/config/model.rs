//! `Config`: the operator's files with every reference resolved and every default filled in.
//!
//! Having one means that it is valid: there is no `validate()`. Only `config::resolve` makes it, from
//! the files as written. Indexes point into the vectors of the same `Config`. It is one thing: a type for
//! each table of the two files.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::diag::Place;
use crate::base::event_kind::EventKind;
use crate::base::ix::MonitorIx;
use crate::base::ix::PoolIx;
use crate::base::location::Point;
use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Prefix;
use crate::base::rank::Order;
use crate::base::rank::Policy;
use crate::base::rr::RrType;
use crate::config::check_address::CheckAddress;
use crate::config::drill::Drill;
use crate::config::geoip_update::GeoIpUpdate;
use crate::config::kubernetes;
use crate::config::name_pattern::NamePattern;
use crate::config::query_log::Decisions;
use crate::config::query_log::Dnstap;
use crate::config::rights::Right;
use crate::config::safety::Safety;
use crate::geo::rules::Matcher;
use crate::health::load::Load;
use crate::health::monitor::Monitor;
use crate::steer::AllDown;
use crate::steer::spread::Admitted;
use crate::wire::tsig::Algorithm;
use crate::zone::SteeredTypes;

/// Both files together.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `meridian.toml`.
    pub process: Process,
    /// `pools.toml`; empty if there is none.
    pub pools: Pools,
}

/// `meridian.toml`: the process. Paths are as the process must open them.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// The folder of `*.zone` files.
    pub zones: Option<PathBuf>,
    /// The pool file.
    pub pools: Option<PathBuf>,
    /// Where verdicts survive a restart; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// `[server]`.
    pub server: Server,
    /// `[geoip]`.
    pub geoip: GeoIp,
    /// `[ecs]`.
    pub ecs: Ecs,
    /// `[admin]`; `None`: no HTTP.
    pub admin: Option<Admin>,
    /// `[health] report_max_age`.
    pub report_max_age: Duration,
    /// `[health] witness`; no two are the same.
    pub witnesses: Vec<SocketAddr>,
    /// `[health] blind_max`; zero: vantages are always believed.
    pub blind_max: Duration,
    /// Index 0 is the local vantage (`[health] vantage`), then each `[[vantage]]`; names differ.
    pub vantages: Vec<Vantage>,
    /// Where vantages are, also those of other machines, by name; names differ.
    pub vantage_locations: Vec<(Box<str>, Point)>,
    /// `[cluster]`; `None`: a single machine.
    pub cluster: Option<Cluster>,
    /// `[log] format`.
    pub log_format: LogFormat,
    /// `[safety]`.
    pub safety: Safety,
    /// `[resolve] servers`; empty: those of the system.
    pub resolve_servers: Vec<SocketAddr>,
    /// `[[tsig_key]]`; names differ.
    pub tsig_keys: Vec<TsigKey>,
    /// `[[secondary]]`.
    pub secondaries: Vec<Secondary>,
    /// `[[update]]`; there is a `state_dir` if there are any.
    pub grants: Vec<Grant>,
    /// `[[webhook]]`, in file order; names differ.
    pub webhooks: Vec<Webhook>,
    /// `[kubernetes.NAME]`; names differ.
    pub kubernetes: Vec<kubernetes::Cluster>,
    /// `[dnstap]`; `None`: off.
    pub dnstap: Option<Dnstap>,
    /// `[decisions]`; `None`: off.
    pub decisions: Option<Decisions>,
}

impl Process {
    /// This machine's name: that in its fleet, or that of its local vantage.
    pub fn node_name(&self) -> &str {
        let of_vantage = self.vantages.first().map(|vantage| &*vantage.name);
        let of_fleet = self.cluster.as_ref().map(|cluster| &*cluster.node);
        of_fleet.or(of_vantage).unwrap_or_default()
    }
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// UDP and TCP on each; empty for a vantage alone.
    pub listen: Vec<SocketAddr>,
    /// UDP threads per listening address; 0: one per core.
    pub workers: usize,
    /// Interfaces whose UDP queries are taken by AF_XDP; names differ.
    pub xdp: Vec<Box<str>>,
    /// The largest UDP response we send, in octets (512 to 4096).
    pub max_udp_payload: u16,
    /// How long a TCP connection may stay without a complete query.
    pub tcp_idle_timeout: Duration,
    /// TCP connections in all.
    pub max_tcp_connections: usize,
    /// TCP connections from one client address.
    pub max_tcp_connections_per_client: usize,
    /// NSID and CHAOS `id.server`; empty: not disclosed.
    pub nsid: Box<str>,
    /// CHAOS `version.bind` and `version.server`; empty: refused.
    pub version: Box<str>,
    /// Packet sources that are answered `_why.NAME`.
    pub why: Vec<Prefix>,
    /// `[server.cookies]`.
    pub cookies: Cookies,
    /// `[server.rate_limit]`; `None`: off.
    pub rate_limit: Option<RateLimit>,
}

/// `[server.cookies]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cookies {
    /// Whether cookies are answered at all.
    pub enabled: bool,
    /// The secrets' file; `None`: a secret of this process alone, made at its start.
    pub secret_file: Option<PathBuf>,
}

/// `[server.rate_limit]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// Per client prefix and response kind.
    pub responses_per_second: u32,
    /// Every so many'th suppressed response is sent all the same, truncated; 0: none.
    pub slip: u32,
    /// Length of an IPv4 client prefix.
    pub ipv4_prefix: u8,
    /// Length of an IPv6 client prefix.
    pub ipv6_prefix: u8,
}

/// `[geoip]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoIp {
    /// Where newer databases are fetched; `None`: nowhere.
    pub update: Option<GeoIpUpdate>,
    /// A City- or Country-shaped MMDB; `None`: the embedded country database.
    pub database: Option<PathBuf>,
    /// An ASN-shaped MMDB.
    pub asn_database: Option<PathBuf>,
    /// Older than that is worth a warning.
    pub max_age: Duration,
    /// A table of measured round-trip times.
    pub latency: Option<PathBuf>,
    /// The fewest samples of a pair of it that counts.
    pub latency_min_samples: u32,
    /// Older rows of it do not count.
    pub latency_max_age: Duration,
    /// Where `latency` was written.
    pub latency_place: Option<Place>,
    /// Where `database` was written, for diagnostics about the file.
    pub database_place: Option<Place>,
    /// Where `asn_database` was written.
    pub asn_database_place: Option<Place>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// `[ecs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecs {
    /// Whether client subnets are used and answered at all.
    pub enabled: bool,
    /// Longest scope, and granularity, for IPv4 (1 to 32).
    pub max_scope_ipv4: u8,
    /// The same for IPv6 (1 to 128).
    pub max_scope_ipv6: u8,
}

impl Ecs {
    /// The longest scope of each family.
    pub fn max_scope(&self) -> PerFamily<u8> {
        PerFamily {
            v4: self.max_scope_ipv4,
            v6: self.max_scope_ipv6,
        }
    }
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// The HTTP listener.
    pub listen: SocketAddr,
    /// The bearer tokens; none: calls that change something are refused.
    pub tokens: Vec<AdminToken>,
    /// The names by which the listener may be called, this machine's among them.
    pub hosts: Vec<Box<str>>,
}

/// `[[admin.token]]`, or `token_file` of `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// The file that holds it, whose name no other token's file has.
    pub file: PathBuf,
    /// What it permits.
    pub can: Arc<[Right]>,
}

impl AdminToken {
    /// What logs call it: its file's name.
    pub fn name(&self) -> Arc<str> {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        name.to_string_lossy().into()
    }
}

/// A place that probes are sent from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vantage {
    /// Its name, unique in the process.
    pub name: Box<str>,
    /// How its connections leave this machine.
    pub egress: Egress,
}

/// How a vantage's connections leave this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Egress {
    /// As the routing table says.
    Direct,
    /// Through an HTTP proxy by CONNECT (`http://HOST:PORT`).
    HttpProxy {
        /// Host name or address.
        host: Box<str>,
        /// TCP port.
        port: u16,
    },
    /// Through a SOCKS5 proxy (`socks5://` or `socks5h://`; endpoints are addresses, so both are one).
    Socks5Proxy {
        /// Host name or address.
        host: Box<str>,
        /// TCP port.
        port: u16,
    },
    /// From this local address; endpoints of the other family are not probed from here.
    Source(IpAddr),
}

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// NATS servers, in the order in which they are tried; never empty, and each once.
    pub nats: Vec<NatsServer>,
    /// The first token of every subject.
    pub prefix: Box<str>,
    /// This machine's name, one token of a subject; also the name of its local vantage.
    pub node: Box<str>,
    /// Who may report; `None`: whoever the NATS server lets in.
    pub reporters: Option<Vec<Box<str>>>,
    /// A `.creds` file: a user's JWT and the seed of its key.
    pub credentials_file: Option<PathBuf>,
    /// The authorities that a server's certificate is verified against; `None`: the machine's.
    pub ca_file: Option<PathBuf>,
    /// The files of this node's certificate and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A NATS server. Its text has neither user nor password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsServer {
    /// Host name or address.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is asked for by the URL (`tls://`).
    pub is_tls: bool,
    /// As whom to connect.
    pub login: Option<Login>,
}

impl fmt::Display for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "tls" } else { "nats" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// User and password of a NATS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: Box<str>,
    /// The password.
    pub password: Password,
}

/// A text that no log line, status or error may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<str>);

impl Password {
    /// Hides a text.
    pub fn new(text: Box<str>) -> Self {
        Self(text)
    }

    /// The text, for the peer alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

/// `[[webhook]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What logs and metrics call it.
    pub name: Box<str>,
    /// Where events are sent to; many services have a secret in it.
    pub url: Password,
    /// Which kinds of events; empty: all.
    pub events: Vec<EventKind>,
    /// Where the secret is that deliveries are signed with; `None`: they are not signed.
    pub secret_file: Option<PathBuf>,
    /// The authorities that the receiver's certificate is verified against; `None`: the machine's.
    pub ca_file: Option<PathBuf>,
    /// How long a delivery may take.
    pub timeout: Duration,
}

/// `[[tsig_key]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsigKey {
    /// The key's name at both ends.
    pub name: Name,
    /// The HMAC.
    pub algorithm: Algorithm,
    /// Where the secret is, in base64.
    pub secret_file: PathBuf,
}

/// `[[secondary]]`: who may copy zones, and who is notified of their changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secondary {
    /// Who may ask.
    pub addresses: Vec<Prefix>,
    /// The key that queries must be and NOTIFYs are signed with; one of the `[[tsig_key]]`.
    pub key: Option<Name>,
    /// Who is notified of each new serial.
    pub notify: Vec<SocketAddr>,
    /// The zones that this is about; `None`: all.
    pub zones: Option<Vec<ZoneRef>>,
}

impl Secondary {
    /// Whether it is about the zone of this apex.
    pub fn has_zone(&self, apex: &Name) -> bool {
        match &self.zones {
            Some(zones) => zones.iter().any(|zone| zone.apex == *apex),
            None => true,
        }
    }

    /// Whether it may copy a zone: asking from this address, with a query that was signed with this
    /// key.
    pub fn may_copy(&self, apex: &Name, src: IpAddr, key: Option<&Name>) -> bool {
        self.addresses.iter().any(|prefix| prefix.contains(src))
            && (self.key.is_none() || self.key.as_ref() == key)
            && self.has_zone(apex)
    }
}

/// `[[update]]`: what the updates of a TSIG key may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The key that updates must be signed with; one of the `[[tsig_key]]`.
    pub key: Name,
    /// The zones that may be updated; never empty.
    pub zones: Vec<ZoneRef>,
    /// The names that may be changed; `None`: all.
    pub names: Option<Vec<NamePattern>>,
    /// The types that may be changed; `None`: all but the SOA, and NS at the apex.
    pub types: Option<Vec<RrType>>,
}

impl Grant {
    /// Whether it lets a key change anything in a zone.
    pub fn is_for(&self, key: &Name, apex: &Name) -> bool {
        self.key == *key && self.zones.iter().any(|zone| zone.apex == *apex)
    }

    /// Whether it lets its key change a name of the zone, in some types at least.
    pub fn has_name(&self, owner: &Name) -> bool {
        let names = self.names.as_ref();
        names.is_none_or(|names| names.iter().any(|pattern| pattern.matches(owner)))
    }

    /// Whether it lets its key change a type at a name of the zone with this apex.
    pub fn permits(&self, apex: &Name, owner: &Name, rtype: RrType) -> bool {
        let has_type = match &self.types {
            Some(types) => types.contains(&rtype),
            None => rtype != RrType::SOA && !(rtype == RrType::NS && owner == apex),
        };
        has_type && self.has_name(owner)
    }
}

/// A zone as `[[secondary]]` and `[[update]]` name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRef {
    /// The zone's name.
    pub apex: Name,
    /// Where it was written.
    pub place: Place,
}

/// `pools.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pools {
    /// `[monitor.*]`, in file order.
    pub monitors: Vec<Monitor>,
    /// `[region.*]`, in file order.
    pub regions: Vec<NamedRegion>,
    /// `[pool.*]`, in file order.
    pub pools: Vec<Pool>,
    /// `[steer.*]`, in file order; owners differ.
    pub steered: Vec<Steered>,
    /// `[alias.*]`, in file order; owners differ, also from those of steered names.
    pub aliases: Vec<Alias>,
}

/// `[region.NAME]`: clients that rules call by one name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRegion {
    /// Where its name was written, for diagnostics about databases.
    pub place: Place,
    /// Which clients.
    pub matcher: Arc<Matcher>,
}

/// `[pool.NAME]`: endpoints that serve the same thing at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: Box<str>,
    /// Where it is.
    pub location: Point,
    /// Those that are given by address; these differ.
    pub endpoints: Arc<[Endpoint]>,
    /// Those that are given by name; these differ.
    pub hosts: Vec<HostEndpoint>,
    /// Who names its endpoints; without `hosts`, the file has at least one endpoint.
    pub source: PoolSource,
    /// Those that have a vote: an endpoint is up when all say so; none: it always is.
    pub monitors: Vec<MonitorIx>,
    /// Those whose results are only shown. None is also among the others.
    pub watch: Vec<MonitorIx>,
    /// Endpoints of a family that must be up for the pool to be up in that family.
    pub min_healthy: MinHealthy,
    /// Share among pools at the same distance, and under policy weighted.
    pub weight: u32,
    /// Subtracted from the distance, in kilometres; may be negative.
    pub bias_km: f64,
    /// Its TXT records, as RDATA.
    pub txt: Vec<Box<[u8]>>,
    /// `Some`: it is used only where no other pool of the client's list is up, and takes this share of the
    /// clients meanwhile.
    pub standby: Option<Admitted>,
    /// How long it takes until all of its clients are back after probes took it out; zero: no time.
    pub ramp: Duration,
    /// When it is taken out for practice; `None`: by hand only.
    pub drill: Option<Drill>,
    /// The load above which it takes only a share of its clients; `None`: it takes all of them. Its monitor reads
    /// a load.
    pub spill_at: Option<Load>,
}

impl Pool {
    /// Whether its endpoints can change while the process runs.
    pub fn has_sources(&self) -> bool {
        self.source != PoolSource::File || !self.hosts.is_empty()
    }
}

/// How many endpoints of a family must be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinHealthy {
    /// So many, at least 1; a family that has fewer needs all.
    Count(u32),
    /// So many in a hundred, rounded up; at least 1.
    Percent(u8),
}

impl MinHealthy {
    /// How many of `n` endpoints.
    pub fn of(self, n: usize) -> usize {
        match self {
            Self::Count(count) => n.min(count as usize),
            Self::Percent(percent) => (n * usize::from(percent)).div_ceil(100),
        }
    }
}

/// Who names the endpoints of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolSource {
    /// `source = "api"`: whoever calls the API.
    Api,
    /// The file itself.
    File,
    /// `source = { kubernetes = … }`: the status of an object.
    Kubernetes {
        /// Which one.
        object: Arc<kubernetes::Object>,
        /// Where its cluster is named.
        place: Place,
    },
}

/// A host name whose addresses are endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEndpoint {
    /// In lower case, without a final dot.
    pub name: Arc<str>,
    /// The same as a domain name.
    pub domain: Name,
    /// The weight of each of its addresses.
    pub weight: u32,
}

/// One address of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address, never IPv4-mapped.
    pub address: IpAddr,
    /// Where it is probed, in the same family; `None`: at its address.
    pub check: Option<CheckAddress>,
    /// Its share where a pool has more endpoints than an answer may hold.
    pub weight: u32,
}

impl Endpoint {
    /// The largest weight.
    pub const MAX_WEIGHT: u32 = 1_000_000;

    /// One that is probed at its address.
    pub fn new(address: IpAddr, weight: u32) -> Self {
        Self {
            address,
            check: None,
            weight,
        }
    }

    /// Where a monitor with this port probes it.
    pub fn probed_at(&self, port: u16) -> SocketAddr {
        match self.check {
            Some(check) => check.at(port),
            None => SocketAddr::new(self.address, port),
        }
    }
}

/// `[alias."NAME"]`: an owner name whose addresses are those of another name.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// The owner name.
    pub owner: Name,
    /// Where it was written, for diagnostics about zones.
    pub place: Place,
    /// The other name.
    pub target: Name,
    /// The same as a host name: in lower case, without a final dot.
    pub host: Arc<str>,
    /// The longest TTL of its answers, in seconds.
    pub ttl: u32,
}

/// `[steer."NAME"]`: an owner name whose addresses, or other data, come from a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Steered {
    /// The owner name.
    pub owner: Name,
    /// Where it was written, for diagnostics about zones.
    pub place: Place,
    /// Which types its policy chooses.
    pub types: SteeredTypes,
    /// How its pools are ordered.
    pub policy: Policy,
    /// Never empty, no pool twice.
    pub pools: Vec<PoolIx>,
    /// The TTL of its answers.
    pub ttl: TtlRange,
    /// The order of the addresses in an answer.
    pub order: Order,
    /// Whether client subnets count, where `[ecs]` has them enabled.
    pub ecs: bool,
    /// At most so many addresses in an answer; at least 1.
    pub max_addresses: usize,
    /// What is answered when no pool is up.
    pub all_down: AllDown,
    /// In file order; which one matches is decided by how specific it is, then by this order.
    pub rules: Vec<Rule>,
}

/// The TTL of a steered name's answers, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TtlRange {
    /// The least; at most `max`.
    pub min: u32,
    /// The most.
    pub max: u32,
}

impl TtlRange {
    /// The same at all times.
    pub const fn fixed(ttl: u32) -> Self {
        Self { min: ttl, max: ttl }
    }

    /// Whether it is the same at all times.
    pub fn is_fixed(self) -> bool {
        self.min == self.max
    }

    /// The TTL where an answer cannot change within so many seconds; `None`: it is not known to change.
    pub fn within(self, horizon: Option<u32>) -> u32 {
        horizon.map_or(self.max, |seconds| seconds.clamp(self.min, self.max))
    }
}

/// `[[steer."NAME".rule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where its matcher was written, for diagnostics about databases.
    pub place: Place,
    /// Which clients.
    pub matcher: Arc<Matcher>,
    /// The named regions that it is written with; empty for a rule by another key.
    pub regions: Vec<Box<str>>,
    /// Never empty, no pool twice.
    pub pools: Vec<PoolIx>,
    /// How they are ordered; the name's policy unless given.
    pub policy: Policy,
    /// Never leave these pools.
    pub fence: bool,
    /// What is answered when no pool is up, if not what the name or the fence asks for.
    pub all_down: Option<AllDown>,
}

impl Steered {
    /// Every policy for clients without a pool that is up: the name's, and those of its rules.
    pub fn all_down_policies(&self) -> impl Iterator<Item = AllDown> {
        let of_rules = self.rules.iter().filter_map(|rule| rule.all_down);
        std::iter::once(self.all_down).chain(of_rules)
    }

    /// The pools of each kind of clients that get those that were up last, when none is.
    pub fn last_good_pools(&self) -> impl Iterator<Item = Vec<PoolIx>> {
        let of_name = (self.all_down == AllDown::LastGood).then(|| self.pools.clone());
        let own = |rule: &&Rule| rule.all_down == Some(AllDown::LastGood);
        let of_rules = self.rules.iter().filter(own).map(|rule| match rule.fence {
            true => rule.pools.clone(),
            false => [&*rule.pools, &*self.pools].concat(),
        });
        of_name.into_iter().chain(of_rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn min_healthy_is_rounded_up() {
        for (min_healthy, of, expected) in [
            (MinHealthy::Count(1), 0, 0),
            (MinHealthy::Count(2), 1, 1),
            (MinHealthy::Count(2), 3, 2),
            (MinHealthy::Percent(50), 0, 0),
            (MinHealthy::Percent(1), 3, 1),
            (MinHealthy::Percent(50), 3, 2),
            (MinHealthy::Percent(50), 4, 2),
            (MinHealthy::Percent(51), 4, 3),
            (MinHealthy::Percent(100), 4, 4),
        ] {
            assert_eq!(min_healthy.of(of), expected, "{min_healthy:?} of {of}");
        }
    }

    #[test]
    fn without_types_all_may_be_changed_but_what_makes_the_zone() {
        let grant = |types: Option<&[RrType]>| Grant {
            key: n("key"),
            zones: Vec::new(),
            names: Some(vec!["*".parse().expect("a pattern")]),
            types: types.map(<[RrType]>::to_vec),
        };
        let (apex, below) = (n("example.com"), n("a.example.com"));
        for (types, owner, rtype, expected) in [
            (None, &apex, RrType::TXT, true),
            (None, &apex, RrType::SOA, false),
            (None, &apex, RrType::NS, false),
            (None, &below, RrType::NS, true),
            (Some(&[RrType::A][..]), &below, RrType::A, true),
            (Some(&[RrType::A]), &below, RrType::TXT, false),
            (Some(&[RrType::NS]), &apex, RrType::NS, true),
        ] {
            let permits = grant(types).permits(&apex, owner, rtype);
            assert_eq!(permits, expected, "{types:?} {owner} {rtype}");
        }
    }
}
