//! A resolver that answers as it is told: rotates, fails, lies and hangs.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use hickory_proto::op::Message;
use hickory_proto::op::OpCode;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RData;
use hickory_proto::rr::Record;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::rdata::AAAA;

use crate::harness::read_framed;

/// What a name is answered.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// These addresses, with a TTL of a second; NODATA for a family without any.
    Addresses(Vec<IpAddr>),
    /// This response code.
    Fails(ResponseCode),
    /// Nothing at all.
    Hangs,
}

/// The largest response over UDP; longer ones are truncated.
const MAX_UDP: usize = 1232;

type Names = Arc<Mutex<HashMap<String, Behaviour>>>;

/// A resolver over UDP and TCP on one port; names it has not been told of do not exist.
pub struct FakeResolver {
    pub address: SocketAddr,
    names: Names,
}

impl FakeResolver {
    pub fn start() -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = tcp.local_addr().expect("an address");
            // The port may be taken for UDP.
            if let Ok(udp) = UdpSocket::bind(address) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("an address");
        let names = Names::default();
        let of_udp = Arc::clone(&names);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((len, client)) = udp.recv_from(&mut buffer) {
                if let Some(mut response) = respond(&buffer[..len], &of_udp) {
                    let mut bytes = response.to_vec().expect("an encodable response");
                    if bytes.len() > MAX_UDP {
                        response.answers.clear();
                        response.metadata.truncation = true;
                        bytes = response.to_vec().expect("an encodable response");
                    }
                    let _ = udp.send_to(&bytes, client);
                }
            }
        });
        let of_tcp = Arc::clone(&names);
        thread::spawn(move || {
            for mut stream in tcp.incoming().map_while(Result::ok) {
                let query = read_framed(&mut stream);
                if let Some(response) = respond(&query, &of_tcp) {
                    let bytes = response.to_vec().expect("an encodable response");
                    let len = u16::try_from(bytes.len()).expect("a length");
                    let _ = stream.write_all(&[&len.to_be_bytes(), &*bytes].concat());
                }
            }
        });
        Self { address, names }
    }

    /// Answers a name so from now on.
    pub fn set(&self, name: &str, behaviour: Behaviour) {
        let mut names = self.names.lock().expect("no panic");
        names.insert(name.to_owned(), behaviour);
    }

    /// Answers a name with these addresses from now on.
    pub fn set_addresses(&self, name: &str, addresses: &str) {
        let addresses = addresses.split_whitespace();
        let addresses = addresses.map(|word| word.parse().expect("an address"));
        self.set(name, Behaviour::Addresses(addresses.collect()));
    }
}

fn respond(query: &[u8], names: &Names) -> Option<Message> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let name = question.name().to_ascii().to_ascii_lowercase();
    let behaviour = {
        let names = names.lock().expect("no panic");
        names.get(name.trim_end_matches('.')).cloned()
    };
    let mut response = Message::response(query.metadata.id, OpCode::Query);
    response.metadata.recursion_available = true;
    match behaviour.unwrap_or(Behaviour::Fails(ResponseCode::NXDomain)) {
        Behaviour::Hangs => return None,
        Behaviour::Fails(code) => response.metadata.response_code = code,
        Behaviour::Addresses(addresses) => {
            let data = addresses.into_iter().map(|address| match address {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            });
            let rtype: RecordType = question.query_type();
            let of_type = data.filter(|data| data.record_type() == rtype);
            let records = of_type.map(|data| Record::from_rdata(question.name().clone(), 1, data));
            response.answers.extend(records);
        }
    }
    response.add_query(question);
    Some(response)
}
