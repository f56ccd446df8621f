//! Asking the processor for memory before it is read.
//!
//! A hint: nothing is read that the program could see, so nothing but speed depends on it. Processors
//! other than x86-64 and AArch64 are asked nothing.

#![expect(unsafe_code, reason = "no safe function prefetches")]

use std::ptr;

/// Octets of a cache line.
pub const LINE_LEN: usize = 64;

/// Has the processor bring all cache lines of a value near.
#[inline]
pub fn prefetch<T>(value: &T) {
    let first = ptr::from_ref(value).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(LINE_LEN) {
        line(first.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
fn line(at: *const u8) {
    use std::arch::x86_64::_MM_HINT_T0;
    use std::arch::x86_64::_mm_prefetch;
    // SAFETY: a prefetch faults at no address, and SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(target_arch = "aarch64")]
fn line(at: *const u8) {
    // SAFETY: a prefetch faults at no address and changes no register or memory.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, readonly, preserves_flags));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn line(_: *const u8) {}
