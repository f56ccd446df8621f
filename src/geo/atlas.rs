//! `Atlas`: an MMDB, and perhaps a second one of AS numbers, read once and kept as flat tables.
//!
//! The country of a client is where its address is used; where its holder is registered
//! (`registered_country`) is no place: an anycast address is registered in one country and used in all.
//! Coordinates or a continent that the database lacks come from the country.
//!
//! An IPv6 address with an IPv4 address inside ([`Prefix::embedded_v4`]) is located by that one alone. Some
//! databases alias the IPv4 tree there, some say nothing, some say where the block was registered: all of
//! it is skipped, as are aliases elsewhere (::ffff:0:0/96, 2001::/32).

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustc_hash::FxHashSet;

use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Location;
use crate::base::location::Point;
use crate::base::location::Subdivision;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::base::special_purpose;
use crate::geo::ranges::Address;
use crate::geo::ranges::Builder;
use crate::geo::table::PrefixTable;
use crate::mmdb::database::Database;
use crate::mmdb::database::DatabaseInfo;
use crate::mmdb::database::Unsound;
use crate::mmdb::record::LOCATION_FIELDS;
use crate::mmdb::record::Record;
use crate::mmdb::record::SYSTEM_FIELDS;

/// What is known of a country without a database: its continent and its centre.
pub type CentreOf<'a> = &'a dyn Fn(Country) -> Option<(Continent, Point)>;

/// What the databases say of every address.
#[derive(Debug)]
pub struct Atlas {
    /// Kept for what only people ask for: a database network. `None`: nothing is known.
    database: Option<Database>,
    /// No two equal; the first is nowhere.
    locations: Vec<Location>,
    /// The position in `locations` for each address.
    places: PrefixTable,
    /// The AS number for each address; 0, which is reserved (RFC 7607), where none is known.
    systems: PrefixTable,
    about: DatabaseInfo,
    about_asn: Option<DatabaseInfo>,
}

/// Which of the databases an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `[geoip] database`.
    Locations,
    /// `[geoip] asn_database`.
    Systems,
}

/// Why a database cannot be used; the operator must give another file.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct MmdbError {
    /// Which file.
    pub which: Which,
    /// What is wrong with it.
    pub fault: MmdbFault,
}

/// What is wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum MmdbFault {
    /// It cannot be read.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// No record has what is looked for.
    #[error(
        "MMDB of type `{database_type}` holds no {what}: no record has {expected}; \
         the first record has {found}"
    )]
    Useless {
        /// The type it gives itself.
        database_type: String,
        /// Locations or AS numbers.
        what: &'static str,
        /// The fields that hold it.
        expected: &'static str,
        /// The fields that its first record has instead.
        found: String,
    },
}

impl Atlas {
    /// Reads a database of locations and perhaps one of AS numbers.
    pub fn read(
        database: Vec<u8>,
        asn_database: Option<Vec<u8>>,
        centre_of: CentreOf<'_>,
    ) -> Result<Self, MmdbError> {
        let systems = match asn_database {
            Some(bytes) => Some(read_systems(bytes).map_err(|fault| MmdbError {
                which: Which::Systems,
                fault,
            })?),
            None => None,
        };
        let (systems, about_asn) = match systems {
            Some((systems, about)) => (systems, Some(about)),
            None => (PrefixTable::longest_match(&[]), None),
        };
        read_locations(database, centre_of)
            .map(|(database, locations, places, about)| Self {
                database: Some(database),
                locations,
                places,
                systems,
                about,
                about_asn,
            })
            .map_err(|fault| MmdbError {
                which: Which::Locations,
                fault,
            })
    }

    /// No databases: nothing is known of any address.
    pub fn empty() -> Self {
        let nothing = || PrefixTable::longest_match(&[]);
        Self {
            database: None,
            locations: vec![Location::default()],
            places: nothing(),
            systems: nothing(),
            about: DatabaseInfo {
                database_type: "none".to_owned(),
                description: String::new(),
                build_epoch: 0,
                ip_version: 6,
                n_networks: PerFamily::default(),
            },
            about_asn: None,
        }
    }

    /// What is known of an address, and the network of the database that says so.
    pub fn locate(&self, addr: IpAddr) -> (Location, Option<Prefix>) {
        let addr = addr.to_canonical();
        let mut location = self.locations[self.places.value(addr) as usize].clone();
        location.asn = Some(self.systems.value(addr)).filter(|asn| *asn != 0);
        if !location.is_located() {
            let Some((v4, _)) = Prefix::host(addr).embedded_v4() else {
                return (location, None);
            };
            let (inside, network) = self.locate(v4.addr());
            let asn = location.asn.or(inside.asn);
            return (Location { asn, ..inside }, network);
        }
        let Some(entry) = self.database.as_ref().and_then(|found| found.lookup(addr)) else {
            return (location, None);
        };
        (location, Some(entry.network))
    }

    /// The country of an address, if it is known; for who must not allocate.
    pub fn country(&self, addr: IpAddr) -> Option<Country> {
        let location = &self.locations[self.places.value(addr) as usize];
        if location.is_located() {
            return location.country;
        }
        let (v4, _) = Prefix::host(addr.to_canonical()).embedded_v4()?;
        self.country(v4.addr())
    }

    /// The distinct locations; the first is nowhere. None has an AS number.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// The position in [`Self::locations`] for each address.
    pub fn places(&self) -> &PrefixTable {
        &self.places
    }

    /// The AS number for each address, 0 where none is known.
    pub fn systems(&self) -> &PrefixTable {
        &self.systems
    }

    /// What the database of locations says of itself.
    pub fn about(&self) -> &DatabaseInfo {
        &self.about
    }

