//! A server in a folder of its own, backends that can be switched, and a small DNS client.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::op::Edns;
use hickory_proto::op::Message;
use hickory_proto::op::MessageType;
use hickory_proto::op::OpCode;
use hickory_proto::op::Query;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use hickory_proto::rr::RData;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::ClientSubnet;
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::rdata::opt::EdnsOption;
use tempfile::TempDir;

/// The longest that any condition is waited for; far more than it takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a busy machine may add to a time that the contract bounds; simulated time holds the bounds
/// themselves.
pub const SLACK: Duration = Duration::from_secs(3);

/// Waits until `condition` gives something.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Files for one test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Writes a file, and the folders that it lies in.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The usual three files, with `more` behind `[server]`; no pool file without pools.
    pub fn usual(pools: &str, more: &str) -> Self {
        let folder = Self::new();
        let pool_file = match pools {
            "" => "",
            _ => "pools = \"pools.toml\"\n",
        };
        folder
            .write("zones/example.com.zone", ZONE)
            .write("pools.toml", pools)
            .write(
                "meridian.toml",
                format!(
                    "zones = \"zones\"\n{pool_file}state_dir = \"state\"\n\
                 [server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n{more}\n\
                 [admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"token\"\n"
                ),
            );
        folder.write("token", "s3cret-of-16-octets\n");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.path("token"), mode).expect("a mode");
        folder
    }

    /// Runs the program to its end.
    pub fn meridian(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_meridian"))
            .current_dir(self.0.path())
            .args(arguments)
            .output()
            .expect("the program runs")
    }

    pub fn serve(self) -> Server {
        Server::start(self, Command::new(env!("CARGO_BIN_EXE_meridian")))
    }

    /// Runs `meridian vantage`, which has no DNS address.
    pub fn vantage(self) -> Server {
        let command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        Server::start_as(self, command, "vantage", "probing for the fleet")
    }
}

/// Static data and delegations for all tests; steered names come from `pools.toml`.
pub const ZONE: &str = "\
$TTL 1h
@      SOA ns1 hostmaster 7 1h 15m 1w 5m
       NS  ns1
       NS  ns2
ns1    A   192.0.2.53
ns2    A   192.0.2.54
       AAAA 2001:db8::54
www    CNAME app
alias  CNAME target.example.net.
mail   MX  10 mx
mx     A   192.0.2.25
*.wild TXT \"any\"
sub    NS  ns.sub
ns.sub A   192.0.2.99
old    DNAME new
x.new  A   192.0.2.77
a.b.c  A   192.0.2.1
";

/// What reads a server's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LogReader {
    /// Each line at once.
    Reads,
    /// Keeps the pipe open and takes nothing.
    Waits,
    /// Closes the pipe.
    Leaves,
}

/// A running server.
pub struct Server {
    pub folder: Folder,
    child: Child,
    log: Arc<Mutex<String>>,
    log_reader: Arc<AtomicU8>,
    pub dns: SocketAddr,
    pub admin: SocketAddr,
}

impl Server {
    /// Starts it as `command`, which is the program or something that becomes it.
    pub fn start(folder: Folder, command: Command) -> Self {
        Self::start_as(folder, command, "serve", "serving")
    }

