//! What processor time a process has used, with all that it has started.

use std::fs;
use std::time::Duration;

/// User and system time of all living threads of process `pid` and its descendants; zero for what cannot
/// be read. From `/proc/PID/task/*/schedstat`, which counts nanoseconds where `stat` counts ticks.
pub fn processor_time(pid: u32) -> Duration {
    let mut family = vec![pid];
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, parent(child)?)))
        .collect();
    let mut n_seen = 0;
    while let Some(&elder) = family.get(n_seen) {
        n_seen += 1;
        family.extend(
            parents
                .iter()
                .filter(|pair| pair.1 == elder)
                .map(|pair| pair.0),
        );
    }
    let nanoseconds = family.iter().map(|pid| threads_time(*pid)).sum();
    Duration::from_nanos(nanoseconds)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold anything, also blanks and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn threads_time(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}
