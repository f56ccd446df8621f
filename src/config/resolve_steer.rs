//! `pools.toml`: steered names and their rules.

use std::collections::HashSet;
use std::time::Duration;

use crate::base::ix::PoolIx;
use crate::base::name;
use crate::base::prefix::Family;
use crate::base::rank::Order;
use crate::base::rank::Policy;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Endpoint;
use crate::config::model::Pool;
use crate::config::model::Rule;
use crate::config::model::Steered;
use crate::config::model::TtlRange;
use crate::config::names::Name;
use crate::config::names::Names;
use crate::config::owners::Owners;
use crate::config::resolve_match;
use crate::config::resolve_match::NamedRegions;
use crate::config::resolve_types;
use crate::config::resolve_types::Answered;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::steer::AllDown;
use crate::zone::SteeredTypes;

/// What `pools` looks like.
const POOLS: &str = "a list of pools such as [\"us-west\", \"europe-west\"]";
/// What the ends of `ttl` look like.
const TTL: &str = "a duration in whole seconds such as \"10s\"";
/// The largest TTL (RFC 2181 s8).
const MAX_TTL: Duration = Duration::from_secs((1 << 31) - 1);
/// The most records of an RRset that BIND takes (`max-records-per-type`).
const MAX_RECORDS: usize = 100;
/// Past it, caches hold on to a dead pool for longer than most outages last.
const LONG_TTL: Duration = Duration::from_secs(300);

/// Resolves each `[steer."NAME"]`; `pools` are those of the file, `None` for faulty ones, and `owners` the owner
/// names so far.
pub(super) fn steered(
    top: &Table<'_>,
    names: &Names<'_>,
    pools: &[Option<Pool>],
    regions: &NamedRegions<'_>,
    owners: &mut Owners,
) -> Vec<Steered> {
    let (owner_names, tables) = Names::with_tables(top, "steer", &keys::STEER);
    let context = Context {
        names,
        pools,
        regions,
    };
    owner_names
        .iter()
        .zip(&tables)
        .filter_map(|(written, table)| {
            let owner = owners.read(written);
            context.steered(written, owner, table.as_ref()?)
        })
        .collect()
}

/// What the tables of steered names refer to.
struct Context<'a> {
    names: &'a Names<'a>,
    pools: &'a [Option<Pool>],
    regions: &'a NamedRegions<'a>,
}

