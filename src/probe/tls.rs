//! TLS for probes: which authorities are trusted, the handshake, and its faults in plain words.
//!
//! The certificate is verified in full at each probe: sessions are never resumed, since a resumed
//! one would hide that a certificate has expired or been replaced by a wrong one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::CertificateError;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::health::failure::CertificateFault;
use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::monitor::HttpCheck;
use crate::probe::Deadline;
use crate::probe::Missed;

/// What HTTPS probes trust; clones share it, so that a reload reaches all of them.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ArcSwap<Trust>>);

#[derive(Debug)]
struct Trust {
    config: Arc<ClientConfig>,
    has_roots: bool,
}

impl Tls {
    /// Trusts these authorities.
    pub fn trusting(roots: RootCertStore) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Trust::new(roots))))
    }

    /// Trusts the machine's authorities, as `SSL_CERT_FILE` and `SSL_CERT_DIR` say; also returns what
    /// could not be read. Reads files: not for the inside of a task.
    pub fn system() -> (Self, Vec<String>) {
        let (roots, faults) = system_roots();
        (Self::trusting(roots), faults)
    }

    /// Reads the machine's authorities again, for this and all its clones; keeps those it has if none
    /// can be read. Returns what could not be read.
    pub fn reload(&self) -> Vec<String> {
        let (roots, faults) = system_roots();
        if !roots.is_empty() {
            self.0.store(Arc::new(Trust::new(roots)));
        }
        faults
    }

    /// Opens TLS with the certificate verified against the monitor's host, or the endpoint's address
    /// where it has none.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        check: &HttpCheck,
        address: IpAddr,
        deadline: Deadline,
    ) -> Result<TlsStream<TcpStream>, Missed> {
        let trust = self.0.load_full();
        if !trust.has_roots {
            let what = "no trusted CA certificates are installed on this machine";
            return Err(VantageFault::Local(what.into()).into());
        }
        let name = match &check.host {
            Some(host) => ServerName::try_from(host.to_string()).map_err(|_| {
                VantageFault::Local(format!("`{host}` cannot be a TLS server name").into())
            })?,
            None => ServerName::from(address),
        };
        let expected = name.to_str().into_owned();
        let connector = TlsConnector::from(Arc::clone(&trust.config));
        deadline
            .within(Phase::Tls, connector.connect(name, stream))
            .await?
            .map_err(|error| failure(&error, &expected).into())
    }
}

impl Trust {
    fn new(roots: RootCertStore) -> Self {
        let has_roots = !roots.is_empty();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of every TLS version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Self {
            config: Arc::new(config),
            has_roots,
        }
    }
}

fn system_roots() -> (RootCertStore, Vec<String>) {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let faults = found.errors.iter().map(ToString::to_string).collect();
    (roots, faults)
}

fn failure(error: &io::Error, expected: &str) -> ProbeFailure {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            ProbeFailure::Certificate(certificate_fault(fault, expected))
        }
        Some(error) => ProbeFailure::Tls(error.to_string().into()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => ProbeFailure::Closed(Phase::Tls),
        None => ProbeFailure::Reset(Phase::Tls),
    }
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
