//! `/api/v1/pools/POOL/endpoints`: sets the endpoints of pools with `source = "api"`.
//!
//! Calls are judged in a fixed order: path and parameters (400), token (401, 403), pool (404, 409), body (400,
//! 408, 413, 422), revision (412); the answer comes once the change is served and on disk.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::header::ETAG;
use axum::http::header::IF_MATCH;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::admin::body::pool_name;
use crate::admin::body::read_body;
use crate::admin::failure::Failure;
use crate::admin::site::Client;
use crate::admin::site::NoParameters;
use crate::admin::site::Shared;
use crate::config::model;
use crate::config::model::PoolSource;
use crate::config::rights::Change;
use crate::config::safety::Safety;
use crate::config::units::CHECK_ADDRESS;
use crate::config::units::UNICAST;
use crate::config::units::check_address;
use crate::config::units::unicast;
use crate::live::request::ChangeError;
use crate::live::request::Request;
use crate::live::request::SetEndpoints;
use crate::state::source::SourceId;

/// The most endpoints of a pool that the API takes.
pub(super) const MAX_ENDPOINTS: usize = 1_000;

/// The body of `PUT /api/v1/pools/POOL/endpoints`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointsBody {
    endpoints: Vec<Value>,
}

/// An entry that is an object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    check: Option<String>,
    weight: Option<u32>,
}

/// The parameters of `PUT /api/v1/pools/POOL/endpoints`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    dry_run: Option<String>,
}

/// An endpoint.
#[derive(Debug, Serialize)]
struct Endpoint {
    address: IpAddr,
    /// Where it is probed; null: at its address.
    check: Option<String>,
    weight: u32,
}

/// What `GET` answers.
#[derive(Debug, Serialize)]
pub struct PoolEndpoints {
    pool: String,
    revision: u64,
    /// Since when; null: none were set yet.
    since: Option<u64>,
    /// The token that set them.
    by: Option<String>,
    endpoints: Vec<Endpoint>,
}

/// What `PUT` answers.
#[derive(Debug, Serialize)]
pub struct EndpointsSet {
    pool: String,
    /// The revision now; of a dry run, the one that it was made against.
    revision: u64,
    /// Nothing has changed.
    dry_run: bool,
    added: Vec<IpAddr>,
    removed: Vec<IpAddr>,
    before: Vec<Endpoint>,
    endpoints: Vec<Endpoint>,
}

/// An answer with the revision as its entity tag.
type Tagged<T> = ([(HeaderName, String); 1], Json<T>);

fn tagged<T>(revision: u64, answer: T) -> Tagged<T> {
    ([(ETAG, format!("\"{revision}\""))], Json(answer))
}

/// `GET /api/v1/pools/POOL/endpoints`.
pub async fn get(
    State(shared): State<Arc<Shared>>,
    pool: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Result<Tagged<PoolEndpoints>, Failure> {
    let pool = pool_name(pool)?;
    check_pool(&shared, &pool)?;
    let sources = shared.site.live.sources.read();
    let state = sources
        .get(&pool, &SourceId::Api)
        .cloned()
        .unwrap_or_default();
    drop(sources);
    let answer = PoolEndpoints {
        pool,
        revision: state.revision,
        since: state.since,
        by: state.by.map(Into::into),
        endpoints: printed(&state.named.endpoints),
    };
    Ok(tagged(state.revision, answer))
}

/// `PUT /api/v1/pools/POOL/endpoints`.
pub async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    pool: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Tagged<EndpointsSet>, Failure> {
    let pool = pool_name(pool)?;
    let Query(parameters) = parameters.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    let is_dry_run = parameters.is_dry_run()?;
    let change = Change::Endpoints(&pool);
    let by = shared.authorize(&client, &headers, change).await?;
    let safety = check_pool(&shared, &pool)?;
    let if_match = if_match(&headers)?;
    let endpoints = parse(&read_body(body).await?, &safety)?;
    let asked = SetEndpoints {
        pool: pool.as_str().into(),
        endpoints,
        by,
        if_match,
        is_dry_run,
    };
    let change = shared
        .ask(&client, |reply| Request::SetEndpoints { asked, reply })
        .await??;
    let answer = EndpointsSet {
        pool,
        revision: change.revision,
        dry_run: is_dry_run,
        added: missing(&change.after, &change.before),
        removed: missing(&change.before, &change.after),
        before: printed(&change.before),
        endpoints: printed(&change.after),
    };
    Ok(tagged(change.revision, answer))
}

/// Refuses pools whose endpoints the API does not set, and returns what holds for those of others.
fn check_pool(shared: &Shared, pool: &str) -> Result<Safety, Failure> {
    let plan = &shared.site.live.snapshots.current().plan;
    let mut pools = plan.config.pools.pools.iter();
    match pools.find(|other| *other.name == *pool) {
        None => Err(shared.no_pool(pool)),
        Some(pool) if pool.source != PoolSource::Api => Err(ChangeError::NotSettable.into()),
        Some(_) => Ok(plan.config.process.safety.clone()),
    }
}

impl Parameters {
    fn is_dry_run(&self) -> Result<bool, Failure> {
        match self.dry_run.as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err(Failure::bad(format!(
                "`dry_run`: `{other}` is not taken, expected 1 or 0"
            ))),
        }
    }
}

