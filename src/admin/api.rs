//! The routes, and what each call answers.
//!
//! Every error is `{"error": "…"}`, also where no route or method fits. What changes something is
//! judged in a fixed order: token (401, 403), pool (404), body (400, 408, 413); then it goes to the
//! control loop, and the answer comes back once the change is served.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use axum::routing::put;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::admin::auth::Denied;
use crate::admin::auth::Token;
use crate::admin::auth::authorize;
use crate::admin::json;
use crate::admin::json::Explanation;
use crate::admin::json::Status;
use crate::admin::json::status;
use crate::admin::json::waiting_for;
use crate::admin::metrics;
use crate::admin::page;
use crate::base::diag::Severity;
use crate::config::units::duration;
use crate::engine::explain::explain;
use crate::engine::question::Question;
use crate::health::overrides::Override;
use crate::live::Live;
use crate::live::clock::unix;
use crate::live::request::NotSaved;
use crate::live::request::Request;
use crate::live::request::Requests;

/// The largest body that is read, in octets.
const MAX_BODY: usize = 64 * 1024;

/// How much of a larger body is read and thrown away, so that the client comes to read the answer.
const MAX_DISCARDED: usize = 16 * MAX_BODY;

/// For a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest reason of an override, in characters.
const MAX_REASON: usize = 256;

/// The last second of the year 9999, behind which times are hard to print.
const MAX_UNIX: u64 = 253_402_300_799;

/// Who asks; every request carries one.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What the handlers share.
struct Shared {
    live: Arc<Live>,
    requests: Requests,
    token: Option<Token>,
}

/// All routes; requests must carry a [`Peer`].
pub fn router(live: Arc<Live>, requests: Requests, token: Option<Token>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/healthz", get(healthz))
        .route("/_ready", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(tell))
        .route("/api/v1/explain", get(explain_query))
        .route(
            "/api/v1/overrides/{pool}",
            put(set_override).delete(clear_override),
        )
        .route("/api/v1/reload", post(reload))
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take that method",
            )
        })
        .with_state(Arc::new(Shared {
            live,
            requests,
            token,
        }))
}

async fn front(State(shared): State<Arc<Shared>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            page::CONTENT_SECURITY_POLICY,
        ),
        (header::CACHE_CONTROL, NO_STORE),
    ];
    (headers, page::html(&status(&shared.live))).into_response()
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match waiting_for(&shared.live) {
        None => (StatusCode::OK, "ready\n".into()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    let headers = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (headers, metrics::text(&shared.live)).into_response()
}

async fn tell(State(shared): State<Arc<Shared>>) -> Json<Status> {
    Json(status(&shared.live))
}

/// The parameters of `/api/v1/explain`; an empty one counts as left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExplainQuery {
    name: String,
    r#type: String,
    client: String,
}

async fn explain_query(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<Explanation>, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    if query.name.is_empty() {
        return Err(Failure::bad(
            "`name` is missing, expected `?name=app.example.com`",
        ));
    }
    let given = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let (qtype, client) = (given(&query.r#type), given(&query.client));
    let question = Question::parse(&query.name, qtype.as_deref(), client.as_deref(), peer)
        .map_err(|error| Failure::bad(error.to_string()))?;
    let snapshot = shared.live.snapshots.current();
    let explanation = explain(&snapshot, question, &|_, _| None);
    Ok(Json(json::explanation(&explanation, &snapshot)))
}

/// The body of `PUT /api/v1/overrides/POOL`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideBody {
    state: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
    reason: Option<String>,
}

impl OverrideBody {
    fn parse(bytes: &[u8], now: u64) -> Result<Override, Failure> {
        let body: Self = serde_json::from_slice(bytes).map_err(|error| {
            Failure::bad(format!(
                "{error}, expected an object such as \
                 {{\"state\":\"drain\",\"for\":\"2h\",\"reason\":\"…\"}}"
            ))
        })?;
        let state = body.state.parse().map_err(|_| {
            Failure::bad(format!(
                "`state`: `{}` is not taken, expected \"drain\", \"up\" or \"down\"",
                body.state
            ))
        })?;
        let until = match body.lasts {
            Some(text) => Some(end(&text, now).ok_or_else(|| {
                Failure::bad(format!(
                    "`for`: `{text}` is not taken, expected a duration above 0s such as \"30m\", \
                     \"2h\" or \"1d12h\""
                ))
            })?),
            None => None,
        };
        let reason = body.reason.unwrap_or_default();
        // It is shown on terminals and in logs as it stands.
        if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(Failure::bad(format!(
                "`reason` is not taken, expected at most {MAX_REASON} characters on one line"
            )));
        }
        Ok(Override {
            state,
            since: now,
            until,
            reason: reason.into(),
        })
    }
}

