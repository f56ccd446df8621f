//! The records of external-dns' webhook protocol: from JSON to changes of pools, and back.
//!
//! An endpoint with a pool's name as `setIdentifier` is a list of addresses for that pool, or a TXT record that says
//! whose they are. Its texts are taken in plain form only, at owners that external-dns derives from names of the
//! pool: who may fill a pool cannot put other records into a zone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::admin::auth::Denied;
use crate::admin::auth::Holder;
use crate::admin::endpoints::MAX_ENDPOINTS;
use crate::base::ix::PoolIx;
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::config::model::Config;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Steered;
use crate::config::rights::Change;
use crate::config::units::UNICAST;
use crate::config::units::unicast;
use crate::state::counters::pools_of;
use crate::state::external::RecordChanges;
use crate::state::external::RecordData;
use crate::state::external::RecordSet;
use crate::state::source::SourceId;
use crate::state::sources::Sources;

/// The longest text of an ownership record, in octets.
const MAX_TEXT: usize = 1_000;

/// How the text of an ownership record begins.
const HERITAGE: &str = "heritage=external-dns,";

/// Changes as external-dns sends them. Its older versions wrote the keys in capitals, and its newer ones may know
/// others.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Changes {
    #[serde(alias = "Create")]
    create: Option<Vec<Endpoint>>,
    #[serde(alias = "UpdateOld")]
    update_old: Option<Vec<Endpoint>>,
    #[serde(alias = "UpdateNew")]
    update_new: Option<Vec<Endpoint>>,
    #[serde(alias = "Delete")]
    delete: Option<Vec<Endpoint>>,
}

/// The records of one name, type and set identifier.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Endpoint {
    dns_name: String,
    targets: Option<Vec<String>>,
    record_type: String,
    set_identifier: String,
}

/// A domain filter, of which external-dns manages what is at or below.
#[derive(Debug, Serialize)]
pub(super) struct DomainFilter {
    include: Vec<String>,
}

/// Why changes are refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// The token does not permit them.
    Denied(Denied),
    /// What is wrong with each that cannot be made.
    Faults(Vec<String>),
}

/// What an endpoint may name: the pools that a token permits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Whose changes they are.
    pub holder: &'a Holder,
}

