//! Probes against scripted servers on loopback.

mod grpc;
mod http2;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::base::ix::MonitorIx;
use crate::base::location::Point;
use crate::base::prefix::Family;
use crate::config::model::Egress;
use crate::config::model::Endpoint;
use crate::config::model::MinHealthy;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::model::Vantage;
use crate::config::units::check_address;
use crate::health::load::Load;
use crate::health::load::LoadSource;
use crate::health::load::NoLoad;
use crate::health::monitor::HttpCheck;
use crate::health::monitor::HttpVersion;
use crate::health::monitor::Method;
use crate::health::monitor::Monitor;
use crate::health::monitor::MonitorKind;
use crate::health::monitor::Quorum;
use crate::health::monitor::QuorumScope;
use crate::health::monitor::TlsCheck;
use crate::health::monitor::Unproven;
use crate::health::observation::ProbeResult;
use crate::health::observation::Target;
use crate::live::meters::Meters;
use crate::probe::Context;
use crate::probe::Pair;
use crate::probe::pairs;
use crate::probe::probe;
use crate::probe::schedule::Prober;
use crate::probe::source_sys::bind_without_port;
use crate::probe::tls::Tls;
use crate::state::membership::Membership;

/// Ample for what must answer.
const PATIENT: Duration = Duration::from_secs(20);
/// For what must not.
const HASTY: Duration = Duration::from_millis(100);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Listens on a free port of loopback.
async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// A port that nothing listens on, and its socket, which keeps others from taking it.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// Serves each connection by `script`; returns the address and what the scripts return.
async fn serve<T, F>(
    script: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, mpsc::UnboundedReceiver<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (listener, address) = listen().await;
    let (seen, results) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (script, seen) = (script(stream), seen.clone());
            tokio::spawn(async move {
                let _ = seen.send(script.await);
            });
        }
    });
    (address, results)
}

/// Answers every request with these bytes and closes; returns the requests.
async fn answer(response: &'static [u8]) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    serve(move |mut stream| async move { exchange(&mut stream, response).await }).await
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), response: &[u8]) -> String {
    let head = read_head(stream).await;
    let _ = stream.write_all(response).await;
    let _ = stream.shutdown().await;
    head
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("text")
}

/// Answers with these bytes and then holds the connection open until the other side is gone.
async fn hang_after(response: &'static [u8]) -> SocketAddr {
    let script = move |mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(response).await;
        let _ = stream.read_u8().await;
    };
    serve(script).await.0
}

/// Answers with these bytes and then resets the connection.
async fn reset_after(response: &'static [u8]) -> SocketAddr {
    let script = move |mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(response).await;
        let linger = socket2::SockRef::from(&stream);
        linger.set_linger(Some(Duration::ZERO)).expect("linger");
    };
    serve(script).await.0
}

fn check() -> HttpCheck {
    HttpCheck {
        method: Method::Get,
        path: "/_ready".into(),
        host: Some("app.example.com".into()),
        headers: Box::default(),
        version: HttpVersion::Http1,
        tls: None,
        expect_status: Box::from([(200, 399)]),
        expect_body: "".into(),
        load: None,
    }
}

/// The same over TLS, with a certificate for the host.
fn https(check: HttpCheck) -> HttpCheck {
    let tls = TlsCheck {
        server_name: check.host.clone(),
        is_verified: true,
    };
    HttpCheck {
        tls: Some(tls),
        ..check
    }
}

fn target(kind: MonitorKind, endpoint: SocketAddr, timeout: Duration) -> Target {
    let two = NonZeroU32::new(2).expect("not zero");
    let monitor = Monitor {
        name: "ready".into(),
        kind,
        port: endpoint.port(),
        interval: Duration::from_secs(5),
        timeout,
        failure_threshold: two,
        success_threshold: two,
        failures_in_window: None,
        damping: None,
        quorum: Quorum::Majority,
        quorum_scope: QuorumScope::Global,
        unproven: Unproven::Behind,
    };
    Target::new("west".into(), endpoint.ip(), Arc::new(monitor), true)
}

/// `success`, or the label and the sentence.
fn words(result: &ProbeResult) -> String {
    match result {
        ProbeResult::Failure(failure) => format!("{}: {failure}", failure.label()),
        ProbeResult::NoEvidence(fault) => format!("no evidence, {}: {fault}", fault.label()),
        ProbeResult::Success => "success".to_owned(),
    }
}

async fn ask(kind: MonitorKind, endpoint: SocketAddr, timeout: Duration) -> String {
    let tls = Tls::trusting(RootCertStore::empty());
    let target = target(kind, endpoint, timeout);
    words(&probe(&target, &Egress::Direct, &Context::new(tls)).await.0)
}

async fn get(check: HttpCheck, endpoint: SocketAddr) -> String {
    ask(MonitorKind::Http(check), endpoint, PATIENT).await
}

