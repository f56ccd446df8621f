//! What survives a restart: verdicts and overrides, one JSON file in `state_dir`.
//!
//! The types of lower floors are not serialisable on purpose; this file holds what is on disk and
//! converts by hand. A file that cannot be understood is set aside with a warning, never an obstacle
//! to serving.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::base::health::Health;
use crate::daemon::files;
use crate::health::overrides::Forced;
use crate::health::overrides::Override;
use crate::health::overrides::Overrides;
use crate::health::saved::Saved;
use crate::health::saved::SavedEndpoint;
use crate::health::saved::SavedVantage;
use crate::health::streak::Note;

/// The layout of the file; another number is not ours to read.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    endpoints: Vec<Endpoint>,
    overrides: Vec<Word>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    pool: Box<str>,
    address: IpAddr,
    health: Box<str>,
    since: Option<u64>,
    vantages: Vec<Vantage>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vantage {
    name: Box<str>,
    verdict: Box<str>,
    since: Option<u64>,
    is_fresh: bool,
    last_failure: Option<Failure>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    reason: Box<str>,
    at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    pool: Box<str>,
    state: Box<str>,
    since: u64,
    until: Option<u64>,
    reason: Box<str>,
}

/// Everything kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Verdicts.
    pub verdicts: Saved,
    /// What operators said.
    pub overrides: Overrides,
}

/// The file in a state folder.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("state.json")
}

/// Writes the state; a crash leaves the old file or the new one.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn write(state_dir: &Path, state: &State) -> io::Result<()> {
    std::fs::create_dir_all(state_dir)?;
    let json = serde_json::to_vec_pretty(&File::from(state)).map_err(io::Error::other)?;
    files::replace(&path(state_dir), &json)
}

/// Reads the state; nothing was kept where there is no file.
///
/// # Errors
/// If the file cannot be read or understood.
pub fn read(state_dir: &Path) -> io::Result<State> {
    let bytes = match files::read(&path(state_dir), files::MAX_SETTINGS_LEN) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(error),
    };
    parse(&bytes).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))
}

fn parse(bytes: &[u8]) -> Result<State, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if file.version != VERSION {
        return Err(format!("layout {} instead of {VERSION}", file.version));
    }
    let endpoints = file
        .endpoints
        .into_iter()
        .map(Endpoint::into_saved)
        .collect::<Result<_, _>>();
    let mut overrides = Overrides::default();
    for word in file.overrides {
        let state = Forced::ALL
            .into_iter()
            .find(|forced| forced.as_str() == &*word.state);
        let state = state.ok_or_else(|| format!("unknown override `{}`", word.state))?;
        let Word {
            since,
            until,
            reason,
            ..
        } = word;
        overrides.set(
            &word.pool,
            Override {
                state,
                since,
                until,
                reason,
            },
        );
    }
    Ok(State {
        verdicts: Saved {
            endpoints: endpoints?,
        },
        overrides,
    })
}

fn health(word: &str) -> Result<Health, String> {
    [Health::Unknown, Health::Up, Health::Down]
        .into_iter()
        .find(|health| health.as_str() == word)
        .ok_or_else(|| format!("unknown health `{word}`"))
}

impl Endpoint {
    fn into_saved(self) -> Result<SavedEndpoint, String> {
        let vantages = self.vantages.into_iter().map(|vantage| {
            Ok::<_, String>(SavedVantage {
                verdict: health(&vantage.verdict)?,
                name: vantage.name,
                since: vantage.since,
                is_fresh: vantage.is_fresh,
                last_failure: vantage.last_failure.map(|f| Note {
                    reason: f.reason,
                    at: f.at,
                }),
            })
        });
        Ok(SavedEndpoint {
            health: health(&self.health)?,
            vantages: vantages.collect::<Result<_, _>>()?,
            pool: self.pool,
            address: self.address,
            since: self.since,
        })
    }
}

impl From<&State> for File {
    fn from(state: &State) -> Self {
        let vantage = |vantage: &SavedVantage| Vantage {
            name: vantage.name.clone(),
            verdict: vantage.verdict.as_str().into(),
            since: vantage.since,
            is_fresh: vantage.is_fresh,
            last_failure: vantage.last_failure.as_ref().map(|f| Failure {
                reason: f.reason.clone(),
                at: f.at,
            }),
        };
        let endpoint = |endpoint: &SavedEndpoint| Endpoint {
            pool: endpoint.pool.clone(),
            address: endpoint.address,
            health: endpoint.health.as_str().into(),
            since: endpoint.since,
            vantages: endpoint.vantages.iter().map(vantage).collect(),
        };
        let word = |(pool, word): (&str, &Override)| Word {
            pool: pool.into(),
            state: word.state.as_str().into(),
            since: word.since,
            until: word.until,
            reason: word.reason.clone(),
        };
        Self {
            version: VERSION,
            endpoints: state.verdicts.endpoints.iter().map(endpoint).collect(),
            overrides: state.overrides.iter().map(word).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let failure = Note {
            reason: "connection refused".into(),
            at: 1_700_000_000,
        };
        let vantage = SavedVantage {
            name: "ns1".into(),
            verdict: Health::Down,
            since: Some(1_700_000_000),
            is_fresh: true,
            last_failure: Some(failure),
        };
        let endpoint = SavedEndpoint {
            pool: "eu".into(),
            address: "2001:db8::1".parse().expect("address"),
            health: Health::Down,
            since: None,
            vantages: vec![vantage],
        };
        let mut overrides = Overrides::default();
        let word = Override {
            state: Forced::Drain,
            since: 1,
            until: Some(2),
            reason: "maintenance".into(),
        };
        overrides.set("us", word);
        State {
            verdicts: Saved {
                endpoints: vec![endpoint],
            },
            overrides,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        let state_dir = dir.path().join("not/there/yet");
        assert_eq!(
            read(&state_dir).expect("no file is no fault"),
            State::default()
        );
        write(&state_dir, &state()).expect("write");
        assert_eq!(read(&state_dir).expect("read"), state());
        write(&state_dir, &State::default()).expect("write again");
        assert_eq!(read(&state_dir).expect("read"), State::default());
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        for text in [
            "",
            "{}",
            r#"{"version":2,"endpoints":[],"overrides":[]}"#,
            r#"{"version":1,"endpoints":[],"overrides":[],"more":1}"#,
            r#"{"version":1,"endpoints":[],"overrides":[{"pool":"a","state":"gone","since":1,
                "until":null,"reason":""}]}"#,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
