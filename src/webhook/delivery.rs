//! `Delivery`: the task that sends events to one webhook. The only file here that knows reqwest.

use std::error::Error;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use reqwest::Client;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use ring::hmac;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use serde::Serializer;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::model::Webhook;
use crate::live::clock::now_ms;
use crate::live::clock::unix;
use crate::live::events::EventLog;
use crate::live::events::Record;
use crate::live::events::event;
use crate::live::meters::Meters;
use crate::live::random;
use crate::webhook::queue::Queue;

/// Reads a small file.
pub type ReadFile = fn(&Path) -> io::Result<Vec<u8>>;

/// The pause after the first failure; each one after it is twice as long …
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// … up to this.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// What a receiver verifies a delivery by.
const SIGNATURE: &str = "x-meridian-signature";

/// Responses by which a receiver says that it will never take these events.
const REJECTIONS: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNPROCESSABLE_ENTITY,
];

/// What became of a delivery.
enum Outcome {
    Delivered,
    /// Never to be tried again.
    Rejected(StatusCode),
    Failed(String),
}

/// The task that delivers.
pub(super) struct Delivery {
    backlog: Backlog,
    sender: Sender,
    /// Failures in a row.
    n_failures: u32,
    /// The pause after the first one.
    first_pause: Duration,
}

/// What waits to be delivered, and its meters.
struct Backlog {
    log: Arc<EventLog>,
    meters: Meters,
    webhook: Box<str>,
    queue: Queue,
    done: Arc<AtomicU64>,
    /// Events dropped since deliveries fail.
    n_dropped: u64,
}

/// Makes deliveries.
struct Sender {
    webhook: Webhook,
    node: Box<str>,
    read: ReadFile,
    /// Kept while deliveries succeed, so that after a failure the authorities are read again.
    client: Option<Client>,
}

/// What is sent.
#[derive(Serialize)]
struct Body<'a> {
    node: &'a str,
    version: &'a str,
    #[serde(serialize_with = "each")]
    events: &'a [Arc<Record>],
}

fn each<S: Serializer>(records: &&[Arc<Record>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(records.iter().map(|record| &**record))
}

impl Delivery {
    /// Goes on after the event that is `done`.
    pub(super) fn new(
        log: &Arc<EventLog>,
        meters: &Meters,
        webhook: Webhook,
        node: &str,
        read: ReadFile,
        done: &Arc<AtomicU64>,
    ) -> Self {
        let (name, kinds) = (webhook.name.clone(), webhook.events.clone());
        Self {
            backlog: Backlog {
                log: Arc::clone(log),
                meters: meters.clone(),
                webhook: name.clone(),
                queue: Queue::new(name, kinds, done.load(Relaxed)),
                done: Arc::clone(done),
                n_dropped: 0,
            },
            sender: Sender {
                webhook,
                node: node.into(),
                read,
                client: None,
            },
            n_failures: 0,
            first_pause: FIRST_PAUSE,
        }
    }

    /// Delivers for as long as the task is there.
    pub(super) async fn run(mut self) {
        self.backlog.meters.expect_webhook(&self.backlog.webhook);
        let mut latest = self.backlog.log.follow();
        loop {
            latest.borrow_and_update();
            self.backlog.fill();
            let batch = self.backlog.queue.batch();
            let Some(last) = batch.last().map(|record| record.seq) else {
                // The log lives as long as this.
                let _ = latest.changed().await;
                continue;
            };
            let delivering = self.sender.deliver(&batch);
            let outcome = self.backlog.filled_during(delivering, &mut latest).await;
            let reason = match outcome {
                Outcome::Delivered => {
                    self.backlog.finish("ok", last);
                    self.succeeded();
                    continue;
                }
                Outcome::Rejected(status) => {
                    self.backlog.finish("rejected", last);
                    self.backlog.drop_events(batch.len() as u64);
                    format!("it answered {status} and is not sent these events again")
                }
                Outcome::Failed(reason) => {
                    self.backlog.count("failed");
                    reason
                }
            };
            self.failed(&reason);
            let pausing = sleep(pause(self.first_pause, self.n_failures));
            self.backlog.filled_during(pausing, &mut latest).await;
        }
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.n_failures) == 0 {
            return;
        }
        let dropped = std::mem::take(&mut self.backlog.n_dropped);
        let webhook = &self.backlog.webhook;
        self.backlog.log.push(event!(
            info,
            WebhookRecovered,
            [webhook],
            [dropped],
            "events are delivered to this webhook again"
        ));
    }

    fn failed(&mut self, reason: &str) {
        self.sender.client = None;
        self.n_failures = self.n_failures.saturating_add(1);
        if self.n_failures == 1 {
            let webhook = &self.backlog.webhook;
            self.backlog.log.push(event!(
                warn,
                WebhookFailed,
                [webhook],
                [reason],
                "events cannot be delivered to this webhook: trying again, each event for an hour"
            ));
        }
    }
}

