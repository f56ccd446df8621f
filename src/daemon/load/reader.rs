//! How one load reads: what it looks at, what it takes, and what it need not read again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::fnv::fnv1a;
use crate::daemon::files;
use crate::daemon::files::FileSet;
use crate::daemon::files::MAX_SETTINGS_LEN;
use crate::daemon::files::ReadError;
use crate::daemon::files::Reading;
use crate::daemon::files::Stamp;
use crate::daemon::kept::Copy;
use crate::daemon::kept::TakenFile;
use crate::daemon::kept::TakenFiles;
use crate::state::plan::Plan;

/// What starts a load.
#[derive(Clone, Debug)]
pub enum Trigger {
    /// Somebody asks for it: every file is read, whatever its stamp says.
    Asked,
    /// The same, and the files are taken however many clients that moves.
    Forced,
    /// An operator asks for the configuration that was served before.
    RollBack {
        /// The name of the operator's token.
        by: Arc<str>,
    },
    /// Files have changed: the others are not read again.
    Changed {
        /// Those that somebody is still writing; they keep the content they had.
        moving: BTreeSet<PathBuf>,
    },
}

/// A file that something was made from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    stamp: Option<Stamp>,
    /// The same on every machine, for the same content.
    pub(super) hash: u64,
}

impl Source {
    /// When it was written, in seconds since 1970.
    pub(super) fn modified(&self) -> Option<u64> {
        self.stamp.and_then(Stamp::modified)
    }
}

/// Which content of a file a load took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// What a load before took.
    Before,
    /// What was read.
    Read(TakenFile),
}

/// What one load took.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AllTaken(BTreeMap<PathBuf, Taken>);

impl AllTaken {
    /// Which files the plan is made from, after a load that was made from others; `None` if one of them is not
    /// known.
    pub(super) fn after(self, before: &TakenFiles) -> Option<TakenFiles> {
        let file = |(path, taken)| match taken {
            Taken::Before => before.get(&path).cloned().map(|file| (path, file)),
            Taken::Read(file) => Some((path, file)),
        };
        self.0.into_iter().map(file).collect()
    }
}

