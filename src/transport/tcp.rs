//! DNS over TCP: two octets of length before each message (RFC 1035 s4.2.2), any number of queries on
//! a connection, asked without waiting for answers (RFC 7766 s6.2.1.1) and answered in order.
//!
//! All complete queries that have arrived are answered together and written together, and nothing is
//! read while the client does not take its answers, so that a connection holds at most an incomplete
//! query, or a bounded stretch of answers. An idle one holds a few KiB: what is large, the engine's
//! scratch and the room for one whole answer, belongs to *pooled responders*, of which there are as many as tasks
//! ever answered at the same moment.
//!
//! A connection's time runs from its last answer. Octets that do not complete a query, and messages
//! that get no answer, do not extend it.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use crate::base::lock::lock;
use crate::base::rr::Rcode;
use crate::base::transport::Transport;
use crate::engine::Arrival;
use crate::engine::transfer::TooLong;
use crate::engine::transfer::Transfer;
use crate::live::clock::now_ms;
use crate::state::counters::Counters;
use crate::state::counters::Dropped;
use crate::state::counters::Transferred;
use crate::transport::connections::ConnectionLimiter;
use crate::transport::connections::ConnectionPermit;
use crate::transport::connections::TcpLimits;
use crate::transport::framing::Frame;
use crate::transport::framing::append;
use crate::transport::framing::next_frame;
use crate::transport::responder::BatchResponder;
use crate::transport::responder::Responder;
use crate::transport::stop::stopped;
use crate::transport::updates::InFlight;
use crate::wire::query::asks_for_transfer;
use crate::wire::update::is_update;

/// What all TCP tasks share.
pub(super) struct TcpService<A> {
    limits: TcpLimits,
    counters: Arc<Counters>,
    /// The counter shard of all TCP tasks.
    shard: usize,
    limiter: Arc<ConnectionLimiter>,
    make_responder: Box<dyn Fn() -> A + Send + Sync>,
    /// Idle responders, reused across connections.
    pool: Mutex<Vec<PooledResponder<A>>>,
}

