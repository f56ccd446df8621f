//! What the handlers of all calls share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::request::Parts;
use tokio::sync::Mutex;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::admin::auth::Access;
use crate::admin::auth::Denied;
use crate::admin::auth::Holder;
use crate::admin::auth::RefusalLog;
use crate::admin::auth::Schemes;
use crate::admin::auth::authenticate;
use crate::admin::auth::authorize;
use crate::admin::auth::holder;
use crate::admin::coverage::Coverage;
use crate::admin::coverage::CoverageCache;
use crate::admin::failure::Failure;
use crate::admin::rates::RateMeter;
use crate::admin::rendered::Rendered;
use crate::base::ix::SteeredIx;
use crate::config::drill;
use crate::config::rights::Change;
use crate::live::Live;
use crate::live::request::Request;
use crate::live::request::Requests;
use crate::state::snapshot::Snapshot;

/// How long a call with a wrong token waits for its answer.
const WRONG_TOKEN_DELAY: Duration = Duration::from_secs(1);

/// Clients that follow the events, at a time.
pub const MAX_FOLLOWERS: usize = 16;

/// Who asks; every request carries one.
#[derive(Clone, Debug)]
pub struct Client {
    /// From where.
    pub address: IpAddr,
    /// Set while the control loop carries out what it asked for.
    pub is_served: Arc<AtomicBool>,
    /// Set when it follows the events: it has no deadline then.
    pub is_follower: Arc<AtomicBool>,
    /// Becomes true when the server stops.
    pub stop: watch::Receiver<bool>,
}

/// What the API is about.
pub struct Site {
    /// The running process.
    pub live: Arc<Live>,
    /// Where changes are asked for.
    pub requests: Requests,
    /// What is needed for that.
    pub access: watch::Receiver<Access>,
    /// The names by which the listener may be called, besides addresses and `localhost`.
    pub hosts: Vec<Box<str>>,
}

/// What the handlers share.
pub struct Shared {
    /// What the API is about.
    pub site: Site,
    refusals: RefusalLog,
    /// Room for clients that follow the events.
    pub followers: Arc<Semaphore>,
    /// The status page.
    pub front: Rendered,
    /// The status page of those who want something else to see of it.
    pub chosen_front: Rendered,
    /// The page's map.
    pub coverage: Arc<CoverageCache>,
    /// Held while it is counted whom a drain would move.
    pub preview: Mutex<()>,
    /// The page's rates.
    pub rate_meter: RateMeter,
    /// `/metrics`.
    pub metrics: Rendered,
    /// `/api/v1/status`.
    pub status: Rendered,
}

/// Calls that take no parameters refuse them.
pub struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(Failure::bad("this call takes no parameters")),
        }
    }
}

impl Shared {
    /// Nothing is rendered yet.
    pub fn new(site: Site) -> Self {
        Self {
            site,
            refusals: RefusalLog::default(),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            front: Rendered::new(),
            chosen_front: Rendered::new(),
            coverage: Arc::default(),
            preview: Mutex::default(),
            rate_meter: RateMeter::default(),
            metrics: Rendered::new(),
            status: Rendered::new(),
        }
    }

    /// The steered names, by `SteeredIx`.
    pub fn steered_names(&self) -> Vec<String> {
        let plan = &self.site.live.snapshots.current().plan;
        let names = plan.config.pools.steered.iter();
        names.map(|steered| steered.owner.plain()).collect()
    }

    /// Which pools serve the clients of a name, or of the first if there is none of that name.
    pub fn coverage_of(&self, snapshot: &Arc<Snapshot>, name: &str) -> Option<Arc<Coverage>> {
        let mut names = snapshot.plan.config.pools.steered.iter();
        let ix = names.position(|steered| steered.owner.plain() == name);
        let ix = SteeredIx::new(ix.unwrap_or(0));
        snapshot.steered.get(ix.index())?;
        self.coverage.get(snapshot, ix)
    }

    /// Whether a pool is configured.
    pub fn is_served(&self, pool: &str) -> bool {
        let plan = &self.site.live.snapshots.current().plan;
        plan.config.pools.pools.iter().any(|p| *p.name == *pool)
    }

    /// How long a drill of a pool lasts.
    pub fn drill_length(&self, pool: &str) -> Duration {
        let plan = &self.site.live.snapshots.current().plan;
        let mut pools = plan.config.pools.pools.iter();
        let found = pools.find(|p| *p.name == *pool);
        let drill = found.and_then(|pool| pool.drill.as_ref());
        drill.map_or(drill::LENGTH, |drill| drill.length)
    }

    /// The failure of a call about a pool that is not configured.
    pub fn no_pool(&self, pool: &str) -> Failure {
        let plan = &self.site.live.snapshots.current().plan;
        let pools = plan.config.pools.pools.iter();
        Failure::no_pool(pool, pools.map(|pool| &*pool.name))
    }

    /// Judges a call that changes something, and returns the name of its token. Wrong tokens are answered
    /// late.
    pub async fn authorize(
        &self,
        client: &Client,
        headers: &HeaderMap,
        change: Change<'_>,
    ) -> Result<Arc<str>, Failure> {
        let judged = authorize(&self.site.access.borrow(), headers, change);
        self.judged(client, judged).await
    }

    /// The same by a token that stands in a form.
    pub async fn authorize_token(
        &self,
        client: &Client,
        token: &str,
        change: Change<'_>,
    ) -> Result<Arc<str>, Failure> {
        let token = Some(token.trim().as_bytes()).filter(|token| !token.is_empty());
        let holder = holder(&self.site.access.borrow(), token);
        let judged = holder.and_then(|holder| holder.permit(change));
        self.judged(client, judged).await
    }

    /// Finds out who makes a call, by a bearer token or Basic credentials. Wrong ones are answered late.
    pub async fn authenticate(
        &self,
        client: &Client,
        headers: &HeaderMap,
    ) -> Result<Holder, Failure> {
        let judged = authenticate(&self.site.access.borrow(), headers, Schemes::BearerOrBasic);
        self.judged(client, judged).await
    }

    /// Counts and logs a call that is denied.
    pub async fn judged<T>(
        &self,
        client: &Client,
        judged: Result<T, Denied>,
    ) -> Result<T, Failure> {
        if let Err(denied) = &judged {
            self.count_refusal(denied.label());
            self.refusals.refused(client.address, denied);
            if *denied == Denied::Wrong {
                sleep(WRONG_TOKEN_DELAY).await;
            }
        }
        Ok(judged?)
    }

    /// Has the control loop do something and waits until it is done.
    pub async fn ask<T>(
        &self,
        client: &Client,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Failure> {
        let answer = self.send(client, request).await?;
        // Who has changed something finds it on every page.
        for page in [&self.front, &self.chosen_front, &self.metrics, &self.status] {
            page.outdate().await;
        }
        Ok(answer)
    }

    /// The same for what changes nothing.
    pub async fn send<T>(
        &self,
        client: &Client,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Failure> {
        client.is_served.store(true, Relaxed);
        let stopping = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
        let (reply, answer) = oneshot::channel();
        let requests = &self.site.requests;
        requests
            .send(request(reply))
            .await
            .map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Counts a refused call.
    pub fn count_refusal(&self, reason: &str) {
        let meters = &self.site.live.meters;
        meters.admin_refused.with_label_values(&[reason]).inc();
    }
}
