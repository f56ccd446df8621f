//! Rules, regions and rows of the latency table with clients that the databases, or client subnets as they are cut, can never match: worth
//! a warning, no fault, as another database may know them.

use std::collections::BTreeSet;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::did_you_mean;
use crate::base::location::City;
use crate::base::location::Location;
use crate::base::prefix::Prefix;
use crate::config::model::Ecs;
use crate::config::model::Pools;
use crate::geo::atlas::Atlas;
use crate::geo::rules::Matcher;
use crate::latency::key::Key;
use crate::latency::table::Table;

/// How many unknown cities are searched for the one that was meant; each is compared with all of its country.
const MAX_SEARCHES: usize = 20;

/// Warns of what matches nobody, once for each rule or region.
pub(super) fn warn(pools: &Pools, ecs: &Ecs, atlas: &Atlas, report: &mut Report) {
    let known = Known::of(atlas);
    let own = pools.steered.iter().flat_map(|steered| {
        let ecs = Ecs {
            enabled: ecs.enabled && steered.ecs,
            ..*ecs
        };
        let rules = steered.rules.iter().filter(|rule| rule.regions.is_empty());
        rules.map(move |rule| (&rule.place, &rule.matcher, ecs))
    });
    let regions = pools.regions.iter();
    let regions = regions.map(|region| (&region.place, &region.matcher, *ecs));
    let mut n_searches = 0;
    for (place, matcher, ecs) in regions.chain(own) {
        known.warn_of(matcher, place, &ecs, report);
        if known.has_cities {
            known.warn_of_cities(&matcher.cities, place, &mut n_searches, report);
        }
    }
}

/// Warns of rows of the latency table, once for each kind of key.
pub(super) fn warn_of_rows(table: &Table, place: &Place, atlas: &Atlas, report: &mut Report) {
    let known = Known::of(atlas);
    let has = |is_of_kind: fn(&Key) -> bool| table.keys().iter().any(is_of_kind);
    if !known.has_systems && has(|key| matches!(key, Key::Asn(_))) {
        let message = "rows by AS number count for nobody without [geoip] asn_database";
        report.warning(place.clone(), message);
    }
    if !known.has_subdivisions && has(|key| matches!(key, Key::Subdivision(_))) {
        let message =
            "rows by subdivision count for nobody: the GeoIP database has no subdivisions";
        report.warning(place.clone(), message);
    }
}

/// What the databases know.
struct Known<'a> {
    locations: &'a [Location],
    has_systems: bool,
    has_subdivisions: bool,
    has_cities: bool,
    has_city_ids: bool,
}

impl<'a> Known<'a> {
    fn of(atlas: &'a Atlas) -> Self {
        let locations = atlas.locations();
        let any = |has: fn(&Location) -> bool| locations.iter().any(has);
        Self {
            locations,
            has_systems: atlas.about_asn().is_some(),
            has_subdivisions: any(|location| !location.subdivisions.is_empty()),
            has_cities: any(|location| location.city.is_some()),
            has_city_ids: any(|location| location.city_id.is_some()),
        }
    }

    /// Warns of kinds of clients that nothing is known of, and of networks that are too long.
    fn warn_of(&self, matcher: &Matcher, place: &Place, ecs: &Ecs, report: &mut Report) {
        let mut warn = |message: String| report.warning(place.clone(), message);
        if !matcher.systems.is_empty() && !self.has_systems {
            warn("an asn matches nobody without [geoip] asn_database".to_owned());
        }
        if !matcher.subdivisions.is_empty() && !self.has_subdivisions {
            warn("a subdivision matches nobody: the GeoIP database has no subdivisions".to_owned());
        }
        if !matcher.cities.is_empty() && !self.has_cities {
            warn("a city matches nobody: the GeoIP database has no cities".to_owned());
        }
        if let Some(network) = too_long_for(ecs, &matcher.networks) {
            warn(format!(
                "`{network}` is longer than [ecs] max_scope_{}, {}, that client subnets are cut to: the \
                 rule decides for resolvers that send none, and for no client subnet unless it holds \
                 most of one",
                network.family(),
                ecs.max_scope()[network.family()],
            ));
        }
    }

