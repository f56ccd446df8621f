//! A ring of AF_XDP: memory in which the kernel and we pass entries to one another without a call.
//!
//! One side produces and the other consumes. Each side writes its own index alone, after the entries that
//! it covers have been written or read. Linux only.

#![expect(
    unsafe_code,
    reason = "a ring is memory shared with the kernel, which no safe wrapper knows"
)]

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::Ordering::Release;

use libc::c_int;
use libc::xdp_ring_offset;

use crate::transport::xdp::pod_sys::Pod;

/// A ring of entries between us and the kernel, one of which produces and the other consumes.
pub(in crate::transport) struct Ring<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
    /// Our own index: the producer's or the consumer's.
    ours: u32,
    /// The producer's index as last seen, for the rings that we consume.
    seen: u32,
    /// What the pointers point into.
    _mapping: Mapping,
}

// SAFETY: the pointers are into the mapping that the ring owns, and nobody else in the process has them.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T: Pod> Ring<T> {
    /// Maps a ring of `n` entries, a power of two, that has been made on the socket.
    pub(in crate::transport) fn map(
        socket: BorrowedFd<'_>,
        at: &xdp_ring_offset,
        page_offset: libc::off_t,
        n: u32,
    ) -> io::Result<Self> {
        let entries_at = at.desc as usize;
        let len = entries_at + n as usize * size_of::<T>();
        let mapping = Mapping::shared(socket, len, page_offset)?;
        let fits = |offset: u64| {
            let offset = offset as usize;
            offset.is_multiple_of(align_of::<AtomicU32>()) && offset + size_of::<u32>() <= len
        };
        if ![at.producer, at.consumer, at.flags].into_iter().all(fits)
            || !entries_at.is_multiple_of(align_of::<T>())
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: the offset is inside the mapping, as has been checked.
        let index = |offset: u64| unsafe { mapping.address.byte_add(offset as usize).cast() };
        Ok(Self {
            producer: index(at.producer),
            consumer: index(at.consumer),
            flags: index(at.flags),
            // SAFETY: the mapping is long enough to hold the entries from there on.
            entries: unsafe { mapping.address.byte_add(entries_at).cast() },
            mask: n - 1,
            ours: 0,
            seen: 0,
            _mapping: mapping,
        })
    }

    /// Whether the kernel has produced what we have not consumed.
    pub(in crate::transport) fn has_more(&mut self) -> bool {
        if self.seen == self.ours {
            // SAFETY: it points into the mapping, is aligned, and both sides access it atomically. Acquire: the entry was
            // written before.
            self.seen = unsafe { self.producer.as_ref() }.load(Acquire);
        }
        self.seen != self.ours
    }

    /// Consumes an entry; it is the kernel's again after [`Self::release`].
    pub(in crate::transport) fn pop(&mut self) -> Option<T> {
        self.has_more().then(|| {
            let entry = self.entry(0);
            self.ours = self.ours.wrapping_add(1);
            // SAFETY: the mask keeps the pointer inside the mapping, it is aligned, and any octets are a `T`.
            unsafe { entry.read() }
        })
    }

    /// The entry that comes so many after the next, if it is known to be there.
    pub(in crate::transport) fn peek(&self, n: u32) -> Option<T> {
        let is_there = self.seen.wrapping_sub(self.ours) > n;
        // SAFETY: the mask keeps the pointer inside the mapping, it is aligned, and any octets are a `T`.
        is_there.then(|| unsafe { self.entry(n).read() })
    }

    /// Gives the consumed entries back.
    pub(in crate::transport) fn release(&self) {
        // SAFETY: it points into the mapping, is aligned, and both sides access it atomically. Release: the entries were read
        // before.
        unsafe { self.consumer.as_ref() }.store(self.ours, Release);
    }

    /// Produces an entry, which the kernel sees after [`Self::publish`]. There is room for all frames.
    pub(in crate::transport) fn push(&mut self, value: T) {
        let entry = self.entry(0);
        self.ours = self.ours.wrapping_add(1);
        // SAFETY: the mask keeps the pointer inside the mapping, it is aligned, and the kernel reads the
        // entry only after `publish`.
        unsafe { entry.write(value) };
    }

    /// Hands the produced entries over.
    pub(in crate::transport) fn publish(&self) {
        // SAFETY: it points into the mapping, is aligned, and both sides access it atomically. Release: the entries were written
        // before.
        unsafe { self.producer.as_ref() }.store(self.ours, Release);
    }

    /// How many entries that we produced the kernel has not consumed.
    pub(in crate::transport) fn n_entries(&self) -> u32 {
        // SAFETY: it points into the mapping, is aligned, and both sides access it atomically.
        let theirs = unsafe { self.consumer.as_ref() }.load(Acquire);
        self.ours.wrapping_sub(theirs)
    }

    /// Whether the kernel needs a system call to notice new entries (`XDP_RING_NEED_WAKEUP`).
    pub(in crate::transport) fn needs_wakeup(&self) -> bool {
        // SAFETY: it points into the mapping, is aligned, and both sides access it atomically.
        unsafe { self.flags.as_ref() }.load(Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// Where the entry is that comes so many after the next.
    fn entry(&self, n: u32) -> NonNull<T> {
        let index = self.ours.wrapping_add(n) & self.mask;
        // SAFETY: the mask keeps the index inside the mapping.
        unsafe { self.entries.add(index as usize) }
    }
}

/// Mapped memory.
pub(in crate::transport) struct Mapping {
    pub(in crate::transport) address: NonNull<u8>,
    pub(in crate::transport) len: usize,
}

// SAFETY: the mapping is owned by this value alone and not bound to a thread, as a box's memory.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` octets of zeros that are nobody else's.
    pub(in crate::transport) fn anonymous(len: usize) -> io::Result<Self> {
        Self::new(-1, len, 0, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)
    }

    /// Maps `len` octets of a file, shared with whoever else has them mapped.
    fn shared(file: BorrowedFd<'_>, len: usize, offset: libc::off_t) -> io::Result<Self> {
        Self::new(file.as_raw_fd(), len, offset, libc::MAP_SHARED)
    }

    /// `flags` without `MAP_FIXED`, which would replace other mappings.
    fn new(fd: c_int, len: usize, offset: libc::off_t, flags: c_int) -> io::Result<Self> {
        let flags = flags | libc::MAP_POPULATE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED, the kernel chooses addresses that nothing is mapped at.
        let address = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, offset) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { address, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` has mapped these octets, and whoever has pointers into them owns the mapping.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    const AT: xdp_ring_offset = xdp_ring_offset {
        producer: 0,
        consumer: 64,
        desc: 192,
        flags: 128,
    };

    /// Both ends of a ring of eight in a file, as the kernel and we have them.
    fn ends() -> (Ring<u64>, Ring<u64>) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let end = || Ring::map(file.as_fd(), &AT, 0, 8).unwrap();
        (end(), end())
    }

    #[test]
    fn entries_come_in_order_and_when_they_are_published() {
        let (mut producer, mut consumer) = ends();
        assert_eq!(consumer.pop(), None);
        for round in 0..100 {
            for n in 0..5 {
                producer.push(round * 5 + n);
            }
            assert!(!consumer.has_more(), "not published");
            producer.publish();
            assert_eq!(producer.n_entries(), 5);
            for n in 0..5 {
                assert!(consumer.has_more());
                assert_eq!(consumer.pop(), Some(round * 5 + n));
            }
            assert_eq!(consumer.pop(), None);
            assert_eq!(producer.n_entries(), 5, "not released");
            consumer.release();
            assert_eq!(producer.n_entries(), 0);
        }
    }

    #[test]
    fn a_ring_goes_on_when_its_indexes_wrap() {
        let (mut producer, mut consumer) = ends();
        for ring in [&mut producer, &mut consumer] {
            ring.ours = u32::MAX - 2;
            ring.seen = ring.ours;
        }
        producer.publish();
        consumer.release();
        for n in 0..8 {
            producer.push(n);
        }
        producer.publish();
        assert_eq!(producer.n_entries(), 8);
        let all: Vec<u64> = std::iter::from_fn(|| consumer.pop()).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_kernel_says_when_it_wants_to_be_called() {
        let (ring, kernel) = ends();
        assert!(!ring.needs_wakeup());
        // SAFETY: it points into the test's own mapping.
        unsafe { kernel.flags.as_ref() }.store(libc::XDP_RING_NEED_WAKEUP, Release);
        assert!(ring.needs_wakeup());
    }

    #[test]
    fn a_ring_that_does_not_fit_its_offsets_is_refused() {
        let file = tempfile::tempfile().unwrap();
        for (producer, desc) in [(1 << 20, 192), (2, 192), (0, 196)] {
            let bad = xdp_ring_offset {
                producer,
                desc,
                ..AT
            };
            assert!(Ring::<u64>::map(file.as_fd(), &bad, 0, 8).is_err());
        }
    }
}
