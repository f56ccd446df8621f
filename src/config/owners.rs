//! The owner names of `pools.toml`, of which no two may be the same.

use std::collections::HashMap;

use crate::base::name;
use crate::config::names::Name;

/// The owner names so far, each with its line.
#[derive(Default)]
pub(super) struct Owners(HashMap<name::Name, u32>);

impl Owners {
    /// Reads another one.
    pub(super) fn read(&mut self, written: &Name<'_>) -> Option<name::Name> {
        let owner = owner(written)?;
        let line = written.place().line;
        if let Some(first) = self.0.insert(owner.clone(), line) {
            written.fault(&format!(
                "stands on line {first} already, expected each name once, whatever its case"
            ));
        }
        Some(owner)
    }
}

/// Reads an owner name; a wildcard stands only in front.
fn owner(written: &Name<'_>) -> Option<name::Name> {
    let expected = "expected an owner name such as \"app.example.com\"";
    if !written.text.is_ascii() {
        written.fault(&format!("is not ASCII, {expected} (or its \"xn--\" form)"));
        return None;
    }
    let owner = match name::Name::parse(written.text) {
        Ok(owner) => owner,
        Err(error) => {
            written.fault(&format!("is no domain name ({error}), {expected}"));
            return None;
        }
    };
    if owner.labels().skip(1).any(|label| label == b"*") {
        written.fault("has a wildcard inside, expected \"*\" only as the first label");
        return None;
    }
    Some(owner)
}
