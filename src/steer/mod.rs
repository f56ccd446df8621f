//! which pool answers.
