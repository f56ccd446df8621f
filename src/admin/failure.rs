//! `Failure`: a call that failed, as it is answered.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::admin::auth::Denied;
use crate::base::diag::did_you_mean;
use crate::live::request::ChangeError;

/// The most endpoints that are named in an answer which refuses them.
const MAX_FAULTS: usize = 20;

/// A call that failed.
#[derive(Debug, Serialize)]
pub struct Failure {
    #[serde(skip)]
    status: StatusCode,
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

impl Failure {
    /// A call that failed for this reason.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            faults: Vec::new(),
            challenge: None,
        }
    }

    /// A call that cannot be understood.
    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// A reload of files with these faults.
    pub fn refused_files(faults: Vec<String>) -> Self {
        let error = "the files are refused; still serving the previous ones";
        Self {
            faults,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, error)
        }
    }

    /// A rollback that cannot be carried out, for these reasons.
    pub fn refused_rollback(faults: Vec<String>) -> Self {
        let error = "not rolled back; still serving the same configuration";
        Self {
            faults,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, error)
        }
    }

    /// Endpoints with these faults, of which the first are named.
    pub fn refused_endpoints(mut faults: Vec<String>) -> Self {
        let n_more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        if n_more > 0 {
            faults.push(format!("and {n_more} more"));
        }
        let error = "the endpoints are refused; nothing has changed";
        Self {
            faults,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, error)
        }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it is the caller who is at fault.
    pub fn is_refusal(&self) -> bool {
        self.status.is_client_error()
    }

    /// What is wrong first of all.
    pub fn reason(&self) -> &str {
        self.faults.first().unwrap_or(&self.error)
    }

    /// What is wrong, one by one.
    #[cfg(test)]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// A call about a pool that is none of these.
    pub fn no_pool<'a>(pool: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let near = did_you_mean(pool, known);
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Self::new(
            StatusCode::NOT_FOUND,
            format!("pool `{pool}` is not defined{hint}"),
        )
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        let status = match error {
            ChangeError::Conflicting(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ChangeError::NotSaved(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ChangeError::NotDrilled(_) | ChangeError::NotSettable | ChangeError::Strands(_) => {
                StatusCode::CONFLICT
            }
            ChangeError::Outdated(_) => StatusCode::PRECONDITION_FAILED,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Denied> for Failure {
    /// The challenges of RFC 6750 s3.
    fn from(denied: Denied) -> Self {
        let (status, challenge) = match denied {
            Denied::Missing => (StatusCode::UNAUTHORIZED, Some("Bearer realm=\"meridian\"")),
            Denied::NotConfigured | Denied::Unusable => (StatusCode::FORBIDDEN, None),
            Denied::NotPermitted { .. } => (
                StatusCode::FORBIDDEN,
                Some("Bearer realm=\"meridian\", error=\"insufficient_scope\""),
            ),
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
