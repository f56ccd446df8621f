//! Why a pool takes only a share of its clients, in words.

use crate::base::prefix::Family;
use crate::state::evidence::PoolNow;
use crate::state::evidence::Spilling;
use crate::steer::spread::Admitted;

/// What limits the share of its clients that a pool takes, to go on after a reason.
pub(super) fn of(name: &str, now: &PoolNow, family: Family) -> String {
    let mut text = String::new();
    if now.ramp[family] != Admitted::ALL {
        let percent = now.ramp[family].ratio() * 100.0;
        text.push_str(&format!("; ramping: {percent} % of its clients"));
    }
    if let Some(percent) = now.limits.shed {
        let shed =
            format!("; an operator sheds {percent} % of its clients, and it takes no others");
        text.push_str(&shed);
    }
    if let Some(spill) = now.limits.spill {
        text.push_str(&spilled(name, &spill));
    }
    text
}

/// What the load of a pool has to do with its clients.
fn spilled(name: &str, spill: &Spilling) -> String {
    let Spilling { mark, shares, .. } = spill;
    let load = spill.load.map(|load| load.to_string());
    let load = load.unwrap_or_else(|| "unknown load".into());
    let at = format!("{name} at {load}, its mark is {mark}");
    let percent = |share: Admitted| (share.ratio() * 1e3).round() / 10.0;
    let (own, guests) = (percent(shares.own), percent(shares.guests));
    if spill.is_full {
        format!("; full: {at}, and no other pool takes its clients: they stay")
    } else if shares.own != Admitted::ALL {
        format!("; spilled: {at}: it keeps {own} % of its clients")
    } else if shares.guests != Admitted::ALL {
        format!("; {at}: it takes {guests} % of those that other pools pass on")
    } else {
        String::new()
    }
}
