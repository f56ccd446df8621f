//! `[geoip.update]`: databases that are fetched from their makers' servers.
//!
//! One task asks each server in its time ([`schedule`]). A newer database is written to `state_dir` ([`folder`]), read as a
//! whole, and loaded by an ordinary reload, so that it is judged as an edit of the operator's would be; the one before is
//! put back if that is refused ([`attempt`]). The loader uses what is in `state_dir` instead of `[geoip] database`.

pub mod folder;

mod account;
mod attempt;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use self::attempt::Attempt;
use self::attempt::AttemptError;
use self::attempt::Outcome;
use self::folder::Database;
use self::folder::Folder;
use self::schedule::Asked;
use crate::base::date::Date;
use crate::config::geoip_update::GeoIpUpdate;
use crate::config::geoip_update::Remote;
use crate::config::model::Process;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::saved_downloads;
use crate::daemon::saved_downloads::Record;
use crate::fetch::Limits;
use crate::live::Live;
use crate::live::clock::unix;
use crate::live::downloads::Download;
use crate::live::events::event;
use crate::live::random;
use crate::live::request::Requests;
use crate::live::shared::Owned;

/// A server that says nothing for so long is given up; the largest databases take minutes.
const LIMITS: Limits = Limits {
    max_len: MAX_DATA_LEN,
    stall: Duration::from_secs(30),
    total: Duration::from_secs(1_800),
};

/// The longest sleep, so that a clock that is set is noticed.
const MAX_SLEEP: Duration = Duration::from_secs(600);

/// How long a configuration that is at fault or rolled back is waited for.
const POSTPONED: u64 = 60;

