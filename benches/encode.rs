//! How long does it take to write a response: an address, a referral with glue, a large RRset?

use std::hint::black_box;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

use meridian::base::name::Name;
use meridian::base::qname::QName;
use meridian::base::rr::Rcode;
use meridian::base::rr::RrSet;
use meridian::base::rr::RrType;
use meridian::wire::edns::Opt;
use meridian::wire::encode::Encoder;
use meridian::wire::encode::Owner;
use meridian::wire::query::Query;

const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn packed(rdatas: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut packed = Vec::new();
    rdatas.for_each(|rdata| RrSet::pack(&rdata, &mut packed));
    packed
}

/// Writes one response with what `put` puts into it.
fn write(c: &mut Criterion, what: &str, put: impl Fn(&mut Encoder<'_>)) {
    let query = Query::parse(QUERY, &mut QName::root()).expect("a query");
    let opt = Opt::new(1232);
    let mut out = [0; 4096];
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter(what), |b| {
        b.iter(|| {
            let mut encoder = Encoder::begin(&mut out, 1232, black_box(&query.echo));
            encoder.reserve(opt.len());
            put(&mut encoder);
            black_box(encoder.finish(Rcode::NoError, Some(&opt)))
        });
    });
}

fn responses(c: &mut Criterion) {
    let address = RrSet::new(RrType::A, 300, &[0, 4, 192, 0, 2, 1]);
    write(c, "one address", |encoder| {
        let _ = encoder.rrset(Owner::Qname, address);
    });
    let hosts: Vec<Name> = (0..13)
        .map(|n| name(&format!("ns{n}.example.com")))
        .collect();
    let servers = packed(hosts.iter().map(|host| host.wire().to_vec()));
    let servers = RrSet::new(RrType::NS, 300, &servers);
    let zone = name("example.com");
    write(c, "a referral with glue for 13 servers", |encoder| {
        let _ = encoder.authority().rrset(Owner::Name(&zone), servers);
        for host in &hosts {
            let _ = encoder.additional().rrset(Owner::Name(host), address);
        }
    });
    let many = packed((0..60).map(|n| vec![192, 0, 2, n]));
    let many = RrSet::new(RrType::A, 300, &many);
    write(c, "60 addresses", |encoder| {
        let _ = encoder.rrset(Owner::Qname, many);
    });
}

criterion_group!(benches, responses);
criterion_main!(benches);
