//! Questions and expected answers as TOML files in `tests/cases`, asked in memory.
//!
//! Every response is read by hickory-proto, which knows nothing of our encoder; what it reads must be
//! what the case says. For steered questions `explain` must say the same as the wire, and the counters
//! must have moved by one. Adding a case needs no Rust: see `tests/cases/README.md`.

#![expect(
    clippy::panic,
    clippy::too_many_lines,
    reason = "a case that makes no sense ends the test, and a check is a list of comparisons"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::rdata::opt::EdnsOption;
use meridian::admin::explanation;
use meridian::base::health::Health;
use meridian::base::location::Country;
use meridian::base::name::Name;
use meridian::base::per_family::PerFamily;
use meridian::base::prefix::Prefix;
use meridian::base::rr::Rcode;
use meridian::base::rr::RrType;
use meridian::base::transport::Transport;
use meridian::base::word;
use meridian::daemon::load::embedded_atlas;
use meridian::engine::Arrival;
use meridian::engine::Scratch;
use meridian::engine::answer;
use meridian::engine::explain::explain;
use meridian::engine::question::Asker;
use meridian::engine::question::Question;
use meridian::geo::atlas::Atlas;
use meridian::health::overrides::Forced;
use meridian::mmdb::countries;
use meridian::mmdb::writer;
use meridian::mmdb::writer::Value;
use meridian::state::counters::Counters;
use meridian::state::evidence::Evidence;
use meridian::state::plan::Plan;
use meridian::state::snapshot::Snapshot;
use meridian::steer::spread::Admitted;
use serde::Deserialize;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// `meridian.toml`.
    #[serde(default)]
    process: String,
    /// `pools.toml`.
    #[serde(default)]
    pools: String,
    /// Zone texts by origin.
    zones: BTreeMap<String, String>,
    /// Networks of a database of the case's own, ascending; the embedded one otherwise.
    #[serde(default)]
    network: Vec<Network>,
    query: Vec<Asked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    prefix: String,
    country: Option<String>,
    /// Without the country.
    subdivision: Option<String>,
    city: Option<String>,
    city_id: Option<u32>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// One question, or one message in hexadecimal, and what is expected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// What the row shows.
    note: String,
    /// `NAME TYPE`.
    ask: Option<String>,
    /// A whole message instead.
    hex: Option<String>,
    ecs: Option<String>,
    from: Option<IpAddr>,
    /// 0: no OPT.
    payload: Option<u16>,
    #[serde(default)]
    tcp: bool,
    /// Endpoints that are down.
    #[serde(default)]
    down: Vec<IpAddr>,
    /// Operators' words by pool.
    #[serde(default)]
    forced: BTreeMap<String, String>,
    /// `NOERROR` unless given; `none` for silence.
    rcode: Option<String>,
    /// Among `aa tc`, `aa` unless given.
    flags: Option<String>,
    #[serde(default)]
    answer: Vec<String>,
    authority: Option<Vec<String>>,
    additional: Option<Vec<String>>,
    scope: Option<u8>,
    pool: Option<String>,
    /// The pools that `explain` calls chosen, `pool` alone unless given.
    chosen: Option<Vec<String>>,
    /// The share of its clients that a pool takes, in percent.
    #[serde(default)]
    admitted: BTreeMap<String, u8>,
    /// The text of the extended error.
    error: Option<String>,
    /// What `explain` says of a subnet that holds several answers, to four places.
    vote: Option<f64>,
    /// Where `explain` sees the client.
    country: Option<String>,
    /// The rule that `explain` names.
    rule: Option<String>,
}

