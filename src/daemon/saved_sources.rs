//! The last good answers of the pools' sources: `sources.json` in `state_dir`, so that a restart serves the
//! endpoints of before at once.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::config::model;
use crate::daemon::files;
use crate::daemon::saved;
use crate::state::sources::SourceId;
use crate::state::sources::SourceState;
use crate::state::sources::Sources;

/// The layout of `sources.json`.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    sources: Vec<Source>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    pool: Box<str>,
    /// Null: the API.
    host: Option<Box<str>>,
    endpoints: Vec<Endpoint>,
    since: u64,
    by: Option<Box<str>>,
    revision: u64,
    last_success: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    address: IpAddr,
    weight: u32,
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
        let (pool, id, state) = record.into_state();
        sources.insert(&pool, id, state);
    }
    Ok(sources)
}

impl Source {
    /// `None`: it has named nothing yet.
    fn of((pool, id, state): (&str, &SourceId, &SourceState)) -> Option<Self> {
        let endpoint = |endpoint: &model::Endpoint| Endpoint {
            address: endpoint.address,
            weight: endpoint.weight,
        };
        Some(Self {
            pool: pool.into(),
            host: match id {
                SourceId::Api => None,
                SourceId::Host(name) => Some((**name).into()),
            },
            endpoints: state.endpoints.iter().map(endpoint).collect(),
            since: state.since?,
            by: state.by.clone(),
            revision: state.revision,
            last_success: state.last_success,
        })
    }

    fn into_state(self) -> (Box<str>, SourceId, SourceState) {
        let id = match self.host {
            Some(name) => SourceId::Host(name.into()),
            None => SourceId::Api,
        };
        let endpoints = self.endpoints.into_iter().map(|endpoint| model::Endpoint {
            address: endpoint.address,
            weight: endpoint.weight,
        });
        let state = SourceState {
            endpoints: endpoints.collect(),
            since: Some(self.since),
            by: self.by,
            revision: self.revision,
            last_success: self.last_success,
            ..SourceState::default()
        };
        (self.pool, id, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        assert_eq!(read(dir.path()), Sources::default());
        let endpoint = |text: &str, weight| model::Endpoint {
            address: text.parse().expect("an address"),
            weight,
        };
        let mut sources = Sources::default();
        let of_api = [endpoint("192.0.2.1", 1), endpoint("2001:db8::1", 3)];
        sources.set("eu", of_api.into(), "ci.token", 1_700_000_000);
        let state = SourceState {
            endpoints: [endpoint("192.0.2.9", 1)].into(),
            since: Some(1_700_000_000),
            revision: 7,
            ..SourceState::default()
        };
        sources.insert("us", SourceId::Host("lb.example.net".into()), state);
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
