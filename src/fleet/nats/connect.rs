//! A connection to one NATS server: TCP, INFO, TLS where either side asks for it, CONNECT, and the
//! subscriptions, each step within its time.
//!
//! Credentials and certificates are read for each connection, so that renewed ones need no restart.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::lookup_host;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::model::Cluster;
use crate::config::model::NatsServer;
use crate::fleet::nats::credentials::Credentials;
use crate::fleet::nats::fault::Fault;
use crate::fleet::nats::protocol;
use crate::fleet::nats::protocol::Decoder;
use crate::fleet::nats::protocol::Identity;
use crate::fleet::nats::protocol::Info;
use crate::fleet::nats::protocol::MAX_PAYLOAD_LEN;
use crate::fleet::nats::protocol::Op;

/// The time for resolving the host, and for connecting to each of its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for all that follows.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// How much is read at once, if there is so much.
pub(super) const READ_LEN: usize = 16 * 1024;

/// Reads a file that `[cluster]` names; the error names what is wrong with it.
pub type ReadFile = fn(&Path) -> Result<Vec<u8>, String>;

/// A TCP stream, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is subscribed.
pub(super) struct Connection {
    /// The peer.
    pub(super) stream: Box<dyn Stream>,
    /// What has arrived and was not decoded.
    pub(super) buffer: BytesMut,
    /// Where the decoder is in it.
    pub(super) decoder: Decoder,
    /// What the server refuses, but for which it stays connected.
    pub(super) refusals: Vec<Box<str>>,
    /// Octets of the longest payload that the server takes.
    pub(super) max_payload: usize,
}

/// Connects to a server and subscribes to these subjects, numbered from 0.
pub(super) async fn connect(
    server: &NatsServer,
    cluster: &Cluster,
    read: ReadFile,
    subjects: &[String],
) -> Result<Connection, Fault> {
    let files = {
        let cluster = cluster.clone();
        spawn_blocking(move || Files::read(&cluster, read))
    };
    // Only a runtime that ends aborts it.
    let files = files.await.map_err(|_| Fault::Closed)??;
    let stream = open(server).await?;
    let handshake = handshake(stream, server, cluster, files, subjects);
    timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(|_| Fault::TimedOut)?
}

/// A TCP connection to the first of the server's addresses that takes one.
async fn open(server: &NatsServer) -> Result<TcpStream, Fault> {
    let lookup = lookup_host((&*server.host, server.port));
    let addresses: Vec<SocketAddr> = match timeout(CONNECT_TIMEOUT, lookup).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(Fault::Resolve(error.to_string())),
        Err(_) => return Err(Fault::Resolve("no answer in time".to_owned())),
    };
    let mut fault = Fault::Resolve("it has no addresses".to_owned());
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Reports are small, and wait for nothing.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => fault = Fault::io(&error, &server.host),
            Err(_) => fault = Fault::TimedOut,
        }
    }
    Err(fault)
}

/// What a connection needs of the files that `[cluster]` names.
struct Files {
    credentials: Option<Credentials>,
    tls: Arc<ClientConfig>,
}

