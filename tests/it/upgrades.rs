//! Switches of protocols through the real process, byte for byte: only the upstream's own 101 to a request that
//! asked for that protocol opens a tunnel (S17b), and what the client said before it is never part of it.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

use crate::support::nginx::Nginx;
use crate::support::pki::{Authority, write_private};
use crate::support::wait::until;
use crate::support::{ByHand, Client, Doorward, secure};

/// The handshake of RFC 6455 section 1.3.
const ASKS: &str = "GET /chat HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const GRANTS: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Kept: 1\r\nKeep-Alive: 5\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn config(upstream: &str, route: &str) -> String {
    format!(
        "workers: 1\nupstreams: {{ api: {{ {upstream} }} }}\n\
         routes: [{{ path: /, access: public, upstream: api{route} }}]\n"
    )
}

/// A door in front of an upstream that the test plays.
fn start(route: &str) -> (Doorward, ByHand) {
    let upstream = ByHand::listen();
    let door = Doorward::start(&config(&format!("url: \"http://{}\"", upstream.address), route));
    (door, upstream)
}

/// The value of the one sample of this name whose line contains the text.
fn sample(door: &Doorward, name: &str, text: &str) -> u64 {
    let lines = door.metric(name);
    let line = lines.iter().find(|l| l.contains(text));
    let value = line.and_then(|l| l.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no sample with {text} in {lines:?}"))
}

fn open_tunnels(door: &Doorward) -> u64 {
    sample(door, "doorward_upstream_tunnels{", "api")
}

fn ended_by(door: &Doorward, by: &str) -> u64 {
    sample(
        door,
        "doorward_upstream_tunnels_ended_total",
        &format!("\"{by}\""),
    )
}

/// The value of a field in a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().skip(1).filter_map(|l| l.split_once(':'));
    let mut found = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, v)| v.trim());
    assert!(found.next().is_none(), "{name} twice in {head}");
    value
}

/// A tunnel, with both of its ends.
fn tunnel(door: &Doorward, upstream: &ByHand) -> (Client, Client) {
    let mut client = door.connect();
    client.write(ASKS);
    let mut app = upstream.accept();
    app.head();
    app.write(GRANTS);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, app)
}

