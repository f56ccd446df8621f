//! Pools whose endpoints are the addresses of Kubernetes objects: the real program against a fake API server.
//!
//! The server is compared with a real kube-apiserver elsewhere; here it fails in every way that one can.

#![expect(clippy::print_stderr, reason = "a failed test shows its server's log")]

mod cluster;
#[path = "../integration/harness.rs"]
#[expect(dead_code, reason = "made for another test target")]
mod harness;
#[path = "../integration/resolver.rs"]
#[expect(dead_code, reason = "made for another test target")]
mod resolver;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use serde_json::json;

use crate::cluster::FakeCluster;
use crate::cluster::TOKEN;
use crate::harness::Folder;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::resolver::Behaviour;
use crate::resolver::FakeResolver;

/// Pools of these names, each with an object; each has a steered name of its own.
fn pools(objects: &[(&str, &str)]) -> String {
    let pool = |(name, object): &(&str, &str)| {
        let (kind, object) = object.split_once(' ').expect("a kind");
        format!(
            "[pool.{name}]\nlocation = [50, 4]\nsource = {{ kubernetes = \"west\", {kind} = \"{object}\" }}\n\
             [steer.\"{name}.example.com\"]\npools = [\"{name}\"]\n"
        )
    };
    objects.iter().map(pool).collect()
}

/// A folder with these pools, and more in `meridian.toml`.
fn folder(objects: &[(&str, &str)], more: &str) -> Folder {
    let folder = Folder::usual(&pools(objects), "");
    let usual = std::fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    folder.write("meridian.toml", format!("{usual}{more}"));
    folder
}

const WEST: &str = "[kubernetes.west]\nkubeconfig = \"west.yaml\"\ncontext = \"meridian\"\n";

fn start(cluster: &FakeCluster, objects: &[(&str, &str)], more: &str) -> Server {
    let folder = folder(objects, &format!("{WEST}{more}"));
    let user = format!("{{ token: {TOKEN} }}");
    folder.write("west.yaml", cluster.kubeconfig("http", "", &user));
    folder.serve()
}

fn answered(server: &Server, pool: &str) -> BTreeSet<IpAddr> {
    let reply = server.ask(&format!("{pool}.example.com."), RecordType::A, None);
    reply.addresses().into_iter().collect()
}

fn addresses(text: &str) -> BTreeSet<IpAddr> {
    let words = text.split_whitespace();
    words
        .map(|word| word.parse().expect("an address"))
        .collect()
}

fn wait_for(server: &Server, pool: &str, wanted: &str) {
    let wanted = addresses(wanted);
    eventually(&format!("{pool} has {wanted:?}"), || {
        (answered(server, pool) == wanted).then_some(())
    });
}

fn pool(server: &Server, name: &str) -> Value {
    let (code, body) = http(server.admin, "GET", "/api/v1/status");
    assert_eq!(code, 200, "{body}");
    let status: Value = serde_json::from_str(&body).expect("JSON");
    let pools = status["pools"].as_array().expect("pools");
    pools
        .iter()
        .find(|pool| pool["name"] == name)
        .expect(name)
        .clone()
}

/// Waits until the source of a pool fails for a reason that has this in it.
fn wait_for_fault(server: &Server, name: &str, part: &str) {
    eventually(&format!("{name} fails: {part}"), || {
        let source = &pool(server, name)["sources"][0];
        let error = source["error"].as_str().unwrap_or_default();
        (error.contains(part) && source["up"] == false).then_some(())
    });
}

fn wait_until_up(server: &Server, name: &str) {
    eventually(&format!("the source of {name} is up"), || {
        (pool(server, name)["sources"][0]["up"] == true).then_some(())
    });
}

/// Waits until a pool has no endpoints, for this reason.
fn wait_until_empty(server: &Server, name: &str, reason: &str) {
    eventually(&format!("{name} is empty: {reason}"), || {
        (pool(server, name)["reason"] == reason).then_some(())
    });
    let reply = server.ask(&format!("{name}.example.com."), RecordType::A, None);
    assert_eq!(reply.rcode(), ResponseCode::ServFail, "{name}");
}

