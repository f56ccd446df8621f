//! Floor 7: examining a zone from outside, as resolvers see it.
//!
//! The delegation is asked of the parent's servers ([`delegation`]), every question of every server ([`server`]), and all
//! that was answered is then judged at once by [`judge`], which asks nothing and reads no clock. What can be found, what
//! each of it means and what to do about it is in [`finding`].

pub mod ask;
pub mod delegation;
pub mod examine;
pub mod finding;
pub mod judge;
pub mod message;
pub mod resolvers;
pub mod server;