/// The revisions of which one must be current (RFC 9110 s13.1.1); `None`: any will do. Weak tags match
/// nothing.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<u64>>, Failure> {
    let mut revisions = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(IF_MATCH) {
        is_there = true;
        let tags = value.to_str().unwrap_or("").split(',').map(str::trim);
        for tag in tags {
            if tag == "*" {
                return Ok(None);
            }
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let quoted = opaque
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'));
            let Some(quoted) = quoted else {
                return Err(Failure::bad(format!(
                    "`If-Match`: `{tag}` is not taken, expected the ETag of an answer such as \"3\""
                )));
            };
            revisions.extend(quoted.parse::<u64>().ok().filter(|_| opaque == tag));
        }
    }
    Ok(is_there.then_some(revisions))
}

fn parse(bytes: &[u8], safety: &Safety) -> Result<Arc<[model::Endpoint]>, Failure> {
    let body: EndpointsBody = serde_json::from_slice(bytes).map_err(|error| {
        Failure::bad(format!(
            "{error}, expected an object such as {{\"endpoints\":[\"192.0.2.1\",\
             {{\"address\":\"192.0.2.2\",\"weight\":2}}]}}"
        ))
    })?;
    let n = body.endpoints.len();
    if n > MAX_ENDPOINTS {
        let fault = format!("{n} endpoints, expected at most {MAX_ENDPOINTS}");
        return Err(Failure::refused_endpoints(vec![fault]));
    }
    let (mut endpoints, mut faults, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (at, entry) in body.endpoints.into_iter().enumerate() {
        let found = endpoint(entry, safety).and_then(|endpoint| {
            let again = || format!("is {} again, expected each address once", endpoint.address);
            seen.insert(endpoint.address)
                .then_some(endpoint)
                .ok_or_else(again)
        });
        match found {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(fault) => faults.push(format!("endpoints[{at}] {fault}")),
        }
    }
    match faults.is_empty() {
        true => Ok(endpoints.into()),
        false => Err(Failure::refused_endpoints(faults)),
    }
}

fn endpoint(entry: Value, safety: &Safety) -> Result<model::Endpoint, String> {
    let entry = match entry {
        Value::String(address) => Entry {
            address,
            check: None,
            weight: None,
        },
        table @ Value::Object(_) => {
            serde_json::from_value(table).map_err(|error| format!("is not taken: {error}"))?
        }
        _ => return Err("is neither an address in quotes nor an object with `address`".into()),
    };
    let unexpected = |text: &str, expected| {
        let found: String = text.chars().take(64).collect();
        format!("is {found:?}, expected {expected}")
    };
    let Some(address) = unicast(&entry.address) else {
        return Err(unexpected(&entry.address, UNICAST));
    };
    let refusal = |refusal| format!("is {address}, {refusal}");
    safety.check(address).map_err(refusal)?;
    let check = |text: &str| {
        let check = check_address(text);
        let check = check.ok_or_else(|| unexpected(text, CHECK_ADDRESS))?;
        check.check(address, safety).map(|()| check)
    };
    let check = entry.check.as_deref().map(check).transpose();
    let check = check.map_err(|fault| format!("has a `check` that {fault}"))?;
    let weight = entry.weight.unwrap_or(1);
    if weight > model::Endpoint::MAX_WEIGHT {
        let most = model::Endpoint::MAX_WEIGHT;
        return Err(format!(
            "has weight {weight}, expected an integer from 0 to {most}"
        ));
    }
    Ok(model::Endpoint {
        address,
        check,
        weight,
    })
}

fn printed(endpoints: &[model::Endpoint]) -> Vec<Endpoint> {
    let endpoint = |endpoint: &model::Endpoint| Endpoint {
        address: endpoint.address,
        check: endpoint.check.map(|check| check.to_string()),
        weight: endpoint.weight,
    };
    endpoints.iter().map(endpoint).collect()
}

/// The addresses that are in one list and not in the other.
fn missing(of: &[model::Endpoint], from: &[model::Endpoint]) -> Vec<IpAddr> {
    let known: HashSet<IpAddr> = from.iter().map(|endpoint| endpoint.address).collect();
    let addresses = of.iter().map(|endpoint| endpoint.address);
    addresses
        .filter(|address| !known.contains(address))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_addresses_with_a_weight_or_named_with_what_is_wrong() {
        let body = br#"{"endpoints":["192.0.2.1",{"address":"2001:db8::1","weight":0},
            {"address":"192.0.2.2","check":"10.0.0.2:8081"}]}"#;
        let endpoints = parse(body, &Safety::default()).expect("endpoints");
        let found: Vec<_> = endpoints
            .iter()
            .map(|e| (e.probed_at(80).to_string(), e.address.is_ipv6(), e.weight))
            .collect();
        assert_eq!(
            found,
            [
                ("192.0.2.1:80".to_owned(), false, 1),
                ("[2001:db8::1]:80".to_owned(), true, 0),
                ("10.0.0.2:8081".to_owned(), false, 1)
            ]
        );
        assert!(
            parse(br#"{"endpoints":[]}"#, &Safety::default())
                .expect("none")
                .is_empty()
        );
        let body =
            br#"{"endpoints":["192.0.2.1","192.0.2.1","lb.example.net","0.0.0.0","127.0.0.1:80",
            "::ffff:192.0.2.1","240.0.0.1","169.254.169.254",7,{"address":"192.0.2.2","weight":-1},
            {"address":"192.0.2.3","weight":1000001},{"adress":"192.0.2.4"},"ff02::1",
            {"address":"192.0.2.5","check":"app.example.net"},{"address":"192.0.2.6","check":"2001:db8::1"},
            {"address":"192.0.2.7","check":"169.254.169.254:80"},{"address":"192.0.2.8","check":8081}]}"#;
        let refused = parse(body, &Safety::default()).expect_err("faults");
        let faults = refused.faults();
        assert_eq!(faults.len(), 16, "{faults:#?}");
        for (fault, (at, part)) in faults.iter().zip([
            (1, "is 192.0.2.1 again"),
            (2, "is \"lb.example.net\", expected an address of one host"),
            (3, "is \"0.0.0.0\", expected"),
            (4, "is \"127.0.0.1:80\", expected"),
            (5, "is \"::ffff:192.0.2.1\", expected"),
            (6, "is 240.0.0.1, a special-purpose address"),
            (7, "is 169.254.169.254, which `deny`"),
            (8, "is neither an address in quotes nor"),
            (9, "is not taken: invalid value: integer `-1`"),
            (10, "has weight 1000001"),
            (11, "is not taken: unknown field `adress`"),
            (12, "is \"ff02::1\", expected"),
            (13, "has a `check` that is \"app.example.net\", expected an"),
            (
                14,
                "has a `check` that is 2001:db8::1, expected an address of the same family",
            ),
            (15, "has a `check` that is 169.254.169.254, which `deny`"),
            (16, "is not taken: invalid type: integer `8081`"),
        ]) {
            assert!(
                fault.starts_with(&format!("endpoints[{at}] {part}")),
                "{fault}"
            );
        }
        let many = format!(
            "{{\"endpoints\":[{}]}}",
            vec!["\"192.0.2.1\""; 1_001].join(",")
        );
        assert!(parse(many.as_bytes(), &Safety::default()).is_err());
    }

    #[test]
    fn if_match_is_a_list_of_revisions() {
        for (text, expected) in [
            (None, Some(None)),
            (Some("*"), Some(None)),
            (Some("\"3\""), Some(Some(vec![3]))),
            (Some("\"3\", \"4\""), Some(Some(vec![3, 4]))),
            (Some("W/\"3\""), Some(Some(vec![]))),
            (Some("\"abc\""), Some(Some(vec![]))),
            (Some("3"), None),
            (Some(""), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = text {
                headers.insert(IF_MATCH, text.parse().expect("a header"));
            }
            assert_eq!(if_match(&headers).ok(), expected, "{text:?}");
        }
    }
}
