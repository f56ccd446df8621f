//! The prober of a process: its certificates, and how much it may do at once.

use tokio::sync::mpsc;
use tracing::warn;

use crate::daemon::file_limit;
use crate::health::observation::Observation;
use crate::health::observation::WitnessObservation;
use crate::live::Live;
use crate::probe::schedule::Prober;
use crate::probe::tls::Tls;

/// A prober without pairs that reports to these.
pub fn prober(
    live: &Live,
    observed: mpsc::Sender<Observation>,
    witnessed: mpsc::Sender<WitnessObservation>,
) -> Prober {
    let (tls, faults) = Tls::system();
    for fault in faults {
        warn!(
            fault,
            "certificate store is faulty: HTTPS probes may be unable to verify"
        );
    }
    let late = live.meters.probes_late.clone();
    Prober::new(
        tls,
        file_limit::max_probes_in_flight(),
        observed,
        witnessed,
        late,
    )
}
