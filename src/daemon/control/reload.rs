//! When the operator's files are loaded: after an edit that holds still, or because somebody asks. No
//! clock and no disk: looks and loads go out as return values, and times and results come in.
//!
//! Each file is judged by itself. What two looks in a row find alike is loaded; what somebody is still
//! writing may hold that up for a moment, as many edits touch several files, but not for longer: it
//! keeps the content that it had, and is loaded when it holds still.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use crate::daemon::control::event::Event;
use crate::daemon::files::FileSet;
use crate::daemon::load::Trigger;

/// How long edits that hold still wait for files that do not: with two looks and a load, less than the
/// two seconds in which an edit is in force.
const MAX_WAIT: Duration = Duration::from_millis(400);

/// After so long without holding still, a file is reported.
const RESTLESS_AFTER: Duration = Duration::from_secs(10);

/// After so long, a look or a load hangs: large files take seconds.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// The state machine; `W` is somebody who waits for the result of a load.
#[derive(Debug)]
pub(super) struct Reload<W> {
    /// What the latest load read.
    loaded: FileSet,
    /// What the latest load that was accepted read, if a later one was refused.
    in_force: Option<FileSet>,
    /// What the latest look found.
    found: FileSet,
    /// Since when an edit that holds still waits for files that do not.
    waits_since: Option<Duration>,
    /// Files that differed at each look, since when, and whether that was reported.
    moving: BTreeMap<PathBuf, (Duration, bool)>,
    is_looking: bool,
    is_loading: bool,
    /// Since when the look or load that is under way was seen to be.
    busy_since: Option<Duration>,
    is_hang_reported: bool,
    waiting: Vec<W>,
    /// Those who asked while a load was running, and for what: it may have read before their edit.
    waiting_next: VecDeque<(Trigger, W)>,
}

/// What follows from a look.
#[derive(Debug, Default)]
pub(super) struct AfterLook {
    /// The load that is to start.
    pub load: Option<Trigger>,
    /// What to log.
    pub events: Vec<Event>,
}

/// What follows from a finished load.
#[derive(Debug)]
pub(super) struct AfterLoad<W> {
    /// Who gets its result.
    pub waiting: Vec<W>,
    /// The next load, if one is to start at once.
    pub load: Option<Trigger>,
}

