//! Servers that behave in every way, and archives of every kind.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;
use rcgen::CertifiedKey;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// The head of each request that came.
type Heads = Arc<Mutex<Vec<String>>>;

/// A server on loopback for as long as the test runs.
struct Server {
    port: u16,
    heads: Heads,
}

impl Server {
    /// Answers each request by its target; nothing to send: it never answers.
    async fn start(
        tls: Option<TlsAcceptor>,
        respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let heads = Heads::default();
        let (respond, seen) = (Arc::new(respond), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (respond, seen, tls) = (Arc::clone(&respond), Arc::clone(&seen), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                exchange(stream, &seen, &*respond).await;
                            }
                        }
                        None => exchange(stream, &seen, &*respond).await,
                    }
                });
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Heads,
    respond: &(dyn Fn(&str) -> Vec<u8> + Send + Sync),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).expect("text");
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().expect("no panic").push(head.to_lowercase());
    let response = respond(&target);
    let _ = stream.write_all(&response).await;
    if response.is_empty() {
        // Until the client gives up.
        let _ = stream.read_u8().await;
    }
    let _ = stream.shutdown().await;
}

fn response(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        response += &format!("{name}: {value}\r\n");
    }
    [format!("{response}\r\n").as_bytes(), body].concat()
}

/// What a server and its client need for `localhost`.
fn tls() -> (TlsAcceptor, ClientConfig) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a server");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), client)
}

const LIMITS: Limits = Limits {
    max_len: 1_000,
    stall: Duration::from_secs(20),
    total: Duration::from_secs(60),
};

async fn fetch(
    client: &Client,
    url: &str,
    credentials: &Credentials,
    validators: &Validators,
) -> (Result<Fetched, FetchError>, Vec<u8>) {
    let mut file = tempfile::tempfile().expect("a file");
    let request = Request {
        url,
        credentials,
        validators,
    };
    let to = file.try_clone().expect("a handle");
    let fetched = client.file(request, to).await;
    let mut content = Vec::new();
    file.rewind().expect("rewound");
    file.read_to_end(&mut content).expect("read");
    (fetched, content)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "mostly a table")]
async fn every_way_in_which_a_server_behaves_has_an_outcome() {
    let server = Server::start(None, |target| match target {
        "/200" => response(
            "200 OK",
            &[("etag", "\"a\""), ("last-modified", "then")],
            b"abc",
        ),
        "/304" => b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
        "/401" => response("401 Unauthorized", &[], b"who?"),
        "/404" => response("404 Not Found", &[], b""),
        "/429" => response("429 Too Many Requests", &[("retry-after", "7200")], b""),
        "/429-date" => response(
            "429 Too Many Requests",
            &[("retry-after", "Fri, 27 Nov 2026 21:00:00 GMT")],
            b"",
        ),
        "/500" => response("500 Internal Server Error", &[], b""),
        "/cut" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc".to_vec(),
        "/long" => response("200 OK", &[], &[0; 1_001]),
        "/long-without-length" => [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[0; 2_000]].concat(),
        "/here" => response("302 Found", &[("location", "/200")], b""),
        "/away" => response(
            "302 Found",
            &[("location", "http://127.0.0.1:1/x?token=s")],
            b"",
        ),
        "/round" => response("301 Moved", &[("location", "/round")], b""),
        "/nowhere" => response("302 Found", &[], b""),
        _ => b"220 no HTTP\r\n\r\n".to_vec(),
    })
    .await;
    let client = Client::new(tls().1, LIMITS).expect("a client");
    for (target, expected) in [
        ("/200", "file"),
        ("/304", "not modified"),
        (
            "/401",
            "status 401: the account's user, password, token or licence is not accepted",
        ),
        (
            "/404",
            "status 404: no such file; a dated one may not have been published yet",
        ),
        (
            "/429",
            "status 429: the account's limit of downloads is reached, after 7200s",
        ),
        (
            "/429-date",
            "status 429: the account's limit of downloads is reached",
        ),
        ("/500", "status 500"),
        ("/cut", "end of file before message length reached"),
        ("/long", "more than the limit of 0 MiB"),
        ("/long-without-length", "more than the limit of 0 MiB"),
        ("/here", "file"),
        ("/away", "redirects to http://127.0.0.1:1, expected https"),
        ("/round", "redirects to another place more than 5 times"),
        ("/nowhere", "status 302"),
        ("/garbage", "invalid HTTP"),
    ] {
        let url = format!("http://127.0.0.1:{}{target}", server.port);
        let nobody = Credentials::default();
        let (fetched, content) = fetch(&client, &url, &nobody, &Validators::default()).await;
        let found = match fetched {
            Ok(Fetched::NotModified) => "not modified".to_owned(),
            Ok(Fetched::File { validators, sha256 }) => {
                assert_eq!(content, b"abc");
                assert!(sha256.starts_with("ba7816bf8f01cfea"), "{sha256}");
                assert_eq!(validators.etag.as_deref(), Some("\"a\""));
                assert_eq!(validators.last_modified.as_deref(), Some("then"));
                "file".to_owned()
            }
            Err(error) => match error.retry_after() {
                Some(after) => format!("{error}, after {}s", after.as_secs()),
                None => error.to_string(),
            },
        };
        assert!(found.contains(expected), "{target}: {found}");
    }
}

