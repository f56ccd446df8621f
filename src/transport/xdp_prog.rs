//! The program that the kernel runs on each packet of an interface: queries to us into our socket,
//! everything else on its way.
//!
//! Some fifty instructions of BPF (RFC 9669), written down here as data. A packet goes to the socket of
//! its queue if it is short enough for a frame, sent to the interface's own MAC address without a VLAN
//! tag, IPv4 without options and no fragment or IPv6 without extension headers, UDP, and sent to an
//! address and port of the map of [`Key`]s. Whatever else it is, and where a queue has no socket, the
//! kernel goes on with it as if there were no program.

use std::net::IpAddr;

use crate::transport::packet::ETHERNET_LEN;
use crate::transport::packet::ETHERTYPE_IPV4;
use crate::transport::packet::ETHERTYPE_IPV6;
use crate::transport::packet::IPV4_FRAGMENT;
use crate::transport::packet::IPV4_LEN;
use crate::transport::packet::IPV4_PLAIN;
use crate::transport::packet::IPV6_LEN;
use crate::transport::packet::UDP;
use crate::transport::packet::UDP_LEN;

/// One instruction, as the kernel's `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    /// What to do.
    pub(super) code: u8,
    /// The register written and the register read, half an octet each.
    pub(super) registers: u8,
    /// A jump's distance, or an address's displacement.
    pub(super) offset: i16,
    /// The constant operand.
    pub(super) immediate: i32,
}

/// An address and port that is answered on: the address, IPv4 as IPv4-mapped, the port, both in network
/// order, and padding.
pub(super) type Key = [u8; KEY_LEN];

/// Octets of a [`Key`].
pub(super) const KEY_LEN: usize = 20;

/// The key of an address and port.
pub(super) fn key(address: IpAddr, port: u16) -> Key {
    let address = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let mut key = [0; KEY_LEN];
    let octets = address.octets().into_iter().chain(port.to_be_bytes());
    for (to, from) in key.iter_mut().zip(octets) {
        *to = from;
    }
    key
}

/// What the program is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// The interface's MAC address.
    pub(super) mac: [u8; 6],
    /// The longest packet that fits a frame, in octets.
    pub(super) longest: u16,
    /// The file descriptor of the map of [`Key`]s.
    pub(super) keys: i32,
    /// The file descriptor of the map of queues to sockets.
    pub(super) sockets: i32,
}

/// Writes the program.
pub(super) fn assemble(target: &Target) -> Vec<Instruction> {
    let mut p = Assembler::default();
    p.push(MOVE, CONTEXT, R1, 0, 0);
    p.push(LOAD_32, PACKET, CONTEXT, 0, 0);
    p.push(LOAD_32, PACKET_END, CONTEXT, 4, 0);
    // Nothing longer than a frame: the kernel would drop it on the way to our socket.
    p.push(MOVE, R4, PACKET, 0, 0);
    p.push(ADD_CONSTANT, R4, R0, 0, target.longest.into());
    p.pass_if(JUMP_IF_LESS, R4, PACKET_END, 0);
    p.pass_if_shorter(ETHERNET_LEN + IPV4_LEN + UDP_LEN);
    // The MAC address. A port in promiscuous mode sees what is meant for others; and to a group, nobody
    // sends queries that are to be answered.
    let (parts, _) = target.mac.as_chunks::<2>();
    for (offset, part) in [0, 2, 4].into_iter().zip(parts) {
        p.push(LOAD_16, R5, PACKET, offset, 0);
        p.pass_if(JUMP_IF_NOT_CONSTANT, R5, R0, network_16(*part));
    }
    // The verifier wants all of the key written.
    for offset in (0..KEY_LEN as i16).step_by(4) {
        p.push(STORE_CONSTANT_32, STACK, R0, KEY_AT + offset, 0);
    }
    p.push(LOAD_16, R5, PACKET, 12, 0);
    let to_ipv4 = p.jump(JUMP_IF_CONSTANT, R5, network_16(ETHERTYPE_IPV4));
    p.pass_if(JUMP_IF_NOT_CONSTANT, R5, R0, network_16(ETHERTYPE_IPV6));
    p.ipv6();
    let to_lookup = p.jump(JUMP, R0, 0);
    p.land(to_ipv4);
    p.ipv4();
    p.land(to_lookup);
    p.load_map(target.keys);
    p.push(MOVE, R2, STACK, 0, 0);
    p.push(ADD_CONSTANT, R2, R0, 0, KEY_AT.into());
    p.push(CALL, R0, R0, 0, MAP_LOOKUP_ELEM);
    p.pass_if(JUMP_IF_CONSTANT, R0, R0, 0);
    p.load_map(target.sockets);
    p.push(LOAD_32, R2, CONTEXT, 16, 0);
    p.push(MOVE_CONSTANT, R3, R0, 0, XDP_PASS);
    p.push(CALL, R0, R0, 0, REDIRECT_MAP);
    p.push(EXIT, R0, R0, 0, 0);
    p.land_passes();
    p.push(MOVE_CONSTANT, R0, R0, 0, XDP_PASS);
    p.push(EXIT, R0, R0, 0, 0);
    p.instructions
}

/// Instructions, and the jumps among them that still need their distance.
#[derive(Default)]
struct Assembler {
    instructions: Vec<Instruction>,
    passes: Vec<usize>,
}

