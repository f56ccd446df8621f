//! Huge pages for what is looked up at random: a table of many megabytes in pages of 4 KiB costs a walk
//! through the page tables with nearly each look-up, in pages of 2 MiB with few.
//!
//! The kernel is asked to join pages that are there already, rather than for huge ones beforehand: so
//! small blocks, of which names and zones have many, get them as well as tables do, no allocation waits
//! for one, and nothing has to be set on the machine. Only where pages lie dense are they joined: a huge
//! page has no holes, and resident memory grows by at most a fifteenth. Only speed depends on it: where
//! the kernel cannot (before Linux 6.1, other sizes of pages, no memory in one piece) or the administrator has
//! switched huge pages off, all stays as it is.

use std::fs;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::daemon::memory::memory_sys;

/// The administrator's setting: all choices, with the current one in brackets.
const SETTING: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

const PAGE: usize = 4 << 10;

const HUGE_PAGE: usize = 2 << 20;

/// Pages there must be of those that a huge page takes the place of.
const N_DENSE: usize = HUGE_PAGE / PAGE / 16 * 15;

/// Octets that `/proc/self/pagemap` has for a page: a number of the machine's own byte order.
const ENTRY: usize = size_of::<u64>();

/// Set in it if the page is in memory.
const PRESENT: u64 = 1 << 63;

/// Has the pages of this process joined to huge ones wherever they lie dense. Takes a millisecond or two
/// for each that is new; a thread that needs just this memory waits while it is copied. Of those that
/// have been joined before, only a look is taken.
pub fn join() {
    if fs::read_to_string(SETTING).is_ok_and(|setting| is_off(&setting)) {
        return;
    }
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else {
        return;
    };
    let Ok(pagemap) = File::open("/proc/self/pagemap") else {
        return;
    };
    let insides = maps.lines().filter_map(inside);
    for run in insides.flat_map(|inside| runs(inside, |start| is_dense(&pagemap, start))) {
        // Other runs would wait for memory in vain as well.
        let joined = memory_sys::join_pages(&run).map_err(|error| error.kind());
        if let Err(ErrorKind::OutOfMemory | ErrorKind::ResourceBusy) = joined {
            return;
        }
    }
}

/// Whether huge pages are switched off. `MADV_COLLAPSE` makes them whatever the setting is (madvise(2)), so
/// that it is for us to keep to it.
fn is_off(setting: &str) -> bool {
    setting.contains("[never]")
}

/// The part of a mapping, which is a line of `/proc/self/maps`, that huge pages can hold: `None` if there
/// is none, and of mappings that are not the process's own memory or may not be written. Threads' stacks
/// look like other memory; but they are never dense.
fn inside(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_private = fields.next()? == "rw-p";
    let _offset_device_inode = fields.nth(2)?;
    let is_memory = match fields.next() {
        None | Some("[heap]") => true,
        // What a program or library gave a name to.
        Some(name) => name.starts_with("[anon:"),
    };
    let start = usize::from_str_radix(start, 16).ok()?;
    let start = start.checked_next_multiple_of(HUGE_PAGE)?;
    let end = usize::from_str_radix(end, 16).ok()? / HUGE_PAGE * HUGE_PAGE;
    (is_private && is_memory && start < end).then_some(start..end)
}

/// The dense parts of a range of huge pages, neighbours as one: each call has its price.
fn runs(inside: Range<usize>, is_dense: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for start in inside.step_by(HUGE_PAGE).filter(|start| is_dense(*start)) {
        match runs.last_mut() {
            Some(last) if last.end == start => last.end += HUGE_PAGE,
            _ => runs.push(start..start + HUGE_PAGE),
        }
    }
    runs
}

