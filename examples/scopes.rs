//! How many entries would a resolver's cache keep for many clients?
//!
//! `cargo run --release --example scopes -- DATABASE SUBNETS [POOLS]` asks for a steered name with eight pools
//! (or those of a `pools.toml` with `app.example.com`) from each client subnet of a file, and counts the
//! distinct scopes that are answered, against the database's networks that the same clients fall in:
//! what a server that answers with those for scopes would make a resolver keep. Subnets that the database
//! cannot locate and those of special-purpose blocks, which are passed over for the resolver's address, are
//! counted apart.

#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use domain::base::Message;
use domain::base::opt::ClientSubnet;
use meridian::base::name::Name;
use meridian::base::prefix::Prefix;
use meridian::base::rr::RrType;
use meridian::base::special_purpose;
use meridian::base::transport::Transport;
use meridian::engine::Arrival;
use meridian::engine::Scratch;
use meridian::engine::answer;
use meridian::geo::atlas::Atlas;
use meridian::state::counters::Counters;
use meridian::state::evidence::Evidence;
use meridian::state::snapshot::Snapshot;

#[path = "../tests/support/mod.rs"]
mod support;

const ZONE: &str = "$TTL 300\n@ SOA ns1 host 1 2h 1h 1w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

/// Eight regions of a cloud, and `app.example.com` in all of them.
const POOLS: &str = include_str!("../tests/support/regions.toml");

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (database, subnets, pools) = match arguments.as_slice() {
        [database, subnets] => (database, subnets, POOLS.to_owned()),
        [database, subnets, pools] => (database, subnets, fs::read_to_string(pools)?),
        _ => return Err("expected DATABASE SUBNETS [POOLS]".into()),
    };
    let atlas = Arc::new(Atlas::read(fs::read(database)?, None, &|_| None)?);
    let subnets: Vec<Prefix> = fs::read_to_string(subnets)?
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect();
    let plan = support::plan("", &pools, &[("example.com", ZONE)], Arc::clone(&atlas))
        .map_err(|report| report.to_string())?;
    let fresh = Snapshot::build(Arc::clone(&plan), &Evidence::default(), 1, None);
    let merged = Snapshot::build(plan, &Evidence::default(), 2, None).with_merged_tables();
    let networks: HashSet<Prefix> = subnets
        .iter()
        .filter_map(|subnet| atlas.locate(subnet.addr()).1)
        .collect();
    println!("{} client subnets", subnets.len());
    println!("{} networks of the database", networks.len());
    for (what, snapshot) in [("right after a change", &fresh), ("merged", &merged)] {
        println!("{} scopes, {what}", scopes(snapshot, &subnets)?.len());
    }
    let (special, others): (Vec<Prefix>, _) = subnets.iter().partition(|subnet| {
        let mut blocks = special_purpose::blocks().iter();
        subnet.embedded_v4().is_none() && blocks.any(|block| block.contains(subnet.addr()))
    });
    let (located, unlocated): (Vec<Prefix>, _) = others
        .iter()
        .partition(|subnet| atlas.locate(subnet.addr()).0.is_located());
    for (what, subnets) in [
        ("located", located),
        ("unlocated", unlocated),
        ("special-purpose", special),
    ] {
        let n_scopes = scopes(&merged, &subnets)?.len();
        println!("{n_scopes} scopes for {} {what} subnets", subnets.len());
    }
    Ok(())
}

/// The distinct scopes of the answers to all subnets.
fn scopes(snapshot: &Snapshot, subnets: &[Prefix]) -> Result<HashSet<Prefix>, Box<dyn Error>> {
    let name = Name::parse("app.example.com")?;
    let mut scratch = Scratch::new(Arc::new(Counters::new(1)), 0);
    let arrival = Arrival {
        src: IpAddr::from([127, 0, 0, 1]),
        transport: Transport::Udp,
        now_ms: 0,
    };
    let mut out = [0; 4096];
    let mut scopes = HashSet::new();
    for subnet in subnets {
        let query = support::query(&name, RrType::A, Some(1232), Some(*subnet));
        let len = answer(snapshot, &mut scratch, arrival, &query, &mut out).response_len();
        let response = Message::from_octets(&out[..len])?;
        let option = response
            .opt()
            .and_then(|opt| opt.opt().first::<ClientSubnet>());
        let scope = option.ok_or("no client subnet in a response")?;
        // A cache keeps one entry for the clients in a scope (RFC 7871 s7.3.1).
        scopes.insert(Prefix::cut(subnet.addr(), scope.scope_prefix_len()));
    }
    Ok(scopes)
}
