//! `Plan`: what could be answered, compiled from the operator's files.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::ix::AliasIx;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::rank::Policy;
use crate::config::model;
use crate::config::model::Alias;
use crate::config::model::Config;
use crate::config::model::Steered;
use crate::config::regions::Region;
use crate::config::regions::regions;
use crate::geo::atlas::Atlas;
use crate::geo::by_latency;
use crate::geo::by_latency::Incumbents;
use crate::geo::measured::Measured;
use crate::geo::rank_table;
use crate::geo::rank_table::RankTable;
use crate::geo::rules::Rule;
use crate::geo::rules::Site;
use crate::geo::rules::Spec;
use crate::health::monitor::QuorumScope;
use crate::latency::table::Table;
use crate::mmdb::database::DatabaseInfo;
use crate::state::correspondence::Correspondence;
use crate::state::counters::AnswerCounters;
use crate::state::country_counters::CountryCounters;
use crate::steer::rendezvous::name_hash;
use crate::wire::cookie::Secrets;
use crate::wire::tsig::Keyring;
use crate::zone::Computed;
use crate::zone::ComputedOwner;
use crate::zone::set::ZoneSet;

/// Everything that changes only with the operator's files.
#[derive(Debug)]
pub struct Plan {
    /// The configuration.
    pub config: Arc<Config>,
    /// The zones, steered owners marked.
    pub zones: ZoneSet,
    /// The databases that the tables were compiled from.
    pub atlas: Arc<Atlas>,
    /// The round-trip times that policy latency ranks by.
    pub measured: Arc<Measured>,
    /// The compiled table of each steered name, by `SteeredIx`; names with equal specs share one.
    pub tables: Vec<Arc<RankTable>>,
    /// What each table was compiled from, by `SteeredIx`.
    pub specs: Vec<Arc<Spec>>,
    /// The regions in which vantages judge for the clients near them.
    pub regions: Vec<Region>,
    /// The hash of each pool's name, by `PoolIx`.
    pub pool_hashes: Vec<u64>,
    /// `answers_total`.
    pub counters: Arc<AnswerCounters>,
    /// `steered_queries_total`.
    pub countries: Arc<CountryCounters>,
    /// A hash of `pools.toml` and the zone files, which the caller adds; `None`: not compared with others.
    pub digest: Option<u64>,
    /// What cookies are made with; `None`: they are ignored.
    pub cookie_secrets: Option<Secrets>,
    /// What signed messages are verified and signed with.
    pub keyring: Keyring,
}

/// What is known of clients' places.
#[derive(Clone, Debug)]
pub struct Geography {
    /// The databases.
    pub atlas: Arc<Atlas>,
    /// The measured round-trip times.
    pub latency: Arc<Table>,
}

impl From<Arc<Atlas>> for Geography {
    /// Without measurements.
    fn from(atlas: Arc<Atlas>) -> Self {
        let latency = Arc::default();
        Self { atlas, latency }
    }
}

impl Plan {
    /// The databases, each with whether it is older than `[geoip] max_age` at `now`, in seconds since 1970.
    /// The embedded one never is: its age is the program's, and no operator can replace it alone. A vantage has
    /// none.
    pub fn databases(&self, now: u64) -> impl Iterator<Item = (&DatabaseInfo, bool)> {
        let geoip = &self.config.process.geoip;
        let is_old = move |about: &DatabaseInfo| {
            now.saturating_sub(about.build_epoch) > geoip.max_age.as_secs()
        };
        let locations = self.atlas.about();
        let locations = (locations, geoip.database.is_some() && is_old(locations));
        let systems = self.atlas.about_asn();
        let databases =
            std::iter::once(locations).chain(systems.map(move |about| (about, is_old(about))));
        databases.filter(|(about, _)| about.n_networks != PerFamily::default())
    }

    /// Compiles; without secrets and keys, which the caller adds. Tables of the plan before are kept where
    /// spec, databases and round-trip times are the same.
    pub fn compile(
        config: Arc<Config>,
        zones: ZoneSet,
        geography: Geography,
        n_shards: usize,
        before: Option<(&Self, &Correspondence)>,
    ) -> Self {
        let Geography { atlas, latency } = geography;
        let measured = measured(&config, &atlas, latency, before.map(|(before, _)| before));
        let regions = regions(&config);
        let compiler = Compiler {
            config: &config,
            atlas: &atlas,
            measured: &measured,
            regions: &regions,
            before,
        };
        let (specs, tables) = compiler.tables();
        let pool_hashes = config
            .pools
            .pools
            .iter()
            .map(|pool| name_hash(pool.name.as_bytes()))
            .collect();
        let answers = before.map(|(before, correspondence)| (&*before.counters, correspondence));
        let counters = AnswerCounters::new(&config.pools, n_shards, answers);
        let countries = before.map(|(before, correspondence)| (&*before.countries, correspondence));
        let countries = CountryCounters::new(&config.pools, n_shards, countries);
        Self {
            config,
            zones,
            atlas,
            measured,
            tables,
            specs,
            regions,
            pool_hashes,
            counters: Arc::new(counters),
            countries: Arc::new(countries),
            digest: None,
            cookie_secrets: None,
            keyring: Keyring::default(),
        }
    }

