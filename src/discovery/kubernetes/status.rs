//! What the status of an object has of addresses.

use serde_json::Value;

use crate::config::kubernetes::Kind;

/// The addresses and host names in the status of an object, as written.
pub(super) fn entries(kind: Kind, object: &Value) -> Vec<Box<str>> {
    let status = &object["status"];
    match kind {
        Kind::Gateway => read(&status["addresses"], of_gateway),
        Kind::Ingress | Kind::Service => read(&status["loadBalancer"]["ingress"], of_load_balancer),
    }
}

fn read(list: &Value, entry: impl Fn(&Value) -> Option<Box<str>>) -> Vec<Box<str>> {
    let entries = list.as_array().into_iter().flatten();
    entries.filter_map(entry).collect()
}

/// The address of a load balancer; its host name only if it has no address of its own.
fn of_load_balancer(entry: &Value) -> Option<Box<str>> {
    let text = |key: &str| entry[key].as_str().filter(|text| !text.is_empty());
    text("ip").or_else(|| text("hostname")).map(Into::into)
}

/// A `GatewayStatusAddress`. Types of an implementation's own say what only it understands: these are refused
/// with their type, as they are neither addresses nor host names.
fn of_gateway(entry: &Value) -> Option<Box<str>> {
    let value = entry["value"].as_str()?;
    match entry["type"].as_str() {
        None | Some("IPAddress" | "Hostname") => Some(value.into()),
        Some(other) => Some(format!("{other}:{value}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_where_each_kind_has_them() {
        for (kind, object, expected) in [
            (Kind::Service, r#"{}"#, ""),
            (Kind::Service, r#"{"status":{"loadBalancer":{}}}"#, ""),
            (
                Kind::Service,
                r#"{"status":{"loadBalancer":{"ingress":"192.0.2.1"}}}"#,
                "",
            ),
            (
                Kind::Service,
                r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"},
                    {"hostname":"lb.example.net"},{"ip":"","hostname":"b.example.net"},{"ports":[]},7]}}}"#,
                "192.0.2.1 lb.example.net b.example.net",
            ),
            (
                Kind::Ingress,
                r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","hostname":"lb.example.net"}]},
                    "addresses":[{"value":"192.0.2.9"}]}}"#,
                "192.0.2.1",
            ),
            (
                Kind::Gateway,
                r#"{"status":{"addresses":[{"value":"192.0.2.1"},{"type":"IPAddress","value":"2001:db8::1"},
                    {"type":"Hostname","value":"lb.example.net"},{"type":"example.com/lb","value":"a"},{}]}}"#,
                "192.0.2.1 2001:db8::1 lb.example.net example.com/lb:a",
            ),
        ] {
            let object = serde_json::from_str(object).expect("JSON");
            assert_eq!(entries(kind, &object).join(" "), expected, "{object}");
        }
    }
}
