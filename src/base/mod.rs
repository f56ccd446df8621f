//! Floor 0: the words every other floor speaks.
//!
//! Plain values with their text and wire forms. Nothing here knows a socket, a clock or a file.

pub mod date;
pub mod diag;
pub mod digits;
pub mod event_kind;
pub mod fnv;
pub mod health;
pub mod ix;
pub mod location;
pub mod lock;
pub mod name;
pub mod per_family;
pub mod prefetch_sys;
pub mod prefix;
pub mod qname;
pub mod rank;
pub mod rr;
pub mod serial;
pub mod special_purpose;
pub mod transport;
pub mod word;
