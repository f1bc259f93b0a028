//! Both ends of a hand-over in one process: what arrives, and what either says of the other that is gone or strange.

use super::*;
use std::net::{TcpListener, TcpStream};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a pair")
}

/// A successor that is this shell script; the link is its standard input.
fn script(script: &str) -> Successor {
    Successor {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
    }
}

fn listener() -> Arc<TcpListener> {
    Arc::new(TcpListener::bind("127.0.0.1:0").expect("bound"))
}

#[test]
fn what_is_sent_arrives_by_name_and_listens_on() {
    let (ours, theirs) = pair();
    let socket = listener();
    let address = socket.local_addr().expect("an address");
    send(&ours, GREETING, None).expect("sent");
    for name in ["a", "b", "a"] {
        send(&ours, name.as_bytes(), Some(socket.as_fd())).expect("sent");
    }
    send(&ours, ALL, None).expect("sent");
    drop(socket);
    let mut inheritance = Inheritance::receive_over(theirs, PROMPTLY).expect("received");
    assert!(inheritance.take("c").is_none());
    assert!(inheritance.take("a").is_some() && inheritance.take("a").is_some());
    assert!(inheritance.take("a").is_none(), "each only once");
    let inherited = TcpListener::from(inheritance.take("b").expect("the other one"));
    TcpStream::connect(address).expect("somebody listens still");
    inherited.accept().expect("and that is us");
    send(&ours, YOURS, None).expect("sent");
    inheritance.accept(PROMPTLY).expect("ours");
    assert_eq!(receive(&ours, RecvFlags::empty()).expect("a message").0, READY);
}

/// A text, and a descriptor with it.
type Message<'a> = (&'a [u8], Option<BorrowedFd<'a>>);

#[test]
fn what_is_not_expected_ends_it() {
    let socket = listener();
    let none: Option<BorrowedFd<'_>> = None;
    let some = Some(socket.as_fd());
    #[rustfmt::skip]
    let rows: [(&[Message], &str, &str); 4] = [
        (&[(b"doorward hand-over 2", none)], "another form", "a later version's form"),
        (&[(GREETING, none)], "ended", "it ends in the middle"),
        (&[(GREETING, none), (b"a", none)], "not expected", "a name without a descriptor"),
        (&[(GREETING, none), (&[b'x'; MAX_MESSAGE_BYTES + 1], some)], "longer", "a message that is too long"),
    ];
    for (messages, expected, why) in rows {
        let (ours, theirs) = pair();
        for (text, descriptor) in messages {
            send(&ours, text, *descriptor).expect("sent");
        }
        drop(ours);
        let error = Inheritance::receive_over(theirs, PROMPTLY)
            .expect_err(why)
            .to_string();
        assert!(error.contains(expected), "{why}: {error}");
    }
    let (ours, theirs) = pair();
    send(&ours, GREETING, None).expect("sent");
    for _ in 0..=MAX_DESCRIPTORS {
        send(&ours, b"a", some).expect("sent");
    }
    send(&ours, ALL, None).expect("sent");
    let error = Inheritance::receive_over(theirs, PROMPTLY).expect_err("more than are ever sent");
    assert!(error.to_string().contains("not expected"), "{error}");
    let (_silent, theirs) = pair();
    Inheritance::receive_over(theirs, Duration::from_millis(10)).expect_err("it says nothing at all");
    let file = OwnedFd::from(std::fs::File::open("/dev/null").expect("there"));
    let error = Inheritance::receive_over(file, PROMPTLY)
        .expect_err("no link")
        .to_string();
    assert!(error.contains("SIGQUIT"), "{error}");
}

