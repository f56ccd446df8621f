//! Where a client is: continent, country, subdivision, coordinates.
//!
//! Codes are ISO 3166 (country, subdivision) and the seven continent codes that MMDB files use.

use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;
use std::str::FromStr;
use std::sync::Arc;

use crate::base::word;
use crate::base::word::UnknownWord;

/// The mean radius of the Earth in kilometres (IUGG, R1).
pub const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// A place on the Earth in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// -90 (south) to 90.
    pub latitude: f64,
    /// -180 (west) to 180.
    pub longitude: f64,
}

/// Coordinates are checked numbers: none is a NaN.
impl Eq for Point {}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Zeros of both signs are equal, and adding zero makes them one.
        (self.latitude + 0.0).to_bits().hash(state);
        (self.longitude + 0.0).to_bits().hash(state);
    }
}

impl Point {
    /// A point, if both coordinates are finite and in range.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude)).then_some(
            Self {
                latitude,
                longitude,
            },
        )
    }

    /// Great-circle distance in kilometres (on a sphere: within 0.5 % of the ellipsoid).
    pub fn distance_km(self, other: Self) -> f64 {
        self.direction().distance_km(other.direction())
    }

    /// The point in the middle of some; `None` of none, or if they lie all around the Earth.
    pub fn centre(points: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut sum = [0.0; 3];
        for point in points {
            for (sum, part) in sum.iter_mut().zip(point.direction().0) {
                *sum += part;
            }
        }
        let [x, y, z] = sum;
        if sum.iter().all(|part| part.abs() < 1e-9) {
            return None;
        }
        let latitude = z.atan2(x.hypot(y)).to_degrees();
        Self::new(latitude, y.atan2(x).to_degrees())
    }

    /// Where the point lies as seen from the Earth's centre.
    pub fn direction(self) -> Direction {
        let (sin_lat, cos_lat) = self.latitude.to_radians().sin_cos();
        let (sin_lon, cos_lon) = self.longitude.to_radians().sin_cos();
        Direction([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat])
    }
}

/// A vector of length 1 from the Earth's centre: a [`Point`] in the form in which distances take no more
/// than one arc sine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction([f64; 3]);

impl Direction {
    /// The same distance as that of the points, to the last bit.
    pub fn distance_km(self, other: Self) -> f64 {
        // Half the straight line between both ends is the sine of half the angle. Unlike the cosine
        // of the angle, it is exact for neighbours too.
        let squares = (0..3).map(|axis| (self.0[axis] - other.0[axis]).powi(2));
        let half_line = squares.sum::<f64>().sqrt() / 2.0;
        2.0 * EARTH_RADIUS_KM * half_line.min(1.0).asin()
    }
}

/// A continent, by the codes that MMDB files use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Continent {
    /// Africa.
    Af,
    /// Antarctica.
    An,
    /// Asia.
    As,
    /// Europe.
    Eu,
    /// North America.
    Na,
    /// Oceania.
    Oc,
    /// South America.
    Sa,
}

impl Continent {
    /// All of them, in alphabetical order.
    pub const ALL: [Self; 7] = [
        Self::Af,
        Self::An,
        Self::As,
        Self::Eu,
        Self::Na,
        Self::Oc,
        Self::Sa,
    ];

    /// The two-letter code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Af => "AF",
            Self::An => "AN",
            Self::As => "AS",
            Self::Eu => "EU",
            Self::Na => "NA",
            Self::Oc => "OC",
            Self::Sa => "SA",
        }
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Continent {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        word::parse(Self::ALL, Self::as_str, text)
    }
}

/// An ISO 3166-1 alpha-2 country code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// From its letters, which must be in upper case.
    pub fn of_letters(letters: [u8; 2]) -> Option<Self> {
        let is_upper = letters.iter().all(u8::is_ascii_uppercase);
        is_upper.then_some(Self(letters))
    }

    /// The two letters.
    pub fn letters(self) -> [u8; 2] {
        self.0
    }

    /// The two letters as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Country {
    type Err = ();

    /// Reads two upper-case letters; whether ISO assigns them is for the caller to check.
    fn from_str(text: &str) -> Result<Self, ()> {
        let letters = text.as_bytes().try_into().map_err(|_| ())?;
        Self::of_letters(letters).ok_or(())
    }
}

/// An ISO 3166-2 subdivision such as `US-CA`: a country and one to three letters or digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdivision {
    /// The country it belongs to.
    pub country: Country,
    code: [u8; 3],
}

impl Subdivision {
    /// From the country and the part after the hyphen, as MMDB files hold them.
    pub fn new(country: Country, code: &str) -> Option<Self> {
        let bytes = code.as_bytes();
        let fits = (1..=3).contains(&bytes.len())
            && bytes
                .iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        fits.then(|| {
            let mut padded = [0; 3];
            padded[..bytes.len()].copy_from_slice(bytes);
            Self {
                country,
                code: padded,
            }
        })
    }
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = std::str::from_utf8(&self.code).unwrap_or("?");
        write!(f, "{}-{}", self.country, code.trim_end_matches('\0'))
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Subdivision {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (country, code) = text.split_once('-').ok_or(())?;
        Self::new(country.parse()?, code).ok_or(())
    }
}

/// A city as rules name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum City {
    /// By its GeoNames id, which some databases have.
    Id(u32),
    /// By its English name: all cities of that name in the country, or in the subdivision.
    Named {
        /// The country.
        country: Country,
        /// The subdivision, of any level.
        subdivision: Option<Subdivision>,
        /// As the database has it.
        name: Box<str>,
    },
}

