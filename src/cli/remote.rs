//! `Remote`: the running server's admin API, as the configuration tells where it is.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::out;
use crate::config::model::Admin;
use crate::daemon::load;

/// How long a server may take; a reload of a large database takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server.
pub struct Remote {
    address: SocketAddr,
    admin: Admin,
}

/// What the server says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Remote {
    /// The server of a configuration; `None` if that is refused, whose faults have been told then.
    ///
    /// # Errors
    /// If the configuration has no admin listener.
    pub fn of(config: &Path) -> Result<Option<Self>> {
        let process = match load::process(config) {
            Ok((process, _)) => process,
            Err(report) => {
                out::complain(&report.to_string());
                return Ok(None);
            }
        };
        let Some(admin) = process.admin else {
            bail!(
                "{} has no [admin], so that the server cannot be asked",
                config.display()
            );
        };
        let mut address = admin.listen;
        if address.ip().is_unspecified() {
            let loopback = match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            address.set_ip(loopback);
        }
        Ok(Some(Self { address, admin }))
    }

    /// Reads something.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        self.call(Method::GET, path, query, None)
    }

    /// Changes something, with the token of the configuration's token file.
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

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        change: Option<Option<&serde_json::Value>>,
    ) -> Result<T> {
        let url =
            reqwest::Url::parse_with_params(&format!("http://{}{path}", self.address), query)?;
        // The admin API is a neighbour: a proxy meant for the wide world is none for it.
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()?;
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
            .with_context(|| format!("no answer from the server at http://{}", self.address))?;
        if !status.is_success() {
            let refusal = serde_json::from_slice::<Refusal>(&body);
            return Err(match refusal {
                Ok(refusal) => anyhow!("the server refused: {}", refusal.error),
                Err(_) => anyhow!("the server answered with status {status}"),
            });
        }
        serde_json::from_slice(&body).context("the server's answer is not understood")
    }

    fn token(&self) -> Result<String> {
        let Some(path) = &self.admin.token_file else {
            bail!("[admin] token_file is not set, and changes need its token");
        };
        let text = std::fs::read_to_string(path);
        Ok(text
            .with_context(|| path.display().to_string())?
            .trim()
            .to_owned())
    }
}
