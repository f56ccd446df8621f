//! Plain old data: what may be exchanged with the kernel octet by octet.

#![expect(
    unsafe_code,
    reason = "that a type has no padding is not known to the compiler"
)]

use libc::xdp_desc;
use libc::xdp_mmap_offsets;
use libc::xdp_options;
use libc::xdp_statistics;
use libc::xdp_umem_reg;

/// Integers, or a structure of them as C lays it out.
///
/// # Safety
/// Any octets are a value of the type, so that the kernel may write it, and it has no padding, so that
/// all that the kernel reads is initialised.
pub(in crate::transport) unsafe trait Pod: Copy {}

// SAFETY: an integer.
unsafe impl Pod for u32 {}
// SAFETY: an integer.
unsafe impl Pod for u64 {}
// SAFETY: a `u64` and two `u32`s, which fill it.
unsafe impl Pod for xdp_desc {}
// SAFETY: sixteen `u64`s.
unsafe impl Pod for xdp_mmap_offsets {}
// SAFETY: a `u32`.
unsafe impl Pod for xdp_options {}
// SAFETY: six `u64`s.
unsafe impl Pod for xdp_statistics {}
// SAFETY: two `u64`s and four `u32`s, which fill it.
unsafe impl Pod for xdp_umem_reg {}

// As the kernel has them (include/uapi/linux/if_xdp.h).
const _: () = assert!(size_of::<xdp_desc>() == 16);
const _: () = assert!(size_of::<xdp_mmap_offsets>() == 128);
const _: () = assert!(size_of::<xdp_options>() == 4);
const _: () = assert!(size_of::<xdp_statistics>() == 48);
const _: () = assert!(size_of::<xdp_umem_reg>() == 32);
