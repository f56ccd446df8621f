//! NOTIFY out (RFC 1996): each new serial is announced to the secondaries, and repeated until they answer.
//!
//! One task for each zone and target; a newer serial replaces the task of an older one, and nothing
//! ever waits for any of them. The result of each is logged once and counted.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::timeout_at;
use tracing::info;
use tracing::warn;

use crate::base::name::Name;
use crate::live::clock::unix;
use crate::live::random;
use crate::state::plan::Plan;
use crate::wire::tsig::Key;
use crate::wire::tsig::Signer;

/// How many seconds each try waits for its answer: a minute in all (RFC 1996 s3.6).
const WAITS: [u64; 5] = [2, 4, 8, 16, 32];

/// How many tasks wait for an answer at a time: a start with ten thousand zones is no flood.
const MAX_AT_ONCE: usize = 64;

/// NOTIFY, AA (RFC 1996 s3.3), without the id in front.
const HEADER: &[u8] = b"\x24\0\0\x01\0\0\0\0\0\0";

/// Room for a signed response, which repeats no more than the request.
const MAX_RESPONSE_LEN: usize = 1232;

/// Notifies secondaries; dropping it aborts what is under way.
pub struct Notifier {
    /// The last serial that each target was notified of, and the task that does it.
    notified: HashMap<(Name, SocketAddr), (u32, JoinHandle<()>)>,
    at_once: Arc<Semaphore>,
    counter: IntCounterVec,
}

/// One zone's new serial for one target.
struct Job {
    apex: Name,
    serial: u32,
    target: SocketAddr,
    /// The address that the target knows us by.
    source: IpAddr,
    key: Option<Arc<Key>>,
    counter: IntCounterVec,
}

impl Notifier {
    /// Counts `{result}` in `counter`.
    pub fn new(counter: IntCounterVec) -> Self {
        Self {
            notified: HashMap::new(),
            at_once: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            counter,
        }
    }

    /// Notifies the secondaries of a plan of every serial that they have not been notified of.
    pub fn notify(&mut self, plan: &Plan) {
        let mut wanted = HashMap::new();
        let process = &plan.config.process;
        for secondary in &process.secondaries {
            let key = secondary
                .key
                .as_ref()
                .and_then(|name| plan.keyring.key(name));
            for zone in plan
                .zones
                .iter()
                .filter(|zone| secondary.has_zone(zone.apex()))
            {
                for target in &secondary.notify {
                    let job = Job {
                        apex: zone.apex().clone(),
                        serial: zone.serial(),
                        target: *target,
                        source: source(&process.server.listen, *target),
                        key: key.cloned(),
                        counter: self.counter.clone(),
                    };
                    wanted.insert((zone.apex().clone(), *target), job);
                }
            }
        }
        self.notified.retain(|what, (serial, task)| {
            let is_known = wanted.get(what).is_some_and(|job| job.serial == *serial);
            if is_known {
                wanted.remove(what);
            } else {
                task.abort();
            }
            is_known
        });
        for (what, job) in wanted {
            let serial = job.serial;
            let task = tokio::spawn(job.run(Arc::clone(&self.at_once)));
            self.notified.insert(what, (serial, task));
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.notified.values().for_each(|(_, task)| task.abort());
    }
}

/// The first address that we listen on in the target's family, as secondaries take NOTIFY only from
/// the primary that they know; a wildcard leaves it to the routing table.
fn source(listen: &[SocketAddr], target: SocketAddr) -> IpAddr {
    let same_family = |address: &&SocketAddr| address.is_ipv4() == target.is_ipv4();
    match listen.iter().find(same_family) {
        Some(address) => address.ip(),
        None if target.is_ipv4() => Ipv4Addr::UNSPECIFIED.into(),
        None => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl Job {
    async fn run(self, at_once: Arc<Semaphore>) {
        let Ok(_permit) = at_once.acquire().await else {
            return;
        };
        let (zone, serial, target) = (&self.apex, self.serial, self.target);
        let mut fault = "no answer".to_owned();
        for wait in WAITS {
            let end = Instant::now() + Duration::from_secs(wait);
            match timeout_at(end, self.exchange()).await {
                Ok(Ok(0)) => {
                    info!(%zone, serial, secondary = %target, "secondary notified");
                    return self.count("answered");
                }
                Ok(Ok(rcode)) => {
                    warn!(%zone, serial, secondary = %target, rcode, "secondary refused NOTIFY");
                    return self.count("refused");
                }
                Ok(Err(error)) => {
                    fault = error.to_string();
                    tokio::time::sleep_until(end).await;
                }
                Err(_) => {}
            }
        }
        warn!(%zone, serial, secondary = %target, fault, "secondary does not answer NOTIFY");
        self.count("unanswered");
    }

    fn count(&self, result: &str) {
        self.counter.with_label_values(&[result]).inc();
    }

    /// Asks once and waits for the answer; its RCODE.
    async fn exchange(&self) -> io::Result<u8> {
        let socket = UdpSocket::bind(SocketAddr::new(self.source, 0)).await?;
        // From here on the kernel takes nothing from anybody else.
        socket.connect(self.target).await?;
        let id = random::octets::<2>();
        let (request, signer) = self.request(id)?;
        socket.send(&request).await?;
        let mut buffer = [0; MAX_RESPONSE_LEN];
        loop {
            let len = socket.recv(&mut buffer).await?;
            let response = buffer.get(..len).unwrap_or_default();
            let is_signed = || match &signer {
                Some(signer) => signer.is_answered_by(response, unix()),
                None => true,
            };
            if let [id0, id1, flags0, flags1, ..] = response
                && [*id0, *id1] == id
                && flags0 & 0xF8 == 0xA0
                && is_signed()
            {
                return Ok(flags1 & 0x0F);
            }
        }
    }

    fn request(&self, id: [u8; 2]) -> io::Result<(Vec<u8>, Option<Signer>)> {
        let mut message = [&id, HEADER, self.apex.wire(), b"\0\x06\0\x01"].concat();
        let Some(key) = &self.key else {
            return Ok((message, None));
        };
        let len = message.len();
        message.resize(len + key.record_len(), 0);
        let mut signer = Signer::of_request(key);
        match signer.sign(&mut message, len, unix()) {
            Some(_) => Ok((message, Some(signer))),
            None => Err(io::Error::other("the signature does not fit")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifies_leave_from_the_address_that_is_listened_on() {
        let listen =
            ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.2:53"].map(|a| a.parse().unwrap());
        for (listen, target, expected) in [
            (&listen[..], "198.51.100.1:53", "192.0.2.1"),
            (&listen[..], "[2001:db8::53]:53", "2001:db8::1"),
            (&listen[2..], "[2001:db8::53]:53", "::"),
            (&listen[1..2], "198.51.100.1:53", "0.0.0.0"),
        ] {
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(source(listen, target.parse().unwrap()), expected);
        }
    }
}
