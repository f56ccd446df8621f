//! HTTP/2, against servers that speak it and some that do not.

use h2::Reason;
use h2::RecvStream;
use h2::server::SendResponse;
use hyper::HeaderMap;
use hyper::Request;
use hyper::Response;
use hyper::body::Bytes;

use super::*;

/// A request without its body, and where its response goes.
pub(super) type Call = (Request<RecvStream>, SendResponse<Bytes>);

/// Answers the first request of an HTTP/2 connection by a script, and returns what that returns.
pub(super) async fn converse<S, T>(mut stream: S, script: impl AsyncFnOnce(Call) -> T) -> Option<T>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = h2::server::handshake(&mut stream).await.ok()?;
    let call = connection.accept().await?.ok()?;
    let mut script = std::pin::pin!(script(call));
    let seen = loop {
        tokio::select! {
            seen = &mut script => break seen,
            // Drives the connection.
            next = connection.accept() => if next.is_none() { break script.await },
        }
    };
    while let Some(Ok(_)) = connection.accept().await {}
    Some(seen)
}

fn status(code: u16) -> Response<()> {
    Response::builder()
        .status(code)
        .body(())
        .expect("a response")
}

fn second() -> HttpCheck {
    HttpCheck {
        version: HttpVersion::Http2,
        headers: [("x-probe".into(), "meridian".into())].into(),
        ..check()
    }
}

fn holding(text: &str) -> HttpCheck {
    HttpCheck {
        expect_body: text.into(),
        ..second()
    }
}

/// Answers with this status and these frames of the body; returns the requests.
async fn answer2(
    code: u16,
    frames: &'static [&'static [u8]],
) -> (SocketAddr, mpsc::UnboundedReceiver<Option<Request<()>>>) {
    serve(move |stream| {
        converse(stream, async move |(request, mut to): Call| {
            let mut body = to
                .send_response(status(code), frames.is_empty())
                .expect("sent");
            for (n, frame) in (1..).zip(frames) {
                let _ = body.send_data(Bytes::from_static(frame), n == frames.len());
            }
            request.map(|_| ())
        })
    })
    .await
}

#[tokio::test]
async fn the_request_has_authority_and_headers() {
    for method in [Method::Get, Method::Head] {
        let (endpoint, mut requests) = answer2(200, &[]).await;
        let check = HttpCheck { method, ..second() };
        assert_eq!(get(check, endpoint).await, "success");
        let request = requests.recv().await.flatten().expect("a request");
        assert_eq!(
            request.method().as_str().to_lowercase(),
            format!("{method:?}").to_lowercase()
        );
        assert_eq!(request.uri(), "http://app.example.com/_ready");
        let headers: HeaderMap = request.headers().clone();
        assert_eq!(headers["x-probe"], "meridian");
        assert_eq!(headers["accept-encoding"], "identity");
        assert!(!headers.contains_key("host") && !headers.contains_key("connection"));
    }
}

#[tokio::test]
async fn statuses_and_bodies_are_judged_as_in_http1() {
    const LONG: &[u8] = &[b'.'; 70_000];
    let cases: [(u16, &'static [&'static [u8]], _, _); 5] = [
        (204, &[], second(), "success"),
        (503, &[], second(), "status: status 503, expected 200-399"),
        (200, &[b"read", b"y"], holding("ready"), "success"),
        (
            200,
            &[b"down"],
            holding("ready"),
            "body: body does not hold `ready`",
        ),
        (
            200,
            &[LONG, b"ready"],
            holding("ready"),
            "body: first 65536 octets of the body do not hold `ready`",
        ),
    ];
    for (code, frames, check, expected) in cases {
        let (endpoint, _requests) = answer2(code, frames).await;
        assert_eq!(get(check, endpoint).await, expected);
    }
}

#[tokio::test]
async fn over_tls_it_is_negotiated() {
    let authority = Authority::new();
    let tls = authority.trusted();
    for (protocols, expected) in [
        (&[&b"http/1.1"[..], b"h2"][..], "success"),
        (
            &[],
            "protocol: the server does not offer HTTP/2 over TLS (ALPN h2)",
        ),
        (
            &[b"http/1.1"],
            "protocol: the server does not offer HTTP/2 over TLS (ALPN h2)",
        ),
    ] {
        let acceptor = authority.acceptor("app.example.com", VALID, protocols);
        let (endpoint, _seen) = serve(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await.ok()?;
                converse(stream, async |(request, mut to): Call| {
                    let _ = to.send_response(status(200), true);
                    assert_eq!(request.uri().scheme_str(), Some("https"));
                })
                .await
            }
        })
        .await;
        assert_eq!(get_tls(&tls, https(second()), endpoint).await, expected);
    }
}

