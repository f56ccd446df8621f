//! `Store`: what is kept, and which of it is served.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::io::Read;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use ring::digest;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::daemon::files;
use crate::daemon::files::FileSet;
use crate::daemon::files::Listing;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::files::MAX_SETTINGS_LEN;
use crate::daemon::files::Stamp;

/// How many configurations are kept.
pub(super) const MAX_KEPT: usize = 20;

/// The layout of manifests and of `rolled_back.json`.
pub(super) const VERSION: u32 = 1;

/// A SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub(super) Box<str>);

impl Digest {
    /// The digest that is made of everything that `context` has seen.
    pub(super) fn of(context: digest::Context) -> Self {
        let mut text = String::with_capacity(64);
        for octet in context.finish().as_ref() {
            let _ = write!(text, "{octet:02x}");
        }
        Self(text.into())
    }

    /// The digest of a text.
    pub(super) fn of_text(text: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(text.as_bytes());
        Self::of(context)
    }

    /// The digest of what a reader has left, whose content also goes to `copy`.
    pub(super) fn of_reader(mut reader: impl Read, copy: &mut impl io::Write) -> io::Result<Self> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(Self::of(context)),
                n => {
                    context.update(&buffer[..n]);
                    copy.write_all(&buffer[..n])?;
                }
            }
        }
    }

    /// The digest of a file's content.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let (file, _) = files::open(path, MAX_DATA_LEN)?;
        Self::of_reader(file, &mut io::sink())
    }
}

impl fmt::Display for Digest {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The digest of what is on disk now of the files that were looked at; what cannot be read counts as missing.
fn digest_on_disk(files: &FileSet) -> Digest {
    let now = files.now();
    let lines = now.paths().map(|path| match Digest::of_file(path) {
        Ok(digest) => format!("{digest}  {}\n", absolute(path).display()),
        Err(_) => format!("-  {}\n", absolute(path).display()),
    });
    Digest::of_text(&lines.collect::<String>())
}

/// A file that a plan was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenFile {
    /// What it was when it was read.
    pub stamp: Stamp,
    /// Where it was read: at its path, or among the kept contents.
    pub at: PathBuf,
}

/// The files that a plan was made from, by path.
pub type TakenFiles = BTreeMap<PathBuf, TakenFile>;

/// What a manifest says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u32,
    /// When the configuration was accepted, in Unix seconds.
    pub(super) accepted: u64,
    /// Of all its files, by path and content.
    pub(super) digest: Digest,
    /// The number of the configuration that was served before.
    pub(super) before: Option<u64>,
    pub(super) files: Vec<ManifestFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    /// Absolute.
    pub(super) path: PathBuf,
    pub(super) sha256: Digest,
    /// Whether its content is kept for the latest configurations only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_database: bool,
}

/// A configuration that is served instead of the files on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RolledBack {
    version: u32,
    /// The number of the served configuration.
    number: u64,
    /// The newest number when it was gone back to: with a newer one, the files on disk were accepted since.
    newest: u64,
    /// What the files on disk held then.
    on_disk: Digest,
    /// When it was gone back to, in Unix seconds.
    pub since: u64,
    /// The token of who asked for it.
    pub by: Box<str>,
}

/// A kept configuration, and where the content of each file is.
#[derive(Clone, Debug)]
pub struct Copy {
    pub(super) number: u64,
    pub(super) before: Option<u64>,
    /// When it was accepted, in Unix seconds.
    pub accepted: u64,
    /// Of all its files; `None` for the layout of before manifests.
    pub digest: Option<Digest>,
    /// The manifest, or the folder of the old layout.
    pub path: PathBuf,
    /// By absolute path.
    contents: BTreeMap<PathBuf, Content>,
}

/// Where the content of a kept file is.
#[derive(Clone, Debug)]
struct Content {
    at: PathBuf,
    /// Of a database whose content is no longer kept: what the file at its path should have.
    expected: Option<Digest>,
}

impl Copy {
    /// Where the content of a file is.
    pub fn locate(&self, path: &Path) -> PathBuf {
        let content = self.contents.get(&absolute(path));
        // What it does not have is nowhere.
        content.map_or_else(|| self.path.join("none"), |content| content.at.clone())
    }

    /// The zone files that were in a folder.
    pub fn list(&self, folder: &Path) -> Listing {
        let folder = absolute(folder);
        let paths = self.contents.keys();
        let zones = paths.filter(|path| path.parent() == Some(&folder) && files::is_zone(path));
        Listing {
            zones: zones.cloned().collect(),
            others: Vec::new(),
        }
    }

    /// The databases that are others on disk than this configuration was made from, and whose content is not
    /// kept.
    pub fn other_databases(&self) -> impl Iterator<Item = &Path> {
        let differs = |(_, content): &(&PathBuf, &Content)| match &content.expected {
            Some(expected) => Digest::of_file(&content.at).is_ok_and(|found| found != *expected),
            None => false,
        };
        let others = self.contents.iter().filter(differs);
        others.map(|(path, _)| path.as_path())
    }
}

