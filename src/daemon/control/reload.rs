//! When the operator's files are loaded: after an edit that holds still, or because somebody asks. No
//! clock and no disk: looks and loads go out as return values, and their results come back.

use crate::daemon::files::FileSet;

/// The state machine; `W` is somebody who waits for the result of a load.
#[derive(Debug)]
pub(super) struct Reload<W> {
    /// What the latest load read.
    loaded: FileSet,
    /// What the latest look found, if it differs from that.
    changed: Option<FileSet>,
    is_looking: bool,
    is_loading: bool,
    waiting: Vec<W>,
    /// Those who asked while a load was running: it may have read before their edit.
    waiting_next: Vec<W>,
}

/// What follows from a finished load.
#[derive(Debug)]
pub(super) struct Finished<W> {
    /// Who gets its result.
    pub waiting: Vec<W>,
    /// Whether the next load is to start at once.
    pub load: bool,
}

impl<W> Reload<W> {
    /// After the first load, which read these files.
    pub(super) fn new(loaded: FileSet) -> Self {
        Self {
            loaded,
            changed: None,
            is_looking: false,
            is_loading: false,
            waiting: Vec::new(),
            waiting_next: Vec::new(),
        }
    }

    /// The files to look at now, if nothing is under way. [`Reload::looked`] must follow.
    pub(super) fn look(&mut self) -> Option<FileSet> {
        if self.is_looking || self.is_loading {
            return None;
        }
        self.is_looking = true;
        Some(self.loaded.clone())
    }

    /// A look has found these files; whether a load is to start. Two equal looks in a row at something
    /// new start one, so that a file being written is left alone.
    #[must_use]
    pub(super) fn looked(&mut self, found: FileSet) -> bool {
        self.is_looking = false;
        if found == self.loaded {
            self.changed = None;
            return false;
        }
        if self.changed.as_ref() == Some(&found) {
            self.changed = None;
            return self.ask(None);
        }
        self.changed = Some(found);
        false
    }

    /// Somebody wants a load; whether it is to start, else one more follows the one that runs.
    #[must_use]
    pub(super) fn ask(&mut self, waiting: Option<W>) -> bool {
        if self.is_loading {
            self.waiting_next.extend(waiting);
            return false;
        }
        self.waiting.extend(waiting);
        self.is_loading = true;
        true
    }

    /// A load has ended, which read these files.
    #[must_use]
    pub(super) fn finished(&mut self, loaded: FileSet) -> Finished<W> {
        self.loaded = loaded;
        self.is_loading = !self.waiting_next.is_empty();
        let next = std::mem::take(&mut self.waiting_next);
        Finished {
            waiting: std::mem::replace(&mut self.waiting, next),
            load: self.is_loading,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files that differ by what is said to have been there.
    fn files(name: &str) -> FileSet {
        let mut files = FileSet::default();
        files.keep(Path::new(name), None);
        files
    }

    #[test]
    fn a_change_that_holds_still_is_loaded() {
        let mut reload = Reload::<()>::new(files("a"));
        for (found, loads) in [
            ("a", false),
            ("b", false),
            ("c", false),
            ("a", false),
            ("c", false),
            ("c", true),
        ] {
            assert_eq!(reload.look(), Some(files("a")));
            assert_eq!(reload.look(), None, "one look at a time");
            assert_eq!(reload.looked(files(found)), loads, "{found}");
        }
        assert_eq!(reload.look(), None, "not while loading");
        assert!(!reload.finished(files("c")).load);
        assert_eq!(reload.look(), Some(files("c")));
    }

    #[test]
    fn a_reload_asked_for_during_a_load_follows_it() {
        let mut reload = Reload::new(files("a"));
        assert!(reload.ask(Some(1)));
        assert!(!reload.ask(Some(2)));
        assert!(!reload.ask(Some(3)));
        let finished = reload.finished(files("a"));
        assert_eq!((finished.waiting, finished.load), (vec![1], true));
        assert!(!reload.ask(Some(4)));
        let finished = reload.finished(files("a"));
        assert_eq!((finished.waiting, finished.load), (vec![2, 3], true));
        let finished = reload.finished(files("a"));
        assert_eq!((finished.waiting, finished.load), (vec![4], false));
        assert!(reload.ask(Some(5)), "at once again");
    }

    #[test]
    fn a_look_that_ends_during_a_load_starts_none() {
        let mut reload = Reload::<()>::new(files("a"));
        let _ = reload.look();
        assert!(!reload.looked(files("b")));
        let _ = reload.look();
        assert!(reload.ask(None));
        assert!(!reload.looked(files("b")), "the load is under way");
        assert!(!reload.finished(files("b")).load);
    }
}
