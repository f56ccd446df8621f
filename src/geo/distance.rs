//! Pools by their distance from a client, in groups of equally near ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::ix::PoolIx;
use crate::base::location::Point;
use crate::geo::rules::Site;

/// Pools less than this farther than the nearest of their group share its clients.
const TIE_KM: f64 = 1.0;

/// Groups of sites, nearest first; inside a group in the operator's order. Lazy: from a heap, as of
/// thousands of sites only the first few are asked for.
pub(super) fn by_distance(sites: &[Site], point: Point) -> impl Iterator<Item = Vec<Site>> {
    let distances = distances(sites, point);
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

/// An integer key with the order of `f64::total_cmp`.
fn ordered(km: f64) -> i64 {
    let bits = km.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The first group with a wanted pool among those of [`by_distance`], without sorting all sites
/// (`outage` of `cargo bench --bench growth -- pools`).
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
    // Groups are formed from the nearest pool on, so where one begins depends on all nearer pools, but only
    // back to a gap: after that a group begins for sure. The window widens until it holds one.
    let mut width = 8.0 * TIE_KM;
    let start = loop {
        let edge = nearest - width;
        let is_near = |km: &f64| *km > edge && *km <= nearest;
        let mut window: Vec<f64> = distances.iter().copied().filter(is_near).collect();
        window.sort_by(f64::total_cmp);
        let is_all = distances.iter().all(|km| *km > edge);
        let before = if is_all { f64::NEG_INFINITY } else { edge };
        if let Some(start) = last_group_start(&window, before) {
            break start;
        }
        width *= 4.0;
    };
    let in_group = |km: f64| km == start || (km > start && km < start + TIE_KM);
    let group = sites
        .iter()
        .zip(&distances)
        .filter(|(_, km)| in_group(**km));
    Some(group.map(|(site, _)| *site).collect())
}

/// The distance at which the last group of some ascending distances begins; `None` if there is no gap in
/// them, nor between them and `before`.
fn last_group_start(ascending: &[f64], mut before: f64) -> Option<f64> {
    let mut start = None;
    for km in ascending.iter().copied() {
        if before + TIE_KM <= km || start.is_some_and(|start: f64| start + TIE_KM <= km) {
            start = Some(km);
        }
        before = km;
    }
    start
}
