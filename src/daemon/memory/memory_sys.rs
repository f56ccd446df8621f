//! Memory that is given back: glibc keeps what a program frees, for its next allocations, and a reload
//! frees a whole table while another of its size is already there. And memory that is kept, in huge pages.

#![expect(
    unsafe_code,
    reason = "mallopt, malloc_trim and madvise have no safe wrapper"
)]

use std::io;
use std::ops::Range;
use std::ptr;

/// Has the kernel join the pages of a range of addresses, which are multiples of 2 MiB, to huge ones.
///
/// # Errors
/// What madvise(2) says of `MADV_COLLAPSE`; some of the range may be joined nevertheless.
pub(crate) fn join_pages(range: &Range<usize>) -> io::Result<()> {
    // Of `libc::MADV_COLLAPSE`, which is there for glibc only.
    const COLLAPSE: libc::c_int = 25;
    let start = ptr::without_provenance_mut(range.start);
    // SAFETY: what is read and written at each address stays the same, whatever lies there by now; of a
    // range with nothing in it, the kernel says so.
    match unsafe { libc::madvise(start, range.len(), COLLAPSE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has blocks of 128 KiB and more, tables above all, be mapped one by one and unmapped when they are
/// freed. It is where glibc starts as well, but it then goes up to 32 MiB by what is freed, and every
/// reload would leave its table's memory behind: 170 MB after six of a database that takes 75.
#[cfg(target_env = "gnu")]
pub(crate) fn unmap_large_blocks() {
    const THRESHOLD: libc::c_int = 128 << 10;
    // SAFETY: sets a number of the allocator, which may be done at any time.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, THRESHOLD) };
}

/// Gives back the pages that small blocks left empty. Takes milliseconds, and allocations elsewhere may
/// wait for it.
#[cfg(target_env = "gnu")]
pub(crate) fn return_free_pages() {
    // SAFETY: frees nothing that is in use; it may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn unmap_large_blocks() {}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn return_free_pages() {}
