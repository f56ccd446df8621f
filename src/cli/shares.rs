//! Shares of the world and who moves, for people: the tables of `simulate` and `diff`.

use std::fmt::Write as _;

use crate::admin::census::CountryShare;
use crate::admin::census::FamilySimulation;
use crate::admin::census::Move;
use crate::admin::census::Moves;
use crate::admin::census::NameSimulation;
use crate::admin::census::Part;
use crate::admin::census::PartShare;
use crate::admin::census::PoolShare;
use crate::admin::census::Shares;
use crate::base::prefix::Family;
use crate::census::Clients;
use crate::cli::table;

/// The most countries of a table; JSON has all.
const MAX_COUNTRIES: usize = 15;

/// Smaller shares of a part are not listed: they would be 0.0 %.
const LEAST_LISTED: f64 = 0.0005;

/// The most countries, or pools, of a row.
const MAX_LISTED: usize = 5;

/// A simulation for a person: names of equal shares together.
pub fn render(names: &[NameSimulation], down: &[String], clients: &Clients) -> String {
    let mut alike: Vec<(&NameSimulation, Vec<&str>)> = Vec::new();
    for name in names {
        let is_same = |(first, _): &&mut (&NameSimulation, _)| {
            (&first.ipv4, &first.ipv6) == (&name.ipv4, &name.ipv6)
        };
        match alike.iter_mut().find(is_same) {
            Some((_, others)) => others.push(&name.name),
            None => alike.push((name, vec![&name.name])),
        }
    }
    let of_name = |(first, names): &(&NameSimulation, Vec<&str>)| {
        let mut text = format!("{}\n", names.join(", "));
        for (family, of) in [(Family::V4, &first.ipv4), (Family::V6, &first.ipv6)] {
            write_family(&mut text, family, of, down, clients);
        }
        text
    };
    let texts: Vec<String> = alike.iter().map(of_name).collect();
    texts.join("\n")
}

fn write_family(
    text: &mut String,
    family: Family,
    of: &FamilySimulation,
    down: &[String],
    clients: &Clients,
) {
    let what = match (clients, family) {
        (Clients::World, Family::V4) => "IPv4 addresses",
        (Clients::World, Family::V6) => "IPv6 /48s",
        (Clients::Prefixes(_), Family::V4) => "IPv4 clients",
        (Clients::Prefixes(_), Family::V6) => "IPv6 clients",
    };
    let rtype = family.rtype();
    let shares = &of.shares;
    let _ = write!(
        text,
        "\n{} located {what} ({rtype})",
        grouped(shares.located)
    );
    let has_pool = |pool: &PoolShare| pool.pool.is_some();
    if shares.pools.is_empty() {
        let _ = writeln!(text);
        return;
    }
    if !shares.pools.iter().any(has_pool) {
        let _ = writeln!(text, ": no address");
        return;
    }
    let _ = writeln!(text, "{}", distances(shares));
    write_pools(text, shares);
    write_parts(text, shares);
    if let Some(then) = &of.down {
        let down = down.join(", ");
        let _ = writeln!(text, "\nwith {down} down{}", distances(&then.shares));
        write_pools(text, &then.shares);
        write_moves(text, &then.moved);
    }
}

fn distances(shares: &Shares) -> String {
    match (shares.median_km, shares.p95_km) {
        (Some(median), Some(p95)) => format!(
            ", half of them within {}, 95 % within {}",
            km(Some(median)),
            km(Some(p95))
        ),
        _ => String::new(),
    }
}

fn write_pools(text: &mut String, shares: &Shares) {
    let pool = |share: &PoolShare| {
        [
            named(share.pool.as_deref(), &share.rcode),
            percent(share.share),
            km(share.median_km),
            km(share.p95_km),
        ]
    };
    let header = ["pool", "share", "median", "95 %"];
    let pools = shares.pools.iter().map(pool);
    let _ = write!(text, "\n{}", table::lines(header, &[1, 2, 3], pools));
}

fn write_parts(text: &mut String, shares: &Shares) {
    let part = |part: &Part| {
        let code = part.code.clone().unwrap_or_else(|| "-".to_owned());
        [code, percent(part.share), served_by(&part.pools)]
    };
    let continents = shares.continents.iter().map(part);
    let lines = table::lines(["continent", "share", "served by"], &[1], continents);
    let _ = write!(text, "\n{lines}");
    let countries = shares.countries.iter().take(MAX_COUNTRIES).map(part);
    let lines = table::lines(["country", "share", "served by"], &[1], countries);
    let _ = write!(text, "\n{lines}");
    if let Some(n) = shares.countries.len().checked_sub(MAX_COUNTRIES + 1) {
        let _ = writeln!(text, "and {} more countries (--json has all)", n + 1);
    }
    if !shares.not_located_pools.is_empty() {
        let pools = served_by(&shares.not_located_pools);
        let _ = writeln!(text, "\nclients that cannot be located: {pools}");
    }
}

/// Who moves, a row for each pair of pools.
pub fn write_moves(text: &mut String, moved: &Moves) {
    if moved.moves.is_empty() {
        let _ = writeln!(text, "\nnobody moves");
        return;
    }
    let one = |one: &Move| {
        [
            pool_or_none(one.from.as_deref()),
            pool_or_none(one.to.as_deref()),
            percent(one.share),
            km(one.median_km_before),
            km(one.median_km_after),
            countries(&one.countries),
        ]
    };
    let header = ["from", "to", "moved", "median before", "after", "countries"];
    let moves = moved.moves.iter().map(one);
    let _ = write!(text, "\n{}", table::lines(header, &[2, 3, 4], moves));
}

fn pool_or_none(pool: Option<&str>) -> String {
    pool.unwrap_or("no address").to_owned()
}

/// The countries of a move, with their share of the clients.
fn countries(countries: &[CountryShare]) -> String {
    let share = |share: &CountryShare| {
        let country = share.country.as_deref().unwrap_or("-");
        format!("{country} {}", percent(share.share))
    };
    listed(countries.iter().map(share).collect())
}

fn served_by(shares: &[PartShare]) -> String {
    let share = |share: &PartShare| {
        let name = named(share.pool.as_deref(), &share.rcode);
        format!("{name} {}", percent(share.share))
    };
    let shares = shares.iter().filter(|share| share.share >= LEAST_LISTED);
    listed(shares.map(share).collect())
}

fn listed(mut all: Vec<String>) -> String {
    let n_others = all.len().saturating_sub(MAX_LISTED);
    all.truncate(MAX_LISTED);
    if n_others > 0 {
        all.push(format!("{n_others} more"));
    }
    all.join(", ")
}

fn named(pool: Option<&str>, rcode: &str) -> String {
    match pool {
        Some(pool) => pool.to_owned(),
        None if rcode == "NOERROR" => "no address".to_owned(),
        None => format!("no address ({rcode})"),
    }
}

/// A share for people.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn km(km: Option<f64>) -> String {
    km.map_or("-".to_owned(), |km| format!("{} km", grouped(km)))
}

/// A whole number with a comma before every three digits.
fn grouped(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_comma_before_every_three_digits() {
        for (n, expected) in [
            (0.0, "0"),
            (999.6, "1,000"),
            (123_456.0, "123,456"),
            (3_000_000_000.0, "3,000,000,000"),
        ] {
            assert_eq!(grouped(n), expected);
        }
    }
}
