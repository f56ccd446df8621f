//! Floor 7: discovery. Finds out which endpoints pools have where the operator's file names only who knows
//! them.
//!
//! Each host name has a task that resolves it again when its TTL is over, each Kubernetes object one that watches
//! it. What was found goes to the control loop, which judges it and keeps it: nothing is remembered here.

pub mod found;
#[cfg(feature = "kubernetes")]
mod kubernetes;
pub mod resolver;
mod task;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::time::sleep;

#[cfg(feature = "kubernetes")]
use crate::config::kubernetes::Cluster;
#[cfg(feature = "kubernetes")]
use crate::config::kubernetes::Object;
use crate::discovery::found::Found;
#[cfg(feature = "kubernetes")]
use crate::discovery::kubernetes::Watches;
use crate::discovery::resolver::Resolver;
use crate::discovery::task::Task;
use crate::live::random;
use crate::state::resolved::MAX_TTL;
use crate::state::resolved::MIN_TTL;

/// Names that are resolved at a time.
const MAX_IN_FLIGHT: usize = 16;

/// The longest pause after failures, which begins with the shortest one and doubles each time.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Pauses differ at random by one part in so many, so that names do not fall into step.
const JITTER: u32 = 10;

/// Resolves names and watches objects for as long as it lives.
pub struct Discovery {
    resolver: Arc<Resolver>,
    servers: Vec<SocketAddr>,
    in_flight: Arc<Semaphore>,
    found: mpsc::Sender<Found>,
    tasks: HashMap<Arc<str>, Task>,
    #[cfg(feature = "kubernetes")]
    watches: Watches,
}

impl Discovery {
    /// None yet; what is found goes to `found`.
    pub fn new(found: mpsc::Sender<Found>) -> Self {
        Self {
            resolver: Arc::new(Resolver::new(Vec::new())),
            servers: Vec::new(),
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            #[cfg(feature = "kubernetes")]
            watches: Watches::new(found.clone()),
            found,
            tasks: HashMap::new(),
        }
    }

    /// Resolves these names from now on, by these servers; none: those of the system. Names that stay keep
    /// their pace, unless the servers are others.
    pub fn replace(&mut self, hosts: &BTreeSet<Arc<str>>, servers: &[SocketAddr]) {
        if self.servers != servers {
            self.servers = servers.to_vec();
            self.resolver = Arc::new(Resolver::new(servers.to_vec()));
            self.tasks.clear();
        }
        self.tasks.retain(|host, _| hosts.contains(host));
        for host in hosts {
            if !self.tasks.contains_key(host) {
                let task = tokio::spawn(follow(
                    Arc::clone(host),
                    Arc::clone(&self.resolver),
                    Arc::clone(&self.in_flight),
                    self.found.clone(),
                ));
                self.tasks.insert(Arc::clone(host), Task(task));
            }
        }
    }
}

#[cfg(feature = "kubernetes")]
impl Discovery {
    /// Watches these objects from now on, in these clusters.
    pub fn watch(&mut self, objects: &BTreeSet<Arc<Object>>, clusters: &[Cluster]) {
        self.watches.replace(objects, clusters);
    }
}

/// Resolves a name again and again, until nobody takes what is found.
async fn follow(
    host: Arc<str>,
    resolver: Arc<Resolver>,
    in_flight: Arc<Semaphore>,
    found: mpsc::Sender<Found>,
) {
    let mut n_failures = 0;
    while let Ok(permit) = in_flight.acquire().await {
        let resolution = resolver.resolve(&host).await;
        drop(permit);
        n_failures = match resolution.ttl {
            Some(_) => 0,
            None => n_failures + 1,
        };
        let resolved = Found::Host {
            host: Arc::clone(&host),
            lookups: resolution.lookups,
            ttl: resolution.ttl,
        };
        if found.send(resolved).await.is_err() {
            return;
        }
        let [random] = random::octets();
        sleep(pause(resolution.ttl, n_failures, random)).await;
    }
}

/// How long to wait before a name is resolved again.
fn pause(ttl: Option<Duration>, n_failures: u32, random: u8) -> Duration {
    let longest = match ttl {
        Some(_) => MAX_TTL,
        None => MAX_RETRY,
    };
    let doubled = MIN_TTL * (1 << n_failures.saturating_sub(1).min(10));
    let jitter = |pause: Duration| pause / JITTER * u32::from(random) / u32::from(u8::MAX);
    let pause = ttl.unwrap_or(doubled).min(longest);
    let longest = longest - jitter(longest);
    (pause + jitter(pause)).min(longest).max(MIN_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_ttl_within_bounds_and_differ() {
        for (ttl, n_failures, earliest, latest) in [
            (Some(0), 0, 5.0, 5.0),
            (Some(5), 0, 5.0, 5.5),
            (Some(60), 0, 60.0, 66.0),
            (Some(299), 0, 270.0, 300.0),
            (Some(86_400), 0, 270.0, 300.0),
            (Some(u32::MAX), 0, 270.0, 300.0),
            (None, 1, 5.0, 5.5),
            (None, 2, 10.0, 11.0),
            (None, 4, 40.0, 44.0),
            (None, 5, 54.0, 60.0),
            (None, u32::MAX, 54.0, 60.0),
        ] {
            let ttl = ttl.map(|seconds: u32| Duration::from_secs(seconds.into()));
            let pauses = (0..=u8::MAX).map(|random| pause(ttl, n_failures, random).as_secs_f64());
            let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
            for pause in pauses {
                (low, high) = (low.min(pause), high.max(pause));
            }
            let row = format!("{ttl:?} {n_failures}: {low} to {high}");
            assert!(low >= earliest && high <= latest, "{row}");
            assert!(latest - earliest < 0.1 || high - low > 0.4, "{row}");
        }
    }
}
