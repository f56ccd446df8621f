//! The configurations that were accepted, which `serve` starts from when a file is at fault and which an
//! operator can go back to.
//!
//! ```text
//! state_dir/kept/N.json             one configuration: its files, the SHA-256 of each, and which one was before
//! state_dir/kept/objects/SHA256     a file's content, once for all configurations that have it
//! state_dir/kept/rolled_back.json   which configuration is served instead of the newest
//! ```
//!
//! A manifest is written when all contents are on disk, so that a crash leaves a whole configuration at any
//! time. Nobody but the owner may read them, as there are secrets in them. Databases are large: the contents
//! of the served configuration's and of those of the one before are kept; of older ones only path and hash.

mod copier;
mod store;

pub use self::copier::Copier;
pub use self::copier::CopyError;
pub use self::store::Copy;
pub use self::store::RolledBack;
pub use self::store::Store;
pub use self::store::TakenFile;
pub use self::store::TakenFiles;

#[cfg(test)]
mod tests;