/// When something ends that begins now, rounded up to a second and at most in the year 9999.
fn end(text: &str, now: u64) -> Option<u64> {
    let lasts = duration(text)?;
    let seconds = lasts.as_secs() + u64::from(lasts.subsec_nanos() > 0);
    let until = now.checked_add(seconds)?;
    (seconds > 0 && until <= MAX_UNIX).then_some(until)
}

async fn set_override(
    State(shared): State<Arc<Shared>>,
    pool: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PoolOverride>, Failure> {
    authorize(shared.token.as_ref(), &headers)?;
    let pool = pool_name(pool)?;
    if !shared.is_served(&pool) {
        return Err(Failure::no_pool(&pool));
    }
    let override_ = OverrideBody::parse(&read_body(body).await?, unix())?;
    let told = json::word(&override_);
    let name = pool.as_str().into();
    shared
        .ask(|reply| Request::SetOverride {
            pool: name,
            override_,
            reply,
        })
        .await??;
    Ok(Json(PoolOverride {
        pool,
        r#override: Some(told),
    }))
}

async fn clear_override(
    State(shared): State<Arc<Shared>>,
    pool: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<PoolOverride>, Failure> {
    authorize(shared.token.as_ref(), &headers)?;
    let pool = pool_name(pool)?;
    let name = pool.as_str().into();
    let was_there = shared
        .ask(|reply| Request::ClearOverride { pool: name, reply })
        .await??;
    // A word about a pool that a reload took away can still be taken back.
    if !was_there && !shared.is_served(&pool) {
        return Err(Failure::no_pool(&pool));
    }
    Ok(Json(PoolOverride {
        pool,
        r#override: None,
    }))
}

/// What a call about overrides answers.
#[derive(Debug, Serialize)]
struct PoolOverride {
    pool: String,
    /// What is said of it now; null: nothing.
    r#override: Option<json::Override>,
}

/// What `POST /api/v1/reload` answers.
#[derive(Debug, Serialize)]
struct Reloaded {
    warnings: Vec<String>,
}

async fn reload(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Reloaded>, Failure> {
    authorize(shared.token.as_ref(), &headers)?;
    match shared.ask(|reply| Request::Reload { reply }).await? {
        Ok(report) => Ok(Json(Reloaded {
            warnings: json::lines(&report, Severity::Warning),
        })),
        Err(report) => Err(Failure {
            faults: json::lines(&report, Severity::Error),
            ..Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "the files are refused, what was served before is served on",
            )
        }),
    }
}

impl Shared {
    fn is_served(&self, pool: &str) -> bool {
        let plan = &self.live.snapshots.current().plan;
        plan.config.pools.pools.iter().any(|p| *p.name == *pool)
    }

    /// Has the control loop do something and waits until it is done.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Failure> {
        let stopping = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

fn pool_name(pool: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    match pool {
        Ok(Path(pool)) => Ok(pool),
        Err(rejection) => Err(Failure::bad(rejection.body_text())),
    }
}

/// Reads a whole body within its limits of time and size.
async fn read_body(mut body: Body) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let reading = async {
        let mut len = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::bad("the body ends too early"))?;
            let data = frame.into_data().unwrap_or_default();
            len += data.len();
            if len <= MAX_BODY {
                bytes.extend_from_slice(&data);
            } else if len > MAX_DISCARDED {
                break;
            }
        }
        match len <= MAX_BODY {
            true => Ok(()),
            false => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is too large, expected at most {MAX_BODY} octets"),
            )),
        }
    };
    match timeout(BODY_TIMEOUT, reading).await {
        Ok(result) => result.map(|()| bytes),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

/// A call that failed.
#[derive(Debug, Serialize)]
struct Failure {
    #[serde(skip)]
    status: StatusCode,
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            faults: Vec::new(),
            challenge: None,
        }
    }

    fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    fn no_pool(pool: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("pool `{pool}` is not defined"),
        )
    }
}

impl From<NotSaved> for Failure {
    fn from(not_saved: NotSaved) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, not_saved.to_string())
    }
}

impl From<Denied> for Failure {
    /// The challenges of RFC 6750 s3.
    fn from(denied: Denied) -> Self {
        let (status, challenge) = match denied {
            Denied::Missing => (StatusCode::UNAUTHORIZED, Some("Bearer realm=\"meridian\"")),
            Denied::NotConfigured => (StatusCode::FORBIDDEN, None),
            Denied::Wrong => (
                StatusCode::UNAUTHORIZED,
                Some("Bearer realm=\"meridian\", error=\"invalid_token\""),
            ),
        };
        Self {
            challenge,
            ..Self::new(status, denied.to_string())
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let challenge = self
            .challenge
            .map(|text| [(header::WWW_AUTHENTICATE, text)]);
        (self.status, challenge, Json(self)).into_response()
    }
}

const NO_STORE: &str = "no-store";
