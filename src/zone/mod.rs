//! zones as data.
