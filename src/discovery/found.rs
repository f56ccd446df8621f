//! What discovery finds, as values for the control loop.

use std::sync::Arc;
use std::time::Duration;

use crate::base::per_family::PerFamily;
use crate::config::kubernetes::Object;
use crate::state::object::ObjectReport;
use crate::state::resolved::Lookup;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// What resolving a host name gave.
    Host {
        /// The name, as it was asked for.
        host: Arc<str>,
        /// What was found of each family.
        lookups: PerFamily<Lookup>,
        /// How long that holds; `None`: a family failed.
        ttl: Option<Duration>,
    },
    /// What an API server says of a Kubernetes object.
    Object {
        /// Which one.
        object: Arc<Object>,
        /// What is said of it.
        report: ObjectReport,
    },
}
