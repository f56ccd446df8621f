//! What survives a restart: verdicts in `state.json` and overrides in `overrides.json`, in `state_dir`.
//!
//! Most types of lower floors are not serialisable on purpose; this file holds what is on disk and converts
//! by hand, all but verdicts. Overrides are few and must be on disk before an operator is answered; verdicts may
//! be many. A file that cannot be understood is set aside under another name with a warning: it is
//! never an obstacle to serving, and never overwritten.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::base::per_family::PerFamily;
use crate::daemon::files;
use crate::health::overrides::Override;
use crate::health::overrides::Overrides;
use crate::health::overrides::Register;
use crate::health::overrides::Stamp;
use crate::health::report::Saved;
use crate::health::report::SavedEndpoint;
use crate::live::clock::unix;
use crate::state::evidence::LastUp;
use crate::state::ramp::UnderWay;
use crate::state::spills::PoolShares;
use crate::steer::spread::Admission;
use crate::steer::spread::Admitted;

/// The layout of `state.json`; a file with a higher number is of a newer release. In layout 1 it also
/// held the overrides, before layout 3 nothing of other machines' vantages, before layout 4 no shares.
const VERDICTS_VERSION: u32 = 4;

/// The layout of `overrides.json`. In layout 1 it held the overrides in force, without stamps.
const OVERRIDES_VERSION: u32 = 2;

/// The longest state file that is read, in octets: half a million endpoints with five vantages.
pub(super) const MAX_STATE_LEN: u64 = 1 << 30;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictsFile<'a> {
    version: u32,
    endpoints: Cow<'a, [SavedEndpoint]>,
    /// From layout 2 on.
    #[serde(default)]
    last_up: Vec<LastUpRecord>,
    /// From layout 3 on.
    #[serde(default)]
    ramps: Vec<RampRecord>,
    /// From layout 4 on.
    #[serde(default)]
    shares: Vec<ShareRecord>,
    /// In layout 1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overrides: Option<Vec<OverrideRecord>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OverridesFile {
    version: u32,
    /// From layout 2 on, with tombstones.
    #[serde(default)]
    registers: Vec<Register>,
    /// The pools whose override has ended: it does not come back if the clock was set back meanwhile.
    #[serde(default)]
    ended: Vec<Box<str>>,
    /// The pools whose override began later than it was set, and has begun: likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    begun: Vec<Box<str>>,
    /// In layout 1 only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<OverrideRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OverrideRecord {
    pool: Box<str>,
    #[serde(flatten)]
    override_: Override,
}

/// The pools that were up when any of a steered name's last was.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastUpRecord {
    name: Box<str>,
    ipv4: BTreeSet<Box<str>>,
    ipv6: BTreeSet<Box<str>>,
}

/// A pool that gets its clients back in steps.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RampRecord {
    pool: Box<str>,
    ipv4: bool,
    ipv6: bool,
}

/// The shares that a pool takes by its load, from 0 to 1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareRecord {
    pool: Box<str>,
    own: f64,
    guests: f64,
}

/// Everything kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Verdicts.
    pub verdicts: Saved,
    /// The pools that were up last.
    pub last_up: LastUp,
    /// The ramps under way.
    pub ramps: UnderWay,
    /// The shares of pools that go by their load.
    pub shares: PoolShares,
    /// The operators' overrides.
    pub overrides: Overrides,
}

fn verdicts_path(state_dir: &Path) -> PathBuf {
    state_dir.join("state.json")
}

fn overrides_path(state_dir: &Path) -> PathBuf {
    state_dir.join("overrides.json")
}

/// Writes the verdicts; a crash leaves the old file or the new one.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn write_verdicts(
    state_dir: &Path,
    verdicts: &Saved,
    last_up: &LastUp,
    ramps: &UnderWay,
    shares: &PoolShares,
) -> io::Result<()> {
    let bytes = encode_verdicts(verdicts, last_up, ramps, shares)?;
    write_bytes(&verdicts_path(state_dir), &bytes)
}

/// The content of the file of verdicts.
///
/// # Errors
/// None that its types allow.
pub fn encode_verdicts(
    verdicts: &Saved,
    last_up: &LastUp,
    ramps: &UnderWay,
    shares: &PoolShares,
) -> io::Result<Vec<u8>> {
    let file = VerdictsFile {
        version: VERDICTS_VERSION,
        endpoints: Cow::Borrowed(&verdicts.endpoints),
        last_up: last_up.iter().map(LastUpRecord::of).collect(),
        ramps: ramps
            .iter()
            .map(|(pool, families)| RampRecord::of(pool, *families))
            .collect(),
        shares: shares.iter().map(ShareRecord::of).collect(),
        overrides: None,
    };
    serde_json::to_vec(&file).map_err(io::Error::other)
}

