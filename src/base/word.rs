//! Enums whose values are each written as one fixed word: reading one back.

/// A word that none of the values is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord;

/// The value of `all` that is written as `word`, in the same case.
///
/// # Errors
/// If there is none.
pub fn parse<T: Copy>(
    all: impl IntoIterator<Item = T>,
    as_str: fn(T) -> &'static str,
    word: &str,
) -> Result<T, UnknownWord> {
    let found = all.into_iter().find(|value| as_str(*value) == word);
    found.ok_or(UnknownWord)
}
