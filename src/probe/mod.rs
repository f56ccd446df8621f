//! Floor 7: probing. Asks each endpoint from each vantage whether it serves, and reports the result.
//!
//! One probe is a fresh connection (`connect`, through a `proxy` where the vantage has one),
//! for HTTPS a [`tls`] handshake, and one `http` exchange (or `grpc` call), all before one deadline. The
//! [`schedule`] repeats it for every pair of endpoint and vantage. What is judged from the results
//! is `health`'s business: they leave through a channel, as observations.
//!
//! Invariant: only what the endpoint (or the network beyond the vantage) did counts against the
//! endpoint. Trouble on this side ends as [`ProbeResult::NoEvidence`].

mod connect;
mod deadline;
mod grpc;
mod head_limit;
mod http;
mod http1;
mod http2;
mod late;
mod peers;
mod proxy;
mod resolve;
pub mod schedule;
mod shares;
mod source_sys;
pub mod tls;
pub mod witness;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::base::ix::PoolIx;
use crate::config::model::Egress;
use crate::config::model::Pools;
use crate::config::model::Vantage;
use crate::health::failure::VantageFault;
use crate::health::monitor::HttpVersion;
use crate::health::monitor::MonitorKind;
use crate::health::observation::LoadReading;
use crate::health::observation::ProbeResult;
use crate::health::observation::Target;
use crate::probe::connect::Proxies;
use crate::probe::deadline::Deadline;
use crate::probe::deadline::Missed;
use crate::probe::tls::Tls;
use crate::state::membership::Membership;

/// An endpoint and a vantage that probes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// What is probed.
    pub target: Arc<Target>,
    /// The vantage's name.
    pub vantage: Arc<str>,
    /// How the vantage's connections leave this machine.
    pub egress: Egress,
}

/// Every endpoint, once for each monitor of its pool, with every vantage that can reach its family, in file
/// order.
pub fn pairs(pools: &Pools, members: &Membership, vantages: &[Vantage]) -> Vec<Pair> {
    let monitors: Vec<_> = pools.monitors.iter().cloned().map(Arc::new).collect();
    let names: Vec<Arc<str>> = vantages.iter().map(|v| Arc::from(&*v.name)).collect();
    let mut pairs = Vec::new();
    for (ix, pool) in pools.pools.iter().enumerate() {
        let voting = pool.monitors.iter().map(|ix| (ix, true));
        let watching = pool.watch.iter().map(|ix| (ix, false));
        let of_pool: Vec<_> = voting.chain(watching).collect();
        let name: Arc<str> = Arc::from(&*pool.name);
        let endpoints = members.of(PoolIx::new(ix), pool).iter();
        for (endpoint, (monitor, has_vote)) in endpoints.flat_map(|endpoint| {
            let of_endpoint = of_pool.iter();
            of_endpoint.map(move |of_endpoint| (endpoint, *of_endpoint))
        }) {
            let monitor = &monitors[monitor.index()];
            let target = Arc::new(Target {
                pool: Arc::clone(&name),
                address: endpoint.address,
                probed_at: endpoint.probed_at(monitor.port),
                monitor: Arc::clone(monitor),
                has_vote,
            });
            for (vantage, name) in vantages.iter().zip(&names) {
                if reaches(&vantage.egress, endpoint.address) {
                    pairs.push(Pair {
                        target: Arc::clone(&target),
                        vantage: Arc::clone(name),
                        egress: vantage.egress.clone(),
                    });
                }
            }
        }
    }
    pairs
}

fn reaches(egress: &Egress, endpoint: IpAddr) -> bool {
    match egress {
        Egress::Source(source) => source.is_ipv4() == endpoint.is_ipv4(),
        Egress::Direct | Egress::HttpProxy { .. } | Egress::Socks5Proxy { .. } => true,
    }
}

/// How long after its deadline a probe's failure can still be the endpoint's. Timers fire within
/// milliseconds; who comes a second late has not been running.
const OVERDUE: Duration = Duration::from_secs(1);

/// What all probes of a process share.
#[derive(Clone, Debug)]
struct Context {
    tls: Tls,
    proxies: Proxies,
}

impl Context {
    fn new(tls: Tls) -> Self {
        let proxies = Proxies::new();
        Self { tls, proxies }
    }
}

/// Probes an endpoint once; takes no longer than the monitor's timeout.
async fn probe(target: &Target, egress: &Egress, context: &Context) -> (ProbeResult, LoadReading) {
    let deadline = Deadline::after(target.monitor.timeout);
    match attempt(target, egress, context, deadline).await {
        Err(Missed::Failure(_)) if deadline.at.elapsed() > OVERDUE => {
            let what = "this process was suspended or short of CPU while it probed";
            let fault = VantageFault::Local(what.into());
            (ProbeResult::NoEvidence(fault), None)
        }
        Ok(load) => (ProbeResult::Success, load),
        Err(Missed::Failure(failure)) => (ProbeResult::Failure(failure), None),
        Err(Missed::NoEvidence(fault)) => (ProbeResult::NoEvidence(fault), None),
    }
}

async fn attempt(
    target: &Target,
    egress: &Egress,
    context: &Context,
    deadline: Deadline,
) -> Result<LoadReading, Missed> {
    let kind = &target.monitor.kind;
    let endpoint = target.probed_at;
    let stream = connect::connect(egress, endpoint, &context.proxies, deadline).await?;
    let Some(check) = kind.tls() else {
        return ask(stream, kind, endpoint, deadline).await;
    };
    let version = match kind {
        MonitorKind::Http(check) => check.version,
        MonitorKind::Grpc(_) | MonitorKind::Tcp => HttpVersion::Http2,
    };
    let handshake = context
        .tls
        .handshake(stream, check, version, endpoint.ip(), deadline);
    ask(handshake.await?, kind, endpoint, deadline).await
}

/// Makes the request of a monitor over a connection that is open.
async fn ask<S>(
    stream: S,
    kind: &MonitorKind,
    endpoint: SocketAddr,
    deadline: Deadline,
) -> Result<LoadReading, Missed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match kind {
        MonitorKind::Grpc(check) => {
            let request = grpc::request(check, endpoint, deadline)?;
            let message = grpc::message(&check.service);
            let judge = |response| grpc::judge(response, deadline);
            Box::pin(http2::exchange(stream, request, message, deadline, judge)).await?;
            Ok(None)
        }
        MonitorKind::Http(check) => {
            let request = http::request(check, endpoint)?;
            match check.version {
                HttpVersion::Http1 => http1::exchange(stream, request, check, deadline).await,
                HttpVersion::Http2 => {
                    let judge = |response| http::judge(response, check, deadline, http2::failure);
                    let exchange = http2::exchange(stream, request, Bytes::new(), deadline, judge);
                    // It is several times as large as one of HTTP/1.1.
                    Box::pin(exchange).await
                }
            }
        }
        MonitorKind::Tcp => Ok(None),
    }
}