impl<A: Responder> TcpService<A> {
    pub(super) fn new(
        limits: TcpLimits,
        counters: Arc<Counters>,
        shard: usize,
        make_responder: impl Fn() -> A + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counters,
            shard,
            limiter: ConnectionLimiter::new(&limits),
            make_responder: Box::new(make_responder),
            pool: Mutex::default(),
        })
    }

    /// Accepts connections until `stop`, then those that had been made before.
    pub(super) async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut is_logged = false;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut stop) => break,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, &stop),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    if !is_logged {
                        warn!(%error, "TCP accept failed; retrying (further errors suppressed)");
                        is_logged = true;
                    }
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                }
            }
        }
        let Ok(listener) = listener.into_std() else {
            return;
        };
        for _ in 0..self.limits.max_connections {
            let Ok((stream, peer)) = listener.accept() else {
                break;
            };
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.admit(stream, peer, &stop);
            }
        }
    }

    /// Serves a connection if there is a permit for it, else closes it. A connection that has to make room
    /// for another is closed at once.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, stop: &watch::Receiver<bool>) {
        let counters = self.counters.shard(self.shard);
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let ends = Ends {
            source: peer,
            local,
        };
        let Some(mut permit) = self.limiter.admit(peer.ip(), counters) else {
            return;
        };
        // Answers are written whole, so waiting for more to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let service = Arc::clone(self);
        let stop = stop.clone();
        tokio::spawn(async move {
            let evicted = permit.evicted();
            tokio::select! {
                () = service.converse(stream, ends, &mut permit, stop) => {}
                () = evicted => {}
            }
        });
    }

    /// Answers the queries of one connection until the client closes its side, lets the time pass or
    /// sends what cannot be DNS.
    async fn converse(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        ends: Ends,
        permit: &mut ConnectionPermit,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut input = Vec::new();
        let mut output = Vec::new();
        let mut timer = pin!(tokio::time::sleep(self.limits.idle_timeout));
        let mut stop = pin!(stopped(&mut stop));
        let mut is_stopping = false;
        loop {
            if input.len() == input.capacity() {
                input.reserve(READ_LEN);
            }
            let n_read = tokio::select! {
                biased;
                // First, so that it also ends a client who sends without a pause but no queries.
                () = &mut timer => break,
                () = &mut stop, if !is_stopping => {
                    is_stopping = true;
                    let end = timer.deadline().min(Instant::now() + LAST_CALL);
                    timer.as_mut().reset(end);
                    continue;
                }
                n_read = stream.read_buf(&mut input) => n_read,
            };
            if n_read.unwrap_or(0) == 0 {
                break;
            }
            match self
                .reply(&mut stream, ends, permit, &mut input, &mut output)
                .await
            {
                Replied::Nothing => {}
                Replied::Some if is_stopping => {}
                Replied::Some => timer
                    .as_mut()
                    .reset(Instant::now() + self.limits.idle_timeout),
                Replied::Finally => break,
            }
            output.shrink_to(READ_LEN);
            if input.is_empty() {
                input.shrink_to(READ_LEN);
            }
        }
        let _ = stream.shutdown().await;
    }

    /// Answers every complete message of `input` and takes it out.
    async fn reply(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        ends: Ends,
        permit: &mut ConnectionPermit,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Replied {
        let mut replied = Replied::Nothing;
        loop {
            let left = self.answer(ends, input, output);
            if !output.is_empty() {
                match self.write(stream, permit, output).await {
                    true => replied = Replied::Some,
                    false => return Replied::Finally,
                }
            }
            match left {
                Left::Messages => {}
                Left::Nothing => return replied,
                Left::NotDns => return Replied::Finally,
                Left::Update(update) => {
                    let mut reply = vec![0; usize::from(u16::MAX)];
                    let len = update.answer(&mut reply).await;
                    append(output, reply.get(..len).unwrap_or_default());
                    match self.write(stream, permit, output).await {
                        true => replied = Replied::Some,
                        false => return Replied::Finally,
                    }
                }
                Left::Transfer(transfer) => {
                    match self.send_zone(stream, permit, *transfer, output).await {
                        true => replied = Replied::Some,
                        false => return Replied::Finally,
                    }
                }
            }
        }
    }

    /// Answers complete messages of `input` from one snapshot, takes them out and appends the answers
    /// to `output`, until there are none or there is enough to write.
    fn answer(&self, ends: Ends, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Left {
        let arrival = Arrival {
            src: ends.source.ip(),
            transport: Transport::Tcp,
            now_ms: now_ms(),
        };
        let mut pooled = self.take_responder();
        let PooledResponder { responder, reply } = &mut pooled;
        let mut batch = responder.batch();
        let mut rest = input.as_slice();
        let left = loop {
            if output.len() >= OUTPUT_LEN {
                break Left::Messages;
            }
            let message = match next_frame(rest) {
                Frame::Incomplete => break Left::Nothing,
                Frame::Message(message, after) => {
                    rest = after;
                    message
                }
                Frame::Short => {
                    self.counters.shard(self.shard).dropped(Dropped::Short);
                    break Left::NotDns;
                }
            };
            if asks_for_transfer(message)
                && let Some(transfer) = batch.transfer(arrival, message)
            {
                break Left::Transfer(Box::new(transfer));
            }
            if is_update(message)
                && let Some(update) = batch.update(arrival, message)
            {
                break Left::Update(Box::new(update));
            }
            let n = batch.answer(arrival, message, reply);
            let response = reply.get(..n).unwrap_or_default();
            batch.record(arrival, ends.source, message, response, || ends.local);
            append(output, response);
        };
        let n_used = input.len() - rest.len();
        drop(batch);
        input.drain(..n_used);
        lock(&self.pool).push(pooled);
        left
    }

    /// An idle responder, or a new one.
    fn take_responder(&self) -> PooledResponder<A> {
        let idle = lock(&self.pool).pop();
        idle.unwrap_or_else(|| PooledResponder {
            responder: (self.make_responder)(),
            reply: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
        })
    }

    /// Writes answers and empties `output`; false if the client does not take them in time.
    async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        permit: &mut ConnectionPermit,
        output: &mut Vec<u8>,
    ) -> bool {
        // Before the answers leave: a client that takes long is not idle for longest meanwhile.
        permit.mark_used();
        let written = stream.write_all(output);
        let written = tokio::time::timeout(self.limits.idle_timeout, written).await;
        output.clear();
        matches!(written, Ok(Ok(())))
    }

    /// Sends a whole zone, one message after the other; false if the client does not take it.
    async fn send_zone(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        permit: &mut ConnectionPermit,
        mut transfer: Transfer,
        output: &mut Vec<u8>,
    ) -> bool {
        let counters = self.counters.shard(self.shard);
        counters.query(Transport::Tcp);
        loop {
            let mut pooled = self.take_responder();
            let message = transfer.next_message(&mut pooled.reply, now_ms());
            if let Ok(Some(len)) = message {
                append(output, pooled.reply.get(..len).unwrap_or_default());
            }
            lock(&self.pool).push(pooled);
            match message {
                Ok(Some(_)) => {}
                Ok(None) => {
                    counters.response(Rcode::NoError);
                    counters.transfer(Transferred::Done);
                    return true;
                }
                Err(TooLong) => {
                    warn!(zone = %transfer.apex(), error = %TooLong, "zone transfer aborted");
                    break;
                }
            }
            if !self.write(stream, permit, output).await {
                break;
            }
        }
        counters.transfer(Transferred::Broken);
        false
    }
}