#[test]
fn a_successor_begins_at_the_word_alone_and_does_not_wait_for_it_for_ever() {
    for (word, within, why) in [
        (Some(b"theirs"), PROMPTLY, "another word"),
        (None, Duration::from_millis(10), "none"),
    ] {
        let (ours, theirs) = pair();
        send(&ours, GREETING, None).expect("sent");
        send(&ours, ALL, None).expect("sent");
        let inheritance = Inheritance::receive_over(theirs, 360 * PROMPTLY).expect("received");
        if let Some(word) = word {
            send(&ours, word, None).expect("sent");
        }
        inheritance.accept(within).expect_err(why);
    }
}

#[test]
fn a_server_that_ends_meanwhile_is_followed_all_the_same() {
    let (ours, theirs) = pair();
    send(&ours, GREETING, None).expect("sent");
    send(&ours, ALL, None).expect("sent");
    let inheritance = Inheritance::receive_over(theirs, PROMPTLY).expect("received");
    drop(ours);
    inheritance.accept(PROMPTLY).expect("nobody else is there");
    let (ours, theirs) = pair();
    send(&ours, GREETING, None).expect("sent");
    send(&ours, ALL, None).expect("sent");
    let inheritance = Inheritance::receive_over(theirs, PROMPTLY).expect("received");
    let hears = std::thread::spawn(move || receive(&ours, RecvFlags::empty()).expect("a message").0);
    inheritance.accept(PROMPTLY).expect("it ended after it had heard");
    assert_eq!(hears.join().expect("no panic"), READY);
}

#[tokio::test]
async fn a_successor_that_fails_or_is_late_is_ended_and_nothing_else_changes() {
    let possessions = Possessions::own();
    let socket = listener();
    possessions.add("a".to_owned(), &socket);
    let rows = [
        ("exit 1", "ended before", Duration::from_secs(20), "it fails"),
        (
            "exec sleep 600",
            "not ready within",
            Duration::from_millis(50),
            "it hangs",
        ),
        (
            "echo steady >&0; exec sleep 600",
            "another form",
            Duration::from_secs(20),
            "it says another word than that it is ready",
        ),
        (
            "exec 0<&-; exec sleep 600",
            "ended before",
            Duration::from_secs(20),
            "it lets go of the link, has no last words and hangs",
        ),
    ];
    for (text, expected, within, why) in rows {
        let mut offer = Offer::make(&script(text), &possessions).expect("started");
        let pid = offer.pid();
        let error = offer.ready(within).await.expect_err(why).to_string();
        assert!(error.contains(expected), "{why}: {error}");
        drop(offer);
        let gone = !std::path::Path::new(&format!("/proc/{pid}")).exists();
        assert!(gone, "{why}: nothing of it stays");
    }
    let nobody = Successor {
        program: "/nowhere/doorward".into(),
        arguments: Vec::new(),
    };
    Offer::make(&nobody, &possessions).expect_err("there is no such program");
    let address = socket.local_addr().expect("an address");
    TcpStream::connect(address).expect("it listens as before");
}

#[tokio::test]
async fn a_successor_that_lets_go_of_the_link_still_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("said");
    let text = format!("exec 0<&-; sleep 0.2; echo why > {}; exit 1", said.display());
    let mut offer = Offer::make(&script(&text), &Possessions::own()).expect("started");
    let error = offer.ready(Duration::from_secs(20)).await.expect_err("it fails");
    assert!(error.to_string().contains("ended before"), "{error}");
    drop(offer);
    assert!(said.exists(), "its last words came before it was ended");
}

#[tokio::test]
async fn what_was_closed_is_not_offered_and_too_much_is_refused_before_anything_starts() {
    let possessions = Possessions::own();
    let sockets: Vec<_> = (0..=MAX_DESCRIPTORS).map(|_| listener()).collect();
    for socket in &sockets {
        possessions.add("a".to_owned(), socket);
    }
    let error = Offer::make(&script("true"), &possessions)
        .expect_err("too many")
        .to_string();
    assert!(error.starts_with("there are 33 sockets, at most 32"), "{error}");
    drop(sockets);
    assert!(possessions.open().is_empty());
    Offer::make(&script("true"), &possessions).expect("nothing is not too much");
}
