//! Verdicts by region: what the vantages of one place say of an endpoint, for the clients near them.
//!
//! Only monitors with `quorum_scope = "region"` have them. The quorum is the same as for all vantages together,
//! among those of the region that have a vote. A region without any says nothing: there the endpoint's health
//! counts.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::health::Health;
use crate::health::health_table::HealthTable;
use crate::health::health_table::RegionalFlip;
use crate::health::monitor::QuorumScope;
use crate::health::observation::Moment;
use crate::health::quorum::judge;

impl HealthTable {
    /// The same table with regions, each by the names of its vantages.
    #[must_use]
    pub fn with_regions(mut self, regions: Vec<Box<[Box<str>]>>) -> Self {
        for endpoint in &mut self.endpoints {
            endpoint.regional = match endpoint.target.monitor.quorum_scope {
                QuorumScope::Global => Box::default(),
                QuorumScope::Region => vec![None; regions.len()].into(),
            };
        }
        self.regions = regions;
        self
    }

    /// The health of an endpoint for the clients of a region.
    pub fn health_in(&self, region: usize, pool: &str, address: IpAddr) -> Health {
        self.worst(pool, address, |endpoint| {
            let regional = endpoint.regional.get(region).copied().flatten();
            regional.unwrap_or(endpoint.health)
        })
    }

    /// What has changed in regions since the last call.
    pub fn take_regional_flips(&mut self) -> Vec<RegionalFlip> {
        std::mem::take(&mut self.regional_flips)
    }

    /// Has every region vote on an endpoint. Without a report that is new (`is_new`), none comes to say down:
    /// old reports that drop out of the vote must not decide.
    pub(super) fn settle_regions(&mut self, at: usize, is_new: bool, now: Moment) {
        for region in 0..self.endpoints[at].regional.len() {
            let to = self.regional_vote(at, region, now);
            let endpoint = &self.endpoints[at];
            let from = endpoint.regional[region];
            if from == to || (!is_new && to == Some(Health::Down)) {
                continue;
            }
            let target = Arc::clone(&endpoint.target);
            let before = self.health_in(region, &target.pool, target.address);
            self.endpoints[at].regional[region] = to;
            if self.health_in(region, &target.pool, target.address) == before {
                continue;
            }
            let vantages = self.regions[region].join(", ").into();
            self.regional_flips.push(RegionalFlip {
                target,
                vantages,
                to,
            });
        }
    }

    fn regional_vote(&self, at: usize, region: usize, now: Moment) -> Option<Health> {
        let endpoint = &self.endpoints[at];
        let members = &self.regions[region];
        let voting = endpoint.vantages.iter().filter(|(index, streak)| {
            let name = &self.vantages[*index].name;
            members.iter().any(|member| **member == **name)
                && self.is_voting(endpoint, *index, streak, now)
        });
        let mut verdicts = voting.map(|(_, streak)| streak.verdict).peekable();
        verdicts.peek()?;
        let previous = endpoint.regional[region].unwrap_or(endpoint.health);
        Some(judge(endpoint.target.monitor.quorum, verdicts, previous))
    }
}
