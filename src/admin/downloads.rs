//! The databases that are fetched, in the status and in the metrics.

use serde::Deserialize;
use serde::Serialize;

use crate::admin::metrics::Page;
use crate::live::Live;
use crate::live::downloads;

/// A GeoIP database that is fetched.
#[derive(Debug, Serialize, Deserialize)]
pub struct Download {
    /// `location` or `asn`.
    pub database: String,
    /// Where it is, without query.
    pub url: String,
    /// When the server was asked last.
    pub checked: Option<u64>,
    /// When it last gave a newer database, or said that there is none.
    pub succeeded: Option<u64>,
    /// When it is asked next.
    pub next: u64,
    /// How often in a row it was asked in vain.
    pub failures: u32,
    /// Why, the last time.
    pub fault: Option<String>,
    /// Why its newest database is not in force.
    pub refused: Option<String>,
}

/// All of them.
pub(super) fn downloads(live: &Live) -> Vec<Download> {
    live.downloads.read().iter().map(download).collect()
}

fn download(download: &downloads::Download) -> Download {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    Download {
        database: download.database.to_owned(),
        url: download.url.to_string(),
        checked: download.checked,
        succeeded: download.succeeded,
        next: download.next,
        failures: download.failures,
        fault: text(&download.fault),
        refused: text(&download.refused),
    }
}

impl Page {
    /// The databases that are fetched.
    pub(super) fn downloads(&mut self, live: &Live) {
        let downloads = live.downloads.read().clone();
        let success = |download: &downloads::Download| Some(download.succeeded? as f64);
        self.gauge(
            "meridian_geoip_update_success_timestamp_seconds",
            "When a server last gave a newer GeoIP database, or said that there is none.",
            ["database"],
            downloads
                .iter()
                .filter_map(|download| Some(([download.database], success(download)?))),
        );
        self.gauge(
            "meridian_geoip_update_next_timestamp_seconds",
            "When a server is asked next for a newer GeoIP database.",
            ["database"],
            downloads
                .iter()
                .map(|download| ([download.database], download.next as f64)),
        );
        self.gauge(
            "meridian_geoip_update_refused",
            "Whether the newest GeoIP database of a server was refused, so that an older one goes on.",
            ["database"],
            downloads.iter().map(|download| {
                let is_refused = download.refused.is_some();
                ([download.database], f64::from(u8::from(is_refused)))
            }),
        );
    }
}
