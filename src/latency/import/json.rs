//! JSON of browsers' beacons (`deploy/rum`), RIPE Atlas and Globalping, and of programs of your own.
//!
//! | an object with | is | read as |
//! | --- | --- | --- |
//! | `prb_id` | a ping result of RIPE Atlas | each packet's `rtt` from the probe's address `from` to `dst_addr` |
//! | `results` | a ping measurement of Globalping | each packet of each probe, from its AS and its country or US state |
//! | `beacon` | a beacon, as a web server logs it | its `rtt`, from `client` |
//! | `rtt` | a beacon | times to each pool: `{"us-west": [12.1, 11.9]}`, from `client` |
//! | `rtt_ms` | one time | from `client` (an address) or `key`, to `pool`; perhaps `samples`, `measured` |

use std::net::IpAddr;

use serde_json::Map;
use serde_json::Value;

use crate::base::location::Country;
use crate::base::location::Subdivision;
use crate::latency::import::From;
use crate::latency::import::Sample;
use crate::latency::import::To;
use crate::latency::import::target;
use crate::latency::key::Key;
use crate::latency::read;
use crate::latency::time;

/// The most samples that one object gives: beacons are strangers' text.
const MAX_SAMPLES: usize = 1_000;

/// Reads the text of an object, or of a list of them.
///
/// # Errors
/// What is wrong with the first that is at fault; those before it are read.
pub fn text(text: &str, take: &mut dyn FnMut(Sample)) -> Result<(), String> {
    let parsed = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    value(&parsed, take)
}

fn value(value: &Value, take: &mut dyn FnMut(Sample)) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| self::value(item, take)),
        Value::Object(object) => self::object(object, take),
        _ => Err("is no object".to_owned()),
    }
}

fn object(object: &Map<String, Value>, take: &mut dyn FnMut(Sample)) -> Result<(), String> {
    if object.contains_key("prb_id") {
        return atlas(object, take);
    }
    if let Some(Value::Array(results)) = object.get("results") {
        return globalping(object, results, take);
    }
    if let Some(beacon) = object.get("beacon") {
        return match beacon {
            Value::Object(inner) => self::beacon(object, inner, take),
            Value::String(text) => match serde_json::from_str(text) {
                Ok(Value::Object(inner)) => self::beacon(object, &inner, take),
                _ => Err("its beacon is no JSON object".to_owned()),
            },
            _ => Err("its beacon is no JSON object".to_owned()),
        };
    }
    match object.contains_key("rtt") {
        true => beacon(object, object, take),
        false => one(object, take),
    }
}

/// Times to several pools from one client: `outer` says whose, `inner` which.
fn beacon(
    outer: &Map<String, Value>,
    inner: &Map<String, Value>,
    take: &mut dyn FnMut(Sample),
) -> Result<(), String> {
    let from = From::Address(address(outer, "client")?);
    let Some(Value::Object(pools)) = inner.get("rtt") else {
        return Err("has no `rtt`, expected an object of pools with times".to_owned());
    };
    let measured = measured(outer)?;
    let mut n_left = MAX_SAMPLES;
    for (pool, times) in pools {
        let times = match times {
            Value::Array(times) => times.as_slice(),
            other => std::slice::from_ref(other),
        };
        for time in times.iter().take(n_left) {
            take(Sample {
                from: from.clone(),
                to: To::Pool((&**pool).into()),
                rtt_ms: rtt_ms(time)?,
                n: 1,
                measured,
            });
        }
        n_left = n_left.saturating_sub(times.len());
    }
    Ok(())
}

/// One time.
fn one(object: &Map<String, Value>, take: &mut dyn FnMut(Sample)) -> Result<(), String> {
    let from = match object.get("key") {
        Some(Value::String(text)) => match text.parse() {
            Ok(key) => From::Keys(vec![key]),
            Err(()) => return Err("its `key` is no key".to_owned()),
        },
        _ => From::Address(address(object, "client")?),
    };
    let to = object.get("pool").and_then(Value::as_str);
    let samples = match object.get("samples") {
        None | Some(Value::Null) => 1,
        Some(samples) => {
            let count = samples.as_u64().and_then(|n| u32::try_from(n).ok());
            let count = count.filter(|n| *n > 0);
            count.ok_or("its `samples` is no count of 1 or more")?
        }
    };
    take(Sample {
        from,
        to: to.map_or(To::Unsaid, target),
        rtt_ms: rtt_ms(object.get("rtt_ms").unwrap_or(&Value::Null))?,
        n: samples,
        measured: measured(object)?,
    });
    Ok(())
}

