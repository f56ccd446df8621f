//! Starts the threads and tasks that answer on the sockets of an address.

use std::mem;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::base::lock::lock;
use crate::state::counters::Counters;
use crate::transport::bind::Listener;
use crate::transport::bind::TransportError;
use crate::transport::responder::Responder;
use crate::transport::tcp::TcpService;
use crate::transport::udp::UdpWorker;

/// Starts listeners: most with the server, others when their address appears.
pub(super) struct Starter<U, T> {
    /// Makes the responder of the UDP or AF_XDP thread that counts in a shard.
    pub(super) udp_responder: Box<dyn Fn(usize) -> U + Send + Sync>,
    /// What TCP tasks share.
    pub(super) tcp: Arc<TcpService<T>>,
    /// With a shard for each thread that may be started.
    pub(super) counters: Arc<Counters>,
    /// Those that have been started.
    pub(super) threads: Arc<Threads>,
    /// Becomes true when the listeners are to stop.
    pub(super) stop: watch::Receiver<bool>,
}

impl<U: Responder, T: Responder> Starter<U, T> {
    /// Answers on a listener's sockets. Needs the runtime around it.
    pub(super) fn start(&self, listener: Listener) -> Result<(), TransportError> {
        let is_wildcard = listener.address.ip().is_unspecified();
        for (n, socket) in listener.udp.into_iter().enumerate() {
            let shard = listener.first_shard + n;
            let worker = UdpWorker {
                socket,
                local: listener.address,
                is_wildcard,
                responder: (self.udp_responder)(shard),
            };
            let counters = Arc::clone(&self.counters);
            self.threads.start(format!("udp-{shard}"), move |stop| {
                worker.run(counters.shard(shard), stop);
            })?;
        }
        let tcp = TcpListener::from_std(listener.tcp).map_err(|cause| TransportError::Start {
            name: format!("tcp on {}", listener.address),
            cause,
        })?;
        tokio::spawn(Arc::clone(&self.tcp).listen(tcp, self.stop.clone()));
        Ok(())
    }
}

/// The threads that answer.
#[derive(Debug, Default)]
pub(super) struct Threads {
    is_stopping: AtomicBool,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Starts a thread that runs until its argument is true.
    pub(super) fn start(
        self: &Arc<Self>,
        name: String,
        run: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> Result<(), TransportError> {
        let threads = Arc::clone(self);
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || run(&threads.is_stopping))
            .map_err(|cause| TransportError::Start { name, cause })?;
        lock(&self.running).push(thread);
        Ok(())
    }

    /// Has all threads end, also those that have yet to start.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
    }

    /// Waits for the end of all that have been started.
    pub(super) fn join(&self) {
        for thread in mem::take(&mut *lock(&self.running)) {
            // A panic would have ended the process.
            let _ = thread.join();
        }
    }
}
