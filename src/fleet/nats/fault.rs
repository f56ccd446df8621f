//! Why there is no connection to a NATS server: one sentence each, with what an operator can do.
//!
//! What the server sends appears in it bounded and printable, and neither user nor password does.

use std::io;

use rustls::AlertDescription;
use rustls::CertificateError;

use crate::fleet::nats::protocol::Malformed;

/// Characters of what a server sends that are shown.
const MAX_SHOWN: usize = 200;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The connection has ended.
    #[error("the server closed the connection")]
    Closed,
    /// What the system reports.
    #[error("{0}")]
    Io(String),
    /// A file that `[cluster]` names.
    #[error("{0}")]
    File(String),
    /// The server leaves, and there are others.
    #[error("the server is shutting down (lame duck mode)")]
    Leaving,
    /// No operation of the protocol.
    #[error("speaks no NATS; check the port in [cluster] nats")]
    NotNats,
    /// Nothing listens there.
    #[error("connection refused; is nats-server running, and does it listen on this port?")]
    Refused,
    /// The name of the host.
    #[error("the host cannot be resolved ({0}); check the name in [cluster] nats")]
    Resolve(String),
    /// An error that the server reports.
    #[error("the server reports `{0}`")]
    Server(String),
    /// A server that is frozen, or cut off.
    #[error("the server no longer answers")]
    Silent,
    /// A server that takes nothing.
    #[error("the server takes no more messages")]
    Stuck,
    /// No connection in time.
    #[error("no answer in time; is the server well, and the port open on the way?")]
    TimedOut,
    /// The handshake, in an operator's words.
    #[error("{0}")]
    Tls(String),
    /// TLS is asked for here, and not offered there.
    #[error("the server offers no TLS, which [cluster] asks for by tls:// or a certificate file")]
    TlsNotOffered,
    /// Nothing to identify with.
    #[error(
        "the server asks for credentials; set user and password in [cluster] nats, or credentials_file"
    )]
    CredentialsMissing,
    /// Who connects is not let in.
    #[error(
        "the server refuses the credentials; check user and password in [cluster] nats, or credentials_file"
    )]
    CredentialsRefused,
}

impl Fault {
    /// What a server reports by -ERR.
    pub(super) fn reported(text: &str) -> Self {
        Self::Server(printable(text))
    }

    /// A fault of the stream, TLS inside it included.
    pub(super) fn io(error: &io::Error, host: &str) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self::Tls(tls(error, host));
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(Malformed: Malformed) -> Self {
        Self::NotNats
    }
}

/// What a server sends, for a log line.
pub(super) fn printable(text: &str) -> String {
    let is_shown = |c: &char| !c.is_control();
    text.chars().filter(is_shown).take(MAX_SHOWN).collect()
}

fn tls(error: &rustls::Error, host: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(fault) => certificate(fault, host),
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate),
        ) => format!(
            "the server refuses this node's certificate, or the lack of one ({alert:?}); check \
             cert_file and key_file in [cluster]"
        ),
        rustls::Error::InvalidMessage(_) => "the server answers TLS with something else".to_owned(),
        other => format!("TLS fails: {other}"),
    }
}

fn certificate(fault: &CertificateError, host: &str) -> String {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; renew it".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; check the clocks".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is not for `{host}`, the host in [cluster] nats")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is signed by an unknown authority; name the authority's \
             certificate in [cluster] ca_file"
                .to_owned()
        }
        other => format!("the server's certificate cannot be verified: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_sends_is_shown_bounded_and_printable() {
        let fault = Fault::reported(&format!("a\x1b[31m\r\n{}", "b".repeat(1000)));
        let text = fault.to_string();
        assert!(text.starts_with("the server reports `a[31mb"), "{text}");
        assert!(
            text.len() < 300 && !text.contains(char::is_control),
            "{text}"
        );
    }

    #[test]
    fn faults_of_tls_name_what_to_do() {
        for (error, expected) in [
            (
                rustls::Error::InvalidCertificate(CertificateError::Expired),
                "renew it",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "ca_file",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::NotValidYet),
                "clocks",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::NotValidForName),
                "`a.test`",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "cert_file",
            ),
        ] {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            let text = Fault::io(&error, "a.test").to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
