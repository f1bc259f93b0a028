//! An upstream whose name comes to stand for other addresses, or for none.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::support::{World, accept, on_a_data_thread, patient};
use crate::edge::proxy::ConnectionSettings;
use crate::edge::proxy::upstream::{Resolve, Security, UpstreamAddress, keep_resolved};
use crate::runtime::tasks::Tasks;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What the name stands for, in the hand of the test.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<Vec<SocketAddr>>>);

impl Table {
    fn set(&self, addresses: &[SocketAddr]) {
        *self.0.lock().expect("not poisoned") = addresses.to_vec();
    }
}

impl Resolve for Table {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = self.0.lock().expect("not poisoned").clone();
        match addresses.is_empty() {
            true => Err(io::Error::other("no such name")),
            false => Ok(addresses),
        }
    }
}

async fn named() -> World {
    World::with(ConnectionSettings::default(), |settings| {
        settings.dns_refresh = Duration::from_millis(2);
        settings.connect_timeout = Duration::from_secs(2);
        settings.targets[0].address = UpstreamAddress::new(Security::Plain, "app.test", 80).expect("a name");
    })
    .await
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

#[test]
fn a_request_goes_where_the_name_leads_now_and_old_connections_end() {
    on_a_data_thread(async {
        let world = named().await;
        let (table, tasks) = (Table::default(), Tasks::on(Handle::current()));
        let (first, first_address) = listener().await;
        let (second, second_address) = listener().await;
        table.set(&[first_address]);
        keep_resolved(&world.directory, &table, &tasks);
        let mut client = world.client();
        client.send(GET).await;
        let mut old = accept(&first).await;
        old.head().await;
        old.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");

        let mut news = world.directory.watch();
        news.mark_unchanged();
        table.set(&[second_address]);
        patient(news.changed()).await.expect("renewed");
        client.send(GET).await;
        let mut new = accept(&second).await;
        new.head().await;
        assert_eq!(old.rest().await, "", "the connection to the old address ends");
        new.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
    });
}

#[test]
fn an_answer_under_way_from_a_vanished_address_is_finished() {
    on_a_data_thread(async {
        let world = named().await;
        let (table, tasks) = (Table::default(), Tasks::on(Handle::current()));
        let (first, first_address) = listener().await;
        let (_second, second_address) = listener().await;
        table.set(&[first_address]);
        keep_resolved(&world.directory, &table, &tasks);
        let mut client = world.client();
        client.send(GET).await;
        let mut old = accept(&first).await;
        old.head().await;
        old.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbe").await;
        client.until("be").await;
        let mut news = world.directory.watch();
        news.mark_unchanged();
        table.set(&[second_address]);
        patient(news.changed()).await.expect("renewed");
        world
            .engine
            .view()
            .upstream(&"api".into())
            .expect("there")
            .prune();
        old.send("en").await;
        client.until("en").await;
        assert_eq!(old.rest().await, "", "and not kept");
    });
}

#[test]
fn every_address_of_a_name_is_used_and_one_that_is_down_is_passed_over() {
    on_a_data_thread(async {
        let world = named().await;
        let (table, tasks) = (Table::default(), Tasks::on(Handle::current()));
        let (first, first_address) = listener().await;
        let (second, second_address) = listener().await;
        table.set(&[first_address, second_address]);
        keep_resolved(&world.directory, &table, &tasks);
        let mut client = world.client();
        for _ in 0..2 {
            client.send(GET).await;
            let mut upstream = tokio::select! {
                upstream = accept(&first) => upstream,
                upstream = accept(&second) => upstream,
            };
            upstream.head().await;
            // Closed after the answer: both are met by the next two, too.
            upstream
                .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            client.answer().await;
        }
        drop(first);
        for _ in 0..3 {
            client.send(GET).await;
            let mut upstream = accept(&second).await;
            upstream.head().await;
            upstream
                .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            assert_eq!(client.answer().await.1, "ok");
        }
    });
}

#[test]
fn a_name_that_is_lost_keeps_its_addresses_and_one_that_never_was_gives_502() {
    on_a_data_thread(async {
        let world = named().await;
        let (table, tasks) = (Table::default(), Tasks::on(Handle::current()));
        keep_resolved(&world.directory, &table, &tasks);
        let mut client = world.client();
        client.send(GET).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(body.contains("upstream_unreachable"), "{body}");
        let unresolved = world.metrics.for_upstream("api");
        let count = unresolved
            .failures
            .count(crate::telemetry::labels::UpstreamFailure::Unresolved);
        assert_eq!(count, 1);

        let mut news = world.directory.watch();
        news.mark_unchanged();
        let (only, address) = listener().await;
        table.set(&[address]);
        patient(news.changed()).await.expect("resolved at last");
        table.set(&[]);
        let failed = || {
            unresolved
                .resolutions
                .count(crate::telemetry::labels::ResolveOutcome::Failed)
        };
        let before = failed();
        patient(async {
            while failed() < before + 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        client.send(GET).await;
        let mut upstream = accept(&only).await;
        upstream.head().await;
        upstream.send(OK).await;
        assert_eq!(client.answer().await.1, "ok", "it keeps what it had");
    });
}

/// Never knows.
#[derive(Clone)]
struct Silent;

impl Resolve for Silent {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        std::future::pending().await
    }
}

#[test]
fn a_look_up_that_does_not_end_is_waited_for_no_longer_than_a_connection() {
    on_a_data_thread(async {
        let world = World::with(ConnectionSettings::default(), |settings| {
            settings.connect_timeout = Duration::from_millis(20);
            settings.targets[0].address =
                UpstreamAddress::new(Security::Plain, "app.test", 80).expect("a name");
        })
        .await;
        keep_resolved(&world.directory, &Silent, &Tasks::on(Handle::current()));
        let mut client = world.client();
        client.send(GET).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    });
}

/// One address, and from then on none: an answer, but an empty one.
#[derive(Clone)]
struct Once(Arc<Mutex<Vec<SocketAddr>>>);

impl Resolve for Once {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(std::mem::take(&mut *self.0.lock().expect("not poisoned")))
    }
}

#[test]
fn a_name_that_stands_for_nothing_keeps_what_it_had_until_its_upstream_is_retired() {
    on_a_data_thread(async {
        let world = named().await;
        let (only, address) = listener().await;
        let once = Once(Arc::new(Mutex::new(vec![address])));
        keep_resolved(&world.directory, &once, &Tasks::on(Handle::current()));
        let resolutions = world.metrics.for_upstream("api").resolutions;
        let failed = || resolutions.count(crate::telemetry::labels::ResolveOutcome::Failed);
        patient(async {
            while failed() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = accept(&only).await;
        upstream.head().await;
        upstream.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
        assert_eq!(
            Arc::weak_count(&world.directory),
            1,
            "somebody asks again and again"
        );
        world.directory.retire();
        patient(async {
            while Arc::weak_count(&world.directory) > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

#[test]
fn connections_to_a_vanished_address_end_as_soon_as_nothing_runs_on_them() {
    on_a_data_thread(async {
        let world = named().await;
        let (table, tasks) = (Table::default(), Tasks::on(Handle::current()));
        let (first, first_address) = listener().await;
        let (_second, second_address) = listener().await;
        table.set(&[first_address]);
        keep_resolved(&world.directory, &table, &tasks);
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut client = world.client();
            client.send(GET).await;
            let mut old = accept(&first).await;
            old.head().await;
            all.push((client, old));
        }
        let (mut client, mut idle) = all.pop().expect("three");
        idle.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
        let mut news = world.directory.watch();
        news.mark_unchanged();
        table.set(&[second_address]);
        patient(news.changed()).await.expect("renewed");
        let view = world.engine.view();
        view.upstream(&"api".into()).expect("there").prune();
        assert_eq!(idle.rest().await, "", "at once, though others run on");
        let (mut client, mut ending) = all.pop().expect("two");
        ending.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
        assert_eq!(ending.rest().await, "", "with its answer, though another runs on");
        let (mut client, mut last) = all.pop().expect("one");
        last.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
    });
}
