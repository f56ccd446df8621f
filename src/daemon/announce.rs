//! What a process that has started says of itself.

use tracing::warn;

use crate::base::date::Date;
use crate::live::Live;
use crate::live::clock::unix;
use crate::live::events::event;

/// This release.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The one line that says that it answers, and the same to systemd.
pub fn announce(live: &Live) {
    let addresses = &live.addresses;
    let plan = &live.snapshots.current().plan;
    let about = plan.atlas.about();
    let now = unix();
    for (about, _) in plan.databases(now).filter(|(_, is_old)| *is_old) {
        let days = now.saturating_sub(about.build_epoch) / 86_400;
        warn!(
            database = about.database_type,
            days, "GeoIP database is older than [geoip] max_age: replace its file"
        );
    }
    let admin = addresses
        .admin
        .map_or("off".into(), |admin| admin.to_string());
    let config = &plan.config;
    if let (Some(cluster), false) = (&config.process.cluster, addresses.serve_dns()) {
        let n_endpoints = config.pools.pools.iter().map(|pool| pool.endpoints.len());
        live.events.push(event!(
            info,
            Started,
            [],
            [
                node = &*cluster.node,
                admin,
                pools = config.pools.pools.len() as u64,
                endpoints = n_endpoints.sum::<usize>() as u64,
                version = VERSION
            ],
            "probing for the fleet"
        ));
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        return;
    }
    let dns: Vec<String> = addresses.dns.iter().map(ToString::to_string).collect();
    live.events.push(event!(
        info,
        Started,
        [built = Date::from_epoch(about.build_epoch)],
        [
            dns = dns.join(" "),
            admin,
            zones = plan.zones.iter().count() as u64,
            pools = config.pools.pools.len() as u64,
            steered = config.pools.steered.len() as u64,
            database = &*about.database_type,
            version = VERSION
        ],
        "serving"
    ));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}
