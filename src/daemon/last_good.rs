//! The last good copy of the operator's files, which `serve` starts from when one of them is at fault.
//!
//! `last_good/N` in `state_dir` mirrors the file system: the copy of `/etc/meridian/pools.toml` is
//! `last_good/N/etc/meridian/pools.toml`. Each copy is written under another name, flushed and then
//! renamed, and only then is the one before it removed, so that a crash leaves a whole one at any time.
//! What has not changed since the copy before is a hard link to it. Nobody but the owner may read the
//! copy, as there are secrets in it.

use std::collections::BTreeMap;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::daemon::files;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::files::Stamp;

/// Which content of a file a load took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// What a load before took.
    Before,
    /// What it held when it had this stamp.
    Read(Stamp),
}

/// The files that a plan was made from.
pub type TakenFiles = BTreeMap<PathBuf, Taken>;

/// A whole copy.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its folder.
    pub path: PathBuf,
    /// When it was made.
    pub made: SystemTime,
    number: u64,
}

/// The latest copy in a state folder, if there is one.
pub fn latest(state_dir: &Path) -> Option<Copy> {
    let entries = fs::read_dir(root(state_dir)).ok()?;
    let copies = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        Some(Copy {
            number: entry.file_name().to_str()?.parse().ok()?,
            made: entry.metadata().ok()?.modified().ok()?,
            path: entry.path(),
        })
    });
    copies.max_by_key(|copy| copy.number)
}

fn root(state_dir: &Path) -> PathBuf {
    state_dir.join("last_good")
}

/// Where a copy has a file.
pub fn mirrored(copy: &Path, path: &Path) -> PathBuf {
    let mut mirrored = copy.to_owned();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for component in path.components() {
        match component {
            Component::Normal(name) => mirrored.push(name),
            // Not taken back: behind a symbolic link, it leads elsewhere.
            Component::ParentDir => mirrored.push("%2E%2E"),
            Component::CurDir | Component::Prefix(_) | Component::RootDir => {}
        }
    }
    mirrored
}

/// Why there is no new copy; the one before is still there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file is another one already: the load that takes it is under way.
    #[error("`{}` has changed meanwhile", .0.display())]
    Changed(PathBuf),
    /// The disk does not take it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes copies.
#[derive(Debug, Default)]
pub struct Copier {
    /// What the latest copy holds, if this process made it.
    copied: BTreeMap<PathBuf, Stamp>,
}

impl Copier {
    /// Copies the files of a plan, unless the latest copy holds them.
    ///
    /// # Errors
    /// Why not; the copy before is still there.
    pub fn copy(&mut self, state_dir: &Path, files: &TakenFiles) -> Result<(), CopyError> {
        let is_copied = |(path, taken): (&PathBuf, &Taken)| match taken {
            Taken::Before => self.copied.contains_key(path),
            Taken::Read(stamp) => self.copied.get(path) == Some(stamp),
        };
        if files.len() == self.copied.len() && files.iter().all(is_copied) {
            return Ok(());
        }
        let root = root(state_dir);
        make_folder(&root)?;
        let before = latest(state_dir);
        remove_all_but(&root, before.as_ref())?;
        let number = before.as_ref().map_or(1, |copy| copy.number + 1);
        let unfinished = root.join(format!("{number}.new"));
        let copied = self.fill(&unfinished, before.as_ref(), files);
        let copied = copied.inspect_err(|_| {
            // What is left of it is removed before the next copy at the latest.
            let _ = fs::remove_dir_all(&unfinished);
        })?;
        let folder = File::open(&root)?;
        rustix::fs::syncfs(&folder).map_err(io::Error::from)?;
        fs::rename(&unfinished, root.join(number.to_string()))?;
        folder.sync_all()?;
        self.copied = copied;
        remove_all_but(&root, latest(state_dir).as_ref())?;
        Ok(())
    }

    fn fill(
        &self,
        unfinished: &Path,
        before: Option<&Copy>,
        files: &TakenFiles,
    ) -> Result<BTreeMap<PathBuf, Stamp>, CopyError> {
        make_folder(unfinished)?;
        let mut copied = BTreeMap::new();
        for (path, taken) in files {
            let target = mirrored(unfinished, path);
            make_folder(target.parent().unwrap_or(unfinished))?;
            let known = self.copied.get(path).copied();
            let is_in_before = match taken {
                Taken::Before => true,
                Taken::Read(stamp) => known == Some(*stamp),
            };
            match (before, taken) {
                (Some(before), _) if is_in_before => {
                    let source = mirrored(&before.path, path);
                    fs::hard_link(source, &target).map_err(|error| match error.kind() {
                        io::ErrorKind::NotFound => CopyError::Changed(path.clone()),
                        _ => error.into(),
                    })?;
                    copied.extend(known.map(|stamp| (path.clone(), stamp)));
                }
                (_, Taken::Read(stamp)) => {
                    copy_file(path, *stamp, &target)?;
                    copied.insert(path.clone(), *stamp);
                }
                (_, Taken::Before) => return Err(CopyError::Changed(path.clone())),
            }
        }
        Ok(copied)
    }
}