impl Context<'_> {
    /// Reads a steered name, also one with faults, as long as its owner is known.
    fn steered(
        &self,
        written: &Name<'_>,
        owner: Option<name::Name>,
        table: &Table<'_>,
    ) -> Option<Steered> {
        let policy = table.read_or("policy", Policy::default(), policy);
        let pools = table.require("pools", POOLS, |item| self.pool_list(item, policy));
        let ttl = table.read_or("ttl", TtlRange::fixed(defaults::TTL), |item| {
            ttl(
                item,
                self.any_monitored(pools.as_deref().unwrap_or_default()),
            )
        });
        let max_addresses = table.read_or("answers", defaults::ANSWERS, |item| {
            item.integer(1..=65_535)
        });
        let order = table.read_or("order", Order::default(), order);
        let ecs = table.read_or("ecs", true, Item::boolean);
        let all_down = self.all_down(table);
        let mut matched = resolve_match::Matched::default();
        let tables = table.tables("rule", &keys::RULE, written.text);
        let rules: Vec<_> = tables
            .iter()
            .map(|table| self.rule(table, policy, &mut matched))
            .collect();
        let pools = pools.unwrap_or_default();
        let of_rules = rules.iter().flatten();
        let of_rules = of_rules.map(|rule| (rule.policy, &*rule.pools));
        let lists = std::iter::once((policy, &*pools)).chain(of_rules);
        self.warn_of_large_answers(table, max_addresses as usize, &lists.collect::<Vec<_>>());
        let all: Vec<PoolIx> = std::iter::once(&pools)
            .chain(rules.iter().flatten().map(|rule| &rule.pools))
            .flatten()
            .copied()
            .collect();
        let rules_read = rules.iter().flatten();
        self.warn_of_slow_spills(table, ttl, &all);
        let types = self.types(table, owner.as_ref(), (policy, all_down, &all), rules_read);
        for (table, rule) in tables.iter().zip(&rules) {
            if let Some(rule) = rule.as_ref().filter(|rule| rule.fence) {
                self.warn_of_lacking_family(table, rule, &all);
            }
        }
        Some(Steered {
            owner: owner?,
            place: written.place(),
            types,
            policy,
            pools,
            ttl,
            order,
            ecs,
            max_addresses: match types {
                SteeredTypes::Addresses { .. } => max_addresses as usize,
                // All clients of a pool are sent to the same host.
                SteeredTypes::Cname => usize::MAX,
            },
            all_down: all_down.unwrap_or(AllDown::Nearest),
            rules: rules.into_iter().flatten().collect(),
        })
    }

    /// Reads which types are chosen: of a name with this policy, `all_down` and pools, those of its rules included.
    fn types<'r>(
        &self,
        table: &Table<'_>,
        owner: Option<&name::Name>,
        (policy, all_down, pools): (Policy, Option<AllDown>, &[PoolIx]),
        rules: impl Iterator<Item = &'r Rule> + Clone,
    ) -> SteeredTypes {
        let of_rules = rules.clone().map(|rule| rule.all_down);
        let fallbacks = std::iter::once(all_down).chain(of_rules).flatten();
        let fallbacks = fallbacks.filter_map(|all_down| match all_down {
            AllDown::Fallback(pool) => Some(pool),
            _ => None,
        });
        let mut pools: Vec<PoolIx> = pools.iter().copied().chain(fallbacks).collect();
        pools.sort_unstable();
        pools.dedup();
        let answered = Answered {
            owner,
            pools: pools
                .iter()
                .filter_map(|pool| self.pools[pool.index()].as_ref())
                .collect(),
            policies: std::iter::once(policy)
                .chain(rules.map(|rule| rule.policy))
                .collect(),
        };
        resolve_types::types(table, &answered)
    }

    /// How many endpoints of a family a pool has; none if it is faulty.
    fn n_endpoints(&self, pool: PoolIx, family: Family) -> usize {
        let pool = self.pools[pool.index()].as_ref();
        let endpoints = pool.map_or(&[][..], |pool| &pool.endpoints);
        let of_family = |endpoint: &&Endpoint| Family::of(endpoint.address) == family;
        endpoints.iter().filter(of_family).count()
    }

    /// Whether a pool may have endpoints of a family.
    fn may_have(&self, pool: PoolIx, family: Family) -> bool {
        let has_sources = self.pools[pool.index()]
            .as_ref()
            .is_some_and(Pool::has_sources);
        has_sources || self.n_endpoints(pool, family) > 0
    }

    /// Warns of answers that many resolvers do not take; `lists` are the pools of the name and of its rules.
    fn warn_of_large_answers(
        &self,
        table: &Table<'_>,
        max_addresses: usize,
        lists: &[(Policy, &[PoolIx])],
    ) {
        for family in Family::ALL {
            let largest_of = |(policy, pools): &(Policy, &[PoolIx])| {
                let counts = pools.iter().map(|pool| self.n_endpoints(*pool, family));
                match policy {
                    Policy::Multivalue => counts.sum::<usize>(),
                    _ => counts.max().unwrap_or(0),
                }
            };
            let largest = lists.iter().map(largest_of).max();
            let largest = largest.unwrap_or(0).min(max_addresses);
            if let Some(item) = table.get("answers").filter(|_| largest > MAX_RECORDS) {
                item.warn(&format!(
                    "makes answers of {largest} {family} addresses: BIND's resolvers take at most \
                     {MAX_RECORDS} records and fail"
                ));
            }
        }
    }

    /// Warns of a TTL that the shares of pools wait too long for.
    fn warn_of_slow_spills(&self, table: &Table<'_>, ttl: TtlRange, pools: &[PoolIx]) {
        let is_long = Duration::from_secs(u64::from(ttl.max)) > LONG_TTL;
        let spills = |pool: &PoolIx| {
            let pool = self.pools[pool.index()].as_ref();
            pool.is_some_and(|pool| pool.spill_at.is_some())
        };
        if let Some(item) = table
            .get("ttl")
            .filter(|_| is_long && pools.iter().any(spills))
        {
            item.warn(
                "is long for pools with `spill_at`: each step of their shares waits for it; a minute or \
                 less lets an overloaded pool settle in a quarter of an hour",
            );
        }
    }

    /// Warns of a family that the clients of a fence get no address of, though other pools of the name,
    /// which are `all`, have some.
    fn warn_of_lacking_family(&self, table: &Table<'_>, rule: &Rule, all: &[PoolIx]) {
        for family in Family::ALL {
            let has = |pools: &[PoolIx]| {
                let mut pools = pools.iter();
                pools.any(|pool| self.may_have(*pool, family))
            };
            if let Some(item) = table.get("fence").filter(|_| has(all) && !has(&rule.pools)) {
                item.warn(&format!(
                    "keeps clients to pools without an {family} endpoint, while other pools of the name \
                     have one: these clients get no {family} address"
                ));
            }
        }
    }

    /// Reads a list of pools; none twice, and under policy weighted not all of weight 0.
    fn pool_list(&self, item: &Item<'_>, policy: Policy) -> Option<Vec<PoolIx>> {
        let mut seen = HashSet::new();
        let pools = item.list(POOLS, |entry| {
            let pool = PoolIx::new(self.names.find(entry)?);
            if !seen.insert(pool) {
                entry.fault("is listed before, expected each pool once");
            }
            Some(pool)
        })?;
        let weightless = |pool: &PoolIx| {
            let pool = self.pools[pool.index()].as_ref();
            pool.is_some_and(|pool| pool.weight == 0)
        };
        if policy == Policy::Weighted && !pools.is_empty() && pools.iter().all(weightless) {
            item.fault("has only pools of weight 0, expected one with a share under \"weighted\"");
        }
        Some(pools)
    }

    fn any_monitored(&self, pools: &[PoolIx]) -> bool {
        pools.iter().any(|pool| {
            let pool = self.pools[pool.index()].as_ref();
            pool.is_some_and(|pool| !pool.monitors.is_empty())
        })
    }

    /// Reads `all_down` and `fallback`, which belong together.
    fn all_down(&self, table: &Table<'_>) -> Option<AllDown> {
        let fallback = table.get("fallback");
        let pool = fallback
            .as_ref()
            .and_then(|item| self.names.find(item))
            .map(PoolIx::new);
        let word = match table.get("all_down") {
            None => Some(Some(AllDown::Nearest)),
            Some(item) => item.word(&[
                ("nearest", Some(AllDown::Nearest)),
                ("last_good", Some(AllDown::LastGood)),
                ("fallback", None),
                ("empty", Some(AllDown::Empty)),
                ("servfail", Some(AllDown::ServFail)),
            ]),
        };
        match (word?, fallback) {
            (None, None) => {
                table.require_one_of(&["fallback"], "the pool for all_down = \"fallback\"");
                None
            }
            (None, Some(_)) => pool.map(AllDown::Fallback),
            (Some(other), fallback) => {
                // Not an error: switching `all_down` back and forth should not need two edits.
                if let Some(item) = fallback {
                    item.warn("is not used, because `all_down` is not \"fallback\"");
                }
                Some(other)
            }
        }
    }

    /// Reads a rule; `matched` holds what earlier rules of the name match.
    fn rule(
        &self,
        table: &Table<'_>,
        policy_of_name: Policy,
        matched: &mut resolve_match::Matched,
    ) -> Option<Rule> {
        let matched = resolve_match::of_rule(table, self.regions, matched);
        let policy = table.read_or("policy", policy_of_name, policy);
        let pools = table.require("pools", POOLS, |item| self.pool_list(item, policy));
        let fence = table.read_or("fence", false, Item::boolean);
        let all_down = self.all_down(table);
        let matched = matched?;
        Some(Rule {
            place: matched.place,
            matcher: matched.matcher,
            regions: matched.regions,
            pools: pools?,
            policy,
            fence,
            all_down: all_down.filter(|_| table.get("all_down").is_some()),
        })
    }
}

