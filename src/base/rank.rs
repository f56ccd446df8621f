//! Rank lists: the order in which a client's pools are tried, as compiled from its location.
//!
//! The geo compiler makes them, steering reads them. A list is a sequence of groups; the pools of
//! one group are equally good and share their clients by weight, the groups are tried in order.

use crate::base::ix::PoolIx;
use crate::base::location::Point;

/// How pools are ordered for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// In the operator's order.
    Failover,
    /// By round-trip time, measured or estimated from the distance; equal ones are shared by weight.
    Latency,
    /// All at once: each client gets addresses of several.
    Multivalue,
    /// By great-circle distance less the pool's bias; ties under 1 km are shared by weight.
    #[default]
    Nearest,
    /// All at once, shared by weight.
    Weighted,
}

impl Policy {
    /// Whether it depends on where the client is.
    pub fn is_by_place(self) -> bool {
        matches!(self, Self::Latency | Self::Nearest)
    }

    /// The word used in `pools.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Latency => "latency",
            Self::Multivalue => "multivalue",
            Self::Nearest => "nearest",
            Self::Weighted => "weighted",
        }
    }
}

/// The order of the addresses in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// As written, the same for everybody.
    Fixed,
    /// From one on that the client prefix is hashed to, the same for a client each time.
    Hash,
    /// From another one on with each answer, so that all come first equally often.
    #[default]
    Rotate,
}

impl Order {
    /// The word used in `pools.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Hash => "hash",
            Self::Rotate => "rotate",
        }
    }
}

/// A pool's place in a group: its index and its share, relative to the group's other weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// The pool.
    pub pool: PoolIx,
    /// Relative weight; 0 means never chosen while another pool of the group is up.
    pub weight: u32,
}

/// The ordered groups of pools for one kind of client, and where the order comes from.
///
/// A list may be truncated: then it holds the first groups, and omits all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RankList {
    /// The rule that made it, counted in the steered name's rule list; `None`: the name itself.
    pub rule: Option<u32>,
    /// Whether these clients' location is known; only located addresses vote on the answer of a
    /// prefix that holds several.
    pub located: bool,
    /// Whether these clients have special-purpose addresses that nothing is known of; a list of their own,
    /// so that a block's scope ends where the block does.
    pub special_purpose: bool,
    /// Whether the client must never leave these pools (`fence = true`).
    pub fenced: bool,
    /// Where the list's clients are, if groups are omitted: the complete list can be computed from it.
    pub truncated: Option<Point>,
    /// The vantages that judge for these clients, by the position of their region; `None`: all.
    pub region: Option<u16>,
    /// The groups, best first; no pool occurs twice.
    pub groups: Groups,
}

impl RankList {
    /// Whether a client subnet here is passed over for the packet's source: neither the database nor a
    /// rule knows it (RFC 7871 s10). Of clients that are not located, only rules by address match.
    pub fn is_passed_over(&self) -> bool {
        !self.located && self.rule.is_none()
    }
}

/// Groups of pools; the pools of one are equally good for a client, and none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Groups {
    /// The pools of all groups.
    shares: Box<[Share]>,
    /// Where each group ends.
    ends: Box<[u32]>,
}

impl Groups {
    /// The groups, best first.
    pub fn iter(&self) -> impl Iterator<Item = &[Share]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let group = &self.shares[start..*end as usize];
            start = *end as usize;
            group
        })
    }
}

impl<G: IntoIterator<Item = Share>> FromIterator<G> for Groups {
    fn from_iter<I: IntoIterator<Item = G>>(groups: I) -> Self {
        let (mut shares, mut ends) = (Vec::new(), Vec::new());
        for group in groups {
            shares.extend(group);
            ends.push(shares.len() as u32);
        }
        Self {
            shares: shares.into(),
            ends: ends.into(),
        }
    }
}