impl<W> Reload<W> {
    /// After the first load, which read these files.
    pub(super) fn new(loaded: FileSet) -> Self {
        Self {
            found: loaded.clone(),
            loaded,
            in_force: None,
            waits_since: None,
            moving: BTreeMap::new(),
            is_looking: false,
            is_loading: false,
            busy_since: None,
            is_hang_reported: false,
            waiting: Vec::new(),
            waiting_next: VecDeque::new(),
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

    /// A look has found these files.
    pub(super) fn looked(&mut self, found: FileSet, now: Duration) -> AfterLook {
        self.is_looking = false;
        self.busy_since = None;
        let differs = |other: &FileSet| -> BTreeSet<PathBuf> {
            let paths = other.changed(&found);
            paths.map(ToOwned::to_owned).collect()
        };
        let changed = differs(&self.loaded);
        let moving: BTreeSet<PathBuf> = &changed & &differs(&self.found);
        let events = self.watch_restless(&moving, now);
        // A file that is copied with pauses is refused in each, and with it what else was edited. When it
        // moves on, the others need not wait again.
        let was_refused = !moving.is_empty()
            && self.in_force.as_ref().is_some_and(|in_force| {
                let mut edited = in_force.changed(&found).filter(|path| found.has(path));
                edited.any(|path| !moving.contains(path))
            });
        self.found = found;
        if self.is_loading || (moving.len() == changed.len() && !was_refused) {
            self.waits_since = None;
            return AfterLook { load: None, events };
        }
        let waits_since = *self.waits_since.get_or_insert(now);
        let is_due =
            moving.is_empty() || was_refused || now.saturating_sub(waits_since) >= MAX_WAIT;
        let load = is_due.then(|| {
            self.waits_since = None;
            self.is_loading = true;
            Trigger::Changed { moving }
        });
        AfterLook { load, events }
    }

    /// Reports files that have not held still for long.
    fn watch_restless(&mut self, moving: &BTreeSet<PathBuf>, now: Duration) -> Vec<Event> {
        self.moving.retain(|path, _| moving.contains(path));
        let mut events = Vec::new();
        for path in moving {
            let (since, is_reported) = self.moving.entry(path.clone()).or_insert((now, false));
            if !*is_reported && now.saturating_sub(*since) >= RESTLESS_AFTER {
                *is_reported = true;
                events.push(Event::FileRestless { path: path.clone() });
            }
        }
        events
    }

    /// Reports a disk that does not answer, and that it does again. To be called every second.
    pub(super) fn watch_hang(&mut self, now: Duration) -> Option<Event> {
        let since = match self.is_looking || self.is_loading {
            true => *self.busy_since.get_or_insert(now),
            false => now,
        };
        let hangs = now.saturating_sub(since) >= HANGS_AFTER;
        match (std::mem::replace(&mut self.is_hang_reported, hangs), hangs) {
            (false, true) => Some(Event::FilesHang),
            (true, false) => Some(Event::FilesAnswer),
            _ => None,
        }
    }

    /// Somebody asks for a load: the one that is to start, unless it follows the one that runs.
    #[must_use]
    pub(super) fn ask(&mut self, trigger: Trigger, waiting: W) -> Option<Trigger> {
        self.waiting_next.push_back((trigger, waiting));
        match self.is_loading {
            true => None,
            false => self.start_next(),
        }
    }

    /// The load that is to start now: one for all who wait next for the files, one for each rollback, as each goes
    /// one further back.
    fn start_next(&mut self) -> Option<Trigger> {
        let (trigger, waiting) = self.waiting_next.pop_front()?;
        self.is_loading = true;
        self.waiting.push(waiting);
        if matches!(trigger, Trigger::Asked) {
            let is_same = |(next, _): &mut (Trigger, W)| matches!(next, Trigger::Asked);
            while let Some((_, waiting)) = self.waiting_next.pop_front_if(is_same) {
                self.waiting.push(waiting);
            }
        }
        Some(trigger)
    }

    /// Whether the files that were loaded last are served.
    pub(super) fn is_in_force(&self) -> bool {
        self.in_force.is_none()
    }

    /// A load has ended, which read these files.
    #[must_use]
    pub(super) fn finished(&mut self, loaded: FileSet, is_accepted: bool) -> AfterLoad<W> {
        let before = std::mem::replace(&mut self.loaded, loaded);
        self.in_force = match is_accepted {
            true => None,
            false => self.in_force.take().or(Some(before)),
        };
        self.busy_since = None;
        self.is_loading = false;
        AfterLoad {
            waiting: std::mem::take(&mut self.waiting),
            load: self.start_next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::daemon::files::Stamp;

    /// Files with contents of so many octets; 0: no file.
    fn files(lens: &[(&str, usize)]) -> FileSet {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut files = FileSet::default();
        for (name, len) in lens {
            let path = dir.path().join(name);
            fs::write(&path, vec![0; *len]).expect("write");
            let stamp = Stamp::of(&path).filter(|_| *len > 0);
            files.note(Path::new(name), stamp);
        }
        files
    }

    fn moving(load: Option<Trigger>) -> Option<Vec<PathBuf>> {
        match load? {
            Trigger::Changed { moving } => Some(moving.into_iter().collect()),
            Trigger::Asked | Trigger::Forced | Trigger::RollBack { .. } => None,
        }
    }

    fn at(n_looks: u64) -> Duration {
        Duration::from_millis(400 * n_looks)
    }

    #[test]
    fn a_change_that_holds_still_is_loaded() {
        let [a, b, c] = [1, 2, 3].map(|len| files(&[("a", len)]));
        let mut reload = Reload::<()>::new(a.clone());
        let looks = [
            (&a, false),
            (&b, false),
            (&c, false),
            (&a, false),
            (&c, false),
            (&c, true),
        ];
        for (n, (found, loads)) in looks.into_iter().enumerate() {
            assert_eq!(reload.look(), Some(a.clone()));
            assert_eq!(reload.look(), None, "one look at a time");
            let load = reload.looked(found.clone(), at(n as u64)).load;
            assert_eq!(load.is_some(), loads, "look {n}");
        }
        assert_eq!(reload.look(), None, "not while loading");
        assert!(reload.finished(c.clone(), true).load.is_none());
        assert_eq!(reload.look(), Some(c));
    }

    #[test]
    fn a_file_in_motion_holds_up_others_for_a_moment_only() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, n: u64| {
            fs::write(path(name), vec![0; n as usize]).expect("write");
        };
        write("edit", 1);
        write("log", 1);
        let mut loaded = FileSet::default();
        for name in ["edit", "log"] {
            loaded.note(&path(name), Stamp::of(&path(name)));
        }
        let mut reload = Reload::<()>::new(loaded.clone());
        write("edit", 2);
        let mut look = |n: u64| {
            write("log", n + 2);
            let files = reload.look().expect("nothing under way");
            let looked = reload.looked(files.now(), at(n));
            if looked.load.is_some() {
                let mut loaded = FileSet::default();
                loaded.note(&path("edit"), Stamp::of(&path("edit")));
                // It keeps the content that it had.
                loaded.note(&path("log"), None);
                assert!(reload.finished(loaded, true).load.is_none());
            }
            looked
        };
        let loads: Vec<_> = (0..3).map(|n| moving(look(n).load)).collect();
        assert_eq!(loads, [None, None, Some(vec![path("log")])]);
        // Reported once.
        let n_events: Vec<usize> = (3..60).map(|n| look(n).events.len()).collect();
        assert_eq!(n_events.iter().sum::<usize>(), 1);
        assert_eq!(n_events.iter().position(|n| *n == 1), Some(25 - 3));
    }

    #[test]
    fn a_file_that_is_written_with_pauses_holds_up_no_edit() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, n: usize| fs::write(path(name), vec![0; n]).expect("write");
        let seen = || {
            let mut seen = FileSet::default();
            for name in ["a.zone", "geo.mmdb"] {
                seen.note(&path(name), Stamp::of(&path(name)));
            }
            seen
        };
        write("a.zone", 1);
        write("geo.mmdb", 1);
        let mut reload = Reload::<()>::new(seen());
        let mut n_looks = 0;
        let mut look = |reload: &mut Reload<()>| {
            n_looks += 1;
            let files = reload.look().expect("nothing under way");
            moving(reload.looked(files.now(), at(n_looks)).load)
        };
        // Both hold still, and half of a database is none.
        write("a.zone", 2);
        write("geo.mmdb", 2);
        assert_eq!(look(&mut reload), None);
        assert_eq!(look(&mut reload), Some(vec![]));
        assert!(reload.finished(seen(), false).load.is_none());
        assert_eq!(look(&mut reload), None);
        write("geo.mmdb", 3);
        assert_eq!(look(&mut reload), Some(vec![path("geo.mmdb")]));
        assert!(reload.finished(seen(), true).load.is_none());
        // Nothing else is left to be taken.
        write("geo.mmdb", 4);
        assert_eq!(look(&mut reload), None);
    }

    #[test]
    fn edits_that_hold_still_together_are_loaded_together() {
        let mut reload = Reload::<()>::new(files(&[("a", 1), ("b", 1)]));
        // `a` first, `b` while `a` holds still already.
        let a = files(&[("a", 2)]).stamp(Path::new("a"));
        let found = |b: usize| {
            let mut found = files(&[("b", b)]);
            found.note(Path::new("a"), a);
            found
        };
        let (first, second) = (found(1), found(2));
        assert!(reload.looked(first, at(0)).load.is_none());
        assert!(reload.looked(second.clone(), at(1)).load.is_none());
        assert_eq!(moving(reload.looked(second, at(2)).load), Some(Vec::new()));
    }

    #[test]
    fn a_reload_asked_for_during_a_load_follows_it() {
        let a = files(&[("a", 1)]);
        let mut reload = Reload::new(a.clone());
        assert!(reload.ask(Trigger::Asked, 1).is_some());
        assert!(reload.ask(Trigger::Asked, 2).is_none());
        assert!(reload.ask(Trigger::Asked, 3).is_none());
        let finished = reload.finished(a.clone(), true);
        assert_eq!((finished.waiting, finished.load.is_some()), (vec![1], true));
        assert!(reload.ask(Trigger::Asked, 4).is_none());
        let finished = reload.finished(a.clone(), true);
        let waiting = (finished.waiting, finished.load.is_some());
        assert_eq!(waiting, (vec![2, 3], true));
        let finished = reload.finished(a, true);
        assert_eq!(
            (finished.waiting, finished.load.is_some()),
            (vec![4], false)
        );
        assert!(reload.ask(Trigger::Asked, 5).is_some(), "at once again");
    }

    #[test]
    fn each_rollback_has_a_load_of_its_own_in_its_turn() {
        let a = files(&[("a", 1)]);
        let mut reload = Reload::new(a.clone());
        let back = || Trigger::RollBack { by: "t".into() };
        let is_back = |load: &Option<Trigger>| matches!(load, Some(Trigger::RollBack { .. }));
        assert!(is_back(&reload.ask(back(), 1)));
        for (trigger, waiting) in [
            (back(), 2),
            (Trigger::Asked, 3),
            (Trigger::Asked, 4),
            (back(), 5),
        ] {
            assert!(reload.ask(trigger, waiting).is_none());
        }
        let mut next = || {
            let finished = reload.finished(a.clone(), true);
            (
                finished.waiting,
                is_back(&finished.load),
                finished.load.is_some(),
            )
        };
        assert_eq!(next(), (vec![1], true, true));
        assert_eq!(next(), (vec![2], false, true));
        assert_eq!(next(), (vec![3, 4], true, true));
        assert_eq!(next(), (vec![5], false, false));
    }

    #[test]
    fn a_disk_that_does_not_answer_is_reported_once() {
        let a = files(&[("a", 1)]);
        let mut reload = Reload::<()>::new(a.clone());
        let secs = Duration::from_secs;
        let mut events = Vec::new();
        for second in 0..200 {
            let now = secs(second);
            // Up to 99 s, a look takes a part of each second; the next one ends at 150 s.
            if second < 100 || second == 150 {
                let _ = reload.look();
                let _ = reload.watch_hang(now);
                let _ = reload.looked(a.clone(), now);
            }
            if second == 100 {
                let _ = reload.look();
            }
            if second == 110 {
                assert!(reload.ask(Trigger::Asked, ()).is_some());
            }
            if second == 160 {
                assert!(reload.finished(a.clone(), true).load.is_none());
            }
            events.extend(reload.watch_hang(now).map(|event| (second, event)));
        }
        let expected = [(130, Event::FilesHang), (150, Event::FilesAnswer)];
        assert_eq!(events, expected);
    }

    #[test]
    fn a_look_that_ends_during_a_load_starts_none() {
        let [a, b] = [1, 2].map(|len| files(&[("a", len)]));
        let mut reload = Reload::<()>::new(a);
        let _ = reload.look();
        assert!(reload.looked(b.clone(), at(0)).load.is_none());
        let _ = reload.look();
        assert!(reload.ask(Trigger::Asked, ()).is_some());
        let looked = reload.looked(b.clone(), at(1));
        assert!(looked.load.is_none(), "the load is under way");
        assert!(reload.finished(b, true).load.is_none());
    }
}
