//! The adapter to NATS: one task that keeps a connection to one of the servers of `[cluster]`, publishes
//! what waits in the outbox, and hands on what arrives.
//!
//! It speaks the client protocol itself, so that a server that is frozen, faulty or hostile costs no more
//! than the connection. A new connection takes nothing over from the one before: what a dead server has not
//! taken is gone, and the outbox has what is newest. Nothing is queued here, and the control loop never waits.

mod connect;
mod credentials;
mod fault;
mod protocol;
mod reported;
mod session;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::config::model::Cluster;
use crate::fleet::link::Incoming;
use crate::fleet::link::Kind;
use crate::fleet::link::Outbox;
use crate::fleet::nats::connect::connect;
use crate::fleet::nats::reported::Reported;
use crate::fleet::nats::session::Ends;
use crate::fleet::nats::session::Session;
use crate::live::random;

pub use self::connect::ReadFile;
pub use self::session::Drops;
pub use self::session::Role;

/// The first delay between rounds of attempts.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// The longest.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// A connection that lasted so long was a good one: the next attempts begin without delay.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// Starts the task. It ends when nobody takes `incoming` any more.
pub fn start(
    cluster: Cluster,
    read: ReadFile,
    outbox: Outbox,
    incoming: mpsc::Sender<Incoming>,
    drops: Drops,
    role: Role,
) -> JoinHandle<()> {
    let taker = incoming.clone();
    let ends = Ends {
        subjects: subjects(&cluster, role),
        role,
        cluster,
        outbox,
        incoming,
        drops,
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = keep_connected(&ends, read) => {}
            () = taker.closed() => {}
        }
    })
}

/// By number of the subscription: those of each kind of message, and this node's inbox.
fn subjects(cluster: &Cluster, role: Role) -> Vec<String> {
    let Cluster { prefix, node, .. } = cluster;
    let of_kind = |kind: Kind| match kind {
        Kind::Report if role == Role::Vantage => format!("{prefix}.{}.{node}", kind.as_str()),
        Kind::Report | Kind::Override => format!("{prefix}.{}.*", kind.as_str()),
        Kind::Sync => format!("{prefix}.{}", kind.as_str()),
    };
    // Nobody else can guess it, and reply in another's place.
    let token = u128::from_ne_bytes(random::octets());
    let inbox = format!("{prefix}.inbox.{node}.{token:032x}");
    let of_kinds = Kind::ALL.map(of_kind);
    of_kinds.into_iter().chain([inbox]).collect()
}

async fn keep_connected(ends: &Ends, read: ReadFile) -> Infallible {
    let servers = &ends.cluster.nats;
    let mut attempts = Attempts::default();
    let (mut faults, mut refusals) = (Reported::default(), Reported::default());
    loop {
        sleep(attempts.delay(servers.len(), random::octets::<1>()[0])).await;
        let server = &servers[attempts.n_made % servers.len()];
        let fault = match connect(server, &ends.cluster, read, ends.subscribed()).await {
            Ok(connection) => {
                let name = server.to_string().into();
                report(ends, Incoming::Connected { server: name }).await;
                // Whatever ends it is news.
                faults = Reported::default();
                let since = Instant::now();
                let session = Session { ends, server };
                let fault = session.run(connection, &mut refusals).await;
                attempts.connected(since.elapsed());
                fault
            }
            Err(fault) => fault,
        };
        attempts.failed();
        let reason = format!("{server}: {fault}");
        if faults.is_news(&reason, Instant::now()) {
            let reason = reason.into();
            report(ends, Incoming::Disconnected { reason }).await;
        }
    }
}

async fn report(ends: &Ends, state: Incoming) {
    // An error is a receiver that is gone, which ends the task.
    let _ = ends.incoming.send(state).await;
}

/// Attempts to connect: to one server after the other, each round later after the one before.
#[derive(Debug, Default)]
struct Attempts {
    n_made: usize,
    /// Since the last good connection.
    n_failed: usize,
}

impl Attempts {
    /// How long the next attempt waits: not at all for the other servers of a round. Half of a delay is random,
    /// so that the nodes of a fleet do not come back all at once.
    fn delay(&self, n_servers: usize, random: u8) -> Duration {
        if self.n_failed == 0 || !self.n_failed.is_multiple_of(n_servers) {
            return Duration::ZERO;
        }
        let doublings = (self.n_failed / n_servers - 1).min(10) as u32;
        let delay = (FIRST_DELAY * 2_u32.pow(doublings)).min(MAX_DELAY);
        delay / 2 + delay * random.into() / 510
    }

    fn connected(&mut self, lasted: Duration) {
        if lasted >= GOOD_CONNECTION {
            self.n_failed = 0;
        }
    }

    fn failed(&mut self) {
        self.n_made = self.n_made.wrapping_add(1);
        self.n_failed += 1;
    }
}
