//! What one steered name answers now: every RRset it can give, in wire form, and who gets which.
//!
//! The prefix table says which rank list a client has, `key_of_rank` which answer that list has now,
//! and the answer is ready to be copied. Equal lists have equal keys, so the merged table `answer_table`
//! knows the widest prefix on which an answer holds: the ECS scope (RFC 7871 s7.2.1). Right after a
//! change `answer_table` is not there yet; then the ranking's own extents serve, which are finer and safe.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ix::PoolIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Prefix;
use crate::base::prefix::mask128;
use crate::base::rank::Order;
use crate::base::rank::RankList;
use crate::base::rr::Class;
use crate::base::rr::RrType;
use crate::config::model::Endpoint;
use crate::geo::answer_table::AnswerTable;
use crate::geo::majority::MajorityScratch;
use crate::geo::rank_table::RankTable;
use crate::geo::table::Hit;
use crate::steer::Choice;
use crate::steer::PoolStatus;
use crate::steer::rendezvous;
use crate::steer::rendezvous::CLIENT_LEN;
use crate::steer::rendezvous::ClientKey;
use crate::wire::encode::QNAME_POINTER;

/// How many selections of endpoints exist for a pool that has more of them than an answer may hold.
pub const N_VARIANTS: usize = 64;

/// How many bits a shared answer's scope is widened past the granularity of sharing at the most: a
/// bound on the work per query (2^6 picks), not on safety.
const MAX_WIDENING: u8 = 6;

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client subnet cut to the configured granularity, or the resolver's whole address.
    pub prefix: Prefix,
    /// For a client subnet the longest scopes that may be answered; `None`: no scope is asked for.
    pub max_scope: Option<PerFamily<u8>>,
}

impl Client {
    /// The packet's source.
    pub fn source(src: IpAddr) -> Self {
        Self {
            prefix: Prefix::host(src),
            max_scope: None,
        }
    }
}

/// Address records ready to be copied behind a question: each owner is a pointer to the qname.
#[derive(Debug, PartialEq, Eq)]
pub struct Records {
    wire: Box<[u8]>,
    n: u16,
    ttl: u32,
    /// Octets of one record.
    record_len: u16,
    /// Empty if all are of one pool.
    owners: Box<[u16]>,
}

impl Records {
    /// Encodes one RRset; `addresses` are all of one family.
    pub fn new(addresses: &[IpAddr], ttl: u32) -> Self {
        let mut wire = Vec::with_capacity(addresses.len() * 28);
        for address in addresses {
            let (rtype, rdata) = match address {
                IpAddr::V4(v4) => (RrType::A, v4.octets().to_vec()),
                IpAddr::V6(v6) => (RrType::AAAA, v6.octets().to_vec()),
            };
            // The qname always stands at offset 12.
            wire.extend_from_slice(&QNAME_POINTER);
            wire.extend_from_slice(&rtype.0.to_be_bytes());
            wire.extend_from_slice(&Class::IN.0.to_be_bytes());
            wire.extend_from_slice(&ttl.to_be_bytes());
            wire.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
            wire.extend_from_slice(&rdata);
        }
        Self {
            record_len: (wire.len() / addresses.len().max(1)) as u16,
            wire: wire.into(),
            n: addresses.len() as u16,
            ttl,
            owners: Box::default(),
        }
    }

    /// The same for addresses of several pools, each with its pool's position among
    /// [`PoolAnswer::together`].
    pub(super) fn of_several(addresses: &[(IpAddr, u16)], ttl: u32) -> Self {
        let (addresses, owners): (Vec<IpAddr>, Vec<u16>) = addresses.iter().copied().unzip();
        Self {
            owners: owners.into(),
            ..Self::new(&addresses, ttl)
        }
    }

    /// The records in wire form, in two parts: from the `start`th on, and those before it.
    pub fn rotated(&self, start: usize) -> [&[u8]; 2] {
        let at = start * usize::from(self.record_len);
        let (last, first) = self.wire.split_at(at.min(self.wire.len()));
        [first, last]
    }

    /// How many there are.
    pub fn n(&self) -> u16 {
        self.n
    }

