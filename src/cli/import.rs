//! `import`: another system's configuration, made into Meridian's.
//!
//! What is printed is also read again as `check` would: what other systems take and this one refuses (an
//! address in no unicast space, a record that is no record) is reported at its line in the new files.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::cli::out;
use crate::config;
use crate::config::Source;
use crate::config::safety::Safety;
use crate::daemon::files;
use crate::import::Input;
use crate::import::draft::Draft;
use crate::import::gdnsd;
use crate::import::octodns;
use crate::import::route53;
use crate::import::write::Files;
use crate::import::zone::Settings;
use crate::live::clock;
use crate::zone::Computed;
use crate::zone::ComputedOwner;
use crate::zone::Zone;
use crate::zone::master;

/// Whose configuration, and what to do with the result.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Whose configuration it is
    #[arg(value_enum)]
    system: System,
    /// The file (octoDNS: a zone's YAML file, or the folder it is split into; gdnsd: its `config`; Route 53: what
    /// `aws route53 list-resource-record-sets` prints, and `list-health-checks` and `list-cidr-blocks` beside it)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write pools.toml and zones/*.zone into this folder, instead of printing them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The zone's name, where the files do not say it
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    origin: Option<Name>,
    /// A name server of the new zone, in place of those of the files; may be given again
    #[arg(long = "ns", value_name = "NAME", value_parser = parse_name)]
    name_servers: Vec<Name>,
    /// Exit with 1 if something has no equivalent
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum System {
    Gdnsd,
    Octodns,
    Route53,
}

fn parse_name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// Imports, prints or writes, and reads again.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut report = Report::default();
    let settings = Settings {
        origin: options.origin.clone(),
        name_servers: options.name_servers.clone(),
        serial: u32::try_from(clock::unix()).unwrap_or(1),
    };
    let draft = read(options, &settings, &mut report)?;
    if !report.to_string().is_empty() {
        out::complain(&report.to_string());
    }
    let Some(draft) = draft.filter(|_| !report.has_errors()) else {
        return Ok(ExitCode::FAILURE);
    };
    let files = draft.write();
    match &options.out {
        Some(dir) => write(dir, &files)?,
        None => print(&files)?,
    }
    let faults = check(&files);
    if faults.has_errors() {
        out::complain(&faults.to_string());
        out::complain("what was made is not yet a configuration: mend the lines above in it");
    }
    let n = files.n_missing;
    if n > 0 {
        let things = if n == 1 { "thing has" } else { "things have" };
        out::complain(&format!("{n} {things} no equivalent: see the comments"));
    }
    let is_refused = faults.has_errors() || (options.strict && n > 0);
    Ok(if is_refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn read(options: &Options, settings: &Settings, report: &mut Report) -> Result<Option<Draft>> {
    let mut inputs = Vec::new();
    for path in &options.files {
        match path.is_dir() {
            true => inputs.extend(folder(path, |name| {
                name.ends_with(".yaml") || name.ends_with(".yml")
            })?),
            false => inputs.push(input(path)?),
        }
    }
    let name = options.files[0].to_string_lossy();
    if inputs.is_empty() {
        bail!("no YAML file in {name}");
    }
    let has_settings = settings.origin.is_some() || !settings.name_servers.is_empty();
    Ok(match (options.system, &inputs[..]) {
        (System::Gdnsd, [input]) if !has_settings => gdnsd::import(input, &mut include, report),
        (System::Gdnsd, _) => bail!(
            "gdnsd's configuration is one file, such as /etc/gdnsd/config, whose zones say their names and \
             servers: --origin and --ns are not for it"
        ),
        (System::Octodns, _) => octodns::import(&name, &inputs, settings, report),
        (System::Route53, _) => route53::import(&inputs, settings, report),
    })
}

/// The files of a folder whose names are wanted, in order; hidden ones are not.
fn folder(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Input>> {
    let context = || format!("cannot read {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_file() && !name.starts_with('.') && is_wanted(name) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| input(path)).collect()
}

/// Reads what a file names, beside itself: a file, a folder, or the files of a folder that a pattern such as
/// `dir/*.cfg` matches.
fn include(path: &str, from: &Arc<str>) -> Result<Vec<Input>, String> {
    let beside = Path::new(&**from).parent().unwrap_or(Path::new(""));
    let path = beside.join(path);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let result = match name.split_once('*') {
        Some((start, end)) => {
            let is_wanted = |name: &str| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            };
            folder(path.parent().unwrap_or(beside), is_wanted)
        }
        None if path.is_dir() => folder(&path, |_| true),
        None => input(&path).map(|input| vec![input]),
    };
    result.map_err(|error| format!("{error:#}"))
}

fn input(path: &Path) -> Result<Input> {
    let context = || format!("cannot read {}", path.display());
    let octets = files::read(path, files::MAX_SETTINGS_LEN).with_context(context)?;
    Ok(Input {
        file: path.to_string_lossy().into(),
        text: String::from_utf8(octets).with_context(context)?,
    })
}

/// The name of a zone's file below `zones`.
fn zone_file(origin: &Name) -> String {
    match origin.is_root() {
        true => "root.zone".into(),
        false => format!(
            "{}.zone",
            origin.plain().to_ascii_lowercase().replace('/', "%2F")
        ),
    }
}

fn write(dir: &Path, files: &Files) -> Result<()> {
    let zones = dir.join("zones");
    fs::create_dir_all(&zones).with_context(|| format!("cannot make {}", zones.display()))?;
    let put = |path: PathBuf, text: &str| {
        files::replace(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    };
    put(dir.join("pools.toml"), &files.pools)?;
    for (origin, text) in &files.zones {
        put(zones.join(zone_file(origin)), text)?;
    }
    Ok(())
}

/// Prints the files one after the other, each behind a comment with its name.
fn print(files: &Files) -> Result<()> {
    let mut text = format!("# file: pools.toml\n{}", files.pools);
    for (origin, zone) in &files.zones {
        text += &format!("; file: zones/{}\n{zone}", zone_file(origin));
    }
    out::print(&text)?;
    Ok(())
}

/// Reads what was made as the server would.
fn check(files: &Files) -> Report {
    let mut report = Report::default();
    let source = Source {
        file: "pools.toml".into(),
        dir: Path::new(""),
        text: &files.pools,
    };
    let (Ok(pools) | Err(pools)) = config::pools(&source, &Safety::default(), &mut report);
    let owners = pools.steered.iter().map(|steered| ComputedOwner {
        owner: steered.owner.clone(),
        computed: Computed::Steered {
            ix: SteeredIx::new(0),
            types: steered.types,
        },
        place: Place::file(&source.file),
    });
    let owners: Vec<_> = owners.collect();
    for (origin, text) in &files.zones {
        let file: Arc<str> = format!("zones/{}", zone_file(origin)).into();
        let mut of_zone = Report::default();
        let mut include = |path: &str, _: &Arc<str>| Err(format!("`{path}` is not read"));
        let records = master::read(&file, text.as_bytes(), origin, &mut include, &mut of_zone);
        Zone::compile(origin, &file, records, &owners, &mut of_zone);
        report.append(of_zone);
    }
    report
}
