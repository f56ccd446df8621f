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

    /// Starts it on all addresses of this configuration, which the caller has found free.
    pub fn start_file(config: &Path, port: u16) -> Self {
        let mut server = Self {
            child: spawn(config),
            config: config.to_owned(),
            port,
        };
        assert!(server.wait(), "{} listens", config.display());
        server
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