/// Starts the task; it ends with the process.
pub fn start(
    live: &Arc<Live>,
    status: Owned<Vec<Download>>,
    requests: &Requests,
    stop: &watch::Receiver<bool>,
) {
    let mut stop = stop.clone();
    let updater = Updater {
        live: Arc::clone(live),
        status,
        requests: requests.clone(),
        limits: LIMITS,
        update: None,
        downloads: Vec::new(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = updater.run() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
}

/// A database and what is known of it.
struct Known {
    database: Database,
    remote: Remote,
    folder: Folder,
    record: Record,
}

struct Updater {
    live: Arc<Live>,
    status: Owned<Vec<Download>>,
    requests: Requests,
    limits: Limits,
    /// What `downloads` follows.
    update: Option<GeoIpUpdate>,
    downloads: Vec<Known>,
}

impl Updater {
    async fn run(mut self) {
        let mut events = self.live.events.follow();
        loop {
            self.follow_config();
            let now = unix();
            let due = self
                .downloads
                .iter()
                .position(|known| known.record.next <= now);
            if let Some(at) = due {
                self.attempt(at).await;
                continue;
            }
            let next = self.downloads.iter().map(|known| known.record.next).min();
            let wait = next.map(|next| Duration::from_secs(next - now));
            tokio::select! {
                // A reload is among them.
                _ = events.changed() => {}
                () = sleep(wait.unwrap_or(MAX_SLEEP).min(MAX_SLEEP)) => {}
            }
        }
    }

    /// Follows the configuration that is served.
    fn follow_config(&mut self) {
        let config = Arc::clone(&self.live.snapshots.current().plan.config);
        let process = &config.process;
        if process.geoip.update == self.update {
            return;
        }
        self.update.clone_from(&process.geoip.update);
        let known = |database| known(process, database);
        self.downloads = Database::ALL.into_iter().filter_map(known).collect();
        self.show();
    }

    /// Shows what is known.
    fn show(&self) {
        let shown = |known: &Known| {
            let record = &known.record;
            Download {
                database: known.database.as_str(),
                url: known.remote.url.shown().into(),
                checked: record.checked,
                succeeded: record.succeeded,
                next: record.next,
                failures: record.failures,
                fault: record.fault.clone(),
                refused: record.refused.clone(),
            }
        };
        *self.status.write() = self.downloads.iter().map(shown).collect();
    }

    async fn attempt(&mut self, at: usize) {
        let Some(update) = self.update.clone() else {
            return;
        };
        let known = &self.downloads[at];
        let attempt = Attempt {
            live: &self.live,
            requests: &self.requests,
            update: &update,
            remote: &known.remote,
            folder: &known.folder,
            limits: self.limits,
        };
        let mut record = known.record.clone();
        let result = attempt.run(&mut record).await;
        let now = unix();
        let random = f64::from(u32::from_ne_bytes(random::octets())) / f64::from(u32::MAX);
        let database = known.database.as_str();
        let label = match &result {
            Ok(Outcome::Updated(_)) => "updated",
            Ok(Outcome::Unchanged) => "unchanged",
            Ok(Outcome::Refused(_)) => "refused",
            Ok(Outcome::Postponed) => "postponed",
            Err(_) => "failed",
        };
        let counter = &self.live.meters.geoip_updates;
        counter.with_label_values(&[database, label]).inc();
        self.log(known, &result);
        match result {
            Ok(Outcome::Postponed) => record.next = now + POSTPONED,
            Ok(_) => {
                (record.checked, record.succeeded) = (Some(now), Some(now));
                (record.failures, record.fault) = (0, None);
                record.next = schedule::next(Asked::Well, now, update.every, random);
            }
            Err(error) => {
                record.checked = Some(now);
                record.failures = record.failures.saturating_add(1);
                let retry_after = match &error {
                    AttemptError::Fetch(error) => error.retry_after(),
                    _ => None,
                };
                record.fault = Some(error.to_string().into());
                let asked = Asked::InVain(record.failures, retry_after);
                record.next = schedule::next(asked, now, update.every, random);
            }
        }
        self.downloads[at].record = record;
        self.save(at).await;
        self.show();
    }

    /// Writes what is known, so that a restart goes on from there.
    async fn save(&self, at: usize) {
        let known = &self.downloads[at];
        let (path, record) = (known.folder.record(), known.record.clone());
        let write = move || saved_downloads::write(&path, &record);
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.map_err(std::io::Error::from).flatten() {
            warn!(
                database = known.database.as_str(), %error,
                "state of the GeoIP update cannot be saved: a restart would fetch the database again"
            );
        }
    }

    /// Failures are logged once, until their reason changes.
    fn log(&self, known: &Known, result: &Result<Outcome, AttemptError>) {
        let database = known.database.as_str();
        let url = known.remote.url.shown();
        let record = &known.record;
        let draft = match result {
            Ok(Outcome::Updated(about)) => event!(
                info,
                GeoIpUpdated,
                [
                    database,
                    url,
                    edition = &about.database_type,
                    built = Date::from_epoch(about.build_epoch)
                ],
                [],
                "newer GeoIP database is in force"
            ),
            Ok(Outcome::Refused(reason)) => event!(
                error,
                GeoIpUpdateRefused,
                [
                    database,
                    url,
                    reason,
                    file = known.folder.refused().display()
                ],
                [],
                "newer GeoIP database is refused, the one before goes on; it is not fetched again until there is \
                 another"
            ),
            Ok(Outcome::Unchanged) if record.failures > 0 => event!(
                info,
                GeoIpUpdateRecovered,
                [database, url],
                [failures = u64::from(record.failures)],
                "GeoIP database can be fetched again; there is no newer one"
            ),
            Err(error) if record.fault.as_deref() != Some(&error.to_string()) => event!(
                warn,
                GeoIpUpdateFailed,
                [database, url, error],
                [],
                "GeoIP database cannot be fetched, trying again; the one that is there goes on"
            ),
            Ok(Outcome::Unchanged | Outcome::Postponed) | Err(_) => return,
        };
        self.live.events.push(draft);
    }
}

/// A database of the configuration, with what the last run knew.
fn known(process: &Process, database: Database) -> Option<Known> {
    let folder = Folder::of(process, database)?;
    let update = process.geoip.update.as_ref()?;
    let remote = match database {
        Database::Location => &update.location,
        Database::Asn => &update.asn,
    };
    let remote = remote.clone()?;
    let url: Box<str> = remote.url.as_str().into();
    let saved = saved_downloads::read(&folder.record());
    let record = match saved.url == url {
        // A shorter interval counts at once.
        true => Record {
            next: saved.next.min(unix() + update.every.as_secs()),
            ..saved
        },
        false => Record {
            url,
            ..Record::default()
        },
    };
    Some(Known {
        database,
        remote,
        folder,
        record,
    })
}
