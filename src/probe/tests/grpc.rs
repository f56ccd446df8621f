//! gRPC's health check, against servers that answer it in every way.

use hyper::HeaderMap;
use hyper::Response;
use hyper::body::Bytes;

use super::http2::Call;
use super::http2::converse;
use super::*;
use crate::health::monitor::GrpcCheck;

const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";

/// A response: its status, headers, body, and trailers.
#[derive(Clone, Copy)]
struct Reply {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
    trailers: &'static [(&'static str, &'static str)],
}

const GOOD: Reply = Reply {
    status: 200,
    headers: &[("content-type", "application/grpc+proto")],
    body: SERVING,
    trailers: &[("grpc-status", "0")],
};

fn header_map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let headers = headers.iter().map(|(name, value)| {
        let value = value.parse().expect("a value");
        (name.parse().expect("a name"), value)
    });
    headers.collect()
}

/// What a server has seen of a call: its URI, headers and body.
type SeenCall = (String, HeaderMap, Vec<u8>);

async fn reply(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    Reply {
        status,
        headers,
        body,
        trailers,
    }: Reply,
) -> Option<SeenCall> {
    converse(stream, async |(request, mut to): Call| {
        let (head, mut sent) = request.into_parts();
        let mut message = Vec::new();
        while let Some(Ok(data)) = sent.data().await {
            message.extend_from_slice(&data);
        }
        let mut response = Response::builder()
            .status(status)
            .body(())
            .expect("a response");
        *response.headers_mut() = header_map(headers);
        let has_end = body.is_empty() && trailers.is_empty();
        let mut stream = to.send_response(response, has_end).expect("sent");
        if !has_end {
            let _ = stream.send_data(Bytes::from_static(body), trailers.is_empty());
            if !trailers.is_empty() {
                let _ = stream.send_trailers(header_map(trailers));
            }
        }
        (head.uri.to_string(), head.headers, message)
    })
    .await
}

fn grpc(service: &str) -> GrpcCheck {
    GrpcCheck {
        service: service.into(),
        host: None,
        headers: [("authorization".into(), "Bearer x".into())].into(),
        tls: None,
    }
}

async fn probe_grpc(reply_with: Reply) -> String {
    let (endpoint, _seen) = serve(move |stream| reply(stream, reply_with)).await;
    ask(MonitorKind::Grpc(grpc("")), endpoint, PATIENT).await
}

#[tokio::test]
async fn the_call_names_its_service() {
    let (endpoint, mut seen) = serve(|stream| reply(stream, GOOD)).await;
    let result = ask(MonitorKind::Grpc(grpc("db")), endpoint, PATIENT).await;
    assert_eq!(result, "success");
    let (uri, headers, body) = seen.recv().await.flatten().expect("a call");
    assert_eq!(
        uri,
        format!("http://{endpoint}/grpc.health.v1.Health/Check")
    );
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "20000m"),
        ("authorization", "Bearer x"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(body, b"\0\0\0\0\x04\x0A\x02db");
}

#[tokio::test]
async fn it_is_called_over_tls_too() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("app.example.com", VALID, &[b"h2"]);
    let (endpoint, _seen) = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move { reply(acceptor.accept(stream).await.ok()?, GOOD).await }
    })
    .await;
    for (name, expected) in [
        ("app.example.com", "success"),
        (
            "www.example.com",
            "certificate: certificate is not valid for `www.example.com`",
        ),
    ] {
        let check = GrpcCheck {
            tls: Some(TlsCheck {
                server_name: Some(name.into()),
                is_verified: true,
            }),
            ..grpc("")
        };
        let target = target(MonitorKind::Grpc(check), endpoint, PATIENT);
        let context = Context::new(authority.trusted());
        let (result, _) = probe(&target, &Egress::Direct, &context).await;
        assert_eq!(words(&result), expected);
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of all cases")]
async fn only_serving_is_good() {
    let serves = |body| Reply { body, ..GOOD };
    let ends = |trailers| Reply { trailers, ..GOOD };
    let fails_at_once = |headers| Reply {
        headers,
        body: b"",
        trailers: &[],
        ..GOOD
    };
    for (reply, expected) in [
        (GOOD, "success"),
        (
            serves(b"\0\0\0\0\x02\x08\x02"),
            "status: service is NOT_SERVING, expected SERVING",
        ),
        (
            serves(b"\0\0\0\0\0"),
            "status: service is UNKNOWN, expected SERVING",
        ),
        (
            serves(b"\0\0\0\0\x02\x08\x03"),
            "status: service is SERVICE_UNKNOWN, expected SERVING",
        ),
        (
            ends(&[("grpc-status", "14"), ("grpc-message", "draining")]),
            "status: gRPC status 14 (UNAVAILABLE): draining",
        ),
        (
            fails_at_once(&[("content-type", "application/grpc"), ("grpc-status", "5")]),
            "status: gRPC status 5 (NOT_FOUND), the server does not know this service",
        ),
        (
            fails_at_once(&[("content-type", "application/grpc"), ("grpc-status", "12")]),
            "status: gRPC status 12 (UNIMPLEMENTED), the server has no grpc.health.v1",
        ),
        (
            fails_at_once(&[("grpc-status", "five")]),
            "protocol: response is no message of grpc.health.v1",
        ),
        (
            Reply {
                status: 503,
                ..fails_at_once(&[("content-type", "text/html")])
            },
            "status: status 503, expected 200",
        ),
        (
            fails_at_once(&[("content-type", "text/html")]),
            "protocol: response is not gRPC",
        ),
        (ends(&[]), "protocol: gRPC response without a `grpc-status`"),
        (
            serves(b"{}"),
            "protocol: response is no message of grpc.health.v1",
        ),
        (
            serves(&[0; 2_000]),
            "protocol: response is no message of grpc.health.v1",
        ),
    ] {
        assert_eq!(probe_grpc(reply).await, expected);
    }
}
