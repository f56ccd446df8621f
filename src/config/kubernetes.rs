//! Kubernetes clusters, and the objects in them whose addresses are endpoints.

use std::fmt;
use std::path::PathBuf;

/// Whether this program can watch clusters.
pub const IS_SUPPORTED: bool = cfg!(feature = "kubernetes");

/// `[kubernetes.NAME]`: a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: Box<str>,
    /// How its API server is reached; `None`: as pods do, by the service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; `None`: its current one.
    pub context: Option<Box<str>>,
}

/// An object whose status has addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// The name of its cluster.
    pub cluster: Box<str>,
    /// What it is.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name there.
    pub name: Box<str>,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `gateway.networking.k8s.io/v1`, `status.addresses`.
    Gateway,
    /// `networking.k8s.io/v1`, `status.loadBalancer.ingress`.
    Ingress,
    /// `v1`, `status.loadBalancer.ingress`.
    Service,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Ingress, Self::Service];

    /// Its name, which is also the key of `source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Ingress => "ingress",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_str();
        write!(
            f,
            "{} {kind} {}/{}",
            self.cluster, self.namespace, self.name
        )
    }
}