    /// Their TTL.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The pool of each address where they are of several, by its position among [`PoolAnswer::together`].
    pub fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// The addresses in wire form, one per record, in the same order.
    pub fn rdatas(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        let [first, last] = self.rotated(start);
        let len = usize::from(self.record_len.max(1));
        let records = [first, last].map(|part| part.chunks_exact(len));
        records.into_iter().flatten().map(|record| &record[12..])
    }
}

/// One pool's answer in one family, or that of several together.
#[derive(Debug)]
pub struct PoolAnswer {
    /// The pool; of several the first.
    pub pool: PoolIx,
    /// What it is worth to these clients.
    pub status: PoolStatus,
    /// The hash of its name.
    pub hash: u64,
    /// Its share among the pools of the same answer.
    pub weight: u32,
    /// The order of its addresses.
    pub order: Order,
    /// The counter of `answers_total` that this answer moves, among those of the name.
    pub counter: u32,
    /// The pools that answer together; empty where it is one pool's answer.
    pub together: Box<[Counted]>,
    /// One selection of endpoints, or [`N_VARIANTS`] shared by client prefix.
    pub variants: Arc<[Records]>,
    /// The pool whose possible change makes the TTL less than the name's most.
    pub ttl_limited_by: Option<PoolIx>,
}

/// A pool of an answer of several, with its counter of `answers_total` among those of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The pool.
    pub pool: PoolIx,
    /// Its counter.
    pub counter: u32,
}

impl PoolAnswer {
    /// The pool of the `at`th of some records of an answer of several pools.
    pub fn owner(&self, records: &Records, at: usize) -> Option<Counted> {
        let owner = records.owners.get(at)?;
        self.together.get(usize::from(*owner)).copied()
    }

    /// The pools of some records of this answer.
    pub fn pools<'a>(&'a self, records: &'a Records) -> impl Iterator<Item = PoolIx> + 'a {
        let only = records.owners.is_empty().then_some(self.pool);
        let owners = (0..records.owners.len()).filter_map(|at| self.owner(records, at));
        only.into_iter().chain(owners.map(|owner| owner.pool))
    }
}

/// What the clients of equal rank lists are answered: the pools are never empty.
pub type Answer = Choice<Box<[PoolAnswer]>>;

/// What one client is answered: these addresses of this pool, or of those that answer together.
pub type Found<'a> = Choice<(&'a PoolAnswer, &'a Records)>;

/// What a client gets, and for how wide a prefix.
#[derive(Debug)]
pub struct Steered<'a> {
    /// The addresses, with the pool they belong to.
    pub found: Found<'a>,
    /// The ECS scope; 0 for a client that is no subnet.
    pub scope_len: u8,
    /// The key of the answer, for explanations.
    pub key: u32,
    /// Who was answered: another client than the one asked for where that is passed over.
    pub client: Client,
}

/// One steered name in one family.
#[derive(Debug)]
pub struct FamilyAnswers {
    /// Client prefixes to rank lists.
    pub table: Arc<RankTable>,
    /// For each rank list the key of its answer.
    pub key_of_rank: Arc<[u32]>,
    /// Client prefixes to keys, equal neighbours merged; `None` until the background made it.
    pub answer_table: Option<Arc<AnswerTable>>,
    /// The answers by key.
    pub answers: Arc<[Answer]>,
    /// By key past those of `answers`: client subnets are passed over for the packet's source, as nothing is
    /// known of them. A source of which nothing is known either has the answer of the key that is here.
    pub passed_over: Arc<[u32]>,
    /// The smallest TTL that an answer of the name can have.
    pub least_ttl: u32,
    /// Whether more pools are down than `max_down` allows, so that what probes say is ignored.
    pub ignores_probes: bool,
}

