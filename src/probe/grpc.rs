//! The standard health check of gRPC, `grpc.health.v1.Health/Check`.
//!
//! A call is a POST over HTTP/2 whose body is one message; the response's is one as well, and how the call
//! went stands in its trailers. Both messages have a single field, so that they are written and read here.

use std::net::SocketAddr;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header;
use hyper::header::HeaderMap;

use crate::health::failure::GrpcFault;
use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::monitor::GrpcCheck;
use crate::probe::deadline::Deadline;
use crate::probe::http;
use crate::probe::http2::Incoming;
use crate::probe::http2::failure;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// What comes before a message: whether it is compressed, and its length.
const PREFIX_LEN: usize = 5;

/// The longest response that is read. One with nothing but a status takes 7 octets.
const MAX_BODY: usize = 1024;

/// Protobuf's wire types: a varint, and octets behind their length.
const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// How much of an error's text is repeated in a failure's reason.
const MAX_TEXT: usize = 200;

/// Builds the request, whose body is [`message`].
pub(super) fn request(
    check: &GrpcCheck,
    endpoint: SocketAddr,
    deadline: Deadline,
) -> Result<Request<()>, VantageFault> {
    let is_tls = check.tls.is_some();
    let authority = http::authority(check.host.as_deref(), endpoint, is_tls);
    let request = Request::post(http::absolute(is_tls, &authority, PATH))
        .header(header::TE, "trailers")
        .header("grpc-timeout", format!("{}m", deadline.timeout.as_millis()))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::USER_AGENT, http::USER_AGENT)
        .body(());
    http::with_headers(request, &check.headers)
}

/// `HealthCheckRequest { string service = 1 }` with its prefix. Proto3 leaves an empty string out.
pub(super) fn message(service: &str) -> Bytes {
    let mut fields = Vec::new();
    if !service.is_empty() {
        fields.push(1 << 3 | LENGTH_DELIMITED);
        put_varint(service.len() as u64, &mut fields);
        fields.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend_from_slice(&(fields.len() as u32).to_be_bytes());
    message.append(&mut fields);
    message.into()
}

/// Whether the service serves.
pub(super) async fn judge(
    response: Response<Incoming>,
    deadline: Deadline,
) -> Result<(), ProbeFailure> {
    let (head, mut body) = response.into_parts();
    // A call that fails at once has its status in the headers.
    if let Some(status) = call_status(&head.headers) {
        status?;
    }
    let status = head.status.as_u16();
    if status != 200 {
        let expected = Box::from([(200, 200)]);
        return Err(ProbeFailure::Status { status, expected });
    }
    let content_type = head.headers.get(header::CONTENT_TYPE);
    if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        return Err(ProbeFailure::Protocol("response is not gRPC".into()));
    }
    let reading = async {
        let (mut seen, mut status) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure(&error, Phase::Body))?;
            match frame.into_data() {
                Ok(data) if seen.len() + data.len() > MAX_BODY => return Err(malformed()),
                Ok(data) => seen.extend_from_slice(&data),
                Err(frame) => status = frame.trailers_ref().and_then(call_status),
            }
        }
        Ok((seen, status))
    };
    let (seen, status) = deadline.within(Phase::Body, reading).await??;
    let missing = || ProbeFailure::Protocol("gRPC response without a `grpc-status`".into());
    status.ok_or_else(missing)??;
    match serving_status(&seen).ok_or_else(malformed)? {
        SERVING => Ok(()),
        status => Err(ProbeFailure::Grpc(GrpcFault::NotServing(status))),
    }
}

/// How the call went, if the headers say so.
fn call_status(headers: &HeaderMap) -> Option<Result<(), ProbeFailure>> {
    let code = headers.get("grpc-status")?.to_str().ok();
    let Some(code) = code.and_then(|code| code.parse().ok()) else {
        return Some(Err(malformed()));
    };
    if code == 0 {
        return Some(Ok(()));
    }
    let text = headers
        .get("grpc-message")
        .and_then(|text| text.to_str().ok());
    let text = text
        .unwrap_or_default()
        .chars()
        .take(MAX_TEXT)
        .collect::<String>();
    let text = text.into();
    Some(Err(ProbeFailure::Grpc(GrpcFault::Call { code, text })))
}

/// The field of `HealthCheckResponse { ServingStatus status = 1 }`; 0 where it is left out.
fn serving_status(body: &[u8]) -> Option<u64> {
    let (prefix, mut fields) = body.split_first_chunk::<PREFIX_LEN>()?;
    let [is_compressed, length @ ..] = *prefix;
    if is_compressed != 0 || u32::from_be_bytes(length) as usize != fields.len() {
        return None;
    }
    let mut status = 0;
    while !fields.is_empty() {
        let tag = take_varint(&mut fields)?;
        let value = match (tag & 7) as u8 {
            VARINT => take_varint(&mut fields)?,
            LENGTH_DELIMITED => {
                let length = take_varint(&mut fields)?.try_into().ok()?;
                fields = fields.get(length..)?;
                continue;
            }
            _ => return None,
        };
        if tag >> 3 == 1 {
            status = value;
        }
    }
    Some(status)
}

fn put_varint(mut number: u64, to: &mut Vec<u8>) {
    while number > 0x7F {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (octet, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(octet & 0x7F) << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn malformed() -> ProbeFailure {
    ProbeFailure::Protocol("response is no message of grpc.health.v1".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::proptest;

    use super::*;

    #[test]
    fn requests_name_their_service() {
        assert_eq!(*message(""), [0, 0, 0, 0, 0]);
        assert_eq!(&*message("db"), b"\0\0\0\0\x04\x0A\x02db");
        let long = message(&"x".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0A, 0xC8, 0x01]);
        assert_eq!(long.len(), 208);
    }

    #[test]
    fn responses_have_a_status() {
        for (body, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(1)),
            (b"\0\0\0\0\0", Some(0)),
            (b"\0\0\0\0\x03\x08\xAC\x02", Some(300)),
            // Fields of a later version, before and behind it.
            (b"\0\0\0\0\x08\x12\x02ab\x08\x02\x18\x07", Some(2)),
            // The last of two counts.
            (b"\0\0\0\0\x04\x08\x01\x08\x02", Some(2)),
            (b"", None),
            (b"\0\0\0\0", None),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\0\0\0\0\x01\x08\x01", None),
            (b"\0\0\0\0\x01\x08", None),
            (b"\0\0\0\0\x02\x12\x7F", None),
            (b"\0\0\0\0\x02\x0D\x01", None),
            (
                b"\0\0\0\0\x0C\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
                None,
            ),
        ] {
            assert_eq!(serving_status(body), expected, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn varints_read_as_written(number in any::<u64>(), behind in any::<Vec<u8>>()) {
            let mut written = Vec::new();
            put_varint(number, &mut written);
            written.extend_from_slice(&behind);
            let mut rest = &*written;
            assert_eq!((take_varint(&mut rest), rest), (Some(number), &*behind));
        }

        #[test]
        fn no_response_makes_the_reader_panic(body in any::<Vec<u8>>()) {
            serving_status(&body);
        }
    }
}
