//! The results of drills: `drills.json` in `state_dir`, so that a restart does not bring the next one forward.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::daemon::saved;
use crate::health::load::Load;
use crate::state::demand::Moved;
use crate::state::drill::DrillResult;
use crate::state::drill::Drills;
use crate::state::drill::LoadChange;
use crate::state::drill::Outcome;
use crate::state::drill::Record;

/// The layout of `drills.json`.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    pools: Vec<PoolRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolRecord {
    pool: Box<str>,
    begun: Option<u64>,
    last: Option<OutcomeRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeRecord {
    result: Box<str>,
    reason: Box<str>,
    begun: u64,
    ended: u64,
    share: Option<f64>,
    names: Vec<(Box<str>, f64)>,
    /// Loads in ten-thousandths.
    loads: Vec<(Box<str>, Option<u32>, Option<u32>)>,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("drills.json")
}

/// Writes them; a crash leaves the old file or the new one.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn write(state_dir: &Path, drills: &Drills) -> io::Result<()> {
    let path = path(state_dir);
    // Most machines never have any.
    if drills.records().is_empty() && !path.exists() {
        return Ok(());
    }
    let pools = drills.records().iter();
    let file = File {
        version: VERSION,
        pools: pools
            .map(|(pool, record)| PoolRecord::of(pool, record))
            .collect(),
    };
    saved::write(&path, &file)
}

/// Reads them; a file that cannot be used is set aside, with a warning.
pub fn read(state_dir: &Path) -> Drills {
    saved::read_file(&path(state_dir), decode).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Result<Drills, String> {
    let file: File = saved::parse(bytes, VERSION)?;
    let pools = file.pools.into_iter().map(PoolRecord::into_record);
    Ok(Drills::resume(
        pools.collect::<Result<BTreeMap<_, _>, _>>()?,
    ))
}

impl PoolRecord {
    fn of(pool: &str, record: &Record) -> Self {
        Self {
            pool: pool.into(),
            begun: record.begun,
            last: record.last.as_ref().map(OutcomeRecord::of),
        }
    }

    fn into_record(self) -> Result<(Box<str>, Record), String> {
        let record = Record {
            begun: self.begun,
            last: self.last.map(OutcomeRecord::into_outcome).transpose()?,
        };
        Ok((self.pool, record))
    }
}

impl OutcomeRecord {
    fn of(outcome: &Outcome) -> Self {
        let loads = outcome.loads.iter().map(|change| {
            let (before, most) = (change.before.map(u32::from), change.most.map(u32::from));
            (change.pool.clone(), before, most)
        });
        Self {
            result: outcome.result.as_str().into(),
            reason: outcome.reason.clone(),
            begun: outcome.begun,
            ended: outcome.ended,
            share: outcome.moved.share,
            names: outcome.moved.names.clone(),
            loads: loads.collect(),
        }
    }

    fn into_outcome(self) -> Result<Outcome, String> {
        let result = (DrillResult::ALL.into_iter()).find(|result| *result.as_str() == *self.result);
        let result = result.ok_or_else(|| format!("unknown result `{}`", self.result))?;
        let loads = self
            .loads
            .into_iter()
            .map(|(pool, before, most)| LoadChange {
                pool,
                before: before.map(Load::from),
                most: most.map(Load::from),
            });
        Ok(Outcome {
            result,
            reason: self.reason,
            begun: self.begun,
            ended: self.ended,
            moved: Moved {
                share: self.share,
                names: self.names,
            },
            loads: loads.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_outlive_a_restart() {
        let record = |result, reason: &str| Record {
            begun: Some(1_000),
            last: Some(Outcome {
                result,
                reason: reason.into(),
                begun: 1_000,
                ended: 1_600,
                moved: Moved {
                    share: Some(0.25),
                    names: vec![("app.example.com".into(), 0.25)],
                },
                loads: vec![LoadChange {
                    pool: "b".into(),
                    before: Some(Load::from(4_000)),
                    most: None,
                }],
            }),
        };
        let records = BTreeMap::from([
            ("a".into(), record(DrillResult::Completed, "")),
            (
                "b".into(),
                record(DrillResult::Aborted, "pool `c` is not up for ipv4"),
            ),
            ("c".into(), Record::default()),
        ]);
        let drills = Drills::resume(records);
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()), Drills::default());
        write(folder.path(), &Drills::default()).expect("written");
        assert!(!path(folder.path()).exists());
        write(folder.path(), &drills).expect("written");
        assert_eq!(read(folder.path()), drills);
        assert!(decode(br#"{"version":2,"pools":[]}"#).is_err());
    }
}
