//! asking endpoints.
