//! Floor 2: the world map of the status page and of `simulate --svg`.
//!
//! The projection is Equal Earth (Šavrič, Patterson and Jenny 2018), which shows areas in their true
//! proportions. `geoip/world.py` has drawn the countries in it; the places of pools are projected here.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::base::location::Country;
use crate::base::location::Point;

/// The width of the map; distances in it have no unit.
pub const WIDTH: f64 = 1000.0;

/// Its height.
pub const HEIGHT: f64 = 486.717;

/// A country that has an outline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountryPath {
    /// ISO 3166-1 alpha-2, and XK for Kosovo.
    pub code: Country,
    /// SVG path data, to be filled by the even-odd rule.
    pub path: &'static str,
}

/// The countries that are large enough for an outline, sorted by code.
pub fn countries() -> &'static [CountryPath] {
    &COUNTRIES
}

static COUNTRIES: LazyLock<Vec<CountryPath>> = LazyLock::new(|| {
    include_str!("../../geoip/world.txt")
        .lines()
        .map(|line| country(line).expect("every line of the embedded map is well-formed"))
        .collect()
});

/// Reads `CODE PATH`.
fn country(line: &'static str) -> Option<CountryPath> {
    let (code, path) = line.split_once(' ')?;
    let code = code.parse().ok()?;
    Some(CountryPath { code, path })
}

/// Where a place is on the map: to the right of its left edge, and below its upper one.
pub fn project(point: Point) -> (f64, f64) {
    const A: [f64; 4] = [1.340264, -0.081106, 0.000893, 0.003796];
    let m = 3_f64.sqrt() / 2.0;
    let t = (m * point.latitude.to_radians().sin()).asin();
    let (t2, t6) = (t.powi(2), t.powi(6));
    let slope = A[0] + 3.0 * A[1] * t2 + t6 * (7.0 * A[2] + 9.0 * A[3] * t2);
    let x = point.longitude.to_radians() * t.cos() / (m * slope);
    let y = t * (A[0] + A[1] * t2 + t6 * (A[2] + A[3] * t2));
    (WIDTH / 2.0 + SCALE * x, HEIGHT / 2.0 - SCALE * y)
}

/// Units of the map per radian at the centre: half the width is where 180 degrees east are on the equator.
const SCALE: f64 = WIDTH / 2.0 * 0.866_025_403_784_438_6 * 1.340264 / std::f64::consts::PI;

/// The edge of the Earth as SVG path data.
pub fn outline() -> &'static str {
    &OUTLINE
}

static OUTLINE: LazyLock<String> = LazyLock::new(|| {
    let latitudes = || (-18..=18).map(|tens| f64::from(tens) * 5.0);
    let west = latitudes().map(|latitude| (latitude, -180.0));
    let east = latitudes().rev().map(|latitude| (latitude, 180.0));
    let mut path = String::new();
    for (latitude, longitude) in west.chain(east) {
        let (x, y) = project(Point {
            latitude,
            longitude,
        });
        // Writing to a string cannot fail.
        let _ = write!(
            path,
            "{}{x:.1},{y:.1}",
            if path.is_empty() { 'M' } else { 'L' }
        );
    }
    path.push('z');
    path
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmdb::countries;

    #[test]
    fn places_are_where_the_projection_has_them() {
        // As PROJ's `eqearth` has them.
        for (latitude, longitude, x, y) in [
            (0.0, 0.0, 500.0, 243.36),
            (0.0, 180.0, 1000.0, 243.36),
            (0.0, -180.0, 0.0, 243.36),
            (90.0, 0.0, 500.0, 0.0),
            (60.0, -120.0, 248.88, 42.31),
            (-90.0, 0.0, 500.0, HEIGHT),
            (48.85, 2.35, 505.43, 72.80),
            (-33.87, 151.21, 885.55, 366.15),
        ] {
            let point = Point::new(latitude, longitude).expect("a point");
            let (found_x, found_y) = project(point);
            assert!(
                (found_x - x).abs() < 0.01 && (found_y - y).abs() < 0.01,
                "{latitude} {longitude}: {found_x} {found_y}"
            );
        }
    }

    /// The corners of a path of absolute `M` and relative `l` steps.
    fn corners(path: &str) -> Vec<(f64, f64)> {
        let mut corners = Vec::new();
        for ring in path.split_terminator('z') {
            let ring = ring.strip_prefix('M').expect("a ring begins with M");
            let (start, steps) = ring.split_once('l').expect("relative steps");
            let numbers = format!("{start} {steps}")
                .replace('-', " -")
                .replace(',', " ");
            let numbers = numbers.split_whitespace().map(|n| n.parse::<f64>());
            let numbers: Vec<f64> = numbers.collect::<Result<_, _>>().expect("numbers");
            let (mut x, mut y) = (0.0, 0.0);
            for pair in numbers.chunks(2) {
                (x, y) = (x + pair[0], y + pair[1]);
                corners.push((x, y));
            }
        }
        corners
    }

    #[test]
    fn every_outline_is_on_the_map_and_of_a_country_that_databases_know() {
        assert!(countries().is_sorted_by(|a, b| a.code < b.code));
        assert!(countries().len() > 170);
        for CountryPath { code, path } in countries() {
            assert!(countries::country(*code).is_some(), "{code}");
            let corners = corners(path);
            assert!(corners.len() > 2, "{code}");
            for (x, y) in corners {
                let is_inside = (0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT + 0.5).contains(&y);
                assert!(is_inside, "{code}: {x} {y}");
            }
        }
    }

    #[test]
    fn countries_lie_where_their_people_are() {
        for (code, latitude, longitude) in [
            ("FR", 46.5, 2.5),
            ("AU", -25.0, 134.0),
            ("RU", 60.0, 100.0),
            ("US", 40.0, -100.0),
            ("ZA", -31.0, 22.0),
            ("NZ", -44.0, 170.5),
        ] {
            let (x, y) = project(Point::new(latitude, longitude).expect("a point"));
            let country = countries().iter().find(|c| c.code.to_string() == code);
            let corners = corners(country.expect("an outline").path);
            let around = |near: fn(&(f64, f64)) -> f64, at: f64| {
                corners.iter().any(|c| near(c) < at) && corners.iter().any(|c| near(c) > at)
            };
            assert!(around(|c| c.0, x) && around(|c| c.1, y), "{code}: {x} {y}");
        }
    }

    /// Bands across the whole picture are what outlines that were not cut look like.
    #[test]
    fn no_outline_crosses_the_map() {
        for CountryPath { code, path } in countries() {
            if code.to_string() == "AQ" {
                continue;
            }
            for ring in path.split_inclusive('z') {
                let corners = corners(ring);
                let widest = corners.windows(2).map(|pair| (pair[1].0 - pair[0].0).abs());
                let widest = widest.fold(0.0, f64::max);
                assert!(widest < 60.0, "{code}: an edge {widest} wide");
            }
        }
    }
}
