//! What is known of a pool beyond a snapshot: why its endpoints are down, until when an override holds.

use crate::admin::time::Span;
use crate::admin::time::Utc;
use crate::base::health::Health;
use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::health::overrides::Override;
use crate::health::view::EndpointView;
use crate::live::Live;
use crate::state::snapshot::Snapshot;

/// The most endpoints of a pool that are named.
const MAX_ENDPOINTS: usize = 3;

/// Details of a pool in one family, for [`explain`](crate::engine::explain::explain).
pub fn of(live: &Live, snapshot: &Snapshot, pool: PoolIx, family: Family) -> Option<String> {
    let name = &*snapshot.plan.config.pools.pools.get(pool.index())?.name;
    let now = snapshot.pools.get(pool.index())?;
    if now.endpoints.is_empty() {
        let config = snapshot.plan.config.pools.pools.get(pool.index())?;
        return Some(live.sources.read().why_empty(config));
    }
    if let Some(override_) = live.overrides.read().of(name) {
        return Some(of_override(override_));
    }
    let health_table = live.health_table.read();
    let has_several = snapshot.plan.config.pools.pools[pool.index()]
        .monitors
        .len()
        > 1;
    let failures: Vec<String> = health_table
        .view(live.clock.now())
        .filter(|view| {
            view.target.has_vote
                && *view.target.pool == *name
                && Family::of(view.target.address) == family
        })
        .filter_map(|view| of_endpoint(&view, has_several))
        .collect();
    let n_more = failures.len().saturating_sub(MAX_ENDPOINTS);
    let mut text = failures[..failures.len() - n_more].join("; ");
    if n_more > 0 {
        text += &format!("; and {n_more} more");
    }
    (!text.is_empty()).then_some(text)
}

/// What an operator has planned for a pool.
pub fn planned(live: &Live, pool: &str) -> Option<String> {
    let overrides = live.overrides.read();
    let planned = overrides.planned(pool)?;
    let left = planned.begins?.saturating_sub(live.clock.now().unix());
    let end = of_override(planned);
    Some(format!(
        "{} in {}, {end}",
        planned.state.as_str(),
        Span(left)
    ))
}

fn of_override(override_: &Override) -> String {
    let end = match override_.until {
        Some(until) => format!("until {}", Utc(until)),
        None => "until it is cleared".into(),
    };
    match &*override_.reason {
        "" => end,
        reason => format!("{end}: {reason}"),
    }
}

/// Why an endpoint is down, in the words of the vantage that learnt it last.
fn of_endpoint(view: &EndpointView<'_>, names_monitor: bool) -> Option<String> {
    let is_down = view.health == Health::Down;
    let vantages = view
        .vantages
        .iter()
        .filter(|vantage| is_down && vantage.streak.verdict == Health::Down);
    let failures =
        vantages.filter_map(|vantage| Some((vantage.name, vantage.streak.last_failure.as_ref()?)));
    let (vantage, failure) = failures.max_by_key(|(_, failure)| failure.at)?;
    let monitor = match names_monitor {
        true => format!(" (monitor {})", view.target.monitor.name),
        false => String::new(),
    };
    Some(format!(
        "{} at {vantage}: {}{monitor}",
        view.target.address, failure.reason
    ))
}