    /// Warns of cities that the database does not have.
    fn warn_of_cities(
        &self,
        cities: &[City],
        place: &Place,
        n_searches: &mut usize,
        report: &mut Report,
    ) {
        for city in cities {
            if self
                .locations
                .iter()
                .any(|location| city.contains(location))
            {
                continue;
            }
            *n_searches += 1;
            let meant = (*n_searches <= MAX_SEARCHES)
                .then(|| self.meant(city))
                .flatten();
            let hint = match meant {
                Some(meant) => format!("; did you mean `{meant}`?"),
                None if matches!(city, City::Id(_)) && !self.has_city_ids => {
                    "; it has no GeoNames ids, but names such as \"DE:Hamburg\"".to_owned()
                }
                None => String::new(),
            };
            let message =
                format!("`{city}` matches nobody: the GeoIP database has no such city{hint}");
            report.warning(place.clone(), message);
        }
    }

    /// The city of the same country or subdivision that was probably meant.
    fn meant(&self, city: &City) -> Option<City> {
        let City::Named {
            country,
            subdivision,
            name,
        } = city
        else {
            return None;
        };
        let locations = self.locations.iter();
        let near = locations.filter(|location| {
            let is_within = subdivision.is_none_or(|s| location.subdivisions.contains(&s));
            location.country == Some(*country) && is_within
        });
        let names: BTreeSet<&str> = near.filter_map(|near| near.city.as_deref()).collect();
        Some(City::Named {
            country: *country,
            subdivision: *subdivision,
            name: did_you_mean(name, names)?.into(),
        })
    }
}

