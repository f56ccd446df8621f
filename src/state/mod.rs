//! what is served.