/// A ping result of RIPE Atlas.
fn atlas(result: &Map<String, Value>, take: &mut dyn FnMut(Sample)) -> Result<(), String> {
    let from = From::Address(address(result, "from")?);
    let to = result.get("dst_addr").or_else(|| result.get("dst_name"));
    let to = to.and_then(Value::as_str).map_or(To::Unsaid, target);
    let measured = result.get("timestamp").and_then(Value::as_u64);
    let Some(Value::Array(packets)) = result.get("result") else {
        return Err("has no `result`, expected a ping of RIPE Atlas".to_owned());
    };
    // A packet that was lost has no time.
    for rtt in packets
        .iter()
        .filter_map(|packet| packet.get("rtt"))
        .take(MAX_SAMPLES)
    {
        take(Sample {
            from: from.clone(),
            to: to.clone(),
            rtt_ms: rtt_ms(rtt)?,
            n: 1,
            measured,
        });
    }
    Ok(())
}

/// A ping measurement of Globalping.
fn globalping(
    measurement: &Map<String, Value>,
    results: &[Value],
    take: &mut dyn FnMut(Sample),
) -> Result<(), String> {
    let at = measurement.get("createdAt").and_then(Value::as_str);
    let measured = at.and_then(time::time);
    let named = measurement.get("target").and_then(Value::as_str);
    for result in results {
        let (Some(probe), Some(result)) = (result.get("probe"), result.get("result")) else {
            return Err(
                "a result has no `probe` and `result`, expected a ping of Globalping".to_owned(),
            );
        };
        let resolved = result.get("resolvedAddress").and_then(Value::as_str);
        let to = resolved.or(named).map_or(To::Unsaid, target);
        let keys = probe_keys(probe);
        let timings = result.get("timings").and_then(Value::as_array);
        let rtts = timings
            .into_iter()
            .flatten()
            .filter_map(|packet| packet.get("rtt"));
        for rtt in rtts.take(MAX_SAMPLES) {
            take(Sample {
                from: From::Keys(keys.clone()),
                to: to.clone(),
                rtt_ms: rtt_ms(rtt)?,
                n: 1,
                measured,
            });
        }
    }
    Ok(())
}

/// The AS, country and state of a probe.
fn probe_keys(probe: &Value) -> Vec<Key> {
    let asn = probe.get("asn").and_then(Value::as_u64);
    let asn = asn
        .and_then(|asn| u32::try_from(asn).ok())
        .filter(|asn| *asn != 0);
    let text = |name: &str| probe.get(name).and_then(Value::as_str);
    let country: Option<Country> = text("country").and_then(|code| code.parse().ok());
    let state = country.zip(text("state"));
    let state = state.and_then(|(country, code)| Subdivision::new(country, code));
    asn.map(Key::Asn)
        .into_iter()
        .chain(state.map(Key::Subdivision))
        .chain(country.map(Key::Country))
        .collect()
}

fn address(object: &Map<String, Value>, name: &str) -> Result<IpAddr, String> {
    let text = object.get(name).and_then(Value::as_str);
    let address = text.and_then(|text| text.parse::<IpAddr>().ok());
    let fault = || format!("its `{name}` is no address");
    address
        .map(|address| address.to_canonical())
        .ok_or_else(fault)
}

fn rtt_ms(value: &Value) -> Result<f32, String> {
    let ms = value
        .as_f64()
        .map(|ms| ms as f32)
        .filter(|ms| read::is_rtt_ms(*ms));
    ms.ok_or_else(|| "a time is not above 0 and up to 60000 milliseconds".to_owned())
}