async fn get_from(response: &'static [u8]) -> String {
    get(check(), answer(response).await.0).await
}

#[tokio::test]
async fn a_connection_that_opens_is_all_a_tcp_monitor_wants() {
    let (_listener, open) = listen().await;
    assert_eq!(ask(MonitorKind::Tcp, open, PATIENT).await, "success");
    let (_socket, closed) = closed_port();
    let refused = ask(MonitorKind::Tcp, closed, PATIENT).await;
    assert_eq!(refused, "refused: connection refused");
}

#[tokio::test]
async fn the_request_names_path_and_host() {
    let (endpoint, mut requests) = answer(OK).await;
    assert_eq!(get(check(), endpoint).await, "success");
    let request = requests.recv().await.expect("a request");
    let version = env!("CARGO_PKG_VERSION");
    let agent = format!("user-agent: meridian/{version}\r\n");
    for part in [
        "GET /_ready HTTP/1.1\r\n",
        "host: app.example.com\r\n",
        "accept-encoding: identity\r\n",
        &agent,
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }

    let bare = HttpCheck {
        host: None,
        ..check()
    };
    assert_eq!(get(bare, endpoint).await, "success");
    let request = requests.recv().await.expect("a request");
    assert!(
        request.contains(&format!("host: {endpoint}\r\n")),
        "{request}"
    );
}

