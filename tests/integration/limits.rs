//! Rate limit and cookies over real sockets: a flood, and a cookie that travels between servers.

use std::net::SocketAddr;
use std::net::UdpSocket;
use std::time::Duration;

use crate::harness::Folder;
use crate::harness::PATIENCE;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::messages::QUESTION;
use crate::messages::message;

const OLD: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const NEW: &str = "445536bcd2513298075a5d379663c962";

/// A server that answers one query of a kind in a second, and whose suppressed responses all slip.
fn strict(secrets: &str) -> Server {
    let more = "[server.cookies]\nsecret_file = \"cookie.secret\"\n\
         [server.rate_limit]\nresponses_per_second = 1\nslip = 1\n";
    let folder = Folder::usual("", more);
    folder.write("cookie.secret", secrets);
    folder.serve()
}

/// A query with a cookie option of this data.
fn query(cookie: &[u8]) -> Vec<u8> {
    let len = cookie.len() as u8;
    let opt = [
        b"\0\0\x29\x04\xd0\0\0\0\0\0",
        &[len + 4, 0, 10, 0, len][..],
        cookie,
    ]
    .concat();
    message(0, [1, 0, 0, 1], &[QUESTION, &opt])
}

fn ask(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.connect(server).expect("a route");
    socket.send(query).expect("sent");
    let mut buffer = [0; 4096];
    let len = socket.recv(&mut buffer).expect("a response");
    buffer[..len].to_vec()
}

/// The cookie of a response, which ends with it.
fn cookie_of(response: &[u8]) -> Vec<u8> {
    let (_, option) = response.split_at(response.len() - 28);
    assert_eq!(option[..12], *b"\0\x0a\0\x18client_1");
    option[4..].to_vec()
}

/// Whether each of many queries with a cookie gets its records, which only a valid one brings.
fn holds(server: &Server, cookie: &[u8]) -> bool {
    (0..20).all(|_| ask(server.dns, &query(cookie))[3] & 15 == 0)
}

#[test]
fn a_cookie_holds_at_every_server_and_through_a_change_of_secret() {
    let [first, second] = [strict(OLD), strict(&format!("{NEW}\n{OLD}\n"))];
    assert!(
        !holds(&first, b"client_1"),
        "a flood without a server's cookie"
    );
    let cookie = cookie_of(&ask(first.dns, &query(b"client_1")));
    assert!(holds(&first, &cookie));
    assert!(holds(&second, &cookie));
    let newer = cookie_of(&ask(second.dns, &query(&cookie)));
    assert_ne!(newer, cookie, "made with the new secret");
    assert!(!holds(&first, &newer));

    first
        .folder
        .write("cookie.secret", format!("{OLD}\n{NEW}\n"));
    eventually("the new secret at the first server", || {
        holds(&first, &newer).then_some(())
    });
    assert!(holds(&first, &cookie));
    second.folder.write("cookie.secret", NEW);
    eventually("the end of the old secret", || {
        (!holds(&second, &cookie)).then_some(())
    });
    assert!(holds(&second, &newer));

    // What cannot be read changes nothing.
    second.folder.write("cookie.secret", "no secret\n");
    second.wait_for_log("cookie.secret:1:1: is no secret, expected 32 hexadecimal digits");
    assert!(holds(&second, &newer));
}

#[test]
fn a_flood_gets_no_more_than_its_share() {
    let more = "[server.rate_limit]\nresponses_per_second = 50\n";
    let server = Folder::usual("", more).serve();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.dns).expect("a route");
    let query = message(0, [1, 0, 0, 0], &[QUESTION]);
    let (mut n_whole, mut n_truncated) = (0, 0);
    let start = std::time::Instant::now();
    let mut receive = |wait| {
        let mut buffer = [0; 4096];
        socket.set_read_timeout(Some(wait)).expect("a timeout");
        while let Ok(len) = socket.recv(&mut buffer) {
            match buffer[2] & 2 {
                0 => n_whole += 1,
                _ => {
                    assert_eq!(len, query.len(), "nothing but the question");
                    n_truncated += 1;
                }
            }
        }
    };
    for _ in 0..100 {
        (0..20).for_each(|_| _ = socket.send(&query).expect("sent"));
        receive(Duration::from_millis(1));
    }
    let metric = |name: &str| {
        let (_, metrics) = http(server.admin, "GET", "/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|n| n.trim().parse::<usize>().ok())
    };
    eventually("the last query", || {
        (metric("meridian_queries_total{transport=\"udp\"}")? == 2000).then_some(())
    });
    receive(Duration::from_millis(300));
    let share = 50 + (start.elapsed().as_millis() / 20) as usize + 1;
    assert!((50..=share).contains(&n_whole), "{n_whole} of {share}");
    let n_dropped = metric("meridian_dropped_total{reason=\"rate_limit\"}").expect("a counter");
    assert_eq!(n_whole + n_truncated + n_dropped, 2000);
    assert!(
        n_truncated.abs_diff(n_dropped) <= 1,
        "every other one slips"
    );
}

#[test]
fn a_bad_file_of_secrets_is_a_fault_of_the_configuration() {
    let folder = Folder::usual("", "[server.cookies]\nsecret_file = \"cookie.secret\"\n");
    let refused = folder.meridian(&["check"]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("cookie.secret:1:1: not found"), "{stderr}");
    folder.write("cookie.secret", format!("# two\n{OLD}\nx{NEW}\n"));
    let stderr = folder.meridian(&["serve"]);
    assert_eq!(stderr.status.code(), Some(78));
    let stderr = String::from_utf8_lossy(&stderr.stderr).into_owned();
    assert!(
        stderr.contains("cookie.secret:3:1: is no secret"),
        "{stderr}"
    );
    assert!(!stderr.contains(NEW), "a secret is not repeated");
}
