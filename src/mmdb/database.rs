//! `Database`: an MMDB file that is safe to walk, and what it says of itself.
//!
//! With [`record`](crate::mmdb::record), the only place that knows how databases are read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use maxminddb::LookupResult;
use maxminddb::MaxMindDbError;
use maxminddb::Metadata;
use maxminddb::Reader;
use maxminddb::WithinOptions;
use serde::de::IgnoredAny;

use crate::base::fnv::fnv1a;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::mmdb::record::Record;

/// An opened file.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Vec<u8>>,
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
    /// Networks that have a record; aliases of the IPv4 tree are not counted.
    pub n_networks: PerFamily<usize>,
}

impl DatabaseInfo {
    /// A hash of type, date and size, the same on every machine; `None` for a database without networks.
    pub fn digest(&self) -> Option<u64> {
        let Self {
            database_type,
            build_epoch,
            n_networks: PerFamily { v4, v6 },
            ..
        } = self;
        let text = format!("{build_epoch} {v4} {v6} {database_type}");
        (v4 + v6 > 0).then(|| fnv1a(text.as_bytes()))
    }
}

/// Why a file cannot be read as an MMDB.
#[derive(Debug, thiserror::Error)]
pub enum Unsound {
    /// No MMDB, or a corrupt one. What the library says is in the message, so it is no source beside it.
    #[error("not a sound MMDB file: {0}")]
    Corrupt(MaxMindDbError),
    /// Branches of the search tree meet again; walking it could take for ever.
    #[error("not a sound MMDB file: branches of its search tree meet again and again")]
    Tangled,
}

impl From<MaxMindDbError> for Unsound {
    fn from(error: MaxMindDbError) -> Self {
        Self::Corrupt(error)
    }
}

impl DatabaseInfo {
    fn of(metadata: &Metadata) -> Self {
        let descriptions = &metadata.description;
        let description = descriptions.get("en").or(descriptions.values().next());
        Self {
            database_type: metadata.database_type.clone(),
            description: description.cloned().unwrap_or_default(),
            build_epoch: metadata.build_epoch,
            ip_version: metadata.ip_version,
            n_networks: PerFamily::both(0),
        }
    }
}

/// One network and its record.
#[derive(Debug)]
pub struct Entry<'a> {
    found: LookupResult<'a, Vec<u8>>,
    /// Where the record is; equal offsets mean the same record.
    pub offset: usize,
    /// The network.
    pub network: Prefix,
}

impl<'a> Entry<'a> {
    fn of(found: LookupResult<'a, Vec<u8>>) -> Result<Option<Self>, Unsound> {
        let Some(offset) = found.offset() else {
            return Ok(None);
        };
        let network = found.network()?;
        let (family, bits) = match network.ip() {
            IpAddr::V4(v4) => (Family::V4, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (Family::V6, v6.to_bits()),
        };
        Ok(Some(Self {
            found,
            offset,
            network: Prefix::of_bits(family, bits, network.prefix()),
        }))
    }

    /// Decodes the record.
    pub fn record(&self) -> Result<Record, Unsound> {
        Ok(Record::from_value(self.found.decode()?.unwrap_or_default()))
    }

    /// The record as it is; `None` if it holds what JSON cannot say.
    pub fn json(&self) -> Option<serde_json::Value> {
        self.found.decode().ok().flatten()
    }

    /// The names of the record's fields, for messages.
    pub fn field_names(&self) -> Vec<String> {
        type Fields = BTreeMap<String, IgnoredAny>;
        let fields: Option<Fields> = self.found.decode().ok().flatten();
        fields.unwrap_or_default().into_keys().collect()
    }
}

impl Database {
    /// Opens a file whose search tree can be walked in reasonable time.
    ///
    /// A file of a kilobyte can have 2^128 paths through its nodes if they meet again, and the library
    /// would walk them all. Nodes may be shared, as writers of small files do, as long as there are no
    /// more networks than the library's own check allows. Aliases of the IPv4 tree are skipped when
    /// walking, and count as one network each.
    pub fn open(bytes: Vec<u8>) -> Result<Self, Unsound> {
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
            return Err(Unsound::Tangled);
        }
        Ok(Self {
            reader: Reader::from_source(bytes)?,
        })
    }

    /// Checks the whole file against the format.
    pub fn verify(&self) -> Result<(), Unsound> {
        Ok(self.reader.verify()?)
    }

    /// What it says of itself; networks are not counted yet.
    pub fn info(&self) -> DatabaseInfo {
        DatabaseInfo::of(self.reader.metadata())
    }

    /// Bits per half node, 24, 28 or 32, and the number of nodes.
    pub fn tree(&self) -> (u16, u32) {
        let metadata = self.reader.metadata();
        (metadata.record_size, metadata.node_count)
    }

    /// All networks that have a record, in address order; aliases of the IPv4 tree are skipped.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<Entry<'_>, Unsound>>, Unsound> {
        let networks = self.reader.networks(WithinOptions::default())?;
        Ok(networks
            .filter_map(|found| found.map_err(Unsound::from).and_then(Entry::of).transpose()))
    }

    /// The network of an address and its record, if there is one.
    pub fn lookup(&self, addr: IpAddr) -> Option<Entry<'_>> {
        let found = self.reader.lookup(addr).ok()?;
        Entry::of(found).ok().flatten()
    }
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
            // A number past the nodes is a record, or stands for nothing.
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
