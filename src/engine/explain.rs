//! Why a client gets its answer: the same engine call as on the wire, and its outcome.
//!
//! [`explain`] makes a query message, has it answered without counting it, and reads rcode,
//! addresses, TTL and scope back from the response's bytes. Only what no response holds (location,
//! rule, candidates) is added from the snapshot that answered.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::health::Health;
use crate::base::ix::PoolIx;
use crate::base::ix::RankIx;
use crate::base::location::Location;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::base::rank::Policy;
use crate::base::rank::RankList;
use crate::base::rank::Share;
use crate::base::rr::Rcode;
use crate::base::transport::Transport;
use crate::config::model::Pool;
use crate::config::model::Rule;
use crate::config::regions::Region;
use crate::engine::Arrival;
use crate::engine::Scratch;
use crate::engine::answer_uncounted;
use crate::engine::explain_wire::message;
use crate::engine::explain_wire::read;
use crate::engine::outcome::SteeredAnswer;
use crate::engine::question::Question;
use crate::engine::share_limits;
use crate::geo::measured::Rtt;
use crate::geo::rank::complete;
use crate::health::monitor::QuorumScope;
use crate::state::answers::PoolAnswer;
use crate::state::answers::Records;
use crate::state::counters::Counters;
use crate::state::evidence::PoolNow;
use crate::state::guard;
use crate::state::snapshot::Snapshot;
use crate::steer::Choice;
use crate::steer::PoolStatus;
use crate::steer::spread::Admitted;

/// Why the answer is what it is.
#[derive(Debug)]
pub struct Explanation {
    /// The question.
    pub question: Question,
    /// Whether the client subnet decided; otherwise the resolver's address did.
    pub by_subnet: bool,
    /// What the databases say about the client's address: of a subnet its first one, or of one that holds
    /// several answers the first that `rule` and `candidates` are about.
    pub location: Location,
    /// The database network that says so.
    pub network: Option<Prefix>,
    /// The rule that ranked the pools: of a subnet that holds several answers, for most of the addresses that
    /// this one is the answer of.
    pub rule: Option<Rule>,
    /// Of a client subnet that holds several answers, the share of its located addresses (of all, if none
    /// is located) that this one is the answer of.
    pub vote: Option<f64>,
    /// The client's pools, best first; empty for a name that is not steered.
    pub candidates: Vec<Candidate>,
    /// The pool that was answered; of several the one whose address comes first.
    pub pool: Option<PoolIx>,
    /// The addresses in the answer section, read from the response.
    pub answer: Vec<IpAddr>,
    /// The target of the last CNAME in the answer section, without final dot.
    pub cname: Option<String>,
    /// The TTL of the first record in the answer section.
    pub ttl: Option<u32>,
    /// Of a name with a range of TTLs, why it is no greater; `None`: it is the greatest.
    pub ttl_reason: Option<String>,
    /// The ECS scope, if a subnet was sent and ECS is enabled.
    pub scope: Option<u8>,
    /// The response code.
    pub rcode: Rcode,
}

/// A pool that could have been answered.
#[derive(Debug)]
pub struct Candidate {
    /// The pool.
    pub pool: PoolIx,
    /// Great-circle distance to the client, bias not subtracted; `None` if it cannot be located.
    pub distance_km: Option<f64>,
    /// The round-trip time that ranks it; `None` under other policies than latency, or if nothing is known of it.
    pub rtt: Option<Rtt>,
    /// Its health in the family asked for.
    pub health: Health,
    /// Whether an operator drained it.
    pub drained: bool,
    /// Whether it was answered.
    pub chosen: bool,
    /// Why it was or was not, in words.
    pub reason: String,
}

/// What is known of a pool's status in one family beyond what a snapshot holds, such as which endpoint
/// fails at which vantage and how, or until when an operator drained it and why.
pub type Details<'a> = dyn Fn(PoolIx, Family) -> Option<String> + 'a;

/// Answers a question from a snapshot and says why; `details` are added to the reason of a pool that is
/// down or drained.
pub fn explain(snapshot: &Snapshot, question: Question, details: &Details<'_>) -> Explanation {
    let (src, subnet) = question.client.source();
    explain_as(snapshot, question, src, subnet, details)
}

