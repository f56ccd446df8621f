//! What `explain` prints as JSON, by the API and the command line alike; made as [`json`](crate::admin::json) is.

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::base::ix::PoolIx;
use crate::config::model;
use crate::engine::explain;
use crate::engine::question::Asker;
use crate::geo::measured::RttSource;
use crate::state::snapshot::Snapshot;

/// `explain --json`: fields that do not apply are null.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The name asked for, without final dot.
    pub name: String,
    /// The type asked for.
    pub r#type: String,
    /// The client: an address, or a prefix as it was sent.
    pub client: String,
    /// `ecs` if the client subnet decided, `resolver` if the packet's source did.
    pub client_source: String,
    /// Where the client is.
    pub location: Location,
    /// The rule that ranked the pools, as it is matched: `continent = ["EU", "AF"]`.
    pub rule: Option<String>,
    /// Of a subnet that holds several answers, the share of its located addresses that this one is the answer
    /// of, rounded to 0.0001.
    pub vote: Option<f64>,
    /// The client's pools, best first.
    pub candidates: Vec<Candidate>,
    /// The pool that was answered.
    pub pool: Option<String>,
    /// The addresses answered.
    pub answer: Vec<IpAddr>,
    /// The target of the answer's last CNAME, without final dot.
    #[serde(default)]
    pub cname: Option<String>,
    /// Seconds.
    pub ttl: Option<u32>,
    /// Of a name with a range of TTLs, why it is no greater.
    #[serde(default)]
    pub ttl_reason: Option<String>,
    /// The ECS scope.
    pub scope: Option<u8>,
    /// The response code.
    pub rcode: String,
}

/// A client's place.
#[derive(Debug, Serialize, Deserialize)]
pub struct Location {
    /// Two letters.
    pub continent: Option<String>,
    /// ISO 3166-1.
    pub country: Option<String>,
    /// ISO 3166-2, the largest one.
    pub subdivision: Option<String>,
    /// In English.
    pub city: Option<String>,
    /// Degrees.
    pub latitude: Option<f64>,
    /// Degrees.
    pub longitude: Option<f64>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// The database's network.
    pub network: Option<String>,
}

/// A pool that could have been answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub pool: String,
    /// Rounded to 100 m.
    pub distance_km: Option<f64>,
    /// Milliseconds, rounded to 0.01; null unless it ranks the pool.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// Whose time that is: the key of the latency table, as `AS64500`, or `distance`.
    #[serde(default)]
    pub rtt_from: Option<String>,
    /// How many samples it is the median of, if the table says so.
    #[serde(default)]
    pub rtt_samples: Option<u32>,
    /// When it was measured, if the table says so.
    #[serde(default)]
    pub rtt_measured: Option<u64>,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Taken out by an operator.
    pub drained: bool,
    /// Answered.
    pub chosen: bool,
    /// Why, or why not.
    pub reason: String,
    /// Its endpoints that are probed at another address than the one answered.
    #[serde(default)]
    pub checks: Vec<CheckedEndpoint>,
}

/// An endpoint with its own `check` address.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckedEndpoint {
    /// The address that is answered.
    pub address: IpAddr,
    /// Where it is probed, with the port if that is given.
    pub check: String,
}

impl Explanation {
    /// What the answer section leads to: the target of a CNAME, and addresses.
    pub fn answered(&self) -> Vec<String> {
        let cname = self.cname.iter().map(|target| format!("CNAME {target}"));
        cname
            .chain(self.answer.iter().map(ToString::to_string))
            .collect()
    }
}

impl Candidate {
    /// Why or why not, and where its endpoints are probed if not at their addresses.
    pub fn reason_and_checks(&self) -> String {
        let checks = self.checks.iter();
        let checks = checks.map(|of| format!("; {} is checked at {}", of.address, of.check));
        std::iter::once(self.reason.clone()).chain(checks).collect()
    }
}

/// A candidate in its printed form.
fn candidate(candidate: &explain::Candidate, snapshot: &Snapshot) -> Candidate {
    let rtt = candidate.rtt;
    let (from, samples, measured) = match rtt.map(|rtt| rtt.source) {
        Some(RttSource::Measured {
            key,
            samples,
            measured,
        }) => (Some(key.to_string()), samples, measured),
        Some(RttSource::Estimated { .. }) => (Some("distance".to_owned()), None, None),
        None => (None, None, None),
    };
    let endpoints = snapshot.pools[candidate.pool.index()].endpoints.iter();
    let checks = endpoints.filter_map(|endpoint| {
        Some(CheckedEndpoint {
            address: endpoint.address,
            check: endpoint.check?.to_string(),
        })
    });
    Candidate {
        pool: pool_name(candidate.pool, snapshot),
        distance_km: candidate.distance_km.map(|km| (km * 10.0).round() / 10.0),
        rtt_ms: rtt.map(|rtt| (f64::from(rtt.ms) * 100.0).round() / 100.0),
        rtt_from: from,
        rtt_samples: samples,
        rtt_measured: measured,
        health: candidate.health.as_str().into(),
        drained: candidate.drained,
        chosen: candidate.chosen,
        reason: candidate.reason.clone(),
        checks: checks.collect(),
    }
}

