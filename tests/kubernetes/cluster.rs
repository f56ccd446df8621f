//! A fake API server: lists, watch streams, bookmarks, 410 Gone, refusals, and connections that are cut.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;

use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;
use serde_json::Value;
use serde_json::json;

/// The token of a cluster that has just been started.
pub const TOKEN: &str = "first-token";

/// Where objects of a kind are, without their names.
pub fn path(kind: &str, namespace: &str) -> String {
    let (api, plural) = match kind {
        "service" => ("/api/v1", "services"),
        "ingress" => ("/apis/networking.k8s.io/v1", "ingresses"),
        _ => ("/apis/gateway.networking.k8s.io/v1", "gateways"),
    };
    format!("{api}/namespaces/{namespace}/{plural}")
}

#[derive(Default)]
struct World {
    version: u64,
    /// By path and name.
    objects: BTreeMap<(String, String), Value>,
    /// What has happened: its version, where, and the event.
    history: Vec<(u64, String, Value)>,
    /// Watches from versions before this one are answered 410 Gone.
    oldest: u64,
    token: String,
    /// The status that every request is answered.
    refuses: Option<u16>,
    is_dead: bool,
    /// Raised to end all connections.
    n_cuts: u64,
    /// Whether the latest cut was in the middle of an object.
    is_cut_in_object: bool,
    /// Path and query of each request.
    requests: Vec<String>,
}

