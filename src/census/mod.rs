//! Floor 5: which share of the world each pool serves.
//!
//! A [`Census`] counts the clients of one steered name in one family: IPv4 clients, who ask for A, by address, and
//! IPv6 clients, who ask for AAAA, by /48. It walks the tables that answers are looked up in, together with the database's
//! places, so who serves a client is decided by the code that answers: mixed client subnets go by their
//! majority, and a choice that clients share counts by its shares. [`Moves`] compares two snapshots in the same
//! walk, and [`Difference`] is all that another plan would change.
//!
//! Only located clients count for shares; the others are kept apart. Distances are exact: every pair of place and
//! pool is weighed by its clients, and none is rounded. A walk takes some tens of nanoseconds per range of the
//! database.

mod clients;
mod count;
pub mod databases;
mod difference;
mod distance;
mod moves;
mod records;
pub mod weights;

pub use self::clients::Clients;
pub use self::count::Census;
pub use self::count::Group;
pub use self::count::Share;
pub use self::difference::Change;
pub use self::difference::ChangeKind;
pub use self::difference::Difference;
pub use self::difference::NameMoves;
pub use self::difference::moves;
pub use self::distance::Distances;
pub use self::moves::Compared;
pub use self::moves::Move;
pub use self::moves::Moves;
pub use self::records::ZoneChange;
pub use self::records::ZoneRecord;
pub use self::records::ZoneRecords;
pub use crate::state::served::Served;

#[cfg(test)]
mod tests;