#[test]
fn endpoints_follow_services_gateways_and_ingresses() {
    let cluster = FakeCluster::start(None);
    cluster.set_addresses("service prod/app", "192.0.2.1 192.0.2.2");
    cluster.set_addresses("ingress prod/web", "192.0.2.3");
    let gateway = |addresses: Value| json!({ "addresses": addresses });
    let of_gateway =
        json!([{ "type": "IPAddress", "value": "192.0.2.4" }, { "value": "2001:db8::4" }]);
    cluster.set("gateway prod/web", &gateway(of_gateway));
    let objects = [
        ("service", "service prod/app"),
        ("ingress", "ingress prod/web"),
        ("gateway", "gateway prod/web"),
        ("missing", "service prod/missing"),
        ("again", "service prod/app"),
    ];
    let server = start(&cluster, &objects, "");
    for (name, wanted) in [
        ("service", "192.0.2.1 192.0.2.2"),
        ("ingress", "192.0.2.3"),
        ("gateway", "192.0.2.4"),
        ("again", "192.0.2.1 192.0.2.2"),
    ] {
        wait_for(&server, name, wanted);
    }
    wait_until_empty(
        &server,
        "missing",
        "west service prod/missing does not exist",
    );
    cluster.set_addresses("service prod/missing", "192.0.2.9");
    wait_for(&server, "missing", "192.0.2.9");
    cluster.set_addresses("service prod/app", "192.0.2.11");
    wait_for(&server, "service", "192.0.2.11");
    wait_for(&server, "again", "192.0.2.11");
    cluster.set("gateway prod/web", &gateway(json!([])));
    wait_until_empty(&server, "gateway", "west gateway prod/web has no addresses");
    cluster.delete("ingress prod/web");
    wait_until_empty(&server, "ingress", "west ingress prod/web does not exist");
    // One watch for an object, however many pools have it.
    assert_eq!(cluster.n_lists("service prod/app"), 1);

    let source = &pool(&server, "service")["sources"][0];
    assert_eq!(source["kind"], "kubernetes");
    assert_eq!(source["name"], "west service prod/app");
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    let up = "meridian_source_up{pool=\"service\",source=\"west service prod/app\"} 1\n";
    assert!(metrics.contains(up), "{metrics}");
    let path = "/api/v1/explain?name=ingress.example.com&client=192.0.2.0/24";
    let (_, explained) = http(server.admin, "GET", path);
    assert!(
        explained.contains("west ingress prod/web does not exist"),
        "{explained}"
    );
    let (_, page) = http(server.admin, "GET", "/");
    assert!(page.contains("west service prod/app"), "{page}");
}

#[test]
fn nonsense_changes_nothing_and_is_counted() {
    let cluster = FakeCluster::start(None);
    cluster.set_addresses("service prod/app", "192.0.2.1");
    let server = start(&cluster, &[("app", "service prod/app")], "");
    wait_for(&server, "app", "192.0.2.1");
    for (status, n_refused, reason) in [
        ("0.0.0.0", 1, "0.0.0.0, a special-purpose address"),
        (
            "10.0.0.1 127.0.0.1",
            2,
            "10.0.0.1, a special-purpose address",
        ),
        ("169.254.169.254", 1, "169.254.169.254, which `deny`"),
        ("a..b", 1, "\"a..b\", neither an address nor a host name"),
    ] {
        cluster.set_addresses("service prod/app", status);
        eventually(&format!("{status} is refused"), || {
            let source = &pool(&server, "app")["sources"][0];
            let refused = source["refused_reason"].as_str().unwrap_or_default();
            (source["refused"] == n_refused && refused.starts_with(reason)).then_some(())
        });
        wait_for_fault(
            &server,
            "app",
            &format!("all {n_refused} addresses are refused"),
        );
        assert_eq!(answered(&server, "app"), addresses("192.0.2.1"), "{status}");
    }
    let many: Vec<String> = (0..10_000_u32)
        .map(|n| IpAddr::from((0x0900_0001 + n).to_be_bytes()).to_string())
        .collect();
    cluster.set_addresses("service prod/app", &many.join(" "));
    eventually("the first of thousands", || {
        (pool(&server, "app")["endpoints"].as_array()?.len() == 64).then_some(())
    });
    assert_eq!(pool(&server, "app")["sources"][0]["refused"], 10_000 - 64);
    cluster.set_addresses("service prod/app", "192.0.2.2 10.0.0.1");
    wait_for(&server, "app", "192.0.2.2");
}