/// The same for a client whose subnet and resolver are both known.
pub(super) fn explain_as(
    snapshot: &Snapshot,
    question: Question,
    src: IpAddr,
    subnet: Option<Prefix>,
    details: &Details<'_>,
) -> Explanation {
    let message = message(&question, subnet);
    let mut scratch = Scratch::new(Arc::new(Counters::new(1)), 0);
    let mut out = vec![0; usize::from(u16::MAX)];
    let arrival = Arrival {
        src,
        transport: Transport::Tcp,
        now_ms: 0,
    };
    let outcome = answer_uncounted(snapshot, &mut scratch, arrival, &message, &mut out);
    let wire = read(out.get(..outcome.response_len()).unwrap_or_default());
    let steered = outcome.steered;
    let ranking = steered.and_then(|steered| ranking(snapshot, &steered));
    let at = ranking.as_ref().and_then(|ranking| ranking.at);
    // A subnet of which nothing is known is passed over.
    let by_src = steered.is_some_and(|steered| steered.client.max_scope.is_none());
    let asked = subnet.filter(|_| !by_src).map_or(src, Prefix::addr);
    let at = at.unwrap_or(asked);
    let (location, network) = snapshot.plan.atlas.locate(at);
    let rank = ranking.as_ref().map(|ranking| &*ranking.rank);
    let rule = match (steered, rank.and_then(|rank| rank.rule)) {
        (Some(steered), Some(rule)) => snapshot
            .plan
            .steered(steered.name)
            .rules
            .get(rule as usize)
            .cloned(),
        _ => None,
    };
    let candidates = match (&steered, rank) {
        (Some(steered), Some(rank)) => {
            let client = (at, &location);
            let explainer = Explainer::new(snapshot, steered, rank, client, details);
            explainer.candidates(rank)
        }
        _ => Vec::new(),
    };
    let vote = ranking.as_ref().and_then(|ranking| ranking.vote);
    Explanation {
        by_subnet: match steered {
            Some(steered) => steered.client.max_scope.is_some(),
            None => subnet.is_some() && snapshot.plan.config.process.ecs.enabled,
        },
        question,
        location,
        network,
        rule,
        vote,
        candidates,
        pool: steered.and_then(|steered| steered.pool),
        answer: wire.addresses,
        cname: wire.cname,
        ttl: wire.ttl,
        ttl_reason: steered.and_then(|steered| why_ttl(snapshot, &steered)),
        scope: wire.scope,
        rcode: wire.rcode,
    }
}

/// The rank list that an answer came from, and the share of the client subnet that it is for.
pub(super) struct Ranking<'a> {
    pub(super) rank: Cow<'a, RankList>,
    vote: Option<f64>,
    /// The first address that is ranked so, where others are answered otherwise.
    at: Option<IpAddr>,
}

/// How the answer's client is ranked. Of a subnet with several rank lists it is the one of most addresses
/// among those that have the answer given.
pub(super) fn ranking<'a>(snapshot: &'a Snapshot, steered: &SteeredAnswer) -> Option<Ranking<'a>> {
    let answers = &snapshot.steered.get(steered.name.index())?.families[steered.family];
    let prefix = steered.client.prefix;
    let has_key = |rank: RankIx| answers.key_of_rank.get(rank.index()) == Some(&steered.key);
    let (rank, vote) = match steered.client.max_scope {
        None => (answers.table.rank_of(prefix.addr()), None),
        Some(_) => {
            let votes = answers.table.votes(prefix);
            let (rank, _) = *votes.iter().find(|(rank, _)| has_key(*rank))?;
            let sum = |wanted: &dyn Fn(RankIx) -> bool| {
                let wanted = votes.iter().filter(|(rank, _)| wanted(*rank));
                wanted.map(|(_, n_votes)| *n_votes as f64).sum::<f64>()
            };
            let is_divided = votes.iter().any(|(rank, _)| !has_key(*rank));
            (rank, is_divided.then(|| sum(&has_key) / sum(&|_| true)))
        }
    };
    let at = vote.and_then(|_| answers.table.first_of(prefix, rank));
    let spec = snapshot.plan.specs.get(steered.name.index())?;
    let rank = complete(spec, answers.table.ranks().get(rank.index())?);
    Some(Ranking { rank, vote, at })
}

/// The answer that a client was given, if it has addresses.
fn given<'a>(
    snapshot: &'a Snapshot,
    steered: &SteeredAnswer,
) -> Option<(&'a PoolAnswer, &'a Records)> {
    let answers = &snapshot.steered.get(steered.name.index())?.families[steered.family];
    match answers.of_key(steered.client, steered.key) {
        Choice::Pools(given) => Some(given),
        Choice::NoData | Choice::ServFail => None,
    }
}

/// The pools whose addresses a client was answered.
pub(super) fn answered(snapshot: &Snapshot, steered: &SteeredAnswer) -> Vec<PoolIx> {
    let given = given(snapshot, steered);
    given.map_or_else(Vec::new, |(pool, records)| pool.pools(records).collect())
}

/// Why the TTL of an answer is no greater.
fn why_ttl(snapshot: &Snapshot, steered: &SteeredAnswer) -> Option<String> {
    let (pool, _) = given(snapshot, steered)?;
    snapshot.why_ttl(pool.ttl_limited_by?, steered.family)
}

