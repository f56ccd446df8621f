//! The pages for people: what they show, and what their forms change.

use std::time::Duration;

use tokio::time::sleep;

use super::BEARER;
use super::Running;
use super::live;
use super::run;
use super::see_failures;
use crate::admin::coverage::Coverage;
use crate::admin::fleet;
use crate::admin::json;
use crate::admin::metrics;
use crate::admin::page;
use crate::admin::page::view::Choice;
use crate::admin::page::view::View;
use crate::admin::preview::preview;
use crate::admin::rates::Rates;
use crate::admin::vantages;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::health::recent_latencies::RecentLatencies;
use crate::live::LastReload;
use crate::live::RolledBack;

/// The page of a status.
fn page(status: json::Status) -> String {
    page::html(&View {
        status,
        rates: Rates::default(),
        coverage: None,
        events: Vec::new(),
        choice: Choice::default(),
    })
}

#[test]
fn the_page_tells_in_words_and_escapes_everything() {
    let (live, owner) = live();
    see_failures(&live, &owner);
    see_failures(&live, &owner);
    let hostile = "<script>'\"&";
    let mut report = Report::default();
    report.error(Place::file(&"<i>.toml".into()), "not \"TOML\"");
    *owner.last_reload.write() = LastReload {
        at: 1_795_000_000,
        refused: true,
        report,
        rolled_back: Some(RolledBack {
            digest: "5e8f".into(),
            accepted: 1_794_000_000,
            since: 1_795_000_000,
            by: hostile.into(),
        }),
    };
    let mut status = json::status(&live);
    status.pools[0].name = hostile.into();
    let mut vantage = vantages::vantage_state(hostile, false, None, 0);
    vantage.ipv6_blind_since = Some(status.now);
    vantage.silent = true;
    status.vantages.push(vantage);
    status.pools[0].endpoints[0].vantages[0].last_failure = Some(vantages::Note {
        reason: hostile.into(),
        at: 0,
    });
    status.pools[0].endpoints[0].vantages[0].blind = true;
    status.pools[0].endpoints[0].vantages[0].suppressed_until = Some(status.now + 600);
    status.pools[0].endpoints[1].check = Some(hostile.into());
    status.waiting_for = Some(hostile.into());
    let mut view = fleet::tests::view();
    view.nodes[0].version = hostile.into();
    status.fleet = Some(fleet::fleet(&view));
    status.pools[0].membership.reason = Some(hostile.into());
    let html = page(status);
    for said in [
        "differs in configuration",
        "not ready",
        "<b class=\"down\">down</b>",
        "status 503, expected 200-399",
        "lost contact with all pools: not counted",
        "flaps: suppressed for about",
        "<small>of another machine</small>",
        "<small>checked at &lt;script&gt;",
        "<span class=\"badge down\">blind for IPv6</span>",
        "<span class=\"badge down\">silent</span>",
        "<td>0 of 1</td>",
        "Reload refused: still serving the previous files",
        "; the latest reload was refused; vantage",
        "&lt;i&gt;.toml:1:1: not &quot;TOML&quot;",
        "generation 1,",
        "Meridian-Country",
        "app.example.com",
    ] {
        assert!(html.contains(said), "{said}");
    }
    assert!(!html.contains("<script>") && !html.contains(" style="));
    assert!(html.contains("&lt;script&gt;'&quot;&amp;"));
    assert!(html.contains("Rolled back by"));
}

#[test]
fn the_page_shows_a_hundred_of_each_and_trouble_first() {
    let mut status = json::status(&live().0);
    let pool = serde_json::to_value(&status.pools[0]).expect("JSON");
    status.pools = (0..150)
        .map(|n| {
            let mut pool: json::Pool = serde_json::from_value(pool.clone()).expect("a pool");
            pool.name = format!("pool{n:03}");
            pool.ipv4 = Some(if n == 149 { "down" } else { "up" }.into());
            pool
        })
        .collect();
    let html = page(status);
    let at = |name: &str| html.find(&format!("<th scope=\"row\">{name}<"));
    assert!(at("pool149").is_some(), "the one that is down");
    assert!(at("pool149") < at("pool000") && at("pool000") < at("pool098"));
    assert_eq!((at("pool099"), at("pool148")), (None, None));
    assert!(html.contains("and 50 more"));
    assert!(html.contains("(1 down)"), "all are counted");
}

