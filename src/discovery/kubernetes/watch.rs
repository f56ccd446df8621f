//! The watch of one object: a list, then watches that go on from one another.
//!
//! Each watch is ended by the server after a minute, and the next one goes on from the version that was seen last. So
//! a connection that is dead, or a right that was withdrawn, is noticed within a bit more than a minute, and
//! `last_success` says how old the knowledge is. A version that the server no longer knows (410 Gone) and a
//! failure both begin with a list again.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::StreamExt;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::GroupVersionKind;
use kube::api::ListParams;
use kube::api::WatchEvent;
use kube::api::WatchParams;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::sleep_until;
use tokio::time::timeout;

use crate::config::kubernetes::Kind;
use crate::config::kubernetes::Object;
use crate::discovery::found::Found;
use crate::discovery::kubernetes::connector::Connector;
use crate::discovery::kubernetes::fault;
use crate::discovery::kubernetes::status;
use crate::live::random;
use crate::state::object::ObjectReport;

/// How long the server is asked to keep a watch open, in seconds.
const WATCH_SECONDS: u32 = 60;

/// A watch that is older than this is on a connection that is dead.
const WATCH_DEADLINE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// How long a response may take to begin, with the credentials that it needs.
const RESPONSE_DEADLINE: Duration = Duration::from_secs(15);

/// Lists and watches of one object begin no faster than this, whatever the server does.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after failures, which begins with the shortest one and doubles each time.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Why a watch ends.
enum End {
    /// Nobody takes what is found.
    Closed,
    /// The reason.
    Failed(Box<str>),
    /// The version to go on from is too old.
    Gone,
}

impl From<kube::Error> for End {
    fn from(error: kube::Error) -> Self {
        match fault::is_gone(&error) {
            true => Self::Gone,
            false => Self::Failed(fault::reason(&error)),
        }
    }
}

/// Watches an object until nobody takes what is found.
pub(super) async fn follow(
    object: Arc<Object>,
    connector: Arc<Connector>,
    found: mpsc::Sender<Found>,
) {
    let mut watch = Watch {
        object,
        connector,
        found,
        next_turn: Instant::now(),
        n_failures: 0,
    };
    loop {
        let Err(end) = watch.run().await;
        let reason = match end {
            End::Closed => return,
            End::Failed(reason) => reason,
            End::Gone => continue,
        };
        if watch.report(ObjectReport::Failed(reason)).await.is_err() {
            return;
        }
        let [random] = random::octets();
        sleep(pause(watch.n_failures, random)).await;
        watch.n_failures = watch.n_failures.saturating_add(1);
    }
}

struct Watch {
    object: Arc<Object>,
    connector: Arc<Connector>,
    found: mpsc::Sender<Found>,
    /// When the next list or watch may begin.
    next_turn: Instant,
    /// In a row.
    n_failures: u32,
}

impl Watch {
    /// Lists and watches until something fails.
    async fn run(&mut self) -> Result<Infallible, End> {
        self.turn().await;
        let connection = self.connector.connect().await.map_err(End::Failed)?;
        let result = self.watch(connection.client.clone()).await;
        if let Err(End::Failed(_)) = result {
            self.connector.forget(&connection).await;
        }
        result
    }

    async fn watch(&mut self, client: Client) -> Result<Infallible, End> {
        let (namespace, resource) = (&self.object.namespace, resource(self.object.kind));
        let api = Api::<DynamicObject>::namespaced_with(client, namespace, &resource);
        let field = format!("metadata.name={}", self.object.name);
        let params = ListParams::default().fields(&field);
        let list = in_time(api.list(&params)).await?;
        let mut version = version(list.metadata.resource_version)?;
        let found = list.items.iter().find(|found| self.is_it(found));
        let mut listed = Some(found.map_or(ObjectReport::Missing, |found| self.addresses(found)));
        let params = WatchParams::default().fields(&field).timeout(WATCH_SECONDS);
        loop {
            let mut events = pin!(in_time(api.watch(&params, &version)).await?);
            // Only now: who may list and not watch would be told of changes by nobody.
            self.report(listed.take().unwrap_or(ObjectReport::Unchanged))
                .await?;
            self.n_failures = 0;
            while let Some(event) = next_of(&mut events).await? {
                version = self.take(event?).await?;
            }
            self.turn().await;
        }
    }

    /// Takes an event, and returns the version that the object has by it.
    async fn take(&self, event: WatchEvent<DynamicObject>) -> Result<String, End> {
        let (object, report) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let report = self.addresses(&object);
                (object, report)
            }
            WatchEvent::Deleted(object) => (object, ObjectReport::Missing),
            WatchEvent::Bookmark(bookmark) => {
                self.report(ObjectReport::Unchanged).await?;
                return version(Some(bookmark.metadata.resource_version));
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        };
        if self.is_it(&object) {
            self.report(report).await?;
        }
        version(object.metadata.resource_version)
    }

    /// Whether it is the object that was asked for: a server may pass selectors over.
    fn is_it(&self, found: &DynamicObject) -> bool {
        found.metadata.name.as_deref() == Some(&*self.object.name)
    }

    fn addresses(&self, found: &DynamicObject) -> ObjectReport {
        ObjectReport::Addresses(status::entries(self.object.kind, &found.data))
    }

    async fn report(&self, report: ObjectReport) -> Result<(), End> {
        let found = Found::Object {
            object: Arc::clone(&self.object),
            report,
        };
        let sent = self.found.send(found).await;
        sent.map_err(|_| End::Closed)
    }

    async fn turn(&mut self) {
        sleep_until(self.next_turn).await;
        self.next_turn = Instant::now() + MIN_PAUSE;
    }
}

fn resource(kind: Kind) -> ApiResource {
    let (group, version, kind, plural) = match kind {
        Kind::Gateway => ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
        Kind::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
        Kind::Service => ("", "v1", "Service", "services"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// The result of a request, or that there is none.
async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, End> {
    match timeout(RESPONSE_DEADLINE, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(End::Failed("no response in time".into())),
    }
}

/// The next event of a watch; `None`: the server has ended it.
async fn next_of<S: Stream + Unpin>(events: &mut S) -> Result<Option<S::Item>, End> {
    let next = timeout(WATCH_DEADLINE, events.next()).await;
    next.map_err(|_| End::Failed("the connection is dead: no watch has ended in time".into()))
}

/// The version that a watch goes on from.
fn version(found: Option<String>) -> Result<String, End> {
    let found = found.filter(|version| !version.is_empty());
    found.ok_or_else(|| End::Failed("the response has no resourceVersion to watch from".into()))
}

/// How long to wait after so many failures before this one.
fn pause(n_failures: u32, random: u8) -> Duration {
    let longest = (MIN_PAUSE * (1 << n_failures.min(10))).min(MAX_PAUSE);
    longest - longest / 10 * u32::from(random) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ() {
        for (n_failures, longest) in [(0, 1.0), (1, 2.0), (4, 15.0), (5, 15.0), (u32::MAX, 15.0)] {
            let [shortest, most] =
                [u8::MAX, 0].map(|random| pause(n_failures, random).as_secs_f64());
            assert_eq!((shortest, most), (longest * 0.9, longest), "{n_failures}");
        }
    }
}
