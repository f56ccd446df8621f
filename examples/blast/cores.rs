//! Which processor cores threads stay on, one after the other.

use std::str::FromStr;

/// A list like `2,3`.
#[derive(Clone, Debug)]
pub struct Cores(pub Vec<usize>);

impl FromStr for Cores {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