    /// What the database of AS numbers says of itself; `None` without one.
    pub fn about_asn(&self) -> Option<&DatabaseInfo> {
        self.about_asn.as_ref()
    }

    /// Heap memory of the tables in bytes; the file itself comes on top.
    pub fn n_bytes(&self) -> usize {
        self.places.n_bytes() + self.systems.n_bytes()
    }
}

type Read = (Database, Vec<Location>, PrefixTable, DatabaseInfo);

fn read_locations(bytes: Vec<u8>, centre_of: CentreOf<'_>) -> Result<Read, MmdbFault> {
    let database = Database::open(bytes)?;
    let mut locations = vec![Location::default()];
    let mut interned = FxHashMap::default();
    let mut cities = FxHashSet::default();
    interned.insert(identity(&locations[0]), 0);
    let (places, about) = walk(&database, |record| {
        let location = location(record, centre_of, &mut cities);
        *interned.entry(identity(&location)).or_insert_with(|| {
            locations.push(location);
            locations.len() as u32 - 1
        })
    })?;
    if locations.len() == 1 {
        return Err(useless(&database, "locations", LOCATION_FIELDS));
    }
    Ok((database, locations, places, about))
}

fn read_systems(bytes: Vec<u8>) -> Result<(PrefixTable, DatabaseInfo), MmdbFault> {
    let database = Database::open(bytes)?;
    let mut n_systems = 0;
    let (systems, about) = walk(&database, |record| {
        n_systems += usize::from(record.asn().is_some());
        record.asn().unwrap_or(0)
    })?;
    if n_systems == 0 {
        return Err(useless(&database, "AS numbers", SYSTEM_FIELDS));
    }
    Ok((systems, about))
}

/// Says which fields would be needed, and which there are.
fn useless(database: &Database, what: &'static str, expected: &'static str) -> MmdbFault {
    let first = database
        .entries()
        .ok()
        .and_then(|mut entries| entries.next()?.ok());
    let names = first.map(|entry| entry.field_names()).unwrap_or_default();
    let quoted: Vec<String> = names
        .iter()
        .take(12)
        .map(|name| format!("`{name}`"))
        .collect();
    let found = match quoted.is_empty() {
        true => "no field".to_owned(),
        false => quoted.join(", "),
    };
    MmdbFault::Useless {
        database_type: database.info().database_type,
        what,
        expected,
        found,
    }
}

/// Walks all networks in address order; `value_of` is asked once for each distinct record.
fn walk(
    database: &Database,
    mut value_of: impl FnMut(&Record) -> u32,
) -> Result<(PrefixTable, DatabaseInfo), Unsound> {
    let (mut v4, mut v6) = (Builder::default(), Builder::default());
    let mut values: FxHashMap<usize, u32> = FxHashMap::default();
    let mut about = database.info();
    for entry in database.entries()? {
        let entry = entry?;
        let value = match values.get(&entry.offset) {
            Some(value) => *value,
            None => *values
                .entry(entry.offset)
                .or_insert(value_of(&entry.record()?)),
        };
        about.n_networks[entry.network.family()] += 1;
        match entry.network.family() {
            Family::V4 => {
                let (first, last) = Address::ends(entry.network);
                v4.fill(first, last, value);
            }
            Family::V6 => {
                let (first, last): (u128, _) = Address::ends(entry.network);
                if last > V4_TREE_LAST {
                    v6.fill(first.max(V4_TREE_LAST + 1), last, value);
                }
            }
        }
    }
    let embedding = special_purpose::blocks()
        .iter()
        .filter(|block| block.embeds_v4());
    let embedding: Vec<_> = embedding.map(|block| (*block, 1)).collect();
    let embedding = PrefixTable::longest_match(&embedding).v6;
    let table = PrefixTable {
        v4: v4.finish(),
        v6: v6
            .finish()
            .zip(&embedding, &mut |value, embeds| match embeds {
                0 => value,
                _ => 0,
            }),
    };
    Ok((table, about))
}

/// The last address of ::/96, where a database keeps its IPv4 tree; a network that is no part of
/// that tree can begin there if there is none.
const V4_TREE_LAST: u128 = 0xFFFF_FFFF;

/// What a record says of a place, with what its country says where it says nothing.
fn location(
    record: &Record,
    centre_of: CentreOf<'_>,
    cities: &mut FxHashSet<Arc<str>>,
) -> Location {
    let country = record.country();
    let of_country = country.and_then(centre_of);
    Location {
        continent: record
            .continent()
            .or(of_country.map(|(continent, _)| continent)),
        country,
        subdivisions: record.subdivisions(),
        city: record.city().map(|name| interned(name, cities)),
        city_id: record.city_id().filter(|_| country.is_some()),
        point: record.point().or(of_country.map(|(_, centre)| centre)),
        asn: None,
    }
}

/// One name for all locations of a city.
fn interned(name: &str, names: &mut FxHashSet<Arc<str>>) -> Arc<str> {
    match names.get(name) {
        Some(known) => Arc::clone(known),
        None => {
            let new: Arc<str> = name.into();
            names.insert(Arc::clone(&new));
            new
        }
    }
}

type Identity = (
    Option<Continent>,
    Option<Country>,
    Vec<Subdivision>,
    Option<Arc<str>>,
    Option<u32>,
    Option<[u64; 2]>,
);

/// What makes two locations equal, in a form that can be hashed.
fn identity(location: &Location) -> Identity {
    let bits = |point: Point| [point.latitude.to_bits(), point.longitude.to_bits()];
    let subdivisions = location.subdivisions.clone();
    (
        location.continent,
        location.country,
        subdivisions,
        location.city.clone(),
        location.city_id,
        location.point.map(bits),
    )
}

#[cfg(test)]
mod tests;