    /// The same with another subcommand, which logs `running` once it runs.
    fn start_as(folder: Folder, mut command: Command, subcommand: &str, running: &str) -> Self {
        let mut child = command
            .current_dir(folder.0.path())
            .args(["-c", "meridian.toml", subcommand])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let lines = Arc::clone(&log);
        let log_reader = Arc::new(AtomicU8::new(LogReader::Reads as u8));
        let reader = Arc::clone(&log_reader);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                while reader.load(SeqCst) == LogReader::Waits as u8 {
                    thread::sleep(Duration::from_millis(5));
                }
                if reader.load(SeqCst) == LogReader::Leaves as u8 {
                    return;
                }
                let mut log = lines.lock().expect("no panic");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut server = Self {
            folder,
            child,
            log,
            log_reader,
            dns: ([0, 0, 0, 0], 0).into(),
            admin: ([0, 0, 0, 0], 0).into(),
        };
        let line = eventually("the start-up line", || {
            let ended = server.child.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", server.log());
            server
                .log()
                .lines()
                .find(|line| line.contains(running))
                .map(str::to_owned)
        });
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            let value = rest.split(['"', ' ']).next().expect("a value");
            Some(value.parse().expect("an address"))
        };
        server.dns = field("dns").unwrap_or(server.dns);
        server.admin = field("admin").expect("a field");
        server
    }

    /// Changes what the log's reader does with the next line.
    pub fn set_log_reader(&self, to: LogReader) {
        self.log_reader.store(to as u8, SeqCst);
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("`{text}` in the log"), || {
            self.log().contains(text).then_some(())
        });
    }

    /// Waits until the first round of probes is in.
    pub fn ready(self) -> Self {
        eventually("readiness", || {
            (http(self.admin, "GET", "/_ready").0 == 200).then_some(())
        });
        self
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args([signal, &pid])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end and gives the exit code with the folder.
    pub fn ended(mut self) -> (Option<i32>, Folder, String) {
        let status = eventually("the end", || self.child.try_wait().expect("a child"));
        let folder = std::mem::replace(&mut self.folder, Folder::new());
        (status.code(), folder, self.log())
    }

    /// A question over UDP.
    pub fn ask(&self, name: &str, rtype: RecordType, subnet: Option<&str>) -> Reply {
        exchange(self.dns, &query(name, rtype, subnet))
    }

    /// The addresses of an A question from a client subnet.
    pub fn steer(&self, name: &str, subnet: &str) -> Vec<IpAddr> {
        self.ask(name, RecordType::A, Some(subnet)).addresses()
    }

    /// Waits until a client gets this address alone.
    pub fn moves_to(&self, name: &str, subnet: &str, address: &str) {
        let wanted: IpAddr = address.parse().expect("an address");
        eventually(&format!("{subnet} gets {address}"), || {
            (self.steer(name, subnet) == [wanted]).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// A decoded response and its bytes.
pub struct Reply {
    pub message: Message,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn addresses(&self) -> Vec<IpAddr> {
        let address = |data: &RData| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        };
        self.message
            .answers
            .iter()
            .filter_map(|record| address(&record.data))
            .collect()
    }

    pub fn rcode(&self) -> ResponseCode {
        self.message.metadata.response_code
    }

    /// The records of a section as `owner type data`.
    pub fn texts(records: &[hickory_proto::rr::Record]) -> Vec<String> {
        let text =
            |r: &hickory_proto::rr::Record| format!("{} {} {}", r.name, r.record_type(), r.data);
        records.iter().map(text).collect()
    }

    /// The ECS scope.
    pub fn scope(&self) -> Option<u8> {
        let option = self.message.edns.as_ref()?.option(EdnsCode::Subnet)?;
        match option {
            EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
            _ => None,
        }
    }
}

/// A query's bytes, with an OPT, and with a client subnet if one is given.
pub fn query(name: &str, rtype: RecordType, subnet: Option<&str>) -> Vec<u8> {
    static NEXT_ID: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(1);
    let id = NEXT_ID.fetch_add(1, SeqCst);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    if let Some(subnet) = subnet {
        let (address, len) = subnet.split_once('/').expect("a subnet");
        let (address, len) = (
            address.parse().expect("address"),
            len.parse().expect("length"),
        );
        edns.options_mut()
            .insert(EdnsOption::Subnet(ClientSubnet::new(address, len, 0)));
    }
    message.edns = Some(edns);
    message.to_vec().expect("an encodable query")
}

/// After so long without a response, a datagram counts as lost and is sent again.
const RESEND: Duration = Duration::from_secs(2);

/// Sends a message over UDP and waits for its response.
pub fn exchange(server: SocketAddr, query: &[u8]) -> Reply {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).expect("a socket");
    socket.set_read_timeout(Some(RESEND)).expect("a timeout");
    socket.connect(server).expect("a route");
    let mut buffer = vec![0; 4096];
    let len = eventually("a response", || {
        socket.send(query).expect("sent");
        socket.recv(&mut buffer).ok()
    });
    buffer.truncate(len);
    assert_eq!(buffer[..2], query[..2], "the response's id");
    reply(buffer)
}

pub fn reply(bytes: Vec<u8>) -> Reply {
    let message = Message::from_vec(&bytes).expect("a response that hickory can read");
    Reply { message, bytes }
}

/// Sends messages over one TCP connection at once and reads as many responses.
pub fn exchange_tcp(server: SocketAddr, queries: &[Vec<u8>]) -> Vec<Reply> {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut bytes = Vec::new();
    for query in queries {
        bytes.extend_from_slice(&(query.len() as u16).to_be_bytes());
        bytes.extend_from_slice(query);
    }
    stream.write_all(&bytes).expect("sent");
    queries
        .iter()
        .map(|_| reply(read_framed(&mut stream)))
        .collect()
}

/// Reads one message from a TCP stream.
pub fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).expect("a length");
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).expect("a message");
    message
}

/// One HTTP call; status and body.
pub fn http(server: SocketAddr, method: &str, path: &str) -> (u16, String) {
    http_with(server, method, path, "", "")
}

/// One HTTP call with further header lines and a body.
pub fn http_with(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let (status, _, body) = http_whole(server, method, path, headers, body);
    (status, body)
}

/// The same with the head of the response: status, head and body.
pub fn http_whole(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let len = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len}\r\n\
         {headers}\r\n{body}"
    )
    .expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let status = response
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    (status, head.to_owned(), body.to_owned())
}