impl Scope<'_> {
    /// The names that can be set; `None` if there are none.
    pub fn filter(&self) -> Option<DomainFilter> {
        let pools = &self.config.pools;
        let has_ours = |steered: &&Steered| {
            let pools_of = pools_of(steered);
            pools_of
                .iter()
                .any(|ix| self.is_ours(&pools.pools[ix.index()]))
        };
        let names = pools.steered.iter().filter(has_ours);
        let include: Vec<_> = names.map(|steered| printed(&steered.owner)).collect();
        (!include.is_empty()).then_some(DomainFilter { include })
    }

    /// What has been set, of the pools that the token permits.
    pub fn records(&self, sources: &Sources) -> Vec<Endpoint> {
        let mut records = Vec::new();
        let pools = self.config.pools.pools.iter();
        for pool in pools.filter(|pool| self.is_ours(pool)) {
            let Some(state) = sources.get(&pool.name, &SourceId::Api) else {
                continue;
            };
            let record = |name: &Name, record_type: &str, targets| Endpoint {
                dns_name: printed(name),
                targets: Some(targets),
                record_type: record_type.into(),
                set_identifier: pool.name.to_string(),
            };
            for (name, family) in &state.external.managed {
                let addresses = state
                    .named
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.address);
                let of_family = addresses.filter(|address| Family::of(*address) == *family);
                let targets = of_family.map(|address| address.to_string()).collect();
                records.push(record(name, record_type(*family), targets));
            }
            for (owner, text) in &state.external.ownership {
                records.push(record(owner, "TXT", vec![format!("\"{text}\"")]));
            }
        }
        records
    }

    /// Reads changes, all of them.
    pub fn read(&self, changes: Changes) -> Result<RecordChanges, Refused> {
        let mut read = RecordChanges::default();
        let mut faults = Vec::new();
        for (list, endpoints, is_set) in [
            ("delete", changes.delete, false),
            ("updateOld", changes.update_old, false),
            ("create", changes.create, true),
            ("updateNew", changes.update_new, true),
        ] {
            for (at, endpoint) in endpoints.unwrap_or_default().into_iter().enumerate() {
                let pool = &endpoint.set_identifier;
                if !pool.is_empty() {
                    let permitted = self.holder.permit(Change::Endpoints(pool));
                    permitted.map_err(Refused::Denied)?;
                }
                let records = match is_set {
                    true => self.read_set(&endpoint),
                    false => read_removed(&endpoint),
                };
                match records {
                    Ok(records) if is_set => read.set.push(records),
                    Ok(records) => read.removed.push(records),
                    Err(fault) => {
                        let name: String = endpoint.dns_name.chars().take(64).collect();
                        faults.push(format!("{list}[{at}] `{name}` {fault}"));
                    }
                }
            }
        }
        match faults.is_empty() {
            true => Ok(read),
            false => Err(Refused::Faults(faults)),
        }
    }

    /// Brings endpoints that are wanted into the form in which [`Self::records`] has them: a name's TTL is that of its
    /// configuration, and nothing is specific to this provider.
    pub fn adjust(&self, endpoints: &mut [Value]) {
        for endpoint in endpoints {
            let text = |key: &str| endpoint.get(key).and_then(Value::as_str).unwrap_or("");
            let is_address = matches!(text("recordType"), "A" | "AAAA");
            let is_ours = self
                .pool(text("setIdentifier"))
                .is_some_and(|(_, pool)| self.is_ours(pool));
            let name = Name::parse(text("dnsName"));
            let (Value::Object(endpoint), Ok(name), true) = (endpoint, name, is_address && is_ours)
            else {
                continue;
            };
            endpoint.insert("dnsName".into(), printed(&name).into());
            endpoint.remove("recordTTL");
            endpoint.remove("providerSpecific");
            if let Some(Value::Array(targets)) = endpoint.get_mut("targets") {
                let canonical = |target: &Value| {
                    let address = target.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                    address.map_or_else(|| target.clone(), |address| address.to_string().into())
                };
                let mut seen = BTreeSet::new();
                let canonical: Vec<Value> = targets.iter().map(canonical).collect();
                let once = canonical
                    .into_iter()
                    .filter(|target| seen.insert(target.to_string()));
                *targets = once.collect();
            }
        }
    }

    fn is_ours(&self, pool: &Pool) -> bool {
        let change = Change::Endpoints(&pool.name);
        pool.source == PoolSource::Api && self.holder.permit(change).is_ok()
    }

    fn pool(&self, name: &str) -> Option<(PoolIx, &Pool)> {
        let mut pools = self.config.pools.pools.iter();
        let ix = pools.position(|pool| *pool.name == *name)?;
        Some((PoolIx::new(ix), &self.config.pools.pools[ix]))
    }

    fn read_set(&self, endpoint: &Endpoint) -> Result<RecordSet, String> {
        let name = name_of(endpoint)?;
        let pool = &endpoint.set_identifier;
        let Some((ix, pool)) = self.pool(pool) else {
            return Err(format!("is for pool `{pool}`, which is not defined"));
        };
        if pool.source != PoolSource::Api {
            return Err(format!(
                "is for pool `{}`, whose endpoints come from its file, expected one with `source = \"api\"`",
                pool.name
            ));
        }
        let names = self.config.pools.steered.iter();
        let mut names = names.filter(|steered| pools_of(steered).contains(&ix));
        let targets = endpoint.targets.as_deref().unwrap_or_default();
        let data = match &*endpoint.record_type {
            "A" | "AAAA" => {
                if !names.any(|steered| steered.owner == name) {
                    return Err(format!("is no [steer] name that uses pool `{}`", pool.name));
                }
                let family = match &*endpoint.record_type {
                    "A" => Family::V4,
                    _ => Family::V6,
                };
                RecordData::Addresses(family, self.addresses(family, targets)?)
            }
            "TXT" => {
                if !names.any(|steered| is_ownership_name(&name, &steered.owner)) {
                    return Err(format!(
                        "is no owner that external-dns derives from a [steer] name of pool `{}`",
                        pool.name
                    ));
                }
                RecordData::Ownership(ownership_text(targets)?)
            }
            other => return Err(wrong_type(other)),
        };
        Ok(RecordSet {
            pool: pool.name.clone(),
            name,
            data,
        })
    }

    /// The addresses of a family, sorted, each once.
    fn addresses(&self, family: Family, targets: &[String]) -> Result<Vec<IpAddr>, String> {
        let n = targets.len();
        if !(1..=MAX_ENDPOINTS).contains(&n) {
            return Err(format!("has {n} targets, expected 1 to {MAX_ENDPOINTS}"));
        }
        let mut addresses = BTreeSet::new();
        for target in targets {
            let of_family = |address: &IpAddr| Family::of(*address) == family;
            let Some(address) = unicast(target).filter(of_family) else {
                let found: String = target.chars().take(64).collect();
                return Err(format!(
                    "has target {found:?}, expected for type {} {UNICAST}",
                    record_type(family)
                ));
            };
            let safety = &self.config.process.safety;
            let refusal = |refusal| format!("has target {address}, {refusal}");
            safety.check(address).map_err(refusal)?;
            addresses.insert(address);
        }
        Ok(addresses.into_iter().collect())
    }
}

