//! Floor 2: other systems' configuration, made into `pools.toml` and zones.
//!
//! Text in, text out: importers read their system's files into a `Draft`, which writes itself. What they do not
//! know is never left out silently. It becomes a comment beside what it belonged to, with the reason, and is
//! counted. `docs/import.md` says what becomes of what.
//!
//! On the way, `yaml` and `vscf` read files into a `tree`, whose `Fields` keep account of what was taken;
//! `merge` joins A and AAAA where the other system keeps them apart.

use std::sync::Arc;

mod addresses;
pub mod draft;
pub mod gdnsd;
mod merge;
pub mod octodns;
pub mod route53;
mod tree;
mod vscf;
pub mod write;
mod yaml;
pub mod zone;

/// A file as it was read.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name as the operator would write it.
    pub file: Arc<str>,
    /// Its content.
    pub text: String,
}

/// Reads what a file names: the path as written and the file that names it, to the files that are there, or to
/// the reason why not.
pub type Include<'a> = dyn FnMut(&str, &Arc<str>) -> Result<Vec<Input>, String> + 'a;
