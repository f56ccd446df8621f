//! `Atlas`: an MMDB, and perhaps a second one of AS numbers, read once and kept as flat tables.
//!
//! Any database with the records of MaxMind's City or Country is read: `continent.code`,
//! `country.iso_code`, `subdivisions[].iso_code`, `location.latitude` and `.longitude`. The country
//! is where the address is used; `registered_country`, where its holder is registered, is no place
//! (an anycast address is registered in one country and used in all) and does not locate a client.
//! Coordinates or a continent that the database lacks come from the country.
//!
//! IPv6 addresses that alias the IPv4 tree (::/96, ::ffff:0:0/96, 2002::/16, 2001::/32) stay
//! unlocated. Only this file knows the format.

use std::net::IpAddr;

use maxminddb::LookupResult;
use maxminddb::MaxMindDbError;
use maxminddb::PathElement;
use maxminddb::Reader;
use maxminddb::WithinOptions;
use maxminddb::path;
use rustc_hash::FxHashMap;

use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Location;
use crate::base::location::Point;
use crate::base::location::Subdivision;
use crate::base::prefix::Prefix;
use crate::geo::ranges::Builder;
use crate::geo::table::PrefixTable;

/// What is known of a country without a database: its continent and its centre.
pub type CentreOf<'a> = &'a dyn Fn(Country) -> Option<(Continent, Point)>;

/// What the databases say of every address.
#[derive(Debug)]
pub struct Atlas {
    /// Kept for what only people ask for: a city's name, a database network.
    reader: Reader<Vec<u8>>,
    /// No two equal; the first is nowhere.
    locations: Vec<Location>,
    /// The position in `locations` for each address.
    places: PrefixTable,
    /// The AS number for each address; 0, which is reserved (RFC 7607), where none is known.
    systems: PrefixTable,
    about: DatabaseInfo,
    about_asn: Option<DatabaseInfo>,
}

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its type, such as `GeoLite2-City`.
    pub database_type: String,
    /// Its description, English if there is one; may be empty.
    pub description: String,
    /// When it was built, in seconds since 1970; as the file says, however unlikely.
    pub build_epoch: u64,
    /// 4 or 6.
    pub ip_version: u16,
    /// IPv4 networks that have a record.
    pub n_ipv4_networks: usize,
    /// IPv6 networks that have a record.
    pub n_ipv6_networks: usize,
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
    /// No MMDB, or a corrupt one.
    #[error("not a sound MMDB file: {0}")]
    Corrupt(#[from] MaxMindDbError),
    /// Branches of the search tree meet again; walking it could take for ever.
    #[error("not a sound MMDB file: branches of its search tree meet again and again")]
    Tangled,
    /// No record has a location.
    #[error(
        "MMDB of type `{database_type}` holds no locations, \
         expected a City- or Country-shaped database"
    )]
    NoLocations {
        /// The type it gives itself.
        database_type: String,
    },
    /// No record has an AS number.
    #[error("MMDB of type `{database_type}` holds no AS numbers, expected an ASN-shaped database")]
    NoSystems {
        /// The type it gives itself.
        database_type: String,
    },
}