    /// The same with other zones, which have the same steered owners.
    #[must_use]
    pub fn with_zones(&self, zones: ZoneSet) -> Self {
        Self {
            config: Arc::clone(&self.config),
            zones,
            atlas: Arc::clone(&self.atlas),
            measured: Arc::clone(&self.measured),
            tables: self.tables.clone(),
            specs: self.specs.clone(),
            regions: self.regions.clone(),
            pool_hashes: self.pool_hashes.clone(),
            counters: Arc::clone(&self.counters),
            countries: Arc::clone(&self.countries),
            digest: self.digest,
            cookie_secrets: self.cookie_secrets.clone(),
            keyring: self.keyring.clone(),
        }
    }

    /// An alias's configuration.
    pub fn alias(&self, ix: AliasIx) -> &Alias {
        &self.config.pools.aliases[ix.index()]
    }

    /// A steered name's configuration.
    pub fn steered(&self, ix: SteeredIx) -> &Steered {
        &self.config.pools.steered[ix.index()]
    }
}

/// A latency table joined with pools and databases; that of the plan before if all are the same.
fn measured(
    config: &Config,
    atlas: &Arc<Atlas>,
    table: Arc<Table>,
    before: Option<&Plan>,
) -> Arc<Measured> {
    let pools = config.pools.pools.iter();
    let pools: Vec<_> = pools
        .map(|pool| (pool.name.clone(), pool.location))
        .collect();
    match before {
        Some(before)
            if Arc::ptr_eq(&before.atlas, atlas) && before.measured.is_of(&table, &pools) =>
        {
            Arc::clone(&before.measured)
        }
        _ => Arc::new(Measured::new(table, pools, atlas)),
    }
}

/// Compiles the tables of all names.
struct Compiler<'a> {
    config: &'a Config,
    atlas: &'a Arc<Atlas>,
    measured: &'a Arc<Measured>,
    regions: &'a [Region],
    before: Option<(&'a Plan, &'a Correspondence)>,
}

/// What a table is made from: names with equal ones share it. By latency, the table before counts as well, by its
/// address.
type Origin = (Arc<Spec>, Option<*const RankTable>);

impl Compiler<'_> {
    fn tables(&self) -> (Vec<Arc<Spec>>, Vec<Arc<RankTable>>) {
        let mut known = self.kept();
        let (mut specs, mut tables) = (Vec::new(), Vec::new());
        for (steered, ix) in self.config.pools.steered.iter().zip(0..) {
            let spec = Arc::new(spec_of(self.config, steered, self.regions));
            let is_by_latency = spec.has_policy(Policy::Latency);
            let table_before = self.table_before(ix).filter(|_| is_by_latency);
            let origin = (spec, table_before.map(Arc::as_ptr));
            let (spec, table) = match known.get_key_value(&origin) {
                Some(((spec, _), table)) => (Arc::clone(spec), Arc::clone(table)),
                None => {
                    let spec = Arc::clone(&origin.0);
                    let table = Arc::new(match is_by_latency {
                        true => self.by_latency(&spec, table_before),
                        false => rank_table::compile(&spec, self.atlas),
                    });
                    known.insert(origin, Arc::clone(&table));
                    (spec, table)
                }
            };
            specs.push(spec);
            tables.push(table);
        }
        (specs, tables)
    }

    /// The tables of the plan before that would be made again as they are.
    fn kept(&self) -> HashMap<Origin, Arc<RankTable>> {
        let Some((before, _)) = self
            .before
            .filter(|(b, _)| Arc::ptr_eq(&b.atlas, self.atlas))
        else {
            return HashMap::new();
        };
        let has_times = Arc::ptr_eq(&before.measured, self.measured);
        let all = before.specs.iter().zip(&before.tables);
        let kept = all.filter_map(|(spec, table)| {
            let is_by_latency = spec.has_policy(Policy::Latency);
            let of_table = is_by_latency.then_some(Arc::as_ptr(table));
            let kept = ((Arc::clone(spec), of_table), Arc::clone(table));
            Some(kept).filter(|_| !is_by_latency || has_times)
        });
        kept.collect()
    }

    /// What a name was ranked by before, if that was latency.
    fn table_before(&self, name: usize) -> Option<&Arc<RankTable>> {
        let (before, correspondence) = self.before?;
        let old = correspondence.steered(SteeredIx::new(name))?.index();
        let was_by_latency = before.specs[old].has_policy(Policy::Latency);
        was_by_latency.then(|| &before.tables[old])
    }

    fn by_latency(&self, spec: &Spec, before: Option<&Arc<RankTable>>) -> RankTable {
        let incumbents = before.zip(self.before).map(|(table, (_, correspondence))| {
            let pools = (0..self.config.pools.pools.len()).map(PoolIx::new);
            let now = pools.filter_map(|pool| Some((correspondence.pool(pool)?, pool)));
            let now: HashMap<PoolIx, PoolIx> = now.collect();
            Incumbents::of(table, |pool| now.get(&pool).copied())
        });
        by_latency::compile(spec, self.atlas, self.measured, incumbents.as_ref())
    }
}

