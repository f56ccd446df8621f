//! One attempt: a newer database fetched, checked, put in its place and loaded.

use std::fs::File;
use std::io::Seek;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::base::date::Date;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::config::geoip_update::GeoIpUpdate;
use crate::config::geoip_update::Remote;
use crate::daemon::files;
use crate::daemon::geoip_update::account::Secrets;
use crate::daemon::geoip_update::folder::Folder;
use crate::daemon::memory::memory_sys;
use crate::daemon::saved_downloads::Record;
use crate::fetch::Client;
use crate::fetch::FetchError;
use crate::fetch::Fetched;
use crate::fetch::Limits;
use crate::fetch::Request;
use crate::fetch::Validators;
use crate::fetch::unpack::unpack;
use crate::live::LastReload;
use crate::live::Live;
use crate::live::clock::unix;
use crate::live::request;
use crate::live::request::Requests;
use crate::mmdb::database::DatabaseInfo;
use crate::mmdb::info;

/// What came of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// A newer database is in force.
    Updated(DatabaseInfo),
    /// There is none.
    Unchanged,
    /// There is one, and the reload with it was refused.
    Refused(Box<str>),
    /// The configuration is not as it should be: another time.
    Postponed,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The server, or what it sent.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file of the account.
    #[error("{0}")]
    Account(String),
    /// What came is not what the server's checksum says.
    #[error("SHA-256 is {found}, expected {expected}")]
    Checksum {
        /// Of what came.
        found: String,
        /// By the server.
        expected: String,
    },
    /// The checksum's URL holds none.
    #[error("the checksum's file holds {0} different SHA-256 sums, expected one")]
    NoChecksum(usize),
    /// What came is no database.
    #[error("{0}")]
    Unsound(String),
    /// The local disk.
    #[error("cannot be kept: {0}")]
    Disk(#[from] std::io::Error),
}

/// What an attempt works with.
pub struct Attempt<'a> {
    /// The process.
    pub live: &'a Live,
    /// Its control loop.
    pub requests: &'a Requests,
    /// `[geoip.update]`.
    pub update: &'a GeoIpUpdate,
    /// The database.
    pub remote: &'a Remote,
    /// Its files.
    pub folder: &'a Folder,
    /// How much is fetched.
    pub limits: Limits,
}

impl Attempt<'_> {
    /// Asks the server; what it says of the file goes to the record.
    pub async fn run(&self, record: &mut Record) -> Result<Outcome, AttemptError> {
        if !self.is_settled() {
            return Ok(Outcome::Postponed);
        }
        let (secrets, scratch, is_there) = self.prepare().await?;
        if !is_there {
            record.forget_file();
        }
        let today = Date::from_epoch(unix());
        let client = Client::new(secrets.tls.clone(), self.limits)?;
        let expected = self.expected(&client, &secrets, today).await?;
        if expected.is_some() && expected == record.sha256 {
            return Ok(Outcome::Unchanged);
        }
        let validators = Validators {
            etag: record.etag.clone(),
            last_modified: record.last_modified.clone(),
        };
        let request = Request {
            url: &self.remote.url.fill(today, &secrets.token),
            credentials: &secrets.credentials,
            validators: &validators,
        };
        let fetched = client.file(request, scratch.try_clone()?).await?;
        let Fetched::File { validators, sha256 } = fetched else {
            return Ok(Outcome::Unchanged);
        };
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            let found = sha256;
            return Err(AttemptError::Checksum { found, expected });
        }
        let is_same = record.sha256.as_ref() == Some(&sha256);
        let fetched = Record {
            etag: validators.etag,
            last_modified: validators.last_modified,
            sha256: Some(sha256),
            ..record.clone()
        };
        if is_same {
            *record = fetched;
            return Ok(Outcome::Unchanged);
        }
        let (folder, max_len) = (self.folder.clone(), self.limits.max_len);
        let checked = spawn_blocking(move || check(scratch, &folder, max_len));
        let outcome = self.take(joined(checked.await)?).await?;
        if !matches!(outcome, Outcome::Postponed) {
            let refused = match &outcome {
                Outcome::Refused(reason) => Some(reason.clone()),
                _ => None,
            };
            *record = Record { refused, ..fetched };
        }
        Ok(outcome)
    }

    /// Reads the account's files; also a file to fetch into, and whether a database was fetched before.
    async fn prepare(&self) -> Result<(Secrets, File, bool), AttemptError> {
        let (account, folder) = (self.update.account.clone(), self.folder.clone());
        let prepared = spawn_blocking(move || {
            let is_there = folder.loaded().exists() || folder.refused().exists();
            folder.make()?;
            let secrets = Secrets::read(&account).map_err(AttemptError::Account)?;
            Ok::<_, AttemptError>((secrets, folder.scratch()?, is_there))
        });
        joined(prepared.await)
    }

    /// The SHA-256 that the server says.
    async fn expected(
        &self,
        client: &Client,
        secrets: &Secrets,
        today: Date,
    ) -> Result<Option<String>, AttemptError> {
        let Some(url) = &self.remote.checksum_url else {
            return Ok(None);
        };
        let request = Request {
            url: &url.fill(today, &secrets.token),
            credentials: &secrets.credentials,
            validators: &Validators::default(),
        };
        checksum(&client.text(request).await?).map(Some)
    }

    /// Whether the files on disk are what is served: no other fault is taken for the database's, and no rollback ended by it.
    fn is_settled(&self) -> bool {
        let LastReload {
            refused,
            rolled_back,
            ..
        } = &*self.live.last_reload.read();
        !refused && rolled_back.is_none()
    }

    /// Puts the candidate in its place and has it loaded; if that is refused, the one before is put back.
    async fn take(&self, about: DatabaseInfo) -> Result<Outcome, AttemptError> {
        if !self.is_settled() {
            return Ok(Outcome::Postponed);
        }
        self.folder.install()?;
        let Err(report) = self.reload().await else {
            return Ok(Outcome::Updated(about));
        };
        self.folder.undo()?;
        // With the database of before, a fault of other files would still be there.
        match self.reload().await {
            Ok(()) => Ok(Outcome::Refused(first_fault(&report))),
            Err(_) => Ok(Outcome::Postponed),
        }
    }

    async fn reload(&self) -> Result<(), Report> {
        let (reply, result) = oneshot::channel();
        let is_forced = false;
        let reload = request::Request::Reload { is_forced, reply };
        // Both fail only when the process ends.
        let _ = self.requests.send(reload).await;
        result.await.map_or(Ok(()), |result| result.map(drop))
    }
}

