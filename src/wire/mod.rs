//! DNS bytes in and out.
