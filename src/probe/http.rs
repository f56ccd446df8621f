//! The HTTP request of a probe, whether the response is the expected one, and the load in it.
//!
//! Redirects are statuses like any other and are not followed. What is read is bounded, interim
//! responses and head in all, and the body as well; the probe's deadline limits how long either may
//! trickle.

use std::fmt::Display;
use std::net::SocketAddr;

use http_body_util::BodyExt;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::body::Body;
use hyper::body::Bytes;
use hyper::header;
use hyper::header::HeaderMap;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;

use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::load::Load;
use crate::health::load::LoadSource;
use crate::health::load::NoLoad;
use crate::health::monitor;
use crate::health::monitor::Headers;
use crate::health::monitor::HttpCheck;
use crate::health::monitor::HttpVersion;
use crate::health::observation::LoadReading;
use crate::probe::deadline::Deadline;

/// The most octets that a response's head may have; a readiness page needs a fraction of it, and one behind
/// a gateway with policies and cookies in its headers still fits.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// How much of the body is searched for the expected text.
const MAX_BODY: usize = 64 * 1024;

/// How much of a content coding is repeated in a failure's reason.
const MAX_CODING: usize = 32;

/// What probes call themselves.
pub(super) const USER_AGENT: &str = concat!("meridian/", env!("CARGO_PKG_VERSION"));

/// Builds the request.
pub(super) fn request(
    check: &HttpCheck,
    endpoint: SocketAddr,
) -> Result<Request<()>, VantageFault> {
    let is_tls = check.tls.is_some();
    let authority = authority(check.host.as_deref(), endpoint, is_tls);
    let method = match check.method {
        monitor::Method::Get => Method::GET,
        monitor::Method::Head => Method::HEAD,
    };
    let request = Request::builder().method(method);
    let request = match check.version {
        HttpVersion::Http1 => request
            .uri(&*check.path)
            .header(header::HOST, authority)
            .header(header::CONNECTION, "close"),
        HttpVersion::Http2 => request.uri(absolute(is_tls, &authority, &check.path)),
    };
    let request = request
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        // A compressed body would not hold the expected text.
        .header(header::ACCEPT_ENCODING, "identity")
        .body(());
    with_headers(request, &check.headers)
}

/// The Host header: the monitor's, else the endpoint's address, with the port where it is not the scheme's
/// own (RFC 9110 s7.2).
pub(super) fn authority(host: Option<&str>, endpoint: SocketAddr, is_tls: bool) -> String {
    let default_port = if is_tls { 443 } else { 80 };
    match (host, endpoint) {
        (Some(host), _) => host.to_string(),
        (None, SocketAddr::V6(v6)) if v6.port() == default_port => format!("[{}]", v6.ip()),
        (None, _) if endpoint.port() == default_port => endpoint.ip().to_string(),
        (None, _) => endpoint.to_string(),
    }
}

/// The URI of a request in HTTP/2.
pub(super) fn absolute(is_tls: bool, authority: &str, path: &str) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{authority}{path}")
}

/// Finishes a request with the monitor's own headers.
pub(super) fn with_headers(
    request: Result<Request<()>, impl Display>,
    headers: &Headers,
) -> Result<Request<()>, VantageFault> {
    let fault = |error: &dyn Display| {
        VantageFault::Local(format!("cannot make the request: {error}").into())
    };
    let mut request = request.map_err(|error| fault(&error))?;
    for (name, value) in headers {
        let name = HeaderName::try_from(&**name).map_err(|error| fault(&error))?;
        let value = HeaderValue::try_from(&**value).map_err(|error| fault(&error))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// Whether the response is the expected one, and the load in it; `failure` says what an error of its body means.
pub(super) async fn judge<B>(
    response: Response<B>,
    check: &HttpCheck,
    deadline: Deadline,
    failure: fn(&B::Error, Phase) -> ProbeFailure,
) -> Result<LoadReading, ProbeFailure>
where
    B: Body<Data = Bytes> + Unpin,
{
    let status = response.status().as_u16();
    let ranges = &check.expect_status;
    if !ranges
        .iter()
        .any(|(low, high)| (*low..=*high).contains(&status))
    {
        let expected = ranges.clone();
        return Err(ProbeFailure::Status { status, expected });
    }
    let (head, mut body) = response.into_parts();
    let (load, pointer) = match &check.load {
        Some(LoadSource::Header(name)) => (Some(of_header(&head.headers, name)), None),
        Some(LoadSource::Json(pointer)) => (None, Some(pointer)),
        None => (None, None),
    };
    let mut seen = Vec::new();
    if !check.expect_body.is_empty() {
        let search = find(&mut body, &mut seen, &check.expect_body);
        let search = deadline.within(Phase::Body, search).await?;
        let search = search.map_err(|error| failure(&error, Phase::Body))?;
        if let Search::Absent { is_cut } = search {
            return Err(ProbeFailure::Body {
                expected: check.expect_body.clone(),
                coding: coding(&head.headers),
                searched: is_cut.then_some(MAX_BODY),
            });
        }
    }
    if pointer.is_some() {
        // An endpoint that serves is up, whatever becomes of the load in its body.
        let reading = read_on(&mut body, &mut seen);
        let _ = deadline.within(Phase::Body, reading).await;
    }
    Ok(load.or_else(|| pointer.map(|pointer| Load::of_json(&seen, pointer))))
}

/// Whether a body holds a text.
enum Search {
    Found,
    /// Not as far as it was read.
    Absent {
        /// Whether there was more to read.
        is_cut: bool,
    },
}

/// The load in a header.
fn of_header(headers: &HeaderMap, name: &str) -> Result<Load, NoLoad> {
    let value = headers.get(name).ok_or(NoLoad::Missing)?;
    let text = value.to_str().map_err(|_| NoLoad::Unreadable)?;
    Load::parse(text)
}

/// Reads the body to its end, or until it is too long.
async fn read_on<B>(body: &mut B, seen: &mut Vec<u8>)
where
    B: Body<Data = Bytes> + Unpin,
{
    while seen.len() < MAX_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        let data = frame.data_ref().map_or(&[][..], |data| data);
        let room = MAX_BODY - seen.len();
        seen.extend_from_slice(&data[..data.len().min(room)]);
    }
}

/// Reads the body until it holds the text, ends, or is too long.
async fn find<B>(body: &mut B, seen: &mut Vec<u8>, wanted: &str) -> Result<Search, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        // The text may begin in the frame before.
        let searched = seen.len().saturating_sub(wanted.len() - 1);
        let room = MAX_BODY - seen.len();
        seen.extend_from_slice(&data[..data.len().min(room)]);
        if seen[searched..]
            .windows(wanted.len())
            .any(|w| w == wanted.as_bytes())
        {
            return Ok(Search::Found);
        }
        if seen.len() == MAX_BODY {
            return Ok(Search::Absent { is_cut: true });
        }
    }
    Ok(Search::Absent { is_cut: false })
}