#[test]
fn every_case_is_answered_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut n = 0;
    let mut faults = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ext| ext != "toml") {
            continue;
        }
        let file = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("UTF-8");
        let case: Case = toml::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        let plan = plan(&case, &file);
        for asked in &case.query {
            n += 1;
            if let Err(fault) = check(&plan, asked) {
                faults.push(format!("{file}: {}: {fault}", asked.note));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(n > 60, "only {n} questions were found");
}

fn plan(case: &Case, file: &str) -> Arc<Plan> {
    let atlas = match case.network.is_empty() {
        true => embedded_atlas().expect("the embedded database is sound"),
        false => atlas(&case.network),
    };
    let zones: Vec<_> = case
        .zones
        .iter()
        .map(|(o, text)| (o.as_str(), text.as_str()))
        .collect();
    support::plan(&case.process, &case.pools, &zones, Arc::new(atlas))
        .unwrap_or_else(|report| panic!("{file}: {report}"))
}

/// A database of some networks.
fn atlas(networks: &[Network]) -> Atlas {
    let mut ranges = Vec::new();
    let mut records = Vec::new();
    for (at, network) in networks.iter().enumerate() {
        let prefix: Prefix = network.prefix.parse().expect("a prefix");
        let bits = |addr: IpAddr| match addr {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let (first, last) = (bits(prefix.addr()), bits(prefix.last()));
        ranges.push(writer::Range {
            first,
            last,
            record: at as u32,
        });
        let mut map = Vec::new();
        if let Some(country) = &network.country {
            let iso = vec![("iso_code", Value::Text(country.clone()))];
            let code: Country = country.parse().expect("a country");
            let continent = countries::country(code)
                .expect("a country")
                .continent
                .to_string();
            map.push((
                "continent",
                Value::Map(vec![("code", Value::Text(continent))]),
            ));
            map.push(("country", Value::Map(iso)));
        }
        if let Some(code) = &network.subdivision {
            let iso = vec![("iso_code", Value::Text(code.clone()))];
            map.push(("subdivisions", Value::Array(vec![Value::Map(iso)])));
        }
        if let Some(name) = &network.city {
            let mut city = vec![("names", Value::Map(vec![("en", Value::Text(name.clone()))]))];
            city.extend(network.city_id.map(|id| ("geoname_id", Value::Uint32(id))));
            map.push(("city", Value::Map(city)));
        }
        if let (Some(latitude), Some(longitude)) = (network.latitude, network.longitude) {
            let point = vec![
                ("latitude", Value::Double(latitude)),
                ("longitude", Value::Double(longitude)),
            ];
            map.push(("location", Value::Map(point)));
        }
        records.push(Value::Map(map));
    }
    let header = writer::Header {
        database_type: "Case-City",
        description: "a case",
        build_epoch: 1,
    };
    let bytes = writer::write(header, &ranges, &records).expect("ascending networks");
    let centre_of = |code| countries::country(code).map(|info| (info.continent, info.centre));
    Atlas::read(bytes, None, &centre_of).expect("a sound database")
}

fn snapshot(plan: &Arc<Plan>, asked: &Asked) -> Snapshot {
    let pools = &plan.config.pools.pools;
    let health = |address: IpAddr| match asked.down.contains(&address) {
        true => Health::Down,
        false => Health::Unknown,
    };
    let forced = |name: &str| {
        let word = asked.forced.get(name)?;
        Some(Forced::parse(word, None).expect("a known override"))
    };
    let admitted = |name: &str| {
        let percent = asked.admitted.get(name).copied();
        PerFamily::from_fn(|_| percent.map_or(Admitted::ALL, Admitted::percent))
    };
    let evidence = Evidence {
        endpoints: pools
            .iter()
            .map(|pool| pool.endpoints.iter().map(|e| health(e.address)).collect())
            .collect(),
        forced: pools.iter().map(|pool| forced(&pool.name)).collect(),
        admitted: pools.iter().map(|pool| admitted(&pool.name)).collect(),
        ..Evidence::default()
    };
    Snapshot::build(Arc::clone(plan), &evidence, 1, None).with_merged_tables()
}

/// Asks one question and compares everything.
fn check(plan: &Arc<Plan>, asked: &Asked) -> Result<(), String> {
    let snapshot = snapshot(plan, asked);
    let subnet = asked
        .ecs
        .as_deref()
        .map(|text| text.parse::<Prefix>().expect("a prefix"));
    let question = asked.ask.as_deref().map(|text| {
        let (name, qtype) = text.split_once(' ').expect("a name and a type");
        (
            Name::parse(name).expect("a name"),
            qtype.parse::<RrType>().expect("a type"),
        )
    });
    let payload = Some(asked.payload.unwrap_or(1232)).filter(|payload| *payload > 0);
    let message = match (&question, &asked.hex) {
        (Some((name, qtype)), None) => support::query(name, *qtype, payload, subnet),
        (None, Some(hex)) => unhex(hex),
        _ => panic!("{}: either `ask` or `hex`", asked.note),
    };
    let counters = Arc::new(Counters::new(1));
    let mut scratch = Scratch::new(Arc::clone(&counters), 0);
    let transport = if asked.tcp {
        Transport::Tcp
    } else {
        Transport::Udp
    };
    let src = asked.from.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let before = answers(plan);
    let mut out = vec![0; 65_535];
    let outcome = answer(
        &snapshot,
        &mut scratch,
        Arrival {
            src,
            transport,
            now_ms: 0,
        },
        &message,
        &mut out,
    );
    let len = outcome.response_len();
    same("queries", &counters.queries(transport), &1)?;
    let wanted = asked.rcode.as_deref().unwrap_or("NOERROR");
    if wanted == "none" {
        return same("length", &len, &0);
    }
    let response =
        Message::from_vec(&out[..len]).map_err(|error| format!("unreadable: {error}"))?;
    let rcode = known_rcode(wanted);
    same("responses", &counters.responses(rcode), &1)?;
    compare(asked, &response)?;
    if let Some(text) = &asked.error {
        let error = outcome.extended_error;
        same(
            "extended error",
            &error.map(|error| error.text),
            &Some(text),
        )?;
    }
    if !asked.tcp && len > usize::from(payload.unwrap_or(512)) {
        return Err(format!("{len} octets are too many"));
    }
    let after = answers(plan);
    let moved: Vec<_> = after
        .iter()
        .filter(|(key, n)| before.get(*key) != Some(n))
        .collect();
    match &asked.pool {
        Some(pool) => same(
            "pool",
            &moved.first().map(|((_, p), _)| p.as_str()),
            &Some(pool),
        )?,
        None => same("answers_total", &moved.len(), &0)?,
    }
    match question {
        // An explanation for a subnet cannot know the resolver, which counts for one of length 0, and for
        // one of which nothing is known.
        Some((name, qtype))
            if asked.pool.is_some()
                && qtype != RrType::ANY
                && subnet.is_none_or(|subnet| subnet.len() > 0 && asked.from.is_none()) =>
        {
            let client = subnet.map_or(Asker::Resolver(src), Asker::Subnet);
            explains(
                &snapshot,
                Question {
                    name,
                    qtype,
                    client,
                },
                &response,
                asked,
            )
        }
        _ => Ok(()),
    }
}

fn answers(plan: &Plan) -> BTreeMap<(String, String), u64> {
    plan.counters
        .totals()
        .map(|((name, pool), n)| ((name.into(), pool.into()), n))
        .collect()
}

fn known_rcode(mnemonic: &str) -> Rcode {
    word::parse(Rcode::ALL, Rcode::as_str, mnemonic).expect("a known rcode")
}

fn compare(asked: &Asked, response: &Message) -> Result<(), String> {
    let rcode = asked.rcode.as_deref().unwrap_or("NOERROR");
    let low = response.metadata.response_code.low();
    let wanted = known_rcode(rcode);
    same("rcode", &low, &wanted.low())?;
    let mut flags = Vec::new();
    flags.extend(response.metadata.authoritative.then_some("aa"));
    flags.extend(response.metadata.truncation.then_some("tc"));
    let by_default = if rcode == "NOERROR" || rcode == "NXDOMAIN" {
        "aa"
    } else {
        ""
    };
    same(
        "flags",
        &flags.join(" ").as_str(),
        &asked.flags.as_deref().unwrap_or(by_default),
    )?;
    same("answer", &texts(&response.answers), &sorted(&asked.answer))?;
    if let Some(authority) = &asked.authority {
        same(
            "authority",
            &texts(&response.authorities),
            &sorted(authority),
        )?;
    }
    if let Some(additional) = &asked.additional {
        same(
            "additional",
            &texts(&response.additionals),
            &sorted(additional),
        )?;
    }
    let option = response
        .edns
        .as_ref()
        .and_then(|edns| edns.option(EdnsCode::Subnet));
    let scope = match option {
        Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
        _ => None,
    };
    if asked.ecs.is_some() || asked.scope.is_some() {
        same("scope", &scope, &asked.scope)?;
    }
    Ok(())
}

/// The explanation must say what the wire said.
fn explains(
    snapshot: &Snapshot,
    question: Question,
    response: &Message,
    asked: &Asked,
) -> Result<(), String> {
    let explained = explain(snapshot, question, &|_, _| None);
    let address = |record: &Record| match &record.data {
        hickory_proto::rr::RData::A(a) => Some(IpAddr::V4(a.0)),
        hickory_proto::rr::RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    let addresses: Vec<IpAddr> = response.answers.iter().filter_map(address).collect();
    same("explained answer", &explained.answer, &addresses)?;
    let target = |record: &Record| match &record.data {
        hickory_proto::rr::RData::CNAME(target) => Some(target.0.to_utf8()),
        _ => None,
    };
    let cname = response.answers.iter().filter_map(target).next_back();
    let cname = cname.map(|target| target.trim_end_matches('.').to_owned());
    same("explained CNAME", &explained.cname, &cname)?;
    same(
        "explained ttl",
        &explained.ttl,
        &response.answers.first().map(|record| record.ttl),
    )?;
    same("explained scope", &explained.scope, &asked.scope)?;
    let pool = explained
        .pool
        .map(|ix| &*snapshot.plan.config.pools.pools[ix.index()].name);
    same("explained pool", &pool, &asked.pool.as_deref())?;
    let shown = explanation::explanation(&explained, snapshot);
    if asked.vote.is_some() {
        same("explained vote", &shown.vote, &asked.vote)?;
    }
    if let Some(country) = &asked.country {
        same(
            "explained country",
            &shown.location.country.as_ref(),
            &Some(country),
        )?;
    }
    if asked.rule.is_some() {
        same("explained rule", &shown.rule, &asked.rule)?;
    }
    let chosen = shown.candidates.into_iter().filter(|c| c.chosen);
    let chosen: Vec<String> = chosen.map(|candidate| candidate.pool).collect();
    let only = || asked.pool.iter().cloned().collect();
    same(
        "chosen candidates",
        &chosen,
        &asked.chosen.clone().unwrap_or_else(only),
    )
}

fn texts(records: &[Record]) -> Vec<String> {
    let text = |r: &Record| format!("{} {} {} {}", r.name, r.ttl, r.record_type(), r.data);
    sorted(&records.iter().map(text).collect::<Vec<_>>())
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut sorted = texts.to_vec();
    sorted.sort();
    sorted
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, wanted: &T) -> Result<(), String> {
    match is == wanted {
        true => Ok(()),
        false => Err(format!("{what} is {is:?}, expected {wanted:?}")),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(byte).collect()
}
