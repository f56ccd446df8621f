//! The rules that a text scan can see: floors, headers, sizes, forbidden words, documented commands.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The folders of `src` by floor; a module imports only from lower ones.
const FLOORS: [&[&str]; 10] = [
    &["base"],
    &["wire", "mmdb", "latency"],
    &["zone", "geo", "steer", "health", "import", "map"],
    &["config"],
    &["state"],
    &["engine", "census"],
    &["live", "querylog"],
    &[
        "transport",
        "probe",
        "discovery",
        "doctor",
        "fetch",
        "admin",
        "fleet",
        "webhook",
    ],
    &["daemon"],
    &["cli"],
];

/// The first floor that may do I/O, read clocks and start tasks.
const SOCKETS: usize = 6;

/// Where `unsafe` may stand: what the kernel offers and no safe library wraps. Datagrams by the batch;
/// AF_XDP's rings, which are memory shared with the kernel; bpf(2); the addresses of an interface; giving
/// memory back and joining its pages; binding to an address without a port. And what the processor
/// offers: asking for memory ahead.
const SYSTEM_CALLS: &[&str] = &[
    "base/prefetch_sys.rs",
    "transport/udp_sys.rs",
    "transport/xdp/pod_sys.rs",
    "transport/xdp/ring_sys.rs",
    "transport/xdp/socket_sys.rs",
    "transport/xdp/bpf_sys.rs",
    "transport/xdp/interface_sys.rs",
    "daemon/hangup_sys.rs",
    "daemon/memory/memory_sys.rs",
    "probe/source_sys.rs",
];

/// Why `unsafe` is a fault elsewhere.
const UNSAFE_FILES: &str = "`unsafe` is in the files of SYSTEM_CALLS";

/// Non-test lines of a file; a longer one says in its header why it is one thing.
const MAX_LINES: usize = 500;

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    /// Without the tests at its end.
    code: String,
    header: String,
}

impl Source {
    fn folder(&self) -> &str {
        let mut parts = self.path.iter();
        let first = parts.next().and_then(|part| part.to_str()).expect("a path");
        if parts.next().is_some() { first } else { "" }
    }

    fn floor(&self) -> Option<usize> {
        FLOORS
            .iter()
            .position(|folders| folders.contains(&self.folder()))
    }

    fn is_test(&self) -> bool {
        let name = self.path.to_string_lossy();
        name.ends_with("tests.rs") || name.contains("tests/") || name.ends_with("fixture.rs")
    }

    /// Its module: `zone::rdata` of `zone/rdata/mod.rs`.
    fn module(&self) -> String {
        let path = self.path.with_extension("");
        let mut parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        parts.join("::")
    }

    /// The paths of this crate that its code names, without `crate::`.
    fn paths(&self) -> impl Iterator<Item = String> {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let module = self.module();
        let paths_of = move |line: &str| {
            let mut paths = Vec::new();
            for (start, base) in [("crate::", ""), ("self::", module.as_str())] {
                for (at, _) in line.match_indices(start) {
                    let rest = &line[at + start.len()..];
                    let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
                    paths.push(format!("{base}::{}", &rest[..end]));
                }
            }
            paths
        };
        self.lines()
            .flat_map(move |(_, line)| paths_of(line))
            .map(|path| path.trim_start_matches(':').to_owned())
    }

    /// Lines of code without comments.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.code.lines().enumerate();
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(n, line)| (n + 1, line))
    }
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|ext| ext == extension) {
            found.push(path);
        }
    }
    found.sort();
}

fn sources() -> Vec<Source> {
    let src = Path::new(ROOT).join("src");
    let mut paths = Vec::new();
    files(&src, "rs", &mut paths);
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("UTF-8");
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or("")
            .to_owned();
        let header = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect::<Vec<_>>();
        Source {
            path: path.strip_prefix(&src).expect("below src").to_owned(),
            header: header.join("\n"),
            code,
        }
    };
    paths.into_iter().map(source).collect()
}

/// Fails with all faults at once.
fn report(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}