#[test]
fn a_hundred_pools_by_ten_vantages_are_a_small_page() {
    let (live, owner) = live();
    see_failures(&live, &owner);
    let mut status = json::status(&live);
    let mut latencies = RecentLatencies::default();
    let mut random = 1_u64;
    for _ in 0..20 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        latencies.add(100_000 + (random >> 48));
    }
    let vantage = |at: usize| {
        let mut vantage =
            serde_json::to_value(&status.pools[0].endpoints[0].vantages[0]).expect("JSON");
        vantage["name"] = format!("vantage-{at}").into();
        let mut vantage: vantages::Vantage = serde_json::from_value(vantage).expect("a vantage");
        (vantage.latency_ms, vantage.latencies) = (Some(112.0), latencies);
        vantage
    };
    let pool = serde_json::to_value(&status.pools[0]).expect("JSON");
    let pools = (0..100).map(|at| {
        let mut pool: json::Pool = serde_json::from_value(pool.clone()).expect("a pool");
        pool.name = format!("a-pool-with-a-name-{at}");
        for endpoint in &mut pool.endpoints {
            endpoint.vantages = (0..10).map(vantage).collect();
        }
        pool
    });
    let pools: Vec<json::Pool> = pools.collect();
    let vantages =
        (0..10).map(|at| vantages::vantage_state(&format!("vantage-{at}"), true, None, 0));
    status.vantages = vantages.collect();
    status.pools = pools;
    let html = page(status);
    assert!(html.len() < 300_000, "{} octets", html.len());
    assert!(html.contains("112 ms"));
}

/// Where the pools of the fixture come to serve; the second is in Europe.
const EUROPE: usize = 1;

#[test]
fn countries_are_of_the_pool_that_serves_most_of_them() {
    let (live, _owner) = live();
    let coverage = Coverage::of(&live.snapshots.current(), SteeredIx(0));
    let most = |country: &str| coverage.countries.get(&country.parse().expect("a country"));
    assert!(most("FR").is_some_and(|(pool, share)| *pool == EUROPE && *share > 0.99));
    // By distance the one, by a rule the other.
    assert_eq!(most("MX").map(|most| most.0), Some(0));
    assert_eq!(most("BR").map(|most| most.0), Some(EUROPE));
    let sum: f64 = coverage.pools.values().sum();
    assert!((sum - 1.0).abs() < 0.01, "{sum}");
}

#[test]
fn a_preview_says_who_moves_where_and_who_is_left_without() {
    let (live, _owner) = live();
    let snapshot = live.snapshots.current();
    let found = preview(&snapshot, PoolIx(0));
    let [v4] = &found.moves[..] else {
        panic!("one name in one family: {found:?}");
    };
    assert_eq!((&*v4.name, v4.family), ("app.example.com", Family::V4));
    assert_eq!(v4.to.len(), 1);
    let to = &v4.to[0];
    assert_eq!(to.pool.as_deref(), Some("europe-west"));
    assert!(
        v4.share > 0.2 && v4.share < 0.9 && to.share == v4.share,
        "{v4:?}"
    );
    let (before, after) = to.median_km.expect("distances");
    assert!(before < after, "the nearest is left");
    assert_eq!(to.countries[0].as_str(), "US");
    // There is no other pool with IPv6, so its clients stay, and the drain needs force.
    assert!(found.stranded.is_some());
    // Nothing is drained by that.
    assert!(
        live.snapshots
            .current()
            .pools
            .iter()
            .all(|pool| pool.forced.is_none())
    );
}

impl Running {
    /// Sends the form of `/drain`.
    async fn send_form(&self, headers: &str, form: &str) -> super::Answer {
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.call("POST", "/drain", &headers, form).await
    }
}