/// Writes the overrides; a crash leaves the old file or the new one.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn write_overrides(state_dir: &Path, overrides: &Overrides) -> io::Result<()> {
    write_bytes(&overrides_path(state_dir), &encode_overrides(overrides)?)
}

/// The content of the file of overrides.
///
/// # Errors
/// None that its types allow.
pub fn encode_overrides(overrides: &Overrides) -> io::Result<Vec<u8>> {
    let file = OverridesFile {
        version: OVERRIDES_VERSION,
        registers: overrides.registers().cloned().collect(),
        ended: overrides.ended().map(Box::from).collect(),
        begun: overrides.begun().map(Box::from).collect(),
        overrides: Vec::new(),
    };
    serde_json::to_vec(&file).map_err(io::Error::other)
}

/// Writes one of the files of the state; a crash leaves the old file or the new one.
pub(super) fn write(path: &Path, file: &impl Serialize) -> io::Result<()> {
    write_bytes(path, &serde_json::to_vec(file).map_err(io::Error::other)?)
}

fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(state_dir) = path.parent() {
        std::fs::create_dir_all(state_dir)?;
    }
    files::replace(path, bytes)
}

/// Reads what the last run kept: nothing where there is no file. One that cannot be used is set aside,
/// with a warning.
pub fn read(state_dir: &Path) -> State {
    let (mut state, now) = (State::default(), unix());
    let verdicts = |bytes: &[u8]| decode_verdicts(bytes, now);
    if let Some(verdicts) = read_file(&verdicts_path(state_dir), verdicts) {
        state = verdicts;
    }
    let overrides = |bytes: &[u8]| decode_overrides(bytes, now);
    if let Some(overrides) = read_file(&overrides_path(state_dir), overrides) {
        state.overrides = overrides;
    }
    state
}

/// Reads one of the files of the state; one that cannot be used is set aside, with a warning.
pub(super) fn read_file<T>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, String>) -> Option<T> {
    let result = match files::read(path, MAX_STATE_LEN) {
        Ok(bytes) => parse(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
    };
    let error = match result {
        Ok(content) => return Some(content),
        Err(error) => error,
    };
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".unusable-{}", unix()));
    let file = path.display();
    match std::fs::rename(path, &aside) {
        Ok(()) => {
            let kept = Path::new(&aside).display();
            warn!(%file, %kept, error, "state of the last run cannot be used: set aside");
        }
        Err(cause) => warn!(%file, error, %cause, "state of the last run cannot be used"),
    }
    None
}

