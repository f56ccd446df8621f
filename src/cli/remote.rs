//! `Remote`: the running server's admin API, at `--server` or where the configuration says it is.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use reqwest::Method;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::ConfigRefused;
use crate::cli::out;
use crate::config::defaults;
use crate::config::reach::Reach;

/// How long a server may take; a reload of a large database takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which server is asked, and with what token.
#[derive(Debug, clap::Args)]
pub struct ServerOptions {
    /// The server's admin API, as ADDR:PORT or URL [default: MERIDIAN_SERVER, then `[admin] listen` of the
    /// configuration]
    #[arg(long, value_name = "ADDR|URL", value_parser = authority)]
    server: Option<String>,
    /// The file that holds the admin token [default: MERIDIAN_TOKEN_FILE, then `[admin] token_file` of the
    /// configuration]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl ServerOptions {
    /// Whether a server is named by an option.
    pub fn names_server(&self) -> bool {
        self.server.is_some()
    }

    /// The server that is named, else the one of a configuration, of which only `[admin]` is read.
    ///
    /// # Errors
    /// If that does not say where the server is.
    pub fn remote(&self, config: &Path) -> Result<Remote> {
        let found = reach(config);
        let named = out::variable("MERIDIAN_SERVER");
        let named = named.map(|text| authority(&text.to_string_lossy()));
        let named = named
            .transpose()
            .map_err(|error| anyhow!("MERIDIAN_SERVER: {error}"))?;
        let authority = match self.server.clone().or(named) {
            Some(server) => server,
            None => dialled(found.as_ref().map_err(Clone::clone)?.listen)?.to_string(),
        };
        let named = out::variable("MERIDIAN_TOKEN_FILE").map(PathBuf::from);
        let token_file = self.token_file.clone().or(named);
        Ok(Remote {
            authority,
            token_file: token_file.or_else(|| found.ok()?.token_file),
        })
    }
}

/// What a configuration says of its server's admin API.
fn reach(config: &Path) -> Result<Reach, ConfigRefused> {
    let text = std::fs::read_to_string(config)
        .map_err(|error| ConfigRefused(format!("{}: {error}; {HINT}", config.display())))?;
    let dir = config.parent().unwrap_or(Path::new(""));
    Reach::of(&text, dir).ok_or_else(|| {
        ConfigRefused(format!(
            "{} has no [admin] with an address; {HINT}",
            config.display()
        ))
    })
}

/// Where a listener can be reached from this machine.
fn dialled(mut listen: SocketAddr) -> Result<SocketAddr, ConfigRefused> {
    if listen.port() == 0 {
        let message = format!("[admin] listen is {listen}, a port that the system chose; {HINT}");
        return Err(ConfigRefused(message));
    }
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Ok(listen)
}

/// Reads `--server`: an address or a host name, with or without a port.
fn authority(text: &str) -> Result<String, String> {
    if text.starts_with("https://") {
        return Err(
            "the admin API speaks no TLS, expected http://ADDR:PORT; go through a tunnel".into(),
        );
    }
    let text = text.strip_prefix("http://").unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address.to_string());
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, defaults::ADMIN_LISTEN.port()).to_string());
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (text, Some(defaults::ADMIN_LISTEN.port())),
    };
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match port {
        Some(port) if !host.is_empty() && host.bytes().all(is_of_name) => {
            Ok(format!("{host}:{port}"))
        }
        _ => Err("expected ADDR:PORT, such as 127.0.0.1:9353".into()),
    }
}

/// What to do where the configuration does not help.
const HINT: &str = "name the server with --server ADDR:PORT";

/// A client of one server.
pub struct Remote {
    /// Host and port, as in a URL.
    authority: String,
    token_file: Option<PathBuf>,
}

/// What the server says when it refuses.
#[derive(Debug, Deserialize)]
pub struct Refusal {
    /// What it refuses.
    pub error: String,
    /// Why, each as `FILE:LINE:COLUMN: …`; none where `error` says it all.
    #[serde(default)]
    pub faults: Vec<String>,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused: {}", self.error)?;
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl Remote {
    /// Reads something.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        self.call(Method::GET, path, query, None)
    }

    /// Reads something that not everybody may read, with the admin token.
    ///
    /// # Errors
    /// If there is no token, the server cannot be reached, or it refuses.
    pub fn get_with_token<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T> {
        self.call(Method::GET, path, query, Some(None))
    }

    /// Changes something, with the admin token.
    ///
    /// # Errors
    /// If there is no token, the server cannot be reached, or it refuses.
    pub fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T> {
        self.call(method, path, &[], Some(body))
    }

    /// Has the server do something, with the admin token.
    ///
    /// # Errors
    /// As [`Remote::change`].
    pub fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.change(Method::POST, path, None)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        change: Option<Option<&serde_json::Value>>,
    ) -> Result<T> {
        let url =
            reqwest::Url::parse_with_params(&format!("http://{}{path}", self.authority), query)?;
        let client = client()?;
        let mut request = client.request(method, url);
        if let Some(body) = change {
            request = request.bearer_auth(self.token()?);
            if let Some(body) = body {
                request = request.json(body);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (status, body) = runtime
            .block_on(async {
                let response = request.send().await?;
                Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
            })
            .with_context(|| format!("no answer from the server at http://{}", self.authority))?;
        if !status.is_success() {
            let refusal = serde_json::from_slice::<Refusal>(&body);
            return Err(match refusal {
                Ok(refusal) => refusal.into(),
                Err(_) => anyhow!("the server answered with status {status}"),
            });
        }
        serde_json::from_slice(&body).context("the server's answer is not understood")
    }

    fn token(&self) -> Result<String> {
        let Some(path) = &self.token_file else {
            bail!(
                "this needs the admin token: name its file with --token-file FILE, or set \
                 [admin] token_file"
            );
        };
        let text = std::fs::read_to_string(path);
        Ok(text
            .with_context(|| path.display().to_string())?
            .trim()
            .to_owned())
    }
}

/// A client without proxy, as the admin API is a neighbour, and without trust in any certificate, as it is plain HTTP:
/// a default one would look for a process-wide TLS provider.
fn client() -> Result<reqwest::Client> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(TIMEOUT)
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_or_a_name() {
        for (text, expected) in [
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("127.0.0.1", Some("127.0.0.1:9353")),
            ("[::1]:80", Some("[::1]:80")),
            ("::1", Some("[::1]:9353")),
            ("ns1.example.com", Some("ns1.example.com:9353")),
            ("localhost:9353", Some("localhost:9353")),
            ("", None),
            (":80", None),
            ("localhost:", None),
            ("localhost:65536", None),
            ("http://localhost", Some("localhost:9353")),
            ("http://[::1]:80/", Some("[::1]:80")),
            ("https://localhost", None),
            ("http://", None),
            ("http://localhost/path", None),
            ("a@b:80", None),
        ] {
            assert_eq!(authority(text).ok().as_deref(), expected, "{text}");
        }
    }
}