impl City {
    /// Whether a location is in it.
    pub fn contains(&self, location: &Location) -> bool {
        match self {
            Self::Id(id) => location.city_id == Some(*id),
            Self::Named {
                country,
                subdivision,
                name,
            } => {
                location.country == Some(*country)
                    && location.city.as_deref() == Some(name)
                    && subdivision.is_none_or(|within| location.subdivisions.contains(&within))
            }
        }
    }
}

impl fmt::Display for City {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "geoname:{id}"),
            Self::Named {
                subdivision: Some(subdivision),
                name,
                ..
            } => write!(f, "{subdivision}:{name}"),
            Self::Named { country, name, .. } => write!(f, "{country}:{name}"),
        }
    }
}

impl FromStr for City {
    type Err = ();

    /// Reads `DE:Hamburg`, `US-IL:Springfield` or `geoname:2911298`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (within, name) = text.split_once(':').ok_or(())?;
        if within == "geoname" {
            let is_number = name.bytes().all(|b| b.is_ascii_digit()) && !name.starts_with('0');
            let id = name.parse().ok().filter(|_| is_number);
            return id.map(Self::Id).ok_or(());
        }
        if name.is_empty() || name.trim() != name || name.contains(char::is_control) {
            return Err(());
        }
        let subdivision = within.parse::<Subdivision>().ok();
        let country = match subdivision {
            Some(subdivision) => subdivision.country,
            None => within.parse()?,
        };
        Ok(Self::Named {
            country,
            subdivision,
            name: name.into(),
        })
    }
}

/// What the databases say about an address; every part may be unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// The continent.
    pub continent: Option<Continent>,
    /// The country.
    pub country: Option<Country>,
    /// Subdivisions, largest first (`GB-ENG`, then `GB-LND`).
    pub subdivisions: Vec<Subdivision>,
    /// The city's English name.
    pub city: Option<Arc<str>>,
    /// The city's GeoNames id.
    pub city_id: Option<u32>,
    /// The coordinates, or the country's centre where the database has none.
    pub point: Option<Point>,
    /// The autonomous system, from the ASN database.
    pub asn: Option<u32>,
}

impl Location {
    /// Whether anything but the AS number is known.
    pub fn is_located(&self) -> bool {
        self.point.is_some() || self.country.is_some() || self.continent.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_agree_with_published_ones() {
        // Great-circle distances between airports, from any flight planner, to the kilometre.
        let at = |lat, lon| Point::new(lat, lon).expect("in range");
        let (lhr, jfk) = (at(51.4706, -0.4619), at(40.6398, -73.7789));
        let (syd, scl) = (at(-33.9461, 151.1772), at(-33.3930, -70.7858));
        assert!((lhr.distance_km(jfk) - 5540.0).abs() < 10.0);
        assert!((syd.distance_km(scl) - 11_340.0).abs() < 30.0);
        assert_eq!(lhr.distance_km(lhr), 0.0);
        assert!(
            (at(0.0, 0.0).distance_km(at(0.0, 180.0)) - std::f64::consts::PI * EARTH_RADIUS_KM)
                .abs()
                < 0.01
        );
    }

    #[test]
    fn the_date_line_is_no_border() {
        let fiji = Point::new(-17.7, 178.0).expect("in range");
        let samoa = Point::new(-13.8, -171.8).expect("in range");
        assert!(fiji.distance_km(samoa) < 1300.0);
    }

    #[test]
    fn the_centre_lies_between_the_points() {
        let at = |lat, lon| Point::new(lat, lon).expect("in range");
        let centre = Point::centre([at(10.0, 170.0), at(-10.0, -170.0)]).expect("a centre");
        assert!(centre.distance_km(at(0.0, 180.0)) < 0.01, "{centre:?}");
        assert!(
            at(48.9, 2.4).distance_km(Point::centre([at(48.9, 2.4)]).expect("a centre")) < 0.01
        );
        assert_eq!(Point::centre([at(0.0, 0.0), at(0.0, 180.0)]), None);
        assert_eq!(Point::centre([]), None);
    }

    #[test]
    fn cities_are_written_with_their_country_or_by_their_id() {
        let country: Country = "US".parse().expect("a code");
        let springfield = |id, code| Location {
            country: Some(country),
            subdivisions: Subdivision::new(country, code).into_iter().collect(),
            city: Some("Springfield".into()),
            city_id: Some(id),
            ..Location::default()
        };
        let (illinois, missouri) = (springfield(1, "IL"), springfield(2, "MO"));
        for (text, expected) in [
            ("US:Springfield", Some((true, true))),
            ("US-MO:Springfield", Some((false, true))),
            ("US:Springfeld", Some((false, false))),
            ("CA:Springfield", Some((false, false))),
            ("geoname:1", Some((true, false))),
            ("US:St. Louis: North", Some((false, false))),
            ("Springfield", None),
            ("us:Springfield", None),
            ("US:", None),
            ("US: Springfield", None),
            ("geoname:+1", None),
            ("geoname:01", None),
            ("geoname:", None),
            ("geoname:4294967296", None),
        ] {
            let city: Option<City> = text.parse().ok();
            let found = city
                .as_ref()
                .map(|c| (c.contains(&illinois), c.contains(&missouri)));
            assert_eq!(found, expected, "{text}");
            assert!(city.is_none_or(|city| city.to_string() == text), "{text}");
        }
    }

    #[test]
    fn codes_are_read_strictly() {
        assert_eq!(
            "US-CA".parse::<Subdivision>().map(|s| s.to_string()),
            Ok("US-CA".into())
        );
        assert!("usa".parse::<Country>().is_err());
        assert!("us".parse::<Country>().is_err());
        assert!("US-".parse::<Subdivision>().is_err());
        assert!("EUR".parse::<Continent>().is_err());
        assert!(Point::new(f64::NAN, 0.0).is_none());
        assert!(Point::new(90.1, 0.0).is_none());
    }
}