/// `time` or `measured`: seconds since 1970, as number or text, or a time in UTC.
fn measured(object: &Map<String, Value>) -> Result<Option<u64>, String> {
    let Some(value) = object.get("time").or_else(|| object.get("measured")) else {
        return Ok(None);
    };
    let seconds = match value {
        Value::Null => return Ok(None),
        Value::String(text) => {
            let whole = text.split_once('.').map(|(whole, _)| whole.parse().ok());
            time::time(text).or(whole.flatten())
        }
        value => value
            .as_f64()
            .filter(|seconds| *seconds >= 0.0)
            .map(|seconds| seconds as u64),
    };
    seconds
        .map(Some)
        .ok_or_else(|| "its time is none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each sample as `FROM TO MS xN @TIME`.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let mut samples = Vec::new();
        super::text(text, &mut |sample| {
            let from = match &sample.from {
                From::Address(address) => address.to_string(),
                From::Keys(keys) => keys
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("+"),
            };
            let to = match &sample.to {
                To::Pool(pool) => pool.to_string(),
                To::Address(address) => address.to_string(),
                To::Unsaid => "?".to_owned(),
            };
            let at = sample
                .measured
                .map_or(String::new(), |at| format!(" @{at}"));
            samples.push(format!("{from} {to} {} x{}{at}", sample.rtt_ms, sample.n));
        })?;
        Ok(samples)
    }

    #[test]
    fn each_kind_of_object_is_told_by_its_fields() {
        for (text, expected) in [
            (
                r#"{"client":"192.0.2.1","time":"1700000000.5","beacon":"{\"rtt\":{\"us\":[12,11.5],\"eu\":80}}"}"#,
                &[
                    "192.0.2.1 eu 80 x1 @1700000000",
                    "192.0.2.1 us 12 x1 @1700000000",
                    "192.0.2.1 us 11.5 x1 @1700000000",
                ][..],
            ),
            (
                r#"{"client":"2001:db8::1","rtt":{"us":[1]}}"#,
                &["2001:db8::1 us 1 x1"],
            ),
            (
                r#"{"key":"AS64500","pool":"us","rtt_ms":7,"samples":20,"measured":"1970-01-02"}"#,
                &["AS64500 us 7 x20 @86400"],
            ),
            (
                r#"{"client":"192.0.2.1","rtt_ms":7,"time":9}"#,
                &["192.0.2.1 ? 7 x1 @9"],
            ),
            (
                r#"[{"fw":5080,"type":"ping","prb_id":1,"from":"193.0.0.1","dst_addr":"198.51.100.7","timestamp":1700000000,
                    "min":3.1,"result":[{"rtt":3.1},{"x":"*"},{"rtt":3.2}]}]"#,
                &[
                    "193.0.0.1 198.51.100.7 3.1 x1 @1700000000",
                    "193.0.0.1 198.51.100.7 3.2 x1 @1700000000",
                ],
            ),
            (
                r#"{"id":"x","type":"ping","createdAt":"2023-11-14T22:13:20.000Z","target":"198.51.100.7","results":[
                    {"probe":{"country":"US","state":"CA","asn":64500,"city":"x"},
                     "result":{"status":"finished","timings":[{"ttl":5,"rtt":9.5}],"stats":{"min":9.5}}},
                    {"probe":{"country":"DE","state":null,"asn":64501},"result":{"status":"failed"}}]}"#,
                &["AS64500+US-CA+US 198.51.100.7 9.5 x1 @1700000000"],
            ),
        ] {
            let samples = read(text);
            assert_eq!(
                samples.as_deref(),
                Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn faults_say_what_is_wrong() {
        for (text, expected) in [
            ("", "is no JSON"),
            ("7", "is no object"),
            ("{}", "its `client` is no address"),
            (r#"{"client":"192.0.2.1"}"#, "a time is not above 0"),
            (
                r#"{"client":"192.0.2.1","rtt":[1]}"#,
                "expected an object of pools",
            ),
            (
                r#"{"client":"192.0.2.1","rtt":{"us":[-1]}}"#,
                "a time is not above 0",
            ),
            (
                r#"{"client":"192.0.2.1","beacon":"junk"}"#,
                "its beacon is no JSON object",
            ),
            (
                r#"{"client":"192.0.2.1","rtt_ms":1,"samples":0}"#,
                "its `samples` is no count",
            ),
            (
                r#"{"client":"192.0.2.1","rtt_ms":1,"time":"noon"}"#,
                "its time is none",
            ),
            (r#"{"key":"nobody","rtt_ms":1}"#, "its `key` is no key"),
            (
                r#"{"prb_id":1,"from":"193.0.0.1"}"#,
                "expected a ping of RIPE Atlas",
            ),
            (r#"{"results":[{}]}"#, "expected a ping of Globalping"),
        ] {
            let fault = read(text).expect_err(text);
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn a_beacon_gives_no_more_than_it_may() {
        let times = vec!["1"; 2_000].join(",");
        let text = format!(r#"{{"client":"192.0.2.1","rtt":{{"a":[{times}],"b":[{times}]}}}}"#);
        assert_eq!(read(&text).map(|samples| samples.len()), Ok(MAX_SAMPLES));
    }
}
