//! Queries for steered names by their clients' country: a metric, and the first few of each name for people.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::metrics::Page;
use crate::base::ix::SteeredIx;
use crate::state::country_counters::CountryCounters;
use crate::state::plan::Plan;

/// How many countries of a name are shown.
const MAX_COUNTRIES: usize = 20;

/// Where the clients of a steered name are, from a sample of its queries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clients {
    /// How many queries the sample stands for.
    pub queries: u64,
    /// The countries that most of them came from.
    pub countries: Vec<CountryQueries>,
}

/// The queries from one country.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountryQueries {
    /// Two letters; `unknown`: not located; `other`: countries that were not counted apart.
    pub country: String,
    /// How many.
    pub queries: u64,
}

/// The clients of each name that was queried.
pub fn clients(counters: &CountryCounters) -> BTreeMap<SteeredIx, Clients> {
    let mut names: BTreeMap<SteeredIx, Clients> = BTreeMap::new();
    for ((name, origin), queries) in counters.totals() {
        let clients = names.entry(name).or_default();
        clients.queries += queries;
        clients.countries.push(CountryQueries {
            country: origin.as_str().to_owned(),
            queries,
        });
    }
    for clients in names.values_mut() {
        clients
            .countries
            .sort_by_key(|country| std::cmp::Reverse(country.queries));
        clients.countries.truncate(MAX_COUNTRIES);
    }
    names
}

impl Clients {
    /// The countries with their shares in percent, most first.
    pub fn shares(&self) -> String {
        let share = |CountryQueries { country, queries }: &CountryQueries| {
            let percent = 100.0 * *queries as f64 / self.queries as f64;
            match percent {
                ..1.0 => format!("{country} < 1 %"),
                _ => format!("{country} {percent:.0} %"),
            }
        };
        let shares: Vec<_> = self.countries.iter().map(share).collect();
        shares.join(", ")
    }
}

impl Page {
    /// Queries by country; only pairs that occur have a series.
    pub(super) fn countries(&mut self, plan: &Plan) {
        let totals = plan.countries.totals();
        let names: Vec<String> = (plan.config.pools.steered.iter())
            .map(|steered| steered.owner.plain())
            .collect();
        self.counter(
            "meridian_steered_queries_total",
            "Queries for steered names by the client's country, estimated from a sample.",
            ["name", "country"],
            totals.iter().filter_map(|((name, origin), n)| {
                let name = names.get(name.index())?;
                Some(([&**name, origin.as_str()], *n as f64))
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_queries() {
        let row = |country: &str, queries| CountryQueries {
            country: country.into(),
            queries,
        };
        let clients = Clients {
            queries: 1_000,
            countries: vec![row("US", 601), row("unknown", 300), row("DE", 5)],
        };
        assert_eq!(clients.shares(), "US 60 %, unknown 30 %, DE < 1 %");
        assert_eq!(Clients::default().shares(), "");
    }
}
