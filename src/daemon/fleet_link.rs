//! The process's connection to its fleet: what `fleet::nats` needs of the process.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::daemon::files;
use crate::fleet::link::Incoming;
use crate::fleet::link::Outbox;
use crate::fleet::nats;
use crate::fleet::nats::Drops;
use crate::fleet::nats::Role;
use crate::live::Live;

/// Messages of the fleet that may wait for the control loop: a report of each of a hundred nodes, and changes.
const INCOMING: usize = 1024;

/// Connects to the fleet, and keeps that up for as long as the receiver is there. A single machine's is closed.
/// Runs inside a tokio runtime.
pub fn start(live: &Live, role: Role) -> (mpsc::Receiver<Incoming>, Outbox) {
    let (sender, incoming) = mpsc::channel(INCOMING);
    let config = Arc::clone(&live.snapshots.current().plan.config);
    let Some(cluster) = &config.process.cluster else {
        return (incoming, Outbox::default());
    };
    let dropped = |reason| live.meters.fleet_link_dropped.with_label_values(&[reason]);
    let outbox = Outbox::counting(dropped("unsent"));
    let drops = Drops {
        lagged: dropped("lagged"),
        oversized: dropped("oversized"),
    };
    let read = |path: &Path| {
        let reading = files::read_whole(path, files::MAX_SETTINGS_LEN);
        reading.content.map_err(|error| error.fault("file"))
    };
    nats::start(cluster.clone(), read, outbox.clone(), sender, drops, role);
    (incoming, outbox)
}