#[tokio::test]
async fn streams_and_connections_that_end_early_say_why() {
    let (endpoint, _seen) = serve(|stream| {
        converse(stream, async |(_, mut to): Call| {
            to.send_reset(Reason::REFUSED_STREAM);
        })
    })
    .await;
    assert_eq!(
        get(second(), endpoint).await,
        "protocol: HTTP/2 stream reset by the server: refused stream before processing any application logic"
    );
    let (endpoint, _seen) = serve(async |mut stream| {
        let mut connection = h2::server::handshake(&mut stream).await.ok()?;
        let call = connection.accept().await?.ok()?;
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        while let Some(Ok(_)) = connection.accept().await {}
        drop((connection, call));
        // What is unread when it closes would have it reset.
        stream.read_to_end(&mut Vec::new()).await.ok()
    })
    .await;
    assert_eq!(
        get(second(), endpoint).await,
        "protocol: HTTP/2 connection ended by the server: detected excessive load generating behavior"
    );
    // After the status line, in the body.
    let (endpoint, _seen) = serve(|stream| {
        converse(stream, async |(_, mut to): Call| {
            let mut body = to.send_response(status(200), false).expect("sent");
            let _ = body.send_data(Bytes::from_static(b"rea"), false);
            body.send_reset(Reason::INTERNAL_ERROR);
        })
    })
    .await;
    assert_eq!(
        get(holding("ready"), endpoint).await,
        "protocol: HTTP/2 stream reset by the server: unexpected internal error encountered"
    );
}

#[tokio::test]
async fn servers_of_something_else_are_told_apart() {
    let (closes, _seen) = serve(async |mut stream: TcpStream| {
        let _ = stream.shutdown().await;
        stream.read_to_end(&mut Vec::new()).await
    })
    .await;
    for (endpoint, expected) in [
        (
            answer(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.0,
            "protocol: response is not HTTP/2, but perhaps HTTP/1.1",
        ),
        (
            closes,
            "closed: connection closed while waiting for the response",
        ),
        (
            reset_after(b"").await,
            "reset: connection reset while waiting for the response",
        ),
    ] {
        assert_eq!(get(second(), endpoint).await, expected);
    }
    let (endpoint, _seen) =
        serve(async |mut stream: TcpStream| stream.read_to_end(&mut Vec::new()).await).await;
    let result = ask(MonitorKind::Http(second()), endpoint, HASTY).await;
    assert_eq!(
        result,
        "timeout: timed out after 100ms while waiting for the response"
    );
}

#[tokio::test]
async fn a_body_may_trickle_until_the_timeout() {
    let (endpoint, _seen) = serve(|stream| {
        converse(stream, async |(_, mut to): Call| {
            let body = to.send_response(status(200), false);
            std::future::pending::<()>().await;
            drop(body);
        })
    })
    .await;
    let result = ask(MonitorKind::Http(holding("ready")), endpoint, HASTY).await;
    assert_eq!(
        result,
        "timeout: timed out after 100ms while reading the body"
    );
}

#[tokio::test]
async fn heads_are_bounded() {
    let large = |to: &mut SendResponse<Bytes>, n: usize| {
        let mut response = status(200);
        for i in 0..n {
            let value = format!("{i:05}").repeat(200).parse().expect("a value");
            response.headers_mut().append("x-large", value);
        }
        to.send_response(response, true).is_ok()
    };
    let (endpoint, _seen) =
        serve(move |stream| converse(stream, async move |(_, mut to): Call| large(&mut to, 20)))
            .await;
    assert_eq!(get(second(), endpoint).await, "success");
    let (endpoint, _seen) =
        serve(move |stream| converse(stream, async move |(_, mut to): Call| large(&mut to, 100)))
            .await;
    assert_eq!(
        get(second(), endpoint).await,
        "protocol: response is malformed, or its head is larger than 64 KiB"
    );
    let (endpoint, _seen) = serve(|stream| {
        converse(stream, async |(_, mut to): Call| {
            // Interim responses without end.
            for n in 0..10_000 {
                let mut interim = status(103);
                let value = format!("{n:0500}").parse().expect("a value");
                interim.headers_mut().insert("x-interim", value);
                if to.send_informational(interim).is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    })
    .await;
    assert_eq!(
        get(second(), endpoint).await,
        "protocol: response head is larger than 64 KiB"
    );
}