/// What is to be removed need not be there, nor its pool.
fn read_removed(endpoint: &Endpoint) -> Result<RecordSet, String> {
    Ok(RecordSet {
        pool: endpoint.set_identifier.as_str().into(),
        name: name_of(endpoint)?,
        data: match &*endpoint.record_type {
            "A" => RecordData::Addresses(Family::V4, Vec::new()),
            "AAAA" => RecordData::Addresses(Family::V6, Vec::new()),
            "TXT" => RecordData::Ownership("".into()),
            other => return Err(wrong_type(other)),
        },
    })
}

/// The owner of an endpoint that names a pool.
fn name_of(endpoint: &Endpoint) -> Result<Name, String> {
    if endpoint.set_identifier.is_empty() {
        return Err(
            "has no `setIdentifier`, expected the name of a pool; static names are set by dynamic updates \
             (external-dns --provider=rfc2136)"
                .into(),
        );
    }
    Name::parse(&endpoint.dns_name).map_err(|error| format!("is no name: {error}"))
}

fn wrong_type(rtype: &str) -> String {
    match rtype {
        "CNAME" => "has a host name as its target, expected addresses: have external-dns resolve it \
                    (--resolve-service-load-balancer-hostname), or name the host in the pool's `endpoints`"
            .into(),
        other => {
            let other: String = other.chars().take(16).collect();
            format!("is of type {other:?}, expected A, AAAA, or TXT for ownership")
        }
    }
}

fn ownership_text(targets: &[String]) -> Result<Box<str>, String> {
    let [text] = targets else {
        let n = targets.len();
        return Err(format!(
            "has {n} targets, expected the text of one ownership record"
        ));
    };
    let inside = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = inside.unwrap_or(text);
    let is_plain = text.starts_with(HERITAGE)
        && text.len() <= MAX_TEXT
        && text
            .bytes()
            .all(|octet| matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\'));
    match is_plain {
        true => Ok(text.into()),
        false => Err(format!(
            "is no ownership record, expected `{HERITAGE}…` in plain text (no --txt-encrypt-enabled) of at most \
             {MAX_TEXT} octets"
        )),
    }
}

/// Whether external-dns may have made an owner of TXT records from a steered name: its first label within a prefix or
/// a suffix of further characters or labels (`--txt-prefix`, `--txt-suffix`), before the others. A wildcard's asterisk
/// may have become anything (`--txt-wildcard-replacement`).
fn is_ownership_name(owner: &Name, steered: &Name) -> bool {
    let Some(parent) = steered
        .parent()
        .filter(|parent| owner.is_at_or_below(parent))
    else {
        return false;
    };
    let n_before = owner.n_labels() - parent.n_labels();
    let before: Vec<_> = owner.labels().take(n_before).collect();
    let before = before.join(&b'.').to_ascii_lowercase();
    let first = steered
        .labels()
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    n_before > 0
        && (steered.is_wildcard() || before.windows(first.len()).any(|part| *part == *first))
}

fn record_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "A",
        Family::V6 => "AAAA",
    }
}

