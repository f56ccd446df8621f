//! Properties of a network interface: its number, MAC address, MTU, receive queues and
//! addresses.

#![expect(unsafe_code, reason = "getifaddrs has no safe wrapper")]

use std::ffi::CStr;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::ptr;

use libc::c_int;

/// An Ethernet interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Ethernet {
    /// Its number.
    pub(in crate::transport) index: u32,
    /// Its MAC address.
    pub(in crate::transport) mac: [u8; 6],
    /// The longest IP packet that it sends, in octets.
    pub(in crate::transport) mtu: usize,
}

impl Ethernet {
    /// Looks an interface up by its name; `None` for one that is not Ethernet, as the loopback.
    pub(in crate::transport) fn find(name: &str) -> io::Result<Option<Self>> {
        /// `ARPHRD_ETHER`.
        const ETHERNET: u32 = 1;
        if number::<u32>(name, "type")? != ETHERNET {
            return Ok(None);
        }
        let text = read(name, "address")?;
        let mut mac = [0; 6];
        let mut parts = text.split(':').map(|part| u8::from_str_radix(part, 16));
        for octet in &mut mac {
            let Some(Ok(part)) = parts.next() else {
                return Ok(None);
            };
            *octet = part;
        }
        Ok(Some(Self {
            index: number(name, "ifindex")?,
            mac,
            mtu: number(name, "mtu")?,
        }))
    }
}

/// How many receive queues an interface has; 0 if there is no such interface.
pub(in crate::transport) fn n_receive_queues(name: &str) -> u32 {
    let entries = fs::read_dir(folder(name).join("queues"))
        .into_iter()
        .flatten()
        .flatten();
    let is_receive = |name: &str| name.starts_with("rx-");
    let n = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_receive))
        .count();
    n as u32
}

/// The addresses of an interface and those of the loopback interface, where anycast addresses are
/// usually put. Those that only this machine or this link can reach are left out.
pub(in crate::transport) fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: the pointer may be written; it is set to a list that is ours to free, or the call fails.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = first;
    // SAFETY: it is null or points to an entry of the list, which is freed only behind the loop.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: every entry of the list has a name that ends with zero and is freed with the list.
        let owner = unsafe { CStr::from_ptr(entry.ifa_name) };
        let is_loopback = entry.ifa_flags & libc::IFF_LOOPBACK as u32 != 0;
        if is_loopback || owner.to_bytes() == name.as_bytes() {
            // SAFETY: it is null or points to an address of the list, as long as its family's are.
            addresses.extend(unsafe { address(entry.ifa_addr) });
        }
    }
    // SAFETY: getifaddrs has made the list, it is freed once, and no reference into it is left.
    unsafe { libc::freeifaddrs(first) };
    addresses.retain(|address| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    });
    Ok(addresses)
}

/// # Safety
/// Null, or points to an address of the length of its family.
unsafe fn address(name: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller vouches that it is null or points to an address, which begins with its family.
    let family = unsafe { name.as_ref() }?.sa_family;
    match c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: an address of this family is a `sockaddr_in`; it may lie at any alignment.
            let name = unsafe { name.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is a `sockaddr_in6`; it may lie at any alignment.
            let name = unsafe { name.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(name.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from("/sys/class/net").join(name)
}

fn read(name: &str, file: &str) -> io::Result<String> {
    Ok(fs::read_to_string(folder(name).join(file))?
        .trim()
        .to_owned())
}

fn number<T: std::str::FromStr>(name: &str, file: &str) -> io::Result<T> {
    let text = read(name, file)?;
    text.parse().map_err(|_| io::ErrorKind::InvalidData.into())
}
