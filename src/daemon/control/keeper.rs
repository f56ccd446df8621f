//! Keeps accepted configurations, on a thread of its own: a slow disk holds up neither loads nor anything
//! else. Who goes back to one waits for what is to be kept before.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread;

use tracing::debug;
use tracing::warn;

use crate::config::model::Process;
use crate::daemon::kept::Copier;
use crate::daemon::kept::Copy;
use crate::daemon::kept::CopyError;
use crate::daemon::kept::Store;
use crate::daemon::kept::TakenFiles;
use crate::live::clock::unix;

/// Hands files to the thread that keeps them; it ends with the last handle.
#[derive(Clone, Debug)]
pub struct Keeper(Sender<Task>);

/// What the thread does.
enum Task {
    /// Keep the files of an accepted load.
    Keep {
        state_dir: PathBuf,
        /// `None`: not all of them are known.
        files: Option<TakenFiles>,
        databases: BTreeSet<PathBuf>,
        accepted: u64,
        /// Called when it is done, or has failed.
        done: Box<dyn FnOnce() + Send>,
    },
    /// Find what was served before.
    FindBefore {
        state_dir: PathBuf,
        reply: Sender<Option<Copy>>,
    },
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there is none to be had.
    pub fn start() -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("keeper".into());
        thread.spawn(move || keep_all(&receiver))?;
        Ok(Self(sender))
    }

    /// Has the files of an accepted load kept, where there is a `state_dir`, and `done` called then: files that
    /// are written again before are not kept.
    pub fn keep(
        &self,
        process: &Process,
        files: Option<TakenFiles>,
        done: impl FnOnce() + Send + 'static,
    ) {
        let Some(state_dir) = process.state_dir.clone() else {
            done();
            return;
        };
        let geoip = &process.geoip;
        let databases = [&geoip.database, &geoip.asn_database, &geoip.latency];
        // The thread is there for as long as this is.
        let _ = self.0.send(Task::Keep {
            state_dir,
            files,
            databases: databases.into_iter().flatten().cloned().collect(),
            accepted: unix(),
            done: Box::new(done),
        });
    }

    /// The configuration that was served before the one that is served, once everything is kept that is to be;
    /// takes its time.
    pub fn before(&self, state_dir: &Path) -> Option<Copy> {
        let (reply, found) = mpsc::channel();
        let state_dir = state_dir.to_owned();
        let _ = self.0.send(Task::FindBefore { state_dir, reply });
        found.recv().ok()?
    }
}

fn keep_all(receiver: &Receiver<Task>) {
    let mut copier = Copier::default();
    // Whether the configuration that is served is among those that are kept.
    let mut is_served_kept = true;
    for task in receiver {
        match task {
            Task::Keep {
                state_dir,
                files,
                databases,
                accepted,
                done,
            } => {
                let store = Store::of(&state_dir);
                let kept = files.map(|files| copier.keep(&store, &files, &databases, accepted));
                is_served_kept = matches!(kept, Some(Ok(())));
                match kept {
                    Some(Err(CopyError::Io(error))) => warn!(
                        %error,
                        folder = %state_dir.display(),
                        "configuration cannot be kept: with a faulty file, a restart would use an older \
                         one, and a rollback skips this one"
                    ),
                    Some(Err(error @ CopyError::Changed(_))) => {
                        debug!(%error, "configuration not kept");
                    }
                    Some(Ok(())) | None => {}
                }
                done();
            }
            Task::FindBefore { state_dir, reply } => {
                let store = Store::of(&state_dir);
                let current = store.current();
                let before = match is_served_kept {
                    true => current.and_then(|copy| store.before(&copy)),
                    false => current,
                };
                // It is what is served once this is found.
                is_served_kept = true;
                let _ = reply.send(before);
            }
        }
    }
}
