//! Lines of logs with `NAME=VALUE` fields, as nginx and HAProxy can be told to write them.
//!
//! `time=` is seconds since 1970, `client=` an address, `rtt_us=` or `rtt_ms=` the kernel's smoothed round-trip time of the
//! connection, `server=` the address it was made to or `pool=` the pool's name. Anything else on the line is skipped: what
//! syslog puts in front, other fields.

use std::net::IpAddr;

use crate::latency::import::From;
use crate::latency::import::Sample;
use crate::latency::import::To;
use crate::latency::import::target;
use crate::latency::read;

/// Reads a line; `None` if it is of a connection without a time, as UNIX sockets have none.
///
/// # Errors
/// What is wrong.
pub fn line(text: &str) -> Result<Option<Sample>, String> {
    let (mut from, mut to, mut rtt_ms, mut measured) = (None, To::Unsaid, None, None);
    let fields = text.split([' ', '\t', '"']);
    for (name, value) in fields.filter_map(|field| field.split_once('=')) {
        let fault = |expected: &str| format!("{name} is not {expected}");
        match name {
            "time" => {
                let seconds = value.split('.').next().and_then(|text| text.parse().ok());
                measured = Some(seconds.ok_or_else(|| fault("seconds since 1970"))?);
            }
            "client" if value == "-" || value.starts_with("unix:") => return Ok(None),
            "client" => {
                let address: Result<IpAddr, _> = value.parse();
                from = Some(address.map_err(|_| fault("an address"))?);
            }
            "rtt_us" | "rtt_ms" if matches!(value, "-" | "" | "0") => return Ok(None),
            "rtt_us" | "rtt_ms" => {
                let divisor = if name == "rtt_us" { 1_000.0 } else { 1.0 };
                let ms = value.parse::<f32>().ok().map(|number| number / divisor);
                let ms = ms.filter(|ms| read::is_rtt_ms(*ms));
                rtt_ms = Some(ms.ok_or_else(|| fault("a time of up to a minute"))?);
            }
            "server" | "pool" if matches!(value, "-" | "") => {}
            "server" => to = target(value),
            "pool" => to = To::Pool(value.into()),
            _ => {}
        }
    }
    let from = from.ok_or("has no client=")?;
    let rtt_ms = rtt_ms.ok_or("has no rtt_us= or rtt_ms=")?;
    Ok(Some(Sample {
        from: From::Address(from.to_canonical()),
        to,
        rtt_ms,
        n: 1,
        measured,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        for (text, from, to, rtt_ms, measured) in [
            (
                "meridian time=1700000000.123 client=192.0.2.1 rtt_us=12500 server=198.51.100.7",
                "192.0.2.1",
                To::Address(address("198.51.100.7")),
                12.5,
                Some(1_700_000_000),
            ),
            (
                "<134>Nov 27 12:00:00 lb1 haproxy[7]: rtt_ms=9 client=::ffff:192.0.2.1 pool=eu x=y",
                "192.0.2.1",
                To::Pool("eu".into()),
                9.0,
                None,
            ),
            (
                "client=2001:db8::1 rtt_us=1 server=-",
                "2001:db8::1",
                To::Unsaid,
                0.001,
                None,
            ),
        ] {
            let sample = line(text).expect(text).expect("a sample");
            assert_eq!(
                (sample.from, sample.to),
                (From::Address(address(from)), to),
                "{text}"
            );
            assert_eq!(
                (sample.rtt_ms, sample.measured),
                (rtt_ms, measured),
                "{text}"
            );
        }
    }

    #[test]
    fn other_lines_are_faults_and_those_without_a_time_are_none() {
        for text in [
            "client=unix: rtt_us=-",
            "client=192.0.2.1 rtt_us=-",
            "client=192.0.2.1 rtt_us=0",
            "client=- rtt_us=7",
        ] {
            assert_eq!(line(text), Ok(None), "{text}");
        }
        for (text, expected) in [
            ("", "has no client="),
            ("client=192.0.2.1", "has no rtt_us="),
            ("client=host rtt_us=1", "client is not an address"),
            ("client=192.0.2.1 rtt_us=fast", "rtt_us is not a time"),
            ("client=192.0.2.1 rtt_us=-1", "rtt_us is not a time"),
            ("client=192.0.2.1 rtt_ms=inf", "rtt_ms is not a time"),
            ("client=192.0.2.1 rtt_ms=1 time=now", "time is not seconds"),
        ] {
            let fault = line(text).expect_err(text);
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }
}
