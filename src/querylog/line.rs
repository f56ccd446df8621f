//! A line of the decision log: JSON, with the client cut to a prefix that many share.

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::base::date::Utc;
use crate::base::prefix::Prefix;
use crate::engine::decision::Decision;
use crate::engine::question::Question;
use crate::engine::question::QuestionError;
use crate::state::snapshot::Snapshot;
use crate::steer::rendezvous::CLIENT_LEN;

/// A steered answer. Fields that do not apply are null.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    /// When, as in RFC 3339.
    pub time: String,
    /// The name asked for, in lower case.
    pub name: String,
    /// The type asked for.
    pub r#type: String,
    /// Whom it was answered for, cut to the /24 or /56.
    pub client: String,
    /// What the client is: `ecs`, a client subnet, or `resolver`.
    pub source: Source,
    /// The country of the client.
    #[serde(default)]
    pub country: Option<String>,
    /// The pool whose addresses were answered, of several the one whose address comes first.
    #[serde(default)]
    pub pool: Option<String>,
    /// The place of the pool in the client's order, from 1.
    #[serde(default)]
    pub rank: Option<usize>,
    /// Why this pool, or none: `up`, `unproven`, `all_down` or `no_address`.
    pub why: String,
    /// The response code.
    pub rcode: String,
    /// The ECS scope, if a subnet was sent.
    #[serde(default)]
    pub scope: Option<u8>,
    /// The TTL of the first record in the answer section.
    #[serde(default)]
    pub ttl: Option<u32>,
    /// The number of the snapshot that answered.
    pub generation: u64,
}

/// What an answer was for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The client subnet.
    Ecs,
    /// The resolver's address.
    Resolver,
}

impl Line {
    /// A decision of `snapshot`, made at a time in Unix seconds.
    pub(super) fn of(decision: &Decision, snapshot: &Snapshot, at: u64) -> Self {
        let pools = &snapshot.plan.config.pools.pools;
        let pool = decision.pool.and_then(|pool| pools.get(pool.index()));
        Self {
            time: Utc(at).to_string(),
            name: decision.name.plain(),
            r#type: decision.qtype.to_string(),
            client: cut(decision.client).to_string(),
            source: match decision.by_subnet {
                true => Source::Ecs,
                false => Source::Resolver,
            },
            country: decision.country.map(|country| country.to_string()),
            pool: pool.map(|pool| pool.name.to_string()),
            rank: decision.rank,
            why: decision.reason.as_str().to_owned(),
            rcode: decision.rcode.to_string(),
            scope: decision.scope,
            ttl: decision.ttl,
            generation: snapshot.generation,
        }
    }

    /// The question that the line is the answer of. A resolver asks from the first address of its prefix.
    ///
    /// # Errors
    /// If name, type or client are none.
    pub fn question(&self) -> Result<Question, QuestionError> {
        let client = match self.source {
            Source::Ecs => &self.client,
            Source::Resolver => self.client.split('/').next().unwrap_or_default(),
        };
        let nobody = IpAddr::from([0; 4]);
        Question::parse(&self.name, Some(&self.r#type), Some(client), nobody)
    }
}

/// Cut to what all clients of a hash have in common ([`CLIENT_LEN`]), so that they fall to the same pools.
fn cut(client: Prefix) -> Prefix {
    client.truncated(client.len().min(CLIENT_LEN[client.family()]))
}