/// The reader of one load.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    trigger: &'a Trigger,
    /// What is served, if anything is.
    before: Option<&'a Plan>,
    /// The kept configuration, if that is read instead of the files.
    copy: Option<&'a Copy>,
    seen: FileSet,
    taken: AllTaken,
    /// Of the content of each file that was read.
    hashes: HashMap<PathBuf, u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(trigger: &'a Trigger, before: Option<&'a Plan>) -> Self {
        Self {
            trigger,
            before,
            copy: None,
            seen: FileSet::default(),
            taken: AllTaken::default(),
            hashes: HashMap::new(),
        }
    }

    /// A reader of a kept configuration.
    pub(super) fn of_copy(copy: &'a Copy) -> Self {
        Self {
            copy: Some(copy),
            ..Self::new(&Trigger::Asked, None)
        }
    }

    /// Everything that was looked at, and what of it was taken.
    pub(super) fn finish(self) -> (FileSet, AllTaken) {
        (self.seen, self.taken)
    }

    /// Reads a file of at most `max_len` octets.
    ///
    /// # Errors
    /// If it cannot be read, or somebody is writing it.
    pub(super) fn read(
        &mut self,
        path: &Path,
        max_len: u64,
    ) -> Result<(Vec<u8>, Source), ReadError> {
        let Reading { stamp, content } = if self.is_moving(path) {
            Reading {
                stamp: None,
                content: Err(ReadError::Moving),
            }
        } else {
            files::read_whole(&self.locate(path), max_len)
        };
        // Whatever it is when it holds still, it is to be read then.
        let is_read = self.is_asked() || !matches!(content, Err(ReadError::Moving));
        self.seen.note(path, stamp.filter(|_| is_read));
        let bytes = content?;
        let source = Source {
            path: path.to_owned(),
            stamp,
            hash: fnv1a(&bytes),
        };
        self.hashes.insert(path.to_owned(), source.hash);
        self.note(&source);
        Ok((bytes, source))
    }

    /// The hash of a file's content, if it was read.
    pub(super) fn hash_of(&self, path: &Path) -> Option<u64> {
        self.hashes.get(path).copied()
    }

    /// Reads a text file; faults are reported.
    ///
    /// # Errors
    /// If somebody is writing it: with the plan of before, whose share of it is to be used on.
    pub(super) fn text(
        &mut self,
        path: &Path,
        report: &mut Report,
    ) -> Result<Option<String>, Moving<'a>> {
        match (self.read(path, MAX_SETTINGS_LEN), self.before) {
            (Ok((bytes, _)), _) => Ok(files::text(bytes, path, report)),
            (Err(ReadError::Moving), Some(before)) if !self.is_asked() => {
                self.keep(path);
                self.warn_of_moving(path, report);
                Err(Moving { before })
            }
            (Err(error), _) => {
                report.error(files::place(path), error.fault("file"));
                Ok(None)
            }
        }
    }

    /// Lists a folder of zone files.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(super) fn list(&mut self, folder: &Path) -> std::io::Result<files::Listing> {
        self.seen.note_folder(folder);
        let Some(copy) = self.copy else {
            return files::list(folder);
        };
        let mut listing = copy.list(folder);
        for path in &mut listing.zones {
            *path = folder.join(path.file_name().unwrap_or_default());
        }
        Ok(listing)
    }

    /// The sources as they are now, if what was made from them is still to be used: they hold what they
    /// held, or one of them is being written.
    pub(super) fn unchanged(
        &mut self,
        sources: &[Source],
        max_len: u64,
        report: &mut Report,
    ) -> Option<Vec<Source>> {
        if let Some(moving) = sources.iter().find(|source| self.is_moving(&source.path)) {
            for source in sources {
                self.seen.note(&source.path, source.stamp);
                self.keep(&source.path);
            }
            self.warn_of_moving(&moving.path, report);
            return Some(sources.to_vec());
        }
        let is_same = |source: &Source| Stamp::of(&self.locate(&source.path)) == source.stamp;
        if !self.is_asked() && sources.iter().all(is_same) {
            for source in sources {
                self.note(source);
            }
            return Some(sources.to_vec());
        }
        let mut now = Vec::with_capacity(sources.len());
        for source in sources {
            let located = self.locate(&source.path);
            let has_len = |stamp: Stamp| source.stamp.is_some_and(|s| s.len == stamp.len);
            if !Stamp::of(&located).is_some_and(has_len) {
                return None;
            }
            let Reading { stamp, content } = files::read_whole(&located, max_len);
            if fnv1a(&content.ok()?) != source.hash {
                return None;
            }
            let path = source.path.clone();
            now.push(Source {
                path,
                stamp,
                ..*source
            });
        }
        for source in &now {
            self.note(source);
        }
        Some(now)
    }

    /// Notes that the content that a file had before is used on.
    pub(super) fn keep(&mut self, path: &Path) {
        self.taken.0.insert(path.to_owned(), Taken::Before);
    }

    /// Notes when a file is to be read again though it has not changed, in seconds since 1970.
    pub(super) fn expires(&mut self, path: &Path, at: u64) {
        self.seen.note_expiry(path, at);
    }

    /// Notes a file that is at fault before it is read.
    pub(super) fn note_unread(&mut self, path: &Path) {
        self.seen.note(path, Stamp::of(&self.locate(path)));
    }

    /// Whether there is a file; from now on its coming is noticed.
    pub(super) fn has(&mut self, path: &Path) -> bool {
        let stamp = Stamp::of(&self.locate(path));
        if stamp.is_none() {
            self.seen.note(path, None);
        }
        stamp.is_some()
    }

    /// Whether a file was looked at in this load, however its path was written.
    pub(super) fn has_seen(&self, path: &Path) -> bool {
        self.seen.has(path) || Stamp::of(path).is_some_and(|stamp| self.seen.has_stamp(stamp))
    }

    fn is_asked(&self) -> bool {
        !matches!(self.trigger, Trigger::Changed { .. })
    }

    /// Whether somebody is writing a file.
    pub(super) fn is_moving(&self, path: &Path) -> bool {
        match self.trigger {
            Trigger::Asked | Trigger::Forced | Trigger::RollBack { .. } => false,
            Trigger::Changed { moving } => moving.contains(path),
        }
    }

    fn note(&mut self, source: &Source) {
        self.seen.note(&source.path, source.stamp);
        let taken = match source.stamp {
            Some(stamp) => Taken::Read(TakenFile {
                stamp,
                at: self.locate(&source.path),
            }),
            None => Taken::Before,
        };
        self.taken.0.insert(source.path.clone(), taken);
    }

    /// Where a file is read.
    fn locate(&self, path: &Path) -> PathBuf {
        match self.copy {
            Some(copy) => copy.locate(path),
            None => path.to_owned(),
        }
    }

    fn warn_of_moving(&self, path: &Path, report: &mut Report) {
        let message = "is being written, what it held before is used until it holds still";
        report.warning(files::place(path), message);
    }
}

