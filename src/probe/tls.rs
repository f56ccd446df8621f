//! TLS for probes: which authorities are trusted, the handshake, and its faults in plain words.
//!
//! The certificate is verified in full at each probe, unless the monitor says otherwise: sessions are never
//! resumed, since a resumed one would hide that a certificate has expired or been replaced by a wrong one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::AlertDescription;
use rustls::CertificateError;
use rustls::ClientConfig;
use rustls::ConfigBuilder;
use rustls::DigitallySignedStruct;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::WantsVerifier;
use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::ring;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::info;
use tracing::warn;

use crate::health::failure::CertificateFault;
use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::monitor::HttpVersion;
use crate::health::monitor::TlsCheck;
use crate::probe::deadline::Deadline;
use crate::probe::deadline::Missed;

/// How often certificates are read again without a reload.
const READ_INTERVAL: Duration = Duration::from_secs(60);

/// How long certificates must stay the same before they are trusted.
const SETTLE_TIME: Duration = Duration::from_millis(500);

/// The versions of HTTP as ALPN calls them (RFC 7301 s6, RFC 9113 s3.1).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// What probes over TLS trust; clones share it, so that a reload reaches all of them.
#[derive(Clone, Debug)]
pub struct Tls {
    trust: Arc<ArcSwap<Trust>>,
    unverified: Arc<Configs>,
}

#[derive(Debug)]
struct Trust {
    verified: Configs,
    roots: Arc<RootCertStore>,
}

/// How connections are made, by what is spoken over them.
#[derive(Debug)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts these authorities.
    pub fn trusting(roots: RootCertStore) -> Self {
        Self {
            trust: Arc::new(ArcSwap::from_pointee(Trust::new(roots))),
            unverified: Arc::new(Configs::unverified()),
        }
    }

    /// Trusts the machine's authorities, as `SSL_CERT_FILE` and `SSL_CERT_DIR` say; also returns what
    /// could not be read. Reads files: not for the inside of a task.
    pub fn system() -> (Self, Vec<String>) {
        let (roots, faults) = system_roots();
        (Self::trusting(roots), faults)
    }

    /// Trusts these authorities from now on, in all clones.
    fn replace(&self, roots: RootCertStore) {
        self.trust.store(Arc::new(Trust::new(roots)));
    }

    /// Opens TLS for this version of HTTP.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        check: &TlsCheck,
        version: HttpVersion,
        address: IpAddr,
        deadline: Deadline,
    ) -> Result<TlsStream<TcpStream>, Missed> {
        let config = self.config(check, version)?;
        let name = match &check.server_name {
            Some(name) => ServerName::try_from(name.to_string()).map_err(|_| {
                VantageFault::Local(format!("`{name}` cannot be a TLS server name").into())
            })?,
            None => ServerName::from(address),
        };
        let expected = name.to_str().into_owned();
        // The request follows the handshake's last message, and must not wait for its acknowledgement.
        let _ = stream.set_nodelay(true);
        let connecting = TlsConnector::from(config).connect(name, stream);
        let stream = deadline.within(Phase::Tls, connecting).await?;
        let stream = stream.map_err(|error| failure(&error, &expected, version))?;
        let protocol = stream.get_ref().1.alpn_protocol();
        if version == HttpVersion::Http2 && protocol != Some(HTTP2) {
            return Err(not_offered(version).into());
        }
        Ok(stream)
    }

    fn config(
        &self,
        check: &TlsCheck,
        version: HttpVersion,
    ) -> Result<Arc<ClientConfig>, VantageFault> {
        if !check.is_verified {
            return Ok(self.unverified.of(version));
        }
        let trust = self.trust.load();
        if trust.roots.is_empty() {
            let what = "no trusted CA certificates are installed on this machine";
            return Err(VantageFault::Local(what.into()));
        }
        Ok(trust.verified.of(version))
    }
}

impl Trust {
    fn new(roots: RootCertStore) -> Self {
        let roots = Arc::new(roots);
        let verified = builder().with_root_certificates(Arc::clone(&roots));
        Self {
            verified: Configs::new(verified.with_no_client_auth()),
            roots,
        }
    }
}

impl Configs {
    fn new(mut config: ClientConfig) -> Self {
        config.resumption = Resumption::disabled();
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Self {
            http1: speaking(HTTP1),
            http2: speaking(HTTP2),
        }
    }

    /// For monitors that take any certificate.
    fn unverified() -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let verifier = Arc::new(AnyCertificate(algorithms));
        let config = builder()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Self::new(config.with_no_client_auth())
    }

    fn of(&self, version: HttpVersion) -> Arc<ClientConfig> {
        Arc::clone(match version {
            HttpVersion::Http1 => &self.http1,
            HttpVersion::Http2 => &self.http2,
        })
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of every TLS version")
}