/// Where the two ends of a connection are.
#[derive(Clone, Copy, Debug)]
struct Ends {
    source: SocketAddr,
    local: SocketAddr,
}

/// What a task needs only while it answers.
struct PooledResponder<A> {
    responder: A,
    /// Room for the longest message that there is.
    reply: Box<[u8]>,
}

/// What became of a connection's input.
enum Replied {
    /// No answer was due.
    Nothing,
    /// At least one answer was taken.
    Some,
    /// Nothing more can be said on this connection.
    Finally,
}

/// What stands in the input after answering.
enum Left {
    /// Perhaps more complete messages.
    Messages,
    /// Nothing complete.
    Nothing,
    /// A zone transfer, and perhaps more behind it.
    Transfer(Box<Transfer>),
    /// An update, and perhaps more behind it.
    Update(Box<InFlight>),
    /// What cannot be DNS; where the next message begins is anybody's guess.
    NotDns,
}

/// Whether the error ends one connection before it was accepted, and the next may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// What is read at once, and what an idle connection keeps: about a hundred queries.
const READ_LEN: usize = 4096;

/// Answers are written when there is so much of them; with one more of 64 KiB it is the most that a
/// connection holds.
const OUTPUT_LEN: usize = 64 * 1024;

/// How long after the stop a connection is still read from. What has arrived is there at once; this is
/// for the delays of a busy machine.
const LAST_CALL: Duration = Duration::from_millis(200);

