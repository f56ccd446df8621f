//! From bound sockets to listeners that answer, and to their end.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use tracing::warn;

use crate::engine::Scratch;
use crate::engine::rate_limit::RateLimiter;
use crate::querylog::Recorders;
use crate::state::counters::Counters;
use crate::state::counters::SHARED_SHARD;
use crate::state::publish::SnapshotReader;
use crate::transport::address_watch;
use crate::transport::bind::Bound;
use crate::transport::bind::TransportError;
use crate::transport::connections::TcpLimits;
use crate::transport::refusal_log::RefusalLog;
use crate::transport::responder::Responder;
use crate::transport::responder::TcpResponder;
use crate::transport::responder::UdpResponder;
use crate::transport::starter::Starter;
use crate::transport::starter::Threads;
use crate::transport::tcp::TcpService;
use crate::transport::updates::Updates;
use crate::transport::xdp::Interface;
use crate::transport::xdp::XdpWorker;

/// What answering takes besides snapshots and counters.
#[derive(Debug)]
pub struct Settings {
    /// Limits what is sent over UDP.
    pub limiter: Option<Arc<RateLimiter>>,
    /// Limits TCP connections.
    pub limits: TcpLimits,
    /// By which changes of zones leave.
    pub updates: Updates,
    /// What is logged of queries.
    pub recorders: Recorders,
}

impl Bound {
    /// Starts answering from the current snapshot. UDP threads are named `udp-0` and so on, those of
    /// AF_XDP `xdp-0` and so on; TCP runs on `runtime`, which needs I/O and time. `counters` should have
    /// as many shards as [`super::n_shards`] counts.
    pub fn serve(
        self,
        snapshots: &SnapshotReader,
        counters: &Arc<Counters>,
        settings: Settings,
        runtime: &runtime::Handle,
    ) -> Result<Serving, TransportError> {
        let Settings {
            limiter,
            limits,
            updates,
            recorders,
        } = settings;
        let updates = Arc::new(updates);
        let refusal_log = Arc::<RefusalLog>::default();
        let udp_responder = {
            let (counters, snapshots) = (Arc::clone(counters), snapshots.clone());
            let refusal_log = Arc::clone(&refusal_log);
            let (updates, recorders) = (Arc::clone(&updates), recorders.clone());
            move |shard| UdpResponder {
                refusal_log: Arc::clone(&refusal_log),
                updates: Arc::clone(&updates),
                reader: snapshots.cached(),
                scratch: Scratch::new(Arc::clone(&counters), shard).with_limiter(limiter.clone()),
                recorder: recorders.recorder(),
            }
        };
        let tcp_responder = {
            let (counters, snapshots) = (Arc::clone(counters), snapshots.clone());
            move || TcpResponder {
                refusal_log: Arc::clone(&refusal_log),
                updates: Arc::clone(&updates),
                snapshots: snapshots.clone(),
                scratch: Scratch::new(Arc::clone(&counters), SHARED_SHARD),
                recorder: recorders.recorder(),
            }
        };
        self.serve_with(udp_responder, tcp_responder, counters, limits, runtime)
    }

    pub(super) fn serve_with<U: Responder, T: Responder>(
        self,
        udp_responder: impl Fn(usize) -> U + Send + Sync + 'static,
        tcp_responder: impl Fn() -> T + Send + Sync + 'static,
        counters: &Arc<Counters>,
        limits: TcpLimits,
        runtime: &runtime::Handle,
    ) -> Result<Serving, TransportError> {
        let (tcp_stop, stop) = watch::channel(false);
        let threads = Arc::<Threads>::default();
        // On an error this is dropped, which stops what has been started.
        let serving = Serving {
            threads: Arc::clone(&threads),
            tcp_stop,
        };
        let starter = Starter {
            tcp: TcpService::new(limits, Arc::clone(counters), SHARED_SHARD, tcp_responder),
            udp_responder: Box::new(udp_responder),
            counters: Arc::clone(counters),
            threads,
            stop,
        };
        let _runtime = runtime.enter();
        let n_udp_threads = self.n_udp_threads();
        let listening = self.addresses();
        for listener in self.listeners {
            starter.start(listener)?;
        }
        let queues = self.xdp.into_iter().flat_map(Interface::into_queues);
        for (n, queue) in queues.enumerate() {
            let shard = n_udp_threads + n;
            let worker = XdpWorker::new(queue, (starter.udp_responder)(shard));
            let counters = Arc::clone(counters);
            starter.threads.start(format!("xdp-{n}"), move |stop| {
                worker.run(counters.shard(shard), stop);
            })?;
        }
        runtime.spawn(address_watch::watch(listening, self.absent, starter));
        Ok(serving)
    }
}

/// The running listeners. Dropping it stops them too, without waiting.
#[derive(Debug)]
pub struct Serving {
    threads: Arc<Threads>,
    /// Each TCP task holds a receiver, so that it is closed when all have ended; so does the task that may
    /// start further threads.
    tcp_stop: watch::Sender<bool>,
}

impl Serving {
    /// Stops accepting, answers what was received, and returns when all threads and tasks have ended,
    /// at the latest after `deadline`. UDP threads need less than a second; what TCP clients have not
    /// taken by the deadline ends with the runtime.
    pub async fn stop(self, deadline: Duration) {
        self.threads.stop();
        self.tcp_stop.send_replace(true);
        let ended = async {
            self.tcp_stop.closed().await;
            let threads = Arc::clone(&self.threads);
            let _ = tokio::task::spawn_blocking(move || threads.join()).await;
        };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            warn!("stop deadline passed; answers that clients have not read are lost");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.threads.stop();
    }
}