#[tokio::test]
async fn the_request_has_the_monitors_method_and_headers() {
    // A response to HEAD has the length of the body that it lacks.
    let (endpoint, mut requests) = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    let head = HttpCheck {
        method: Method::Head,
        headers: [
            ("accept".into(), "text/plain".into()),
            ("x-probe".into(), "meridian".into()),
        ]
        .into(),
        ..check()
    };
    assert_eq!(get(head, endpoint).await, "success");
    let request = requests.recv().await.expect("a request");
    for part in [
        "HEAD /_ready HTTP/1.1\r\n",
        "accept: text/plain\r\n",
        "x-probe: meridian\r\n",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
    assert!(!request.contains("*/*"), "{request}");
}

#[tokio::test]
async fn only_expected_statuses_are_good() {
    for (response, expected) in [
        (OK, "success"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", "success"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "success",
        ),
        (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "status: status 503, expected 200-399",
        ),
    ] {
        assert_eq!(get_from(response).await, expected);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (endpoint, mut requests) =
        answer(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
            .await;
    let strict = HttpCheck {
        expect_status: Box::from([(200, 299)]),
        ..check()
    };
    let result = get(strict, endpoint).await;
    assert_eq!(result, "status: status 302, expected 200-299");
    assert_eq!(get(check(), endpoint).await, "success");
    requests.recv().await.expect("the first request");
    requests.recv().await.expect("the second request");
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn what_is_no_http_response_is_a_protocol_failure() {
    let not_http = "protocol: response is not HTTP/1.1";
    for (response, expected) in [
        (&b"SSH-2.0-OpenSSH_9.9\r\n"[..], not_http),
        (b"HTTP/1.1 abc\r\n\r\n", not_http),
        (
            b"",
            "closed: connection closed while waiting for the response",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Le",
            "closed: connection closed while waiting for the response",
        ),
    ] {
        assert_eq!(get_from(response).await, expected, "{response:?}");
    }
}

#[tokio::test]
async fn heads_are_read_leniently_within_64_kib() {
    let lines = |n, value_len| {
        let header = format!("X-Header: {}\r\n", "x".repeat(value_len));
        format!("HTTP/1.1 200 OK\r\n{}\r\n", header.repeat(n))
    };
    let interim = |n| {
        let early = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(n);
        format!("{early}HTTP/1.1 200 OK\r\n\r\n")
    };
    let too_large = "protocol: response head is larger than 64 KiB or 1024 lines";
    for (what, response, expected) in [
        (
            "a folded line (RFC 9112 s5.2)",
            "HTTP/1.1 200 OK\r\nX-Policy: one,\r\n two\r\n\r\n".to_owned(),
            "success",
        ),
        (
            "a space before the colon",
            "HTTP/1.1 200 OK\r\nX-Odd : one\r\n\r\n".to_owned(),
            "success",
        ),
        (
            "a header that is none",
            "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n".to_owned(),
            "success",
        ),
        ("1,000 header lines", lines(1000, 10), "success"),
        ("long headers", lines(60, 1000), "success"),
        ("headers without end", lines(70, 1000), too_large),
        ("too many headers", lines(1100, 2), too_large),
        ("interim responses", interim(100), "success"),
        ("interim responses without end", interim(10_000), too_large),
    ] {
        let result = get_from(response.into_bytes().leak()).await;
        assert_eq!(result, expected, "{what}");
    }
    // A large body that comes with its head is none of the head's business.
    let body = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 200_000]].concat();
    assert_eq!(get_from(body.leak()).await, "success");
}

#[tokio::test]
async fn a_flood_of_interim_responses_ends_long_before_the_timeout() {
    let (endpoint, mut sent) = serve(|mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
        let mut n = 0;
        while stream.write_all(&hints).await.is_ok() {
            n += hints.len();
        }
        n
    })
    .await;
    let result = get(check(), endpoint).await;
    assert_eq!(
        result,
        "protocol: response head is larger than 64 KiB or 1024 lines"
    );
    // What was sent beyond that is in the kernel's buffers.
    assert!(sent.recv().await.expect("the end") < 64 << 20);
}

#[tokio::test]
async fn the_body_is_searched_across_chunks_and_up_to_a_limit() {
    let holding = |text: &str| HttpCheck {
        expect_body: text.into(),
        ..check()
    };
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n";
    let (endpoint, _requests) = answer(chunked).await;
    assert_eq!(get(holding("ready"), endpoint).await, "success");
    let result = get(holding("reedy"), endpoint).await;
    assert_eq!(result, "body: body does not hold `reedy`");

    // Half a body, and a broken one.
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nrea";
    let (endpoint, _requests) = answer(half).await;
    assert_eq!(get(holding("rea"), endpoint).await, "success");
    let closed = "closed: connection closed while reading the body";
    assert_eq!(get(holding("ready"), endpoint).await, closed);
    let broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let (endpoint, _requests) = answer(broken).await;
    let result = get(holding("ready"), endpoint).await;
    assert_eq!(result, "protocol: response is not HTTP/1.1");

    let mut long = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    long.extend([b'x'; 70_000]);
    long.extend(b"ready");
    let result = get(holding("ready"), hang_after(long.leak()).await).await;
    let expected = "body: first 65536 octets of the body do not hold `ready`";
    assert_eq!(result, expected);

    let coded = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b";
    let (endpoint, _requests) = answer(coded).await;
    let result = get(holding("ready"), endpoint).await;
    let expected = "body: body does not hold `ready`; it has content coding `gzip`";
    assert_eq!(result, expected);
}

#[expect(clippy::too_many_lines, reason = "one table of all cases")]
#[tokio::test]
async fn the_load_is_read_and_fails_no_probe() {
    use NoLoad::Missing;
    use NoLoad::Unreadable;
    let header = || Some(LoadSource::Header("x-load".into()));
    let json = || Some(LoadSource::Json("/load".into()));
    let with = |head: &str, body: &str| -> &'static [u8] {
        let len = body.len();
        let text = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {len}\r\n\r\n{body}");
        text.leak().as_bytes()
    };
    let long = format!("{{\"load\":0.5,\"x\":\"{}\"}}", "x".repeat(70_000));
    for (source, wanted, response, expected) in [
        (None, "", with("X-Load: 85%\r\n", ""), None),
        (header(), "", with("X-Load: 85%\r\n", ""), Some(Ok(8_500))),
        (
            header(),
            "up",
            with("x-load: 0.5\r\n", "up"),
            Some(Ok(5_000)),
        ),
        (header(), "", with("", ""), Some(Err(Missing))),
        (
            header(),
            "",
            with("X-Load: 85\r\n", ""),
            Some(Err(Unreadable)),
        ),
        (
            header(),
            "",
            with("X-Load: \u{e9}\r\n", ""),
            Some(Err(Unreadable)),
        ),
        (json(), "", with("", r#"{"load":0.85}"#), Some(Ok(8_500))),
        (
            json(),
            "load",
            with("", r#"{"load":"85%"}"#),
            Some(Ok(8_500)),
        ),
        (json(), "", with("", "{}"), Some(Err(Missing))),
        (json(), "", with("", "busy"), Some(Err(Unreadable))),
        (json(), "", with("", &long), Some(Err(Unreadable))),
        (
            json(),
            "",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            Some(Err(Missing)),
        ),
    ] {
        let check = HttpCheck {
            expect_body: wanted.into(),
            load: source,
            ..check()
        };
        let (endpoint, _requests) = answer(response).await;
        let kind = MonitorKind::Http(check);
        let target = target(kind, endpoint, PATIENT);
        let (result, load) = probe(&target, &Egress::Direct, &context()).await;
        assert_eq!(result, ProbeResult::Success);
        assert_eq!(
            load,
            expected.map(|load: Result<u32, _>| load.map(Load::from))
        );
    }
}

#[tokio::test]
async fn half_a_load_fails_no_probe_and_a_failed_probe_has_none() {
    let half = hang_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"lo").await;
    let bad = b"HTTP/1.1 503 Busy\r\nX-Load: 1\r\nContent-Length: 0\r\n\r\n";
    let (bad, _requests) = answer(bad).await;
    for (source, endpoint, expected) in [
        (
            LoadSource::Json("/load".into()),
            half,
            ("success", Some(Err(NoLoad::Unreadable))),
        ),
        (LoadSource::Header("x-load".into()), bad, ("status", None)),
    ] {
        let check = HttpCheck {
            load: Some(source),
            ..check()
        };
        let target = target(MonitorKind::Http(check), endpoint, HASTY);
        let (result, load) = probe(&target, &Egress::Direct, &context()).await;
        assert_eq!((result.label(), load), expected);
    }
}

#[tokio::test]
async fn whatever_hangs_ends_at_the_timeout() {
    let holding = HttpCheck {
        expect_body: "ready".into(),
        ..check()
    };
    for (sent, phase) in [
        (&b""[..], "waiting for the response"),
        (b"HTTP/1.1 200 OK\r\nX-A", "waiting for the response"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrea",
            "reading the body",
        ),
    ] {
        let endpoint = hang_after(sent).await;
        let result = ask(MonitorKind::Http(holding.clone()), endpoint, HASTY).await;
        assert_eq!(
            result,
            format!("timeout: timed out after 100ms while {phase}")
        );
    }
    let endpoint = hang_after(b"").await;
    let kind = MonitorKind::Http(https(check()));
    let target = target(kind, endpoint, HASTY);
    let context = Context::new(Authority::new().trusted());
    let (result, _) = probe(&target, &Egress::Direct, &context).await;
    let expected = "timeout: timed out after 100ms while in the TLS handshake";
    assert_eq!(words(&result), expected);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_the_process_slept_through_is_no_evidence() {
    let endpoint = hang_after(b"").await;
    let slept = async {
        // The probe has begun: it waits for the response.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(60)).await;
    };
    let probed = ask(MonitorKind::Http(check()), endpoint, Duration::from_secs(4));
    let (result, ()) = tokio::join!(probed, slept);
    assert_eq!(
        result,
        "no evidence, local: this process was suspended or short of CPU while it probed"
    );
}

#[tokio::test]
async fn slow_senders_do_not_stretch_the_timeout() {
    let (endpoint, _ends) = serve(|mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let mut beat = tokio::time::interval(HASTY / 20);
        while stream
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            .await
            .is_ok()
        {
            beat.tick().await;
        }
    })
    .await;
    let result = ask(MonitorKind::Http(check()), endpoint, HASTY).await;
    let expected = "timeout: timed out after 100ms while waiting for the response";
    assert_eq!(result, expected);
}

#[tokio::test]
async fn resets_are_told_with_their_phase() {
    let endpoint = reset_after(b"").await;
    let expected = "reset: connection reset while waiting for the response";
    assert_eq!(get(check(), endpoint).await, expected);
}

/// A certificate authority made for one test.
struct Authority {
    key: KeyPair,
    params: CertificateParams,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        Self::named("one authority")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let certificate = certificate.der().clone();
        Self {
            key,
            params,
            certificate,
        }
    }

    /// Trusts this authority and no other.
    fn trusted(&self) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        Tls::trusting(roots)
    }

    /// Accepts TLS with a certificate for `name` that is valid from one year to another, for these protocols.
    fn acceptor(&self, name: &str, years: (i32, i32), protocols: &[&[u8]]) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a matching key");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A TLS server with such a certificate; returns the server names that clients asked for.
    async fn serve(
        &self,
        name: &str,
        years: (i32, i32),
    ) -> (SocketAddr, mpsc::UnboundedReceiver<Option<String>>) {
        let acceptor = self.acceptor(name, years, &[]);
        serve(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                exchange(&mut stream, OK).await;
                name
            }
        })
        .await
    }
}