/// The pause after an accept that failed for want of open files or memory: connections end meanwhile.
const TROUBLE_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use tokio::io::DuplexStream;
    use tokio::task::JoinHandle;
    use tokio::time::sleep;
    use tokio::time::timeout;

    use super::*;
    use crate::transport::tests::Echo;
    use crate::transport::tests::LIMITS;
    use crate::transport::tests::framed;

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection to an echo over a pipe, on a clock that jumps to where something happens.
    struct Conversation {
        client: DuplexStream,
        server: JoinHandle<()>,
        stop: watch::Sender<bool>,
        start: Instant,
    }

    impl Conversation {
        fn start() -> Self {
            Self::with(|| Echo)
        }

        fn with<A: Responder>(responder: impl Fn() -> A + Send + Sync + 'static) -> Self {
            let (client, stream) = tokio::io::duplex(PIPE_LEN);
            let (stop, stopping) = watch::channel(false);
            let service = TcpService::new(LIMITS, Arc::new(Counters::new(1)), 0, responder);
            let ends = Ends {
                source: SocketAddr::from(([192, 0, 2, 1], 4000)),
                local: SocketAddr::from(([192, 0, 2, 53], 53)),
            };
            Self {
                client,
                server: tokio::spawn(async move {
                    let counters = service.counters.shard(0);
                    let mut permit = service.limiter.admit(ends.source.ip(), counters).unwrap();
                    service.converse(stream, ends, &mut permit, stopping).await;
                }),
                stop,
                start: Instant::now(),
            }
        }

        async fn ask(&mut self) {
            let query = framed(b"what is the time");
            let mut reply = vec![0; query.len()];
            self.client.write_all(&query).await.unwrap();
            self.client.read_exact(&mut reply).await.unwrap();
            assert_eq!(reply, query);
        }

        /// How long the server has kept the connection, in milliseconds.
        async fn lifetime(self) -> u128 {
            self.server.await.unwrap();
            self.start.elapsed().as_millis()
        }
    }

    const PIPE_LEN: usize = 10_000;

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_closed_after_the_idle_timeout() {
        assert_eq!(Conversation::start().lifetime().await, 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_gives_the_client_its_time_again() {
        let mut conversation = Conversation::start();
        for _ in 0..3 {
            sleep(9 * SECOND).await;
            conversation.ask().await;
        }
        assert_eq!(conversation.lifetime().await, 37_000);
    }

    #[tokio::test(start_paused = true)]
    async fn octets_that_make_no_query_give_no_time() {
        let mut conversation = Conversation::start();
        sleep(SECOND / 2).await;
        for octet in framed(&[7; 100]) {
            if conversation.client.write_all(&[octet]).await.is_err() {
                break;
            }
            sleep(SECOND).await;
        }
        assert_eq!(conversation.start.elapsed().as_millis(), 10_500);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_without_an_answer_give_no_time() {
        let mut conversation = Conversation::start();
        let quiet = framed(b"! not a word of this");
        sleep(SECOND / 2).await;
        for _ in 0..100 {
            if conversation.client.write_all(&quiet).await.is_err() {
                break;
            }
            sleep(SECOND).await;
        }
        assert_eq!(conversation.start.elapsed().as_millis(), 10_500);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_not_read_from_and_closed() {
        let mut conversation = Conversation::start();
        let queries = framed(&[7; 1000]).repeat(10);
        let mut n_taken = 0;
        while let Ok(Ok(n)) = timeout(SECOND, conversation.client.write(&queries)).await {
            n_taken += n;
        }
        // One pipe there, one pipe back, and one reading between them.
        assert!(n_taken <= 2 * PIPE_LEN + 3 * READ_LEN, "took {n_taken}");
        assert_eq!(conversation.lifetime().await, 10_000);
    }

    /// An echo that counts its batches.
    struct BatchCount(Arc<AtomicUsize>);

    impl Responder for BatchCount {
        fn batch(&mut self) -> impl BatchResponder {
            self.0.fetch_add(1, Relaxed);
            |_: Arrival, message: &[u8], reply: &mut [u8]| {
                reply[..message.len()].copy_from_slice(message);
                message.len()
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_for_a_transfer_takes_no_second_snapshot() {
        let n_batches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&n_batches);
        let mut conversation = Conversation::with(move || BatchCount(Arc::clone(&count)));
        let axfr = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\xfc\0\x01";
        assert!(asks_for_transfer(axfr));
        let batch = [
            framed(b"what is before"),
            framed(axfr),
            framed(b"what is behind"),
        ]
        .concat();
        let mut replies = vec![0; batch.len()];
        conversation.client.write_all(&batch).await.unwrap();
        conversation.client.read_exact(&mut replies).await.unwrap();
        assert_eq!(replies, batch);
        assert_eq!(n_batches.load(Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_stop_a_connection_ends_with_its_last_answer() {
        let mut conversation = Conversation::start();
        conversation.ask().await;
        conversation.stop.send_replace(true);
        sleep(LAST_CALL / 2).await;
        conversation.ask().await;
        assert_eq!(conversation.lifetime().await, LAST_CALL.as_millis());
    }
}
