//! What the listeners answer with, as the configuration says at the start of the process.

use std::io;
use std::sync::Arc;

use tokio::runtime;

use crate::config::model::Process;
use crate::daemon::file_limit;
use crate::engine::rate_limit::RateLimiter;
use crate::live::Live;
use crate::live::random;
use crate::live::request::Requests;
use crate::querylog::AllCounters;
use crate::querylog::Counters;
use crate::querylog::QueryLog;
use crate::transport::Settings;
use crate::transport::TcpLimits;
use crate::transport::Updates;

/// Starts the logs of queries.
pub(super) fn query_log(live: &Live) -> io::Result<QueryLog> {
    let meters = &live.meters;
    let counters = AllCounters {
        dnstap: Counters {
            written: meters.dnstap_messages.clone(),
            dropped: meters.dnstap_dropped.clone(),
        },
        decisions: Counters {
            written: meters.decisions.clone(),
            dropped: meters.decisions_dropped.clone(),
        },
    };
    let config = &live.snapshots.current().plan.config;
    QueryLog::start(&config.process, &live.snapshots, &counters)
}

/// Limits, updates and logs. Needs the runtime around it.
pub(super) fn settings(live: &Live, requests: &Requests, query_log: &QueryLog) -> Settings {
    let process = &live.snapshots.current().plan.config.process;
    Settings {
        limiter: limiter(process),
        limits: tcp_limits(process),
        updates: Updates::new(
            requests.clone(),
            runtime::Handle::current(),
            Arc::clone(&live.counters),
            live.meters.updates.clone(),
        ),
        recorders: query_log.recorders().clone(),
    }
}

fn limiter(process: &Process) -> Option<Arc<RateLimiter>> {
    let limit = process.server.rate_limit.clone()?;
    Some(Arc::new(RateLimiter::new(limit, random::octets())))
}

fn tcp_limits(process: &Process) -> TcpLimits {
    TcpLimits {
        idle_timeout: process.server.tcp_idle_timeout,
        max_connections: file_limit::max_tcp_connections(process.server.max_tcp_connections),
        max_connections_per_client: process.server.max_tcp_connections_per_client,
    }
}