/// Copies a file if it is what it was when it was loaded.
fn copy_file(path: &Path, stamp: Stamp, target: &Path) -> Result<(), CopyError> {
    let changed = || CopyError::Changed(path.to_owned());
    let (mut source, _) = files::open(path, MAX_DATA_LEN).map_err(|_| changed())?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)?;
    let len = io::copy(&mut source, &mut file)?;
    if len != stamp.len || Stamp::of(path) != Some(stamp) {
        return Err(changed());
    }
    Ok(())
}

/// Makes a folder that only its owner may enter, and those that it lies in.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove_all_but(root: &Path, copy: Option<&Copy>) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if copy.is_none_or(|copy| copy.path != path) {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn taken(path: &Path) -> (PathBuf, Taken) {
        let stamp = Stamp::of(path).expect("a stamp");
        (path.to_owned(), Taken::Read(stamp))
    }

    #[test]
    fn a_copy_holds_all_files_and_what_has_not_changed_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        let state_dir = dir.path().join("state");
        let [a, b] = ["a.zone", "b.zone"].map(|name| dir.path().join(name));
        for path in [&a, &b] {
            fs::write(path, "1").expect("write");
        }
        let mut copier = Copier::default();
        assert!(latest(&state_dir).is_none());
        let copy = |copier: &mut Copier, files: &TakenFiles| {
            copier.copy(&state_dir, files).expect("copied");
            latest(&state_dir).expect("a copy")
        };
        let first = copy(&mut copier, &TakenFiles::from([taken(&a), taken(&b)]));
        let text = |copy: &Copy, path: &Path| fs::read_to_string(mirrored(&copy.path, path));
        assert_eq!(text(&first, &a).expect("a file"), "1");
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(
            (mode(&first.path), mode(&mirrored(&first.path, &a))),
            (0o700, 0o600)
        );
        let inode =
            |copy: &Copy, path: &Path| mirrored(&copy.path, path).metadata().expect("there").ino();
        let inode_of_b = inode(&first, &b);

        let again = copy(&mut copier, &TakenFiles::from([taken(&a), taken(&b)]));
        assert_eq!(again.path, first.path, "nothing has changed");
        files::replace(&a, b"22").expect("replace");
        let second = copy(&mut copier, &TakenFiles::from([taken(&a), taken(&b)]));
        assert!(!first.path.exists(), "one copy is enough");
        assert_eq!(text(&second, &a).expect("a file"), "22");
        assert_eq!(inode(&second, &b), inode_of_b);

        // `b` is being written, and `a` has gone.
        fs::write(&b, "half").expect("write");
        let third = copy(&mut copier, &TakenFiles::from([(b.clone(), Taken::Before)]));
        assert_eq!(text(&third, &b).expect("a file"), "1");
        assert!(text(&third, &a).is_err());
    }

    #[test]
    fn a_copy_that_is_not_finished_is_none() {
        let dir = tempfile::tempdir().expect("temp dir");
        let state_dir = dir.path().join("state");
        let a = dir.path().join("a.zone");
        fs::write(&a, "1").expect("write");
        let files = TakenFiles::from([taken(&a)]);
        Copier::default().copy(&state_dir, &files).expect("copied");
        let first = latest(&state_dir).expect("a copy");

        // As a crash leaves it.
        let unfinished = root(&state_dir).join("2.new");
        fs::create_dir(&unfinished).expect("a folder");
        assert_eq!(latest(&state_dir).expect("a copy").path, first.path);

        fs::write(&a, "22").expect("write");
        let error = Copier::default().copy(&state_dir, &files);
        assert!(matches!(error, Err(CopyError::Changed(_))), "{error:?}");
        let unread = TakenFiles::from([(dir.path().join("b.zone"), Taken::Before)]);
        let error = Copier::default().copy(&state_dir, &unread);
        assert!(matches!(error, Err(CopyError::Changed(_))), "{error:?}");
        assert_eq!(latest(&state_dir).expect("a copy").path, first.path);
        assert!(!unfinished.exists());

        // Another process goes on with the numbers.
        let files = TakenFiles::from([taken(&a)]);
        Copier::default().copy(&state_dir, &files).expect("copied");
        let second = latest(&state_dir).expect("a copy");
        assert_eq!(second.path, root(&state_dir).join("2"));
    }

    #[test]
    fn a_mirror_has_a_place_for_every_path() {
        let copy = Path::new("/state/last_good/7");
        for (path, mirrored_at) in [
            (
                "/etc/meridian/a.zone",
                "/state/last_good/7/etc/meridian/a.zone",
            ),
            ("/etc/./x/../a", "/state/last_good/7/etc/x/%2E%2E/a"),
        ] {
            assert_eq!(mirrored(copy, Path::new(path)), Path::new(mirrored_at));
        }
        let cwd = std::env::current_dir().expect("a folder");
        assert_eq!(
            mirrored(copy, Path::new("a")),
            mirrored(copy, &cwd.join("a"))
        );
    }
}