/// The first network that is longer than the granularity of client subnets.
fn too_long_for(ecs: &Ecs, networks: &[Prefix]) -> Option<Prefix> {
    let max_scope = ecs.max_scope();
    let mut networks = networks.iter().copied().filter(|_| ecs.enabled);
    networks.find(|network| network.len() > max_scope[network.family()])
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use crate::config;
    use crate::config::safety::Safety;
    use crate::daemon::load::embedded_atlas;
    use crate::mmdb::writer;
    use crate::mmdb::writer::Value;

    use super::*;
    use crate::latency::table::Limits;
    use crate::latency::table::Row;

    /// A database of Hamburg, with its GeoNames id or without, and perhaps its subdivision.
    fn atlas(id: Option<u32>, subdivision: Option<&str>) -> Atlas {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut city = vec![("names", Value::Map(vec![("en", text("Hamburg"))]))];
        city.extend(id.map(|id| ("geoname_id", Value::Uint32(id))));
        let mut record = vec![
            ("city", Value::Map(city)),
            ("country", Value::Map(vec![("iso_code", text("DE"))])),
        ];
        record.extend(subdivision.map(|code| {
            let subdivision = Value::Map(vec![("iso_code", text(code))]);
            ("subdivisions", Value::Array(vec![subdivision]))
        }));
        let range = writer::Range {
            first: 0xC000_0200,
            last: 0xC000_02FF,
            record: 0,
        };
        let header = writer::Header {
            database_type: "X-City",
            description: "test",
            build_epoch: 1,
        };
        let bytes = writer::write(header, &[range], &[Value::Map(record)]).expect("one range");
        Atlas::read(bytes, None, &|_| None).expect("a sound database")
    }

    /// The warnings about a key of a region and of a rule, each without its place.
    fn warnings(matched: &str, atlas: &Atlas) -> Vec<String> {
        let pools = format!(
            "[pool.a]\nlocation = [0, 0]\nendpoints = [\"192.0.2.1\"]\n\
             [region.r]\n{matched}\n[steer.\"a.example\"]\npools = [\"a\"]\n\
             [[steer.\"a.example\".rule]]\nregion = [\"r\"]\npools = [\"a\"]\n\
             [[steer.\"a.example\".rule]]\n{matched}\npools = [\"a\"]\n"
        );
        let source = config::Source {
            file: Arc::from("pools.toml"),
            dir: Path::new(""),
            text: &pools,
        };
        let mut report = Report::default();
        let pools = config::pools(&source, &Safety::default(), &mut report).expect("no fault");
        assert_eq!(report.to_string(), "");
        let ecs = Ecs {
            enabled: true,
            max_scope_ipv4: 24,
            max_scope_ipv6: 56,
        };
        warn(&pools, &ecs, atlas, &mut report);
        let lines = report.to_string();
        let lines = lines.lines().filter_map(|line| line.split_once(": "));
        let (places, texts): (Vec<_>, Vec<_>) = lines.unzip();
        let lines = places.iter().filter_map(|place| place.rsplit_once(':'));
        let lines: Vec<&str> = lines.map(|(line, _)| line).collect();
        assert!(
            lines.is_empty() || lines == ["pools.toml:4", "pools.toml:12"],
            "{lines:?}"
        );
        assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
        texts.into_iter().take(1).map(str::to_owned).collect()
    }

    #[test]
    fn rows_that_count_for_nobody_are_warned_of_once_for_each_kind_of_key() {
        let by_asn = "latency.csv:1:1: warning: rows by AS number count for nobody without [geoip] asn_database\n";
        let by_subdivision = "latency.csv:1:1: warning: rows by subdivision count for nobody: the GeoIP database has \
                              no subdivisions\n";
        let (with, without) = (atlas(None, Some("HH")), atlas(None, None));
        for (keys, atlas, expected) in [
            (
                &["DE", "continent:EU", "192.0.2.0/24"][..],
                &without,
                String::new(),
            ),
            (&["AS1", "AS2"][..], &with, by_asn.to_owned()),
            (&["DE-HH", "US-CA"][..], &with, String::new()),
            (
                &["DE-HH", "AS1", "US-CA"][..],
                &without,
                format!("{by_asn}{by_subdivision}"),
            ),
        ] {
            let rows = keys.iter().map(|key| Row {
                key: key.parse().expect("a key"),
                pool: 0,
                rtt_ms: 1.0,
                samples: None,
                measured: None,
            });
            let limits = Limits {
                min_samples: 1,
                max_age: 1,
                now: 0,
            };
            let table = Table::new(rows.collect(), vec!["a".into()], &limits);
            let mut report = Report::default();
            warn_of_rows(
                &table,
                &Place::file(&"latency.csv".into()),
                atlas,
                &mut report,
            );
            assert_eq!(report.to_string(), expected, "{keys:?}");
        }
    }

    #[test]
    fn what_matches_nobody_is_warned_of_once_for_each_rule_and_region() {
        let countries = embedded_atlas().expect("a sound database");
        let (with_id, without) = (atlas(Some(2_911_298), Some("HH")), atlas(None, None));
        for (matched, atlas, expected) in [
            ("country = [\"DE\"]", &countries, ""),
            ("asn = [1]", &with_id, "an asn matches nobody without"),
            ("subdivision = [\"DE-HH\"]", &with_id, ""),
            (
                "subdivision = [\"DE-HH\"]",
                &without,
                "the GeoIP database has no subdivisions",
            ),
            (
                "city = [\"DE:Hamburg\"]",
                &countries,
                "the GeoIP database has no cities",
            ),
            (
                "city = [\"DE:Hamburg\", \"DE-HH:Hamburg\", \"geoname:2911298\"]",
                &with_id,
                "",
            ),
            ("city = [\"DE:Hamburg\"]", &without, ""),
            (
                "city = [\"DE:Hambrug\"]",
                &with_id,
                "did you mean `DE:Hamburg`?",
            ),
            (
                "city = [\"DE-HH:Hambrug\"]",
                &with_id,
                "did you mean `DE-HH:Hamburg`?",
            ),
            (
                "city = [\"DE-BY:Hamburg\"]",
                &with_id,
                "`DE-BY:Hamburg` matches nobody",
            ),
            ("city = [\"geoname:1\"]", &with_id, "has no such city"),
            ("city = [\"geoname:1\"]", &without, "it has no GeoNames ids"),
            (
                "network = [\"192.0.2.0/25\"]",
                &with_id,
                "longer than [ecs] max_scope_ipv4, 24",
            ),
            ("network = [\"192.0.2.0/24\"]", &with_id, ""),
        ] {
            let found = warnings(matched, atlas);
            let is_expected = match expected {
                "" => found.is_empty(),
                _ => found.iter().any(|warning| warning.contains(expected)),
            };
            assert!(is_expected, "{matched}: {found:?}, expected {expected:?}");
        }
    }
}