/// Checks the layout's number before its fields, which a newer one may have others of.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], version: u32) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let found: Version = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if found.version > version {
        return Err(format!(
            "layout {}, this release knows up to {version}",
            found.version
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// Reads the content of the file of verdicts; `now` is in Unix seconds.
///
/// # Errors
/// With what is wrong with it.
pub fn decode_verdicts(bytes: &[u8], now: u64) -> Result<State, String> {
    let file: VerdictsFile<'_> = parse(bytes, VERDICTS_VERSION)?;
    let mut last_up = LastUp::default();
    for LastUpRecord { name, ipv4, ipv6 } in file.last_up {
        last_up.insert(&name, PerFamily { v4: ipv4, v6: ipv6 });
    }
    Ok(State {
        verdicts: Saved {
            endpoints: file.endpoints.into_owned(),
        },
        last_up,
        ramps: file.ramps.into_iter().map(RampRecord::into_ramp).collect(),
        shares: file
            .shares
            .into_iter()
            .map(ShareRecord::into_shares)
            .collect(),
        overrides: overrides(Vec::new(), file.overrides.unwrap_or_default(), now),
    })
}

/// Reads the content of the file of overrides; `now` is in Unix seconds.
///
/// # Errors
/// With what is wrong with it.
pub fn decode_overrides(bytes: &[u8], now: u64) -> Result<Overrides, String> {
    let file: OverridesFile = parse(bytes, OVERRIDES_VERSION)?;
    let mut overrides = overrides(file.registers, file.overrides, now);
    (file.begun.iter()).for_each(|pool| overrides.resume_begun(pool));
    (file.ended.iter()).for_each(|pool| overrides.resume_ended(pool));
    Ok(overrides)
}

fn overrides(registers: Vec<Register>, records: Vec<OverrideRecord>, now: u64) -> Overrides {
    let mut overrides = Overrides::default();
    let records = records.into_iter().map(OverrideRecord::into_register);
    for register in registers.into_iter().chain(records) {
        overrides.merge(register, now);
    }
    overrides
}

impl LastUpRecord {
    fn of((name, pools): (&str, &PerFamily<BTreeSet<Box<str>>>)) -> Self {
        Self {
            name: name.into(),
            ipv4: pools.v4.clone(),
            ipv6: pools.v6.clone(),
        }
    }
}

impl ShareRecord {
    fn of((pool, shares): &(Box<str>, Admission)) -> Self {
        Self {
            pool: pool.clone(),
            own: shares.own.ratio(),
            guests: shares.guests.ratio(),
        }
    }

    fn into_shares(self) -> (Box<str>, Admission) {
        let shares = Admission {
            own: Admitted::from_ratio(self.own),
            guests: Admitted::from_ratio(self.guests),
        };
        (self.pool, shares)
    }
}

impl RampRecord {
    fn of(pool: &str, families: PerFamily<bool>) -> Self {
        Self {
            pool: pool.into(),
            ipv4: families.v4,
            ipv6: families.v6,
        }
    }

    fn into_ramp(self) -> (Box<str>, PerFamily<bool>) {
        let families = PerFamily {
            v4: self.ipv4,
            v6: self.ipv6,
        };
        (self.pool, families)
    }
}

impl OverrideRecord {
    /// As if the operator had just set it.
    fn into_register(self) -> Register {
        Register {
            pool: self.pool,
            stamp: Stamp {
                ms: self.override_.since.saturating_mul(1_000),
                node: "".into(),
            },
            value: Some(self.override_),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::health::Health;
    use crate::health::observation::Moment;
    use crate::health::overrides::Forced;
    use crate::health::report::Note;
    use crate::health::report::SavedFlaps;
    use crate::health::report::SavedVantage;
    use crate::health::report::VerdictRecord;

    #[expect(clippy::too_many_lines, reason = "everything that is saved")]
    fn state() -> State {
        let failure = Note {
            reason: "connection refused".into(),
            at: 1_700_000_000,
        };
        let vantage = SavedVantage {
            name: "ns1".into(),
            is_remote: false,
            is_fresh: true,
            flaps: None,
            record: VerdictRecord {
                verdict: Health::Down,
                since: Some(1_700_000_000),
                last_failure: Some(failure),
                ..VerdictRecord::default()
            },
        };
        let endpoint = SavedEndpoint {
            monitor: None,
            pool: "eu".into(),
            address: "2001:db8::1".parse().expect("address"),
            health: Health::Down,
            since: None,
            vantages: vec![vantage],
        };
        let mut overrides = Overrides::default();
        let override_ = Override {
            state: Forced::Drain,
            since: 1,
            begins: None,
            until: Some(4_000_000_000),
            reason: "maintenance".into(),
        };
        let first = Moment {
            unix_ms: 1_000,
            ..Moment::default()
        };
        overrides.set("us", override_, "", first);
        let mut last_up = LastUp::default();
        let pools = PerFamily {
            v4: ["eu".into(), "us".into()].into(),
            v6: BTreeSet::new(),
        };
        last_up.insert("app.example.com", pools);
        let families = PerFamily {
            v4: true,
            v6: false,
        };
        State {
            last_up,
            ramps: [("us".into(), families)].into(),
            shares: vec![(
                "us".into(),
                Admission {
                    own: Admitted::percent(70),
                    guests: Admitted::NONE,
                },
            )],
            verdicts: Saved {
                endpoints: vec![endpoint],
            },
            overrides,
        }
    }

    fn write(state_dir: &Path, state: &State) {
        let State {
            verdicts,
            last_up,
            ramps,
            shares,
            ..
        } = state;
        write_verdicts(state_dir, verdicts, last_up, ramps, shares).expect("write");
        write_overrides(state_dir, &state.overrides).expect("write");
    }

    #[test]
    fn what_has_begun_goes_on_after_a_restart_with_the_clock_set_back() {
        let planned = Override {
            state: Forced::Drain,
            since: 1_000,
            begins: Some(1_300),
            until: Some(2_000),
            reason: "".into(),
        };
        let mut overrides = Overrides::default();
        overrides.set("us", planned, "", Moment::default());
        let restart = |overrides: &Overrides, now| {
            let bytes = encode_overrides(overrides).expect("JSON");
            decode_overrides(&bytes, now).expect("it is readable")
        };
        assert!(restart(&overrides, 1_299).planned("us").is_some());
        assert!(restart(&overrides, 1_300).of("us").is_some());
        assert!(restart(&overrides, 2_000).standing("us").is_none());
        overrides.begin(1_300);
        assert!(restart(&overrides, 1_100).of("us").is_some());
        overrides.expire(2_000);
        assert!(restart(&overrides, 1_100).standing("us").is_none());
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        let state_dir = dir.path().join("not/there/yet");
        assert_eq!(read(&state_dir), State::default());
        let mut state = state();
        write(&state_dir, &state);
        assert_eq!(read(&state_dir), state);
        state.verdicts.endpoints[0].vantages[0].flaps = Some(SavedFlaps {
            penalty: 3.5,
            at: 1_700_000_000,
            is_suppressed: true,
        });
        write(&state_dir, &state);
        assert_eq!(read(&state_dir), state);
        write(&state_dir, &State::default());
        assert_eq!(read(&state_dir), State::default());
    }

    #[test]
    fn the_layout_before_held_both_in_one_file() {
        let text = r#"{"version":1,"endpoints":[{"pool":"eu","address":"2001:db8::1",
            "health":"down","since":null,"vantages":[{"name":"ns1","verdict":"down",
            "since":1700000000,"is_fresh":true,"last_failure":{"reason":"connection refused",
            "at":1700000000}}]}],"overrides":[{"pool":"us","state":"drain","since":1,"until":4000000000,
            "reason":"maintenance"}]}"#;
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(verdicts_path(dir.path()), text).expect("write");
        let state = State {
            last_up: LastUp::default(),
            ramps: UnderWay::new(),
            shares: PoolShares::new(),
            ..state()
        };
        assert_eq!(read(dir.path()), state);
        // What was cleared since must not come back with the old file.
        write_overrides(dir.path(), &Overrides::default()).expect("write");
        assert_eq!(read(dir.path()).overrides, Overrides::default());
    }

    #[test]
    fn overrides_keep_their_stamps_and_tombstones() {
        let layout_1 = r#"{"version":1,"overrides":[{"pool":"us","state":"drain","since":1,
            "until":4000000000,"reason":"maintenance"}]}"#;
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(overrides_path(dir.path()), layout_1).expect("write");
        let mut overrides = read(dir.path()).overrides;
        assert_eq!(overrides, state().overrides);
        overrides.clear("us", "ns1", Moment::default());
        write_overrides(dir.path(), &overrides).expect("write");
        assert_eq!(read(dir.path()).overrides, overrides);
        let register = overrides.register("us").expect("a tombstone");
        assert_eq!((register.stamp.ms, &*register.stamp.node), (1_001, "ns1"));
    }

    #[test]
    fn an_override_that_has_ended_does_not_come_back_with_a_clock_that_was_set_back() {
        let mut overrides = state().overrides;
        assert_eq!(overrides.expire(4_000_000_000), ["us".into()]);
        let bytes = encode_overrides(&overrides).expect("encode");
        let read = decode_overrides(&bytes, 3_999_999_999).expect("decode");
        assert_eq!(read.of("us"), None);
        assert_eq!(read, overrides);
    }

    #[test]
    fn what_cannot_be_used_is_set_aside() {
        for (file, text) in [
            ("state.json", ""),
            ("state.json", "{}"),
            ("state.json", r#"{"version":4,"verdicts":"another layout"}"#),
            ("state.json", r#"{"version":3,"endpoints":[],"more":1}"#),
            ("overrides.json", r#"{"version":3,"overrides":[]}"#),
            (
                "overrides.json",
                r#"{"version":1,"overrides":[{"pool":"a","state":"gone","since":1,"until":null,
                    "reason":""}]}"#,
            ),
        ] {
            let dir = tempfile::tempdir().expect("temp dir");
            write(dir.path(), &State::default());
            std::fs::write(dir.path().join(file), text).expect("write");
            assert_eq!(read(dir.path()), State::default(), "{text}");
            let names = std::fs::read_dir(dir.path()).expect("a folder");
            let aside = names
                .map(|entry| entry.expect("an entry").path())
                .find(|path| path.to_string_lossy().contains("unusable"))
                .unwrap_or_else(|| panic!("{text} is not set aside"));
            assert_eq!(std::fs::read_to_string(aside).expect("read"), text);
            assert!(!dir.path().join(file).exists());
        }
    }
}