impl Backlog {
    /// Takes up what has happened, and drops what is too much or too old.
    fn fill(&mut self) {
        let n_lost = self.queue.fill(&self.log) + self.queue.expire(now_ms());
        self.drop_events(n_lost);
        self.show_length();
    }

    /// Does something that may take long; what happens meanwhile is taken up.
    async fn filled_during<T>(
        &mut self,
        work: impl Future<Output = T>,
        latest: &mut watch::Receiver<u64>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = latest.changed() => self.fill(),
            }
        }
    }

    /// Everything up to this event is delivered, or is not to be.
    fn finish(&mut self, result: &str, seq: u64) {
        self.count(result);
        self.queue.done(seq);
        self.done.store(self.queue.before(), Relaxed);
        self.show_length();
    }

    fn count(&self, result: &str) {
        let labels = [&*self.webhook, result];
        let deliveries = &self.meters.webhook_deliveries;
        deliveries.with_label_values(&labels).inc();
    }

    fn drop_events(&mut self, n: u64) {
        if n == 0 {
            return;
        }
        let dropped = &self.meters.webhook_dropped;
        dropped.with_label_values(&[&*self.webhook]).inc_by(n);
        if self.n_dropped == 0 {
            let webhook = &self.webhook;
            self.log.push(event!(
                warn,
                WebhookDropped,
                [webhook],
                [events = n],
                "events for this webhook are dropped: they are too many or too old, or it rejects them"
            ));
        }
        self.n_dropped += n;
    }

    fn show_length(&self) {
        let queued = &self.meters.webhook_queued;
        let len = i64::try_from(self.queue.len()).unwrap_or(i64::MAX);
        queued.with_label_values(&[&*self.webhook]).set(len);
    }
}