/// Whether nearly all pages of a huge page are in memory.
fn is_dense(pagemap: &File, start: usize) -> bool {
    let mut entries = [0; HUGE_PAGE / PAGE * ENTRY];
    let offset = (start / PAGE * ENTRY) as u64;
    let is_read = pagemap.read_exact_at(&mut entries, offset).is_ok();
    let (entries, _) = entries.as_chunks();
    let present = entries
        .iter()
        .filter(|entry| u64::from_ne_bytes(**entry) & PRESENT != 0);
    is_read && present.count() >= N_DENSE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_off_only_at_never() {
        for (setting, off) in [
            ("always [madvise] never\n", false),
            ("[always] madvise never\n", false),
            ("always madvise [never]\n", true),
            ("", false),
        ] {
            assert_eq!(is_off(setting), off, "{setting:?}");
        }
    }

    #[test]
    fn only_whole_huge_pages_of_the_processes_own_memory_are_taken() {
        let cases = [
            // Lines as the kernel writes them: what stands in it, and what is taken of it.
            (
                "7f1c00200000-7f1c00600000 rw-p 00000000 00:00 0",
                Some(0x7f1c_0020_0000..0x7f1c_0060_0000),
            ),
            (
                "7f1c001ff000-7f1c00601000 rw-p 00000000 00:00 0 ",
                Some(0x7f1c_0020_0000..0x7f1c_0060_0000),
            ),
            (
                "7f1c00201000-7f1c00600000 rw-p 00000000 00:00 0 ",
                Some(0x7f1c_0040_0000..0x7f1c_0060_0000),
            ),
            ("7f1c00201000-7f1c005ff000 rw-p 00000000 00:00 0 ", None),
            ("7f1c00200000-7f1c00201000 rw-p 00000000 00:00 0 ", None),
            (
                "55d000000000-55d000400000 rw-p 00000000 00:00 0                          [heap]",
                Some(0x55d0_0000_0000..0x55d0_0040_0000),
            ),
            (
                "7f1c00200000-7f1c00400000 rw-p 00000000 00:00 0   [anon: glibc: malloc]",
                Some(0x7f1c_0020_0000..0x7f1c_0040_0000),
            ),
            (
                "7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0   [stack]",
                None,
            ),
            (
                "7ffd00000000-7ffd00800000 r--p 00000000 00:00 0   [vvar]",
                None,
            ),
            // A guard page, and the rest of an arena that is not in use.
            ("7f1c00200000-7f1c00201000 ---p 00000000 00:00 0 ", None),
            ("7f1c00200000-7f1c04000000 ---p 00000000 00:00 0 ", None),
            ("7f1c00200000-7f1c00600000 r--p 00000000 00:00 0 ", None),
            ("7f1c00200000-7f1c00600000 rw-s 00000000 00:00 0 ", None),
            (
                "7f1c00200000-7f1c00600000 rw-p 001d0000 fe:00 1577   /usr/lib/libc.so.6",
                None,
            ),
            (
                "7f1c00200000-7f1c00600000 rw-s 00000000 00:0e 9   anon_inode:[xdp]",
                None,
            ),
            (
                "ffffffffffe00001-ffffffffffffffff rw-p 00000000 00:00 0 ",
                None,
            ),
            ("", None),
            ("7f1c00200000 rw-p 00000000 00:00 0 ", None),
            ("7f1c00200000-7f1c00600000 rw-p", None),
            ("north-south rw-p 00000000 00:00 0 ", None),
        ];
        for (line, taken) in cases {
            assert_eq!(inside(line), taken, "{line}");
        }
    }

    #[test]
    fn neighbours_are_one_run_and_holes_end_it() {
        let at = |n: usize| n * HUGE_PAGE;
        let cases: [(&str, &[(usize, usize)]); 5] = [
            ("....", &[]),
            ("####", &[(8, 12)]),
            (".##.", &[(9, 11)]),
            ("#.##", &[(8, 9), (10, 12)]),
            ("", &[]),
        ];
        for (picture, expected) in cases {
            let is_dense = |start| picture.as_bytes()[start / HUGE_PAGE - 8] == b'#';
            let found = runs(at(8)..at(8 + picture.len()), is_dense);
            let expected: Vec<_> = expected
                .iter()
                .map(|(from, to)| at(*from)..at(*to))
                .collect();
            assert_eq!(found, expected, "{picture}");
        }
    }

    #[test]
    fn joining_takes_what_is_filled_and_leaves_it_as_it_was() {
        // Of this size, it is a mapping of its own in which nothing has been touched.
        let mut block = vec![0_u8; 64 << 20];
        let start = block.as_ptr().addr();
        let first = start.next_multiple_of(HUGE_PAGE);
        let filled = first + 3 * HUGE_PAGE;
        let octet = |nth: usize| (nth * 31 / 7) as u8;
        for (nth, place) in block[..filled - start].iter_mut().enumerate() {
            *place = octet(nth);
        }
        let maps = fs::read_to_string("/proc/self/maps").expect("a file");
        let mut insides = maps.lines().filter_map(inside);
        let around = insides.find(|inside| inside.contains(&first));
        assert!(around.is_some_and(|around| around.contains(&filled)));
        let pagemap = File::open("/proc/self/pagemap").expect("a file");
        // Alone in its huge page, it must not make all of that resident.
        let lone = 5 * HUGE_PAGE;
        block[lone] = 1;
        let dense = || {
            let all = first..first + 8 * HUGE_PAGE;
            runs(all, |start| is_dense(&pagemap, start))
        };
        let before = dense();
        assert_eq!(before.first(), Some(&(first..filled)));
        join();
        assert_eq!(dense(), before);
        for (nth, found) in block.iter().enumerate() {
            let expected = match nth {
                _ if nth < filled - start => octet(nth),
                _ => u8::from(nth == lone),
            };
            assert_eq!(*found, expected, "octet {nth}");
        }
    }
}
