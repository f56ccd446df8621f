//! What other files would change of what is served, as JSON; made as [`json`](crate::admin::json) is.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde::Serialize;

use crate::admin::census;
use crate::admin::census::Moves;
use crate::admin::failure::Failure;
use crate::admin::reloads;
use crate::admin::site::Client;
use crate::admin::site::Shared;
use crate::base::diag::Severity;
use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::census::Change;
use crate::census::ChangeKind;
use crate::census::ZoneChange;
use crate::census::ZoneRecord;
use crate::census::ZoneRecords;
use crate::config::rights::Change as Changing;
use crate::live::request::Comparison;
use crate::live::request::Request;

/// `GET /api/v1/diff`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Pools.
    pub pools: Changes,
    /// Steered names.
    pub names: Changes,
    /// Zones with other records.
    pub zones: Vec<Zone>,
    /// Who would move, by name and type; only names with clients who would.
    pub moves: Vec<NameMoves>,
    /// What a reload without force would be refused for.
    pub refused: Vec<String>,
    /// What a reload would warn of.
    pub warnings: Vec<String>,
}

/// What is new, gone, or other than it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// New ones.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
    /// Those of which keys have other values.
    pub changed: Vec<Changed>,
}

/// Something of which keys have other values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Its name.
    pub name: String,
    /// The keys.
    pub keys: Vec<String>,
}

/// A zone with other records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Its apex, without final dot.
    pub apex: String,
    /// Null: the zone is new.
    pub serial_before: Option<u32>,
    /// Null: the zone is gone.
    pub serial_after: Option<u32>,
    /// Records that are new, or have another TTL.
    pub added: Records,
    /// Records that are gone, or have another TTL.
    pub removed: Records,
}

/// Records of a zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Records {
    /// How many.
    pub count: usize,
    /// The first of them, in presentation form: types whose RDATA is not an address, a name or text as in RFC 3597.
    pub first: Vec<String>,
}

/// Who would move of those who ask for a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameMoves {
    /// The name, without final dot.
    pub name: String,
    /// `ipv4`: IPv4 clients who ask for A; `ipv6`: IPv6 clients who ask for AAAA.
    pub family: String,
    /// Who.
    #[serde(flatten)]
    pub moved: Moves,
}

/// The parameters of the call.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Parameters {
    /// Another `meridian.toml`; empty: the files of this process.
    config: PathBuf,
}

/// `GET /api/v1/diff`.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Difference>, Failure> {
    let parameters = parameters.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    let config = Some(parameters.0.config).filter(|config| !config.as_os_str().is_empty());
    if let Some(config) = &config {
        // Faults quote the file that they are in, which may be any that the server can read.
        shared
            .authorize(&client, &headers, Changing::Reload)
            .await?;
        if !config.is_absolute() {
            return Err(Failure::bad("`config` is no absolute path"));
        }
    }
    let compare = |reply| Request::Compare { config, reply };
    match shared.send(&client, compare).await? {
        Ok(compared) => Ok(Json(difference(&compared))),
        Err(report) => Err(Failure::refused_files(reloads::lines(
            &report,
            Severity::Error,
        ))),
    }
}

/// A difference in its printed form.
fn difference(compared: &Comparison) -> Difference {
    let difference = &compared.difference;
    let moves = difference.moves.iter();
    Difference {
        pools: changes(&difference.pools),
        names: changes(&difference.names),
        zones: difference.zones.iter().map(zone).collect(),
        moves: moves
            .map(|name| NameMoves {
                name: name.owner.plain(),
                family: name.family.as_str().to_owned(),
                moved: census::moves(&name.moves),
            })
            .collect(),
        refused: reloads::lines(&compared.refused, Severity::Error),
        warnings: reloads::lines(&compared.warnings, Severity::Warning),
    }
}

fn changes(all: &[Change]) -> Changes {
    let mut changes = Changes::default();
    for Change { name, kind } in all {
        let name = name.clone();
        match kind {
            ChangeKind::Added => changes.added.push(name),
            ChangeKind::Removed => changes.removed.push(name),
            ChangeKind::Changed(keys) => {
                let keys = keys.iter().map(|key| (*key).to_owned()).collect();
                changes.changed.push(Changed { name, keys });
            }
        }
    }
    changes
}

fn zone(zone: &ZoneChange) -> Zone {
    Zone {
        apex: zone.apex.plain(),
        serial_before: zone.serial_before,
        serial_after: zone.serial_after,
        added: records(&zone.added),
        removed: records(&zone.removed),
    }
}

fn records(records: &ZoneRecords) -> Records {
    Records {
        count: records.n,
        first: records.first.iter().map(text).collect(),
    }
}

/// A record in presentation form.
fn text(record: &ZoneRecord) -> String {
    let ZoneRecord {
        owner,
        rtype,
        ttl,
        rdata,
    } = record;
    let known = match *rtype {
        RrType::A => rdata
            .first_chunk()
            .map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).to_string()),
        RrType::AAAA => rdata
            .first_chunk()
            .map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).to_string()),
        RrType::CNAME | RrType::NS | RrType::PTR | RrType::DNAME => {
            Name::from_wire(rdata).ok().map(|name| name.to_string())
        }
        RrType::TXT => Some(texts(rdata)),
        _ => None,
    };
    let data = known.unwrap_or_else(|| {
        let hex: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("\\# {} {hex}", rdata.len())
    });
    format!("{owner} {ttl} {rtype} {data}")
}

/// Character strings in quotes.
fn texts(mut rdata: &[u8]) -> String {
    let mut texts = Vec::new();
    while let Some((len, rest)) = rdata.split_first() {
        let (text, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        let octets = text.iter().map(|octet| match octet {
            b'"' | b'\\' => format!("\\{}", char::from(*octet)),
            b' '..=b'~' => char::from(*octet).to_string(),
            _ => format!("\\{octet:03}"),
        });
        texts.push(format!("\"{}\"", octets.collect::<String>()));
        rdata = rest;
    }
    texts.join(" ")
}
