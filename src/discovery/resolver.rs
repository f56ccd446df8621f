//! Resolving one host name: the only file that knows hickory-resolver.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::config::ProtocolConfig;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::lookup;
use hickory_resolver::net::DnsError;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::Instant;
use tokio::time::timeout;

use crate::base::lock::lock;
use crate::base::per_family::PerFamily;
use crate::state::resolved::Lookup;

/// The longest that a name may take, whatever its servers do.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long one server is waited for.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// How old the system's settings may be: they change under a process that runs for months.
const SYSTEM_MAX_AGE: Duration = Duration::from_secs(60);

/// What resolving a name gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolution {
    /// What was found of each family.
    pub lookups: PerFamily<Lookup>,
    /// How long that holds; `None`: a family failed.
    pub ttl: Option<Duration>,
}

/// Asks the servers that the operator names, or those of the system.
#[derive(Debug)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    made: Mutex<Option<(Instant, TokioResolver)>>,
}

impl Resolver {
    /// With these servers; none: those of the system.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            made: Mutex::new(None),
        }
    }

    /// Asks for both families of a name, which is taken as it stands, whatever search list the system has.
    pub(super) async fn resolve(&self, host: &str) -> Resolution {
        let resolver = match self.resolver() {
            Ok(resolver) => resolver,
            Err(error) => {
                let reason = format!("no servers to ask: {error}");
                return Resolution {
                    lookups: PerFamily::both(Lookup::Failed(reason.into())),
                    ttl: None,
                };
            }
        };
        let name = format!("{host}.");
        let ask = |rtype| timeout(DEADLINE, resolver.lookup(name.as_str(), rtype));
        let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
        let read = |found: Result<_, _>| read(found.unwrap_or(Err(NetError::Timeout)));
        let ((v4, ttl_v4), (v6, ttl_v6)) = (read(v4), read(v6));
        Resolution {
            lookups: PerFamily { v4, v6 },
            ttl: ttl_v4.zip(ttl_v6).map(|(v4, v6)| v4.min(v6)),
        }
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut made = lock(&self.made);
        if let Some((at, resolver)) = &*made
            && (!self.servers.is_empty() || at.elapsed() < SYSTEM_MAX_AGE)
        {
            return Ok(resolver.clone());
        }
        let resolver = self.make()?;
        *made = Some((Instant::now(), resolver.clone()));
        Ok(resolver)
    }

    fn make(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match &*self.servers {
            [] => TokioResolver::builder_tokio()?,
            servers => {
                let servers = servers.iter().map(|server| {
                    let mut config = NameServerConfig::udp_and_tcp(server.ip());
                    for connection in &mut config.connections {
                        connection.port = server.port();
                    }
                    config
                });
                let config = ResolverConfig::from_name_servers(servers.collect());
                let provider = TokioRuntimeProvider::default();
                let mut builder = TokioResolver::builder_with_config(config, provider);
                builder.options_mut().use_hosts_file = ResolveHosts::Never;
                builder
            }
        };
        let options = builder.options_mut();
        // Names are asked for when their TTL is over, so that nothing in a cache is ever used.
        options.cache_size = 0;
        options.timeout = options.timeout.min(SERVER_TIMEOUT);
        builder.build()
    }
}

/// The servers that the system's settings name.
///
/// # Errors
/// If the settings cannot be read.
pub fn system_servers() -> Result<Vec<SocketAddr>, NetError> {
    let (config, _) = read_system_conf()?;
    let servers = config.name_servers().iter();
    Ok(servers
        .flat_map(|server| {
            let connections = server.connections.iter();
            let udp = connections.filter(|connection| connection.protocol == ProtocolConfig::Udp);
            udp.map(|connection| SocketAddr::new(server.ip, connection.port))
        })
        .collect())
}

/// What an answer says, and how long it holds; `None`: it failed.
fn read(found: Result<lookup::Lookup, NetError>) -> (Lookup, Option<Duration>) {
    let seconds = |ttl: u32| Some(Duration::from_secs(ttl.into()));
    match found {
        Ok(found) => {
            let records = found.answers();
            let address = |data: &RData| match data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            };
            let addresses: Vec<_> = records.iter().filter_map(|r| address(&r.data)).collect();
            let ttl = records.iter().map(|record| record.ttl).min();
            match addresses.is_empty() {
                true => (Lookup::NoData, seconds(ttl.unwrap_or(0))),
                false => (Lookup::Addresses(addresses), seconds(ttl.unwrap_or(0))),
            }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            // A referral says nothing of the name: its server does not resolve.
            if none.response_code == ResponseCode::NoError && (none.soa.is_some() || none.ns.is_none()) =>
        {
            (Lookup::NoData, seconds(none.negative_ttl.unwrap_or(0)))
        }
        Err(error) => (Lookup::Failed(reason(&error).into()), None),
    }
}

/// Why a name cannot be resolved, in the words of the field.
fn reason(error: &NetError) -> String {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => "NXDOMAIN".into(),
            ResponseCode::NoError => "a referral, from a server that does not resolve".into(),
            code => code.to_string(),
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => "SERVFAIL".into(),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => "REFUSED".into(),
        NetError::Timeout => "no answer in time".into(),
        error => error.to_string(),
    }
}
