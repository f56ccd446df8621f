//! Has the last good copy made, on a thread of its own: a slow disk holds up neither loads nor anything
//! else.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread;

use tracing::debug;
use tracing::warn;

use crate::config::model::Process;
use crate::config::safety::OnFaultyStart;
use crate::daemon::last_good::Copier;
use crate::daemon::last_good::CopyError;
use crate::daemon::last_good::TakenFiles;

/// Hands files to the thread that copies them; it ends with this.
#[derive(Debug)]
pub struct Keeper(Sender<(PathBuf, TakenFiles)>);

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there is none to be had.
    pub fn start() -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("last good copy".into());
        thread.spawn(move || copy_all(&receiver))?;
        Ok(Self(sender))
    }

    /// Has the files of an accepted load copied, if their settings want a copy.
    pub fn keep(&self, process: &Process, files: TakenFiles) {
        let safety = &process.safety;
        let is_wanted = safety.isolate_zones || safety.on_faulty_start == OnFaultyStart::LastGood;
        if let Some(state_dir) = process.state_dir.as_ref().filter(|_| is_wanted)
            && !files.is_empty()
        {
            // The thread is there for as long as this is.
            let _ = self.0.send((state_dir.clone(), files));
        }
    }
}

fn copy_all(receiver: &Receiver<(PathBuf, TakenFiles)>) {
    let mut copier = Copier::default();
    while let Ok(first) = receiver.recv() {
        // Of several loads, the last one counts.
        let (state_dir, files) = receiver.try_iter().last().unwrap_or(first);
        match copier.copy(&state_dir, &files) {
            Ok(()) => {}
            Err(error @ CopyError::Changed(_)) => debug!(%error, "no new last good copy"),
            Err(CopyError::Io(error)) => warn!(
                %error,
                folder = %state_dir.display(),
                "last good copy of the files cannot be written: with a faulty file, a restart would \
                 use an older one"
            ),
        }
    }
}