/// The kept configurations of a state folder.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) state_dir: PathBuf,
}

impl Store {
    /// The store of a state folder.
    pub fn of(state_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
        }
    }

    /// The configuration that is served, or was last.
    pub fn current(&self) -> Option<Copy> {
        if let Some(rolled_back) = self.rolled_back() {
            return self.copy(rolled_back.number);
        }
        let numbers = self.numbers();
        let newest = numbers
            .into_iter()
            .rev()
            .find_map(|number| self.copy(number));
        newest.or_else(|| self.of_old_layout())
    }

    /// What is served instead of the newest configuration.
    pub fn rolled_back(&self) -> Option<RolledBack> {
        let rolled_back: RolledBack = read_json(&self.marker())?;
        let is_valid = self.numbers().last() == Some(&rolled_back.newest)
            && self.manifest(rolled_back.number).is_some();
        is_valid.then_some(rolled_back)
    }

    /// The configuration that is served instead of these files, if they are still those that were on disk when
    /// it was gone back to.
    pub fn served_instead(&self, files: &FileSet) -> Option<(Copy, RolledBack)> {
        let rolled_back = self.rolled_back()?;
        let is_same = rolled_back.on_disk == digest_on_disk(files);
        let copy = is_same.then(|| self.copy(rolled_back.number))??;
        Some((copy, rolled_back))
    }

    /// The configuration that was served before another.
    pub fn before(&self, copy: &Copy) -> Option<Copy> {
        self.copy(copy.before?)
    }

    /// Notes that a configuration is served instead of the files on disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn roll_back(
        &self,
        to: &Copy,
        files: &FileSet,
        since: u64,
        by: &str,
    ) -> io::Result<RolledBack> {
        let rolled_back = RolledBack {
            version: VERSION,
            number: to.number,
            newest: self.numbers().last().copied().unwrap_or_default(),
            on_disk: digest_on_disk(files),
            since,
            by: by.into(),
        };
        files::replace(&self.marker(), &serde_json::to_vec(&rolled_back)?)?;
        Ok(rolled_back)
    }

    fn root(&self) -> PathBuf {
        self.state_dir.join("kept")
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.root().join("objects")
    }

    pub(super) fn object(&self, digest: &Digest) -> PathBuf {
        self.objects().join(&*digest.0)
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.root().join("rolled_back.json")
    }

    pub(super) fn manifest_path(&self, number: u64) -> PathBuf {
        self.root().join(format!("{number}.json"))
    }

    /// The numbers of all manifests, in their order.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.root()).into_iter().flatten();
        let number = |entry: io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_suffix(".json")?.parse().ok()
        };
        let mut numbers: Vec<u64> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    pub(super) fn manifest(&self, number: u64) -> Option<Manifest> {
        let manifest: Manifest = read_json(&self.manifest_path(number))?;
        (manifest.version == VERSION).then_some(manifest)
    }

    fn copy(&self, number: u64) -> Option<Copy> {
        let manifest = self.manifest(number)?;
        let content = |file: ManifestFile| {
            let at = self.object(&file.sha256);
            let content = match at.exists() || !file.is_database {
                true => Content { at, expected: None },
                false => Content {
                    at: file.path.clone(),
                    expected: Some(file.sha256),
                },
            };
            (file.path, content)
        };
        Some(Copy {
            number,
            before: manifest.before,
            accepted: manifest.accepted,
            digest: Some(manifest.digest),
            path: self.manifest_path(number),
            contents: manifest.files.into_iter().map(content).collect(),
        })
    }

    /// The one copy of the layout before: a folder `last_good/N` that mirrors the file system.
    fn of_old_layout(&self) -> Option<Copy> {
        let entries = fs::read_dir(self.state_dir.join(OLD_LAYOUT)).ok()?;
        let folders = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let number: u64 = entry.file_name().to_str()?.parse().ok()?;
            Some((number, entry.path(), Stamp::of(&entry.path())?.modified()?))
        });
        let (_, path, accepted) = folders.max_by_key(|(number, ..)| *number)?;
        let mut contents = BTreeMap::new();
        let mut folders = vec![path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).ok()? {
                let at = entry.ok()?.path();
                if at.is_dir() {
                    folders.push(at);
                    continue;
                }
                let mirrored = at.strip_prefix(&path).ok()?.components();
                let original = mirrored.map(|component| match component {
                    Component::Normal(name) if name == "%2E%2E" => Component::ParentDir,
                    other => other,
                });
                let original = Path::new("/").join(original.collect::<PathBuf>());
                contents.insert(original, Content { at, expected: None });
            }
        }
        Some(Copy {
            number: 0,
            before: None,
            accepted,
            digest: None,
            path,
            contents,
        })
    }
}

/// The folder of the layout before, in `state_dir`.
pub(super) const OLD_LAYOUT: &str = "last_good";

/// A path as manifests have it. `..` stays: behind a symbolic link, it leads elsewhere.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = files::read(path, MAX_SETTINGS_LEN).ok()?;
    serde_json::from_slice(&bytes).ok()
}
