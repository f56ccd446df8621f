//! What two GeoIP databases say differently: how many addresses have another country, city or place.

use std::collections::BTreeMap;

use crate::base::location::Country;
use crate::base::location::Location;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::census::clients::Clients;
use crate::geo::atlas::Atlas;

/// Countries of before and after; `None`: unknown.
pub type Change = [Option<Country>; 2];

/// Addresses: of IPv4 each, of IPv6 the /48s.
pub type Count = PerFamily<f64>;

/// What differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// Addresses that either database locates; the others are of these.
    pub located: Count,
    /// Those that only the new one locates.
    pub gained: Count,
    /// Those that only the old one locates.
    pub lost: Count,
    /// Those in another country, also in one instead of none.
    pub country: Count,
    /// Those in another city, or in one instead of none.
    pub city: Count,
    /// Those whose coordinates are farther from the old ones than asked for.
    pub moved: Count,
    /// Those in another country, by which; most first.
    pub by_country: Vec<(Change, Count)>,
}

/// Compares two databases; coordinates that differ by more than so many kilometres have moved.
pub fn compare(old: &Atlas, new: &Atlas, km: f64) -> Differences {
    let mut found = Differences::default();
    let mut by_country = BTreeMap::<Change, Count>::new();
    for family in Family::ALL {
        let tables = [old.places(), new.places()];
        for ([old_ix, new_ix], n) in Clients::World.tally(family, tables) {
            let [before, after] = [
                &old.locations()[old_ix as usize],
                &new.locations()[new_ix as usize],
            ];
            let is_located = [before, after].map(Location::is_located);
            if is_located == [false, false] {
                continue;
            }
            found.located[family] += n;
            match is_located {
                [false, _] => found.gained[family] += n,
                [_, false] => found.lost[family] += n,
                _ => {}
            }
            if before.country != after.country {
                found.country[family] += n;
                by_country
                    .entry([before.country, after.country])
                    .or_default()[family] += n;
            }
            if (&before.city, before.city_id) != (&after.city, after.city_id) {
                found.city[family] += n;
            }
            if let (Some(from), Some(to)) = (before.point, after.point)
                && from.distance_km(to) > km
            {
                found.moved[family] += n;
            }
        }
    }
    let share = |count: &Count| {
        let of = |family| count[family] / f64::max(found.located[family], 1.0);
        f64::max(of(Family::V4), of(Family::V6))
    };
    let mut sorted: Vec<_> = by_country.into_iter().collect();
    sorted.sort_by(|(_, a), (_, b)| share(b).total_cmp(&share(a)));
    found.by_country = sorted;
    found
}

#[cfg(test)]
mod tests {
    use crate::mmdb::writer;
    use crate::mmdb::writer::Header;
    use crate::mmdb::writer::Range;
    use crate::mmdb::writer::Value;

    use super::*;

    /// A database of these /8s, each with a country, a city and a longitude on the equator.
    fn atlas(networks: &[(u8, &str, &str, f64)]) -> Atlas {
        let text = |text: &str| Value::Text(text.to_owned());
        let record = |(_, country, city, longitude): &(u8, &str, &str, f64)| {
            Value::Map(vec![
                ("country_code", text(country)),
                ("city", text(city)),
                ("latitude", Value::Double(0.0)),
                ("longitude", Value::Double(*longitude)),
            ])
        };
        let records: Vec<_> = networks.iter().map(record).collect();
        let range = |(at, network): (usize, &(u8, &str, &str, f64))| {
            let first = u128::from(network.0) << 24;
            Range {
                first,
                last: first + 0xff_ffff,
                record: at as u32,
            }
        };
        let mut ranges: Vec<_> = networks.iter().enumerate().map(range).collect();
        // A /32 of IPv6, in the first one's place.
        ranges.push(Range {
            first: 0x2a00_0000 << 96,
            last: (0x2a00_0001 << 96) - 1,
            record: 0,
        });
        let header = Header {
            database_type: "Test-City",
            description: "",
            build_epoch: 1,
        };
        let bytes = writer::write(header, &ranges, &records).expect("sound");
        Atlas::read(bytes, None, &|_| None).expect("sound")
    }

    #[test]
    fn addresses_are_counted_by_what_differs() {
        let old = atlas(&[
            (20, "FR", "Lyon", 4.0),
            (21, "DE", "Bonn", 7.0),
            (22, "US", "Reno", -119.0),
        ]);
        let new = atlas(&[
            (20, "CH", "Lyon", 4.5),
            (21, "DE", "Köln", 6.0),
            (23, "US", "Reno", -119.0),
        ]);
        let found = compare(&old, &new, 100.0);
        let block = f64::from(1 << 24);
        let count = |v4: u8, v6: u32| Count {
            v4: f64::from(v4) * block,
            v6: f64::from(v6),
        };
        let country = |code: &str| Some(code.parse().expect("a country"));
        let [fr, ch, us] = ["FR", "CH", "US"].map(country);
        let expected = Differences {
            located: count(4, 65_536),
            gained: count(1, 0),
            lost: count(1, 0),
            country: count(3, 65_536),
            city: count(3, 0),
            moved: count(1, 0),
            by_country: vec![
                ([fr, ch], count(1, 65_536)),
                ([None, us], count(1, 0)),
                ([us, None], count(1, 0)),
            ],
        };
        assert_eq!(found, expected);
        assert_eq!(compare(&old, &old, 0.0).country, Count::default());
    }
}
