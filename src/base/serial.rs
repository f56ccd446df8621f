//! Serial number arithmetic (RFC 1982): zone serials compared around the circle.

use std::cmp::Ordering;

/// Compares two serials (RFC 1982 s3.2); `None` if they are half the circle apart, where it is undefined.
pub fn compare(a: u32, b: u32) -> Option<Ordering> {
    match b.wrapping_sub(a) {
        0 => Some(Ordering::Equal),
        0x8000_0000 => None,
        1..0x8000_0000 => Some(Ordering::Less),
        _ => Some(Ordering::Greater),
    }
}

/// Whether `a` is newer than `b`; where that is undefined, it is not.
pub fn is_newer(a: u32, b: u32) -> bool {
    compare(a, b) == Some(Ordering::Greater)
}

/// The serial that follows; 0 is left out, as some secondaries take it for none (RFC 2136 s3.6 has any
/// increment).
pub fn next(serial: u32) -> u32 {
    serial.wrapping_add(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_compared_around_the_circle() {
        for (a, b, expected) in [
            (1, 2, Some(Ordering::Less)),
            (2, 2, Some(Ordering::Equal)),
            (3, 2, Some(Ordering::Greater)),
            (u32::MAX, 0, Some(Ordering::Less)),
            (0, u32::MAX, Some(Ordering::Greater)),
            (0, (1 << 31) - 1, Some(Ordering::Less)),
            (0, 1 << 31, None),
            (1, (1 << 31) + 2, Some(Ordering::Greater)),
        ] {
            assert_eq!(compare(a, b), expected, "{a} {b}");
        }
    }
}
