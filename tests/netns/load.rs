//! Queries that go on all the time, to every name server for every region, and what became of each: one that
//! nobody answers is never asked again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::op::Edns;
use hickory_proto::op::Message;
use hickory_proto::op::MessageType;
use hickory_proto::op::OpCode;
use hickory_proto::op::Query;
use hickory_proto::rr::Name;
use hickory_proto::rr::RData;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::ClientSubnet;
use hickory_proto::rr::rdata::opt::EdnsOption;

/// Between two queries to one name server.
const PAUSE: Duration = Duration::from_millis(5);

/// A query without a response for so long is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(3);

/// One query, and its response.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub region: usize,
    pub sent: Instant,
    /// When the response came, and the address in it.
    pub answered: Option<(Instant, Option<Ipv4Addr>)>,
}

/// The queries to one name server.
pub struct Load {
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Asks `server` for `name` from each of the client subnets in turn.
    pub fn start(server: SocketAddr, name: &'static str, subnets: &'static [&str]) -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.connect(server).expect("a route");
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a timeout");
        let receiver = socket.try_clone().expect("a socket");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (sent, stops) = (Arc::clone(&asked), Arc::clone(&stop));
        let sending = thread::spawn(move || {
            let mut n = 0_usize;
            while !stops.load(SeqCst) {
                let region = n % subnets.len();
                let query = query(n as u16, name, subnets[region]);
                let mut asked = sent.lock().expect("no panic");
                asked.push(Asked {
                    region,
                    sent: Instant::now(),
                    answered: None,
                });
                drop(asked);
                // A server that is not there is a refusal of the kernel: the query counts as lost.
                let _ = socket.send(&query);
                n += 1;
                thread::sleep(PAUSE);
            }
        });
        let (received, stops) = (Arc::clone(&asked), Arc::clone(&stop));
        let receiving = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stops.load(SeqCst) {
                let Ok(len) = receiver.recv(&mut buffer) else {
                    continue;
                };
                let Ok(message) = Message::from_vec(&buffer[..len]) else {
                    continue;
                };
                let address = message.answers.iter().find_map(|record| match record.data {
                    RData::A(a) => Some(a.0),
                    _ => None,
                });
                let mut asked = received.lock().expect("no panic");
                let id = usize::from(message.metadata.id);
                // Ids repeat every 65,536 queries: minutes.
                let latest = asked.len().saturating_sub(1);
                let at = latest - (latest.wrapping_sub(id) & 0xFFFF);
                if let Some(asked) = asked.get_mut(at) {
                    asked.answered = Some((Instant::now(), address));
                }
            }
        });
        Self {
            asked,
            stop,
            threads: vec![sending, receiving],
        }
    }

    /// When a region was first answered `address` after `since`.
    pub fn first(&self, region: usize, address: Ipv4Addr, since: Instant) -> Option<Duration> {
        let asked = self.asked.lock().expect("no panic");
        let mut later = asked
            .iter()
            .rev()
            .take_while(|asked| asked.sent >= since)
            .collect::<Vec<_>>();
        later.reverse();
        later.into_iter().find_map(|asked| match asked.answered {
            Some((at, Some(found))) if asked.region == region && found == address => {
                Some(at - since)
            }
            _ => None,
        })
    }

    /// The addresses that each region was answered between two moments.
    pub fn answers(&self, from: Instant, to: Instant) -> BTreeMap<usize, Vec<IpAddr>> {
        let mut answers: BTreeMap<usize, Vec<IpAddr>> = BTreeMap::new();
        let asked = self.asked.lock().expect("no panic");
        for asked in asked
            .iter()
            .filter(|asked| asked.sent >= from && asked.sent < to)
        {
            if let Some((_, Some(address))) = asked.answered {
                let of_region = answers.entry(asked.region).or_default();
                if !of_region.contains(&address.into()) {
                    of_region.push(address.into());
                }
            }
        }
        answers
    }

    /// How many were sent and how many of them lost, apart from those of these times, when it did not run.
    pub fn lost(&self, away: &[(Instant, Instant)]) -> (usize, usize) {
        let now = Instant::now();
        let asked = self.asked.lock().expect("no panic");
        let counted = asked.iter().filter(|asked| {
            let is_away = |(from, to): &(Instant, Instant)| asked.sent >= *from && asked.sent < *to;
            !away.iter().any(is_away) && now - asked.sent > LOST_AFTER
        });
        counted.fold((0, 0), |(n, lost), asked| {
            (n + 1, lost + usize::from(asked.answered.is_none()))
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn query(id: u16, name: &str, subnet: &str) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).expect("a name");
    message.add_query(Query::query(name, RecordType::A));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    let (address, len) = subnet.split_once('/').expect("a subnet");
    let (address, len) = (
        address.parse().expect("address"),
        len.parse().expect("length"),
    );
    let subnet = ClientSubnet::new(address, len, 0);
    edns.options_mut().insert(EdnsOption::Subnet(subnet));
    message.edns = Some(edns);
    message.to_vec().expect("an encodable query")
}
