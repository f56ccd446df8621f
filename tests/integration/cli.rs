//! What an operator types, and the exit codes.

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::still_world;
use crate::harness::world;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_reports_every_fault_of_every_file() {
    let folder = Folder::usual(&still_world(70), "");
    let output = folder.meridian(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("ok: 1 zones, 4 pools, 1 steered names"));

    folder.write(
        "pools.toml",
        still_world(70).replace("\"eu\"", "\"ue\"") + "answerss = 2\n",
    );
    folder.write(
        "zones/example.com.zone",
        "@ SOA a b 1 2 3 4 5\n@ NS ns\nx A 1.2.3\n",
    );
    folder.write("zones/example.org.zone", "@ A 192.0.2.1\n");
    let output = folder.meridian(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let faults = text(&output.stderr);
    for wanted in [
        "pools.toml:14:16: an entry of `pools` is \"ue\", expected",
        "pools.toml:15:1: ",
        "did you mean `answers`",
        "zones/example.com.zone:3:5: ",
        "zones/example.org.zone:1:1: ",
    ] {
        assert!(faults.contains(wanted), "{wanted}\n{faults}");
    }
    assert_eq!(folder.meridian(&["serve"]).status.code(), Some(78));
    assert_eq!(
        folder
            .meridian(&["-c", "missing.toml", "check"])
            .status
            .code(),
        Some(1)
    );
    assert_eq!(folder.meridian(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn errors_obey_no_terminal_sequence_of_what_they_quote() {
    let folder = Folder::usual(&still_world(70), "");
    let red = "\u{1b}[31m";
    for arguments in [
        &["explain", red][..],
        &["explain", "app.example.com", "--client", red],
        &["explain", "app.example.com", "--down", red],
        &["geoip", "info", red],
        &["-c", red, "check"],
    ] {
        let output = folder.meridian(arguments);
        let stderr = text(&output.stderr);
        assert!(!stderr.contains('\u{1b}'), "{arguments:?}: {stderr:?}");
    }
}

#[test]
fn check_warns_of_network_rules_that_no_client_subnet_matches() {
    let folder = Folder::usual(&still_world(78), "");
    let rule = |network: &str| {
        format!("[[steer.\"app.example.com\".rule]]\nnetwork = [\"{network}\"]\npools = [\"eu\"]\n")
    };
    for (network, warned_of) in [
        ("10.1.0.0/16", false),
        ("10.1.2.0/24", false),
        ("10.1.2.0/25", true),
        ("fd00::/56", false),
        ("fd00::/57", true),
    ] {
        folder.write("pools.toml", still_world(78) + &rule(network));
        let output = folder.meridian(&["check"]);
        let warnings = text(&output.stderr);
        let wanted = format!("warning: `{network}` is longer than [ecs] max_scope_ipv");
        assert_eq!(
            warnings.contains(&wanted),
            warned_of,
            "{network}: {warnings}"
        );
        assert_eq!(output.status.code(), Some(0), "{warnings}");
    }
}

#[test]
fn check_warns_of_a_quorum_by_region_where_no_vantage_has_a_location() {
    let folder = Folder::usual(&world(79, 1), "");
    let process = std::fs::read_to_string(folder.path("meridian.toml")).expect("the file");
    let here = "[[vantage]]\nname = \"second\"\nsource = \"127.0.0.2\"\n";
    let located = format!("{here}location = [48.9, 2.4]\n");
    for (scope, vantage, warned_of) in [
        ("region", here, true),
        ("region", &located, false),
        ("global", here, false),
    ] {
        let scope = format!("quorum_scope = \"{scope}\"\n[pool");
        folder.write("pools.toml", world(79, 1).replacen("[pool", &scope, 1));
        folder.write("meridian.toml", process.clone() + vantage);
        let output = folder.meridian(&["check"]);
        let warnings = text(&output.stderr);
        let wanted =
            "warning: monitor \"ready\" has `quorum_scope = \"region\"`, which has no effect";
        assert_eq!(warnings.contains(wanted), warned_of, "{scope}: {warnings}");
        assert_eq!(output.status.code(), Some(0), "{warnings}");
    }
}

/// Whatever file a fault is in, those of all others are found in the same run, and nothing is said that
/// only the fault made look wrong.
#[test]
fn faults_in_one_file_hide_none_in_others_and_make_none() {
    let folder = Folder::usual(&still_world(72), "colour = \"blue\"\n");
    let pools =
        still_world(72)
            .replace("endpoints", "endpoint")
            .replacen("endpoint", "endpoints", 3);
    folder.write("pools.toml", pools);
    let zone = "@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n\
                app 60 A 192.0.2.1\nmail 60 MX 5 app\n";
    folder.write("zones/example.com.zone", zone);
    folder.write("zones/example.org.zone", "@ A 192.0.2.1\n");
    let faults = |folder: &Folder| {
        let output = folder.meridian(&["check"]);
        assert_eq!(output.status.code(), Some(1));
        // What is said of the token has nothing to do with the other files.
        let stderr = text(&output.stderr);
        let lines = stderr.lines().filter(|line| !line.starts_with("token:"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let found = faults(&folder);
    for wanted in [
        "meridian.toml:7:1: unknown key `colour`",
        "pools.toml:12:1: unknown key `endpoint` in [pool.br]; did you mean `endpoints`?",
        "zones/example.com.zone:4:1: `app.example.com.` is steered",
        "zones/example.org.zone:1:1: ",
    ] {
        assert!(found.contains(wanted), "{wanted}\n{found}");
    }
    assert!(!found.contains("warning: "), "{found}");

    // Without the folder of zones, nobody knows what names lie outside of them.
    let config = std::fs::read_to_string(folder.path("meridian.toml")).expect("the file");
    folder.write("meridian.toml", config.replacen("zones =", "zone =", 1));
    let found = faults(&folder);
    assert!(found.contains("unknown key `endpoint`"), "{found}");
    assert!(!found.contains("lies in no zone"), "{found}");
    assert!(!found.contains("warning: "), "{found}");

    // A zone at fault is still there for who refers to it.
    let secondary = "[[secondary]]\naddresses = [\"192.0.2.2\"]\nzones = [\"example.org\"]\n";
    let config = config.replace("colour = \"blue\"\n", "") + secondary;
    folder.write("meridian.toml", config);
    let found = faults(&folder);
    assert!(!found.contains("none of the zones"), "{found}");
}

#[test]
fn a_missing_database_is_refused_at_start() {
    let folder = Folder::usual(&still_world(71), "[geoip]\ndatabase = \"gone.mmdb\"");
    let output = folder.meridian(&["serve"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        text(&output.stderr).contains("gone.mmdb"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_busy_port_is_one_line_that_names_it() {
    let server = Folder::usual("", "").serve();
    let folder = Folder::usual("", "");
    let config = std::fs::read_to_string(folder.path("meridian.toml")).expect("the file");
    folder.write(
        "meridian.toml",
        config.replacen("127.0.0.1:0", &server.dns.to_string(), 1),
    );
    let output = folder.meridian(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| !line.contains(" WARN "))
        .collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(lines[0].contains(&server.dns.to_string()), "{stderr}");
}

#[test]
fn explain_says_what_the_wire_says() {
    let folder = Folder::usual(&still_world(72), "");
    let output = folder.meridian(&["explain", "app.example.com", "--client", FRANCE, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["pool"], "eu");
    assert_eq!(json["location"]["country"], "FR");
    let down = [
        "explain",
        "app.example.com",
        "--client",
        FRANCE,
        "--down",
        "eu",
        "--json",
    ];
    let output = folder.meridian(&down);
    let moved: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(moved["pool"], "us");
    assert_eq!(
        folder
            .meridian(&["explain", "nope.example.com"])
            .status
            .code(),
        Some(1)
    );
    assert_eq!(folder.meridian(&["explain", "a..b"]).status.code(), Some(2));

    let server = folder.serve();
    let reply = server.ask(
        "app.example.com.",
        hickory_proto::rr::RecordType::A,
        Some(FRANCE),
    );
    assert_eq!(json["answer"][0], reply.addresses()[0].to_string());
    assert_eq!(json["scope"], reply.scope().expect("a scope"));
}

#[test]
fn geoip_tells_what_a_database_holds() {
    let folder = Folder::new();
    let database = concat!(env!("CARGO_MANIFEST_DIR"), "/geoip/world-country.mmdb");
    let output = folder.meridian(&["geoip", "info", database]);
    assert_eq!(output.status.code(), Some(0));
    let info = text(&output.stdout);
    assert!(
        info.contains("CC BY-SA 4.0") && info.contains("Meridian-Country"),
        "{info}"
    );
    folder.write("broken.mmdb", "nothing");
    let output = folder.meridian(&["geoip", "info", "broken.mmdb"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.matches("could not find").count(), 1, "{error}");
}

#[test]
fn the_configuration_of_the_readme_is_sound() {
    let readme = include_str!("../../README.md");
    let block = |after: &str| {
        let (_, rest) = readme.split_once(after).expect(after);
        let (_, rest) = rest.split_once("```").expect("a block");
        let (_, rest) = rest.split_once('\n').expect("its first line");
        rest.split("```").next().expect("its end").to_owned()
    };
    let folder = Folder::new();
    folder
        .write("meridian.toml", block("`meridian.toml`, the process:"))
        .write(
            "pools.toml",
            block("`pools.toml`, the regions and the name:"),
        )
        .write(
            "zones/app.example.com.zone",
            block("`zones/app.example.com.zone`, a master file"),
        );
    let output = folder.meridian(&["check"]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let output = folder.meridian(&["explain", "app.example.com", "--client", FRANCE]);
    assert!(text(&output.stdout).contains("192.0.2.20"), "{output:?}");
}

#[test]
fn check_prints_json_and_may_deny_warnings() {
    let folder = Folder::usual(&still_world(70), "");
    let json = |arguments: &[&str]| {
        let output = folder.meridian(arguments);
        let checked: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), checked)
    };
    let (code, checked) = json(&["check", "--json"]);
    assert_eq!((code, &checked["ok"]), (Some(0), &true.into()));
    assert_eq!(checked["warnings"], serde_json::json!([]));
    let unused = "[pool.spare]\nlocation = [1, 1]\nendpoints = [\"192.0.2.99\"]\n";
    folder.write(
        "pools.toml",
        still_world(70).replace("[steer.", &format!("{unused}[steer.")),
    );
    let (code, checked) = json(&["check", "--json"]);
    assert_eq!((code, &checked["ok"]), (Some(0), &true.into()));
    assert_eq!(checked["warnings"][0]["file"], "pools.toml");
    assert!(
        checked["warnings"][0]["line"].as_u64() > Some(1),
        "{checked}"
    );
    assert_eq!(json(&["check", "--json", "--deny-warnings"]).0, Some(1));
    assert_eq!(
        folder.meridian(&["check", "--deny-warnings"]).status.code(),
        Some(1)
    );
    folder.write("pools.toml", "[pool.us]\n");
    let (code, checked) = json(&["check", "--json"]);
    assert_eq!((code, &checked["ok"]), (Some(1), &false.into()));
}

#[test]
fn the_environment_names_configuration_server_and_token() {
    let server = Folder::usual(&still_world(71), "").serve();
    let admin = server.admin.to_string();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_meridian"))
            .args(arguments)
            .current_dir(server.folder.path(""))
            .envs(variables.iter().copied())
            .output()
            .expect("it runs");
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let named = [
        ("MERIDIAN_SERVER", &*admin),
        ("MERIDIAN_TOKEN_FILE", "token"),
    ];
    let (code, printed) = run(&["down", "eu", "--reason", "stale"], &named);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("eu counts as down"), "{printed}");
    let (code, printed) = run(&["up", "euu"], &named);
    assert_eq!(code, Some(1));
    assert!(
        printed.contains("pool `euu` is not defined; did you mean `eu`?"),
        "{printed}"
    );
    let (code, printed) = run(&["status"], &[("MERIDIAN_SERVER", "https://localhost")]);
    assert_eq!(code, Some(1));
    assert!(
        printed.contains("MERIDIAN_SERVER: the admin API speaks no TLS"),
        "{printed}"
    );
    let (code, printed) = run(&["check"], &[("MERIDIAN_CONFIG", "other.toml")]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("other.toml"), "{printed}");
}

#[test]
fn completions_and_man_pages_are_made() {
    let folder = Folder::usual(&still_world(72), "");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = folder.meridian(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("rollback"), "{shell}");
    }
    folder.write("man/none", "");
    let output = folder.meridian(&["man", "man"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = std::fs::read_to_string(folder.path("man/meridian-check.1")).expect("a page");
    assert!(page.contains("Exit codes"), "{page}");
    assert_eq!(folder.meridian(&["man", "nowhere"]).status.code(), Some(1));
}