const VALID: (i32, i32) = (2020, 2120);

async fn get_tls(tls: &Tls, check: HttpCheck, endpoint: SocketAddr) -> String {
    let target = target(MonitorKind::Http(check), endpoint, PATIENT);
    words(
        &probe(&target, &Egress::Direct, &Context::new(tls.clone()))
            .await
            .0,
    )
}

#[tokio::test]
async fn certificates_are_verified_against_the_host() {
    let authority = Authority::new();
    let tls = authority.trusted();
    for (name, years, expected) in [
        ("app.example.com", VALID, "success"),
        ("*.example.com", VALID, "success"),
        (
            "www.example.com",
            VALID,
            "certificate: certificate is not valid for `app.example.com`",
        ),
        (
            "app.example.com",
            (2020, 2021),
            "certificate: certificate has expired",
        ),
        (
            "app.example.com",
            (2110, 2120),
            "certificate: certificate is not valid yet",
        ),
    ] {
        let (endpoint, mut names) = authority.serve(name, years).await;
        assert_eq!(get_tls(&tls, https(check()), endpoint).await, expected);
        if expected == "success" {
            let asked = names.recv().await.expect("a connection");
            assert_eq!(asked.as_deref(), Some("app.example.com"));
        }
    }
    for other in ["another authority", "one authority"] {
        let other = Authority::named(other);
        let (endpoint, _names) = other.serve("app.example.com", VALID).await;
        assert_eq!(
            get_tls(&tls, https(check()), endpoint).await,
            "certificate: certificate is not from a trusted authority"
        );
    }
}

