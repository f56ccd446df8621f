//! UDP past the kernel's network stack: AF_XDP sockets, and the XDP program that sends queries to them.

mod bpf_sys;
#[cfg(test)]
mod fixture;
mod interface_sys;
mod packet;
mod pod_sys;
mod program;
mod ring_sys;
mod socket_sys;
mod worker;

pub(super) use worker::Interface;
pub(super) use worker::XdpWorker;
pub use worker::n_threads;
pub(super) use worker::open;
