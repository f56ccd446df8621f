//! The program that the kernel runs on each packet of an interface: queries to us into our socket,
//! everything else on its way.
//!
//! Some fifty instructions of BPF (RFC 9669), written down here as data. A packet goes to the socket of
//! its queue if it is short enough for a frame, sent to the interface's own MAC address without a VLAN
//! tag, IPv4 without options and no fragment or IPv6 without extension headers, UDP, and sent to an
//! address and port of the map of [`Key`]s, and no dynamic update, which is answered later than its batch.
//! Whatever else it is, and where a queue has no socket, the
//! kernel goes on with it as if there were no program.

use std::net::IpAddr;

use crate::transport::xdp::packet::ETHERNET_LEN;
use crate::transport::xdp::packet::ETHERTYPE_IPV4;
use crate::transport::xdp::packet::ETHERTYPE_IPV6;
use crate::transport::xdp::packet::IPV4_FRAGMENT;
use crate::transport::xdp::packet::IPV4_LEN;
use crate::transport::xdp::packet::IPV4_PLAIN;
use crate::transport::xdp::packet::IPV6_LEN;
use crate::transport::xdp::packet::UDP;
use crate::transport::xdp::packet::UDP_LEN;

/// One instruction, as the kernel's `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(in crate::transport) struct Instruction {
    /// What to do.
    pub(in crate::transport) code: u8,
    /// The register written and the register read, half an octet each.
    pub(in crate::transport) registers: u8,
    /// A jump's distance, or an address's displacement.
    pub(in crate::transport) offset: i16,
    /// The constant operand.
    pub(in crate::transport) immediate: i32,
}

/// An address and port that is answered on: the address, IPv4 as IPv4-mapped, the port, both in network
/// order, and padding.
pub(in crate::transport) type Key = [u8; KEY_LEN];

/// Octets of a [`Key`].
pub(in crate::transport) const KEY_LEN: usize = 20;