/// A file is being written, so that what it held before is to be used on.
#[derive(Debug)]
pub(super) struct Moving<'a> {
    /// What was made from it.
    pub(super) before: &'a Plan,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_holds_what_it_held_is_not_read_again_unless_asked() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.zone");
        fs::write(&path, "1").expect("write");
        let unchanged = |source: &Source, trigger: &Trigger| {
            let mut reader = Reader::new(trigger, None);
            let sources = std::slice::from_ref(source);
            reader
                .unchanged(sources, 1, &mut Report::default())
                .is_some()
        };
        let changed = Trigger::Changed {
            moving: BTreeSet::new(),
        };
        let moving = Trigger::Changed {
            moving: BTreeSet::from([path.clone()]),
        };
        let mut reader = Reader::new(&Trigger::Asked, None);
        let (_, source) = reader.read(&path, 1).expect("read");
        let other = Source {
            hash: source.hash ^ 1,
            ..source.clone()
        };
        assert!(unchanged(&source, &changed));
        assert!(unchanged(&other, &changed), "the stamp is trusted");
        assert!(unchanged(&source, &Trigger::Asked));
        assert!(!unchanged(&other, &Trigger::Asked), "it is read");

        // The same content in another file.
        files::replace(&path, b"1").expect("replace");
        assert!(unchanged(&source, &changed));
        assert!(!unchanged(&other, &changed));
        for content in ["2", "11", ""] {
            files::replace(&path, content.as_bytes()).expect("replace");
            assert!(!unchanged(&source, &changed), "{content}");
            assert!(unchanged(&source, &moving), "{content}");
        }
        fs::remove_file(&path).expect("remove");
        assert!(!unchanged(&source, &changed));
    }

    #[test]
    fn a_file_that_is_being_written_is_noted_as_it_was() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.zone");
        fs::write(&path, "1").expect("write");
        let mut reader = Reader::new(&Trigger::Asked, None);
        let (_, source) = reader.read(&path, 1).expect("read");
        fs::write(&path, "12").expect("write");
        let trigger = Trigger::Changed {
            moving: BTreeSet::from([path.clone()]),
        };
        let mut reader = Reader::new(&trigger, None);
        let mut report = Report::default();
        assert!(reader.unchanged(&[source], 2, &mut report).is_some());
        assert!(report.to_string().contains("is being written"), "{report}");
        let (seen, taken) = reader.finish();
        assert_ne!(seen.now(), seen, "it is taken up when it holds still");
        assert_eq!(taken.after(&TakenFiles::new()), None, "nothing was before");
    }
}
