//! Tests of password guessing over many connections: logins from the attacker's address are slowed down, and
//! no client is locked out.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;

use ringbinder_tests::server::scratch;
use ringbinder_tests::{Conn, Kind, Server, wait};

use super::client::login;

/// Wrong passwords from one address before its logins are delayed.
const FREE: u64 = 8;

fn server() -> Server {
    let dir = scratch();
    let path = dir.path().join("users");
    std::fs::write(&path, "foo:bar\n").expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
    // The file is read before the first client is served.
    Server::start(Kind::Ringbinder, &["-Y", path.to_str().expect("a plain path")])
}

fn from(last: u8, server: &Server) -> Conn {
    let SocketAddr::V4(to) = server.address() else { panic!("no IPv4 address") };
    let to = SocketAddrV4::new(*to.ip(), to.port());
    Conn::tcp_from(Ipv4Addr::new(127, 0, 0, last), to).expect("a connection")
}

fn figure(conn: &mut Conn, name: &str) -> u64 {
    let stats = conn.ask_text("stats\r\n");
    let value = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name}: {stats}"))
}

#[test]
fn whoever_guesses_over_new_connections_waits_and_others_do_not() {
    let server = server();
    let mut friend = from(3, &server);
    friend.talk(login("foo", "bar"), "STORED\r\n");
    // Each guess uses its own connection and does not wait for the answer.
    let guesses = 2 * FREE;
    for number in 0..guesses {
        let mut conn = from(2, &server);
        conn.send(login("foo", &format!("guess{number}")));
        drop(conn);
        // Guesses that arrived before the others were counted are not delayed.
        let looked_at = |friend: &mut Conn| figure(friend, "auth_errors") > number;
        wait::until("the guess to be looked at", || looked_at(&mut friend).then_some(()));
    }
    let slowed = figure(&mut friend, "auth_slowed");
    assert_eq!(
        slowed,
        guesses - FREE,
        "each guess beyond the free ones waits before it is looked at"
    );
    // The right password is delayed too, so that the delay reveals nothing, and then accepted.
    from(2, &server).talk(login("foo", "bar"), "STORED\r\n");
    assert_eq!(figure(&mut friend, "auth_slowed"), slowed + 1);
    // Another address is not delayed.
    from(4, &server).talk(login("foo", "bar"), "STORED\r\n");
    assert_eq!(figure(&mut friend, "auth_slowed"), slowed + 1);
    assert_eq!(figure(&mut friend, "auth_errors"), guesses);
}

#[test]
fn an_honest_client_behind_the_address_of_many_guesses_comes_in() {
    let server = server();
    let crowd: Vec<Conn> = (0..100)
        .map(|number| {
            let mut conn = from(2, &server);
            conn.send(login("foo", &format!("guess{number}")).repeat(8));
            conn
        })
        .collect();
    let mut honest = from(2, &server);
    honest.talk(login("foo", "bar"), "STORED\r\n");
    honest.talk("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    drop(crowd);
}