#[test]
fn a_websocket_is_a_tunnel_from_the_upstreams_101_on_and_in_both_directions() {
    let (door, upstream) = start("");
    let mut client = door.connect();
    client.write(ASKS.replace(
        "\r\n\r\n",
        "\r\nX-Auth-Subject: admin\r\nSec-WebSocket-Protocol: a\r\n\r\n",
    ));
    let mut app = upstream.accept();
    let head = app.head();
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("connection", Some("upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ==")),
        ("sec-websocket-protocol", Some("a")),
        ("x-auth-subject", None),
        ("x-auth-principal", Some("anonymous")),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(field(&head, name), value, "{name} in {head}");
    }
    // What comes right behind the 101 is the tunnel's already.
    app.write(format!("{GRANTS}welcome"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for (name, value) in [
        ("connection", Some("upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("x-kept", Some("1")),
        ("keep-alive", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(field(&head, name), value, "{name} in {head}");
    }
    assert_eq!(client.take(7), b"welcome");
    // Bytes that are no HTTP, and some that are.
    for bytes in [
        &b"\x81\x05hello"[..],
        b"\0\r\n\r\n\n\xff",
        b"GET /next HTTP/1.1\r\n\r\n",
    ] {
        client.write(bytes);
        assert_eq!(app.take(bytes.len()), bytes);
        app.write(bytes);
        assert_eq!(client.take(bytes.len()), bytes);
    }
    assert_eq!(open_tunnels(&door), 1);
    assert_eq!(
        sample(
            &door,
            "doorward_requests_total",
            "kind=\"none\",outcome=\"forwarded\""
        ),
        1,
        "counted at its 101"
    );
    // The end of one direction is passed on, and the other goes on.
    client.finish();
    assert_eq!(app.rest(), b"");
    app.write("goodbye");
    drop(app);
    assert_eq!(client.rest(), b"goodbye");
    until("the tunnel is counted out", || open_tunnels(&door) == 0);
    assert_eq!(ended_by(&door, "client"), 1);
    until("its connection too", || {
        sample(&door, "doorward_upstream_connections{", "api") == 0
    });
}

#[test]
fn whoever_ends_or_breaks_it_ends_it_for_both() {
    let (door, upstream) = start("");
    let (mut client, app) = tunnel(&door, &upstream);
    drop(app);
    assert_eq!(client.rest(), b"", "the app left");
    drop(client);
    until("counted", || ended_by(&door, "upstream") == 1);
    let (client, mut app) = tunnel(&door, &upstream);
    drop(client);
    assert_eq!(app.rest(), b"", "the client left");
    drop(app);
    until("counted", || ended_by(&door, "client") == 1);
    assert_eq!(open_tunnels(&door), 0);
}

#[test]
fn asked_for_in_any_other_way_it_is_an_ordinary_request() {
    let (door, upstream) = start("");
    let mut client = door.connect();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let rows = [
        (
            format!("Upgrade: websocket\r\n{key}"),
            "without Connection: upgrade",
        ),
        (
            format!("Connection: keep-alive\r\nUpgrade: websocket\r\n{key}"),
            "with another option",
        ),
        (format!("Connection: Upgrade\r\n{key}"), "without a protocol"),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\n".to_owned(),
            "without a key",
        ),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
                .to_owned(),
            "h2c, as curl --http2 asks",
        ),
        (
            format!("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{key}"),
            "several protocols",
        ),
        (
            format!("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n{key}"),
            "several protocols in two lines",
        ),
        (
            format!("Connection: Upgrade\r\nUpgrade: chat\r\n{key}"),
            "a protocol that the route does not name",
        ),
        (
            format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}Content-Length: 2\r\n"),
            "with a body",
        ),
        (
            format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}Transfer-Encoding: chunked\r\n"),
            "with chunks",
        ),
    ];
    let mut app: Option<Client> = None;
    for (fields, why) in rows {
        client.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        if fields.contains("Content-Length") {
            client.write("hi");
        } else if fields.contains("chunked") {
            client.write("2\r\nhi\r\n0\r\n\r\n");
        }
        let app = app.get_or_insert_with(|| upstream.accept());
        let head = app.head();
        for name in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(field(&head, name), None, "{why}: {name} in {head}");
        }
        if fields.contains("Content-Length") {
            assert_eq!(app.take(2), b"hi");
        } else if fields.contains("chunked") {
            assert_eq!(app.take(12), b"2\r\nhi\r\n0\r\n\r\n");
        }
        app.write(OK);
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{why}");
    }
    // HTTP/1.0 knows no switching (RFC 9110 section 7.8).
    client.write(ASKS.replace("HTTP/1.1", "HTTP/1.0"));
    let app = app.as_mut().expect("connected");
    assert_eq!(field(&app.head(), "upgrade"), None);
    app.write(OK);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_route_names_the_protocols_it_lets_through() {
    let (door, upstream) = start(", upgrades: [chat/2]");
    let asks = |protocol: &str| {
        format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n")
    };
    let mut client = door.connect();
    client.write(ASKS);
    let mut app = upstream.accept();
    assert_eq!(field(&app.head(), "upgrade"), None, "not this one");
    app.write(OK);
    client.answer();
    client.write(asks("Chat/2"));
    let mut app = upstream.accept();
    assert_eq!(field(&app.head(), "upgrade"), Some("chat/2"));
    app.write("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: chat/2\r\n\r\n>");
    assert_eq!(field(&client.head(), "upgrade"), Some("chat/2"));
    assert_eq!(client.take(1), b">");
    client.write("x");
    assert_eq!(app.take(1), b"x");
}

