//! The addresses of proxies that are given by name.
//!
//! The system's resolver (getaddrinfo) has no timeout that a caller can set: with dead name servers
//! one call takes 45 s and more. Each lookup therefore has a thread of its own, never one of the
//! runtime's, which edits, reloads and saved state wait for. There is one lookup at a time per name,
//! and few in all. Those who wait do so until their probe's deadline and no longer; known addresses
//! are used while they are looked up again, and as long as that fails.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::base::lock::lock;

/// How long addresses are used before they are looked up again; getaddrinfo does not return the TTL.
const REFRESH: Duration = Duration::from_secs(30);

/// How long after a failed lookup the next one may start.
const RETRY: Duration = Duration::from_secs(5);

/// The most lookups at a time; more names than that wait for a later probe.
const MAX_LOOKUPS: usize = 8;

/// Looks a name up; may take as long as it likes.
type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Resolves names and remembers the results; clones share them.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    names: Arc<Mutex<HashMap<Box<str>, Name>>>,
    lookups: Arc<Semaphore>,
}

/// A name that was asked for.
struct Name {
    result: watch::Sender<Resolved>,
    /// When the latest lookup began.
    asked: Option<Instant>,
}

/// What is known about a name.
#[derive(Clone, Debug, Default)]
struct Resolved {
    /// Those of the latest lookup that succeeded.
    addresses: Arc<[IpAddr]>,
    /// Why the latest lookup failed.
    fault: Option<Arc<str>>,
    is_running: bool,
}

impl Resolver {
    /// Asks the system's resolver.
    pub(super) fn system() -> Self {
        Self::with(Arc::new(|name: &str| {
            let addresses = (name, 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        }))
    }

    fn with(lookup: Lookup) -> Self {
        Self {
            lookup,
            names: Arc::default(),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }

    /// The addresses of a host, which may itself be one; never empty.
    ///
    /// # Errors
    /// If there are none, or none by the deadline: the reason.
    pub(super) async fn addresses(
        &self,
        host: &str,
        deadline: Instant,
    ) -> Result<Arc<[IpAddr]>, Arc<str>> {
        if let Ok(address) = host.parse() {
            return Ok([address].into());
        }
        let mut result = self.look_up(host);
        let settled = result.wait_for(|known| !known.addresses.is_empty() || !known.is_running);
        match timeout_at(deadline, settled).await {
            Ok(Ok(known)) if !known.addresses.is_empty() => Ok(Arc::clone(&known.addresses)),
            Ok(Ok(known)) => Err(match &known.fault {
                Some(fault) => Arc::clone(fault),
                None => "too many other names are being resolved".into(),
            }),
            Ok(Err(_)) | Err(_) => Err("the system's resolver does not answer".into()),
        }
    }

    /// Starts a lookup if one is due and there is room for it.
    fn look_up(&self, host: &str) -> watch::Receiver<Resolved> {
        let mut names = lock(&self.names);
        let name = names.entry(host.into()).or_insert_with(|| Name {
            result: watch::Sender::default(),
            asked: None,
        });
        let receiver = name.result.subscribe();
        let is_due = {
            let known = name.result.borrow();
            let pause = if known.fault.is_some() {
                RETRY
            } else {
                REFRESH
            };
            !known.is_running && name.asked.is_none_or(|asked| asked.elapsed() >= pause)
        };
        if is_due && let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() {
            name.asked = Some(Instant::now());
            name.result.send_modify(|known| known.is_running = true);
            let (result, host) = (name.result.clone(), Box::<str>::from(host));
            let lookup = Arc::clone(&self.lookup);
            let thread = thread::Builder::new().name("resolver".into());
            let started = thread.spawn(move || {
                let found = lookup(&host);
                drop(permit);
                result.send_modify(|known| known.take(found));
            });
            if let Err(error) = started {
                name.result.send_modify(|known| known.take(Err(error)));
            }
        }
        receiver
    }
}

impl Resolved {
    fn take(&mut self, found: io::Result<Vec<IpAddr>>) {
        self.is_running = false;
        self.fault = match found {
            Ok(addresses) if addresses.is_empty() => Some("the name has no address".into()),
            Ok(addresses) => {
                self.addresses = addresses.into();
                None
            }
            Err(error) => Some(error.to_string().into()),
        };
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;

    use tokio::time::advance;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn patient() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// A resolver that answers what is sent, one result per lookup, and waits for it.
    fn scripted() -> (mpsc::Sender<io::Result<Vec<IpAddr>>>, Resolver) {
        let (answer, answers) = mpsc::channel();
        let answers = Mutex::new(answers);
        let lookup = move |_: &str| lock(&answers).recv().unwrap_or_else(|_| Ok(Vec::new()));
        (answer, Resolver::with(Arc::new(lookup)))
    }

    #[tokio::test]
    async fn an_address_is_its_own() {
        let (_answer, resolver) = scripted();
        for host in ["127.0.0.1", "::1"] {
            let found = resolver.addresses(host, soon()).await.expect("an address");
            assert_eq!(found[..], [host.parse::<IpAddr>().expect("an address")]);
        }
    }

    #[tokio::test]
    async fn a_silent_resolver_holds_up_nobody_beyond_the_deadline() {
        let (answer, resolver) = scripted();
        for _ in 0..3 {
            let fault = resolver.addresses("proxy", soon()).await.expect_err("late");
            assert_eq!(&*fault, "the system's resolver does not answer");
        }
        // One lookup for all of them; when it succeeds at last, its result is used.
        answer.send(Ok(vec![ADDRESS])).expect("a lookup");
        let found = resolver.addresses("proxy", patient()).await;
        assert_eq!(found.expect("an address")[..], [ADDRESS]);
    }

    #[tokio::test]
    async fn names_beyond_the_most_lookups_wait_for_a_later_probe() {
        let (_answer, resolver) = scripted();
        for i in 0..MAX_LOOKUPS {
            let fault = resolver.addresses(&format!("proxy{i}"), soon()).await;
            assert!(fault.is_err());
        }
        let fault = resolver.addresses("one more", patient()).await;
        assert_eq!(
            &*fault.expect_err("no room"),
            "too many other names are being resolved"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn known_addresses_outlive_failed_lookups() {
        let (answer, resolver) = scripted();
        let result = |resolver: &Resolver| {
            let names = lock(&resolver.names);
            names["proxy"].result.subscribe()
        };
        let settled = |known: &Resolved| !known.is_running;
        answer.send(Ok(vec![ADDRESS])).expect("a channel");
        resolver.look_up("proxy");
        result(&resolver).wait_for(settled).await.expect("a result");
        answer
            .send(Err(io::ErrorKind::Other.into()))
            .expect("a channel");
        // Not due yet; then due, and failing.
        advance(REFRESH / 2).await;
        assert!(!resolver.look_up("proxy").borrow().is_running);
        advance(REFRESH / 2).await;
        assert_eq!(
            resolver.addresses("proxy", soon()).await.expect("old")[..],
            [ADDRESS]
        );
        result(&resolver).wait_for(settled).await.expect("a result");
        assert!(result(&resolver).borrow().fault.is_some());
        assert_eq!(
            resolver.addresses("proxy", soon()).await.expect("old")[..],
            [ADDRESS]
        );
    }
}
