//! Any bytes as a database, and small edits of a sound one: an error, or tables that answer.

#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meridian::base::ix::PoolIx;
use meridian::base::location::Point;
use meridian::base::rank::Policy;
use meridian::geo::atlas::Atlas;
use meridian::geo::rank_table::compile;
use meridian::geo::rules::Site;
use meridian::geo::rules::Spec;
use meridian::mmdb::writer;
use meridian::mmdb::writer::Value;

static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = |code: &str, latitude: f64| {
        let iso = Value::Map(vec![("iso_code", Value::Text(code.into()))]);
        let point = Value::Map(vec![
            ("latitude", Value::Double(latitude)),
            ("longitude", Value::Double(latitude * 2.0)),
        ]);
        Value::Map(vec![("country", iso), ("location", point)])
    };
    let places = [("FR", 48.0), ("US", 40.0), ("JP", 35.0)].map(|(code, at)| place(code, at));
    let range = |first: u32, len: u32, record| writer::Range {
        first: first.into(),
        last: (first + (u32::MAX >> len)).into(),
        record,
    };
    let ranges = [
        range(0x0100_0000, 8, 0),
        range(0x0200_0000, 9, 1),
        range(0x0280_0000, 16, 2),
        range(0x6400_0000, 24, 0),
    ];
    let header = writer::Header {
        database_type: "X-City",
        description: "for fuzzing",
        build_epoch: 1,
    };
    writer::write(header, &ranges, &places).expect("ascending ranges")
});

fn check(bytes: Vec<u8>) {
    let Ok(atlas) = Atlas::read(bytes, None, &|_| None) else {
        return;
    };
    let site = |pool, latitude, longitude| {
        let point = Point {
            latitude,
            longitude,
        };
        Site::new(PoolIx(pool), point)
    };
    let spec = Spec {
        policy: Policy::Nearest,
        sites: vec![site(0, 45.6, -121.2), site(1, 50.5, 3.8)],
        rules: Vec::new(),
        regions: Vec::new(),
    };
    let table = compile(&spec, &atlas);
    for n in 0..64_u32 {
        let addr = IpAddr::from(n.wrapping_mul(0x0409_1235).to_be_bytes());
        assert!(table.rank_of(addr).index() < table.ranks().len());
        let _ = atlas.locate(addr);
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes.to_vec());
    let mut edited = SOUND.clone();
    for edit in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % edited.len();
        edited[at] = edit[2];
    }
    check(edited);
});