fn pool_name(pool: PoolIx, snapshot: &Snapshot) -> String {
    snapshot.plan.config.pools.pools[pool.index()]
        .name
        .to_string()
}

/// An explanation in its printed form.
pub fn explanation(explained: &explain::Explanation, snapshot: &Snapshot) -> Explanation {
    let candidates = explained.candidates.iter();
    let place = &explained.location;
    Explanation {
        name: explained.question.name.plain(),
        r#type: explained.question.qtype.to_string(),
        client: match explained.question.client {
            Asker::Resolver(address) => address.to_string(),
            Asker::Subnet(prefix) => prefix.to_string(),
        },
        client_source: if explained.by_subnet {
            "ecs"
        } else {
            "resolver"
        }
        .into(),
        location: Location {
            continent: place.continent.map(|continent| continent.to_string()),
            country: place.country.map(|country| country.to_string()),
            subdivision: place.subdivisions.first().map(ToString::to_string),
            city: place.city.as_ref().map(ToString::to_string),
            latitude: place.point.map(|point| point.latitude),
            longitude: place.point.map(|point| point.longitude),
            asn: place.asn,
            network: explained.network.map(|network| network.to_string()),
        },
        rule: explained.rule.as_ref().map(rule),
        vote: explained.vote.map(|vote| (vote * 1e4).round() / 1e4),
        candidates: candidates.map(|other| candidate(other, snapshot)).collect(),
        pool: explained.pool.map(|pool| pool_name(pool, snapshot)),
        answer: explained.answer.clone(),
        cname: explained.cname.clone(),
        ttl: explained.ttl,
        ttl_reason: explained.ttl_reason.clone(),
        scope: explained.scope,
        rcode: explained.rcode.to_string(),
    }
}

/// A rule's matcher as it is written.
fn rule(rule: &model::Rule) -> String {
    fn list<T: ToString>(items: &[T], quote: &str) -> String {
        let quoted = items
            .iter()
            .map(|item| format!("{quote}{}{quote}", item.to_string()));
        quoted.collect::<Vec<_>>().join(", ")
    }
    let matcher = &rule.matcher;
    let by_key = [
        ("region", list(&rule.regions, "\"")),
        ("network", list(&matcher.networks, "\"")),
        ("asn", list(&matcher.systems, "")),
        ("city", list(&matcher.cities, "\"")),
        ("subdivision", list(&matcher.subdivisions, "\"")),
        ("country", list(&matcher.countries, "\"")),
        ("continent", list(&matcher.continents, "\"")),
    ];
    // A rule by region matches whatever its regions do, any other one by one key.
    let mut written = by_key.into_iter().filter(|(_, items)| !items.is_empty());
    let (key, items) = written.next().unwrap_or_default();
    format!("{key} = [{items}]")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::question::Question;
    use crate::state::evidence::Evidence;
    use crate::state::fixture;

    #[test]
    fn endpoints_that_are_probed_elsewhere_are_shown() {
        let pools = r#"
[monitor.ready]
[pool.a]
location = [1, 1]
endpoints = [{ address = "192.0.2.10", check = "10.0.0.10:8081" }, "192.0.2.11"]
monitor = "ready"
[steer."app.example.com"]
pools = ["a"]
"#;
        let zone = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
        let zones = [("example.com", zone)];
        let plan = Arc::new(fixture::plan("", pools, &zones, fixture::embedded_atlas()));
        let snapshot = Snapshot::build(plan, &Evidence::default(), 1, None);
        let question = Question::parse("app.example.com", None, None, [127, 0, 0, 1].into());
        let explained = explain::explain(&snapshot, question.expect("a question"), &|_, _| None);
        let candidate = &explanation(&explained, &snapshot).candidates[0];
        let checks = serde_json::to_value(&candidate.checks).expect("JSON");
        assert_eq!(
            checks,
            serde_json::json!([{ "address": "192.0.2.10", "check": "10.0.0.10:8081" }])
        );
        let text = candidate.reason_and_checks();
        assert!(
            text.ends_with("; 192.0.2.10 is checked at 10.0.0.10:8081"),
            "{text}"
        );
    }
}