impl Assembler {
    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        let registers = if cfg!(target_endian = "little") {
            from << 4 | to
        } else {
            to << 4 | from
        };
        self.instructions.push(Instruction {
            code,
            registers,
            offset,
            immediate,
        });
    }

    /// A jump that [`Self::land`] gives its distance.
    fn jump(&mut self, code: u8, register: u8, immediate: i32) -> usize {
        self.push(code, register, R0, 0, immediate);
        self.instructions.len() - 1
    }

    /// Makes a jump go to the next instruction.
    fn land(&mut self, jump: usize) {
        let distance = self.instructions.len().saturating_sub(jump + 1);
        if let Some(instruction) = self.instructions.get_mut(jump) {
            // Some fifty instructions.
            instruction.offset = distance as i16;
        }
    }

    /// A jump to the end that leaves the packet to the kernel.
    fn pass_if(&mut self, code: u8, left: u8, right: u8, immediate: i32) {
        self.passes.push(self.instructions.len());
        self.push(code, left, right, 0, immediate);
    }

    fn land_passes(&mut self) {
        for jump in std::mem::take(&mut self.passes) {
            self.land(jump);
        }
    }

    /// What follows may read so many octets of the packet.
    fn pass_if_shorter(&mut self, len: usize) {
        self.push(MOVE, R4, PACKET, 0, 0);
        self.push(ADD_CONSTANT, R4, R0, 0, len as i32);
        self.pass_if(JUMP_IF_GREATER, R4, PACKET_END, 0);
    }

    fn load_map(&mut self, map: i32) {
        self.push(LOAD_CONSTANT_64, R1, MAP_DESCRIPTOR, 0, map);
        self.push(0, R0, R0, 0, 0);
    }

    /// Copies 32 bits of the packet into the key.
    fn copy(&mut self, packet_offset: i16, key_offset: i16) {
        self.push(LOAD_32, R5, PACKET, packet_offset, 0);
        self.push(STORE_32, STACK, R5, KEY_AT + key_offset, 0);
    }

    fn ipv4(&mut self) {
        const IP: i16 = ETHERNET_LEN as i16;
        self.push(LOAD_8, R5, PACKET, IP, 0);
        self.pass_if(JUMP_IF_NOT_CONSTANT, R5, R0, IPV4_PLAIN.into());
        self.push(LOAD_8, R5, PACKET, IP + 9, 0);
        self.pass_if(JUMP_IF_NOT_CONSTANT, R5, R0, UDP.into());
        self.push(LOAD_16, R5, PACKET, IP + 6, 0);
        let fragment = network_16(IPV4_FRAGMENT.to_be_bytes());
        self.push(AND_CONSTANT, R5, R0, 0, fragment);
        self.pass_if(JUMP_IF_NOT_CONSTANT, R5, R0, 0);
        let mapped = i32::from_ne_bytes([0, 0, 0xff, 0xff]);
        self.push(STORE_CONSTANT_32, STACK, R0, KEY_AT + 8, mapped);
        self.copy(IP + 16, 12);
        self.port(IP + IPV4_LEN as i16);
    }

    fn ipv6(&mut self) {
        const IP: i16 = ETHERNET_LEN as i16;
        self.pass_if_shorter(ETHERNET_LEN + IPV6_LEN + UDP_LEN);
        self.push(LOAD_8, R5, PACKET, IP, 0);
        self.push(AND_CONSTANT, R5, R0, 0, 0xf0);
        self.pass_if(JUMP_IF_NOT_CONSTANT, R5, R0, 0x60);
        self.push(LOAD_8, R5, PACKET, IP + 6, 0);
        self.pass_if(JUMP_IF_NOT_CONSTANT, R5, R0, UDP.into());
        for part in (0..16).step_by(4) {
            self.copy(IP + 24 + part, part);
        }
        self.port(IP + IPV6_LEN as i16);
    }

    /// Copies the destination port of the UDP header at `udp` into the key.
    fn port(&mut self, udp: i16) {
        self.push(LOAD_16, R5, PACKET, udp + 2, 0);
        self.push(STORE_16, STACK, R5, KEY_AT + 16, 0);
    }
}

/// What a 16-bit load of these octets gives: the program loads in the machine's order.
fn network_16(octets: [u8; 2]) -> i32 {
    u16::from_ne_bytes(octets).into()
}

// Registers (RFC 9669 s2.1, and the kernel's calling convention): R0 is a function's result, R1 to R5
// are its arguments and do not survive a call, R10 is the frame pointer.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;
const STACK: u8 = 10;
/// The kernel's `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index.
const CONTEXT: u8 = 6;
const PACKET: u8 = 7;
const PACKET_END: u8 = 8;

/// Where the key lies on the stack.
const KEY_AT: i16 = -24;

// Operation codes (RFC 9669 s4 and s5), those of 64 bits; no constant here has a sign to extend.
const MOVE: u8 = 0xbf;
const MOVE_CONSTANT: u8 = 0xb7;
const ADD_CONSTANT: u8 = 0x07;
const AND_CONSTANT: u8 = 0x57;
const LOAD_8: u8 = 0x71;
const LOAD_16: u8 = 0x69;
const LOAD_32: u8 = 0x61;
const LOAD_CONSTANT_64: u8 = 0x18;
const STORE_16: u8 = 0x6b;
const STORE_32: u8 = 0x63;
const STORE_CONSTANT_32: u8 = 0x62;
const JUMP: u8 = 0x05;
const JUMP_IF_CONSTANT: u8 = 0x15;
const JUMP_IF_NOT_CONSTANT: u8 = 0x55;
const JUMP_IF_GREATER: u8 = 0x2d;
const JUMP_IF_LESS: u8 = 0xad;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// In the place of a register: the constant is the file descriptor of a map.
const MAP_DESCRIPTOR: u8 = 1;

/// `bpf_map_lookup_elem`.
const MAP_LOOKUP_ELEM: i32 = 1;
/// `bpf_redirect_map`.
const REDIRECT_MAP: i32 = 51;
/// On with it, as if there were no program.
const XDP_PASS: i32 = 2;