/// What candidates are explained from.
struct Explainer<'a> {
    snapshot: &'a Snapshot,
    steered: &'a SteeredAnswer,
    addr: IpAddr,
    location: &'a Location,
    details: &'a Details<'a>,
    /// The rule that ranked the pools.
    rule: Option<u32>,
    /// The pools that were answered.
    answered: Vec<PoolIx>,
    /// The pools as the client has them.
    pools: &'a [PoolNow],
    /// Whether what probes say is ignored for the client.
    ignores_probes: bool,
    /// The vantages that judge for the client.
    region: Option<&'a Region>,
}

impl<'a> Explainer<'a> {
    fn new(
        snapshot: &'a Snapshot,
        steered: &'a SteeredAnswer,
        rank: &RankList,
        (addr, location): (IpAddr, &'a Location),
        details: &'a Details<'a>,
    ) -> Self {
        let plan = &snapshot.plan;
        let pools = snapshot.pools_in(rank.region);
        let max_down = plan.config.process.safety.max_down;
        let spec = plan.specs.get(steered.name.index());
        let region = rank.region.map(usize::from);
        Self {
            snapshot,
            steered,
            addr,
            location,
            details,
            rule: rank.rule,
            answered: answered(snapshot, steered),
            pools,
            ignores_probes: spec
                .is_some_and(|spec| guard::is_exceeded(max_down, spec, pools, steered.family)),
            region: region.and_then(|region| plan.regions.get(region)),
        }
    }

    /// Who judges a pool for the client, if only some vantages do.
    fn judges(&self, pool: &Pool) -> Option<String> {
        let monitors = &self.snapshot.plan.config.pools.monitors;
        let of_pool = pool.monitors.iter();
        let mut of_pool = of_pool.filter_map(|ix| monitors.get(ix.index()));
        let is_regional = of_pool.any(|monitor| monitor.quorum_scope == QuorumScope::Region);
        let region = self.region.filter(|_| is_regional)?;
        let vantages = region.vantages.join(", ");
        Some(format!(
            "judged by the vantages near the client ({vantages}), by all while these have no vote"
        ))
    }

    /// The pools of a rank list with the reason why each was or was not answered.
    fn candidates(&self, rank: &RankList) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let (mut is_decided, mut has_refused) = (false, false);
        for group in rank.groups.iter() {
            let has_chosen = group.iter().any(|share| self.is_chosen(share.pool));
            for share in group {
                let chosen = self.is_chosen(share.pool);
                let is_multivalue = || self.is_multivalue(rank, share.pool);
                let why = |status| match chosen {
                    _ if status == PoolStatus::Up && self.is_standby(share.pool) => {
                        self.why_standby(rank, chosen)
                    }
                    true if status == PoolStatus::Up && is_multivalue() => TOGETHER,
                    false if status == PoolStatus::Up && has_chosen && is_multivalue() => {
                        NOT_SELECTED
                    }
                    true if has_refused && status == PoolStatus::Up => REFUSED_BEFORE,
                    true => why_chosen(status),
                    false => why_not(status, is_decided, has_chosen, self.steered.family),
                };
                candidates.extend(self.candidate(share.pool, why));
            }
            is_decided |= has_chosen;
            let is_passed = |share: &Share| self.is_up(share.pool) && !self.is_standby(share.pool);
            has_refused |= group.iter().any(is_passed);
        }
        // Pools that stand by come behind the others.
        candidates.sort_by_key(|candidate| self.is_standby(candidate.pool));
        let is_listed = |pool| {
            candidates
                .iter()
                .any(|candidate: &Candidate| candidate.pool == pool)
        };
        if let Some(pool) = self.steered.pool.filter(|pool| !is_listed(*pool)) {
            candidates.extend(self.candidate(pool, |_| FALLBACK));
        }
        let best = candidates
            .iter()
            .filter_map(|candidate| Some(candidate.rtt?.ms));
        let best = best.min_by(f32::total_cmp);
        if let Some(first) = candidates.first_mut()
            && first.rtt.map(|rtt| rtt.ms) > best
        {
            first.reason.push_str(STAYS);
        }
        candidates
    }

    /// The time that ranks a pool, if one does.
    fn rtt(&self, pool: PoolIx) -> Option<Rtt> {
        let plan = &self.snapshot.plan;
        let spec = plan.specs.get(self.steered.name.index())?;
        let is_by_latency = spec.policy_of(self.rule, pool) == Policy::Latency;
        let rtt = || plan.measured.rtt(self.addr, self.location, pool);
        is_by_latency.then(rtt)?
    }

    fn is_up(&self, pool: PoolIx) -> bool {
        let now = self.pools.get(pool.index());
        let family = self.steered.family;
        now.is_some_and(|now| {
            now.status[family] == PoolStatus::Up || self.ignores_probes && now.is_taken_out(family)
        })
    }

