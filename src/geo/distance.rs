//! Pools by their distance from a client, in groups of equally near ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::ix::PoolIx;
use crate::base::location::Point;
use crate::geo::rules::Site;

/// Pools less than this farther than the nearest of their group share its clients.
const TIE_KM: f64 = 1.0;

/// Nearest first; those as near as the first of their group stand in the operator's order.
pub(super) fn by_distance(sites: &[Site], point: Point) -> impl Iterator<Item = Vec<Site>> {
    let distances = distances(sites, point);
    // A heap: of thousands of pools only the first few are asked for.
    let far = distances.iter().zip(0..);
    let mut far: BinaryHeap<_> = far.map(|(km, at)| Reverse((ordered(*km), at))).collect();
    std::iter::from_fn(move || {
        let Reverse((_, nearest)) = far.pop()?;
        let limit = distances[nearest] + TIE_KM;
        let mut ties = vec![nearest];
        while let Some(Reverse((_, next))) = far.peek().copied()
            && distances[next] < limit
        {
            far.pop();
            ties.push(next);
        }
        ties.sort_unstable();
        Some(ties.into_iter().map(|at| sites[at]).collect())
    })
}

/// How far away each site counts as, in kilometres.
fn distances(sites: &[Site], point: Point) -> Vec<f64> {
    let client = point.direction();
    let distance = |site: &Site| site.direction.distance_km(client) - site.bias_km;
    sites.iter().map(distance).collect()
}

/// A number that stands to others as the distance does, after `f64::total_cmp`.
fn ordered(km: f64) -> i64 {
    let bits = km.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The first group with a wanted pool among those of [`by_distance`], without putting all in order.
pub(super) fn nearest_group(
    sites: &[Site],
    point: Point,
    wanted: &dyn Fn(PoolIx) -> bool,
) -> Option<Vec<Site>> {
    let distances = distances(sites, point);
    let of_wanted = sites
        .iter()
        .zip(&distances)
        .filter(|(site, _)| wanted(site.pool));
    let nearest = of_wanted.map(|(_, km)| *km).min_by(f64::total_cmp)?;
    // Where a group begins depends on all that are nearer, but no farther than to a gap between two.
    let mut width = 8.0 * TIE_KM;
    loop {
        let edge = nearest - width;
        let is_near = |km: f64| km > edge && (km <= nearest || km < nearest + TIE_KM);
        let near = sites.iter().zip(&distances).filter(|(_, km)| is_near(**km));
        let (near, km): (Vec<Site>, Vec<f64>) = near.unzip();
        let is_all = distances.iter().all(|km| *km > edge);
        let mut before = if is_all { f64::NEG_INFINITY } else { edge };
        let mut in_order: Vec<f64> = km.iter().copied().filter(|km| *km <= nearest).collect();
        in_order.sort_by(f64::total_cmp);
        let mut start = None;
        for km in in_order {
            if before + TIE_KM <= km || start.is_some_and(|start: f64| start + TIE_KM <= km) {
                start = Some(km);
            }
            before = km;
        }
        if let Some(start) = start {
            let in_group = |km: f64| km == start || (km > start && km < start + TIE_KM);
            let group = near.into_iter().zip(km).filter(|(_, km)| in_group(*km));
            return Some(group.map(|(site, _)| site).collect());
        }
        width *= 4.0;
    }
}