#[test]
fn what_the_client_sends_before_the_101_is_never_part_of_a_tunnel() {
    let (door, upstream) = start("");
    for (early, why) in [
        (&b"\x81\x05hello"[..], "a frame of WebSocket"),
        (b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n", "a whole request"),
        (
            b"GET /admin HTTP/1.1\r\nHost: a\r\nX-Auth-Subject: admin\r\n",
            "half a request",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the preface of HTTP/2"),
        (b"\r\n", "an empty line"),
        (b"x", "a byte"),
    ] {
        // In the same packet, and in one of its own while the upstream thinks.
        for together in [true, false] {
            let mut client = door.connect();
            match together {
                true => _ = client.write([ASKS.as_bytes(), early].concat()),
                false => _ = client.write(ASKS),
            }
            let mut app = upstream.accept();
            app.head();
            if !together {
                client.write(early);
                // So that it has arrived: an answer on another connection is younger.
                let mut other = door.connect();
                other.write("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
                let mut app = upstream.accept();
                app.head();
                app.write(OK);
                other.answer();
            }
            app.write(GRANTS);
            let answer = client.answer();
            assert_eq!(answer.status, 400, "{why}, together: {together}");
            assert_eq!(answer.json()["reason"], "ambiguous_framing", "{why}");
            assert_eq!(app.rest(), b"", "{why}: nothing of it reached the app");
        }
    }
    assert_eq!(open_tunnels(&door), 0);
}

#[test]
fn a_refused_wish_is_an_ordinary_answer_and_both_connections_go_on() {
    let (door, upstream) = start("");
    let mut client = door.connect();
    client.write(ASKS);
    let mut app = upstream.accept();
    app.head();
    app.write("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\nno!");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (426, "no!"));
    // A client that takes the refusal for a tunnel speaks HTTP and nothing else.
    client.write("GET /next HTTP/1.1\r\nHost: a\r\nX-Auth-Subject: admin\r\n\r\n");
    let head = app.head();
    assert!(head.starts_with("GET /next "), "{head}");
    assert_eq!(field(&head, "x-auth-subject"), None);
    app.write(OK);
    assert_eq!(client.answer().text(), "ok");
    client.write("\x01\x02not http\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert_eq!(open_tunnels(&door), 0);
}

#[test]
fn a_101_that_does_not_answer_the_wish_is_a_lie() {
    let (door, upstream) = start("");
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let asks_h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (request, answer, why) in [
        (plain, GRANTS.to_owned(), "nobody asked"),
        (
            asks_h2c,
            GRANTS.replace("websocket", "h2c"),
            "the wish was not passed on",
        ),
        (ASKS, "HTTP/1.1 101 Ok\r\n\r\n".to_owned(), "a bare 101"),
        (
            ASKS,
            "HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned(),
            "an app that lets clients choose its status",
        ),
        (ASKS, GRANTS.replace("s3pP", "s3pQ"), "an answer to another key"),
        (ASKS, GRANTS.replace("websocket", "h2c"), "another protocol"),
        (
            ASKS,
            format!("HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\n{accept}\r\n"),
            "no Connection",
        ),
        (
            ASKS,
            GRANTS.replace("\r\n\r\n", "\r\nUpgrade: h2c\r\n\r\n"),
            "two protocols",
        ),
        (
            ASKS,
            GRANTS.replace("HTTP/1.1 101", "HTTP/1.1  101"),
            "no status line",
        ),
    ] {
        let mut client = door.connect();
        client.write(request);
        let mut app = upstream.accept();
        app.head();
        app.write(&answer)
            .write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let got = client.answer();
        assert_eq!(got.status, 502, "{why}: {answer}");
        assert_eq!(got.json()["reason"], "upstream_invalid_answer", "{why}");
        let _ = client.try_write("secret");
        assert_eq!(app.rest(), b"", "{why}: the connection is not used again");
    }
    assert_eq!(open_tunnels(&door), 0);
}

#[test]
fn a_tunnel_that_stands_still_is_closed_and_one_that_moves_is_not() {
    let upstream = ByHand::listen();
    let url = format!(
        "url: \"http://{}\", timeouts: {{ tunnel_idle: 300ms, total: 200ms }}",
        upstream.address
    );
    let door = Doorward::start(&config(&url, ""));
    let (mut client, mut app) = tunnel(&door, &upstream);
    // Far longer than it may stand still, and than an answer may take.
    for _ in 0..20 {
        std::thread::park_timeout(Duration::from_millis(50));
        app.write("x");
        client.take(1);
    }
    assert_eq!(open_tunnels(&door), 1);
    assert_eq!(client.rest(), b"");
    assert_eq!(app.rest(), b"");
    until("counted", || ended_by(&door, "idle") == 1);
    assert_eq!(open_tunnels(&door), 0);
}

#[test]
fn a_client_that_does_not_read_slows_its_app_and_costs_no_memory() {
    const MOST: usize = 64 * 1024 * 1024;
    let (door, upstream) = start("");
    let (mut client, app) = tunnel(&door, &upstream);
    let piece = vec![7; 64 * 1024];
    let mut app = app.stream().try_clone().expect("cloned");
    app.set_write_timeout(Some(Duration::from_millis(500)))
        .expect("set");
    let mut sent = 0;
    // The kernel's buffers on both sides, and no more.
    while let Ok(some) = app.write(&piece) {
        sent += some;
        assert!(sent < MOST, "nobody reads, and {sent} bytes are taken");
    }
    drop(app);
    let mut read = 0;
    let mut piece = vec![0; 64 * 1024];
    while read < sent {
        let some = client.stream().read(&mut piece).expect("read");
        assert!(some > 0 && piece[..some].iter().all(|b| *b == 7));
        read += some;
    }
    client.write("still there");
}

#[test]
fn a_tunnel_goes_on_while_the_process_drains_and_is_closed_at_the_end_of_that() {
    let upstream = ByHand::listen();
    let config = config(&format!("url: \"http://{}\"", upstream.address), "");
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let door = Doorward::start_in(folder, &config, &[("DOORWARD_DRAIN__TIMEOUT", "1s")]);
    let (mut client, mut app) = tunnel(&door, &upstream);
    door.signal("TERM");
    door.wait_for_line(|l| l["message"] == "leaving: no new connections");
    client.write("still");
    assert_eq!(app.take(5), b"still");
    app.write("here");
    assert_eq!(client.take(4), b"here");
    door.wait_for_line(|l| l["message"] == "leaving: some connections did not end in time");
    assert_eq!(client.rest(), b"");
    assert_eq!(app.rest(), b"");
    assert_eq!(door.wait(), Some(0));
}

#[test]
fn an_upstream_that_prefers_http_2_is_asked_in_http_1() {
    let authority = Authority::new();
    let app = ByHand::listen();
    // A real server in between that agrees on h2 whenever it is offered.
    let server = format!(
        "listen ADDRESS ssl http2; ssl_certificate FOLDER/app.pem; ssl_certificate_key FOLDER/app.key; \
         location = /version {{ return 200 $server_protocol; }} \
         location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection upgrade; }}",
        app.address
    );
    let nginx = Nginx::start(&[&server], |folder| {
        authority.write(folder, "app", "app.internal");
    });
    let files = TempDir::new().expect("a folder");
    let ca = files.path().join("ca.pem");
    write_private(&ca, &authority.pem());
    let url = format!(
        "url: \"https://{}\", protocol: auto, tls: {{ ca_file: {}, server_name: app.internal }}",
        nginx.addresses[0],
        ca.display()
    );
    let door = Doorward::start(&config(&url, ""));
    assert_eq!(door.get("/version", &[]).text(), "HTTP/2.0", "{}", nginx.log());
    let (mut client, mut app) = tunnel(&door, &app);
    client.write("up");
    assert_eq!(app.take(2), b"up");
    app.write("down");
    assert_eq!(client.take(4), b"down");
    assert_eq!(
        door.get("/version", &[]).text(),
        "HTTP/2.0",
        "the others go on as before"
    );
}

/// Says back whatever it is told.
async fn echo(listener: tokio::net::TcpListener) {
    let (stream, _) = listener.accept().await.expect("accepted");
    let mut socket = tokio_tungstenite::accept_async(stream)
        .await
        .expect("a handshake");
    while let Some(Ok(message)) = socket.next().await {
        if message.is_binary() {
            socket.send(message).await.expect("sent");
        }
    }
}

#[test]
fn a_real_client_and_a_real_server_talk_in_messages_of_any_size_over_tls_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let talk = async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("url: \"http://{}\"", listener.local_addr().expect("an address"));
        let app = tokio::spawn(echo(listener));
        let authority = Authority::new();
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let secured = secure::listener(folder.path(), &authority);
        let door = Doorward::start_listening(folder, &secured, &config(&url, ""), &[]);
        let connector = secure::connector(&authority, b"http/1.1");
        let stream = secure::connect(connector, door.proxy).await.expect("connected");
        let asked = tokio_tungstenite::client_async("wss://app.example/chat", stream).await;
        let (socket, answer) = asked.expect("a handshake");
        assert_eq!(answer.status().as_u16(), 101);
        let (mut say, mut hear) = socket.split();
        let sizes = [0, 1, 125, 126, 65_535, 65_536, 1024 * 1024, 3];
        let saying = async {
            for size in sizes {
                say.send(Message::binary(vec![7; size])).await.expect("sent");
            }
        };
        let hearing = async {
            for size in sizes {
                let heard = hear.next().await.expect("a message").expect("whole");
                assert_eq!(heard.into_data().as_ref(), vec![7; size]);
            }
        };
        tokio::join!(saying, hearing);
        say.close().await.expect("closed");
        assert!(matches!(hear.next().await, Some(Ok(Message::Close(_)))));
        app.await.expect("the app ended");
        drop((say, hear));
        until("counted", || {
            ended_by(&door, "client") + ended_by(&door, "upstream") == 1
        });
    };
    runtime.expect("a runtime").block_on(talk);
}
