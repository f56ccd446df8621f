//! Which endpoints the pools have: those of the operator's file, and those that sources name. No clock and
//! no network: answers, requests and times come in, what follows goes out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::RwLockWriteGuard;

#[cfg(feature = "kubernetes")]
use crate::config::kubernetes::Object;
use crate::config::model::Config;
use crate::config::model::PoolSource;
use crate::daemon::control::event::Event;
use crate::discovery::found::Found;
use crate::live::request::ChangeError;
use crate::live::request::EndpointsChange;
use crate::live::request::SetEndpoints;
use crate::live::shared::Owned;
use crate::state::external::RecordChanges;
use crate::state::external::RecordSet;
use crate::state::membership::Membership;
use crate::state::source::SourceChange;
use crate::state::source::SourceEvent;
use crate::state::source::SourceId;
use crate::state::sources::Sources;
use crate::state::targets::TargetChange;

/// What follows from what a source says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AfterSource {
    /// Whether pools have other endpoints, which must be probed and published.
    pub is_changed: bool,
    /// Whether the sources are to be saved.
    pub save: bool,
    /// What to log.
    pub events: Vec<Event>,
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Members {
    sources: Owned<Sources>,
    now: Membership,
}

impl Members {
    /// Takes over what the first snapshot was built from.
    pub(super) fn new(sources: Owned<Sources>, now: Membership) -> Self {
        Self { sources, now }
    }

    /// The endpoints of now.
    pub(super) fn now(&self) -> &Membership {
        &self.now
    }

    /// Goes on with another configuration.
    pub(super) fn adopt(&mut self, config: &Config) {
        self.sources.write().follow(&config.pools);
        self.renew(config);
    }

    /// Takes what discovery has found.
    pub(super) fn found(&mut self, all: &[Found], config: &Config, unix: u64) -> AfterSource {
        let safety = &config.process.safety;
        let mut sources = self.sources.write();
        let (mut events, mut of_targets) = (Vec::new(), Vec::new());
        for found in all {
            events.extend(match found {
                Found::Host { host, lookups, ttl } => {
                    of_targets.extend(sources.targets.resolved(host, lookups, *ttl, safety));
                    sources.resolved(host, lookups, safety, unix)
                }
                Found::Object { object, report } => sources.reported(object, report, safety, unix),
            });
        }
        drop(sources);
        let mut after = self.after(events, config);
        after.save |= of_targets
            .iter()
            .any(|event| matches!(event.what, TargetChange::Addresses(_)));
        let of_targets = of_targets.into_iter().map(Event::Target);
        after.events.extend(of_targets);
        after
    }

    /// Sets the endpoints of a pool that takes them from the API, or returns what that would change.
    pub(super) fn set(
        &mut self,
        asked: &SetEndpoints,
        config: &Config,
        unix: u64,
    ) -> Result<(EndpointsChange, AfterSource), ChangeError> {
        if !is_set_by_api(config, &asked.pool) {
            return Err(ChangeError::NotSettable);
        }
        let mut sources = self.sources.write();
        let state = sources.get(&asked.pool, &SourceId::Api).cloned();
        let state = state.unwrap_or_default();
        if let Some(revisions) = &asked.if_match
            && !revisions.contains(&state.revision)
        {
            return Err(ChangeError::Outdated(state.revision));
        }
        let mut change = EndpointsChange {
            before: state.named.endpoints,
            after: Arc::clone(&asked.endpoints),
            revision: state.revision,
        };
        if asked.is_dry_run {
            return Ok((change, AfterSource::default()));
        }
        let event = sources.set(&asked.pool, Arc::clone(&asked.endpoints), &asked.by, unix);
        change.revision += u64::from(event.is_some());
        drop(sources);
        let after = self.after(event.into_iter().collect(), config);
        // Also without a change: the one before may not have reached the disk.
        Ok((
            change,
            AfterSource {
                save: true,
                ..after
            },
        ))
    }

    /// Changes what external-dns manages: all of it, or nothing.
    pub(super) fn change_records(
        &mut self,
        changes: &RecordChanges,
        by: &str,
        config: &Config,
        unix: u64,
    ) -> Result<AfterSource, ChangeError> {
        let is_settable = |records: &RecordSet| is_set_by_api(config, &records.pool);
        if !changes.set.iter().all(is_settable) {
            return Err(ChangeError::NotSettable);
        }
        let events = self.sources.write().change_records(changes, by, unix);
        let events = events.map_err(|reason| ChangeError::Conflicting(reason.into()))?;
        Ok(AfterSource {
            save: true,
            ..self.after(events, config)
        })
    }