type Record<'a> = LookupResult<'a, Vec<u8>>;

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
            .map(|(reader, locations, places, about)| Self {
                reader,
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

    /// What is known of an address, and the network of the database that says so.
    pub fn locate(&self, addr: IpAddr) -> (Location, Option<Prefix>) {
        let addr = addr.to_canonical();
        let mut location = self.locations[self.places.value(addr) as usize].clone();
        location.asn = Some(self.systems.value(addr)).filter(|asn| *asn != 0);
        if !location.is_located() {
            return (location, None);
        }
        let Ok(record) = self.reader.lookup(addr) else {
            return (location, None);
        };
        let name = record.decode_path::<&str>(&path!["city", "names", "en"]);
        location.city = name.ok().flatten().map(Box::from);
        let network = record.network().ok();
        let network = network.map(|network| Prefix::cut(network.ip(), network.prefix()));
        (location, network)
    }

    /// The distinct locations; the first is nowhere. None has a city or an AS number.
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

type Read = (Reader<Vec<u8>>, Vec<Location>, PrefixTable, DatabaseInfo);

fn read_locations(bytes: Vec<u8>, centre_of: CentreOf<'_>) -> Result<Read, MmdbFault> {
    let reader = open(bytes)?;
    let mut locations = vec![Location::default()];
    let mut interned = FxHashMap::default();
    interned.insert(identity(&locations[0]), 0);
    let (places, about) = walk(&reader, |record| {
        let location = location(record, centre_of)?;
        Ok(*interned.entry(identity(&location)).or_insert_with(|| {
            locations.push(location);
            locations.len() as u32 - 1
        }))
    })?;
    if locations.len() == 1 {
        let database_type = about.database_type;
        return Err(MmdbFault::NoLocations { database_type });
    }
    Ok((reader, locations, places, about))
}

fn read_systems(bytes: Vec<u8>) -> Result<(PrefixTable, DatabaseInfo), MmdbFault> {
    let reader = open(bytes)?;
    let mut n_systems = 0;
    let (systems, about) = walk(&reader, |record| {
        let asn: Option<u32> = record.decode_path(&path!["autonomous_system_number"])?;
        n_systems += usize::from(asn.is_some());
        Ok(asn.unwrap_or(0))
    })?;
    if n_systems == 0 {
        let database_type = about.database_type;
        return Err(MmdbFault::NoSystems { database_type });
    }
    Ok((systems, about))
}

/// A reader of a file whose search tree can be walked in reasonable time.
///
/// A file of a kilobyte can have 2^128 paths through its nodes if they meet again, and the library
/// would walk them all. Nodes may be shared, as writers of small files do, as long as there are no
/// more networks than the library's own check allows. Aliases of the IPv4 tree are skipped when
/// walking, and count as one network each.
fn open(bytes: Vec<u8>) -> Result<Reader<Vec<u8>>, MmdbFault> {
    let header = Reader::from_source(&*bytes)?;
    let metadata = header.metadata();
    let n_nodes = metadata.node_count as usize;
    let node_len = usize::from(metadata.record_size) / 4;
    let nodes: Vec<[u32; 2]> = bytes
        .chunks_exact(node_len)
        .take(n_nodes)
        .map(branches)
        .collect();
    let left = |node: u32| nodes.get(node as usize).map(|branches| branches[0]);
    let v4_root = match metadata.ip_version {
        6 => (0..96).try_fold(0, |node, _| left(node)),
        _ => None,
    };
    let mut leaves = Leaves {
        nodes: &nodes,
        v4_root,
        counts: vec![0; n_nodes],
    };
    let n_leaves = leaves
        .below(0, 0)
        .zip(v4_root.map_or(Some(0), |root| leaves.below(root, 96)));
    let n_leaves = n_leaves.map_or(u64::MAX, |(all, v4)| all.saturating_add(v4));
    if n_leaves > 3 * n_nodes as u64 + 1 {
        return Err(MmdbFault::Tangled);
    }
    Ok(Reader::from_source(bytes)?)
}

/// Counts the leaves of a search tree whose nodes may be shared.
struct Leaves<'a> {
    nodes: &'a [[u32; 2]],
    v4_root: Option<u32>,
    /// For each node, 0 until it is counted.
    counts: Vec<u64>,
}

impl Leaves<'_> {
    /// The leaves below a node at a depth; `None` if a path is longer than an address, as in a cycle.
    fn below(&mut self, node: u32, depth: u8) -> Option<u64> {
        let Some(&[left, right]) = self.nodes.get(node as usize) else {
            // What lies beyond the nodes is data, or nothing.
            return Some(1);
        };
        if depth == 128 {
            return None;
        }
        if self.counts[node as usize] == 0 {
            let mut n_leaves: u64 = 0;
            for branch in [left, right] {
                let is_v4 = Some(branch) == self.v4_root;
                let n = if is_v4 {
                    1
                } else {
                    self.below(branch, depth + 1)?
                };
                n_leaves = n_leaves.saturating_add(n);
            }
            self.counts[node as usize] = n_leaves;
        }
        Some(self.counts[node as usize])
    }
}

