//! Floor 2: zones as data. Master files in, nodes that answer "what is at this name" out.
//!
//! `master` reads text to records, `check` judges them, `compile` makes a [`Zone`] of them, `find` is
//! the search of RFC 1034 s4.3.2, and `set` finds the zone for a name. `editor` carries out what an
//! `update` asks for: the outcome is the `difference` from which the next zone is compiled, and which `journal` keeps. Nothing
//! here opens a file, and a zone never changes once it is compiled.

mod arena;
mod check;
mod compile;
mod computed;
pub mod difference;
pub mod editor;
mod find;
mod hash;
pub mod journal;
mod lex;
pub mod master;
mod rdata;
pub mod set;
pub mod update;
#[expect(clippy::module_inception, reason = "named after its one type")]
mod zone;

#[cfg(test)]
mod tests;

pub use arena::Node;
pub use arena::Nodes;
pub use arena::RrSets;
pub use computed::Computed;
pub use computed::ComputedOwner;
pub use computed::SteeredTypes;
pub use find::Lookup;
pub use zone::Zone;
