//! The real nats-server, with the configuration files of deploy/nats or one of a few lines, on ports of its
//! own; certificates for it. Tests pass where it is not installed, unless `MERIDIAN_REQUIRE_NATS` is set.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use ring::signature::Ed25519KeyPair;
use ring::signature::KeyPair as _;

use crate::harness::eventually;

/// Whether nats-server is there; a word on stderr if not.
pub fn is_installed() -> bool {
    let found = Command::new(program()).arg("--version").output().is_ok();
    let is_required = env::var_os("MERIDIAN_REQUIRE_NATS").is_some();
    assert!(found || !is_required, "nats-server is not installed");
    if !found {
        eprintln!("passed over: nats-server is not installed (Debian: apt install nats-server)");
    }
    found
}

/// Debian keeps it where only administrators look.
fn program() -> PathBuf {
    let debian = Path::new("/usr/sbin/nats-server");
    match debian.exists() {
        true => debian.to_owned(),
        false => "nats-server".into(),
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A nats-server that runs, or was killed.
pub struct NatsServer {
    config: PathBuf,
    pub port: u16,
    child: Child,
}

impl NatsServer {
    /// Starts it with a configuration file in `folder`, where `PORT` stands for a free port.
    pub fn start(folder: &Path, config: &str) -> Self {
        let mut last = None;
        eventually("a nats-server that listens", || {
            // Somebody else may have taken the port meanwhile.
            let port = free_port();
            let path = folder.join(format!("nats-{port}.conf"));
            fs::write(&path, config.replace("PORT", &port.to_string())).expect("a file");
            let mut server = Self {
                child: spawn(&path),
                config: path,
                port,
            };
            let listens = server.wait();
            last = Some(server);
            listens.then_some(())
        });
        last.expect("it listens")
    }

    /// Starts it with a configuration file that names free ports, this one for clients; `None` if somebody else
    /// has taken one.
    pub fn start_file(config: &Path, port: u16) -> Option<Self> {
        let mut server = Self {
            child: spawn(config),
            config: config.to_owned(),
            port,
        };
        server.wait().then_some(server)
    }

    /// Whether it listens; not if it has ended.
    fn wait(&mut self) -> bool {
        eventually("a nats-server that listens or ends", || {
            if self.child.try_wait().expect("a child").is_some() {
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", self.port))
                .ok()
                .map(|_| true)
        })
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    pub fn restart(&mut self) {
        self.child = spawn(&self.config);
        assert!(self.wait(), "it listens again");
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(config: &Path) -> Child {
    Command::new(program())
        .arg("-c")
        .arg(config)
        .envs(PASSWORDS)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts")
}

/// What `nats-server -t` finds wrong with a configuration file; empty if nothing.
pub fn check(config: &Path) -> String {
    let mut command = Command::new(program());
    let output = command
        .arg("-t")
        .arg("-c")
        .arg(config)
        .envs(PASSWORDS)
        .output();
    let output = output.expect("nats-server runs");
    match output.status.success() {
        true => String::new(),
        false => String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What the files of deploy/nats take from the environment.
pub const PASSWORDS: [(&str, &str); 4] = [
    ("NS1_PASSWORD", "ns1secret"),
    ("NS2_PASSWORD", "ns2secret"),
    ("TOKYO_PASSWORD", "tokyosecret"),
    ("TOKYO_HUB_URL", "tls://tokyo:tokyosecret@localhost:7422"),
];

/// An authority, and what it signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signed").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Writes `NAME.pem` and `NAME.key`: a certificate for these names, for servers and clients.
    pub fn issue(&self, folder: &Path, name: &str, names: &[&str], is_expired: bool) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if is_expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("a file");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
    }
}

/// A server in operator mode with one account, and the `.creds` file of one of its users: JWTs as `nsc` makes
/// them, signed by keys of the test's own.
pub struct Operator {
    pub config: String,
    pub creds: String,
}

impl Operator {
    pub fn new() -> Self {
        let [operator, account, user] = [b'O', b'A', b'U'].map(NKey::new);
        let of_operator = r#"{"type":"operator","version":2}"#;
        let of_account = r#"{"type":"account","version":2,"limits":{"subs":-1,"data":-1,"payload":-1,
            "imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}}"#;
        let of_user = r#"{"type":"user","version":2,"subs":-1,"data":-1,"payload":-1}"#;
        let operator_jwt = operator.sign(&operator, of_operator);
        let account_jwt = operator.sign(&account, of_account);
        let user_jwt = account.sign(&user, of_user);
        let config = format!(
            "listen: 127.0.0.1:PORT\noperator: {operator_jwt}\nresolver: MEMORY\n\
             resolver_preload: {{ {}: {account_jwt} }}\n",
            account.public
        );
        let seed = user.seed();
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        Self { config, creds }
    }
}

/// A key in NATS's text form, of the kind that the first letter of its public key names.
struct NKey {
    kind: u8,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    public: String,
}

impl NKey {
    fn new(letter: u8) -> Self {
        let seed: [u8; 32] = meridian::live::random::octets();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
        let kind = (letter - b'A') << 3;
        let public = nkey(&[kind], pair.public_key().as_ref());
        Self {
            kind,
            seed,
            pair,
            public,
        }
    }

    fn seed(&self) -> String {
        let of_seed = (b'S' - b'A') << 3;
        nkey(&[of_seed | self.kind >> 5, self.kind << 3], &self.seed)
    }

    fn sign(&self, subject: &Self, claims: &str) -> String {
        let header = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
        let (issuer, name) = (&self.public, &subject.public);
        let body = format!(
            r#"{{"jti":"test","iat":1700000000,"iss":"{issuer}","name":"test","sub":"{name}","nats":{claims}}}"#
        );
        let text = [header, &body]
            .map(|part| base64url(part.as_bytes()))
            .join(".");
        let signature = base64url(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}.{signature}")
    }
}

/// A prefix, a key and their CRC-16/XMODEM in base32.
fn nkey(prefix: &[u8], key: &[u8]) -> String {
    let mut octets = [prefix, key].concat();
    let crc = octets.iter().fold(0_u16, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |crc, _| {
            crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    });
    octets.extend(crc.to_le_bytes());
    digits(&octets, 5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

fn base64url(octets: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    digits(octets, 6, letters)
}

/// Octets as digits of so many bits, without padding (RFC 4648).
fn digits(octets: &[u8], n_bits: usize, letters: &[u8]) -> String {
    let bit = |at: usize| {
        octets
            .get(at / 8)
            .map_or(0, |octet| octet >> (7 - at % 8) & 1)
    };
    (0..(octets.len() * 8).div_ceil(n_bits))
        .map(|digit| (0..n_bits).fold(0, |value, n| value << 1 | bit(digit * n_bits + n)))
        .map(|value: u8| char::from(letters[usize::from(value)]))
        .collect()
}
