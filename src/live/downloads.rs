//! What is known of the databases that are fetched.

/// A database that is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Download {
    /// `location` or `asn`.
    pub database: &'static str,
    /// Where it is, without what may be secret.
    pub url: Box<str>,
    /// When the server was asked last, in Unix seconds, as all times here.
    pub checked: Option<u64>,
    /// When it last said that there is nothing newer, or a newer one came into force.
    pub succeeded: Option<u64>,
    /// When it will be asked next.
    pub next: u64,
    /// How often in a row it was asked in vain.
    pub failures: u32,
    /// Why, the last time.
    pub fault: Option<Box<str>>,
    /// Why the latest database is not in force, until there is a newer one.
    pub refused: Option<Box<str>>,
}
