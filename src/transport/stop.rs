//! How tasks learn that the listeners stop.

use tokio::sync::watch;

/// Waits until the listeners are to stop, or have been dropped.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}