/// The two branches of a node of three sizes, by the MaxMind DB format 2.0.
fn branches(node: &[u8]) -> [u32; 2] {
    let number = u32::from_be_bytes;
    match *node {
        [a, b, c, d, e, f] => [number([0, a, b, c]), number([0, d, e, f])],
        [a, b, c, m, d, e, f] => [number([m >> 4, a, b, c]), number([m & 15, d, e, f])],
        [a, b, c, d, e, f, g, h] => [number([a, b, c, d]), number([e, f, g, h])],
        _ => unreachable!("the reader takes records of 24, 28 and 32 bits only"),
    }
}

/// Walks all networks in address order; `value_of` is asked once for each distinct record.
fn walk(
    reader: &Reader<Vec<u8>>,
    mut value_of: impl FnMut(&Record<'_>) -> Result<u32, MaxMindDbError>,
) -> Result<(PrefixTable, DatabaseInfo), MmdbFault> {
    let (mut v4, mut v6) = (Builder::default(), Builder::default());
    let mut values: FxHashMap<usize, u32> = FxHashMap::default();
    let mut about = about(reader);
    for record in reader.networks(WithinOptions::default())? {
        let record = record?;
        let Some(offset) = record.offset() else {
            continue;
        };
        let value = match values.get(&offset) {
            Some(value) => *value,
            None => *values.entry(offset).or_insert(value_of(&record)?),
        };
        let network = record.network()?;
        match network.ip() {
            IpAddr::V4(first) => {
                let first = first.to_bits();
                let last = first | u32::MAX.checked_shr(network.prefix().into()).unwrap_or(0);
                v4.fill(first, last, value);
                about.n_ipv4_networks += 1;
            }
            IpAddr::V6(first) => {
                let first = first.to_bits();
                let last = first | u128::MAX.checked_shr(network.prefix().into()).unwrap_or(0);
                about.n_ipv6_networks += 1;
                if last > V4_TREE_LAST {
                    v6.fill(first.max(V4_TREE_LAST + 1), last, value);
                }
            }
        }
    }
    let table = PrefixTable {
        v4: v4.finish(),
        v6: v6.finish(),
    };
    Ok((table, about))
}

/// The last address of ::/96, where a database keeps its IPv4 tree; a network that is no part of
/// that tree can begin there if there is none.
const V4_TREE_LAST: u128 = 0xFFFF_FFFF;

fn about(reader: &Reader<Vec<u8>>) -> DatabaseInfo {
    let metadata = reader.metadata();
    let descriptions = &metadata.description;
    let description = descriptions.get("en").or(descriptions.values().next());
    DatabaseInfo {
        database_type: metadata.database_type.clone(),
        description: description.cloned().unwrap_or_default(),
        build_epoch: metadata.build_epoch,
        ip_version: metadata.ip_version,
        n_ipv4_networks: 0,
        n_ipv6_networks: 0,
    }
}

/// What a record says of a place. Codes that are none and coordinates out of range count as absent;
/// a value of the wrong type makes the file corrupt.
fn location(record: &Record<'_>, centre_of: CentreOf<'_>) -> Result<Location, MaxMindDbError> {
    let text = |path: &[PathElement<'_>]| record.decode_path::<&str>(path);
    let degrees = |name| record.decode_path::<f64>(&path!["location", name]);
    let continent = text(&path!["continent", "code"])?.and_then(|code| code.parse().ok());
    let country = text(&path!["country", "iso_code"])?.and_then(|code| code.parse().ok());
    let point = match (degrees("latitude")?, degrees("longitude")?) {
        (Some(latitude), Some(longitude)) => Point::new(latitude, longitude),
        _ => None,
    };
    let mut subdivisions = Vec::new();
    if let Some(country) = country {
        for at in 0..MAX_SUBDIVISIONS {
            let Some(code) = text(&path!["subdivisions", at, "iso_code"])? else {
                break;
            };
            subdivisions.extend(Subdivision::new(country, code));
        }
    }
    let of_country = country.and_then(centre_of);
    Ok(Location {
        continent: continent.or(of_country.map(|(continent, _)| continent)),
        country,
        subdivisions,
        city: None,
        point: point.or(of_country.map(|(_, centre)| centre)),
        asn: None,
    })
}

/// Databases in use have two levels at most.
const MAX_SUBDIVISIONS: usize = 4;

type Identity = (
    Option<Continent>,
    Option<Country>,
    Vec<Subdivision>,
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
        location.point.map(bits),
    )
}

#[cfg(test)]
mod tests;