#[test]
fn host_names_are_resolved_before_they_replace_anything() {
    let resolver = FakeResolver::start();
    let (first, second) = ("lb-1.example.net", "lb-2.example.net");
    resolver.set_addresses(first, "192.0.2.1");
    resolver.set(second, Behaviour::Fails(ResponseCode::NXDomain));
    let cluster = FakeCluster::start(None);
    cluster.set_addresses("service prod/app", first);
    let more = format!("[resolve]\nservers = [\"{}\"]\n", resolver.address);
    let server = start(&cluster, &[("app", "service prod/app")], &more);
    wait_for(&server, "app", "192.0.2.1");
    cluster.set_addresses("service prod/app", second);
    server.wait_for_log("source=lb-2.example.net");
    assert_eq!(answered(&server, "app"), addresses("192.0.2.1"));
    resolver.set_addresses(second, "192.0.2.2");
    wait_for(&server, "app", "192.0.2.2");
    eventually("the first name is forgotten", || {
        let sources = pool(&server, "app")["sources"].clone();
        let names = sources
            .as_array()?
            .iter()
            .map(|source| source["name"].clone());
        (names.collect::<Vec<_>>() == [second, "west service prod/app"]).then_some(())
    });
    // After a start, the names are known before the API server has answered.
    cluster.set_dead(true);
    server.signal("-TERM");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    assert_eq!(answered(&server, "app"), addresses("192.0.2.2"));
}

#[test]
fn a_watch_goes_on_after_whatever_happens_to_it() {
    let cluster = FakeCluster::start(None);
    let app = "service prod/app";
    cluster.set_addresses(app, "192.0.2.1");
    let server = start(&cluster, &[("app", app)], "");
    wait_for(&server, "app", "192.0.2.1");
    let watches = |n: usize| {
        eventually("another watch", || {
            (cluster.n_watches(app) >= n).then_some(())
        });
    };
    // What happens while there is no watch is not lost, nor read anew: it goes on from what was seen last.
    for (step, in_object) in [false, true].into_iter().enumerate() {
        cluster.cut(in_object);
        let address = format!("192.0.2.{}", 2 + step);
        cluster.set_addresses(app, &address);
        wait_for(&server, "app", &address);
    }
    assert_eq!(cluster.n_lists(app), 1);
    // A bookmark is a version to go on from.
    let before = pool(&server, "app")["sources"][0]["last_success"].as_u64();
    cluster.bookmark(app);
    eventually("the bookmark counts as a sign of life", || {
        // A second is the unit of the time; each bookmark is one more try.
        cluster.bookmark(app);
        (pool(&server, "app")["sources"][0]["last_success"].as_u64() > before).then_some(())
    });
    let n_watches = cluster.n_watches(app);
    cluster.cut(false);
    watches(n_watches + 1);
    assert_eq!(cluster.n_lists(app), 1);
    // Versions that the server no longer knows: the list is read anew.
    cluster.set_addresses(app, "192.0.2.4");
    wait_for(&server, "app", "192.0.2.4");
    cluster.set_dead(true);
    cluster.set_addresses(app, "192.0.2.5");
    cluster.forget_history();
    cluster.set_dead(false);
    wait_for(&server, "app", "192.0.2.5");
    let n_lists = cluster.n_lists(app);
    assert!(n_lists >= 2, "{n_lists}");
    wait_until_up(&server, "app");
}

#[test]
fn an_expired_version_is_no_fault() {
    let cluster = FakeCluster::start(None);
    let app = "service prod/app";
    cluster.set_addresses(app, "192.0.2.1");
    let server = start(&cluster, &[("app", app)], "");
    wait_for(&server, "app", "192.0.2.1");
    // Others change things, of which no watch hears, and all of that is forgotten.
    cluster.set_addresses("service prod/other", "192.0.2.99");
    cluster.set_addresses("service prod/other", "192.0.2.98");
    cluster.forget_history();
    cluster.cut(false);
    eventually("a second list", || {
        (cluster.n_lists(app) == 2).then_some(())
    });
    cluster.set_addresses(app, "192.0.2.2");
    wait_for(&server, "app", "192.0.2.2");
    assert!(
        !server.log().contains("source of endpoints fails"),
        "{}",
        server.log()
    );
}

