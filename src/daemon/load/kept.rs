//! Loads of kept configurations: at a start, and when an operator goes back to one.

use std::path::Path;

use crate::base::diag::Report;
use crate::config::model::Process;
use crate::config::safety::OnFaultyStart;
use crate::daemon::files;
use crate::daemon::kept::Copy;
use crate::daemon::kept::RolledBack;
use crate::daemon::kept::Store;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;
use crate::daemon::load::reader::Reader;
use crate::daemon::load::settings;
use crate::live;
use crate::live::clock;
use crate::state::plan::Plan;

/// What a server starts with.
#[derive(Debug)]
pub enum Start {
    /// The operator's files.
    Sound(Loaded),
    /// The last good copy, as the files are at fault.
    LastGood {
        /// The load of the copy.
        loaded: Loaded,
        /// The copy.
        copy: Copy,
        /// The faults of the files.
        faults: Report,
    },
}

impl Loader {
    /// The first load of a server. An operator may have gone back to a kept configuration from the files that are
    /// there; and if these are at fault, the last good copy is loaded, as `[safety]
    /// on_faulty_start` asks for. The operator's files are those that are watched nevertheless.
    ///
    /// # Errors
    /// Every fault of every file, and of the copy.
    pub fn start(&mut self) -> Result<Start, Report> {
        let result = self.load(None, &Trigger::Asked);
        let state_dir = settings::state_dir(&self.path, self.process.as_ref());
        let store = state_dir.as_deref().map(Store::of);
        let mut faults = match result {
            Ok(loaded) => return Ok(Start::Sound(self.served_instead(store.as_ref(), loaded))),
            Err(faults) => faults,
        };
        let refuses = |process: &Process| process.safety.on_faulty_start == OnFaultyStart::Refuse;
        let copy = match store.and_then(|store| store.current()) {
            Some(copy) if !self.process.as_ref().is_some_and(refuses) => copy,
            _ => return Err(faults),
        };
        match self.load_copy(&copy, None) {
            Ok(loaded) if refuses(&loaded.plan.config.process) => Err(faults),
            Ok(loaded) => Ok(Start::LastGood {
                loaded,
                copy,
                faults,
            }),
            Err(of_copy) => {
                let n = of_copy.n_errors();
                let first = of_copy.sorted().first().map(ToString::to_string);
                let first = first.unwrap_or_default();
                let message = format!("last good copy has {n} faults as well, the first: {first}");
                faults.error(files::place(&copy.path), message);
                Err(faults)
            }
        }
    }

    /// The load of the kept configuration that is served instead of the operator's files, else theirs.
    fn served_instead(&mut self, store: Option<&Store>, mut sound: Loaded) -> Loaded {
        let Some((copy, rolled_back)) = store.and_then(|store| store.served_instead(&self.seen))
        else {
            return sound;
        };
        let process = self.process.clone();
        match self.load_copy(&copy, None) {
            Ok(loaded) => Loaded {
                rolled_back: Some(shown(&copy, &rolled_back)),
                ..loaded
            },
            Err(of_copy) => {
                let first = of_copy.sorted().first().map(ToString::to_string);
                let message = format!(
                    "the configuration that was rolled back to cannot be loaded, the files on disk are \
                     served instead: {}",
                    first.unwrap_or_default()
                );
                sound.report.warning(files::place(&copy.path), message);
                self.process = process;
                sound
            }
        }
    }

    /// Loads the configuration that was served before the one that is served now, and notes that it is served
    /// instead of the files on disk. These are watched on.
    ///
    /// # Errors
    /// If there is none, every fault of it, or that the disk does not take the note.
    pub fn roll_back(
        &mut self,
        served: &Plan,
        by: &str,
        before: impl FnOnce(&Path) -> Option<Copy>,
    ) -> Result<Loaded, Report> {
        let refused = |path: &Path, message: &str| {
            let mut report = Report::default();
            report.error(files::place(path), message);
            report
        };
        let state_dir = served.config.process.state_dir.as_deref();
        let state_dir = state_dir.ok_or_else(|| {
            let message = "has no `state_dir`, expected one: configurations are kept there";
            refused(&self.path, message)
        })?;
        let copy = before(state_dir).ok_or_else(|| {
            let message = "holds no configuration from before the one that is served";
            refused(state_dir, message)
        })?;
        let mut loaded = self.load_copy(&copy, Some(served))?;
        for path in copy.other_databases() {
            let message = "is another database than this configuration was made from, whose content is no \
                           longer kept: the one on disk is used";
            loaded.report.warning(files::place(path), message);
        }
        let store = Store::of(state_dir);
        let rolled_back = store.roll_back(&copy, &self.seen, clock::unix(), by);
        let rolled_back = rolled_back
            .map_err(|error| refused(state_dir, &format!("cannot be written to: {error}")))?;
        loaded.rolled_back = Some(shown(&copy, &rolled_back));
        Ok(loaded)
    }

    /// Loads a kept configuration.
    fn load_copy(&mut self, copy: &Copy, before: Option<&Plan>) -> Result<Loaded, Report> {
        let mut reader = Reader::of_copy(copy);
        let mut loaded = self.load_with(&mut reader, before, &|_, _| {})?;
        let (_, taken) = reader.finish();
        self.taken = taken.after(&self.taken).unwrap_or_default();
        loaded.note_changes(before);
        // What has become too old on disk says nothing of what is served.
        self.seen = std::mem::take(&mut self.seen).without_expiries();
        Ok(loaded)
    }
}

/// What is shown of a configuration that is served instead of the files on disk.
fn shown(copy: &Copy, rolled_back: &RolledBack) -> live::RolledBack {
    let digest = copy.digest.as_ref().map(ToString::to_string);
    live::RolledBack {
        digest: digest.unwrap_or_default().into(),
        accepted: copy.accepted,
        since: rolled_back.since,
        by: rolled_back.by.clone(),
    }
}
