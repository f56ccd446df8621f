//! Regions: vantages at one place, which judge endpoints for the clients near them.

use crate::base::location::Point;
use crate::config::model::Config;
use crate::health::monitor::QuorumScope;

/// Vantages that are no farther from the first of a region are of it, in kilometres: one metropolitan area.
const REGION_KM: f64 = 100.0;

/// Where some vantages are.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The location of its first vantage.
    pub point: Point,
    /// The names of its vantages.
    pub vantages: Vec<Box<str>>,
}

/// The regions of all vantages with a location, in file order; none if no monitor asks for them.
pub fn regions(config: &Config) -> Vec<Region> {
    let mut monitors = config.pools.monitors.iter();
    if !monitors.any(|monitor| monitor.quorum_scope == QuorumScope::Region) {
        return Vec::new();
    }
    let mut regions: Vec<Region> = Vec::new();
    for (name, point) in &config.process.vantage_locations {
        let is_near = |region: &&mut Region| region.point.distance_km(*point) <= REGION_KM;
        match regions.iter_mut().find(is_near) {
            Some(region) => region.vantages.push(name.clone()),
            None => regions.push(Region {
                point: *point,
                vantages: vec![name.clone()],
            }),
        }
    }
    regions
}
