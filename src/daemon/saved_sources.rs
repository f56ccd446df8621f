//! The last good answers of the pools' sources: `sources.json` in `state_dir`, so that a restart serves the
//! endpoints of before at once.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::config::kubernetes;
use crate::config::model;
use crate::config::units::CHECK_ADDRESS;
use crate::config::units::check_address;
use crate::daemon::files;
use crate::daemon::saved;
use crate::state::external;
use crate::state::source::Named;
use crate::state::source::SourceId;
use crate::state::source::SourceState;
use crate::state::sources::Sources;

/// The layout of `sources.json`.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    sources: Vec<Source>,
    /// Ownership records of external-dns that may be in a zone.
    #[serde(default)]
    published: Vec<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Vec<Target>,
}

/// What the target of an alias was resolved to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    host: Box<str>,
    addresses: Vec<IpAddr>,
    /// Seconds.
    ttl: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    pool: Box<str>,
    /// Neither this nor `kubernetes`: the API.
    host: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kubernetes: Option<Object>,
    endpoints: Vec<Endpoint>,
    /// Those that an object names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<Box<str>>,
    since: u64,
    by: Option<Box<str>>,
    revision: u64,
    last_success: Option<u64>,
    #[serde(default)]
    external: External,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    cluster: Box<str>,
    kind: Kind,
    namespace: Box<str>,
    name: Box<str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Gateway,
    Ingress,
    Service,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<Box<str>>,
    weight: u32,
}

/// What external-dns manages in a pool.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct External {
    /// Names with A records.
    ipv4: Vec<Box<str>>,
    /// Names with AAAA records.
    ipv6: Vec<Box<str>>,
    ownership: Vec<Text>,
}

/// A TXT record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    owner: Box<str>,
    text: Box<str>,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("sources.json")
}

/// Writes what the sources named last; a crash leaves the old file or the new one.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn write(state_dir: &Path, sources: &Sources) -> io::Result<()> {
    let file = File {
        version: VERSION,
        sources: sources.iter().filter_map(Source::of).collect(),
        published: Text::of_all(sources.published.iter()),
        targets: sources.targets.iter().map(Target::of).collect(),
    };
    saved::write(&path(state_dir), &file)
}

/// Reads what the last run kept: nothing where there is no file. One that cannot be used is set aside, with
/// a warning.
pub fn read(state_dir: &Path) -> Sources {
    saved::read_file(&path(state_dir), parse).unwrap_or_default()
}

/// The same for who only looks: nothing is set aside.
pub fn peek(state_dir: &Path) -> Sources {
    let bytes = files::read(&path(state_dir), saved::MAX_STATE_LEN).unwrap_or_default();
    parse(&bytes).unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Result<Sources, String> {
    let file: File = saved::parse(bytes, VERSION)?;
    let mut sources = Sources::default();
    for record in file.sources {
        let (pool, id, state) = record.into_state()?;
        sources.insert(&pool, id, state);
    }
    for Text { owner, text } in file.published {
        sources.published.insert(&name(&owner)?, &text);
    }
    for target in file.targets {
        let Target {
            host,
            addresses,
            ttl,
        } = target;
        sources.targets.insert(&host, addresses, ttl);
    }
    Ok(sources)
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| format!("`{text}`: {error}"))
}

impl Source {
    /// `None`: it has named nothing yet.
    fn of((pool, id, state): (&str, &SourceId, &SourceState)) -> Option<Self> {
        Some(Self {
            pool: pool.into(),
            host: match id {
                SourceId::Host(name) => Some((**name).into()),
                SourceId::Api | SourceId::Kubernetes(_) => None,
            },
            kubernetes: match id {
                SourceId::Kubernetes(object) => Some(Object::of(object)),
                SourceId::Api | SourceId::Host(_) => None,
            },
            endpoints: state.named.endpoints.iter().map(Endpoint::of).collect(),
            hosts: state
                .named
                .hosts
                .iter()
                .map(|host| (**host).into())
                .collect(),
            since: state.since?,
            by: state.by.clone(),
            revision: state.revision,
            last_success: state.last_success,
            external: External::of(&state.external),
        })
    }

    fn into_state(self) -> Result<(Box<str>, SourceId, SourceState), String> {
        let id = match (self.host, self.kubernetes) {
            (Some(name), _) => SourceId::Host(name.into()),
            (None, Some(object)) => SourceId::Kubernetes(Arc::new(object.into_object())),
            (None, None) => SourceId::Api,
        };
        let endpoints = self.endpoints.into_iter().map(Endpoint::into_endpoint);
        let named = Named {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            hosts: self.hosts.into_iter().map(Into::into).collect(),
        };
        let state = SourceState {
            named,
            since: Some(self.since),
            by: self.by,
            revision: self.revision,
            last_success: self.last_success,
            external: self.external.into_state()?,
            ..SourceState::default()
        };
        Ok((self.pool, id, state))
    }
}

impl Endpoint {
    fn of(endpoint: &model::Endpoint) -> Self {
        Self {
            address: endpoint.address,
            check: endpoint.check.map(|check| check.to_string().into()),
            weight: endpoint.weight,
        }
    }