/// The key of an address and port.
pub(in crate::transport) fn key(address: IpAddr, port: u16) -> Key {
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
pub(in crate::transport) struct Target {
    /// The interface's MAC address.
    pub(in crate::transport) mac: [u8; 6],
    /// The longest packet that fits a frame, in octets.
    pub(in crate::transport) longest: u16,
    /// The number of the file descriptor of the map of [`Key`]s.
    pub(in crate::transport) keys: i32,
    /// The number of that of the map of queues to sockets.
    pub(in crate::transport) sockets: i32,
}

/// Writes the program.
pub(in crate::transport) fn assemble(target: &Target) -> Vec<Instruction> {
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

    /// Copies the destination port of the UDP header at `udp` into the key, and passes updates.
    fn port(&mut self, udp: i16) {
        let flags = udp + UDP_LEN as i16 + 2;
        self.pass_if_shorter(flags as usize + 1);
        self.push(LOAD_8, R5, PACKET, flags, 0);
        self.push(AND_CONSTANT, R5, R0, 0, QR_AND_OPCODE);
        self.pass_if(JUMP_IF_CONSTANT, R5, R0, UPDATE);
        self.push(LOAD_16, R5, PACKET, udp + 2, 0);
        self.push(STORE_16, STACK, R5, KEY_AT + 16, 0);
    }
}

/// QR and opcode in the third octet of a DNS message (RFC 1035 s4.1.1), and those of an update.
const QR_AND_OPCODE: i32 = 0xf8;
const UPDATE: i32 = 5 << 3;

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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::os::fd::AsFd;
    use std::os::fd::AsRawFd;

    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use super::*;
    use crate::base::prefix::Family;
    use crate::transport::xdp::bpf_sys;
    use crate::transport::xdp::bpf_sys::Map;
    use crate::transport::xdp::bpf_sys::MapKind;
    use crate::transport::xdp::fixture;
    use crate::transport::xdp::packet;
    use crate::wire::update::is_update;

    const KEYS: i32 = 11;
    const SOCKETS: i32 = 12;
    const QUEUE: u64 = 3;

    const TARGET: Target = Target {
        mac: fixture::SERVER_MAC,
        longest: 1792,
        keys: KEYS,
        sockets: SOCKETS,
    };

    /// Where the interpreter's memories begin; each is far from the others.
    const CONTEXT_BASE: u64 = 1 << 20;
    const PACKET_BASE: u64 = 1 << 24;
    const STACK_BASE: u64 = 1 << 28;
    const STACK_LEN: usize = 512;

    /// An interpreter of what the program uses, which panics where the kernel's verifier would refuse.
    struct Machine<'a> {
        registers: [Option<u64>; 11],
        frame: &'a [u8],
        stack: Vec<Option<u8>>,
        keys: &'a HashSet<Key>,
        verdict: Verdict,
    }

    /// What becomes of a packet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Verdict {
        Kernel,
        /// The socket of this queue.
        Socket(u64),
    }

    impl<'a> Machine<'a> {
        fn run(program: &[Instruction], frame: &'a [u8], keys: &'a HashSet<Key>) -> Verdict {
            let mut machine = Self {
                registers: [None; 11],
                frame,
                stack: vec![None; STACK_LEN],
                keys,
                verdict: Verdict::Kernel,
            };
            machine.registers[1] = Some(CONTEXT_BASE);
            machine.registers[10] = Some(STACK_BASE + STACK_LEN as u64);
            let mut at = 0;
            for _ in 0..200 {
                let instruction = program[at];
                at += 1;
                match instruction.code {
                    EXIT => {
                        let is_pass = machine.value(0) == XDP_PASS as u64;
                        assert_eq!(is_pass, machine.verdict == Verdict::Kernel);
                        return machine.verdict;
                    }
                    LOAD_CONSTANT_64 => {
                        let (code, registers) = (program[at].code, program[at].registers);
                        assert_eq!((code, registers), (0, 0), "its other half");
                        at += 1;
                        let (to, from) = halves(instruction);
                        assert_eq!(from, usize::from(MAP_DESCRIPTOR));
                        machine.registers[to] = Some(instruction.immediate as u64);
                    }
                    // No loops: the kernel wants every way to the end to be short.
                    _ if machine.does_jump(instruction) => {
                        at += usize::try_from(instruction.offset).expect("forward");
                    }
                    _ => {}
                }
            }
            panic!("it does not end");
        }

        /// Carries out an instruction and returns whether it jumps.
        fn does_jump(&mut self, instruction: Instruction) -> bool {
            let (to, from) = halves(instruction);
            let offset = instruction.offset;
            let constant = i64::from(instruction.immediate) as u64;
            let written = instruction.immediate.to_le_bytes();
            match instruction.code {
                JUMP => return true,
                JUMP_IF_CONSTANT => return self.value(to) == constant,
                JUMP_IF_NOT_CONSTANT => return self.value(to) != constant,
                JUMP_IF_GREATER => return self.value(to) > self.value(from),
                JUMP_IF_LESS => return self.value(to) < self.value(from),
                MOVE => self.registers[to] = Some(self.value(from)),
                MOVE_CONSTANT => self.registers[to] = Some(constant),
                ADD_CONSTANT => {
                    self.registers[to] = Some(self.value(to).wrapping_add(constant));
                }
                AND_CONSTANT => self.registers[to] = Some(self.value(to) & constant),
                LOAD_8 => self.load(to, from, offset, 1),
                LOAD_16 => self.load(to, from, offset, 2),
                LOAD_32 => self.load(to, from, offset, 4),
                STORE_16 => self.store(to, offset, &self.value(from).to_le_bytes()[..2]),
                STORE_32 => self.store(to, offset, &self.value(from).to_le_bytes()[..4]),
                STORE_CONSTANT_32 => self.store(to, offset, &written),
                CALL => self.call(instruction.immediate),
                code => panic!("operation {code:#x}"),
            }
            false
        }

        fn value(&self, register: usize) -> u64 {
            self.registers[register].expect("a register is written before it is read")
        }

        fn octets(&self, base: u64, offset: i16, len: usize) -> Vec<u8> {
            let address = base.wrapping_add_signed(offset.into());
            let at = |start: u64| (address - start) as usize;
            if address >= STACK_BASE {
                let octets = &self.stack[at(STACK_BASE)..][..len];
                octets.iter().map(|octet| octet.expect("written")).collect()
            } else if address >= PACKET_BASE {
                self.frame[at(PACKET_BASE)..][..len].to_vec()
            } else {
                let end = PACKET_BASE + self.frame.len() as u64;
                let context = [PACKET_BASE, end, PACKET_BASE, 7, QUEUE];
                let octets: Vec<u8> = context
                    .iter()
                    .flat_map(|value| (*value as u32).to_le_bytes())
                    .collect();
                octets[at(CONTEXT_BASE)..][..len].to_vec()
            }
        }

        fn load(&mut self, to: usize, from: usize, offset: i16, len: usize) {
            let mut value = self.octets(self.value(from), offset, len);
            value.resize(8, 0);
            self.registers[to] = Some(u64::from_le_bytes(value.try_into().unwrap()));
        }

        fn store(&mut self, to: usize, offset: i16, value: &[u8]) {
            assert_eq!(to, usize::from(STACK), "only the stack is written");
            let at = self.value(to).wrapping_add_signed(offset.into()) - STACK_BASE;
            for (n, octet) in value.iter().enumerate() {
                self.stack[at as usize + n] = Some(*octet);
            }
        }

        fn call(&mut self, function: i32) {
            match function {
                MAP_LOOKUP_ELEM => {
                    assert_eq!(self.value(1), KEYS as u64);
                    let key = self.octets(self.value(2), 0, KEY_LEN);
                    let is_there = self.keys.contains(&key[..]);
                    self.registers[0] = Some(if is_there { 0x1234 } else { 0 });
                }
                REDIRECT_MAP => {
                    let arguments = (self.value(1), self.value(3));
                    assert_eq!(arguments, (SOCKETS as u64, XDP_PASS as u64));
                    self.registers[0] = Some(4);
                    self.verdict = Verdict::Socket(self.value(2));
                }
                _ => panic!("function {function}"),
            }
            self.registers[1..6].fill(None);
        }
    }

    fn halves(instruction: Instruction) -> (usize, usize) {
        let (low, high) = (instruction.registers & 15, instruction.registers >> 4);
        (low.into(), high.into())
    }

    /// Port 53 of the server of the fixture's queries, in both families.
    fn keys() -> HashSet<Key> {
        ["192.0.2.1", "2001:db8:1::1"]
            .map(|address| key(address.parse().unwrap(), 53))
            .into()
    }

    fn verdict(frame: &[u8]) -> Verdict {
        Machine::run(&assemble(&TARGET), frame, &keys())
    }

    #[test]
    fn queries_to_us_go_to_the_socket_of_their_queue() {
        for family in Family::ALL {
            for len in [3, 12, 50, 1700] {
                let frame = fixture::query(family, &vec![0; len]);
                assert_eq!(verdict(&frame), Verdict::Socket(QUEUE), "{family:?} {len}");
            }
        }
    }

    #[test]
    fn everything_else_goes_to_the_kernel() {
        let v4 = fixture::query(Family::V4, b"query");
        let v6 = fixture::query(Family::V6, b"query");
        for (what, frame, at, octets) in [
            ("another machine's", &v4, 5, &[0x09][..]),
            ("another machine's", &v4, 0, &[0x12]),
            ("another machine's", &v6, 2, &[0x12]),
            ("broadcast", &v4, 0, &[0xff; 6]),
            ("multicast", &v6, 0, &[0x33, 0x33, 0, 0, 0, 1]),
            ("VLAN", &v4, 12, &[0x81, 0x00]),
            ("service VLAN", &v4, 12, &[0x88, 0xa8]),
            ("ARP", &v4, 12, &[0x08, 0x06]),
            ("the other family", &v4, 12, &[0x86, 0xdd]),
            ("the other family", &v6, 12, &[0x08, 0x00]),
            ("options", &v4, 14, &[0x46]),
            ("version 6", &v4, 14, &[0x65]),
            ("a first fragment", &v4, 20, &[0x20, 0]),
            ("a later fragment", &v4, 20, &[0, 1]),
            ("a late fragment", &v4, 20, &[0x1f, 0]),
            ("TCP", &v4, 23, &[6]),
            ("ICMP", &v4, 23, &[1]),
            ("another address", &v4, 33, &[2]),
            ("another port", &v4, 36, &[0, 54]),
            ("another port", &v4, 36, &[1, 53]),
            ("version 4", &v6, 14, &[0x4a]),
            ("TCP", &v6, 20, &[6]),
            ("neighbour discovery", &v6, 20, &[58]),
            ("hop-by-hop options", &v6, 20, &[0]),
            ("a fragment", &v6, 20, &[44]),
            ("another address", &v6, 38, &[0x21]),
            ("another address", &v6, 44, &[1]),
            ("another address", &v6, 53, &[2]),
            ("another port", &v6, 56, &[0, 54]),
        ] {
            let frame = fixture::with(frame, at, octets);
            assert_eq!(verdict(&frame), Verdict::Kernel, "{what}");
        }
        for frame in [&v4, &v6] {
            let update = fixture::with(frame, frame.len() - b"ery".len(), b"\x28");
            assert_eq!(verdict(&update), Verdict::Kernel, "an update");
        }
        // Whole, and not to be fragmented.
        assert_eq!(
            verdict(&fixture::with(&v4, 20, &[0x40, 0])),
            Verdict::Socket(QUEUE)
        );
        for frame in [&v4, &v6] {
            for len in 0..frame.len() - b"query".len() {
                assert_eq!(verdict(&frame[..len]), Verdict::Kernel, "{len} octets");
            }
            let mut long = frame.clone();
            long.resize(1792, 0);
            assert_eq!(verdict(&long), Verdict::Socket(QUEUE));
            long.push(0);
            assert_eq!(verdict(&long), Verdict::Kernel, "longer than a frame");
        }
    }

    #[test]
    fn keys_tell_families_addresses_and_ports_apart() {
        let keys: HashSet<Key> = [
            ("192.0.2.1", 53),
            ("192.0.2.1", 5300),
            ("192.0.2.2", 53),
            ("::c000:201", 53),
            ("2001:db8::1", 53),
        ]
        .into_iter()
        .map(|(address, port)| key(address.parse().unwrap(), port))
        .collect();
        assert_eq!(keys.len(), 5);
    }

    /// What only the kernel can tell; the integration tests, which need privileges too, attach it.
    #[test]
    fn the_kernels_verifier_takes_it_where_it_may_be_asked() {
        let maps = Map::create(MapKind::Hash, KEY_LEN, 8)
            .and_then(|keys| Ok((keys, Map::create(MapKind::Sockets, 4, 4)?)));
        let Ok((keys, sockets)) = maps else {
            return;
        };
        let program = assemble(&Target {
            keys: keys.as_fd().as_raw_fd(),
            sockets: sockets.as_fd().as_raw_fd(),
            ..TARGET
        });
        bpf_sys::load(&program).expect("the verifier's approval");
    }

    proptest! {
        /// What our reader understands goes to the socket if it is for us, and only then: the program
        /// and the reader agree.
        #[test]
        fn what_is_ours_is_what_the_reader_understands(
            is_ipv6 in any::<bool>(),
            len in 0..100_usize,
            changes in vec((0..70_usize, any::<u8>()), 0..3),
        ) {
            let family = Family::ALL[usize::from(is_ipv6)];
            let sent = fixture::query(family, &vec![0; len]);
            let mut frame = sent.clone();
            for (at, octet) in changes {
                if at < frame.len() {
                    frame = fixture::with(&frame, at, &[octet]);
                }
            }
            // MAC address, destination address and port.
            let ours = match family {
                Family::V4 => [0..6, 30..34, 36..38],
                Family::V6 => [0..6, 38..54, 56..58],
            };
            if packet::parse(&frame).is_some() {
                let is_ours = ours.into_iter().all(|part| frame[part.clone()] == sent[part]);
                let payload = &frame[frame.len() - len..];
                let is_ours = is_ours && payload.len() > 2 && !is_update(payload);
                prop_assert_eq!(verdict(&frame) == Verdict::Socket(QUEUE), is_ours);
            }
        }
    }
}