    fn is_chosen(&self, pool: PoolIx) -> bool {
        self.answered.contains(&pool)
    }

    fn is_standby(&self, pool: PoolIx) -> bool {
        let now = self.pools.get(pool.index());
        now.is_some_and(|now| now.standby.is_some())
    }

    /// Why a pool that is up and stands by was or was not answered.
    fn why_standby(&self, rank: &RankList, chosen: bool) -> &'static str {
        let mut listed = rank.groups.iter().flatten();
        match listed.any(|other| self.is_up(other.pool) && !self.is_standby(other.pool)) {
            true if chosen => "stands by: this client is of its trickle",
            true => "stands by: behind all other pools that are up",
            false if chosen => "stands by, and no other pool of the client's order is up",
            false => why_not(PoolStatus::Up, true, false, self.steered.family),
        }
    }

    fn is_multivalue(&self, rank: &RankList, pool: PoolIx) -> bool {
        let spec = self.snapshot.plan.specs.get(self.steered.name.index());
        spec.is_some_and(|spec| spec.policy_of(rank.rule, pool) == Policy::Multivalue)
    }

    /// One pool, and why it was or was not answered.
    fn candidate(
        &self,
        pool: PoolIx,
        why: impl Fn(PoolStatus) -> &'static str,
    ) -> Option<Candidate> {
        let plan = &self.snapshot.plan;
        let family = self.steered.family;
        let config = plan.config.pools.pools.get(pool.index())?;
        let now = self.pools.get(pool.index())?;
        let is_ignored = self.ignores_probes && now.is_taken_out(family);
        let status = match is_ignored {
            true => PoolStatus::Up,
            false => now.status[family],
        };
        let mut reason = why(status).to_owned();
        let has_details = matches!(status, PoolStatus::Down | PoolStatus::Drained);
        if (has_details || now.endpoints.is_empty())
            && let Some(details) = (self.details)(pool, family)
        {
            reason = format!("{reason} ({details})");
        }
        if is_ignored {
            reason.push_str(IGNORED);
        }
        if let Some(trickle) = now.standby.filter(|trickle| *trickle > Admitted::NONE) {
            reason = format!(
                "{reason}; trickle: {} % of the clients",
                trickle.ratio() * 100.0
            );
        }
        if status == PoolStatus::Up {
            reason.push_str(&share_limits::of(&config.name, now, family));
        }
        if let Some(judges) = self.judges(config) {
            reason = format!("{reason}; {judges}");
        }
        Some(Candidate {
            pool,
            distance_km: self
                .location
                .point
                .map(|point| point.distance_km(config.location)),
            rtt: self.rtt(pool),
            health: now.health(family).unwrap_or_default(),
            drained: status == PoolStatus::Drained,
            chosen: self.is_chosen(pool),
            reason,
        })
    }
}

/// Why a pool is answered that is none of the client's.
const FALLBACK: &str = "no pool is up: the fallback";

/// What is added of a pool that another one is faster than.
const STAYS: &str = "; the client had it before, and no other is faster by 10 ms and 10 %";

/// What is added of a pool that probes call down in vain.
const IGNORED: &str = "; its probes say down and are ignored: more of the name's pools are down than \
     max_down allows";

/// Why a pool is answered with others.
const TOGETHER: &str = "up: one of the pools whose addresses are answered together";

/// Why a pool is not among those that are answered together.
const NOT_SELECTED: &str = "up, but this client's selection of addresses has none of it";

/// Why a pool is answered behind others that are up.
const REFUSED_BEFORE: &str = "first in the client's order that takes this client";

fn why_chosen(status: PoolStatus) -> &'static str {
    match status {
        PoolStatus::Up => "first in the client's order that is up",
        PoolStatus::Unproven => "no pool is known to be up: first that was never probed",
        PoolStatus::Down => "no pool is up: chosen by all_down",
        PoolStatus::Drained => "nothing but drained pools is left",
        PoolStatus::Absent => "has no endpoint of this family",
    }
}

/// Why a candidate was not answered. `is_decided`: a better group holds the answer; `has_chosen`: its own
/// group does.
fn why_not(status: PoolStatus, is_decided: bool, has_chosen: bool, family: Family) -> &'static str {
    match status {
        PoolStatus::Absent if family == Family::V4 => "has no IPv4 endpoint",
        PoolStatus::Absent => "has no IPv6 endpoint",
        PoolStatus::Drained => "drained",
        PoolStatus::Down => "down",
        PoolStatus::Unproven => "never probed: behind pools that are up",
        PoolStatus::Up if has_chosen => "shares this place; the client belongs to another",
        PoolStatus::Up if is_decided => "later in the client's order",
        PoolStatus::Up => "up, but does not take this client",
    }
}
