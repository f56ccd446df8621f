//! `Clients`: who is counted, and how many they are.

use rustc_hash::FxHashMap;

use crate::base::ix::SteeredIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::geo::overlay::overlay;
use crate::geo::table::PrefixTable;
use crate::state::answers::FamilyAnswers;
use crate::state::plan::Plan;

/// The clients that are counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Clients {
    /// All addresses: IPv4 addresses count 1 each, IPv6 addresses so that a /48 counts 1.
    World,
    /// These prefixes, each with its clients, which are spread evenly over its addresses.
    Prefixes(Vec<(Prefix, f64)>),
}

/// Addresses of a /48.
const SLASH_48: f64 = (1_u128 << 80) as f64;

impl Clients {
    /// The clients of a family for each combination of values that some tables have.
    pub fn tally<const N: usize>(
        &self,
        family: Family,
        tables: [&PrefixTable; N],
    ) -> Vec<([u32; N], f64)> {
        let mut sums = FxHashMap::<[u32; N], f64>::default();
        let mut add = |prefix: Prefix, per_address: f64| {
            overlay(tables, prefix, |values, n| {
                *sums.entry(values).or_default() += n as f64 * per_address;
            });
        };
        match (self, family) {
            (Self::World, Family::V4) => add(everything(family), 1.0),
            (Self::World, Family::V6) => add(everything(family), 1.0 / SLASH_48),
            (Self::Prefixes(prefixes), _) => {
                for (prefix, n) in prefixes.iter().filter(|(p, _)| p.family() == family) {
                    let n_addresses = 2_f64.powi((family.bits() - prefix.len()).into());
                    add(*prefix, n / n_addresses);
                }
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        // The order of a sum's parts must not depend on that of a hash table.
        sums.sort_unstable_by_key(|(values, _)| *values);
        sums
    }
}

fn everything(family: Family) -> Prefix {
    Prefix::of_bits(family, 0, 0)
}

/// The key of every client of a name: by its subnet as it is cut for answers, or by its address where subnets
/// are not used.
pub(super) fn keys(plan: &Plan, name: SteeredIx, answers: &FamilyAnswers) -> PrefixTable {
    answers
        .table
        .keys(&answers.key_of_rank, granularity(plan, name))
}

/// The length that client subnets of a name are cut to.
pub(super) fn granularity(plan: &Plan, name: SteeredIx) -> PerFamily<u8> {
    let ecs = &plan.config.process.ecs;
    match ecs.enabled && plan.steered(name).ecs {
        true => ecs.max_scope(),
        false => PerFamily::from_fn(Family::bits),
    }
}
