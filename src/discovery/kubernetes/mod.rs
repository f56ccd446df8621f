//! Kubernetes: one watch for each object that pools take their addresses from.
//!
//! The only folder that knows `kube`. It reads what an object's status has and hands that on as it stands:
//! what is taken of it is decided elsewhere, by the rules that hold for all sources.

mod connector;
mod fault;
mod status;
mod watch;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::kubernetes::Cluster;
use crate::config::kubernetes::Object;
use crate::discovery::found::Found;
use crate::discovery::kubernetes::connector::Connector;
use crate::discovery::kubernetes::watch::follow;
use crate::discovery::task::Task;

/// Watches objects for as long as it lives.
pub(super) struct Watches {
    found: mpsc::Sender<Found>,
    connectors: HashMap<Box<str>, Arc<Connector>>,
    tasks: HashMap<Arc<Object>, Task>,
}

impl Watches {
    /// None yet; what is found goes to `found`.
    pub(super) fn new(found: mpsc::Sender<Found>) -> Self {
        Self {
            found,
            connectors: HashMap::new(),
            tasks: HashMap::new(),
        }
    }

    /// Watches these objects from now on. Watches that stay go on undisturbed, unless the settings of their
    /// cluster are others.
    pub(super) fn replace(&mut self, objects: &BTreeSet<Arc<Object>>, clusters: &[Cluster]) {
        let known = |cluster: &Cluster| clusters.contains(cluster);
        self.connectors
            .retain(|_, connector| known(connector.cluster()));
        let connectors = &mut self.connectors;
        self.tasks.retain(|object, _| {
            objects.contains(object) && connectors.contains_key(&object.cluster)
        });
        for cluster in clusters {
            let name = cluster.name.clone();
            let make = || Arc::new(Connector::new(cluster.clone()));
            connectors.entry(name).or_insert_with(make);
        }
        for object in objects {
            if let Some(connector) = connectors.get(&object.cluster)
                && !self.tasks.contains_key(object)
            {
                let (object, connector) = (Arc::clone(object), Arc::clone(connector));
                let task = follow(Arc::clone(&object), connector, self.found.clone());
                self.tasks.insert(object, Task(tokio::spawn(task)));
            }
        }
    }
}