/// A running API server.
#[derive(Clone)]
pub struct FakeCluster {
    pub address: SocketAddr,
    shared: Arc<(Mutex<World>, Condvar)>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl FakeCluster {
    /// Over HTTP, or over HTTPS where there is a configuration for it.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let cluster = Self {
            address: listener.local_addr().expect("an address"),
            shared: Arc::default(),
        };
        cluster.world().token = TOKEN.into();
        let served = cluster.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if served.world().is_dead {
                    continue;
                }
                let (served, tls) = (served.clone(), tls.clone());
                thread::spawn(move || {
                    let mut stream: Box<dyn Stream> = match tls {
                        Some(tls) => {
                            let tls = ServerConnection::new(tls).expect("a TLS session");
                            Box::new(StreamOwned::new(tls, stream))
                        }
                        None => Box::new(stream),
                    };
                    // The client may go at any time.
                    let _ = served.serve(&mut *stream);
                });
            }
        });
        cluster
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.0.lock().expect("no panic")
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world());
        self.shared.1.notify_all();
    }

    /// Gives an object (`service prod/app`) this status; it is made if it is not there.
    pub fn set(&self, object: &str, status: &Value) {
        let (path, name) = place(object);
        self.change(|world| {
            world.version += 1;
            let object = json!({
                "metadata": { "name": name, "resourceVersion": world.version.to_string() },
                "status": status,
            });
            let before = world.objects.insert((path.clone(), name), object.clone());
            let kind = if before.is_some() {
                "MODIFIED"
            } else {
                "ADDED"
            };
            let event = json!({ "type": kind, "object": object });
            world.history.push((world.version, path, event));
        });
    }

    /// Gives a Service or Ingress these addresses and host names.
    pub fn set_addresses(&self, object: &str, addresses: &str) {
        let entry = |word: &str| match word.parse::<std::net::IpAddr>() {
            Ok(_) => json!({ "ip": word }),
            Err(_) => json!({ "hostname": word }),
        };
        let entries: Vec<Value> = addresses.split_whitespace().map(entry).collect();
        self.set(object, &json!({ "loadBalancer": { "ingress": entries } }));
    }

    pub fn delete(&self, object: &str) {
        let (path, name) = place(object);
        self.change(|world| {
            world.version += 1;
            let mut object = world
                .objects
                .remove(&(path.clone(), name))
                .expect("an object");
            object["metadata"]["resourceVersion"] = world.version.to_string().into();
            let event = json!({ "type": "DELETED", "object": object });
            world.history.push((world.version, path, event));
        });
    }

    /// Something else in the cluster changes, which watches of these objects hear of by a bookmark.
    pub fn bookmark(&self, object: &str) {
        let (path, _) = place(object);
        self.change(|world| {
            world.version += 1;
            let metadata = json!({ "resourceVersion": world.version.to_string() });
            let object = json!({ "kind": "Service", "apiVersion": "v1", "metadata": metadata });
            let event = json!({ "type": "BOOKMARK", "object": object });
            world.history.push((world.version, path, event));
        });
    }

    /// Forgets what happened before now.
    pub fn forget_history(&self) {
        self.change(|world| {
            world.oldest = world.version;
            world.history.clear();
        });
    }

    /// Ends all watches, also in the middle of an object.
    pub fn cut(&self, in_object: bool) {
        self.change(|world| {
            world.n_cuts += 1;
            world.is_cut_in_object = in_object;
        });
    }

    /// Answers all requests with this status, or as they deserve again.
    pub fn refuse(&self, status: Option<u16>) {
        self.change(|world| {
            world.refuses = status;
            world.n_cuts += 1;
        });
    }

    /// Closes all connections from now on, or takes them again.
    pub fn set_dead(&self, is_dead: bool) {
        self.change(|world| {
            world.is_dead = is_dead;
            world.n_cuts += 1;
        });
    }

    /// Takes another token from now on.
    pub fn set_token(&self, token: &str) {
        self.change(|world| {
            world.token = token.into();
            world.n_cuts += 1;
        });
    }

    /// How many lists (not watches) of an object were asked for.
    pub fn n_lists(&self, object: &str) -> usize {
        self.n_requests(object, false)
    }

    /// How many watches of an object were asked for.
    pub fn n_watches(&self, object: &str) -> usize {
        self.n_requests(object, true)
    }

    fn n_requests(&self, object: &str, is_watch: bool) -> usize {
        let (path, name) = place(object);
        let selector = format!("metadata.name%3D{name}");
        let world = self.world();
        let requests = world.requests.iter();
        let of_object = requests.filter(|request| {
            request.starts_with(&path)
                && request.contains(&selector)
                && request.contains("watch=true") == is_watch
        });
        of_object.count()
    }

    /// A kubeconfig for it; `user` is the user's YAML in braces.
    pub fn kubeconfig(&self, scheme: &str, more: &str, user: &str) -> String {
        let address = self.address;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: none\n\
             clusters:\n- name: c\n  cluster: {{ server: \"{scheme}://{address}\"{more} }}\n\
             users:\n- name: u\n  user: {user}\n\
             contexts:\n- name: meridian\n  context: {{ cluster: c, user: u }}\n"
        )
    }

    fn serve(&self, stream: &mut dyn Stream) -> std::io::Result<()> {
        let (target, token) = {
            let mut lines = BufReader::new(&mut *stream).lines();
            let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
            let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut token = String::new();
            for line in lines {
                let line = line?;
                if line.is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(": ")
                    && name.eq_ignore_ascii_case("authorization")
                {
                    token = value.trim_start_matches("Bearer ").to_owned();
                }
            }
            (target, token)
        };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let refuses = {
            let mut world = self.world();
            world.requests.push(target.clone());
            let is_stranger = world.token != token;
            world.refuses.or(is_stranger.then_some(401))
        };
        if let Some(code) = refuses {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure",
                "message": "the fake cluster says no", "reason": "Test", "code": code,
            });
            return respond(stream, code, &status);
        }
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let selector = parameter("fieldSelector").unwrap_or_default();
        let name = selector.trim_start_matches("metadata.name%3D");
        match parameter("watch") {
            Some("true") => {
                let version = parameter("resourceVersion").and_then(|text| text.parse().ok());
                self.watch(stream, path, name, version.expect("a version"))
            }
            _ => {
                let world = self.world();
                let object = world.objects.get(&(path.to_owned(), name.to_owned()));
                let list = json!({
                    "metadata": { "resourceVersion": world.version.to_string() },
                    "items": object.into_iter().collect::<Vec<_>>(),
                });
                drop(world);
                respond(stream, 200, &list)
            }
        }
    }

    /// Streams events until there is a cut; the connection is closed then.
    fn watch(
        &self,
        stream: &mut dyn Stream,
        path: &str,
        name: &str,
        from: u64,
    ) -> std::io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        stream.flush()?;
        let mut world = self.world();
        let n_cuts = world.n_cuts;
        let mut seen = from;
        if from < world.oldest {
            drop(world);
            let status = json!({ "status": "Failure", "code": 410, "reason": "Expired",
                                 "message": "too old resource version" });
            chunk(
                stream,
                &format!("{}\n", json!({ "type": "ERROR", "object": status })),
            )?;
            return stream.write_all(b"0\r\n\r\n");
        }
        loop {
            let is_about = |event: &Value| match &event["object"]["metadata"]["name"] {
                Value::String(other) => other == name,
                _ => true,
            };
            let new: Vec<String> = (world.history.iter())
                .filter(|(version, at, event)| *version > seen && at == path && is_about(event))
                .map(|(_, _, event)| format!("{event}\n"))
                .collect();
            seen = world.version;
            let is_cut = world.n_cuts > n_cuts;
            let in_object = world.is_cut_in_object;
            drop(world);
            for line in new {
                chunk(stream, &line)?;
            }
            if is_cut {
                if in_object {
                    chunk(
                        stream,
                        "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"",
                    )?;
                }
                return Ok(());
            }
            world = self.world();
            while world.version == seen && world.n_cuts == n_cuts {
                world = self.shared.1.wait(world).expect("no panic");
            }
        }
    }
}

/// `service prod/app`: the path of its kind and namespace, and its name.
fn place(object: &str) -> (String, String) {
    let (kind, name) = object.split_once(' ').expect("a kind");
    let (namespace, name) = name.split_once('/').expect("a namespace");
    (path(kind, namespace), name.to_owned())
}

fn respond(stream: &mut dyn Stream, code: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let len = body.len();
    let response = format!(
        "HTTP/1.1 {code} Status\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    );
    stream.write_all(response.as_bytes())?;
    stream.flush()
}

fn chunk(stream: &mut dyn Stream, text: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())?;
    stream.flush()
}
