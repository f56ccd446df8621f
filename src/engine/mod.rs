//! query in, answer out.
