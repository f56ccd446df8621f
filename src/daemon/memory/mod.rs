//! Memory that was replaced is freed away from the threads that answer, given back to the system, and
//! what took its place is moved to huge pages.

pub mod memory_sys;
pub mod pages;
pub mod retire;
