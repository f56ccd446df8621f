//! `Copier`: keeps the configurations that are accepted.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::daemon::files;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::files::Stamp;
use crate::daemon::kept::store::Copy;
use crate::daemon::kept::store::Digest;
use crate::daemon::kept::store::MAX_KEPT;
use crate::daemon::kept::store::Manifest;
use crate::daemon::kept::store::ManifestFile;
use crate::daemon::kept::store::OLD_LAYOUT;
use crate::daemon::kept::store::Store;
use crate::daemon::kept::store::TakenFile;
use crate::daemon::kept::store::TakenFiles;
use crate::daemon::kept::store::VERSION;
use crate::daemon::kept::store::absolute;

/// What the names of unfinished contents end in.
const UNFINISHED: &str = ".new";

/// Why a configuration is not kept; those before still are.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file is another one already: the load that takes it is under way.
    #[error("`{}` has changed meanwhile", .0.display())]
    Changed(PathBuf),
    /// The disk does not take it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Keeps configurations in a store.
#[derive(Debug, Default)]
pub struct Copier {
    /// The digests of files that need not be read again: those of the latest configuration.
    known: HashMap<Stamp, Digest>,
}

impl Copier {
    /// Keeps the files of a plan that was accepted at that time, in Unix seconds, unless they are what the latest
    /// kept configuration holds.
    ///
    /// # Errors
    /// Why not.
    pub fn keep(
        &mut self,
        store: &Store,
        files: &TakenFiles,
        databases: &BTreeSet<PathBuf>,
        accepted: u64,
    ) -> Result<(), CopyError> {
        make_folder(&store.objects())?;
        let known = std::mem::take(&mut self.known);
        let mut unfinished = BTreeMap::new();
        let mut kept = Vec::with_capacity(files.len());
        for (path, file) in files {
            let digest = match known.get(&file.stamp) {
                Some(digest) if store.object(digest).exists() => digest.clone(),
                _ => copy(store, path, file, &mut unfinished)?,
            };
            self.known.insert(file.stamp, digest.clone());
            kept.push(ManifestFile {
                path: absolute(path),
                sha256: digest,
                is_database: databases.contains(path),
            });
        }
        let lines = kept.iter().map(|ManifestFile { path, sha256, .. }| {
            // As `sha256sum` prints it.
            format!("{sha256}  {}\n", path.display())
        });
        let digest = Digest::of_text(&lines.collect::<String>());
        let current = store.current();
        let is_current = |copy: &&Copy| copy.digest.as_ref() == Some(&digest);
        let same = current.as_ref().filter(is_current);
        if same.is_some() && store.rolled_back().is_none() {
            return Ok(());
        }
        if !unfinished.is_empty() {
            let folder = File::open(store.objects())?;
            rustix::fs::syncfs(&folder).map_err(io::Error::from)?;
            for (digest, path) in unfinished {
                fs::rename(path, store.object(&digest))?;
            }
            folder.sync_all()?;
        }
        let manifest = Manifest {
            version: VERSION,
            accepted,
            digest,
            // Files on disk that hold what was gone back to follow what that followed.
            before: match same {
                Some(same) => same.before,
                None => current.map(|copy| copy.number).filter(|number| *number > 0),
            },
            files: kept,
        };
        let number = store.numbers().last().map_or(1, |newest| newest + 1);
        let bytes = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
        files::replace(&store.manifest_path(number), &bytes)?;
        clean(store, &manifest)?;
        Ok(())
    }
}

/// Copies a file, if it is what it was when it was loaded and its content is not there yet, under another name;
/// returns the digest of its content.
fn copy(
    store: &Store,
    path: &Path,
    file: &TakenFile,
    unfinished: &mut BTreeMap<Digest, PathBuf>,
) -> Result<Digest, CopyError> {
    let changed = || CopyError::Changed(path.to_owned());
    let is_same = || Stamp::of(&file.at) == Some(file.stamp);
    if !is_same() {
        return Err(changed());
    }
    let digest = Digest::of_file(&file.at).map_err(|_| changed())?;
    if !store.object(&digest).exists() && !unfinished.contains_key(&digest) {
        let target = store.objects().join(format!("{digest}{UNFINISHED}"));
        let _ = fs::remove_file(&target);
        let mut copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&target)?;
        let (source, _) = files::open(&file.at, MAX_DATA_LEN).map_err(|_| changed())?;
        if Digest::of_reader(source, &mut copy)? != digest {
            return Err(changed());
        }
        unfinished.insert(digest.clone(), target);
    }
    match is_same() {
        true => Ok(digest),
        false => Err(changed()),
    }
}

/// Removes what is kept no longer: all but the newest configurations and the one before this, which is the
/// newest; and all contents that none of them has.
fn clean(store: &Store, newest: &Manifest) -> io::Result<()> {
    match fs::remove_file(store.marker()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut numbers = store.numbers();
    let first = numbers.len().saturating_sub(MAX_KEPT);
    for number in numbers.drain(..first) {
        if newest.before != Some(number) {
            fs::remove_file(store.manifest_path(number))?;
        }
    }
    let mut used: BTreeSet<Digest> = BTreeSet::new();
    let latest = numbers.last().copied();
    for number in numbers.into_iter().chain(newest.before) {
        let Some(manifest) = store.manifest(number) else {
            continue;
        };
        let has_databases = Some(number) == latest || Some(number) == newest.before;
        let files = manifest.files.into_iter();
        let used_files = files.filter(|file| has_databases || !file.is_database);
        used.extend(used_files.map(|file| file.sha256));
    }
    for entry in fs::read_dir(store.objects())? {
        let entry = entry?;
        let name = entry.file_name();
        let is_used = name
            .to_str()
            .is_some_and(|name| used.contains(&Digest(name.into())));
        if !is_used {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_dir_all(store.state_dir.join(OLD_LAYOUT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder that only its owner may enter, and those that it lies in.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
