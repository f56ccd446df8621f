//! Listeners: UDP by batch threads, past the kernel's stack where AF_XDP is on, and TCP by tasks, all
//! answered by the one engine.
//!
//! [`bind()`] opens every socket, so that a busy port is found before anything is served;
//! [`Bound::serve`] starts the threads and tasks; [`Serving::stop`] ends them after they have answered
//! what was received. A query sees one snapshot, a batch as a whole the same one. What clients send
//! cannot fill the log: refused secondaries are logged a bounded number of times, all else is counted.

#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod address_watch;
mod bind;
mod connections;
mod framing;
pub mod notify;
mod refusal_log;
mod responder;
mod stop;
mod tcp;
mod udp;
mod udp_sys;
mod xdp;

#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::watch;
use tracing::warn;

pub use self::bind::Bound;
pub use self::bind::TransportError;
pub use self::bind::advice;
pub use self::bind::bind;
pub use self::connections::TcpLimits;
use self::refusal_log::RefusalLog;
use self::responder::Responder;
use self::responder::TcpResponder;
use self::responder::UdpResponder;
use self::tcp::TcpService;
use self::udp::UdpWorker;
use self::xdp::Interface;
use self::xdp::XdpWorker;
pub use self::xdp::n_threads as n_xdp_threads;
use crate::engine::Scratch;
use crate::engine::rate_limit::RateLimiter;
use crate::state::counters::Counters;
use crate::state::counters::SHARED_SHARD;
use crate::state::publish::SnapshotReader;

impl Bound {
    /// Starts answering from the current snapshot. UDP threads are named `udp-0` and so on, those of
    /// AF_XDP `xdp-0` and so on; TCP runs on `runtime`, which needs I/O and time. `counters` should have [`Bound::n_shards`] shards;
    /// `limiter` is for UDP.
    pub fn serve(
        self,
        snapshots: &SnapshotReader,
        counters: &Arc<Counters>,
        limiter: Option<&Arc<RateLimiter>>,
        limits: TcpLimits,
        runtime: &runtime::Handle,
    ) -> Result<Serving, TransportError> {
        let scratch = {
            let counters = Arc::clone(counters);
            move |shard| Scratch::new(Arc::clone(&counters), shard)
        };
        let refusal_log = Arc::<RefusalLog>::default();
        let udp_responder = |shard| UdpResponder {
            refusal_log: Arc::clone(&refusal_log),
            reader: snapshots.cached(),
            scratch: scratch(shard).with_limiter(limiter.cloned()),
        };
        let tcp_responder = {
            let snapshots = snapshots.clone();
            let scratch = scratch.clone();
            let refusal_log = Arc::clone(&refusal_log);
            move || TcpResponder {
                refusal_log: Arc::clone(&refusal_log),
                snapshots: snapshots.clone(),
                scratch: scratch(SHARED_SHARD),
            }
        };
        self.serve_with(udp_responder, tcp_responder, counters, limits, runtime)
    }

    fn serve_with<U: Responder, T: Responder>(
        self,
        udp_responder: impl Fn(usize) -> U,
        tcp_responder: impl Fn() -> T + Send + Sync + 'static,
        counters: &Arc<Counters>,
        limits: TcpLimits,
        runtime: &runtime::Handle,
    ) -> Result<Serving, TransportError> {
        let service = TcpService::new(limits, Arc::clone(counters), SHARED_SHARD, tcp_responder);
        let (tcp_stop, stop) = watch::channel(false);
        // On an error this is dropped, which stops what has been started.
        let mut serving = Serving {
            udp_stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::with_capacity(self.n_shards()),
            tcp_stop,
        };
        let _runtime = runtime.enter();
        let n_udp_threads = self.n_udp_threads();
        runtime.spawn(address_watch::watch(self.addresses(), stop.clone()));
        for listener in self.listeners {
            let is_wildcard = listener.address.ip().is_unspecified();
            for socket in listener.udp {
                let shard = serving.threads.len();
                let worker = UdpWorker {
                    socket,
                    is_wildcard,
                    responder: udp_responder(shard),
                };
                let counters = Arc::clone(counters);
                serving.start(format!("udp-{shard}"), move |stop| {
                    worker.run(counters.shard(shard), stop);
                })?;
            }
            let tcp =
                TcpListener::from_std(listener.tcp).map_err(|cause| TransportError::Start {
                    name: format!("tcp on {}", listener.address),
                    cause,
                })?;
            runtime.spawn(Arc::clone(&service).listen(tcp, stop.clone()));
        }
        let queues = self.xdp.into_iter().flat_map(Interface::into_queues);
        for (n, queue) in queues.enumerate() {
            let shard = n_udp_threads + n;
            let worker = XdpWorker::new(queue, udp_responder(shard));
            let counters = Arc::clone(counters);
            serving.start(format!("xdp-{n}"), move |stop| {
                worker.run(counters.shard(shard), stop);
            })?;
        }
        Ok(serving)
    }
}

/// The running listeners. Dropping it stops them too, without waiting.
#[derive(Debug)]
pub struct Serving {
    udp_stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Each TCP task holds a receiver, so that it is closed when all have ended.
    tcp_stop: watch::Sender<bool>,
}

impl Serving {
    /// Stops accepting, answers what was received, and returns when all threads and tasks have ended,
    /// at the latest after `deadline`. UDP threads need less than a second; what TCP clients have not
    /// taken by the deadline ends with the runtime.
    pub async fn stop(mut self, deadline: Duration) {
        self.udp_stop.store(true, Relaxed);
        self.tcp_stop.send_replace(true);
        let threads = mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A panic would have ended the process.
                let _ = thread.join();
            }
        });
        let ended = async { tokio::join!(joined, self.tcp_stop.closed()) };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            warn!("stop deadline passed; answers that clients have not read are lost");
        }
    }

    fn start(
        &mut self,
        name: String,
        run: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> Result<(), TransportError> {
        let stop = Arc::clone(&self.udp_stop);
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || run(&stop))
            .map_err(|cause| TransportError::Start { name, cause })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.udp_stop.store(true, Relaxed);
    }
}
