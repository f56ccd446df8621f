//! words for people.