/// A name as external-dns writes it.
fn printed(name: &Name) -> String {
    name.plain().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use axum::http::header::AUTHORIZATION;
    use serde_json::json;

    use super::*;
    use crate::admin::auth::Access;
    use crate::admin::auth::Grant;
    use crate::admin::auth::Schemes;
    use crate::admin::auth::Token;
    use crate::admin::auth::authenticate;
    use crate::config::rights::Right;
    use crate::state::fixture;
    use crate::state::plan::Plan;

    const POOLS: &str = r#"
[pool.us]
location = [45.60, -121.18]
source = "api"
[pool.eu]
location = [50.45, 3.82]
source = "api"
[pool.file]
location = [1.35, 103.8]
endpoints = ["192.0.2.3"]
[steer."App.example.com"]
pools = ["us", "eu"]
[steer."*.wild.example.com"]
pools = ["us", "file"]
[steer."file.example.com"]
pools = ["file"]
"#;

    fn plan() -> Plan {
        let zone = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
        fixture::plan(
            "",
            POOLS,
            &[("example.com", zone)],
            fixture::embedded_atlas(),
        )
    }

    fn holder(can: &[Right]) -> Holder {
        let grant = Grant {
            name: "t".into(),
            can: can.into(),
            token: Some(Token::parse("0123456789abcdef").expect("a token")),
        };
        let mut headers = HeaderMap::new();
        let value = "Bearer 0123456789abcdef".parse().expect("a header");
        headers.insert(AUTHORIZATION, value);
        authenticate(&Access(vec![grant]), &headers, Schemes::Bearer).expect("its token")
    }

    fn endpoint(name: &str, rtype: &str, pool: &str, targets: &[&str]) -> Value {
        json!({"dnsName": name, "recordType": rtype, "setIdentifier": pool, "targets": targets})
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let (plan, all) = (plan(), holder(&[Right::All]));
        let scope = Scope {
            config: &plan.config,
            holder: &all,
        };
        let many = vec!["192.0.2.1"; 10_000];
        let long = format!("\"{HERITAGE}{}\"", "x".repeat(1_000));
        let heritage = "\"heritage=external-dns,external-dns/owner=us\"";
        let (app, wild) = ("app.example.com", "*.wild.example.com");
        for (name, rtype, pool, targets, expected) in [
            (app, "A", "us", &["192.0.2.1", "192.0.2.1"][..], ""),
            ("APP.example.com.", "AAAA", "eu", &["2001:DB8::1"], ""),
            (wild, "A", "us", &["192.0.2.1"], ""),
            ("a-app.example.com", "TXT", "us", &[heritage], ""),
            ("_x.aaaa-app-y.example.com", "TXT", "us", &[heritage], ""),
            (
                app,
                "TXT",
                "us",
                &["heritage=external-dns,external-dns/owner=us"],
                "",
            ),
            ("a-any.wild.example.com", "TXT", "us", &[heritage], ""),
            ("a-*.wild.example.com", "TXT", "us", &[heritage], ""),
            (
                app,
                "A",
                "",
                &["192.0.2.1"],
                "has no `setIdentifier`, expected the name of a pool",
            ),
            (
                app,
                "A",
                "none",
                &["192.0.2.1"],
                "is for pool `none`, which is not defined",
            ),
            (
                wild,
                "A",
                "file",
                &["192.0.2.1"],
                "is for pool `file`, whose endpoints come from its file",
            ),
            (
                wild,
                "A",
                "eu",
                &["192.0.2.1"],
                "is no [steer] name that uses pool `eu`",
            ),
            (
                "www.example.com",
                "A",
                "us",
                &["192.0.2.1"],
                "is no [steer] name",
            ),
            ("a..b", "A", "us", &["192.0.2.1"], "is no name: "),
            (app, "A", "us", &[], "has 0 targets, expected 1 to 1000"),
            (app, "A", "us", &many, "has 10000 targets"),
            (
                app,
                "A",
                "us",
                &["0.0.0.0"],
                "has target \"0.0.0.0\", expected for type A an address",
            ),
            (
                app,
                "A",
                "us",
                &["2001:db8::1"],
                "has target \"2001:db8::1\", expected for type A",
            ),
            (
                app,
                "AAAA",
                "us",
                &["::ffff:192.0.2.1"],
                "has target \"::ffff:192.0.2.1\"",
            ),
            (
                app,
                "A",
                "us",
                &["169.254.169.254"],
                "has target 169.254.169.254, which `deny`",
            ),
            (
                app,
                "A",
                "us",
                &["240.0.0.1"],
                "has target 240.0.0.1, a special-purpose address",
            ),
            (
                app,
                "CNAME",
                "us",
                &["lb.example.net"],
                "has a host name as its target",
            ),
            (
                app,
                "MX",
                "us",
                &["10 mx"],
                "is of type \"MX\", expected A, AAAA",
            ),
            (
                "_acme-challenge.app.example.com",
                "TXT",
                "us",
                &["token"],
                "is no ownership record",
            ),
            (
                "a-app.example.com",
                "TXT",
                "us",
                &[&*long],
                "is no ownership record",
            ),
            (
                "a-app.example.com",
                "TXT",
                "us",
                &[heritage, heritage],
                "has 2 targets",
            ),
            (
                "www.example.com",
                "TXT",
                "us",
                &[heritage],
                "is no owner that external-dns derives",
            ),
            (
                "example.com",
                "TXT",
                "us",
                &[heritage],
                "is no owner that external-dns derives",
            ),
            (
                "wild.example.com",
                "TXT",
                "us",
                &[heritage],
                "is no owner that external-dns derives",
            ),
            (
                "app.example.net",
                "TXT",
                "us",
                &[heritage],
                "is no owner that external-dns derives",
            ),
        ] {
            let changes =
                json!({"Create": [endpoint(name, rtype, pool, targets)], "updateOld": null});
            let changes = serde_json::from_value(changes).expect("changes");
            match scope.read(changes) {
                Ok(read) => {
                    assert_eq!((read.set.len(), expected), (1, ""), "{name} {rtype} {pool}");
                }
                Err(Refused::Faults(faults)) => {
                    let [fault] = &*faults else {
                        panic!("{faults:?}")
                    };
                    let found = fault.split_once("` ").map(|(_, fault)| fault);
                    let is_expected = found.is_some_and(|fault| fault.starts_with(expected));
                    assert!(
                        is_expected && !expected.is_empty(),
                        "{name} {rtype}: {fault}"
                    );
                }
                Err(Refused::Denied(denied)) => panic!("{denied}"),
            }
        }
    }

    #[test]
    fn a_token_changes_and_sees_its_pools_only() {
        let (plan, eu) = (plan(), holder(&[Right::Pool("eu".into()), Right::Read]));
        let scope = Scope {
            config: &plan.config,
            holder: &eu,
        };
        let filter = scope.filter().expect("a name");
        assert_eq!(filter.include, ["app.example.com"]);
        let mut sources = Sources::default();
        for (list, pool, is_ours) in [
            ("create", "eu", true),
            ("delete", "eu", true),
            ("updateNew", "us", false),
            ("delete", "us", false),
        ] {
            let changes = json!({list: [endpoint("app.example.com", "A", pool, &["192.0.2.1"])]});
            let changes = serde_json::from_value(changes).expect("changes");
            assert_eq!(scope.read(changes).is_ok(), is_ours, "{list} {pool}");
        }
        let all = holder(&[Right::All]);
        let all = Scope {
            holder: &all,
            ..scope
        };
        let wanted = [
            endpoint("App.example.com", "A", "us", &["192.0.2.1"]),
            endpoint("*.wild.example.com", "A", "us", &["192.0.2.1"]),
            endpoint("app.example.com", "AAAA", "eu", &["2001:DB8:0::1"]),
            endpoint(
                "aaaa-app.example.com",
                "TXT",
                "eu",
                &["heritage=external-dns,a=b"],
            ),
        ];
        let changes = serde_json::from_value(json!({"create": wanted})).expect("changes");
        let changes = all.read(changes).expect("sound");
        sources.change_records(&changes, "t", 1).expect("sound");
        let printed =
            |scope: Scope<'_>| serde_json::to_value(scope.records(&sources)).expect("JSON");
        let of_eu = [
            endpoint("app.example.com", "AAAA", "eu", &["2001:db8::1"]),
            endpoint(
                "aaaa-app.example.com",
                "TXT",
                "eu",
                &["\"heritage=external-dns,a=b\""],
            ),
        ];
        assert_eq!(printed(scope), json!(of_eu));
        let of_us = [
            endpoint("app.example.com", "A", "us", &["192.0.2.1"]),
            endpoint("*.wild.example.com", "A", "us", &["192.0.2.1"]),
        ];
        assert_eq!(printed(all), json!([&of_us[..], &of_eu].concat()));
    }

    #[test]
    fn what_is_wanted_takes_the_form_of_what_is_listed() {
        let (plan, eu) = (plan(), holder(&[Right::Pool("eu".into())]));
        let scope = Scope {
            config: &plan.config,
            holder: &eu,
        };
        let mut wanted = json!([
            {"dnsName": "APP.example.com.", "recordType": "AAAA", "setIdentifier": "eu", "recordTTL": 60,
             "targets": ["2001:DB8:0::1", "2001:db8::1", "fd00::2"], "labels": {"resource": "service/a/b"},
             "providerSpecific": [{"name": "alias", "value": "true"}]},
            {"dnsName": "App.example.com", "recordType": "A", "setIdentifier": "us", "recordTTL": 60},
            {"dnsName": "other.example.com", "recordType": "CNAME", "recordTTL": 60, "new": [1]},
            "nonsense"
        ]);
        let untouched: Vec<Value> = wanted.as_array().expect("a list")[1..].to_vec();
        scope.adjust(wanted.as_array_mut().expect("a list"));
        let ours = json!({"dnsName": "app.example.com", "recordType": "AAAA", "setIdentifier": "eu",
            "targets": ["2001:db8::1", "fd00::2"], "labels": {"resource": "service/a/b"}});
        assert_eq!(wanted, json!([&[ours][..], &untouched].concat()));
    }
}
