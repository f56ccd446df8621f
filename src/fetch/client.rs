//! One conditional GET: redirects, limits, and a digest of what came.

use std::error::Error;
use std::fs::File;
use std::io;
use std::io::Write;
use std::time::Duration;

use reqwest::Response;
use reqwest::StatusCode;
use reqwest::Url;
use reqwest::header::ETAG;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderName;
use reqwest::header::HeaderValue;
use reqwest::header::IF_MODIFIED_SINCE;
use reqwest::header::IF_NONE_MATCH;
use reqwest::header::LAST_MODIFIED;
use reqwest::header::LOCATION;
use reqwest::header::RETRY_AFTER;
use ring::digest;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fetch::FetchError;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// The longest text, such as a checksum, in octets.
const MAX_TEXT_LEN: u64 = 64 * 1024;

/// Parts of a body that may wait to be written.
const PARTS: usize = 16;

/// The longest that a server's Retry-After is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// How much, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of a file, packed as well as unpacked.
    pub max_len: u64,
    /// Until a connection is there, and between two parts of a response.
    pub stall: Duration,
    /// For all of one file.
    pub total: Duration,
}

/// What proves an account; sent to the server of the URL only, never to one that it redirects to.
#[derive(Clone, Default)]
pub struct Credentials {
    /// User and password.
    pub basic: Option<(String, String)>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

/// What a server said of the file that was fetched last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// ETag, as it was sent.
    pub etag: Option<String>,
    /// Last-Modified, as it was sent.
    pub last_modified: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `https`, or `http`.
    pub url: &'a str,
    /// Of the account.
    pub credentials: &'a Credentials,
    /// Of the file that is there.
    pub validators: &'a Validators,
}

/// What came of it.
#[derive(Debug)]
pub enum Fetched {
    /// The file is still the same.
    NotModified,
    /// It has been written.
    File {
        /// What the server says of it.
        validators: Validators,
        /// SHA-256 in hexadecimal.
        sha256: String,
    },
}

/// A client with its trust and limits.
pub struct Client {
    client: reqwest::Client,
    limits: Limits,
}

impl Client {
    /// Trusts as `tls` says. A proxy that the environment names (`HTTPS_PROXY`) is used.
    ///
    /// # Errors
    /// If the TLS settings cannot be used.
    pub fn new(tls: ClientConfig, limits: Limits) -> Result<Self, FetchError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("meridian/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.stall)
            .read_timeout(limits.stall)
            .build()
            .map_err(|error| network(&error))?;
        Ok(Self { client, limits })
    }

