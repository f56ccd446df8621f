//! `Record`: what a record says of where its addresses are, whoever made the database.
//!
//! Vendors agree on the file format, not on the fields. Each fact is looked for under the names of
//! MaxMind's City, Country and ASN (DB-IP and IP2Location have the same), then under the flat names of
//! IPinfo, IPLocate and others; the first that holds a usable value counts. Numbers may be of any MMDB
//! type, or text. A value of a type or range that means nothing counts as absent; see
//! `geoip/README.md`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeSeed;
use serde::de::Error;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;

use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Point;
use crate::base::location::Subdivision;

/// The fields used here of the record of a network; all others are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record {
    asn: Value,
    autonomous_system_number: Value,
    city: Value<Place>,
    continent: Value<Place>,
    continent_code: Value,
    country: Value<Place>,
    country_code: Value,
    lat: Value,
    latitude: Value,
    lng: Value,
    location: Value<Place>,
    longitude: Value,
    region_code: Value,
    subdivisions: Value<Place>,
}

/// The same of a map inside.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    code: Value,
    geoname_id: Value,
    iso_code: Value,
    latitude: Value,
    longitude: Value,
    names: Value<Names>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    en: Value,
}

/// The fields that locate an address, as messages name them.
pub const LOCATION_FIELDS: &str = "`country.iso_code`, `country_code`, `country`, `continent.code`, \
     `continent_code`, `continent`, `location.latitude` and `.longitude`, `latitude` and `longitude`, \
     `lat` and `lng`";

/// The fields that hold an AS number, as messages name them.
pub const SYSTEM_FIELDS: &str = "`autonomous_system_number`, `asn`";

impl Record {
    /// From what a database holds for a network: a map, or something that means nothing here.
    pub(super) fn from_value(value: Value<Self>) -> Self {
        match value {
            Value::Map(record) => *record,
            _ => Self::default(),
        }
    }

    /// The country.
    pub fn country(&self) -> Option<Country> {
        let nested = self.country.map().map(|country| &country.iso_code);
        let texts = [
            nested.and_then(Value::text),
            self.country_code.text(),
            self.country.text(),
        ];
        first_that_parses(texts)
    }

    /// The continent.
    pub fn continent(&self) -> Option<Continent> {
        let nested = self.continent.map().map(|continent| &continent.code);
        let texts = [
            nested.and_then(Value::text),
            self.continent_code.text(),
            self.continent.text(),
        ];
        first_that_parses(texts)
    }

    /// The coordinates.
    pub fn point(&self) -> Option<Point> {
        let nested = self.location.map();
        let nested = nested.map(|location| (&location.latitude, &location.longitude));
        let flat = [(&self.latitude, &self.longitude), (&self.lat, &self.lng)];
        nested
            .into_iter()
            .chain(flat)
            .find_map(|(latitude, longitude)| Point::new(latitude.number()?, longitude.number()?))
    }

    /// The subdivisions of its country, largest first.
    pub fn subdivisions(&self) -> Vec<Subdivision> {
        let Some(country) = self.country() else {
            return Vec::new();
        };
        let nested = self.subdivisions.list().iter();
        let nested = nested.filter_map(|subdivision| subdivision.map()?.iso_code.text());
        nested
            .chain(self.region_code.text())
            .filter_map(|code| match code.split_once('-') {
                // Some vendors write the code in full: `US-CA`.
                Some((prefix, code)) if prefix == country.as_str() => {
                    Subdivision::new(country, code)
                }
                _ => Subdivision::new(country, code),
            })
            .collect()
    }

    /// The city's English name.
    pub fn city(&self) -> Option<&str> {
        let nested = self.city.map().and_then(|city| city.names.map());
        nested.map_or(self.city.text(), |names| names.en.text())
    }

    /// The city's GeoNames id.
    pub fn city_id(&self) -> Option<u32> {
        whole(&self.city.map()?.geoname_id).filter(|id| *id != 0)
    }

    /// The AS number, `64496` or `AS64496`.
    pub fn asn(&self) -> Option<u32> {
        let number = |value: &Value| match value.text() {
            Some(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
            None => whole(value),
        };
        number(&self.autonomous_system_number).or_else(|| number(&self.asn))
    }
}

/// A number without a fraction.
fn whole(value: &Value) -> Option<u32> {
    let number = value.number()? as u32;
    (Some(f64::from(number)) == value.number()).then_some(number)
}

fn first_that_parses<T: FromStr>(texts: [Option<&str>; 3]) -> Option<T> {
    texts
        .into_iter()
        .flatten()
        .find_map(|text| text.parse().ok())
}

/// A value of any type; `M` is what a map is read as.
#[derive(Debug, Default)]
pub(super) enum Value<M = IgnoredAny> {
    /// The first [`MAX_LEN`] values of a list; lists in it are unusable.
    List(Vec<Self>),
    Map(Box<M>),
    Number(f64),
    Text(String),
    /// There is none, or one that means nothing here.
    #[default]
    Unusable,
}

/// Databases in use have two levels of subdivisions at most.
const MAX_LEN: usize = 4;

impl<M> Value<M> {
    fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    fn map(&self) -> Option<&M> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for Value<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ValueSeed::new(false).deserialize(deserializer)
    }
}