impl FamilyAnswers {
    /// Finds a client's answer; `src` is the packet's source. Allocates only where `scratch` must grow for
    /// a prefix that holds several answers.
    #[inline(always)] // Hot path, once per query.
    pub fn find(&self, client: Client, src: IpAddr, scratch: &mut MajorityScratch) -> Steered<'_> {
        let (key, scope_len) = self.key_of(client, scratch);
        match self.answers.get(key as usize) {
            Some(answer) => of_answer(answer, client, key, scope_len),
            None => self.find_of_source(client, key, scope_len, src, scratch),
        }
    }

    /// What a client gets of the answer of a key, for explanations.
    pub fn of_key(&self, client: Client, key: u32) -> Found<'_> {
        of_answer(self.answer_of(key), client, key, 0).found
    }

    /// The answer of a key; of a key that is passed over, what a source has of which nothing is known either.
    pub(super) fn answer_of(&self, key: u32) -> &Answer {
        let own = (key as usize).checked_sub(self.answers.len());
        let own = own.and_then(|own| self.passed_over.get(own)).copied();
        let answer = self.answers.get(own.unwrap_or(key) as usize);
        answer.unwrap_or(&Choice::ServFail)
    }

    /// The answer of a client of which nothing is known: of the IPv4 client inside, else of the packet's
    /// source. The scope is that on which this is so.
    #[cold]
    fn find_of_source(
        &self,
        client: Client,
        key: u32,
        scope_len: u8,
        src: IpAddr,
        scratch: &mut MajorityScratch,
    ) -> Steered<'_> {
        let Some(max_scope) = client.max_scope else {
            return of_answer(self.answer_of(key), client, key, scope_len);
        };
        let Some((v4, offset)) = client.prefix.embedded_v4() else {
            let found = self.find(Client::source(src), src, scratch);
            return Steered { scope_len, ..found };
        };
        let max_v4 = max_scope.v4.min(max_scope.v6.saturating_sub(offset));
        let inside = Client {
            prefix: v4.truncated(max_v4),
            max_scope: Some(PerFamily {
                v4: max_v4,
                ..max_scope
            }),
        };
        let found = self.find(inside, src, scratch);
        Steered {
            scope_len: scope_len.max(offset.saturating_add(found.scope_len)),
            ..found
        }
    }

    /// The key of a client's answer, and the scope on which it holds.
    #[inline(always)] // Hot path, once per query.
    fn key_of(&self, client: Client, scratch: &mut MajorityScratch) -> (u32, u8) {
        let prefix = client.prefix;
        // A query that names no subnet is answered for the resolver, whatever its prefix (RFC 7871
        // s7.2.1: scope 0 for source 0).
        let Some(max_scope) = client.max_scope else {
            let rank = self.table.rank_of(prefix.addr());
            return (self.key_of_rank[rank.index()], 0);
        };
        let hit = match &self.answer_table {
            Some(answer_table) => answer_table.lookup(prefix),
            None => self.table.lookup(prefix, &self.key_of_rank),
        };
        match hit {
            Hit::Uniform { value, scope_len } => (value, scope_len),
            Hit::Mixed { scope_len } => {
                let vote = self.table.majority(prefix, &self.key_of_rank, scratch);
                if vote.unanimous {
                    return (vote.key, prefix.len());
                }
                // Longer than the prefix, so that caches keep the answer for the prefix alone.
                let max_scope_len = max_scope[prefix.family()];
                let longest = max_scope_len.max(prefix.len().saturating_add(1));
                (vote.key, scope_len.min(longest))
            }
        }
    }
}

/// What a client gets of an answer.
#[inline(always)] // Hot path, once per query.
fn of_answer(answer: &Answer, client: Client, key: u32, scope_len: u8) -> Steered<'_> {
    let pools = match answer {
        Choice::Pools(pools) => pools,
        other => {
            let found = match other {
                Choice::NoData => Choice::NoData,
                _ => Choice::ServFail,
            };
            return Steered {
                found,
                scope_len,
                key,
                client,
            };
        }
    };
    if let [only] = &**pools
        && let [records] = &*only.variants
    {
        return Steered {
            found: Choice::Pools((only, records)),
            scope_len,
            key,
            client,
        };
    }
    let picked = pick(pools, ClientKey::of(client.prefix));
    let found = match pools
        .get(picked.0)
        .map(|pool| (pool, pool.variants.get(picked.1)))
    {
        Some((pool, Some(records))) => Choice::Pools((pool, records)),
        _ => Choice::ServFail,
    };
    let scope_len = match client.max_scope {
        Some(max) => {
            let max = max[client.prefix.family()];
            shared_scope_len(client.prefix, scope_len, max, |key| {
                pick(pools, key) == picked
            })
        }
        None => 0,
    };
    Steered {
        found,
        scope_len,
        key,
        client,
    }
}

