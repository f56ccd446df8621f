//! Routing policies: the record sets of one name and type that have a `SetIdentifier`.
//!
//! Each record set becomes a pool. Which policy they follow together is seen from their fields.

use std::net::IpAddr;

use crate::base::location::Country;
use crate::base::location::Subdivision;
use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::import::draft::AllDown;
use crate::import::draft::Notes;
use crate::import::draft::Policy;
use crate::import::draft::Pool;
use crate::import::draft::Rule;
use crate::import::draft::Steered;
use crate::import::merge::Steering;
use crate::import::route53::Zone;
use crate::import::route53::regions;
use crate::import::route53::set::Set;
use crate::import::tree::Node;
use crate::mmdb::countries;

/// The most addresses of a multivalue answer.
const MULTIVALUE_ANSWERS: u32 = 8;

/// The TTL where all record sets are aliases, which have those of what they lead to.
const ALIAS_TTL: u32 = 60;

/// A pool and the record set it was made of.
struct Member<'a> {
    set: &'a Set<'a>,
    pool: Pool,
}

/// What the record sets of one name and type are together.
///
/// # Errors
/// Why none of them has an address.
pub(super) fn steering(
    owner: &Name,
    sets: &[&Set<'_>],
    zone: &mut Zone<'_>,
) -> Result<Steering, Notes> {
    let mut notes = Notes::default();
    let mut members = Vec::new();
    for set in sets {
        match pool(set, zone) {
            Ok(pool) => members.push(Member { set, pool }),
            Err(why) => notes.missing(&set.title(), &why),
        }
    }
    let Some(first) = members.first().map(|member| member.set) else {
        return Err(notes);
    };
    let ttl = ttl(sets, &mut notes);
    let key = |key| first.node.get(key).is_some();
    let mut steered = Steered {
        owner: owner.clone(),
        notes,
        policy: "failover",
        pools: members
            .iter()
            .map(|member| member.pool.name.clone())
            .collect(),
        ttl,
        answers: None,
        all_down: AllDown::Nearest,
        rules: Vec::new(),
    };
    if key("Weight") {
        steered.policy = "weighted";
        weigh(&mut members);
    } else if key("Region") || key("GeoProximityLocation") {
        steered.policy = nearest(&mut members, &mut steered.notes);
    } else if key("Failover") {
        let is_secondary = |member: &Member<'_>| member.set.text("Failover") != Some("PRIMARY");
        members.sort_by_key(is_secondary);
        steered.pools = members
            .iter()
            .map(|member| member.pool.name.clone())
            .collect();
    } else if key("GeoLocation") {
        geolocation(&members, &mut steered);
    } else if key("CidrRoutingConfig") {
        networks(&members, zone, &mut steered);
    } else if key("MultiValueAnswer") {
        return Ok(multivalue(members, steered, zone));
    } else {
        let why = "a routing policy that is not known here; the record sets are tried in order";
        steered.notes.missing(&first.title(), why);
    }
    let pools = members.into_iter().map(|member| member.pool).collect();
    Ok(Steering { steered, pools })
}

/// The shortest TTL of some record sets.
fn ttl(sets: &[&Set<'_>], notes: &mut Notes) -> u32 {
    let mut ttls: Vec<u32> = sets.iter().filter_map(|set| set.ttl()).collect();
    ttls.sort_unstable();
    ttls.dedup();
    if ttls.len() > 1 {
        notes.missing(
            &format!("TTLs {ttls:?}"),
            "a name has one TTL, the shortest",
        );
    }
    ttls.first().copied().unwrap_or(ALIAS_TTL)
}

/// The pool of a record set.
fn pool(set: &Set<'_>, zone: &mut Zone<'_>) -> Result<Pool, String> {
    let mut pool = Pool::new(zone.pool_name(set));
    let mut check = set.text("HealthCheckId");
    match set.alias() {
        Some(alias) => {
            let (endpoints, inner) = zone.endpoints(&alias?, set.rtype, 0)?;
            for (address, weight) in endpoints {
                pool.add(address, weight);
            }
            check = check.or(inner.filter(|_| set.follows_health()));
        }
        None => {
            for value in set.values() {
                match value.parse::<IpAddr>() {
                    Ok(address) => pool.add(address, 1),
                    Err(_) => pool.notes.missing(&format!("`{value}`"), "no address"),
                }
            }
        }
    }
    if pool.endpoints.is_empty() {
        return Err("it has no address".into());
    }
    pool.monitor = check.and_then(|id| zone.checks.monitor(id, &mut pool.notes));
    set.note_rest(&mut pool.notes);
    Ok(pool)
}

fn weigh(members: &mut [Member<'_>]) {
    for Member { set, pool } in members.iter_mut() {
        pool.weight = set
            .text("Weight")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
    }
    if members.iter().all(|member| member.pool.weight == 0) {
        for Member { pool, .. } in members {
            pool.weight = 1;
            pool.notes.say("All weights are 0, which shares alike.");
        }
    }
}

/// Locates regions and coordinates.
fn nearest(members: &mut [Member<'_>], notes: &mut Notes) -> Policy {
    for Member { set, pool } in members {
        let proximity = set.node.get("GeoProximityLocation");
        let region = match proximity {
            Some(location) => location.get("AWSRegion").and_then(Node::as_text),
            None => set.text("Region"),
        };
        let given = |key| {
            proximity?
                .get("Coordinates")?
                .get(key)?
                .as_text()?
                .parse()
                .ok()
        };
        pool.location = given("Latitude")
            .zip(given("Longitude"))
            .or(region.and_then(regions::location));
        if pool.location.is_none() {
            pool.notes.missing(
                &set.title(),
                "where this is is not known here: put in its `location`",
            );
        }
        let bias = proximity.and_then(|location| location.get("Bias")?.as_text());
        if let Some(bias) = bias.filter(|bias| *bias != "0") {
            let why = "it scales distances; `bias_km` is a distance";
            pool.notes.missing(&format!("`Bias: {bias}`"), why);
        }
        if proximity.is_none() {
            let why = "clients go to the nearest region, not to the one with the least latency";
            notes.missing("latency", why);
        }
    }
    "nearest"
}

/// A place of a record set, the widest last: what Route 53 looks for when the narrower is unhealthy.
fn place(set: &Set<'_>) -> Option<(&'static str, String)> {
    let location = set.node.get("GeoLocation")?;
    let text = |key| location.get(key).and_then(Node::as_text);
    match (
        text("ContinentCode"),
        text("CountryCode"),
        text("SubdivisionCode"),
    ) {
        (Some(continent), ..) => Some(("continent", continent.to_owned())),
        (None, Some("*"), _) => Some(("default", String::new())),
        (None, Some(country), None) => {
            let country: Country = country.parse().ok()?;
            countries::country(country)?;
            Some(("country", country.as_str().to_owned()))
        }
        (None, Some(country), Some(code)) => {
            let country: Country = country.parse().ok()?;
            Subdivision::new(country, code)?;
            Some(("subdivision", format!("{}-{code}", country.as_str())))
        }
        (None, None, _) => None,
    }
}

/// Rules by place: a pool, then those of the places around it.
fn geolocation(members: &[Member<'_>], steered: &mut Steered) {
    let mut places = Vec::new();
    for Member { set, pool } in members {
        match place(set) {
            Some((key, value)) => places.push((key, value, pool.name.clone())),
            None => steered
                .notes
                .missing(&set.title(), "no place that is known here"),
        }
    }
    let find = |key: &str, value: &str| {
        let found = places.iter().find(|(k, v, _)| *k == key && v == value);
        found.map(|(.., pool)| pool.clone())
    };
    let default = find("default", "");
    for (key, value, pool) in places.iter().filter(|(key, ..)| *key != "default") {
        let country = value.split('-').next().unwrap_or_default();
        let continent = country
            .parse()
            .ok()
            .and_then(countries::country)
            .map(|info| info.continent.as_str());
        let around = match *key {
            "subdivision" => [
                find("country", country),
                continent.and_then(|c| find("continent", c)),
            ],
            "country" => [continent.and_then(|c| find("continent", c)), None],
            _ => [None, None],
        };
        let pools = [Some(pool.clone())]
            .into_iter()
            .chain(around)
            .chain([default.clone()]);
        steered
            .rules
            .push(rule(key, vec![value.clone()], pools.flatten().collect()));
    }
    match default {
        Some(default) => steered.pools = vec![default],
        None => {
            let why = "Route 53 answers clients of no listed place nothing; here they get the pools in order";
            steered.notes.missing("no default location", why);
        }
    }
}

/// Rules by network, from the blocks of CIDR collections.
fn networks(members: &[Member<'_>], zone: &Zone<'_>, steered: &mut Steered) {
    let mut default = None;
    for Member { set, pool } in members {
        let config = set.node.get("CidrRoutingConfig");
        let name = config
            .and_then(|config| config.get("LocationName")?.as_text())
            .unwrap_or_default();
        if name == "*" {
            default = Some(pool.name.clone());
            continue;
        }
        let blocks = zone.blocks.iter().filter(|(location, _)| *location == name);
        let (good, bad): (Vec<_>, Vec<_>) = blocks
            .map(|(_, block)| (*block).to_owned())
            .partition(|block| block.parse::<Prefix>().is_ok());
        for block in bad {
            steered
                .notes
                .missing(&format!("block `{block}`"), "no network");
        }
        if good.is_empty() {
            let why = "its blocks are not among the files; add the output of `aws route53 list-cidr-blocks`";
            steered
                .notes
                .missing(&format!("CIDR location `{name}`"), why);
            continue;
        }
        steered
            .rules
            .push(rule("network", good, vec![pool.name.clone()]));
    }
    match default {
        Some(default) => {
            for rule in &mut steered.rules {
                rule.pools.push(default.clone());
            }
            steered.pools = vec![default];
        }
        None => {
            let why = "Route 53 answers clients of no listed network nothing; here they get the pools in order";
            steered.notes.missing("no default location", why);
        }
    }
}

fn rule(key: &'static str, values: Vec<String>, pools: Vec<String>) -> Rule {
    Rule {
        notes: Notes::default(),
        key,
        values,
        policy: "failover",
        pools,
        all_down: AllDown::Nearest,
        fence: true,
    }
}

/// All record sets are one pool, whose addresses are answered together.
fn multivalue(members: Vec<Member<'_>>, mut steered: Steered, zone: &mut Zone<'_>) -> Steering {
    let mut all = Pool::new(zone.plain_pool_name(&steered.owner, "multivalue"));
    all.monitor = members
        .first()
        .and_then(|member| member.pool.monitor.clone());
    for Member { set, pool } in members {
        all.notes.append(pool.notes);
        if pool.monitor != all.monitor {
            let why = "a pool has one monitor, that of its first record set";
            all.notes
                .missing(&format!("health check of {}", set.title()), why);
        }
        for endpoint in pool.endpoints {
            all.add(endpoint.address, endpoint.weight);
        }
    }
    steered.answers = Some(MULTIVALUE_ANSWERS);
    steered.pools = vec![all.name.clone()];
    Steering {
        steered,
        pools: vec![all],
    }
}