/// Reads a value. Its size is bounded by its type alone: pointers could make lists in lists endless.
struct ValueSeed<M> {
    in_list: bool,
    map: PhantomData<M>,
}

impl<M> ValueSeed<M> {
    fn new(in_list: bool) -> Self {
        let map = PhantomData;
        Self { in_list, map }
    }
}

impl<'de, M: Deserialize<'de>> DeserializeSeed<'de> for ValueSeed<M> {
    type Value = Value<M>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<M>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Deserialize<'de>> Visitor<'de> for ValueSeed<M> {
    type Value = Value<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value<M>, E> {
        Ok(Value::Unusable)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Value<M>, E> {
        Ok(Value::Unusable)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value<M>, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value<M>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value<M>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Value<M>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<M>, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value<M>, A::Error> {
        let map = M::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Value::Map(Box::new(map)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<M>, A::Error> {
        let mut values = Vec::new();
        while !self.in_list
            && values.len() < MAX_LEN
            && let Some(value) = list.next_element_seed(Self::new(true))?
        {
            values.push(value);
        }
        IgnoredAny.visit_seq(list)?;
        Ok(Value::List(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vendor, record, and what it says: continent, country, subdivisions, coordinates, city with its id, AS
    /// number.
    const RECORDS: &[(&str, &str, &str)] = &[
        (
            "MaxMind City",
            r#"{"city": {"geoname_id": 5391959, "names": {"de": "-", "en": "San Francisco"}},
                "continent": {"code": "NA", "names": {"en": "North America"}},
                "country": {"iso_code": "US", "names": {"en": "United States"}},
                "location": {"accuracy_radius": 20, "latitude": 37.75, "longitude": -122.5},
                "registered_country": {"iso_code": "FR"}, "subdivisions": [{"iso_code": "CA"},
                {"iso_code": "075"}]}"#,
            "NA US US-CA,US-075 37.75,-122.5 San Francisco 5391959 -",
        ),
        (
            "registered only",
            r#"{"registered_country": {"iso_code": "FR"}}"#,
            "- -  - - -",
        ),
        (
            "MaxMind ASN",
            r#"{"autonomous_system_number": 64496, "autonomous_system_organization": "X"}"#,
            "- -  - - 64496",
        ),
        (
            "IPinfo Lite",
            r#"{"as_domain": "example.com", "as_name": "X", "asn": "AS64496",
                "continent": "North America", "continent_code": "NA", "country": "United States",
                "country_code": "US"}"#,
            "NA US  - - 64496",
        ),
        (
            "IPinfo country",
            r#"{"continent": "NA", "continent_name": "North America", "country": "US",
                "country_name": "United States"}"#,
            "NA US  - - -",
        ),
        (
            "IPinfo location, all text",
            r#"{"city": "San Francisco", "country": "US", "lat": "37.75", "lng": "-122.5",
                "region": "California", "region_code": "CA"}"#,
            "- US US-CA 37.75,-122.5 San Francisco -",
        ),
        (
            "IPLocate",
            r#"{"asn": 64496, "continent_code": "NA", "country_code": "US"}"#,
            "NA US  - - 64496",
        ),
        (
            "flat City of ip-location-db",
            r#"{"city": "San Francisco", "country_code": "US", "latitude": 37.75,
                "longitude": -122.5, "state1": "California"}"#,
            "- US  37.75,-122.5 San Francisco -",
        ),
        (
            "whole numbers",
            r#"{"location": {"latitude": 37, "longitude": -122}}"#,
            "- -  37,-122 - -",
        ),
        (
            "full subdivision code",
            r#"{"country_code": "US", "region_code": "US-CA"}"#,
            "- US US-CA - - -",
        ),
        (
            "flat continent",
            r#"{"continent_code": "EU"}"#,
            "EU -  - - -",
        ),
        (
            "nothing usable",
            r#"{"asn": -1, "city": [["x"]], "continent": {"code": "XX"}, "country": "usa",
                "lat": 91, "lng": true, "subdivisions": {"a": 1}, "location": {"latitude": "north",
                "longitude": [1]}}"#,
            "- -  - - -",
        ),
        ("text", r#""US""#, "- -  - - -"),
    ];

    #[test]
    fn records_of_all_vendors_are_understood() {
        for (vendor, record, expected) in RECORDS {
            let record: serde_json::Value = serde_json::from_str(record).expect(vendor);
            let value = Value::deserialize(record).expect("any value");
            let record = Record::from_value(value);
            let word = |word: Option<String>| word.unwrap_or_else(|| "-".into());
            let subdivisions = record.subdivisions();
            let subdivisions: Vec<String> =
                subdivisions.iter().map(Subdivision::to_string).collect();
            let city_id = record.city_id().map(|id| format!(" {id}"));
            let city_id = city_id.unwrap_or_default();
            let found = format!(
                "{} {} {} {} {} {}",
                word(record.continent().map(|c| c.to_string())),
                word(record.country().map(|c| c.to_string())),
                subdivisions.join(","),
                word(
                    record
                        .point()
                        .map(|p| format!("{},{}", p.latitude, p.longitude))
                ),
                word(record.city().map(str::to_owned)) + &city_id,
                word(record.asn().map(|asn| asn.to_string())),
            );
            assert_eq!(found, *expected, "{vendor}");
        }
    }
}