fn joined<T>(
    result: Result<Result<T, AttemptError>, tokio::task::JoinError>,
) -> Result<T, AttemptError> {
    result
        .map_err(|error| AttemptError::Disk(error.into()))
        .flatten()
}

/// Unpacks what came and reads all of it, as `meridian geoip info` does.
fn check(mut packed: File, folder: &Folder, max_len: u64) -> Result<DatabaseInfo, AttemptError> {
    packed.rewind()?;
    let path = folder.candidate();
    let file = File::create(&path)?;
    unpack(packed, &file, max_len)?;
    file.sync_all()?;
    let figures = info::figures(files::read(&path, max_len)?);
    memory_sys::return_free_pages();
    match figures {
        Ok(figures) => Ok(figures.database),
        Err(error) => {
            std::fs::remove_file(&path)?;
            Err(AttemptError::Unsound(error.to_string()))
        }
    }
}

/// The one SHA-256 of a text: a line as `sha256sum` writes it, or JSON.
fn checksum(text: &str) -> Result<String, AttemptError> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_sum = |word: &&str| word.len() == 64 && word.bytes().all(|c| c.is_ascii_hexdigit());
    let mut sums: Vec<_> = words.filter(is_sum).map(str::to_ascii_lowercase).collect();
    sums.dedup();
    match sums.pop() {
        Some(sum) if sums.is_empty() => Ok(sum),
        Some(_) => Err(AttemptError::NoChecksum(sums.len() + 1)),
        None => Err(AttemptError::NoChecksum(0)),
    }
}

/// The first fault, and how many there are.
fn first_fault(report: &Report) -> Box<str> {
    let sorted = report.sorted();
    let mut faults = sorted
        .iter()
        .filter(|found| found.severity == Severity::Error);
    let first = faults.next().map(ToString::to_string).unwrap_or_default();
    match faults.count() {
        0 => first.into(),
        n => format!("{first} (and {n} more)").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_found_in_what_vendors_write() {
        let sum = "389294a764a8989d41d74608f1515133f3b910585ad6b75cfe53a81c82f7838f";
        let upper = sum.to_ascii_uppercase();
        let json = format!(
            r#"{{"checksums":{{"md5":"ec1e0b806d09a4d367514fca3d7bae2e","sha1":"488b50ea5c4cb97378bfcaa78b38305def65c65f","sha256":"{sum}"}}}}"#
        );
        for text in [
            sum.to_owned(),
            format!("{sum}  GeoLite2-City_20261124.tar.gz\n"),
            format!("{upper} *a.mmdb\r\n"),
            json,
        ] {
            assert_eq!(checksum(&text).expect("a sum"), sum, "{text}");
        }
        let other = "0".repeat(64);
        for (text, n) in [
            (String::new(), 0),
            ("<html>".to_owned(), 0),
            (sum[1..].to_owned(), 0),
            (format!("{sum}0"), 0),
            (format!("{sum}  a\n{other}  b\n"), 2),
        ] {
            let fault = checksum(&text).expect_err("no sum");
            assert!(
                matches!(fault, AttemptError::NoChecksum(found) if found == n),
                "{text}"
            );
        }
    }
}
