//! `Composer`: the state of one answer in the making. Each section of the algorithm has a file of its own:
//! `answer`, `alias`, `referral`, `denial`, `additional`, and `steered` for names whose addresses a policy
//! chooses.
//!
//! An RRset that the answer needs and that does not fit sets TC; one that is merely helpful is left out.

use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::Rcode;
use crate::base::rr::RrSet;
use crate::engine::arrival::Arrival;
use crate::engine::arrival::Scratch;
use crate::engine::rate_limit::ResponseClass;
use crate::state::snapshot::Snapshot;
use crate::wire::edns::ExtendedError;
use crate::wire::encode::Encoder;
use crate::wire::encode::Full;
use crate::wire::encode::Owner;
use crate::wire::query::Query;

/// One answer in the making.
pub(super) struct Composer<'a, 'b> {
    pub snapshot: &'a Snapshot,
    /// `scratch.qname` is the name that is looked for now: the question's, then each alias's target.
    pub scratch: &'a mut Scratch,
    pub query: &'a Query<'a>,
    pub arrival: Arrival,
    /// The name of the key that the query was signed with.
    pub key: Option<&'a Name>,
    pub encoder: &'a mut Encoder<'b>,
    /// Whether `scratch.qname` is no longer the question's name.
    pub followed: bool,
    /// The ECS scope of the answer, in the family that the client was looked up in; `None` for all that
    /// does not depend on the client.
    pub scope_len: Option<u8>,
    /// What the response counts as for the rate limit, unless its RCODE says error.
    pub class: ResponseClass,
}

/// What following one name led to.
pub(super) enum Next {
    /// The answer is complete.
    Done(Rcode),
    /// `scratch.qname` is the target of an alias now.
    Follow,
}

/// The owner of records at the name that is looked for now, which is the question's until an alias is followed.
pub(super) fn owner(followed: bool, qname: &QName) -> Owner<'_> {
    match followed {
        true => Owner::Wire(qname.wire()),
        false => Owner::Qname,
    }
}

impl<'a> Composer<'a, '_> {
    /// REFUSED, because this server is not authoritative for what is asked (RFC 8914 s4.21).
    pub fn refused(&mut self, text: &'static str) -> Rcode {
        self.scratch.outcome.extended_error = Some(ExtendedError { code: 20, text });
        Rcode::Refused
    }

    /// Writes an RRset under the name that is looked for now, its records in turn (RFC 1794).
    pub fn put_answer(&mut self, set: RrSet<'_>) -> Result<(), Full> {
        let start = match set.rdatas().count() {
            1 => 0,
            n => self.scratch.next_turn(n),
        };
        let owner = owner(self.followed, &self.scratch.qname);
        if start == 0 {
            return self.encoder.rrset(owner, set);
        }
        let rdatas = set.rotated(start);
        self.encoder.records(owner, set.rtype, set.ttl, rdatas)
    }

    /// SERVFAIL, without what has been written so far.
    pub fn failed(&mut self) -> Next {
        self.encoder.clear();
        self.encoder.clear_authoritative();
        Next::Done(Rcode::ServFail)
    }

    /// An RRset that is needed does not fit: the client asks again over TCP.
    pub fn truncated(&mut self) -> Next {
        self.encoder.set_truncated();
        Next::Done(Rcode::NoError)
    }
}
