//! How long does it take to find a client in the prefix table?
//!
//! The table is invented: a million IPv4 and half a million IPv6 prefixes. Addresses are drawn from all
//! of it (`spread`) and from a few hot prefixes (`hot`).

#![expect(clippy::print_stdout, reason = "sizes belong beside the times")]

use std::hint::black_box;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

use meridian::base::prefix::Prefix;
use meridian::geo::table::PrefixTable;

/// A small generator (xorshift*, Vigna 2016) so that runs are alike.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn v4(&mut self) -> IpAddr {
        Ipv4Addr::from_bits((self.next() >> 32) as u32).into()
    }

    /// In 2a00::/11, where much of the real space is.
    fn v6(&mut self) -> IpAddr {
        let high = 0x2a00_u64 << 48 | self.next() >> 11;
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(self.next())).into()
    }
}

const N_ASKED: usize = 1 << 16;

fn invented(c: &mut Criterion) {
    let mut draw = Draw(1);
    let mut prefixes = Vec::new();
    for _ in 0..1_000_000 {
        let (len, key) = (16 + draw.next() % 9, draw.next() % 500);
        prefixes.push((Prefix::cut(draw.v4(), len as u8), key as u32));
    }
    for _ in 0..500_000 {
        let (len, key) = (29 + draw.next() % 28, draw.next() % 500);
        prefixes.push((Prefix::cut(draw.v6(), len as u8), key as u32));
    }
    let table = PrefixTable::longest_match(&prefixes);
    println!("{} ranges, {} bytes", table.n_ranges(), table.n_bytes());
    let mut group = c.benchmark_group("lookup/invented");
    group.throughput(Throughput::Elements(N_ASKED as u64));
    let v4 = |draw: &mut Draw| Prefix::cut(draw.v4(), 24);
    let v6 = |draw: &mut Draw| Prefix::cut(draw.v6(), 56);
    for (family, subnet) in [("v4", &v4 as &dyn Fn(&mut Draw) -> Prefix), ("v6", &v6)] {
        let spread: Vec<Prefix> = (0..N_ASKED).map(|_| subnet(&mut draw)).collect();
        let hot: Vec<Prefix> = (0..N_ASKED).map(|i| spread[i * 7 % 1024]).collect();
        for (name, asked) in [("spread", spread), ("hot", hot)] {
            group.bench_with_input(BenchmarkId::new(family, name), &asked, |b, asked| {
                b.iter(|| asked.iter().for_each(|p| _ = black_box(table.lookup(*p))));
            });
        }
    }
}

criterion_group!(benches, invented);
criterion_main!(benches);
