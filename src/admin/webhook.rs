//! `/webhook`: the provider that external-dns calls (`--provider=webhook`, `--webhook-provider-url`), so that each
//! cluster fills its own pool of a steered name.
//!
//! It is told of failures by the status alone, and logs nothing else: the reasons are in this server's log too.
//! Calls are judged in a fixed order: token (401, 403), media types (406, 415), body (400, 408, 413), content (403,
//! 422). What is refused changes nothing.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::StatusCode;
use axum::http::header::ACCEPT;
use axum::http::header::CONTENT_TYPE;
use axum::http::header::VARY;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::warn;

use crate::admin::auth::Holder;
use crate::admin::body::read_body_of;
use crate::admin::failure::Failure;
use crate::admin::site::Client;
use crate::admin::site::Shared;
use crate::admin::webhook_records::Changes;
use crate::admin::webhook_records::Refused;
use crate::admin::webhook_records::Scope;
use crate::live::request::Request;
use crate::state::external::RecordChanges;
use crate::state::snapshot::Snapshot;

/// The media type of everything that is exchanged.
const MEDIA_TYPE: &str = "application/external.dns.webhook+json;version=1";

/// The largest body, in octets: external-dns has all endpoints of its cluster adjusted in one call.
const MAX_BODY: usize = 4 << 20;

/// The label of refused calls in `admin_refused_total`.
const REFUSED: &str = "webhook";

/// A body with its headers. The first versions of external-dns insist on `Vary`.
type Typed = ([(HeaderName, &'static str); 2], Vec<u8>);

/// `GET /webhook`: the names that this token's pools are for.
pub(super) async fn negotiate(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Result<Typed, Failure> {
    let call = Call::begin(&shared, &client, &headers).await?;
    call.finish(call.check_accept(&headers).and_then(|()| {
        let filter = call.scope().filter();
        let filter = filter.ok_or_else(|| Failure::new(StatusCode::CONFLICT, NO_NAMES))?;
        typed(&filter)
    }))
}

/// `GET /webhook/records`: what has been set.
pub(super) async fn records(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Result<Typed, Failure> {
    let call = Call::begin(&shared, &client, &headers).await?;
    call.finish(call.check_accept(&headers).and_then(|()| {
        let sources = shared.site.live.sources.read();
        typed(&call.scope().records(&sources))
    }))
}

/// `POST /webhook/records`: makes changes, all of them or none.
pub(super) async fn apply(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    let call = Call::begin(&shared, &client, &headers).await?;
    let read = call.read::<Changes>(&headers, body).await;
    let result = match read.map(|changes| call.scope().read(changes)) {
        Ok(Ok(changes)) => call.change(&client, changes).await,
        Ok(Err(Refused::Faults(faults))) => Err(Failure::refused_endpoints(faults)),
        Ok(Err(Refused::Denied(denied))) => return shared.judged(&client, Err(denied)).await,
        Err(failure) => Err(failure),
    };
    call.finish(result.map(|()| StatusCode::NO_CONTENT))
}

/// `POST /webhook/adjustendpoints`: what is wanted, in the form in which it will be listed.
pub(super) async fn adjust(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Typed, Failure> {
    let call = Call::begin(&shared, &client, &headers).await?;
    // Without any, Go's encoder writes null.
    let read = call.read::<Option<Vec<Value>>>(&headers, body).await;
    call.finish(read.and_then(|endpoints| {
        let mut endpoints = endpoints.unwrap_or_default();
        call.scope().adjust(&mut endpoints);
        typed(&endpoints)
    }))
}

/// `GET /webhook/healthz`, for the probes of whoever runs external-dns.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

const NO_NAMES: &str =
    "no [steer] name uses a pool with `source = \"api\"` that this token's `can` permits";

/// A call whose sender is known.
struct Call<'a> {
    shared: &'a Shared,
    holder: Holder,
    snapshot: Arc<Snapshot>,
}

impl<'a> Call<'a> {
    async fn begin(
        shared: &'a Shared,
        client: &Client,
        headers: &HeaderMap,
    ) -> Result<Self, Failure> {
        Ok(Self {
            holder: shared.authenticate(client, headers).await?,
            snapshot: shared.site.live.snapshots.current(),
            shared,
        })
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            config: &self.snapshot.plan.config,
            holder: &self.holder,
        }
    }

    fn check_accept(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let accepts = |value: &str| {
            let mut ranges = value.split(',').map(str::trim);
            ranges.any(|range| range.starts_with("*/*") || is_media_type(range))
        };
        let mut values = headers.get_all(ACCEPT).iter().peekable();
        let is_fine =
            values.peek().is_none() || values.any(|value| value.to_str().is_ok_and(accepts));
        is_fine.then_some(()).ok_or_else(|| {
            let message =
                format!("`Accept` excludes all that is known here, expected {MEDIA_TYPE}");
            Failure::new(StatusCode::NOT_ACCEPTABLE, message)
        })
    }

    /// Reads a body; its media type may be left out, as the first versions of external-dns do.
    async fn read<T: DeserializeOwned>(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<T, Failure> {
        self.check_accept(headers)?;
        let media_type = headers.get(CONTENT_TYPE).map(|value| value.to_str());
        if !media_type.is_none_or(|value| value.is_ok_and(is_media_type)) {
            let message = format!("`Content-Type` is another, expected {MEDIA_TYPE}");
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let bytes = read_body_of(body, MAX_BODY).await?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::bad(error.to_string()))
    }

    async fn change(&self, client: &Client, changes: RecordChanges) -> Result<(), Failure> {
        let by = self.holder.name();
        let request = |reply| Request::ChangeRecords { changes, by, reply };
        Ok(self.shared.ask(client, request).await??)
    }

    /// Logs a call that fails, and counts one that is refused.
    fn finish<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &result {
            if failure.is_refusal() {
                self.shared.count_refusal(REFUSED);
            }
            let (by, reason) = (self.holder.name(), failure.reason());
            warn!(%by, reason, "call of external-dns failed");
        }
        result
    }
}

/// Whether a media type is the protocol's, with or without further parameters.
fn is_media_type(text: &str) -> bool {
    let mut text = text.to_ascii_lowercase();
    text.retain(|c| c != ' ');
    text.strip_prefix(MEDIA_TYPE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(';'))
}

fn typed(content: &impl Serialize) -> Result<Typed, Failure> {
    let body = serde_json::to_vec(content)
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE), (VARY, "Content-Type")], body))
}
