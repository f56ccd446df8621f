//! Where Meridian differs from every peer on purpose; `docs/conformance.md` tells it to operators.
//!
//! ANY is not listed: `compare` holds it to RFC 8482, which lets an answer be a part of the answer.

use crate::peers::say;

/// One row: a zone or message, and why.
type Row = (&'static str, &'static str);

/// Messages that get another RCODE.
pub const MESSAGES: [Row; 2] = [("opcode 4", NOTIFY), ("EDNS version 1 for NOTIFY", NOTIFY)];

const NOTIFY: &str =
    "RFC 1996 s3.1 is for secondaries, and we are none: NOTIMP, as RFC 1035 s4.1.1 asks";

/// Whether a difference is a known one; `of` is the part of its text before the first colon.
pub fn is_known(rows: &[Row], difference: &str) -> bool {
    rows.iter().any(|(of, _)| {
        let rest = difference.strip_prefix(of);
        rest.is_some_and(|rest| rest.starts_with(':'))
    })
}

/// Says which rows no longer differ, as they may with other versions of the peers.
pub fn say_unneeded(rows: &[Row], differences: &[String]) {
    for (of, why) in rows {
        if !differences
            .iter()
            .any(|difference| is_known(&[(of, why)], difference))
        {
            say(&format!("conformance: `{of}` no longer differs ({why})"));
        }
    }
}