#[test]
fn refusals_keep_the_addresses_and_are_logged_once() {
    let cluster = FakeCluster::start(None);
    let app = "service prod/app";
    cluster.set_addresses(app, "192.0.2.1");
    let server = start(&cluster, &[("app", app)], "");
    wait_for(&server, "app", "192.0.2.1");
    for (code, reason) in [
        (401, "401 Unauthorized: the fake cluster says no"),
        (403, "403 Forbidden: the fake cluster says no"),
        (404, "404 Not Found: the fake cluster says no"),
        (500, "500 Test: the fake cluster says no"),
    ] {
        cluster.refuse(Some(code));
        wait_for_fault(&server, "app", reason);
        // Once more is not another line.
        let n_lists = cluster.n_lists(app);
        eventually("another try", || {
            (cluster.n_lists(app) > n_lists).then_some(())
        });
        assert_eq!(answered(&server, "app"), addresses("192.0.2.1"));
        let log = server.log();
        assert_eq!(log.matches(reason).count(), 1, "{log}");
        cluster.refuse(None);
        wait_until_up(&server, "app");
    }
    cluster.set_dead(true);
    wait_for_fault(&server, "app", "");
    assert_eq!(answered(&server, "app"), addresses("192.0.2.1"));
    // The client library's own lines are not ours.
    assert!(!server.log().contains("failed with"), "{}", server.log());
    cluster.set_addresses(app, "192.0.2.2");
    // A start without the API server serves what was known.
    server.signal("-TERM");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    assert_eq!(answered(&server, "app"), addresses("192.0.2.1"));
    cluster.set_dead(false);
    wait_for(&server, "app", "192.0.2.2");
}

#[test]
fn a_reload_leaves_other_watches_alone() {
    let cluster = FakeCluster::start(None);
    let (stays, comes) = ("service prod/stays", "service prod/comes");
    cluster.set_addresses(stays, "192.0.2.1");
    cluster.set_addresses(comes, "192.0.2.2");
    let server = start(&cluster, &[("stays", stays)], "");
    wait_for(&server, "stays", "192.0.2.1");
    let both = pools(&[("stays", stays), ("comes", comes)]);
    server.folder.write("pools.toml", &both);
    wait_for(&server, "comes", "192.0.2.2");
    assert_eq!((cluster.n_lists(stays), cluster.n_watches(stays)), (1, 1));
    // Another cluster of that name: everything is watched there.
    let other = FakeCluster::start(None);
    other.set_addresses(stays, "192.0.2.3");
    other.set_addresses(comes, "192.0.2.4");
    let user = format!("{{ token: {TOKEN} }}");
    server
        .folder
        .write("other.yaml", other.kubeconfig("http", "", &user));
    let settings = std::fs::read_to_string(server.folder.path("meridian.toml")).expect("a file");
    server
        .folder
        .write("meridian.toml", settings.replace("west.yaml", "other.yaml"));
    wait_for(&server, "stays", "192.0.2.3");
    wait_for(&server, "comes", "192.0.2.4");
    // Without an object, there is no watch.
    server
        .folder
        .write("pools.toml", pools(&[("comes", comes)]));
    eventually("the pool is gone", || {
        let reply = server.ask("stays.example.com.", RecordType::A, None);
        (reply.rcode() == ResponseCode::NXDomain).then_some(())
    });
    let n_watches = other.n_watches(stays);
    let n_of_other = other.n_watches(comes);
    other.cut(false);
    eventually("the other goes on", || {
        (other.n_watches(comes) > n_of_other).then_some(())
    });
    assert_eq!(other.n_watches(stays), n_watches);
}

/// A server configuration for 127.0.0.1, and the certificate in PEM.
fn tls() -> (Arc<ServerConfig>, String) {
    let signed =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let provider = rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("a configuration");
    (Arc::new(config), signed.cert.pem())
}