#[tokio::test]
async fn without_a_host_the_certificate_is_for_the_address() {
    let authority = Authority::new();
    let tls = authority.trusted();
    let bare = https(HttpCheck {
        host: None,
        ..check()
    });
    let (endpoint, mut names) = authority.serve("127.0.0.1", VALID).await;
    assert_eq!(get_tls(&tls, bare.clone(), endpoint).await, "success");
    assert_eq!(names.recv().await, Some(None));
    let (endpoint, _names) = authority.serve("app.example.com", VALID).await;
    assert_eq!(
        get_tls(&tls, bare, endpoint).await,
        "certificate: certificate is not valid for `127.0.0.1`"
    );
}

#[tokio::test]
async fn the_server_name_may_differ_from_the_host() {
    let authority = Authority::new();
    let tls = authority.trusted();
    let named = HttpCheck {
        tls: Some(TlsCheck {
            server_name: Some("lb.example.net".into()),
            is_verified: true,
        }),
        ..check()
    };
    let (endpoint, mut names) = authority.serve("lb.example.net", VALID).await;
    assert_eq!(get_tls(&tls, named.clone(), endpoint).await, "success");
    assert_eq!(names.recv().await, Some(Some("lb.example.net".to_owned())));
    let (endpoint, _names) = authority.serve("app.example.com", VALID).await;
    assert_eq!(
        get_tls(&tls, named, endpoint).await,
        "certificate: certificate is not valid for `lb.example.net`"
    );
}

#[tokio::test]
async fn unverified_monitors_take_any_certificate_and_need_no_authority() {
    let unverified = HttpCheck {
        tls: Some(TlsCheck {
            server_name: Some("app.example.com".into()),
            is_verified: false,
        }),
        ..check()
    };
    let authority = Authority::new();
    for (name, years) in [("other.example", VALID), ("app.example.com", (2020, 2021))] {
        let (endpoint, mut names) = authority.serve(name, years).await;
        let tls = Tls::trusting(RootCertStore::empty());
        assert_eq!(get_tls(&tls, unverified.clone(), endpoint).await, "success");
        assert_eq!(names.recv().await, Some(Some("app.example.com".to_owned())));
    }
}