/// What the geo compiler needs to know of a steered name.
fn spec_of(config: &Config, steered: &Steered, regions: &[Region]) -> Spec {
    let sites = |pools: &[PoolIx]| {
        let site = |&pool: &PoolIx| {
            let p = &config.pools.pools[pool.index()];
            Site {
                weight: p.weight,
                bias_km: p.bias_km,
                ..Site::new(pool, p.location)
            }
        };
        pools.iter().map(site).collect()
    };
    let of_rules = steered.rules.iter().flat_map(|rule| &rule.pools);
    let is_regional = steered.pools.iter().chain(of_rules).any(|pool| {
        let monitors = config.pools.pools[pool.index()].monitors.iter();
        let mut monitors = monitors.map(|ix| &config.pools.monitors[ix.index()]);
        monitors.any(|monitor| monitor.quorum_scope == QuorumScope::Region)
    });
    let rule = |rule: &model::Rule| Rule {
        matcher: Arc::clone(&rule.matcher),
        sites: sites(&rule.pools),
        policy: rule.policy,
        fence: rule.fence,
    };
    Spec {
        policy: steered.policy,
        sites: sites(&steered.pools),
        rules: steered.rules.iter().map(rule).collect(),
        regions: match is_regional {
            true => regions.iter().map(|region| region.point).collect(),
            false => Vec::new(),
        },
    }
}

/// Sorts the computed owners by the zone they lie in: for each apex its owners. An owner that lies in
/// no zone is an error at the place where it was written.
pub fn owners_by_zone(
    pools: &model::Pools,
    apexes: &[Name],
    report: &mut Report,
) -> Vec<Vec<ComputedOwner>> {
    let mut owners: Vec<Vec<ComputedOwner>> = apexes.iter().map(|_| Vec::new()).collect();
    let positions: HashMap<&Name, usize> = apexes.iter().zip(0..).collect();
    let steered = pools.steered.iter().enumerate().map(|(ix, steered)| {
        let (ix, types) = (SteeredIx::new(ix), steered.types);
        let computed = Computed::Steered { ix, types };
        (&steered.owner, computed, &steered.place)
    });
    let aliases = pools.aliases.iter().enumerate().map(|(ix, alias)| {
        let computed = Computed::Alias(AliasIx::new(ix));
        (&alias.owner, computed, &alias.place)
    });
    for (owner, computed, place) in steered.chain(aliases) {
        let mut ancestors = std::iter::successors(Some(owner.clone()), Name::parent);
        let zone = ancestors.find_map(|name| positions.get(&name).copied());
        match zone {
            Some(at) => owners[at].push(ComputedOwner {
                owner: owner.clone(),
                computed,
                place: place.clone(),
            }),
            None => report.error(place.clone(), outside_every_zone(owner, computed, apexes)),
        }
    }
    owners
}

/// The sentence for a computed owner without a zone.
fn outside_every_zone(owner: &Name, computed: Computed, apexes: &[Name]) -> String {
    let zones = match apexes {
        [] => "none is loaded".to_owned(),
        _ => apexes
            .iter()
            .take(5)
            .map(|apex| format!("`{apex}`"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let what = match computed {
        Computed::Alias(_) => "alias",
        Computed::Steered { .. } => "steered name",
    };
    format!("{what} `{owner}` lies in no zone, expected one of the loaded zones: {zones}")
}