    /// Fetches a file into `to`.
    ///
    /// # Errors
    /// If it is not there as a whole; `to` may hold a part of it.
    pub async fn file(&self, request: Request<'_>, to: File) -> Result<Fetched, FetchError> {
        let fetch = async {
            let response = self.send(request).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Fetched::NotModified);
            }
            let validators = Validators {
                etag: text(response.headers(), &ETAG),
                last_modified: text(response.headers(), &LAST_MODIFIED),
            };
            let sha256 = write(response, to, self.limits.max_len).await?;
            Ok(Fetched::File { validators, sha256 })
        };
        self.within_limit(fetch).await
    }

    /// Fetches a short text.
    ///
    /// # Errors
    /// If it is not there as a whole, or is none.
    pub async fn text(&self, request: Request<'_>) -> Result<String, FetchError> {
        let fetch = async {
            let mut response = self.send(request).await?;
            let mut octets = Vec::new();
            while let Some(part) = response.chunk().await.map_err(|error| network(&error))? {
                octets.extend_from_slice(&part);
                if octets.len() as u64 > MAX_TEXT_LEN {
                    return Err(FetchError::Archive("too long for a checksum".into()));
                }
            }
            Ok(String::from_utf8_lossy(&octets).into_owned())
        };
        self.within_limit(fetch).await
    }

    async fn within_limit<T>(
        &self,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let total = self.limits.total;
        timeout(total, fetch)
            .await
            .unwrap_or(Err(FetchError::Timeout(total)))
    }

    /// Sends a request and follows redirects to a response of status 200 or 304.
    async fn send(&self, request: Request<'_>) -> Result<Response, FetchError> {
        let unusable = |_| FetchError::Network("URL cannot be used".into());
        let first = Url::parse(request.url).map_err(unusable)?;
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut get = self.client.get(url.clone());
            if url.origin() == first.origin() {
                get = authorised(get, request.credentials)?;
            }
            let Validators {
                etag,
                last_modified,
            } = request.validators;
            for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, last_modified)] {
                if let Some(value) = value {
                    get = get.header(name, value);
                }
            }
            let response = get.send().await.map_err(|error| network(&error))?;
            let status = response.status();
            if status == StatusCode::OK || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let location = text(response.headers(), &LOCATION).filter(|_| is_redirect);
            let Some(location) = location else {
                return Err(FetchError::Status {
                    status: status.as_u16(),
                    retry_after: retry_after(response.headers()),
                });
            };
            let next = url.join(&location);
            let next = next.map_err(|_| FetchError::Redirect("what is no URL".into()))?;
            if next.scheme() != "https" && next.origin() != url.origin() {
                let to = format!("{}, expected https", origin(next.as_str()));
                return Err(FetchError::Redirect(to.into()));
            }
            url = next;
        }
        let count = format!("another place more than {MAX_REDIRECTS} times");
        Err(FetchError::Redirect(count.into()))
    }
}

/// Scheme, host and port of a URL: what of it can be shown without its secrets.
pub fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "?".to_owned(), |url| url.origin().ascii_serialization())
}

fn authorised(
    mut get: reqwest::RequestBuilder,
    credentials: &Credentials,
) -> Result<reqwest::RequestBuilder, FetchError> {
    if let Some((user, password)) = &credentials.basic {
        get = get.basic_auth(user, Some(password));
    }
    for (name, value) in &credentials.headers {
        let unusable = || FetchError::Network(format!("header `{name}` cannot be sent").into());
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unusable())?;
        value.set_sensitive(true);
        get = get.header(header, value);
    }
    Ok(get)
}

/// Writes a body on a blocking thread and returns its SHA-256.
async fn write(mut response: Response, mut to: File, max_len: u64) -> Result<String, FetchError> {
    if response.content_length().is_some_and(|len| len > max_len) {
        return Err(FetchError::TooLong(max_len));
    }
    let (parts, mut incoming) = mpsc::channel::<bytes::Bytes>(PARTS);
    let writer = tokio::task::spawn_blocking(move || {
        let mut sha256 = digest::Context::new(&digest::SHA256);
        while let Some(part) = incoming.blocking_recv() {
            sha256.update(&part);
            to.write_all(&part)?;
        }
        let digits = sha256
            .finish()
            .as_ref()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        io::Result::Ok(digits)
    });
    let mut len = 0;
    while let Some(part) = response.chunk().await.map_err(|error| network(&error))? {
        len += part.len() as u64;
        if len > max_len {
            return Err(FetchError::TooLong(max_len));
        }
        if parts.send(part).await.is_err() {
            break;
        }
    }
    drop(parts);
    let written = writer.await.map_err(io::Error::from).flatten();
    written.map_err(FetchError::Disk)
}

/// The innermost causes of an error, without the URL, which may hold a token.
fn network(error: &reqwest::Error) -> FetchError {
    let mut message = match error.is_timeout() {
        true => "the server takes too long".to_owned(),
        false => String::new(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            let separator = if message.is_empty() { "" } else { ": " };
            message = format!("{message}{separator}{text}");
        }
        cause = error.source();
    }
    if message.is_empty() {
        "the request cannot be sent".clone_into(&mut message);
    }
    FetchError::Network(message.into())
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Seconds; the other form, a date, is as good as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, &RETRY_AFTER)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}
