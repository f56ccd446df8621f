//! The queries, prepared: one after the other in one buffer.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use meridian::base::name::Name;
use meridian::base::prefix::Prefix;
use meridian::base::rr::RrType;

use crate::support;

/// With more, preparing takes long and nothing changes: they are far more than a cache holds.
const MAX_QUERIES: usize = 1 << 18;

/// Queries of different client subnets and owners.
pub struct Queries {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Queries {
    /// One query of `qtype` for each of the `subnets` of a file with one on each line, or without
    /// client subnet; for `name`, or for `h0` to `h(N-1)` below it, drawn at random.
    pub fn prepare(
        name: &Name,
        n_names: Option<usize>,
        qtype: RrType,
        subnets: Option<&Path>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let subnets: Vec<Option<Prefix>> = match subnets {
            None => vec![None],
            Some(path) => {
                let subnets: Result<_, _> = fs::read_to_string(path)?
                    .lines()
                    .map(|line| line.trim().parse().map(Some))
                    .collect();
                subnets.map_err(|_| format!("{} is not a list of subnets", path.display()))?
            }
        };
        if subnets.is_empty() {
            return Err("the list of subnets is empty".into());
        }
        let n = n_names.map_or(subnets.len(), |n_names| n_names.max(subnets.len()));
        let mut queries = Self {
            octets: Vec::new(),
            ends: Vec::new(),
        };
        let mut drawn = 1_u64;
        for ix in 0..n.min(MAX_QUERIES) {
            let owner = match n_names {
                None => name.clone(),
                Some(n_names) => {
                    // Numerical Recipes' generator: any that spreads will do.
                    drawn = drawn
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let label = format!("h{}", (drawn >> 33) as usize % n_names);
                    name.child(label.as_bytes())?
                }
            };
            let subnet = subnets[ix % subnets.len()];
            let mut query = support::query(&owner, qtype, Some(1232), subnet);
            // Resolvers do not ask an authoritative server for recursion.
            query[2] = 0;
            queries.octets.extend(query);
            queries.ends.push(queries.octets.len());
        }
        Ok(queries)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Query `ix`; its ID is still to be given.
    pub fn message(&self, ix: usize) -> &[u8] {
        let start = if ix == 0 { 0 } else { self.ends[ix - 1] };
        &self.octets[start..self.ends[ix]]
    }
}

/// An answer is right if it repeats the question, says NOERROR, has an answer, and the first record's
/// address is among `allowed`, where there are any.
pub fn is_right(query: &[u8], response: &[u8], allowed: &[IpAddr]) -> bool {
    let question_len = query[12..]
        .iter()
        .position(|octet| *octet == 0)
        .map_or(0, |root| root + 5);
    let question = 12..12 + question_len;
    let [_, _, flags, code, _, _, ancount_high, ancount, ..] = *response else {
        return false;
    };
    let is_answer = flags & 0x80 != 0 && code & 0x0f == 0 && (ancount_high, ancount) != (0, 0);
    if !is_answer || response.get(question.clone()) != query.get(question.clone()) {
        return false;
    }
    allowed.is_empty()
        || first_address(&response[question.end..]).is_some_and(|addr| allowed.contains(&addr))
}

/// The address in the record that `answers` start with.
fn first_address(answers: &[u8]) -> Option<IpAddr> {
    let mut rest = answers;
    loop {
        match *rest.first()? {
            0 => break rest = rest.get(1..)?,
            len if len >= 0xc0 => break rest = rest.get(2..)?,
            len => rest = rest.get(1 + usize::from(len)..)?,
        }
    }
    // Type, class, TTL and length stand before the data.
    let len = usize::from(u16::from_be_bytes([*rest.get(8)?, *rest.get(9)?]));
    let rdata = rest.get(10..10 + len)?;
    <[u8; 4]>::try_from(rdata)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(rdata).map(IpAddr::from))
        .ok()
}
