//! The limit of open files (RLIMIT_NOFILE), and how it is shared out: a quarter for probes, a quarter at most
//! for the admin port, NOTIFY, vantages and files that are read, the rest for TCP clients. So a crowd of
//! clients never stops probing, reloading or the admin port.

use std::fs;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use tracing::warn;

/// What is kept for the admin port, NOTIFY and files, if a quarter of the limit is not less.
const OTHER_FILES: usize = 256;

/// Raises the soft limit to the hard one: connections and probes need the files.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}

/// A quarter of the limit, and no more than 10,000 endpoints need that hang at five vantages.
pub(super) fn max_probes_in_flight() -> usize {
    probes_within(current())
}

/// As many TCP connections as are configured, or as the limit leaves room for, which is logged.
pub(super) fn max_tcp_connections(configured: usize) -> usize {
    let limit = current();
    let n_open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let allowed = connections_within(limit, n_open).min(configured);
    if allowed < configured {
        warn!(
            max_tcp_connections = configured,
            allowed,
            open_files_limit = limit,
            "fewer TCP connections than configured: raise the limit of open files (`ulimit -n`, systemd: \
             `LimitNOFILE=`) or lower max_tcp_connections"
        );
    }
    allowed
}

fn current() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

fn probes_within(limit: usize) -> usize {
    (limit / 4).clamp(16, 50_000)
}

/// The TCP connections that a limit leaves room for when `n_open` files are open already.
fn connections_within(limit: usize, n_open: usize) -> usize {
    let other = OTHER_FILES.min(limit / 4);
    let taken = probes_within(limit).saturating_add(other);
    limit.saturating_sub(taken.saturating_add(n_open)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_files_is_shared_out() {
        for (limit, n_open, probes, connections) in [
            (usize::MAX, 30, 50_000, usize::MAX - 50_286),
            (524_288, 30, 50_000, 474_002),
            (1024, 30, 256, 482),
            (256, 30, 64, 98),
            (64, 30, 16, 2),
            (40, 30, 16, 1),
        ] {
            assert_eq!(probes_within(limit), probes, "{limit}");
            let found = connections_within(limit, n_open);
            assert_eq!(found, connections, "{limit}");
        }
    }
}
