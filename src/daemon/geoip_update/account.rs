//! What a request needs of the files that `[geoip.update]` names, read for each request.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::geoip_update::Account;
use crate::daemon::files;
use crate::fetch::Credentials;

/// What was read.
pub struct Secrets {
    /// For the server.
    pub credentials: Credentials,
    /// As it goes into a URL; empty without one.
    pub token: String,
    /// Who is believed to be the server.
    pub tls: ClientConfig,
}

impl Secrets {
    /// Reads the files. The error says which is at fault and never what it holds.
    pub fn read(account: &Account) -> Result<Self, String> {
        let basic = match &account.basic {
            Some((user, path)) => Some((user.to_string(), line(path, "password_file")?)),
            None => None,
        };
        let token = match &account.token_file {
            Some(path) => percent_encoded(&line(path, "token_file")?),
            None => String::new(),
        };
        let written = account.headers.iter();
        let mut headers: Vec<_> = written
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        if let Some(path) = &account.header_file {
            for line in text(path, "header_file")?
                .lines()
                .filter(|line| !line.trim().is_empty())
            {
                let (name, value) = line.split_once(':').ok_or_else(|| {
                    fault(
                        path,
                        "header_file",
                        "has a line without a colon, expected NAME: VALUE",
                    )
                })?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Ok(Self {
            credentials: Credentials { basic, headers },
            token,
            tls: tls(account.ca_file.as_deref())?,
        })
    }
}

fn fault(path: &Path, key: &str, what: &str) -> String {
    format!("{}, [geoip.update] {key}: {what}", path.display())
}

fn octets(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    let reading = files::read_whole(path, files::MAX_SETTINGS_LEN);
    reading
        .content
        .map_err(|error| fault(path, key, &error.fault("file")))
}

fn text(path: &Path, key: &str) -> Result<String, String> {
    String::from_utf8(octets(path, key)?).map_err(|_| fault(path, key, "is not UTF-8"))
}

/// The one line of a file.
fn line(path: &Path, key: &str) -> Result<String, String> {
    let text = text(path, key)?;
    match text.trim() {
        line if line.is_empty() || line.contains('\n') => {
            Err(fault(path, key, "has no line or several, expected one"))
        }
        line => Ok(line.to_owned()),
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|octet| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    });
    encoded.collect()
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let octets = octets(path, "ca_file")?;
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
            let found = found.ok().filter(|found| !found.is_empty());
            let found = found.ok_or_else(|| fault(path, "ca_file", "holds no PEM certificates"))?;
            roots.add_parsable_certificates(found);
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of every TLS version")
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
