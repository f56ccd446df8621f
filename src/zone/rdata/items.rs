//! Items of variable length, as APL, SVCB and type bitmaps are made of.

/// Whether the octets are items one after the other, with nothing left.
pub(super) fn are_items(mut rest: &[u8], mut len: impl FnMut(&[u8]) -> Option<usize>) -> bool {
    while !rest.is_empty() {
        let Some((_, tail)) = len(rest).and_then(|len| rest.split_at_checked(len)) else {
            return false;
        };
        rest = tail;
    }
    true
}
