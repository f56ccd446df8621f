//! How state is written: carries out what `persist` asks for.

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::daemon::control::Control;
use crate::daemon::control::finished::Finished;
use crate::daemon::control::finished::WaitsForSave;
use crate::daemon::control::persist::Write;
use crate::daemon::saved;
use crate::daemon::saved_drills;
use crate::daemon::saved_sources;

/// How long the last write may take when the process ends.
const LAST_SAVE_DEADLINE: Duration = Duration::from_secs(1);

impl Control {
    /// Has a change saved; who waits for it is answered then, or at once where there is nothing to save.
    pub(super) fn save_changes(&mut self, is_changed: bool, waiting: Option<WaitsForSave>) {
        if is_changed && self.state_dir().is_some() {
            self.persist.changed(self.live.clock.elapsed(), waiting);
        } else if let Some(waiting) = waiting {
            waiting(Ok(()));
        }
    }

    /// Starts the write that is due, if one is.
    pub(super) fn save(&mut self) {
        let Some(state_dir) = self.state_dir().cloned() else {
            return;
        };
        if let Some(write) = self.persist.next(self.live.clock.elapsed()) {
            let save = self.state(state_dir, write);
            self.in_background(move || {
                let started = Instant::now();
                let result = save().map_err(|error| error.to_string().into());
                Finished::Saved(result, started.elapsed())
            });
        }
    }

    /// A copy of the state, and its way to the disk.
    fn state(
        &self,
        state_dir: PathBuf,
        write: Write,
    ) -> impl FnOnce() -> std::io::Result<()> + use<> {
        let changes = || {
            let drills = self.evidence.saved_drills();
            (self.evidence.overrides(), drills, self.members.sources())
        };
        let changes = write.changes.then(changes);
        let verdicts = write
            .verdicts
            .then(|| self.evidence.verdicts(self.live.clock.now()));
        move || {
            if let Some((overrides, drills, sources)) = changes {
                saved::write_overrides(&state_dir, &overrides)?;
                saved_drills::write(&state_dir, &drills)?;
                saved_sources::write(&state_dir, &sources)?;
            }
            match verdicts {
                Some((verdicts, last_up, ramps, shares)) => {
                    saved::write_verdicts(&state_dir, &verdicts, &last_up, &ramps, &shares)
                }
                None => Ok(()),
            }
        }
    }

    pub(super) async fn save_at_the_end(self) {
        let Some(state_dir) = self.state_dir().cloned() else {
            return;
        };
        let save = self.state(
            state_dir,
            Write {
                changes: true,
                verdicts: true,
            },
        );
        // A thread of its own: those of the runtime may all hang on the same disk.
        let (done, saved) = oneshot::channel();
        std::thread::spawn(move || done.send(save()));
        let error = match timeout(LAST_SAVE_DEADLINE, saved).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) | Err(_) => "the disk does not answer".into(),
        };
        warn!(
            error,
            "state not saved: verdicts will not survive the restart"
        );
    }
}