    /// The sources, to be changed in what does not concern endpoints.
    pub(super) fn sources_mut(&mut self) -> RwLockWriteGuard<'_, Sources> {
        self.sources.write()
    }

    /// The host names that are to be resolved.
    pub(super) fn hosts(&self) -> BTreeSet<Arc<str>> {
        self.ids(|source| match source {
            SourceId::Host(name) => Some(Arc::clone(name)),
            SourceId::Api | SourceId::Kubernetes(_) => None,
        })
    }

    /// The Kubernetes objects that are to be watched.
    #[cfg(feature = "kubernetes")]
    pub(super) fn objects(&self) -> BTreeSet<Arc<Object>> {
        self.ids(|source| match source {
            SourceId::Kubernetes(object) => Some(Arc::clone(object)),
            SourceId::Api | SourceId::Host(_) => None,
        })
    }

    fn ids<T: Ord>(&self, id: impl Fn(&SourceId) -> Option<T>) -> BTreeSet<T> {
        let sources = self.sources.read();
        let ids = sources.iter().filter_map(|(_, source, _)| id(source));
        ids.collect()
    }

    /// A copy, so that nobody waits for the disk.
    pub(super) fn sources(&self) -> Sources {
        self.sources.read().clone()
    }

    fn after(&mut self, events: Vec<SourceEvent>, config: &Config) -> AfterSource {
        let names_others =
            |event: &SourceEvent| matches!(event.what, SourceChange::Endpoints { .. });
        let save = events.iter().any(names_others);
        AfterSource {
            is_changed: self.renew(config),
            save,
            events: events.into_iter().map(Event::Source).collect(),
        }
    }

    /// Whether pools have other endpoints than before.
    fn renew(&mut self, config: &Config) -> bool {
        let sources = self.sources.read();
        let next = sources.membership(&config.pools, &config.process.safety);
        drop(sources);
        std::mem::replace(&mut self.now, next) != self.now
    }
}

