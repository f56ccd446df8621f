//! Plans from texts and queries from words, for tests that need no socket.

use std::path::Path;
use std::sync::Arc;

use meridian::base::diag::Report;
use meridian::base::name::Name;
use meridian::base::prefix::Prefix;
use meridian::base::rr::RrType;
use meridian::config;
use meridian::config::model::Config;
use meridian::config::safety::Safety;
use meridian::state::plan::Geography;
use meridian::state::plan::Plan;
use meridian::state::plan::owners_by_zone;
use meridian::zone::Zone;
use meridian::zone::master;
use meridian::zone::set::ZoneSet;

/// A plan from `meridian.toml`, `pools.toml` and zones as (origin, text); the faults if there are any.
pub fn plan(
    process: &str,
    pools: &str,
    zones: &[(&str, &str)],
    geography: impl Into<Geography>,
) -> Result<Arc<Plan>, Report> {
    let mut report = Report::default();
    let source = |file: &str, text| config::Source {
        file: file.into(),
        dir: Path::new(""),
        text,
    };
    let defaults = config::Defaults {
        host_name: "ns1".into(),
        serves_dns: true,
    };
    let process = config::process(&source("meridian.toml", process), &defaults, &mut report);
    let pools = config::pools(
        &source("pools.toml", pools),
        &Safety::default(),
        &mut report,
    );
    let (Ok(process), Ok(pools)) = (process, pools) else {
        return Err(report);
    };
    let name = |origin: &str| Name::parse(origin).expect("an origin");
    let apexes: Vec<Name> = zones.iter().map(|(origin, _)| name(origin)).collect();
    let owners = owners_by_zone(&pools, &apexes, &mut report);
    let mut compiled = Vec::new();
    for (((origin, text), apex), owners) in zones.iter().zip(&apexes).zip(owners) {
        let file: Arc<str> = format!("{origin}.zone").into();
        let mut include = |_: &str, _: &Arc<str>| Err("no file in a test".to_owned());
        let records = master::read(&file, text.as_bytes(), apex, &mut include, &mut report);
        compiled.extend(Zone::compile(apex, &file, records, &owners, &mut report).map(Arc::new));
    }
    if report.has_errors() {
        return Err(report);
    }
    let config = Arc::new(Config { process, pools });
    let zones = ZoneSet::new(compiled);
    Ok(Arc::new(Plan::compile(
        config,
        zones,
        geography.into(),
        2,
        None,
    )))
}

/// A query without an OPT if `payload` is `None`; with one, and with the client subnet in it.
pub fn query(name: &Name, qtype: RrType, payload: Option<u16>, subnet: Option<Prefix>) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(name.wire());
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    let Some(payload) = payload else {
        return bytes;
    };
    bytes[11] = 1;
    bytes.extend_from_slice(&[0, 0, 41]);
    bytes.extend_from_slice(&payload.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, 0]);
    match subnet {
        None => bytes.push(0),
        Some(subnet) => {
            let n = usize::from(subnet.len().div_ceil(8));
            let (family, address) = match subnet.addr() {
                std::net::IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                std::net::IpAddr::V6(v6) => (2, v6.octets().to_vec()),
            };
            let len = n as u8 + 4;
            bytes.extend_from_slice(&[len + 4, 0, 8, 0, len, 0, family, subnet.len(), 0]);
            bytes.extend_from_slice(&address[..n]);
        }
    }
    bytes
}
