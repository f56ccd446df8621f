//! The GeoIP databases.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Point;
use crate::config::model::Process;
use crate::daemon::files;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::geoip_update::folder::Database;
use crate::daemon::geoip_update::folder::Folder;
use crate::daemon::load::reader::Reader;
use crate::daemon::load::reader::Source;
use crate::fleet::nats::Role;
use crate::geo::atlas::Atlas;
use crate::geo::atlas::MmdbError;
use crate::geo::atlas::Which;
use crate::mmdb::countries;

/// The database that serves where none is configured.
const EMBEDDED: &[u8] = include_bytes!("../../../geoip/world-country.mmdb");

/// The embedded country database.
///
/// # Errors
/// Never, as a test holds.
pub fn embedded_atlas() -> Result<Atlas, MmdbError> {
    Atlas::read(EMBEDDED.to_vec(), None, &centre_of)
}

/// A database of locations that is not the process's.
///
/// # Errors
/// If it is none.
pub fn read_locations(bytes: Vec<u8>) -> Result<Atlas, MmdbError> {
    Atlas::read(bytes, None, &centre_of)
}

/// What is known of a country without a database.
fn centre_of(code: Country) -> Option<(Continent, Point)> {
    countries::country(code).map(|info| (info.continent, info.centre))
}

/// The databases and what they were read from.
#[derive(Clone, Debug)]
pub(super) struct LoadedAtlas {
    sources: Vec<Source>,
    pub(super) atlas: Arc<Atlas>,
}

/// What a process knows that locates nobody.
fn none() -> LoadedAtlas {
    LoadedAtlas {
        sources: Vec::new(),
        atlas: Arc::new(Atlas::empty()),
    }
}

/// Has those databases that were fetched loaded instead of those that the file names.
pub(super) fn prefer_fetched(process: &mut Process, reader: &mut Reader<'_>) {
    for database in Database::ALL {
        let Some(folder) = Folder::of(process, database) else {
            continue;
        };
        let path = folder.loaded();
        let geoip = &mut process.geoip;
        let (file, place) = match database {
            Database::Location => (&mut geoip.database, &mut geoip.database_place),
            Database::Asn => (&mut geoip.asn_database, &mut geoip.asn_database_place),
        };
        if reader.has(&path) {
            (*file, *place) = (Some(path), None);
        }
    }
}

/// The configured databases, which a vantage has none of: those of before where they are still the same.
/// `None` after a fault, which is reported.
pub(super) fn atlas(
    process: &Process,
    role: Role,
    before: Option<&LoadedAtlas>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<LoadedAtlas> {
    if role == Role::Vantage {
        return Some(before.cloned().unwrap_or_else(none));
    }
    let geoip = &process.geoip;
    let paths: Vec<&PathBuf> = geoip.database.iter().chain(&geoip.asn_database).collect();
    if let Some(before) = before
        && before.sources.iter().map(|source| &source.path).eq(paths)
        && let Some(sources) = reader.unchanged(&before.sources, MAX_DATA_LEN, report)
    {
        let atlas = Arc::clone(&before.atlas);
        return Some(LoadedAtlas { sources, atlas });
    }
    let files = [
        (&geoip.database, &geoip.database_place),
        (&geoip.asn_database, &geoip.asn_database_place),
    ];
    // Both are read before either is given up, so that all faults are reported.
    let [locations, systems] = files.map(|(path, written)| {
        let path = path.as_ref()?;
        Some(read(path, written.as_ref(), reader, report))
    });
    let mut sources = Vec::new();
    let mut bytes = |read: Option<Option<(Vec<u8>, Source)>>| match read {
        Some(read) => {
            let (bytes, source) = read?;
            sources.push(source);
            Some(Some(bytes))
        }
        None => Some(None),
    };
    let (locations, systems) = (bytes(locations)?, bytes(systems)?);
    match Atlas::read(
        locations.unwrap_or_else(|| EMBEDDED.to_vec()),
        systems,
        &centre_of,
    ) {
        Ok(atlas) => Some(LoadedAtlas {
            sources,
            atlas: Arc::new(atlas),
        }),
        Err(error) => {
            let (path, written) = match error.which {
                Which::Locations => files[0],
                Which::Systems => files[1],
            };
            let path = path.as_deref().unwrap_or(Path::new("embedded database"));
            fault(path, written.as_ref(), &error.to_string(), report);
            None
        }
    }
}

/// Reads a database; `None` after a fault, which is reported where its path was written.
fn read(
    path: &Path,
    written: Option<&Place>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<(Vec<u8>, Source)> {
    match reader.read(path, MAX_DATA_LEN) {
        Ok(read) => Some(read),
        Err(error) => {
            fault(path, written, &error.fault("MMDB file"), report);
            None
        }
    }
}

fn fault(path: &Path, written: Option<&Place>, message: &str, report: &mut Report) {
    let place = written.cloned().unwrap_or_else(|| files::place(path));
    report.error(place, format!("`{}`: {message}", path.display()));
}