#[test]
fn modules_import_only_from_lower_floors() {
    let mut faults = Vec::new();
    for source in sources() {
        let (Some(floor), false) = (source.floor(), source.is_test()) else {
            continue;
        };
        for (n, line) in source.lines() {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let other = &rest[..end.unwrap_or(rest.len())];
                let above = FLOORS.iter().position(|folders| folders.contains(&other));
                let is_fault = match above {
                    Some(above) => above > floor || (above == floor && other != source.folder()),
                    None => true,
                };
                if is_fault {
                    faults.push(format!("{}:{n}: {}", source.path.display(), line.trim()));
                }
            }
        }
    }
    report("a module imports only from lower floors", &faults);
}

/// What files re-export: by the path that others import, the one that is meant.
fn re_exports(sources: &[Source]) -> HashMap<String, String> {
    let mut re_exports = HashMap::new();
    for source in sources {
        let module = source.module();
        for (_, line) in source.lines() {
            let Some(path) = line.trim().strip_prefix("pub use ") else {
                continue;
            };
            let path = path.trim_end_matches(';');
            let path = path.split(" as ").next().unwrap_or("");
            let path = match path.strip_prefix("self::") {
                Some(inner) => format!("{module}::{inner}"),
                None => path.trim_start_matches("crate::").to_owned(),
            };
            let name = path.rsplit("::").next().unwrap_or("");
            re_exports.insert(format!("{module}::{name}"), path);
        }
    }
    re_exports
}

/// An item counts for the file that defines it, wherever its name is re-exported; a `mod.rs` that only
/// declares modules imports nothing.
#[test]
fn no_files_import_one_another_in_a_circle() {
    let sources: Vec<Source> = sources().into_iter().filter(|s| !s.is_test()).collect();
    let modules: HashMap<String, usize> = sources.iter().map(Source::module).zip(0..).collect();
    let re_exports = re_exports(&sources);
    let file_of = |path: &str| {
        let mut path = re_exports.get(path).map_or(path, String::as_str);
        loop {
            if let Some(file) = modules.get(path) {
                return Some(*file);
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let imports: Vec<Vec<usize>> = (0..)
        .zip(&sources)
        .map(|(at, source)| {
            let files = source.paths().filter_map(|path| file_of(&path));
            files.filter(|file| *file != at).collect()
        })
        .collect();
    // All that a file imports, by whatever way.
    let reach = |from: usize| {
        let (mut reached, mut next) = (HashSet::new(), imports[from].clone());
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(&imports[file]);
            }
        }
        reached
    };
    let reached: Vec<HashSet<usize>> = (0..sources.len()).map(reach).collect();
    let mut circles = BTreeSet::new();
    for at in 0..sources.len() {
        let is_mutual = |file: &&usize| reached[**file].contains(&at);
        let mut circle: Vec<String> = reached[at]
            .iter()
            .filter(is_mutual)
            .map(|file| sources[*file].path.display().to_string())
            .collect();
        circle.sort();
        if !circle.is_empty() {
            circles.insert(circle.join(" "));
        }
    }
    let circles: Vec<String> = circles.into_iter().collect();
    report("no files import one another in a circle", &circles);
}

#[test]
fn lower_floors_do_no_io_and_read_no_clock() {
    let forbidden = [
        "std::fs",
        "std::thread",
        "std::time::Instant",
        "std::time::SystemTime",
        "Instant::now",
        "SystemTime::now",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "tokio",
        "async fn",
        "println!",
        "std::env::",
    ];
    let mut faults = Vec::new();
    for source in sources() {
        let is_low = source.floor().is_some_and(|floor| floor < SOCKETS);
        if !is_low || source.is_test() {
            continue;
        }
        for (n, line) in source.lines() {
            if let Some(word) = forbidden.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{}:{n}: {word}", source.path.display()));
            }
        }
    }
    report(
        "floors below the sockets' do no I/O, read no clock, start nothing",
        &faults,
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn libraries_stay_in_their_files() {
    // (word, where it may stand, why)
    let rules: [(&str, &[&str], &str); 10] = [
        ("unsafe {", SYSTEM_CALLS, UNSAFE_FILES),
        ("unsafe fn", SYSTEM_CALLS, UNSAFE_FILES),
        ("unsafe impl", SYSTEM_CALLS, UNSAFE_FILES),
        ("unsafe_code", SYSTEM_CALLS, UNSAFE_FILES),
        (
            "hickory",
            &["discovery/resolver.rs"],
            "one place resolves names; otherwise an oracle in tests",
        ),
        (
            "kube::",
            &["discovery/kubernetes/"],
            "one place talks to Kubernetes",
        ),
        ("maxminddb::", &["mmdb/"], "one place knows the MMDB format"),
        (
            "serde::",
            &[
                "admin/",
                "cli/",
                "daemon/kept/",
                "daemon/saved.rs",
                "daemon/saved_downloads.rs",
                "daemon/saved_drills.rs",
                "daemon/saved_sources.rs",
                "fleet/record.rs",
                "health/overrides.rs",
                "health/report.rs",
                "live/events.rs",
                "mmdb/",
                "querylog/line.rs",
                "webhook/delivery.rs",
            ],
            "types of lower floors are not serialised, save for verdicts, overrides, events and decisions",
        ),
        (
            "saphyr_parser::",
            &["import/yaml.rs"],
            "one place knows the YAML library",
        ),
        (
            "reqwest::",
            &[
                "cli/remote.rs",
                "cli/drain.rs",
                "fetch/client.rs",
                "webhook/delivery.rs",
            ],
            "probes open their own connections",
        ),
    ];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let path = source.path.to_string_lossy();
        for (word, allowed, why) in rules {
            if allowed.iter().any(|prefix| path.starts_with(prefix)) {
                continue;
            }
            for (n, line) in source.lines().filter(|(_, line)| line.contains(word)) {
                faults.push(format!("{path}:{n}: {} ({why})", line.trim()));
            }
        }
    }
    report("libraries stay in their files", &faults);
}

#[test]
fn files_have_headers_and_a_size() {
    let mut faults = Vec::new();
    for source in sources() {
        let path = source.path.display();
        if source.header.is_empty() {
            faults.push(format!("{path}: no `//!` header"));
        }
        let n = source.code.lines().count();
        if n > MAX_LINES && !source.is_test() && !source.header.contains("one thing") {
            faults.push(format!(
                "{path}: {n} lines, and no word why it is one thing"
            ));
        }
    }
    report("files have headers and a size", &faults);
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        concat!("TO", "DO"),
        concat!("XX", "X"),
        concat!("#[ig", "nore"),
        "todo!(",
    ];
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        files(&Path::new(ROOT).join(folder), "rs", &mut paths);
    }
    let mut faults = Vec::new();
    for path in paths.iter().filter(|path| !path.ends_with("tests/tidy.rs")) {
        let text = fs::read_to_string(path).expect("UTF-8");
        for (n, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{}:{}: {word}", path.display(), n + 1));
            }
        }
    }
    report("nothing is left for later", &faults);
}