impl Files {
    fn read(cluster: &Cluster, read: ReadFile) -> Result<Self, Fault> {
        let read = |key: &str, path: &Path| {
            let fault = |what| Fault::File(format!("{}, [cluster] {key}: {what}", path.display()));
            read(path).map_err(fault)
        };
        let unusable = |key: &str, path: &Path, expected: &str| {
            let path = path.display();
            Fault::File(format!("{path}, [cluster] {key}: holds no {expected}"))
        };
        let credentials = match &cluster.credentials_file {
            Some(path) => {
                let octets = read("credentials_file", path)?;
                let credentials = Credentials::parse(&String::from_utf8_lossy(&octets));
                let expected = "user JWT and seed of a user's key";
                Some(credentials.ok_or_else(|| unusable("credentials_file", path, expected))?)
            }
            None => None,
        };
        let certificates = |key: &str, path: &Path| {
            let octets = read(key, path)?;
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
            let found = found.ok().filter(|found| !found.is_empty());
            found.ok_or_else(|| unusable(key, path, "PEM certificates"))
        };
        let mut roots = RootCertStore::empty();
        match &cluster.ca_file {
            Some(path) => roots.add_parsable_certificates(certificates("ca_file", path)?),
            None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of every TLS version")
            .with_root_certificates(roots);
        let tls = match &cluster.identity {
            Some((certificate, key)) => {
                let octets = read("key_file", key)?;
                let found = PrivateKeyDer::from_pem_slice(&octets)
                    .map_err(|_| unusable("key_file", key, "PEM key"))?;
                tls.with_client_auth_cert(certificates("cert_file", certificate)?, found)
                    .map_err(|error| {
                        let path = key.display();
                        Fault::File(format!(
                            "{path}, [cluster] key_file: cannot be used: {error}"
                        ))
                    })?
            }
            None => tls.with_no_client_auth(),
        };
        Ok(Self {
            credentials,
            tls: Arc::new(tls),
        })
    }
}

async fn handshake(
    stream: TcpStream,
    server: &NatsServer,
    cluster: &Cluster,
    files: Files,
    subjects: &[String],
) -> Result<Connection, Fault> {
    let mut connection = Connection {
        stream: Box::new(stream),
        buffer: BytesMut::new(),
        decoder: Decoder::default(),
        refusals: Vec::new(),
        max_payload: MAX_PAYLOAD_LEN,
    };
    let host = &server.host;
    let Op::Info(info) = connection.next(host).await? else {
        return Err(Fault::NotNats);
    };
    connection.max_payload = info.max_payload;
    let is_tls_wanted = server.is_tls || cluster.ca_file.is_some() || cluster.identity.is_some();
    if is_tls_wanted && !info.is_tls_available {
        return Err(Fault::TlsNotOffered);
    }
    let is_tls = is_tls_wanted || info.is_tls_required;
    if is_tls {
        connection = connection.encrypt(host, files.tls).await?;
    }
    let identity = identity(server, files.credentials.as_ref(), &info);
    let mut out = Vec::new();
    protocol::connect(&mut out, &cluster.node, is_tls, &identity);
    out.extend(protocol::PING);
    let connected = connection.exchange(&out, host).await;
    connected.map_err(|fault| match fault {
        Fault::CredentialsRefused if identity.is_empty() => Fault::CredentialsMissing,
        fault => fault,
    })?;
    out.clear();
    for (sid, subject) in (0..).zip(subjects) {
        protocol::subscribe(&mut out, subject, sid);
    }
    // Behind its reply, all subscriptions are in force.
    out.extend(protocol::PING);
    connection.exchange(&out, host).await?;
    Ok(connection)
}

/// As whom to connect. A key signs the nonce of INFO, and cannot identify anybody to a server without one.
fn identity(server: &NatsServer, credentials: Option<&Credentials>, info: &Info) -> Identity {
    let login = server.login.as_ref();
    Identity {
        login: login.map(|login| (login.user.clone(), login.password.reveal().into())),
        token: credentials
            .zip(info.nonce.as_ref())
            .map(|(credentials, nonce)| credentials.sign(nonce)),
    }
}

impl Connection {
    /// The next operation.
    async fn next(&mut self, host: &str) -> Result<Op, Fault> {
        loop {
            if let Some(op) = self.decoder.next(&mut self.buffer)? {
                return Ok(op);
            }
            self.buffer.reserve(READ_LEN);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(Fault::Closed),
                Ok(_) => {}
                Err(error) => return Err(Fault::io(&error, host)),
            }
        }
    }

    /// Sends something that ends in PING, and waits for the PONG. What the server objects to otherwise is an
    /// error, but for subjects that are refused.
    async fn exchange(&mut self, out: &[u8], host: &str) -> Result<(), Fault> {
        let sent = self.stream.write_all(out).await;
        let sent = match sent {
            Ok(()) => self.stream.flush().await,
            Err(error) => Err(error),
        };
        // A server that refuses the connection says why, and closes it: that is read first.
        loop {
            match self.next(host).await {
                Ok(Op::Pong) => return Ok(()),
                Ok(Op::Error(text)) if is_permissions(&text) => self.refusals.push(text),
                Ok(Op::Error(text)) => return Err(refused(&text)),
                Ok(Op::Ping) => {
                    let replied = self.stream.write_all(protocol::PONG).await;
                    replied.map_err(|error| Fault::io(&error, host))?;
                }
                // Messages, once there are subscriptions: what they hold is repeated.
                Ok(_) => {}
                Err(fault) => {
                    sent.map_err(|error| Fault::io(&error, host))?;
                    return Err(fault);
                }
            }
        }
    }

    async fn encrypt(self, host: &str, tls: Arc<ClientConfig>) -> Result<Self, Fault> {
        // Whatever arrives before the handshake is not of this server.
        if !self.buffer.is_empty() {
            return Err(Fault::NotNats);
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Fault::Tls(format!("`{host}` cannot be a TLS server name")))?;
        let stream = TlsConnector::from(tls).connect(name, self.stream).await;
        let stream = stream.map_err(|error| Fault::io(&error, host))?;
        Ok(Self {
            stream: Box::new(stream),
            ..self
        })
    }
}

/// Whether a server only refuses a subject.
pub(super) fn is_permissions(text: &str) -> bool {
    text.to_ascii_lowercase()
        .starts_with("permissions violation")
}

fn refused(text: &str) -> Fault {
    match text
        .to_ascii_lowercase()
        .starts_with("authorization violation")
    {
        true => Fault::CredentialsRefused,
        false => Fault::reported(text),
    }
}
