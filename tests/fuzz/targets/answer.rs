//! Any bytes to the engine, over UDP and TCP: a sound response or none, and the next query is answered.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meridian::base::transport::Transport;
use meridian::state::snapshot::Snapshot;
use meridian_fuzz::POOLS;
use meridian_fuzz::ZONE;
use meridian_fuzz::ask;
use meridian_fuzz::check;
use meridian_fuzz::snapshot;

static SNAPSHOTS: LazyLock<[Snapshot; 2]> = LazyLock::new(|| {
    let root = "@ 60 SOA ns. h. 1 1 1 1 1\n@ 60 NS ns.\nns. 60 A 192.0.2.1\ncom. 60 NS ns.com.\nns.com. 60 A 192.0.2.2\n";
    [
        snapshot(&[("example.com", ZONE)], POOLS).expect("no faults"),
        snapshot(&[("example.com", ZONE), (".", root)], POOLS).expect("no faults"),
    ]
});

const GOOD: &[u8] = b"OK\x01\0\0\x01\0\0\0\0\0\0\x03app\x07example\x03com\0\0\x01\0\x01";

fuzz_target!(|message: &[u8]| {
    for snapshot in &*SNAPSHOTS {
        for transport in [Transport::Udp, Transport::Tcp] {
            let response = ask(snapshot, transport, message);
            check(transport, message, &response);
            let good = ask(snapshot, transport, GOOD);
            assert!(
                good.starts_with(b"OK\x85\0\0\x01\0\x02"),
                "the next good query"
            );
        }
    }
});