/// The parts of a text that commas separate, up to the bracket that closes it.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut is_quoted) = (Vec::new(), 0, 0_u32, false);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if is_quoted => drop(chars.next()),
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => {
                parts.push(&text[start..at]);
                break;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    let parts = parts.into_iter().map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

/// The rows of docs/events.md against each `event!(level, Kind, [field, …], [field = …, …], …)`.
#[test]
fn every_event_is_documented_with_its_fields() {
    let read = |name| fs::read_to_string(Path::new(ROOT).join(name)).expect("UTF-8");
    let words = read("src/base/event_kind.rs");
    let word_of = |kind: &str| {
        let mut lines = words.lines();
        let word = lines.find_map(|line| line.trim().strip_prefix(kind)?.strip_prefix(" = \""));
        word.and_then(|word| word.split('"').next())
            .expect("a kind")
            .to_owned()
    };
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for source in sources() {
        if source.is_test() || source.path.ends_with("live/events.rs") {
            continue;
        }
        let calls = source.code.split("event!(").skip(1);
        for call in calls.filter(|call| !call.starts_with('@')) {
            let all = parts(call);
            let severity = match all[0] {
                "warn" => "warning",
                other => other,
            };
            let names = all[2..4].iter().flat_map(|list| parts(&list[1..]));
            let names = names.map(|name| name.split([' ', '=']).next().unwrap_or(name));
            let added = call.split("draft.with(\"").skip(1);
            let added = added.filter_map(|rest| rest.split('"').next());
            let names = names.chain(added).map(str::to_owned);
            let entry = found.entry(word_of(all[1])).or_default();
            entry.0 = severity.to_owned();
            entry.1.extend(names);
        }
    }
    let docs = read("docs/events.md");
    let (_, table) = docs.split_once("## Kinds").expect("a table");
    let documented: BTreeMap<_, _> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let kind = cells.next()?.trim().trim_end_matches('`').to_owned();
            let severity = cells.next()?.trim().to_owned();
            let fields = cells.next()?.split('`').skip(1).step_by(2);
            Some((
                kind,
                (severity, fields.map(str::to_owned).collect::<BTreeSet<_>>()),
            ))
        })
        .collect();
    assert_eq!(documented, found);
    let kinds = words.lines().filter(|line| line.contains(" = \""));
    assert_eq!(kinds.count(), found.len(), "a kind that never happens");
}