/// Gives the ranks that are passed over for the packet's source keys of their own, past those of `answers`:
/// at most two, of special-purpose blocks and of addresses that are not located. Returns the keys that they
/// had. Where all clients get the same, there is nothing to pass over.
pub(super) fn pass_over(
    ranks: &[RankList],
    key_of_rank: &mut [u32],
    answers: &[Answer],
) -> Arc<[u32]> {
    let mut passed_over = Vec::new();
    if let [only] = answers
        && !is_shared(only)
    {
        return passed_over.into();
    }
    for (rank, key) in ranks.iter().zip(key_of_rank) {
        if rank.is_passed_over() {
            passed_over.push(*key);
            *key = (answers.len() + passed_over.len() - 1) as u32;
        }
    }
    passed_over.into()
}

/// Whether the client's prefix picks one of several sets of addresses.
fn is_shared(answer: &Answer) -> bool {
    match answer {
        Choice::Pools(pools) => pools.len() > 1 || pools.iter().any(|pool| pool.variants.len() > 1),
        Choice::NoData | Choice::ServFail => false,
    }
}

/// The RRset of some endpoints; where there are more than an answer may hold, a fixed number of
/// selections by weight, which client prefixes share.
pub(super) fn variants_of(endpoints: &[Endpoint], answers: usize, ttl: u32) -> Arc<[Records]> {
    if endpoints.len() <= answers {
        let all: Vec<IpAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        return [Records::new(&all, ttl)].into();
    }
    let selection = |n: usize| {
        let key = ClientKey::nth(n as u64);
        let mut scored: Vec<(f64, IpAddr)> = endpoints
            .iter()
            .map(|endpoint| {
                let hash = rendezvous::name_hash(endpoint.address.to_string().as_bytes());
                (
                    rendezvous::score(key, hash, endpoint.weight),
                    endpoint.address,
                )
            })
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.truncate(answers);
        let chosen: Vec<IpAddr> = scored.into_iter().map(|(_, address)| address).collect();
        Records::new(&chosen, ttl)
    };
    (0..N_VARIANTS).map(selection).collect()
}

/// Which pool and which of its variants a client prefix belongs to.
fn pick(pools: &[PoolAnswer], client: ClientKey) -> (usize, usize) {
    let at = match pools {
        [_] => 0,
        _ => rendezvous::pick(client, pools.iter().map(|pool| (pool.hash, pool.weight))),
    };
    let n_variants = pools.get(at).map_or(1, |pool| pool.variants.len().max(1));
    (at, (client.spread() % n_variants as u64) as usize)
}

/// The shortest scope on which a shared answer holds: at most the granularity of sharing, widened as
/// long as all client prefixes inside pick the same and the prefix table allows it.
fn shared_scope_len(
    prefix: Prefix,
    table_scope_len: u8,
    max_scope_len: u8,
    same: impl Fn(ClientKey) -> bool,
) -> u8 {
    let family = prefix.family();
    let granule = CLIENT_LEN[family].min(max_scope_len);
    let first = prefix.bits();
    let mut scope_len = granule;
    while scope_len > table_scope_len && granule - scope_len < MAX_WIDENING {
        let wider = scope_len - 1;
        // The half of the wider prefix that the narrower one does not cover.
        let sibling = (first & mask128(scope_len)) ^ (1 << (127 - wider));
        let n_granules = 1_u128 << (granule - scope_len);
        let uniform = (0..n_granules).all(|n| {
            let granule_bits = sibling | (n << (128 - granule));
            same(ClientKey::of(Prefix::of_bits(
                family,
                granule_bits,
                granule,
            )))
        });
        if !uniform {
            break;
        }
        scope_len = wider;
    }
    scope_len.max(table_scope_len)
}
