//! Floor 2: zones as data. Master files in, nodes that answer "what is at this name" out.
//!
//! `master` reads text to records, `check` judges them, `compile` makes a [`Zone`] of them, `find` is
//! the search of RFC 1034 s4.3.2, and `set` finds the zone for a name. Nothing here opens a file, and
//! a zone never changes once it is compiled.

mod arena;
mod check;
mod compile;
mod find;
mod hash;
mod lex;
pub mod master;
mod rdata;
pub mod set;
#[expect(clippy::module_inception, reason = "named after its one type")]
mod zone;

#[cfg(test)]
mod tests;

pub use arena::Node;
pub use arena::Nodes;
pub use arena::RrSets;
pub use find::Lookup;
pub use zone::SteeredOwner;
pub use zone::Zone;