#[tokio::test]
async fn a_dead_or_silent_server_is_given_up() {
    let silent = Server::start(None, |_| Vec::new()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let dead = listener.local_addr().expect("an address").port();
    drop(listener);
    let limits = Limits {
        stall: Duration::from_millis(200),
        ..LIMITS
    };
    let client = Client::new(tls().1, limits).expect("a client");
    for (port, expected) in [(dead, "onnection refused"), (silent.port, "takes too long")] {
        let url = format!("http://127.0.0.1:{port}/x?token=secret");
        let nobody = Credentials::default();
        let (fetched, _) = fetch(&client, &url, &nobody, &Validators::default()).await;
        let error = fetched.expect_err("no file").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let limits = Limits {
        total: Duration::from_millis(200),
        ..LIMITS
    };
    let client = Client::new(tls().1, limits).expect("a client");
    let url = format!("http://127.0.0.1:{}/", silent.port);
    let nobody = Credentials::default();
    let (fetched, _) = fetch(&client, &url, &nobody, &Validators::default()).await;
    assert!(
        matches!(fetched, Err(FetchError::Timeout(_))),
        "{fetched:?}"
    );
}

#[tokio::test]
async fn an_account_is_shown_to_its_server_only() {
    let (acceptor, trust) = tls();
    let storage = Server::start(Some(acceptor.clone()), |_| response("200 OK", &[], b"abc")).await;
    let location = format!("https://localhost:{}/signed?s=1", storage.port);
    let vendor = Server::start(Some(acceptor), move |target| match target {
        "/first" => response("302 Found", &[("location", "/second")], b""),
        _ => response("302 Found", &[("location", &location)], b""),
    })
    .await;
    let client = Client::new(trust, LIMITS).expect("a client");
    let credentials = Credentials {
        basic: Some(("user".to_owned(), "password".to_owned())),
        headers: vec![("X-Key".to_owned(), "k1".to_owned())],
    };
    let validators = Validators {
        etag: Some("\"a\"".to_owned()),
        last_modified: Some("then".to_owned()),
    };
    let url = format!("https://localhost:{}/first", vendor.port);
    let (fetched, content) = fetch(&client, &url, &credentials, &validators).await;
    assert!(matches!(fetched, Ok(Fetched::File { .. })), "{fetched:?}");
    assert_eq!(content, b"abc");
    let is_authorised = |head: &String| {
        let has = |text: &str| head.contains(text);
        assert!(
            has("if-none-match: \"a\"") && has("if-modified-since: then"),
            "{head}"
        );
        assert_eq!(
            has("authorization: basic dxnlcjpwyxnzd29yza=="),
            has("x-key: k1"),
            "{head}"
        );
        has("authorization:")
    };
    let shown = |server: &Server| server.heads().iter().map(is_authorised).collect::<Vec<_>>();
    assert_eq!(shown(&vendor), [true, true]);
    assert_eq!(shown(&storage), [false]);
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_refused() {
    let (acceptor, _) = tls();
    let (_, other_trust) = tls();
    let server = Server::start(Some(acceptor), |_| response("200 OK", &[], b"abc")).await;
    let client = Client::new(other_trust, LIMITS).expect("a client");
    let url = format!("https://localhost:{}/", server.port);
    let nobody = Credentials::default();
    let (fetched, _) = fetch(&client, &url, &nobody, &Validators::default()).await;
    let error = fetched.expect_err("not trusted").to_string();
    assert!(error.contains("certificate"), "{error}");
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("packed");
    encoder.finish().expect("packed")
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Not by `set_path`, which refuses what an attacker would write.
        let name = &mut header.as_gnu_mut().expect("GNU").name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).expect("packed");
    }
    archive.into_inner().expect("packed")
}

fn unpacked(packed: &[u8], max_len: u64) -> Result<Vec<u8>, String> {
    let file = |content: &[u8]| {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        file.rewind().expect("rewound");
        file
    };
    let mut to: File = file(b"");
    unpack::unpack(file(packed), &to, max_len).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    to.rewind().expect("rewound");
    to.read_to_end(&mut content).expect("read");
    Ok(content)
}

#[test]
fn a_database_is_found_in_whatever_it_is_packed_in() {
    let database = [7; 5_000].as_slice();
    let vendor = tar(&[
        ("GeoLite2-City_20261124/COPYRIGHT.txt", b"c"),
        ("GeoLite2-City_20261124/GeoLite2-City.mmdb", database),
        ("GeoLite2-City_20261124/LICENSE.txt", b"l"),
    ]);
    let hostile = tar(&[("../../etc/passwd.mmdb", database)]);
    for packed in [
        database.to_vec(),
        gzip(database),
        [gzip(&database[..100]), gzip(&database[100..])].concat(),
        vendor.clone(),
        gzip(&vendor),
        gzip(&hostile),
    ] {
        assert_eq!(unpacked(&packed, 1 << 20).as_deref(), Ok(database));
    }
    assert_eq!(unpacked(b"", 10).as_deref(), Ok(b"".as_slice()));
}

#[test]
fn archives_that_are_none_or_too_long_are_refused() {
    let without = gzip(&tar(&[("a/README", b"r")]));
    let link = {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        let link = archive.append_link(&mut header, "a.mmdb", "/etc/passwd");
        link.expect("packed");
        archive.into_inner().expect("packed")
    };
    // 8 MiB of nothing in 8 KiB, as it is and in an archive.
    let bomb = gzip(&vec![0; 8 << 20]);
    let packed_bomb = gzip(&tar(&[("a.txt", &vec![0; 8 << 20]), ("a.mmdb", b"1")]));
    let long_name = {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(4 << 20);
        header.set_cksum();
        archive
            .append(&header, &*vec![b'a'; 4 << 20])
            .expect("packed");
        gzip(&archive.into_inner().expect("packed"))
    };
    let cut = &gzip(&[7; 5_000])[..20];
    let in_archive = "an archive without a file that ends in .mmdb";
    for (packed, expected) in [
        (without.as_slice(), in_archive),
        (&link, in_archive),
        (&bomb, "more than the limit of 1 MiB"),
        (&packed_bomb, "more than the limit of 1 MiB"),
        (&long_name, "more than the limit of 1 MiB"),
        (cut, "cannot be unpacked: "),
        (
            b"PK\x03\x04",
            "a ZIP archive, expected .mmdb, .gz or .tar.gz",
        ),
    ] {
        let fault = unpacked(packed, 1 << 20).expect_err(expected);
        assert!(fault.starts_with(expected), "{fault}");
    }
}