/// What a backend does when it is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// 200.
    Ready,
    /// 503.
    Unavailable,
    /// Accepts and never answers.
    Hangs,
    /// Resets the connection.
    Resets,
}

/// HTTP servers on 127.0.B.1 … that share one port.
pub struct Backends {
    pub port: u16,
    backends: Vec<Arc<Backend>>,
}

/// How one of them behaves.
struct Backend {
    mood: AtomicU8,
    /// Whose connections it resets, whatever its mood.
    shunned: Mutex<Option<IpAddr>>,
    /// What its responses say in `X-Load`, 1 at full utilisation.
    load: Mutex<Option<f64>>,
}

impl Backends {
    /// So many backends; the block of addresses is the caller's own.
    pub fn start(block: u8, n: u8) -> Self {
        let address = |at: u8| IpAddr::from([127, 0, block, at]);
        let listeners = eventually("one port that is free on all addresses", || {
            let first = TcpListener::bind((address(1), 0)).ok()?;
            let port = first.local_addr().ok()?.port();
            let others = (2..=n).map(|at| TcpListener::bind((address(at), port)));
            std::iter::once(Ok(first))
                .chain(others)
                .collect::<Result<Vec<_>, _>>()
                .ok()
        });
        let port = listeners[0].local_addr().expect("an address").port();
        let backends = listeners.into_iter().map(serve_backend).collect();
        Self { port, backends }
    }

    /// Has backend `at` reset what comes from one address.
    pub fn refuse_from(&self, at: usize, client: IpAddr) {
        *self.backends[at - 1].shunned.lock().expect("no panic") = Some(client);
    }

    /// Has backend `at` report a load.
    pub fn set_load(&self, at: usize, load: f64) {
        *self.backends[at - 1].load.lock().expect("no panic") = Some(load);
    }

    /// Switches backend `at`, counted from 1 as its address is.
    pub fn set(&self, at: usize, mood: Mood) {
        self.backends[at - 1].mood.store(mood as u8, SeqCst);
    }
}

fn serve_backend(listener: TcpListener) -> Arc<Backend> {
    let backend = Arc::new(Backend {
        mood: AtomicU8::new(Mood::Ready as u8),
        shunned: Mutex::new(None),
        load: Mutex::new(None),
    });
    let shared = Arc::clone(&backend);
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let peer = stream.peer_addr().ok().map(|peer| peer.ip());
            let is_shunned = peer == *shared.shunned.lock().expect("no panic");
            match shared.mood.load(SeqCst) {
                m if m == Mood::Hangs as u8 => held.push(stream),
                m if m == Mood::Resets as u8 || is_shunned => {
                    // Closing with unread input makes the kernel reset.
                    let socket = socket2::SockRef::from(&stream);
                    let _ = socket.set_linger(Some(Duration::ZERO));
                }
                m => {
                    let status = if m == Mood::Ready as u8 {
                        "200 OK"
                    } else {
                        "503 Off"
                    };
                    let load = *shared.load.lock().expect("no panic");
                    respond(stream, status, load);
                }
            }
        }
    });
    backend
}

fn respond(mut stream: TcpStream, status: &str, load: Option<f64>) {
    let mut request = [0; 1024];
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.read(&mut request);
    let load = load.map_or_else(String::new, |load| format!("X-Load: {load}\r\n"));
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\n{load}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
}

/// A monitor and four pools around the world, `us`, `eu`, `jp` and `br`, at 127.0.BLOCK.1 to 4.
pub fn world(block: u8, port: u16) -> String {
    let mut text = format!(
        "[monitor.ready]\ntype = \"http\"\nport = {port}\ninterval = \"200ms\"\n\
         timeout = \"150ms\"\nfailure_threshold = 2\nsuccess_threshold = 2\n"
    );
    let places = [
        ("us", "45.60, -121.18"),
        ("eu", "50.45, 3.82"),
        ("jp", "35.69, 139.69"),
        ("br", "-23.55, -46.63"),
    ];
    for (at, (pool, place)) in places.into_iter().enumerate() {
        text += &format!(
            "[pool.{pool}]\nlocation = [{place}]\nendpoints = [\"127.0.{block}.{}\"]\n\
             monitor = \"ready\"\n",
            at + 1
        );
    }
    text + "[steer.\"app.example.com\"]\npools = [\"us\", \"eu\", \"jp\", \"br\"]\n"
}

/// The same pools without a monitor.
pub fn still_world(block: u8) -> String {
    let text = world(block, 1);
    let (_, pools) = text.split_once("[pool.us]").expect("pools");
    format!("[pool.us]{pools}").replace("monitor = \"ready\"\n", "")
}

/// Client subnets that the embedded database puts into the countries they are named after.
pub const FRANCE: &str = "90.63.0.0/24";
pub const BRAZIL: &str = "200.160.0.0/24";
pub const JAPAN: &str = "126.0.0.0/24";
pub const SOUTH_AFRICA: &str = "196.25.1.0/24";
