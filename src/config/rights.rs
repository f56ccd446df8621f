//! What a token of the admin API permits: `can` of `[[admin.token]]`.

use std::fmt;

/// One thing that a token permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// Everything.
    All,
    /// Overrides of all pools.
    Drain,
    /// Overrides and endpoints of this pool.
    Pool(Box<str>),
    /// Nothing but reading, which needs no token.
    Read,
    /// Reloads.
    Reload,
}

/// A call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets the endpoints of a pool.
    Endpoints(&'a str),
    /// Sets or clears a pool's override.
    Override(&'a str),
    /// Reads the files again.
    Reload,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Drain => f.write_str("drain"),
            Self::Pool(pool) => write!(f, "pool:{pool}"),
            Self::Read => f.write_str("read"),
            Self::Reload => f.write_str("reload"),
        }
    }
}

impl Change<'_> {
    /// The rights of which any one permits it.
    pub fn rights(self) -> Vec<Right> {
        match self {
            Self::Endpoints(pool) => vec![Right::Pool(pool.into()), Right::All],
            Self::Override(pool) => vec![Right::Drain, Right::Pool(pool.into()), Right::All],
            Self::Reload => vec![Right::Reload, Right::All],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_permit_the_changes_they_name() {
        let changes = [
            Change::Endpoints("a"),
            Change::Endpoints("b"),
            Change::Override("a"),
            Change::Override("b"),
            Change::Reload,
        ];
        for (right, permits) in [
            (Right::All, [true, true, true, true, true]),
            (Right::Drain, [false, false, true, true, false]),
            (Right::Pool("a".into()), [true, false, true, false, false]),
            (Right::Pool("c".into()), [false; 5]),
            (Right::Read, [false; 5]),
            (Right::Reload, [false, false, false, false, true]),
        ] {
            let found = changes.map(|change| change.rights().contains(&right));
            assert_eq!(found, permits, "{right}");
        }
    }
}
