//! The UDP thread: receive a batch, answer each message from one snapshot, send the answers.
//!
//! One thread owns one socket; the kernel spreads clients over the sockets of an address by a hash of
//! their address and port (SO_REUSEPORT), so that threads share nothing but the snapshot. No lock and no
//! allocation in the loop, one look at the clock for each batch, and no error ends it: what cannot be
//! received is waited for, what cannot be sent is counted.

use std::io;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tracing::warn;

use crate::live::clock::now_ms;
use crate::state::counters::Dropped;
use crate::state::counters::Shard;
use crate::transport::responder::BatchResponder;
use crate::transport::responder::Responder;
use crate::transport::responder::datagram;
use crate::transport::stop::DRAIN_TIME;
use crate::transport::udp_sys::Batch;
use crate::transport::udp_sys::Wait;
use crate::wire::update::is_update;

/// How long a thread waits for a message before it looks whether to stop and lets go of a replaced
/// snapshot. A quarter of a second is little of the five that stopping may take, and four wake-ups a
/// second cost an idle machine nothing.
pub(super) const RECEIVE_WAIT: Duration = Duration::from_millis(250);

/// How long a batch may wait for a device that takes nothing. Clients ask again after about a second,
/// so a later answer would be of no use.
pub(super) const SEND_WAIT: Duration = Duration::from_millis(250);

/// The pause after an error that is not one message's. Long enough not to spin, short enough that the
/// socket's queue does not overflow when the trouble was brief.
const TROUBLE_PAUSE: Duration = Duration::from_millis(10);

/// One listening socket and who answers there.
#[derive(Debug)]
pub(super) struct UdpWorker<A> {
    /// Blocking, with [`RECEIVE_WAIT`] and [`SEND_WAIT`] as its timeouts.
    pub(super) socket: UdpSocket,
    /// The address that it was bound to.
    pub(super) local: SocketAddr,
    /// Whether it was bound to an unspecified address and passes the local address of each message.
    pub(super) is_wildcard: bool,
    /// This thread's own.
    pub(super) responder: A,
}

impl<A: Responder> UdpWorker<A> {
    /// Answers until `stop` is set, then what is still in the socket's queue.
    pub(super) fn run(mut self, counters: &Shard, stop: &AtomicBool) {
        let mut batch = Batch::new(self.is_wildcard);
        let mut is_logged = false;
        while !stop.load(Relaxed) {
            match batch.receive(&self.socket, Wait::ForOne) {
                Ok(_) => self.answer(&mut batch, counters),
                // Looks for a new snapshot, so that a replaced one is not kept for want of queries.
                Err(error) if is_timeout(&error) => drop(self.responder.batch()),
                Err(error) => {
                    if !is_logged {
                        let address = self.socket.local_addr().ok();
                        warn!(?address, %error, "UDP receive failed; retrying (further errors suppressed)");
                        is_logged = true;
                    }
                    thread::sleep(TROUBLE_PAUSE);
                }
            }
        }
        let end = Instant::now() + DRAIN_TIME;
        while Instant::now() < end && batch.receive(&self.socket, Wait::No).is_ok() {
            self.answer(&mut batch, counters);
        }
    }

    fn answer(&mut self, batch: &mut Batch, counters: &Shard) {
        let mut responder = self.responder.batch();
        let (now_ms, local) = (now_ms(), self.local);
        batch.answer(|meta, source, message, later, reply| {
            responder.prefetch(later);
            let Some(arrival) = datagram(source, now_ms, counters) else {
                return 0;
            };
            if is_update(message)
                && let Ok(socket) = self.socket.try_clone()
                && let Some(update) = responder.update(arrival, message)
            {
                let meta = meta.clone();
                // A client that gets no response asks again.
                update.answer_later(move |response| _ = meta.send(&socket, response));
                return 0;
            }
            let len = responder.answer(arrival, message, reply);
            responder.record(
                arrival,
                source,
                message,
                reply.get(..len).unwrap_or_default(),
                || {
                    meta.local()
                        .map_or(local, |ip| SocketAddr::new(ip, local.port()))
                },
            );
            len
        });
        for _ in 0..batch.send(&self.socket) {
            counters.dropped(Dropped::Send);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