impl Sender {
    async fn deliver(&mut self, events: &[Arc<Record>]) -> Outcome {
        match self.post(events).await {
            Ok(status) if status.is_success() => Outcome::Delivered,
            Ok(status) if REJECTIONS.contains(&status) => Outcome::Rejected(status),
            Ok(status) => Outcome::Failed(format!("it answered {status}")),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    /// Makes a delivery, and returns the status that it is answered with.
    async fn post(&mut self, events: &[Arc<Record>]) -> Result<StatusCode, String> {
        let body = Body {
            node: &self.node,
            version: env!("CARGO_PKG_VERSION"),
            events,
        };
        let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
        let secret = match &self.webhook.secret_file {
            Some(path) => Some(self.file(path).await?),
            None => None,
        };
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client().await?,
        };
        self.client = Some(client.clone());
        let mut request = client.post(self.webhook.url.reveal());
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(secret) = secret {
            let signature = signature(secret.trim_ascii(), unix(), &body);
            request = request.header(SIGNATURE, signature);
        }
        let response = request.body(body).send().await;
        // The URL may hold a secret.
        response
            .map(|response| response.status())
            .map_err(|error| deepest(&error.without_url()))
    }

    /// Reads a file on a thread that may wait for the disk.
    async fn file(&self, path: &Path) -> Result<Vec<u8>, String> {
        let (read, path) = (self.read, path.to_owned());
        let reading = spawn_blocking(move || {
            read(&path).map_err(|error| format!("{}: {error}", path.display()))
        });
        reading.await.map_err(|_| "the process ends".to_owned())?
    }

    /// A client that follows no redirects: what is signed is for the receiver that is configured.
    async fn client(&self) -> Result<Client, String> {
        let authorities = match &self.webhook.ca_file {
            Some(path) => Some((self.file(path).await?, path.display().to_string())),
            None => None,
        };
        let reading = spawn_blocking(move || match authorities {
            Some((octets, path)) => {
                certificates(&octets).ok_or_else(|| format!("{path}: holds no PEM certificates"))
            }
            None => Ok(rustls_native_certs::load_native_certs().certs),
        });
        let certificates = reading.await.map_err(|_| "the process ends".to_owned())??;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of every TLS version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .timeout(self.webhook.timeout)
            .user_agent(concat!("meridian/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| deepest(&error))
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty())
}

/// The time, and the HMAC of it and the body, as a receiver verifies them.
fn signature(secret: &[u8], at: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{at}.").as_bytes());
    context.update(body);
    let hex = context
        .sign()
        .as_ref()
        .iter()
        .fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"));
    format!("t={at},v1={hex}")
}

/// An error's cause: what is above it only says that a request failed.
fn deepest(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// The pause after so many failures: from a half to all of it at random, so that machines do not come at
/// the same time.
fn pause(first: Duration, n_failures: u32) -> Duration {
    let doubled = first.saturating_mul(1 << n_failures.saturating_sub(1).min(16));
    let [random] = random::octets::<1>();
    doubled
        .min(MAX_PAUSE)
        .mul_f64(0.5 + f64::from(random) / 510.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::io::AsyncRead;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWrite;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::task::AbortHandle;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::base::event_kind::EventKind;
    use crate::config::model::Password;
    use crate::live::events::Value;

    const SECRET: &str = "no machine guesses this";

    /// What a receiver got, and what it then answers.
    struct Request {
        head: String,
        body: serde_json::Value,
        octets: Vec<u8>,
        answer: mpsc::Sender<&'static str>,
    }

    impl Request {
        /// Answers with this status line, and headers.
        async fn answer(&self, status: &'static str) {
            self.answer.send(status).await.expect("the receiver waits");
        }

        fn seqs(&self) -> Vec<u64> {
            let events = self.body["events"].as_array().expect("events");
            let seqs = events
                .iter()
                .map(|event| event["seq"].as_u64().expect("a number"));
            seqs.collect()
        }

        fn header(&self, name: &str) -> Option<&str> {
            let mut lines = self.head.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        }
    }

    /// Reads a request, hands it over, and answers as it says.
    async fn receive(
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        requests: mpsc::Sender<Request>,
    ) -> Option<()> {
        let mut octets = Vec::new();
        let end = loop {
            if let Some(at) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            stream.read_buf(&mut octets).await.ok().filter(|n| *n > 0)?;
        };
        let head = String::from_utf8_lossy(&octets[..end]).into_owned();
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let len: usize = len?.parse().ok()?;
        while octets.len() < end + 4 + len {
            stream.read_buf(&mut octets).await.ok().filter(|n| *n > 0)?;
        }
        let octets = octets.split_off(end + 4);
        let (answer, mut answered) = mpsc::channel(1);
        let body = serde_json::from_slice(&octets).expect("JSON");
        let request = Request {
            head,
            body,
            octets,
            answer,
        };
        requests.send(request).await.ok()?;
        let status = answered.recv().await?;
        let response =
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(response.as_bytes()).await.ok()?;
        stream.shutdown().await.ok()
    }

    /// A receiver; its URL has this scheme.
    async fn receiver(tls: Option<TlsAcceptor>) -> (String, mpsc::Receiver<Request>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, requests) = mpsc::channel(1);
        let scheme = if tls.is_some() { "https" } else { "http" };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, tls) = (sender.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => drop(receive(stream, sender).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                receive(stream, sender).await;
                            }
                        }
                    }
                });
            }
        });
        (format!("{scheme}://{address}/hook?key=hidden"), requests)
    }

    fn webhook(url: &str) -> Webhook {
        Webhook {
            name: "hook".into(),
            url: Password::new(url.into()),
            events: Vec::new(),
            secret_file: None,
            ca_file: None,
            timeout: Duration::from_secs(30),
        }
    }

    struct Task {
        log: Arc<EventLog>,
        meters: Meters,
        done: Arc<AtomicU64>,
        task: AbortHandle,
    }

    impl Drop for Task {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    fn start(webhook: Webhook) -> Task {
        let meters = Meters::new();
        let log = Arc::new(EventLog::resume(Vec::new(), meters.events.clone()));
        let done = Arc::default();
        let read: ReadFile = |path| fs::read(path);
        let mut delivery = Delivery::new(&log, &meters, webhook, "ns1", read, &done);
        delivery.first_pause = Duration::from_millis(1);
        let task = tokio::spawn(delivery.run()).abort_handle();
        Task {
            log,
            meters,
            done,
            task,
        }
    }

    impl Task {
        fn push(&self, pool: &str) {
            self.log
                .push(event!(warn, PoolDown, [pool], [], "pool is down"));
        }

        /// The first event of a kind, once it is there.
        async fn event(&self, kind: EventKind) -> Arc<Record> {
            let mut latest = self.log.follow();
            loop {
                let all = self.log.since(0);
                if let Some(found) = all.iter().find(|record| record.kind == kind.as_str()) {
                    return Arc::clone(found);
                }
                latest.changed().await.expect("a log");
            }
        }

        fn deliveries(&self) -> [u64; 3] {
            ["ok", "failed", "rejected"].map(|result| {
                let labels = ["hook", result];
                self.meters
                    .webhook_deliveries
                    .with_label_values(&labels)
                    .get()
            })
        }
    }

    #[tokio::test]
    async fn events_are_signed_kept_in_order_and_sent_until_they_are_taken() {
        let (url, mut requests) = receiver(None).await;
        let dir = tempfile::tempdir().expect("temp dir");
        let secret_file = dir.path().join("secret");
        fs::write(&secret_file, format!("{SECRET}\n")).expect("write");
        let task = start(Webhook {
            secret_file: Some(secret_file),
            ..webhook(&url)
        });
        task.push("a");
        let first = requests.recv().await.expect("a request");
        assert!(first.head.starts_with("POST /hook?key=hidden HTTP/1.1\r\n"));
        assert_eq!(first.header("content-type"), Some("application/json"));
        assert_eq!(
            (&first.body["node"], first.seqs()),
            (&"ns1".into(), vec![1])
        );
        assert_eq!(first.body["events"][0]["fields"]["pool"], "a");
        let signature = first.header("x-meridian-signature").expect("a signature");
        let (at, hex) = signature
            .strip_prefix("t=")
            .and_then(|s| s.split_once(",v1="))
            .expect("both");
        let mut signed = format!("{at}.").into_bytes();
        signed.extend(&first.octets);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        let mac: Vec<u8> = (0..hex.len()).step_by(2).map(octet).collect();
        assert!(hmac::verify(&key, &signed, &mac).is_ok());
        // What happens meanwhile is behind it.
        task.push("b");
        first.answer("500 Internal Server Error").await;
        for status in [
            "503 Service Unavailable",
            // Elsewhere nobody checks what is signed.
            "307 Temporary Redirect\r\nlocation: /elsewhere",
            "404 Not Found",
        ] {
            let again = requests.recv().await.expect("a request");
            assert!(again.head.starts_with("POST /hook?"));
            assert_eq!(again.seqs()[..2], [1, 2]);
            again.answer(status).await;
        }
        let last = requests.recv().await.expect("a request");
        last.answer("204 No Content").await;
        let failed = task.event(EventKind::WebhookFailed).await;
        let reason = Value::Text("it answered 500 Internal Server Error".into());
        assert_eq!(failed.fields.get("reason"), Some(&reason));
        let recovered = task.event(EventKind::WebhookRecovered).await;
        assert_eq!(recovered.fields.get("dropped"), Some(&Value::Whole(0)));
        task.push("c");
        let next = requests.recv().await.expect("a request");
        assert_eq!(
            next.seqs().last(),
            Some(&recovered.seq.max(failed.seq).saturating_add(1))
        );
        next.answer("200 OK").await;
        assert_eq!(task.deliveries()[1], 4);
        assert!(task.done.load(Relaxed) >= 2);
    }

    #[tokio::test]
    async fn what_a_receiver_rejects_is_not_sent_again() {
        let (url, mut requests) = receiver(None).await;
        let task = start(webhook(&url));
        task.push("a");
        let first = requests.recv().await.expect("a request");
        first.answer("400 Bad Request").await;
        task.event(EventKind::WebhookDropped).await;
        task.push("b");
        let second = requests.recv().await.expect("a request");
        assert!(!second.seqs().contains(&1), "{:?}", second.seqs());
        second.answer("200 OK").await;
        let recovered = task.event(EventKind::WebhookRecovered).await;
        assert_eq!(recovered.fields.get("dropped"), Some(&Value::Whole(1)));
        assert_eq!(
            task.meters
                .webhook_dropped
                .with_label_values(&["hook"])
                .get(),
            1
        );
        assert_eq!(task.deliveries(), [1, 0, 1]);
    }

    #[tokio::test]
    async fn a_receiver_that_is_slow_or_dead_is_tried_again() {
        let (url, mut requests) = receiver(None).await;
        let task = start(Webhook {
            timeout: Duration::from_millis(50),
            ..webhook(&url)
        });
        task.push("a");
        // It never answers these.
        let mut unanswered = Vec::new();
        for _ in 0..2 {
            unanswered.push(requests.recv().await.expect("a request"));
        }
        assert_eq!(unanswered[1].seqs()[0], 1);
        let failed = task.event(EventKind::WebhookFailed).await;
        let reason = failed.fields.get("reason").expect("a reason").to_string();
        assert!(reason.contains("timed out"), "{reason}");
        drop(task);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let task = start(webhook(&format!("http://{address}/hidden")));
        task.push("a");
        let failed = task.event(EventKind::WebhookFailed).await;
        let reason = failed.fields.get("reason").expect("a reason").to_string();
        assert!(
            reason.contains("refused") && !reason.contains("hidden"),
            "{reason}"
        );
    }

    #[tokio::test]
    async fn a_receivers_certificate_is_verified() {
        let ca = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(
            ca.signing_key.serialize_pem().as_bytes(),
        );
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![ca.cert.der().clone()], key.expect("a key"))
            .expect("a certificate and its key");
        let (url, mut requests) = receiver(Some(TlsAcceptor::from(Arc::new(config)))).await;
        let task = start(webhook(&url));
        task.push("a");
        let failed = task.event(EventKind::WebhookFailed).await;
        let reason = failed.fields.get("reason").expect("a reason").to_string();
        assert!(reason.contains("certificate"), "{reason}");
        drop(task);
        let dir = tempfile::tempdir().expect("temp dir");
        let ca_file = dir.path().join("ca.pem");
        fs::write(&ca_file, ca.cert.pem()).expect("write");
        let task = start(Webhook {
            ca_file: Some(ca_file),
            ..webhook(&url)
        });
        task.push("a");
        let request = requests.recv().await.expect("a request");
        assert_eq!(request.seqs(), [1]);
        assert_eq!(request.header("x-meridian-signature"), None);
        request.answer("200 OK").await;
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        for (n, longest) in [
            (1, 1),
            (2, 2),
            (5, 16),
            (9, 256),
            (10, 300),
            (40, 300),
            (u32::MAX, 300),
        ] {
            let (pause, longest) = (pause(FIRST_PAUSE, n), Duration::from_secs(longest));
            assert!(longest / 2 <= pause && pause <= longest, "{n}: {pause:?}");
        }
    }
}