/// Takes any certificate, expired or of whomever; the server must still have its key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Reads the machine's authorities again after each reload and every minute, so that a bundle that was
/// installed or renewed is used without a restart. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct TrustWatch {
    /// Whether anything is verified at all; each value sent has the certificates read.
    is_needed: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl TrustWatch {
    /// Follows the machine's store. Runs inside a tokio runtime.
    pub(super) fn start(tls: Tls) -> Self {
        Self::with(tls, system_roots)
    }

    fn with(tls: Tls, read: impl Fn() -> Found + Clone + Send + 'static) -> Self {
        let (is_needed, changes) = watch::channel(false);
        let task = tokio::spawn(follow(tls, read, changes));
        Self { is_needed, task }
    }

    /// Has the certificates read now, if any endpoint is probed whose certificate must be valid.
    pub(super) fn read_again(&self, is_needed: bool) {
        self.is_needed.send_replace(is_needed);
    }
}

impl Drop for TrustWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The certificates that were found, and what could not be read.
type Found = (RootCertStore, Vec<String>);

async fn follow(
    tls: Tls,
    read: impl Fn() -> Found + Clone + Send + 'static,
    mut is_needed: watch::Receiver<bool>,
) {
    let mut known_faults = Vec::new();
    loop {
        if let Ok(Err(_)) = timeout(READ_INTERVAL, is_needed.changed()).await {
            return;
        }
        if !*is_needed.borrow_and_update() {
            continue;
        }
        let Ok((roots, faults)) = spawn_blocking(read.clone()).await else {
            continue;
        };
        if faults != known_faults {
            for fault in &faults {
                warn!(
                    fault,
                    "certificate store is faulty: HTTPS probes may be unable to verify"
                );
            }
            known_faults = faults;
        }
        // None at all are never taken, nor a bundle that is being written.
        if roots.is_empty() || roots.roots == tls.trust.load().roots.roots {
            continue;
        }
        sleep(SETTLE_TIME).await;
        if let Ok((again, _)) = spawn_blocking(read.clone()).await
            && again.roots == roots.roots
        {
            let certificates = roots.len();
            info!(certificates, "trusted CA certificates have changed");
            tls.replace(roots);
        }
    }
}

fn system_roots() -> Found {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let faults = found.errors.iter().map(ToString::to_string).collect();
    (roots, faults)
}

fn failure(error: &io::Error, expected: &str, version: HttpVersion) -> ProbeFailure {
    match tls_error(error) {
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            not_offered(version)
        }
        Some(rustls::Error::InvalidCertificate(fault)) => {
            ProbeFailure::Certificate(certificate_fault(fault, expected))
        }
        Some(error) => ProbeFailure::Tls(error.to_string().into()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => ProbeFailure::Closed(Phase::Tls),
        None => ProbeFailure::Reset(Phase::Tls),
    }
}

/// ALPN found no version of HTTP that both sides speak.
fn not_offered(version: HttpVersion) -> ProbeFailure {
    let what = match version {
        HttpVersion::Http1 => "the server does not offer HTTP/1.1 over TLS (ALPN http/1.1)",
        HttpVersion::Http2 => "the server does not offer HTTP/2 over TLS (ALPN h2)",
    };
    ProbeFailure::Protocol(what.into())
}

/// The TLS library's error inside an I/O error, if it is one.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn certificate_fault(fault: &CertificateError, expected: &str) -> CertificateFault {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateFault::Expired
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::Name(expected.into())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateFault::NotYetValid
        }
        // The latter is an authority that bears a trusted one's name, but not its key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            CertificateFault::UnknownIssuer
        }
        other => CertificateFault::Other(other.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rcgen::CertificateParams;
    use rcgen::KeyPair;
    use tokio::time::Instant;

    use super::*;
    use crate::base::lock::lock;

    fn certificate() -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(Vec::new()).expect("no names");
        let certificate = params.self_signed(&key).expect("a certificate");
        certificate.der().clone()
    }

    fn roots(certificates: &[CertificateDer<'static>]) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        roots
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_certificates_are_trusted_after_a_reload_or_a_minute() {
        let (old, new) = (certificate(), certificate());
        let store = Arc::new(Mutex::new(roots(std::slice::from_ref(&old))));
        let tls = Tls::trusting(roots(std::slice::from_ref(&old)));
        let n_trusted = || tls.trust.load().roots.len();
        let read = {
            let store = Arc::clone(&store);
            move || (lock(&store).clone(), Vec::new())
        };
        let watch = TrustWatch::with(tls.clone(), read);
        let trusts = async |n| {
            let start = Instant::now();
            while n_trusted() != n {
                sleep(Duration::from_millis(10)).await;
            }
            start.elapsed()
        };
        watch.read_again(true);
        *lock(&store) = roots(&[old.clone(), new.clone()]);
        assert!(trusts(2).await <= READ_INTERVAL + SETTLE_TIME * 2);
        *lock(&store) = roots(&[new]);
        watch.read_again(true);
        assert!(trusts(1).await < SETTLE_TIME * 2);
        // An empty store is a store that is being replaced.
        *lock(&store) = RootCertStore::empty();
        watch.read_again(true);
        sleep(READ_INTERVAL * 3).await;
        assert_eq!(n_trusted(), 1);
        // Where nothing is verified, nothing is read.
        watch.read_again(false);
        *lock(&store) = roots(&[old, certificate()]);
        sleep(READ_INTERVAL * 3).await;
        assert_eq!(n_trusted(), 1);
        drop(watch);
    }
}
