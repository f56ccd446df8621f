//! The map of `simulate --svg`: each country in the colour of the pool that serves most of it.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::base::diag::one_line;
use crate::base::ix::PoolIx;
use crate::base::location::Country;
use crate::census::Census;
use crate::census::Served;
use crate::map;

/// Colours that neighbours and people with colour blindness tell apart (Okabe and Ito 2008), without black.
const COLOURS: [&str; 7] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442",
];

/// Countries without clients or without an address.
const NOBODY: &str = "#d8dce0";

/// Height of a line of the legend.
const LINE: usize = 22;

/// Draws a census. Pools have colours in the order of the file, so that maps with other pools down have the same;
/// those beyond the seventh have the colours of the first again.
pub fn svg(census: &Census) -> String {
    let pools = census.pools();
    let shares = census.shares();
    let served = shares.iter().filter_map(|share| match share.served {
        Served::Pool(pool) => Some((pool, share.n / census.n_located())),
        Served::NoData | Served::ServFail => None,
    });
    let served: Vec<_> = served.collect();
    let leaders = census.by_country().into_iter().filter_map(|group| {
        let (leader, n) = group.shares.first().copied()?;
        Some((group.part?, (leader, n / group.n)))
    });
    let leaders: HashMap<Country, _> = leaders.collect();
    let height = map::HEIGHT as usize + 10 + LINE * served.len().div_ceil(3);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n<path d=\"{}\" fill=\"#f4f7fa\"/>\n\
         <g fill-rule=\"evenodd\" stroke=\"#fff\" stroke-width=\"0.5\">\n",
        map::WIDTH,
        map::outline(),
    );
    for country in map::countries() {
        let leader = leaders.get(&country.code);
        let colour = match leader {
            Some((Served::Pool(pool), _)) => colour(*pool),
            _ => NOBODY,
        };
        let title = match leader {
            Some((Served::Pool(pool), share)) => {
                let name = escaped(&pools[pool.index()].name);
                format!("{}: {name} {:.0} %", country.code, share * 100.0)
            }
            Some(_) => format!("{}: no address", country.code),
            None => format!("{}: no clients", country.code),
        };
        let _ = writeln!(
            svg,
            "<path fill=\"{colour}\" d=\"{}\"><title>{title}</title></path>",
            country.path
        );
    }
    svg.push_str("</g>\n");
    for (at, (pool, share)) in served.iter().enumerate() {
        let colour = colour(*pool);
        let pool = &pools[pool.index()];
        mark(&mut svg, map::project(pool.location), colour);
        let x = (at % 3 * 333 + 20) as f64;
        let y = (map::HEIGHT as usize + 10 + at / 3 * LINE + 12) as f64;
        mark(&mut svg, (x, y - 5.0), colour);
        let name = escaped(&pool.name);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{y}\" fill=\"#333\">{name} {:.1} %</text>",
            x + 12.0,
            share * 100.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn colour(pool: PoolIx) -> &'static str {
    COLOURS[pool.index() % COLOURS.len()]
}

/// A place in the colour of a pool.
fn mark(svg: &mut String, (x, y): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\" stroke=\"#222\"/>"
    );
}

/// Text that cannot be taken for markup, nor for what XML forbids.
fn escaped(text: &str) -> String {
    let text = one_line(text).replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}