fn policy(item: &Item<'_>) -> Option<Policy> {
    let policies = [
        Policy::Nearest,
        Policy::Failover,
        Policy::Weighted,
        Policy::Latency,
        Policy::Multivalue,
    ];
    item.word(&policies.map(|policy| (policy.as_str(), policy)))
}

fn order(item: &Item<'_>) -> Option<Order> {
    let orders = [Order::Rotate, Order::Hash, Order::Fixed];
    item.word(&orders.map(|order| (order.as_str(), order)))
}

/// Reads a TTL, or the least and the most one.
fn ttl(item: &Item<'_>, monitored: bool) -> Option<TtlRange> {
    if !item.is_table() {
        return seconds(item, monitored).map(TtlRange::fixed);
    }
    let table = item.table(&keys::TTL_RANGE, "")?;
    // What is answered at the most is cut short before a pool can change.
    let min = table.require("min", TTL, |item| seconds(item, monitored));
    let max = table.require("max", TTL, |item| seconds(item, false));
    let (min, max) = (min?, max?);
    if min > max {
        item.fault(&format!(
            "has `min` {min}s and `max` {max}s, expected `min` at or below `max`"
        ));
        return None;
    }
    Some(TtlRange { min, max })
}

/// Reads a TTL in seconds.
pub(super) fn seconds(item: &Item<'_>, monitored: bool) -> Option<u32> {
    let ttl = item.duration(Duration::ZERO..=MAX_TTL)?;
    if ttl.subsec_nanos() != 0 {
        item.expected("a duration in whole seconds");
        return None;
    }
    if ttl.is_zero() {
        item.warn("is 0s, so that resolvers ask again for every client");
    } else if ttl > LONG_TTL && monitored {
        item.warn("is long: clients are sent to a dead pool until it runs out");
    }
    ttl.as_secs().try_into().ok()
}