/// Whether a pool is configured to take its endpoints from the API.
fn is_set_by_api(config: &Config, pool: &str) -> bool {
    let mut pools = config.pools.pools.iter();
    let pool = pools.find(|other| *other.name == *pool);
    pool.is_some_and(|pool| pool.source == PoolSource::Api)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::base::ix::PoolIx;
    use crate::base::per_family::PerFamily;
    use crate::config::kubernetes;
    use crate::config::model::Endpoint;
    use crate::config::units::check_address;
    use crate::state::fixture;
    use crate::state::object::ObjectReport;
    use crate::state::plan::Plan;
    use crate::state::resolved::Lookup;

    const POOLS: &str = r#"
[pool.api]
location = [45.60, -121.18]
source = "api"
[pool.hosts]
location = [50.45, 3.82]
endpoints = ["192.0.2.1", { host = "a.example.net", weight = 3 }, { host = "b.example.net" }]
[pool.file]
location = [1.35, 103.8]
endpoints = ["192.0.2.3"]
[steer."app.example.com"]
pools = ["api", "hosts", "file"]
"#;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    fn plan(pools: &str, process: &str) -> Plan {
        let zones = [("example.com", ZONE)];
        fixture::plan(process, pools, &zones, fixture::embedded_atlas())
    }

    fn start(config: &Config) -> Members {
        let sources = Owned::new(Sources::default());
        let mut members = Members::new(sources, Membership::default());
        members.adopt(config);
        members
    }

    fn endpoints(text: &str) -> Arc<[Endpoint]> {
        let endpoint = |word: &str| {
            let (word, check) = word.split_once('@').unwrap_or((word, ""));
            let (address, weight) = word.split_once('*').unwrap_or((word, "1"));
            let address = address.parse().expect("an address");
            Endpoint {
                check: check_address(check),
                ..Endpoint::new(address, weight.parse().expect("a weight"))
            }
        };
        text.split_whitespace().map(endpoint).collect()
    }

    fn found(host: &str, addresses: &str) -> Found {
        let addresses: Vec<IpAddr> = endpoints(addresses).iter().map(|e| e.address).collect();
        let v4 = match addresses.is_empty() {
            true => Lookup::NoData,
            false => Lookup::Addresses(addresses),
        };
        Found::Host {
            host: host.into(),
            lookups: PerFamily {
                v4,
                v6: Lookup::NoData,
            },
            ttl: None,
        }
    }

    fn of(members: &Members, config: &Config, pool: usize) -> Arc<[Endpoint]> {
        let pools = &config.pools.pools;
        Arc::clone(members.now().of(PoolIx::new(pool), &pools[pool]))
    }

    fn put(pool: &str, wanted: &str) -> SetEndpoints {
        SetEndpoints {
            pool: pool.into(),
            endpoints: endpoints(wanted),
            by: "ci.token".into(),
            if_match: None,
            is_dry_run: false,
        }
    }

    #[test]
    fn a_pool_has_what_its_file_and_its_names_say() {
        let plan = plan(POOLS, "");
        let config = &plan.config;
        let mut members = start(config);
        assert_eq!(of(&members, config, 1), endpoints("192.0.2.1"));
        assert_eq!(of(&members, config, 2), endpoints("192.0.2.3"));
        let names: Vec<_> = members.hosts().into_iter().collect();
        assert_eq!(names, ["a.example.net".into(), "b.example.net".into()]);

        let both = [
            found("a.example.net", "192.0.2.7 192.0.2.6"),
            found("b.example.net", "192.0.2.7 192.0.2.1 192.0.2.8"),
        ];
        let after = members.found(&both, config, 100);
        assert!(after.is_changed && after.save);
        assert_eq!(after.events.len(), 2);
        let all = endpoints("192.0.2.1 192.0.2.6*3 192.0.2.7*3 192.0.2.8");
        assert_eq!(of(&members, config, 1), all);
        let again = members.found(&both, config, 105);
        assert_eq!(again, AfterSource::default());
        let unknown = [found("c.example.net", "192.0.2.9")];
        assert_eq!(members.found(&unknown, config, 106), AfterSource::default());

        let gone = members.found(&[found("b.example.net", "")], config, 110);
        assert!(gone.is_changed);
        assert_eq!(
            of(&members, config, 1),
            endpoints("192.0.2.1 192.0.2.6*3 192.0.2.7*3")
        );
    }

    #[test]
    fn the_api_sets_what_its_pools_have() {
        let plan = plan(POOLS, "");
        let config = &plan.config;
        let mut members = start(config);
        assert!(of(&members, config, 0).is_empty());
        let pool = &config.pools.pools[0];
        let why = |members: &Members| members.sources.read().why_empty(pool);
        assert_eq!(why(&members), "no endpoints yet");
        for pool in ["hosts", "file", "none"] {
            let refused = members.set(&put(pool, "192.0.2.9"), config, 1);
            assert_eq!(refused, Err(ChangeError::NotSettable), "{pool}");
        }
        let dry = SetEndpoints {
            is_dry_run: true,
            ..put("api", "192.0.2.9")
        };
        let (change, after) = members.set(&dry, config, 1).expect("settable");
        assert_eq!((change.revision, after), (0, AfterSource::default()));
        assert!(of(&members, config, 0).is_empty());

        let (change, after) = members
            .set(&put("api", "192.0.2.9*2"), config, 1)
            .expect("settable");
        assert!(after.is_changed && after.save && after.events.len() == 1);
        assert_eq!(change.revision, 1);
        assert_eq!(
            (change.before, change.after),
            (endpoints(""), endpoints("192.0.2.9*2"))
        );
        assert_eq!(of(&members, config, 0), endpoints("192.0.2.9*2"));
        let (change, after) = members
            .set(&put("api", "192.0.2.9*2"), config, 2)
            .expect("settable");
        let saved_again = AfterSource {
            save: true,
            ..AfterSource::default()
        };
        assert_eq!((change.revision, after), (1, saved_again), "the same");
        let checked = put("api", "192.0.2.9*2@10.0.0.9:81");
        let (change, after) = members.set(&checked, config, 2).expect("settable");
        assert!(after.is_changed && after.save && after.events.len() == 1);
        assert_eq!(
            (change.revision, change.after),
            (2, checked.endpoints.clone())
        );

        let outdated = SetEndpoints {
            if_match: Some(vec![0, 7]),
            ..put("api", "")
        };
        let refused = members.set(&outdated, config, 3);
        assert_eq!(refused, Err(ChangeError::Outdated(2)));
        let current = SetEndpoints {
            if_match: Some(vec![0, 2]),
            ..put("api", "")
        };
        let (change, _) = members
            .set(&current, config, 3)
            .expect("the right revision");
        assert_eq!(change.revision, 3);
        assert_eq!(why(&members), "no endpoints, as set by ci.token");
    }

    #[test]
    fn what_is_denied_later_is_served_no_longer_and_what_was_set_is_kept() {
        let before = plan(POOLS, "");
        let mut members = start(&before.config);
        members
            .set(
                &put("api", "192.0.2.9 192.0.2.8@198.51.100.1"),
                &before.config,
                1,
            )
            .expect("settable");
        let strict = plan(
            POOLS,
            "[safety]\ndeny = [\"192.0.2.9\", \"198.51.100.0/24\"]\n",
        );
        members.adopt(&strict.config);
        assert!(of(&members, &strict.config, 0).is_empty());
        let why = members
            .sources
            .read()
            .why_empty(&strict.config.pools.pools[0]);
        assert_eq!(why, "[safety] refuses all of its addresses");

        let without = plan(
            &POOLS
                .replace("pool.api", "pool.other")
                .replace("\"api\",", "\"other\","),
            "",
        );
        members.adopt(&without.config);
        members.adopt(&before.config);
        assert_eq!(
            of(&members, &before.config, 0),
            endpoints("192.0.2.9 192.0.2.8@198.51.100.1")
        );
    }

    const OBJECTS: &str = r#"