/// The table "Retired words" of docs/glossary.md: the old word of each row and the new one.
fn retired_words(glossary: &str) -> Vec<(&str, &str)> {
    let (_, table) = glossary.split_once("## Retired words").expect("a table");
    let words = table.lines().filter_map(|line| {
        let mut words = line.strip_prefix("| `")?.split('`');
        Some((words.next()?, words.nth(1)?))
    });
    words.collect()
}

#[test]
fn retired_words_stay_retired() {
    let path = Path::new(ROOT).join("docs/glossary.md");
    let glossary = fs::read_to_string(path).expect("UTF-8");
    let words = retired_words(&glossary);
    assert!(
        !words.is_empty(),
        "the glossary has a table of retired words"
    );
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    files(&Path::new(ROOT).join("src"), "rs", &mut paths);
    let mut faults = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("UTF-8");
        for (n, line) in text.lines().enumerate() {
            for (old, new) in &words {
                let is_whole = |(at, _): (usize, &str)| {
                    !line[..at].ends_with(is_part) && !line[at + old.len()..].starts_with(is_part)
                };
                if line.match_indices(old).any(is_whole) {
                    let path = path.display();
                    faults.push(format!("{path}:{}: `{old}` is `{new}` now", n + 1));
                }
            }
        }
    }
    report("retired words stay retired", &faults);
}

#[test]
fn documents_link_to_what_is_there() {
    let mut paths: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .map(|name| Path::new(ROOT).join(name))
        .into();
    for folder in ["docs", "geoip", "zones"] {
        files(&Path::new(ROOT).join(folder), "md", &mut paths);
    }
    let mut faults = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("UTF-8");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or("");
            let is_local = !target.is_empty() && !target.contains("://");
            if is_local && !path.parent().expect("a folder").join(target).exists() {
                faults.push(format!("{}: {link}", path.display()));
            }
        }
    }
    report("documents link to what is there", &faults);
}

/// GitHub's anchor of a heading of one word is the word in lower case.
#[test]
fn every_alert_has_a_runbook() {
    let read = |name| fs::read_to_string(Path::new(ROOT).join(name)).expect("UTF-8");
    let (rules, tests) = (
        read("deploy/alerts/meridian.yml"),
        read("deploy/alerts/tests.yml"),
    );
    let runbooks = read("docs/operations.md");
    let mut faults = Vec::new();
    for alert in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        let link = format!("docs/operations.md#{}", alert.to_lowercase());
        let wanted = [
            (&rules, format!("runbook_url: \"{link}\"")),
            (&runbooks, format!("\n### {alert}\n")),
            (&tests, format!("alertname: {alert}\n")),
        ];
        for (_, text) in wanted.iter().filter(|(file, text)| !file.contains(text)) {
            faults.push(format!("{alert}: {}", text.trim()));
        }
    }
    report("every alert has a runbook and a test", &faults);
}

#[test]
fn the_map_names_files_that_are_there() {
    let text = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).expect("UTF-8");
    let mut faults = Vec::new();
    for word in text.split('`').skip(1).step_by(2) {
        let name = word.split("::").next().unwrap_or("");
        if !name.ends_with(".rs") || name.contains(['{', '*']) {
            continue;
        }
        let root = Path::new(ROOT);
        if !root.join("src").join(name).exists() && !root.join(name).exists() {
            faults.push(word.to_owned());
        }
    }
    report("ARCHITECTURE.md names files that are there", &faults);
}
