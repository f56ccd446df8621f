//! Text, labels and times as the status page writes them.

use std::fmt;
use std::fmt::Display;
use std::fmt::Write as _;

use crate::admin::time::Span;
use crate::admin::time::Utc;

/// Text that cannot be taken for markup, in content and in quoted attributes.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A label in the colour of a class.
pub(super) struct Badge<'a>(pub(super) &'a str, pub(super) &'a str);

impl Display for Badge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, label) = (Text(self.0), Text(self.1));
        write!(f, "<span class=\"badge {class}\">{label}</span>")
    }
}

/// A time in Unix seconds as seen from another.
pub(super) struct Ago(pub(super) u64, pub(super) u64);

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at, now) = *self;
        let (time, span) = (Utc(at), Span(now.saturating_sub(at)));
        write!(
            f,
            "<time datetime=\"{time}\" title=\"{time}\">{span} ago</time>"
        )
    }
}