#[test]
fn an_exec_plugin_gives_the_token_and_is_asked_again() {
    let (tls, ca) = tls();
    let cluster = FakeCluster::start(Some(tls));
    cluster.set_addresses("service prod/app", "192.0.2.1");
    let folder = folder(&[("app", "service prod/app")], WEST);
    let plugin = "#!/bin/sh\n\
        test -n \"$KUBERNETES_EXEC_INFO\" || { echo 'no exec info' >&2; exit 1; }\n\
        test -r token || { echo \"no token for $1\" >&2; exit 3; }\n\
        printf '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",'\n\
        printf '\"status\":{\"token\":\"%s\"}}' \"$(cat token.west)\"\n";
    let user = "{ exec: { apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [west], \
                interactiveMode: IfAvailable } }";
    folder
        .write(
            "plugin",
            plugin.replace("test -r token ", "test -r token.west "),
        )
        .write("ca.pem", ca)
        .write(
            "west.yaml",
            cluster.kubeconfig("https", ", certificate-authority: ca.pem", user),
        );
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path("plugin"), mode).expect("a mode");
    let server = folder.serve();
    wait_for_fault(
        &server,
        "app",
        "exec plugin: exit status: 3: no token for west",
    );
    server.folder.write("token.west", TOKEN);
    wait_for(&server, "app", "192.0.2.1");
    cluster.set_token("second-token");
    wait_for_fault(&server, "app", "401 Unauthorized");
    server.folder.write("token.west", "second-token");
    wait_until_up(&server, "app");
    cluster.set_addresses("service prod/app", "192.0.2.2");
    wait_for(&server, "app", "192.0.2.2");
    assert!(!server.log().contains("second-token"), "{}", server.log());
}

#[test]
fn a_faulty_kubeconfig_is_a_reason_and_is_read_again() {
    let cluster = FakeCluster::start(None);
    cluster.set_addresses("service prod/app", "192.0.2.1");
    let folder = folder(&[("app", "service prod/app")], WEST);
    let server = folder.serve();
    wait_for_fault(&server, "app", "west.yaml: No such file or directory");
    let sound = cluster.kubeconfig("http", "", &format!("{{ token: {TOKEN} }}"));
    server.folder.write("west.yaml", "token: [s3cret\n");
    wait_for_fault(&server, "app", "west.yaml: is no kubeconfig in YAML");
    server
        .folder
        .write("west.yaml", sound.replace("name: meridian", "name: other"));
    wait_for_fault(&server, "app", "west.yaml: has no context \"meridian\"");
    server.folder.write("west.yaml", sound);
    wait_for(&server, "app", "192.0.2.1");
    assert!(!server.log().contains("s3cret"), "{}", server.log());
}

#[test]
fn pools_of_unknown_clusters_are_faults() {
    let folder = folder(&[("app", "service prod/app")], &WEST.replace("west", "wst"));
    let output = folder.meridian(&["-c", "meridian.toml", "check"]);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{text}");
    let fault = "pools.toml:3:25: `kubernetes` is \"west\", expected the name of a \
                 [kubernetes.NAME] of meridian.toml; did you mean `wst`?";
    assert!(text.contains(fault), "{text}");
}

/// Needs a mount namespace, as the files of a service account are at a fixed place.
#[test]
fn a_pod_uses_its_service_account() {
    let is_possible = Command::new("unshare").args(["--mount", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        let is_required = std::env::var_os("MERIDIAN_REQUIRE_NETNS").is_some();
        assert!(!is_required, "no mount namespace can be made");
        eprintln!("no mount namespace can be made: passed over");
        return;
    }
    let (tls, ca) = tls();
    let cluster = FakeCluster::start(Some(tls));
    cluster.set_addresses("service prod/app", "192.0.2.1");
    let folder = folder(&[("app", "service prod/app")], "[kubernetes.west]\n");
    folder
        .write("account/token", TOKEN)
        .write("account/ca.crt", ca)
        .write("account/namespace", "prod");
    let place = "/var/run/secrets/kubernetes.io/serviceaccount";
    let script = format!(
        "mount -t tmpfs none \"$(readlink -f /var/run)\" && mkdir -p {place} && cp account/* {place}/ \
         && exec {} \"$@\"",
        env!("CARGO_BIN_EXE_meridian")
    );
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script,
            "sh",
        ])
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env(
            "KUBERNETES_SERVICE_PORT",
            cluster.address.port().to_string(),
        );
    let server = Server::start(folder, command);
    wait_for(&server, "app", "192.0.2.1");
}
