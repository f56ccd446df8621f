//! LOC: a place on the Earth (RFC 1876 s2 and s3).
//!
//! `d1 [m1 [s1]] {N|S} d2 [m2 [s2]] {E|W} alt[m] [size[m] [hp[m] [vp[m]]]]`. Fractions are kept as
//! integers, thousandths of a second of arc and centimetres, so that nothing is rounded.

use crate::zone::lex::Fault;
use crate::zone::rdata::fields::Fields;
use crate::zone::rdata::fields::bad;
use crate::zone::rdata::fields::decimal;

/// The equator and the prime meridian.
const ORIGIN: u32 = 1 << 31;
/// Altitudes count from 100 km below the WGS 84 spheroid, in centimetres.
const ALTITUDE_BASE: i64 = 10_000_000;
/// 1 m, 10 km and 10 m: size, horizontal and vertical precision where they are left out.
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

pub(super) fn read(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let latitude = angle(fields, "latitude", 90, ["N", "S"])?;
    let longitude = angle(fields, "longitude", 180, ["E", "W"])?;
    let token = fields.word("altitude")?;
    let altitude = centimetres(token.text())
        .and_then(|cm| u32::try_from(cm + ALTITUDE_BASE).ok())
        .ok_or_else(|| bad(token, "altitude", "metres from -100000.00 to 42849672.95"))?;
    let mut precisions = DEFAULTS;
    for precision in &mut precisions {
        if fields.has_more() {
            let token = fields.word("precision")?;
            *precision = centimetres(token.text())
                .and_then(mantissa_and_exponent)
                .ok_or_else(|| bad(token, "precision", "metres from 0 to 90000000"))?;
        }
    }
    fields.finish()?;
    out.push(0);
    out.extend_from_slice(&precisions);
    for part in [latitude, longitude, altitude] {
        out.extend_from_slice(&part.to_be_bytes());
    }
    Ok(())
}

/// Degrees, minutes and seconds up to a letter, as thousandths of a second around [`ORIGIN`].
fn angle(
    fields: &mut Fields<'_>,
    what: &str,
    max_degrees: u32,
    [positive, negative]: [&str; 2],
) -> Result<u32, Fault> {
    let spot = fields.spot();
    let mut total = 0;
    // The largest value of each part and how many thousandths of a second it counts.
    for (max, unit) in [(max_degrees, 3_600_000), (59, 60_000), (59, 1_000), (0, 0)] {
        let token = fields.word(what)?;
        let is_positive = token.text().eq_ignore_ascii_case(positive);
        if unit != 3_600_000 && (is_positive || token.text().eq_ignore_ascii_case(negative)) {
            if total > max_degrees * 3_600_000 {
                let message = format!("{what} beyond {max_degrees} degrees");
                return Err(Fault::new(spot, message));
            }
            return Ok(if is_positive {
                ORIGIN + total
            } else {
                ORIGIN - total
            });
        }
        let part = if unit == 1_000 {
            fixed_point(token.text(), 3).filter(|n| *n < 60_000)
        } else {
            decimal(token.text())
                .filter(|n| *n <= max && unit != 0)
                .map(|n| u64::from(n * unit))
        };
        let expected = format!("degrees, minutes, seconds, then `{positive}` or `{negative}`");
        total += part.ok_or_else(|| bad(token, what, &expected))? as u32;
    }
    Err(Fault::new(spot, format!("bad {what}")))
}

/// A decimal fraction with up to `places` places, as an integer of its last place.
fn fixed_point(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = whole
        .bytes()
        .chain(fraction.bytes())
        .all(|b| b.is_ascii_digit());
    let fits = !whole.is_empty() && whole.len() <= 9 && fraction.len() <= places;
    (all_digits && fits)
        .then(|| format!("{whole}{fraction:0<places$}").parse().ok())
        .flatten()
}

/// Metres with an optional sign and `m`, as centimetres.
fn centimetres(text: &str) -> Option<i64> {
    let text = text.strip_suffix(['m', 'M']).unwrap_or(text);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    fixed_point(digits, 2).map(|cm| sign * cm as i64)
}

/// One digit and a power of ten, in four bits each; what they cannot say is rounded down.
fn mantissa_and_exponent(cm: i64) -> Option<u8> {
    let mut mantissa = u64::try_from(cm).ok()?;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    (exponent <= 9).then_some((mantissa as u8) << 4 | exponent)
}
