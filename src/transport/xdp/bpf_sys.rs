//! Maps, programs and links of the kernel's BPF, behind safe types: `bpf(2)` has no wrapper in libc.
//!
//! Only the four commands that XDP needs. Everything is a file descriptor, and gone when the last one is
//! closed: with the process, however it ends, its program is off the interface.

#![expect(unsafe_code, reason = "bpf(2) takes structures full of pointers")]

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use libc::c_int;

use crate::transport::xdp::pod_sys::Pod;
use crate::transport::xdp::program::Instruction;

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::transport) enum MapKind {
    /// Any keys to any values.
    Hash = 1,
    /// Queue numbers to AF_XDP sockets.
    Sockets = 17,
}

/// A map from keys to values that programs and processes share.
#[derive(Debug)]
pub(in crate::transport) struct Map {
    fd: OwnedFd,
    key_len: usize,
}

/// The length of every value, in octets.
const VALUE_LEN: usize = 4;

impl Map {
    /// For at most `n_entries` entries with keys of `key_len` octets.
    pub(in crate::transport) fn create(
        kind: MapKind,
        key_len: usize,
        n_entries: u32,
    ) -> io::Result<Self> {
        /// Takes memory for an entry when there is one.
        const NO_PREALLOCATION: u32 = 1;
        let attributes = MapCreate {
            kind: kind as u32,
            key_len: key_len as u32,
            value_len: VALUE_LEN as u32,
            n_entries,
            flags: match kind {
                MapKind::Hash => NO_PREALLOCATION,
                MapKind::Sockets => 0,
            },
        };
        // SAFETY: the attributes are the command's and hold no pointers.
        let fd = unsafe { bpf(MAP_CREATE, &attributes) }?;
        Ok(Self { fd, key_len })
    }

    /// Has programs redirect a queue's packets to an AF_XDP socket.
    pub(in crate::transport) fn insert_socket(
        &self,
        queue: u32,
        socket: BorrowedFd<'_>,
    ) -> io::Result<()> {
        self.insert(&queue.to_ne_bytes(), socket.as_raw_fd() as u32)
    }

    /// Sets the value of a key.
    pub(in crate::transport) fn insert(&self, key: &[u8], value: u32) -> io::Result<()> {
        let value = value.to_ne_bytes();
        let attributes = MapElement {
            value: value.as_ptr().expose_provenance() as u64,
            ..self.element(key)?
        };
        // SAFETY: key and value live across the call, and are as long as the map's are.
        unsafe { bpf_call(MAP_UPDATE_ELEM, &attributes) }.map(drop)
    }

    /// Removes a key.
    pub(in crate::transport) fn remove(&self, key: &[u8]) -> io::Result<()> {
        let attributes = self.element(key)?;
        // SAFETY: the key lives across the call and is as long as the map's are; there is no value.
        unsafe { bpf_call(MAP_DELETE_ELEM, &attributes) }.map(drop)
    }

    /// An element without a value.
    fn element(&self, key: &[u8]) -> io::Result<MapElement> {
        if key.len() != self.key_len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(MapElement {
            map: self.fd.as_raw_fd() as u32,
            padding: 0,
            key: key.as_ptr().expose_provenance() as u64,
            value: 0,
            flags: 0,
        })
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Has the kernel verify and translate an XDP program.
pub(in crate::transport) fn load(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"MIT OR Apache-2.0";
    let mut name = [0; 16];
    name[..8].copy_from_slice(b"meridian");
    let attributes = ProgramLoad {
        kind: PROGRAM_XDP,
        n_instructions: instructions.len() as u32,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_len: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
        interface: 0,
        expected_attach_type: ATTACH_XDP,
    };
    // SAFETY: instructions and license live across the call, with their true length and a final zero;
    // `Instruction` is laid out as the kernel's. The verifier judges what they say.
    unsafe { bpf(PROGRAM_LOAD, &attributes) }
}

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::transport) enum Mode {
    /// By the driver, before the kernel has made anything of a packet.
    Native = 1 << 2,
    /// By the kernel, for drivers that do not know how.
    Generic = 1 << 1,
}

/// Runs a program on what an interface receives, until the link that is returned is closed.
pub(in crate::transport) fn attach(
    program: BorrowedFd<'_>,
    interface: u32,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd() as u32,
        interface,
        attach_type: ATTACH_XDP,
        flags: mode as u32,
    };
    // SAFETY: the attributes are the command's and hold no pointers.
    unsafe { bpf(LINK_CREATE, &attributes) }
}

/// A call that returns a new file descriptor, which the kernel closes on exec.
///
/// # Safety
/// As for [`bpf_call`], with a command that returns one.
unsafe fn bpf<T: Pod>(command: c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for the attributes as `bpf_call` wants them.
    let fd = unsafe { bpf_call(command, attributes) }?;
    // SAFETY: the kernel has just opened it, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
/// `T` is the command's part of `union bpf_attr`, and its pointers are valid for what the command does
/// with them.
unsafe fn bpf_call<T: Pod>(command: c_int, attributes: &T) -> io::Result<c_int> {
    let attributes_ptr: *const T = attributes;
    // SAFETY: the attributes live across the call, all of them is initialised, and their size is given;
    // the caller vouches for the pointers in them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes_ptr, size_of::<T>()) };
    // A file descriptor or zero.
    c_int::try_from(result)
        .ok()
        .filter(|result| *result >= 0)
        .ok_or_else(io::Error::last_os_error)
}

const MAP_CREATE: c_int = 0;
const MAP_UPDATE_ELEM: c_int = 2;
const MAP_DELETE_ELEM: c_int = 3;
const PROGRAM_LOAD: c_int = 5;
const LINK_CREATE: c_int = 28;

const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;

// SAFETY: five `u32`s.
unsafe impl Pod for MapCreate {}
// SAFETY: two `u32`s and three `u64`s, which fill it.
unsafe impl Pod for MapElement {}
// SAFETY: integers that fill it: none stands at an offset that its size does not divide.
unsafe impl Pod for ProgramLoad {}
// SAFETY: four `u32`s.
unsafe impl Pod for LinkCreate {}

// As the kernel has them (include/uapi/linux/bpf.h), up to the last field that is used.
const _: () = assert!(size_of::<MapCreate>() == 20);
const _: () = assert!(size_of::<MapElement>() == 32);
const _: () = assert!(size_of::<ProgramLoad>() == 72);
const _: () = assert!(size_of::<LinkCreate>() == 16);

#[derive(Clone, Copy)]
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_len: u32,
    value_len: u32,
    n_entries: u32,
    flags: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    n_instructions: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_len: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}
