//! `replay`: a decision log against another configuration.

use std::process::Output;

use hickory_proto::rr::RecordType;
use serde_json::Value;
use serde_json::json;

use crate::harness::BRAZIL;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::still_world;

fn replay(folder: &Folder, more: &[&str]) -> (Option<i32>, Value, String) {
    let output = folder.meridian(&[&["replay", "decisions", "--json"], more].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let result = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), result, stderr)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_log_is_answered_alike_until_something_changes() {
    let folder = Folder::usual(&still_world(81), "");
    let file = "[decisions]\nfile = \"decisions\"\nsample = 1\n";
    let process = std::fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    folder.write("meridian.toml", format!("{process}{file}"));
    let server = folder.serve();
    for subnet in [FRANCE, JAPAN, BRAZIL] {
        server.ask("app.example.com.", RecordType::A, Some(subnet));
    }
    server.ask("www.example.com.", RecordType::A, None);
    server.ask("app.example.com.", RecordType::AAAA, Some(JAPAN));
    server.signal("-TERM");
    let (code, folder, _) = server.ended();
    assert_eq!(code, Some(0));

    let (code, result, stderr) = replay(&folder, &[]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_eq!(
        (&result["decisions"], &result["differ"]),
        (&json!(5), &json!(0))
    );

    let (code, result, _) = replay(&folder, &["--down", "eu"]);
    assert_eq!(code, Some(1));
    assert_eq!(result["differ"], 1);
    assert_eq!(
        result["moves"],
        json!([{"name": "app.example.com", "from": "eu", "to": "us", "decisions": 1}])
    );
    assert_eq!(
        result["countries"],
        json!([{"country": "FR", "decisions": 1}])
    );
    let example = &result["examples"][0];
    assert_eq!(
        (&example["line"], &example["client"], &example["type"]),
        (&json!(1), &json!("90.63.0.0/24"), &json!("A"))
    );

    // A name that is no longer steered, and a line that is none, at its place.
    let log = std::fs::read_to_string(folder.path("decisions")).expect("a log");
    folder.write("decisions", format!("{log}{{\"name\": 7}}\nnothing\n"));
    folder.write(
        "pools.toml",
        still_world(81).replace("\"app.example.com\"", "\"b.example.com\""),
    );
    let (code, result, stderr) = replay(&folder, &[]);
    assert_eq!((code, &result["faults"]), (Some(1), &json!(2)));
    assert_eq!(result["differ"], 5, "{result}");
    assert_eq!(result["examples"][0]["rcode_now"], "NXDOMAIN");
    assert!(stderr.contains("decisions:6: is no decision"), "{stderr}");
    assert!(stderr.contains("decisions:7: is no decision"), "{stderr}");
    let output = folder.meridian(&["replay", "decisions"]);
    for part in [
        "5 decisions, 5 would differ (100.00 %)",
        "2 lines could not be read",
        "no pool, NXDOMAIN",
    ] {
        assert!(
            text(&output).contains(part),
            "`{part}` in:\n{}",
            text(&output)
        );
    }
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let folder = Folder::usual(&still_world(82), "");
    folder.write("decisions", "nothing\n");
    for (arguments, code, error) in [
        (
            &["replay", "decisions"][..],
            1,
            "decisions has no decision in it",
        ),
        (&["replay", "nowhere"], 1, "cannot read nowhere"),
        (
            &["replay", "decisions", "--down", "eux"],
            2,
            "did you mean `eu`?",
        ),
        (
            &["-c", "nowhere.toml", "replay", "decisions"],
            78,
            "nowhere.toml",
        ),
    ] {
        let output = folder.meridian(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(error), "{arguments:?}: {stderr}");
    }
    folder.write("decisions", "");
    assert_eq!(
        folder.meridian(&["replay", "decisions"]).status.code(),
        Some(0)
    );
}
