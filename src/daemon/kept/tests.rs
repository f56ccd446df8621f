//! Configurations kept in temporary folders.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;

use std::path::Path;
use std::path::PathBuf;

use super::*;
use crate::daemon::files;
use crate::daemon::files::FileSet;
use crate::daemon::files::Stamp;
use crate::daemon::kept::store::MAX_KEPT;
use crate::daemon::kept::store::OLD_LAYOUT;

/// A folder of files with a store beside them.
struct Folder {
    dir: tempfile::TempDir,
    copier: Copier,
    databases: BTreeSet<PathBuf>,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let databases = BTreeSet::from([dir.path().join("geo.mmdb")]);
        Self {
            dir,
            copier: Copier::default(),
            databases,
        }
    }

    fn store(&self) -> Store {
        Store::of(&self.dir.path().join("state"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        files::replace(&path, text.as_bytes()).expect("write");
        path
    }

    fn taken(&self, names: &[&str]) -> TakenFiles {
        let file = |name: &&str| {
            let at = self.dir.path().join(name);
            let stamp = Stamp::of(&at).expect("a file");
            (at.clone(), TakenFile { stamp, at })
        };
        names.iter().map(file).collect()
    }

    fn keep(&mut self, names: &[&str]) -> Result<(), CopyError> {
        let (store, taken) = (self.store(), self.taken(names));
        self.copier.keep(&store, &taken, &self.databases, 7)
    }

    /// Writes a file and keeps it.
    fn accept(&mut self, name: &str, text: &str) {
        self.write(name, text);
        self.keep(&[name]).expect("kept");
    }

    fn text(&self, copy: &Copy, name: &str) -> Option<String> {
        fs::read_to_string(copy.locate(&self.dir.path().join(name))).ok()
    }

    fn seen(&self, names: &[&str]) -> FileSet {
        let mut seen = FileSet::default();
        for name in names {
            let path = self.dir.path().join(name);
            seen.note(&path, Stamp::of(&path));
        }
        seen
    }

    /// Goes one back, as the loader does.
    fn roll_back(&self, names: &[&str]) -> Option<Copy> {
        let store = self.store();
        let copy = store.before(&store.current()?)?;
        let rolled_back = store.roll_back(&copy, &self.seen(names), 9, "admin");
        assert_eq!(&*rolled_back.expect("noted").by, "admin");
        Some(copy)
    }
}

#[test]
fn a_configuration_holds_all_files_and_equal_contents_once() {
    let mut folder = Folder::new();
    for name in ["a.zone", "b.zone"] {
        folder.write(name, "1");
    }
    let (store, both) = (folder.store(), ["a.zone", "b.zone"]);
    assert!(store.current().is_none());
    folder.keep(&both).expect("kept");
    let first = store.current().expect("a configuration");
    assert_eq!(folder.text(&first, "a.zone").as_deref(), Some("1"));
    assert!(!first.locate(Path::new("/other")).exists());
    assert_eq!(first.list(folder.dir.path()).zones.len(), 2);
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    let object = first.locate(&folder.dir.path().join("a.zone"));
    assert_eq!((mode(&store.objects()), mode(&object)), (0o700, 0o600));
    let n_objects = || fs::read_dir(store.objects()).expect("a folder").count();
    assert_eq!(n_objects(), 1, "the same content");

    folder.keep(&both).expect("kept");
    assert_eq!(store.numbers(), [1], "nothing has changed");
    let inode = object.metadata().expect("there").ino();
    folder.write("a.zone", "22");
    folder.keep(&both).expect("kept");
    let second = store.current().expect("a configuration");
    assert_eq!((second.number, second.before), (2, Some(1)));
    assert_ne!(second.digest, first.digest);
    assert_eq!(folder.text(&second, "a.zone").as_deref(), Some("22"));
    assert_eq!(folder.text(&first, "a.zone").as_deref(), Some("1"));
    assert_eq!(object.metadata().expect("there").ino(), inode);

    // Another process knows nothing of what the files hold.
    folder.copier = Copier::default();
    folder.keep(&both).expect("kept");
    assert_eq!(store.numbers(), [1, 2]);
}

#[test]
fn what_changes_meanwhile_is_not_kept() {
    let mut folder = Folder::new();
    folder.accept("a", "1");
    let store = folder.store();
    folder.write("a", "22");
    let taken = folder.taken(&["a"]);
    folder.write("a", "333");
    let error = folder.copier.keep(&store, &taken, &BTreeSet::new(), 7);
    assert!(matches!(error, Err(CopyError::Changed(_))), "{error:?}");
    // As a crash leaves it.
    let unfinished = store.objects().join("0.new");
    fs::write(&unfinished, "half").expect("write");
    assert_eq!(store.numbers(), [1]);
    folder.keep(&["a"]).expect("kept");
    assert!(!unfinished.exists());
    let current = store.current().expect("a configuration");
    assert_eq!(folder.text(&current, "a").as_deref(), Some("333"));
}

#[test]
fn each_rollback_goes_one_further_back() {
    let mut folder = Folder::new();
    for text in ["1", "2", "3"] {
        folder.accept("a", text);
    }
    let store = folder.store();
    let current = |folder: &Folder| {
        let current = folder.store().current().expect("a configuration");
        folder.text(&current, "a").expect("a file")
    };
    for expected in ["2", "1"] {
        folder.roll_back(&["a"]).expect("one before");
        assert_eq!(current(&folder), expected);
    }
    assert!(folder.roll_back(&["a"]).is_none(), "there is none before");

    // What is accepted next follows what was served, not what is newest.
    folder.accept("a", "4");
    assert!(store.rolled_back().is_none());
    assert_eq!(current(&folder), "4");
    folder.roll_back(&["a"]).expect("one before");
    assert_eq!(current(&folder), "1");

    // Files on disk that hold what was gone back to are served as such.
    folder.accept("a", "1");
    assert!(store.rolled_back().is_none());
    let current = store.current().expect("a configuration");
    assert_eq!((current.number, current.before), (5, None));
}

#[test]
fn a_restart_goes_on_with_a_rollback_while_the_files_are_the_same() {
    let mut folder = Folder::new();
    folder.accept("a", "1");
    folder.accept("a", "2");
    folder.roll_back(&["a", "gone"]).expect("one before");
    let store = folder.store();
    let served = |folder: &Folder| {
        let (copy, rolled_back) = store.served_instead(&folder.seen(&["a", "gone"]))?;
        assert_eq!((copy.accepted, rolled_back.since), (7, 9));
        folder.text(&copy, "a")
    };
    assert_eq!(served(&folder).as_deref(), Some("1"));
    folder.write("a", "2");
    assert_eq!(served(&folder).as_deref(), Some("1"), "the same content");
    folder.write("a", "3");
    assert_eq!(served(&folder), None);
    folder.write("a", "2");
    folder.write("gone", "");
    assert_eq!(served(&folder), None);
}

#[test]
fn the_last_twenty_are_kept_and_databases_of_two() {
    let mut folder = Folder::new();
    let names = ["a", "geo.mmdb"];
    for n in 0..MAX_KEPT + 3 {
        folder.write("a", &n.to_string());
        folder.write("geo.mmdb", &format!("database {n}"));
        folder.keep(&names).expect("kept");
    }
    let store = folder.store();
    let numbers = store.numbers();
    assert_eq!((numbers.len(), numbers[0]), (MAX_KEPT, 4));
    let current = store.current().expect("a configuration");
    let before = store.before(&current).expect("one before");
    let older = store.before(&before).expect("one before that");
    let database = |copy: &Copy| folder.text(copy, "geo.mmdb");
    assert_eq!(database(&before).as_deref(), Some("database 21"));
    assert_eq!(before.other_databases().count(), 0);
    assert_eq!(database(&older).as_deref(), Some("database 22"), "on disk");
    let others: Vec<_> = older.other_databases().collect();
    assert_eq!(others, [folder.dir.path().join("geo.mmdb")]);
    assert_eq!(folder.text(&older, "a").as_deref(), Some("20"));
    let n_objects = fs::read_dir(store.objects()).expect("a folder").count();
    assert_eq!(n_objects, MAX_KEPT + 2);
}

#[test]
fn the_copy_of_the_old_layout_is_read_until_there_is_another() {
    let mut folder = Folder::new();
    let path = folder.write("a", "now");
    let store = folder.store();
    let mirrored = |number: &str, path: &Path| {
        let root = store.state_dir.join(OLD_LAYOUT).join(number);
        root.join(path.strip_prefix("/").expect("an absolute path"))
    };
    for (number, text) in [("6", "old"), ("7", "last"), ("8.new", "half")] {
        let at = mirrored(number, &path);
        fs::create_dir_all(at.parent().expect("a folder")).expect("folders");
        fs::write(at, text).expect("write");
    }
    let up = mirrored("7", Path::new("/etc/%2E%2E/b"));
    fs::create_dir_all(up.parent().expect("a folder")).expect("folders");
    fs::write(&up, "up").expect("write");
    let copy = store.current().expect("a configuration");
    assert_eq!(folder.text(&copy, "a").as_deref(), Some("last"));
    assert_eq!(copy.locate(Path::new("/etc/../b")), up);
    folder.keep(&["a"]).expect("kept");
    let current = store.current().expect("a configuration");
    assert_eq!(folder.text(&current, "a").as_deref(), Some("now"));
    assert_eq!(current.before, None);
    assert!(!store.state_dir.join(OLD_LAYOUT).exists());
}

#[test]
fn a_damaged_manifest_is_passed_over() {
    let mut folder = Folder::new();
    folder.accept("a", "1");
    folder.accept("a", "2");
    let store = folder.store();
    fs::write(store.manifest_path(2), "{").expect("write");
    let current = store.current().expect("the one before");
    assert_eq!(folder.text(&current, "a").as_deref(), Some("1"));
}
