//! The kernel's numbers of this process, read from `/proc/self`.
//!
//! Whatever cannot be read or understood is left out: a number that is missing is better than one
//! that is wrong.

use std::fs;

/// Clock ticks per second as `/proc` counts them (`USER_HZ`): 100 on every architecture that Linux
/// is still built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The numbers that Prometheus knows under conventional names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessNow {
    /// User and system time in seconds.
    pub cpu_seconds: Option<f64>,
    /// The soft limit of open files; `None` also if there is none.
    pub max_fds: Option<f64>,
    /// Open files.
    pub open_fds: Option<f64>,
    /// Memory in RAM, in octets.
    pub resident_bytes: Option<f64>,
    /// Address space, in octets.
    pub virtual_bytes: Option<f64>,
}

impl ProcessNow {
    /// Reads them.
    pub fn read() -> Self {
        let text =
            |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        let status = text("status");
        // The listing itself holds one open.
        let open_fds = fs::read_dir("/proc/self/fd").map(|fds| fds.count().saturating_sub(1));
        Self {
            cpu_seconds: cpu_seconds(&text("stat")),
            max_fds: max_fds(&text("limits")),
            open_fds: open_fds.ok().map(|n| n as f64),
            resident_bytes: octets(&status, "VmRSS:"),
            virtual_bytes: octets(&status, "VmSize:"),
        }
    }
}

/// A line of `status` that is in kB.
fn octets(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Fields 14 and 15 of `stat`, which are counted from behind the process's name: it may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn max_fds(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_understood() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 961 0 0 0 150 50 0 0 20 0 5 0 812 2703360 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t      16 kB\n";
        assert_eq!(octets(status, "VmRSS:"), Some(16_384.0));
        assert_eq!(octets(status, "VmSize:"), Some(2_097_152.0));
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024   4096   files\n";
        assert_eq!(max_fds(limits), Some(1024.0));
        assert_eq!(max_fds("Max open files   unlimited unlimited files"), None);
        for text in ["", ")", "VmRSS: x kB", "Max open files"] {
            assert_eq!(cpu_seconds(text), None);
            assert_eq!(octets(text, "VmRSS:"), None);
            assert_eq!(max_fds(text), None);
        }
    }

    #[test]
    fn this_process_has_numbers() {
        let now = ProcessNow::read();
        assert!(now.resident_bytes.is_some_and(|octets| octets > 1e5));
        assert!(now.virtual_bytes >= now.resident_bytes);
        assert!(now.open_fds.is_some_and(|n| n >= 3.0));
        assert!(now.cpu_seconds.is_some());
    }
}
