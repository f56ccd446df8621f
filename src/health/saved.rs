//! What is written to disk so that verdicts survive a restart: plain data, keyed by names.

use std::net::IpAddr;

use crate::base::health::Health;
use crate::health::streak::Note;

/// Every endpoint of a health table, in the health table's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// No pair of pool and address occurs twice.
    pub endpoints: Vec<SavedEndpoint>,
}

/// An endpoint's health and what its vantages said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedEndpoint {
    /// The pool's name.
    pub pool: Box<str>,
    /// The endpoint's address.
    pub address: IpAddr,
    /// The verdict.
    pub health: Health,
    /// When it was reached, in Unix seconds.
    pub since: Option<u64>,
    /// The vantages that probed it.
    pub vantages: Vec<SavedVantage>,
}

/// One vantage's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedVantage {
    /// The vantage's name.
    pub name: Box<str>,
    /// Its verdict.
    pub verdict: Health,
    /// When it was reached, in Unix seconds.
    pub since: Option<u64>,
    /// Whether it took part in the vote; a verdict that was frozen by silence stays out of it.
    pub is_fresh: bool,
    /// Its latest failure.
    pub last_failure: Option<Note>,
}