#[tokio::test]
async fn plain_servers_fail_the_tls_handshake() {
    let tls = Authority::new().trusted();
    let (endpoint, _ends) = serve(|mut stream: TcpStream| async move {
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let result = get_tls(&tls, https(check()), endpoint).await;
    assert!(
        result.starts_with("tls: TLS handshake failed: "),
        "{result}"
    );
}

#[tokio::test]
async fn without_any_trusted_authority_https_tells_nothing() {
    let (endpoint, _requests) = answer(OK).await;
    let result = ask(MonitorKind::Http(https(check())), endpoint, PATIENT).await;
    assert_eq!(
        result,
        "no evidence, local: no trusted CA certificates are installed on this machine"
    );
}

async fn get_through(egress: &Egress, endpoint: SocketAddr, timeout: Duration) -> String {
    let target = target(MonitorKind::Http(check()), endpoint, timeout);
    words(&probe(&target, egress, &context()).await.0)
}

fn context() -> Context {
    Context::new(Tls::trusting(RootCertStore::empty()))
}

#[tokio::test]
async fn a_source_address_is_what_the_endpoint_sees() {
    let (endpoint, mut peers) = serve(|mut stream: TcpStream| async move {
        exchange(&mut stream, OK).await;
        stream.peer_addr().expect("connected").ip()
    })
    .await;
    let source = IpAddr::from([127, 0, 0, 2]);
    let result = get_through(&Egress::Source(source), endpoint, PATIENT).await;
    assert_eq!(result, "success");
    assert_eq!(peers.recv().await, Some(source));

    // An address that this machine does not have says nothing about the endpoint.
    let foreign = Egress::Source(IpAddr::from([192, 0, 2, 1]));
    let result = get_through(&foreign, endpoint, PATIENT).await;
    assert!(
        result.starts_with("no evidence, local: cannot send from 192.0.2.1: "),
        "{result}"
    );

    // Nor does an uplink that does not lead there, as loopback to the outside.
    let outside = SocketAddr::from(([192, 0, 2, 1], 80));
    let result = get_through(&Egress::Source(source), outside, PATIENT).await;
    assert!(
        result.starts_with("no evidence, local: cannot connect: "),
        "{result}"
    );
}

fn http_proxy(address: SocketAddr) -> Egress {
    Egress::HttpProxy {
        host: address.ip().to_string().into(),
        port: address.port(),
    }
}

fn socks5_proxy(address: SocketAddr) -> Egress {
    Egress::Socks5Proxy {
        host: address.ip().to_string().into(),
        port: address.port(),
    }
}

#[tokio::test]
async fn an_http_proxy_is_asked_for_the_address() {
    let (endpoint, mut requests) = answer(OK).await;
    let (proxy, mut heads) = serve(|mut stream: TcpStream| async move {
        let head = read_head(&mut stream).await;
        let to = head.split(' ').nth(1).expect("a target");
        let mut upstream = TcpStream::connect(to).await.expect("the endpoint");
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
            .expect("open");
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
        head
    })
    .await;
    let result = get_through(&http_proxy(proxy), endpoint, PATIENT).await;
    assert_eq!(result, "success");
    let head = heads.recv().await.expect("a tunnel");
    assert_eq!(
        head,
        format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n\r\n")
    );
    let request = requests.recv().await.expect("a request");
    assert!(request.starts_with("GET /_ready HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn an_http_proxys_answer_decides_whose_failure_it_is() {
    let endpoint = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80));
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n".repeat(2000)].concat();
    let interim = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    for (reply, expected) in [
        (
            &b"HTTP/1.1 504 Gateway Timeout\r\n\r\n"[..],
            "unreachable: the proxy cannot reach it: status 504",
        ),
        (
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n",
            "unreachable: the proxy cannot reach it: status 502",
        ),
        (
            b"HTTP/1.1 501 Not Implemented\r\n\r\n",
            "no evidence, proxy: proxy: refuses to connect with status 501",
        ),
        (
            b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n",
            "no evidence, proxy: proxy: refuses to connect with status 407",
        ),
        (
            b"\x05\x00\r\n\r\n",
            "no evidence, proxy: proxy: does not speak HTTP/1",
        ),
        (
            b"SSH-2.0-OpenSSH_9.9\r\n",
            "no evidence, proxy: proxy: does not speak HTTP/1",
        ),
        (
            b"",
            "no evidence, proxy: proxy: closes the connection without an answer",
        ),
        (
            b"HTTP/1.1 200 Conn",
            "no evidence, proxy: proxy: closes the connection in the middle of its answer",
        ),
        (
            endless.leak(),
            "no evidence, proxy: proxy: does not end its answer",
        ),
        (
            interim.leak(),
            "no evidence, proxy: proxy: does not end its answer",
        ),
    ] {
        let (proxy, _heads) = answer(reply).await;
        assert_eq!(
            get_through(&http_proxy(proxy), endpoint, PATIENT).await,
            expected
        );
    }
}

#[tokio::test]
async fn silence_of_an_http_proxy_is_the_endpoints_until_it_begins_to_answer() {
    let endpoint = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80));
    for (sent, expected) in [
        (&b""[..], "timeout: timed out after 100ms while connecting"),
        // Who has begun to answer is not waiting for the endpoint.
        (
            b"HTTP/1.1 200 Conn",
            "no evidence, proxy: proxy: does not end its answer",
        ),
    ] {
        let proxy = hang_after(sent).await;
        assert_eq!(
            get_through(&http_proxy(proxy), endpoint, HASTY).await,
            expected
        );
    }
    let (_socket, down) = closed_port();
    for egress in [http_proxy(down), socks5_proxy(down)] {
        let result = get_through(&egress, endpoint, PATIENT).await;
        let expected = format!("no evidence, proxy: proxy: cannot connect to {down}: ");
        assert!(result.starts_with(&expected), "{result}");
    }
}

/// A SOCKS5 proxy that replies with this code, and connects if it is 0; returns the requests.
async fn socks5_server(code: u8) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    serve(move |mut stream: TcpStream| async move {
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).await.expect("a greeting");
        assert_eq!(greeting, [5, 1, 0]);
        stream.write_all(&[5, 0]).await.expect("open");
        let mut request = vec![0; 4];
        stream.read_exact(&mut request).await.expect("a request");
        let address_len = if request[3] == 4 { 16 } else { 4 };
        let mut rest = vec![0; address_len + 2];
        stream.read_exact(&mut rest).await.expect("an address");
        request.extend(&rest);
        // The bound address in the reply may also be a name.
        let reply = [&[5, code, 0, 3, 5][..], b"proxy", &[0, 0]].concat();
        stream.write_all(&reply).await.expect("open");
        if code == 0 {
            let ip = [rest[0], rest[1], rest[2], rest[3]];
            let port = u16::from_be_bytes([rest[4], rest[5]]);
            let mut upstream = TcpStream::connect((Ipv4Addr::from(ip), port))
                .await
                .expect("up");
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
        }
        request
    })
    .await
}