    fn into_endpoint(self) -> Result<model::Endpoint, String> {
        let check = |text: Box<str>| {
            let check = check_address(&text);
            check.ok_or_else(|| format!("`{text}`, expected {CHECK_ADDRESS}"))
        };
        Ok(model::Endpoint {
            address: self.address,
            check: self.check.map(check).transpose()?,
            weight: self.weight,
        })
    }
}

impl Target {
    fn of((host, addresses, ttl): (&str, &[IpAddr], u64)) -> Self {
        Self {
            host: host.into(),
            addresses: addresses.into(),
            ttl,
        }
    }
}

impl External {
    fn of(state: &external::External) -> Self {
        let managed = |family| {
            let of_family = state.managed.iter().filter(move |(_, of)| *of == family);
            of_family.map(|(name, _)| name.plain().into()).collect()
        };
        Self {
            ipv4: managed(Family::V4),
            ipv6: managed(Family::V6),
            ownership: Text::of_all(state.ownership.iter().map(|(owner, text)| (owner, [text]))),
        }
    }

    fn into_state(self) -> Result<external::External, String> {
        let mut state = external::External::default();
        for (names, family) in [(&self.ipv4, Family::V4), (&self.ipv6, Family::V6)] {
            for text in names {
                state.managed.insert((name(text)?, family));
            }
        }
        for Text { owner, text } in self.ownership {
            state.ownership.insert(name(&owner)?, text);
        }
        Ok(state)
    }
}

impl Text {
    fn of_all<'a, T: IntoIterator<Item = &'a Box<str>>>(
        owners: impl Iterator<Item = (&'a Name, T)>,
    ) -> Vec<Self> {
        let texts = owners.flat_map(|(owner, texts)| {
            texts.into_iter().map(|text| Self {
                owner: owner.plain().into(),
                text: text.clone(),
            })
        });
        texts.collect()
    }
}

impl Object {
    fn of(object: &kubernetes::Object) -> Self {
        Self {
            cluster: object.cluster.clone(),
            kind: match object.kind {
                kubernetes::Kind::Gateway => Kind::Gateway,
                kubernetes::Kind::Ingress => Kind::Ingress,
                kubernetes::Kind::Service => Kind::Service,
            },
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }

    fn into_object(self) -> kubernetes::Object {
        kubernetes::Object {
            cluster: self.cluster,
            kind: match self.kind {
                Kind::Gateway => kubernetes::Kind::Gateway,
                Kind::Ingress => kubernetes::Kind::Ingress,
                Kind::Service => kubernetes::Kind::Service,
            },
            namespace: self.namespace,
            name: self.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::external::RecordChanges;
    use crate::state::external::RecordData;
    use crate::state::external::RecordSet;

    #[test]
    #[expect(clippy::too_many_lines, reason = "every kind of source")]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        assert_eq!(read(dir.path()), Sources::default());
        let endpoint =
            |text: &str, weight| model::Endpoint::new(text.parse().expect("an address"), weight);
        let mut sources = Sources::default();
        let checked = model::Endpoint {
            check: check_address("[2001:db8::2]:8081"),
            ..endpoint("2001:db8::1", 3)
        };
        let of_api = [endpoint("192.0.2.1", 1), checked];
        sources.set("eu", of_api.into(), "ci.token", 1_700_000_000);
        let state = SourceState {
            named: Named {
                endpoints: [endpoint("192.0.2.9", 1)].into(),
                hosts: Arc::default(),
            },
            since: Some(1_700_000_000),
            revision: 7,
            ..SourceState::default()
        };
        sources.insert("us", SourceId::Host("lb.example.net".into()), state.clone());
        for kind in kubernetes::Kind::ALL {
            let object = kubernetes::Object {
                cluster: "west".into(),
                kind,
                namespace: "prod".into(),
                name: "app".into(),
            };
            let mut state = state.clone();
            state.named.hosts = ["lb.example.net".into()].into();
            sources.insert("us", SourceId::Kubernetes(Arc::new(object)), state);
        }
        let set = |data| RecordSet {
            pool: "eu".into(),
            name: Name::parse("app.example.com").expect("a name"),
            data,
        };
        let changes = RecordChanges {
            removed: Vec::new(),
            set: vec![
                set(RecordData::Addresses(
                    Family::V6,
                    vec!["2001:db8::1".parse().expect("v6")],
                )),
                set(RecordData::Ownership("heritage".into())),
            ],
        };
        sources
            .change_records(&changes, "us", 1_700_000_001)
            .expect("sound");
        let owner = Name::parse("a-app.example.com").expect("a name");
        sources.published.insert(&owner, "heritage");
        let address = "192.0.2.7".parse().expect("an address");
        sources.targets.insert("lb.example.net", vec![address], 40);
        write(dir.path(), &sources).expect("written");
        assert_eq!(
            [read(dir.path()), peek(dir.path())],
            [sources.clone(), sources.clone()]
        );
        // Only what has named something is worth keeping.
        sources.insert("new", SourceId::Api, SourceState::default());
        write(dir.path(), &sources).expect("written");
        assert_eq!(read(dir.path()).of("new").count(), 0);
        std::fs::write(path(dir.path()), r#"{"version":2}"#).expect("written");
        for look in [peek, read] {
            assert_eq!(look(dir.path()), Sources::default(), "a newer layout");
        }
        assert!(!path(dir.path()).exists(), "set aside by the second");
    }
}