[pool.a]
location = [45.60, -121.18]
source = { kubernetes = "west", service = "prod/app" }
[pool.b]
location = [50.45, 3.82]
source = { kubernetes = "west", service = "prod/app" }
[steer."app.example.com"]
pools = ["a", "b"]
"#;

    fn reported(report: ObjectReport) -> Found {
        let object = kubernetes::Object {
            cluster: "west".into(),
            kind: kubernetes::Kind::Service,
            namespace: "prod".into(),
            name: "app".into(),
        };
        Found::Object {
            object: Arc::new(object),
            report,
        }
    }

    fn has(entries: &str) -> Found {
        let entries = entries.split_whitespace().map(Into::into);
        reported(ObjectReport::Addresses(entries.collect()))
    }

    /// Each step is what is found, the endpoints that follow, why there are none, and how many log lines.
    #[test]
    #[expect(clippy::too_many_lines, reason = "one life of an object")]
    fn a_pool_has_what_its_kubernetes_object_says() {
        let plan = plan(OBJECTS, "");
        let config = &plan.config;
        let mut members = start(config);
        let [a, b] = ["a.example.net", "b.example.net"];
        let failed = |reason: &str| reported(ObjectReport::Failed(reason.into()));
        for (step, (found, expected, reason, n_lines)) in [
            (
                failed("401"),
                "",
                "no endpoints yet: west service prod/app: 401",
                2,
            ),
            (
                failed("401"),
                "",
                "no endpoints yet: west service prod/app: 401",
                0,
            ),
            (
                failed("403"),
                "",
                "no endpoints yet: west service prod/app: 403",
                2,
            ),
            (has("192.0.2.1"), "192.0.2.1", "", 4),
            (has("192.0.2.1"), "192.0.2.1", "", 0),
            (reported(ObjectReport::Unchanged), "192.0.2.1", "", 0),
            (failed("404"), "192.0.2.1", "", 2),
            // Neither nonsense nor what is not resolved yet takes anything away.
            (has("0.0.0.0"), "192.0.2.1", "", 4),
            (has(a), "192.0.2.1", "", 2),
            (
                found(a, "192.0.2.7 192.0.2.8"),
                "192.0.2.7 192.0.2.8",
                "",
                4,
            ),
            (has(b), "192.0.2.7 192.0.2.8", "", 0),
            (has("192.0.2.1"), "192.0.2.1", "", 2),
            (has(""), "", "west service prod/app has no addresses", 2),
            // With nothing to lose, a name is taken at once.
            (has(b), "", "no endpoints yet", 2),
            (found(b, ""), "", "b.example.net has no addresses", 2),
            (found(b, "192.0.2.9"), "192.0.2.9", "", 2),
            (
                reported(ObjectReport::Missing),
                "",
                "west service prod/app does not exist",
                2,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let row = format!("step {step}: {found:?}");
            let after = members.found(&[found], config, 100 + step as u64);
            assert_eq!(after.events.len(), n_lines, "{row}: {:?}", after.events);
            for pool in [0, 1] {
                let members_of = of(&members, config, pool);
                assert_eq!(members_of, endpoints(expected), "{row}");
                let why = || members.sources.read().why_empty(&config.pools.pools[pool]);
                assert!(!expected.is_empty() || why() == reason, "{row}: {}", why());
            }
        }
        assert_eq!(members.hosts(), BTreeSet::new());
    }

    #[test]
    fn a_pool_that_joins_others_begins_with_what_is_known() {
        let one = plan(OBJECTS, "").config;
        let mut members = start(&one);
        members.found(
            &[has("lb.example.net"), found("lb.example.net", "192.0.2.1")],
            &one,
            1,
        );
        let pools = OBJECTS
            .replace("pool.b", "pool.c")
            .replace("\"b\"", "\"c\"");
        let other = plan(&pools, "").config;
        members.adopt(&other);
        for pool in [0, 1] {
            assert_eq!(of(&members, &other, pool), endpoints("192.0.2.1"), "{pool}");
        }
        assert_eq!(members.hosts(), ["lb.example.net".into()].into());
        members.adopt(&plan(POOLS, "").config);
        assert_eq!(
            members.hosts(),
            ["a.example.net".into(), "b.example.net".into()].into()
        );
    }
}
