//! Every country: its code, continent, English name and centre.
//!
//! The centre is where its people are on average, not its middle on the map: a client known only by
//! country is most likely near there (Canada's is by Lake Superior, not in Nunavut). The table is
//! `geoip/countries.csv`, constant data that is parsed once; `geoip/README.md` names its source.

use std::sync::LazyLock;

use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Point;

/// What is known of a country or territory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountryInfo {
    /// ISO 3166-1 alpha-2, and XK for Kosovo.
    pub code: Country,
    /// The continent, as MMDB files have it.
    pub continent: Continent,
    /// The English name.
    pub name: &'static str,
    /// The population-weighted centre.
    pub centre: Point,
}

/// Looks a country up by its code; `None` if the code is not assigned.
pub fn country(code: Country) -> Option<&'static CountryInfo> {
    let at = TABLE.binary_search_by_key(&code, |info| info.code).ok()?;
    TABLE.get(at)
}

/// Returns all countries, sorted by code.
pub fn all() -> &'static [CountryInfo] {
    &TABLE
}

static TABLE: LazyLock<Vec<CountryInfo>> = LazyLock::new(|| {
    include_str!("../../geoip/countries.csv")
        .lines()
        .skip(1)
        .map(|line| row(line).expect("every row of the embedded table is well-formed"))
        .collect()
});

/// Reads `code,name,continent,latitude,longitude`; no field holds a comma.
fn row(line: &'static str) -> Option<CountryInfo> {
    let mut fields = line.split(',');
    let mut next = || fields.next();
    let (code, name, continent) = (next()?, next()?, next()?);
    let (latitude, longitude) = (next()?.parse().ok()?, next()?.parse().ok()?);
    next().is_none().then_some(CountryInfo {
        code: code.parse().ok()?,
        continent: continent.parse().ok()?,
        name,
        centre: Point::new(latitude, longitude)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(code: &str) -> &'static CountryInfo {
        country(code.parse().expect(code)).expect(code)
    }

    #[test]
    fn the_table_is_complete_sorted_and_unique() {
        assert_eq!(all().len(), 250, "249 of ISO 3166-1 and Kosovo");
        assert!(all().is_sorted_by(|a, b| a.code < b.code));
        assert!(all().iter().all(|c| !c.name.is_empty()));
        for c in all() {
            assert_eq!(country(c.code), Some(c));
        }
        let per_continent = Continent::ALL.map(|continent| {
            let of_it = all().iter().filter(|c| c.continent == continent);
            of_it.count()
        });
        // AF, AN, AS, EU, NA, OC, SA as GeoNames counts them.
        assert_eq!(per_continent, [58, 5, 51, 53, 41, 28, 14]);
    }

    #[test]
    fn codes_that_are_not_assigned_are_unknown() {
        for code in ["AA", "AN", "AP", "CS", "EU", "SU", "UK", "XX", "ZZ"] {
            assert_eq!(country(code.parse().expect(code)), None, "{code}");
        }
    }

    #[test]
    fn centres_are_where_the_people_are() {
        // A published centre of population, or a town near the one that maps show, and how many
        // kilometres off the cities of GeoNames may be.
        let rows = [
            ("US", 37.4, -92.3, 250.0),  // Wright County, Missouri: census of 2020
            ("AU", -33.0, 144.2, 150.0), // near Ivanhoe, New South Wales: census
            ("GB", 52.7, -1.5, 50.0),    // Appleby Parva, Leicestershire: census of 2011
            ("DE", 50.8, 9.8, 100.0),    // Spangenberg to Fulda, Hesse
            ("RU", 56.6, 53.0, 250.0),   // Udmurtia, west of the Urals
            ("CA", 48.4, -88.0, 300.0),  // north shore of Lake Superior
            ("BR", -17.6, -46.0, 150.0), // north-west Minas Gerais
            ("CN", 32.6, 113.3, 200.0),  // southern Henan
            ("JP", 35.6, 137.0, 100.0),  // Gifu Prefecture: census
            ("FR", 46.9, 2.6, 100.0),    // Cher
            ("ZA", -28.5, 27.0, 100.0),  // Free State
            ("IN", 21.5, 79.0, 250.0),   // by Nagpur
            ("FJ", -17.8, 178.2, 50.0),  // Viti Levu: the date line is no border
        ];
        for (code, latitude, longitude, within_km) in rows {
            let expected = Point::new(latitude, longitude).expect(code);
            let off = info(code).centre.distance_km(expected);
            assert!(off < within_km, "{code} is {off:.0} km off");
        }
    }

    #[test]
    fn continents_follow_mmdb_files() {
        let rows = [
            ("CY", Continent::Eu),
            ("RU", Continent::Eu),
            ("TR", Continent::As),
            ("KZ", Continent::As),
            ("EG", Continent::Af),
            ("GL", Continent::Na),
            ("TT", Continent::Na),
            ("GF", Continent::Sa),
            ("TF", Continent::An),
            ("XK", Continent::Eu),
        ];
        for (code, continent) in rows {
            assert_eq!(info(code).continent, continent, "{code}");
        }
    }

    #[test]
    fn malformed_rows_are_refused() {
        assert!(row("FR,France,EU,47.1,2.8").is_some());
        for line in [
            "FR,France,EU,47.1",
            "FR,France,EU,47.1,2.8,",
            "fr,France,EU,47.1,2.8",
            "FR,France,XX,47.1,2.8",
            "FR,France,EU,97.1,2.8",
            "",
        ] {
            assert!(row(line).is_none(), "{line}");
        }
    }
}