/// The content coding of a body that is compressed all the same.
fn coding(headers: &HeaderMap) -> Option<Box<str>> {
    let value = headers.get(header::CONTENT_ENCODING)?.to_str().ok()?.trim();
    let is_coded = !value.is_empty() && !value.eq_ignore_ascii_case("identity");
    is_coded.then(|| value.chars().take(MAX_CODING).collect::<String>().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::monitor::TlsCheck;

    #[test]
    fn the_host_header_is_the_monitors_or_the_address() {
        for (host, endpoint, is_tls, expected) in [
            (
                Some("app.example.com"),
                "192.0.2.1:8081",
                false,
                "app.example.com",
            ),
            (None, "192.0.2.1:80", false, "192.0.2.1"),
            (None, "192.0.2.1:80", true, "192.0.2.1:80"),
            (None, "[2001:db8::1]:443", true, "[2001:db8::1]"),
            (None, "[2001:db8::1]:8081", false, "[2001:db8::1]:8081"),
        ] {
            let endpoint = endpoint.parse().expect("an address");
            let check = HttpCheck {
                path: "/_ready?deep=1".into(),
                host: host.map(Into::into),
                ..check(is_tls)
            };
            let first = request(&check, endpoint).expect("a request");
            assert_eq!(first.uri(), "/_ready?deep=1");
            assert_eq!(first.headers()[header::HOST], expected);
            let check = HttpCheck {
                version: HttpVersion::Http2,
                ..check
            };
            let second = request(&check, endpoint).expect("a request");
            let scheme = if is_tls { "https" } else { "http" };
            let uri = format!("{scheme}://{expected}/_ready?deep=1");
            assert_eq!(second.uri(), &*uri);
            assert!(!second.headers().contains_key(header::HOST));
        }
    }

    #[test]
    fn the_monitors_headers_replace_those_of_every_probe() {
        let headers = [("user-agent", "x"), ("x-probe", "meridian")];
        let check = HttpCheck {
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            ..check(false)
        };
        let endpoint = "192.0.2.1:80".parse().expect("an address");
        let request = request(&check, endpoint).expect("a request");
        for (name, value) in headers {
            let values: Vec<_> = request.headers().get_all(name).iter().collect();
            assert_eq!(values, [value]);
        }
    }

    #[test]
    fn a_request_that_cannot_be_made_is_our_fault() {
        let endpoint = "192.0.2.1:80".parse().expect("an address");
        for check in [
            HttpCheck {
                path: "/a b".into(),
                ..check(false)
            },
            HttpCheck {
                headers: [("x".into(), "\n".into())].into(),
                ..check(false)
            },
        ] {
            let fault = request(&check, endpoint).expect_err("no request");
            assert_eq!(fault.label(), "local");
        }
    }

    fn check(is_tls: bool) -> HttpCheck {
        HttpCheck {
            method: monitor::Method::Get,
            path: "/".into(),
            host: None,
            headers: Box::default(),
            version: HttpVersion::Http1,
            tls: is_tls.then_some(TlsCheck {
                server_name: None,
                is_verified: true,
            }),
            expect_status: Box::default(),
            expect_body: "".into(),
            load: None,
        }
    }
}