#[tokio::test]
async fn a_socks5_proxy_is_asked_for_the_address() {
    let (endpoint, _requests) = answer(OK).await;
    let (proxy, mut requests) = socks5_server(0).await;
    let result = get_through(&socks5_proxy(proxy), endpoint, PATIENT).await;
    assert_eq!(result, "success");
    let [high, low] = endpoint.port().to_be_bytes();
    let expected = vec![5, 1, 0, 1, 127, 0, 0, 1, high, low];
    assert_eq!(requests.recv().await, Some(expected));

    let (proxy, mut requests) = socks5_server(4).await;
    let endpoint: SocketAddr = "[2001:db8::1]:8081".parse().expect("an address");
    let result = get_through(&socks5_proxy(proxy), endpoint, PATIENT).await;
    assert_eq!(result, "unreachable: host unreachable");
    let request = requests.recv().await.expect("a request");
    assert_eq!(request[..8], [5, 1, 0, 4, 0x20, 0x01, 0x0d, 0xb8]);
    assert_eq!(request[16..], [0, 0, 0, 1, 0x1f, 0x91]);
}

/// A SOCKS5 proxy that sends these octets after greeting and request, and then closes or hangs.
async fn socks5_script(
    greeting: &'static [u8],
    reply: &'static [u8],
    hangs: bool,
) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    serve(move |mut stream: TcpStream| async move {
        let _ = stream.read_exact(&mut [0; 3]).await;
        let _ = stream.write_all(greeting).await;
        if let [5, 0] = greeting {
            let _ = stream.read_exact(&mut [0; 10]).await;
            let _ = stream.write_all(reply).await;
        }
        if !hangs {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

#[tokio::test]
async fn what_fails_after_a_socks5_greeting_is_the_endpoints() {
    let endpoint = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80));
    let proxys = |what: &str| format!("no evidence, proxy: proxy: {what}");
    let incomplete = proxys("gives no complete SOCKS5 reply");
    for (greeting, reply, expected) in [
        (&[5, 0xFF][..], &[][..], proxys("asks for authentication")),
        (&[4, 0], &[], proxys("does not speak SOCKS5")),
        (&[], &[], proxys("closes the connection without an answer")),
        // OpenSSH's way to say that the endpoint cannot be reached.
        (
            &[5, 0],
            &[],
            "unreachable: the proxy cannot reach it: it closes the connection".to_owned(),
        ),
        (
            &[5, 0],
            &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0],
            "unreachable: the proxy cannot reach it: SOCKS5 reply 1".to_owned(),
        ),
        (&[5, 0], &[5], incomplete.clone()),
        (&[5, 0], &[5, 0, 5, 0, 0, 9], incomplete.clone()),
        (&[5, 0], &[5, 0, 0, 3, 200], incomplete.clone()),
        (
            &[5, 0],
            &[0; 600],
            proxys("gives a reply that is not SOCKS5"),
        ),
    ] {
        let (proxy, _ends) = socks5_script(greeting, reply, false).await;
        let result = get_through(&socks5_proxy(proxy), endpoint, PATIENT).await;
        assert_eq!(result, expected, "{greeting:?} {reply:?}");
    }
    for (greeting, reply, expected) in [
        (&[][..], &[][..], proxys("does not answer")),
        (
            &[5, 0],
            &[],
            "timeout: timed out after 100ms while connecting".to_owned(),
        ),
        // Who has begun to reply is not waiting for the endpoint.
        (&[5, 0], &[5, 0, 0, 3, 200], incomplete),
    ] {
        let (proxy, _ends) = socks5_script(greeting, reply, true).await;
        let result = get_through(&socks5_proxy(proxy), endpoint, HASTY).await;
        assert_eq!(result, expected, "{greeting:?} {reply:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_never_opened_a_connection_of_a_family_may_have_none() {
    let context = context();
    let (endpoint, _requests) = answer(OK).await;
    let other: SocketAddr = "[2001:db8::1]:80".parse().expect("an address");
    let (proxy, _codes) = socks5_server(3).await;
    let via = |proxy, endpoint| {
        let (target, context) = (
            target(MonitorKind::Http(check()), endpoint, PATIENT),
            context.clone(),
        );
        async move { words(&probe(&target, &socks5_proxy(proxy), &context).await.0) }
    };
    for endpoint in [endpoint, other] {
        let family = if endpoint.is_ipv4() { "ipv4" } else { "ipv6" };
        assert_eq!(
            via(proxy, endpoint).await,
            format!(
                "no evidence, proxy: proxy: has not opened any {family} connection yet: \
                 host unreachable"
            )
        );
    }
    // Once it has, "network unreachable" is about the endpoint.
    context.proxies.opened("127.0.0.1", proxy.port())[Family::V6].store(true, Relaxed);
    assert_eq!(via(proxy, other).await, "unreachable: host unreachable");
    let (open, _requests) = socks5_server(0).await;
    assert_eq!(via(open, endpoint).await, "success");
    let opened = context.proxies.opened("127.0.0.1", open.port());
    assert!(opened.v4.load(Relaxed) && !opened.v6.load(Relaxed));
}

#[tokio::test]
async fn a_source_address_claims_no_port_before_the_endpoint_is_known() {
    let source = IpAddr::from([127, 0, 0, 77]);
    let socket = TcpSocket::new_v4().expect("a socket");
    bind_without_port(&socket).expect("Linux 4.2");
    socket.bind((source, 0).into()).expect("the address");
    assert_eq!(socket.local_addr().expect("bound"), (source, 0).into());
    let (_listener, endpoint) = listen().await;
    let stream = socket.connect(endpoint).await.expect("connected");
    assert_eq!(stream.local_addr().expect("connected").ip(), source);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of all cases")]
fn pairs_are_what_each_vantage_can_reach() {
    let vantages = [
        ("local", Egress::Direct),
        ("second", Egress::Source(IpAddr::from([127, 0, 0, 2]))),
    ]
    .map(|(name, egress)| Vantage {
        name: name.into(),
        egress,
    });
    let endpoint = SocketAddr::from(([192, 0, 2, 10], 80));
    let monitor = target(MonitorKind::Tcp, endpoint, PATIENT).monitor;
    let pool = |name: &str, monitors, watch| Pool {
        name: name.into(),
        location: Point::new(45.60, -121.18).expect("on Earth"),
        endpoints: [
            ("192.0.2.10", Some("10.0.0.10")),
            ("192.0.2.11", Some("10.0.0.10:8081")),
            ("2001:db8::10", None),
        ]
        .map(|(address, check)| Endpoint {
            check: check.and_then(check_address),
            ..Endpoint::new(address.parse().expect("an address"), 1)
        })
        .into(),
        hosts: Vec::new(),
        source: PoolSource::File,
        monitors,
        watch,
        min_healthy: MinHealthy::Count(1),
        standby: None,
        weight: 1,
        bias_km: 0.0,
        txt: Vec::new(),
        ramp: Duration::ZERO,
        drill: None,
        spill_at: None,
    };
    let pools = Pools {
        regions: Vec::new(),
        monitors: vec![
            (*monitor).clone(),
            Monitor {
                name: "slow".into(),
                ..(*monitor).clone()
            },
        ],
        pools: vec![
            pool("static", vec![], vec![]),
            pool("west", vec![MonitorIx(0)], vec![MonitorIx(1)]),
        ],
        steered: Vec::new(),
        aliases: Vec::new(),
    };
    let pairs = pairs(&pools, &Membership::default(), &vantages);
    let seen: Vec<_> = pairs
        .iter()
        .map(|pair| {
            let Target {
                pool,
                address,
                probed_at,
                monitor,
                has_vote,
            } = &*pair.target;
            let (vantage, monitor) = (&pair.vantage, &monitor.name);
            let vote = if *has_vote { "votes" } else { "is watched" };
            format!("{vantage} {pool} {address} at {probed_at}: {monitor} {vote}")
        })
        .collect();
    assert_eq!(
        seen,
        [
            "local west 192.0.2.10 at 10.0.0.10:80: ready votes",
            "second west 192.0.2.10 at 10.0.0.10:80: ready votes",
            "local west 192.0.2.10 at 10.0.0.10:80: slow is watched",
            "second west 192.0.2.10 at 10.0.0.10:80: slow is watched",
            "local west 192.0.2.11 at 10.0.0.10:8081: ready votes",
            "second west 192.0.2.11 at 10.0.0.10:8081: ready votes",
            "local west 192.0.2.11 at 10.0.0.10:8081: slow is watched",
            "second west 192.0.2.11 at 10.0.0.10:8081: slow is watched",
            "local west 2001:db8::10 at [2001:db8::10]:80: ready votes",
            "local west 2001:db8::10 at [2001:db8::10]:80: slow is watched",
        ]
    );
}

#[tokio::test]
async fn the_prober_probes_until_it_is_dropped() {
    let (endpoint, _requests) = answer(OK).await;
    let mut target = target(MonitorKind::Http(check()), endpoint, PATIENT);
    Arc::make_mut(&mut target.monitor).interval = Duration::from_millis(20);
    let pair = Pair {
        target: Arc::new(target),
        vantage: "local".into(),
        egress: Egress::Direct,
    };
    let (reports, mut seen) = mpsc::channel(1);
    let mut prober = Prober::new(
        Tls::trusting(RootCertStore::empty()),
        1,
        reports,
        mpsc::channel(1).0,
        Meters::new().probes_late,
    );
    prober.replace(vec![pair]);
    for _ in 0..3 {
        let observation = seen.recv().await.expect("a report");
        assert_eq!(observation.result, ProbeResult::Success);
        assert_eq!(&*observation.vantage, "local");
    }
    drop(prober);
    while seen.recv().await.is_some() {}
}
