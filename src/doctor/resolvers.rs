//! Asking recursive resolvers: for the root's servers, and for the addresses of name servers elsewhere.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::base::name::Name;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::doctor::ask;
use crate::doctor::ask::Asked;
use crate::doctor::ask::Failure;
use crate::doctor::message::Question;

/// The resolvers, in the order in which they are asked.
#[derive(Clone, Debug)]
pub struct Resolvers(pub Vec<SocketAddr>);

/// What a name resolves to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where it leads, if it is an alias.
    pub alias: Option<Name>,
    /// What the resolver said instead.
    pub problem: Option<Problem>,
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No resolver answers.
    Silent,
    /// The resolver says that there is none, in words.
    None(String),
}

impl Resolvers {
    /// Asks one after the other until one has an answer of its own.
    pub async fn ask(&self, name: &Name, rtype: RrType) -> Asked {
        let question = Question::recursive(name, rtype);
        let mut last = Err(Failure::Silent);
        for server in &self.0 {
            last = ask::either(*server, &question).await;
            let is_settled = |rcode| {
                [Rcode::NoError, Rcode::NxDomain]
                    .map(|r| r as u16)
                    .contains(&rcode)
            };
            if last.as_ref().is_ok_and(|reply| is_settled(reply.rcode)) {
                break;
            }
        }
        last
    }

    /// The addresses of a name, of both families.
    pub async fn addresses(&self, name: &Name) -> Resolved {
        let (v4, v6) = tokio::join!(self.ask(name, RrType::A), self.ask(name, RrType::AAAA));
        resolved(name, &[v4, v6])
    }
}

/// What the answers for both families say of a name.
fn resolved(name: &Name, asked: &[Asked]) -> Resolved {
    let replies: Vec<_> = asked.iter().flatten().collect();
    let aliases = replies
        .iter()
        .flat_map(|reply| reply.answers(name, RrType::CNAME));
    let addresses: Vec<_> = replies.iter().flat_map(|reply| reply.addresses()).collect();
    let problem = match (addresses.is_empty(), &*replies) {
        (false, _) => None,
        (true, []) => Some(Problem::Silent),
        (true, [reply, ..]) => Some(Problem::None(match reply.is_ok() {
            true => "neither A nor AAAA records".into(),
            false => reply.rcode_text(),
        })),
    };
    Resolved {
        alias: aliases.filter_map(|record| record.target()).next(),
        addresses,
        problem,
    }
}