#[tokio::test]
async fn the_form_drains_with_a_token_and_says_what_that_moves_before() {
    let running = run(Some("s3cret")).await;
    let page = running.get("/drain?pool=us-west").await;
    assert_eq!(page.status, 200);
    for text in [
        "What a drain would move",
        "europe-west",
        "United States",
        "type=\"password\"",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    assert_eq!(running.get("/drain?pool=nowhere").await.status, 404);
    let form = "pool=us-west&action=drain&for=2h&reason=kernel+%3Cb%3E&token=";
    for (token, status) in [
        ("", 401),
        ("wr0ng", 401),
        ("s3cret", 303),
        ("+s3cret+", 303),
    ] {
        let answer = running.send_form("", &format!("{form}{token}")).await;
        assert_eq!(answer.status, status, "{token}: {}", answer.body);
        assert!(
            token.is_empty() || !answer.body.contains(token),
            "{}",
            answer.body
        );
        assert_eq!(
            answer.body.contains("kernel &lt;b&gt;"),
            status != 303,
            "what was typed stays"
        );
        let is_drained = running.live.overrides.read().of("us-west").is_some();
        assert_eq!(is_drained, status == 303, "{token}");
    }
    let override_ = running
        .live
        .overrides
        .read()
        .of("us-west")
        .cloned()
        .expect("an override");
    assert_eq!(
        (&*override_.reason, override_.until),
        ("kernel <b>", Some(override_.since + 7200))
    );
    assert!(
        running
            .get("/")
            .await
            .body
            .contains("<td>kernel &lt;b&gt;</td>")
    );
    let answer = running
        .send_form("", "pool=us-west&action=clear&token=s3cret")
        .await;
    assert_eq!(answer.status, 303);
    assert!(running.live.overrides.read().of("us-west").is_none());
}

#[tokio::test]
async fn the_form_refuses_what_the_api_refuses() {
    let running = run(Some("s3cret")).await;
    for (form, status) in [
        ("pool=us-west&action=drain&for=soon", 400),
        ("pool=us-west&action=explode", 400),
        ("pool=nowhere&action=drain", 404),
        ("pool=us-west&action=drain&reason=strands", 409),
        ("pool=us-west&action=drain&reason=strands&force=yes", 303),
        ("pool=us-west&what=drain", 400),
    ] {
        let answer = running.send_form("", &format!("{form}&token=s3cret")).await;
        assert_eq!(answer.status, status, "{form}: {}", answer.body);
    }
    // A cookie or a bearer token is nothing that a form goes by.
    let answer = running.send_form(BEARER, "pool=us-west&action=drain").await;
    assert_eq!(answer.status, 401);
    let running = run(None).await;
    let answer = running
        .send_form("", "pool=us-west&action=drain&token=s3cret")
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let running = run(Some("s3cret")).await;
    let form = "pool=us-west&action=drain&token=s3cret";
    for (headers, status) in [
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        (
            "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n",
            303,
        ),
    ] {
        assert_eq!(
            running.send_form(headers, form).await.status,
            status,
            "{headers}"
        );
    }
    let refused = "meridian_admin_refused_total{reason=\"origin\"} 3\n";
    assert!(metrics::text(&running.live).contains(refused));
}

#[tokio::test]
async fn the_page_explains() {
    let running = run(None).await;
    for (path, status, text) in [
        ("/explain", 200, "Explain"),
        (
            "/explain?name=app.example.com&type=&client=90.63.0.0%2F24",
            200,
            "from pool <b>europe-west</b>",
        ),
        (
            "/explain?name=app.example.com&type=A&client=%3Cb%3E",
            400,
            "&lt;b&gt;",
        ),
        ("/explain?nam=app.example.com", 400, "unknown field"),
    ] {
        let answer = running.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(text), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn pools_are_filtered_and_the_map_is_coloured_once_it_is_counted() {
    let running = run(None).await;
    let page = running.get("/?pool=EUROPE").await.body;
    assert!(
        page.contains("<th scope=\"row\">europe-west</th>") && page.contains(" open>"),
        "{page}"
    );
    assert!(!page.contains("data-pool=\"us-west"));
    assert!(
        running
            .get("/?pool=nowhere")
            .await
            .body
            .contains("No pool is like this.")
    );
    assert_eq!(running.get("/?colour=red").await.status, 400);
    loop {
        let page = running.get("/?name=app.example.com").await.body;
        if page.contains("<title>France: europe-west 100 %</title>") {
            break;
        }
        // There is no event to wait for: a browser asks again as well.
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn assets_are_found_by_their_hash_and_nothing_is_inline() {
    let running = run(None).await;
    let page = running.get("/").await;
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'; style-src 'self';")
    );
    assert!(!page.head.contains("unsafe"), "{}", page.head);
    let paths: Vec<&str> = page
        .body
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in paths {
        let asset = running.get(path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert!(
            asset.head.contains("immutable") && asset.head.contains("nosniff"),
            "{}",
            asset.head
        );
    }
    assert_eq!(
        running.get("/assets/0000000000000000.css").await.status,
        404
    );
}
