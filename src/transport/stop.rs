//! How listeners stop: they answer what has been received, for a bounded time.

use std::time::Duration;

use tokio::sync::watch;

/// How long a thread answers what is in its queue after the stop. A full one of 4 MiB holds some ten
/// thousand messages, which take a tenth of a second; what comes in later than the stop has no claim.
pub(super) const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Waits until the listeners are to stop, or have been dropped.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}
