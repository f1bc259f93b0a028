//! Promises of usage: no use is forgotten or counted twice, and each credential is written once a time.

use super::*;
use crate::store::{Result, StoreError, UsageRecord};
use async_trait::async_trait;
use tokio::runtime::Handle;

#[derive(Debug, Default)]
struct FakeStore {
    writes: Mutex<Vec<Vec<UsageDelta>>>,
    failures_left: Mutex<usize>,
}

impl FakeStore {
    fn total(&self) -> u64 {
        self.writes.lock().iter().flatten().map(|d| d.count).sum()
    }
}

#[async_trait]
impl Usage for FakeStore {
    async fn add_usage(&self, batch: &[UsageDelta]) -> Result<Vec<Option<UsageRecord>>> {
        let mut left = self.failures_left.lock();
        if *left > 0 {
            *left -= 1;
            return Err(StoreError::Unavailable("told to fail".to_owned()));
        }
        self.writes.lock().push(batch.to_vec());
        Ok(vec![None; batch.len()])
    }
    async fn usage(&self, _: &CredentialId) -> Result<Option<UsageRecord>> {
        Ok(None)
    }
}

fn set_up(max_pending: usize) -> (Arc<FakeStore>, Arc<Metrics>, UsageRecorder, Writer) {
    let store = Arc::new(FakeStore::default());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let settings = UsageSettings {
        max_pending,
        ..UsageSettings::default()
    };
    let (recorder, writer) = UsageRecorder::with_writer(&settings, store.clone(), metrics.clone());
    (store, metrics, recorder, writer)
}

fn id(text: &str) -> CredentialId {
    CredentialId::parse(text).expect("an id")
}

fn client(text: &str) -> ClientIp {
    ClientIp::new(text.parse().expect("an address"))
}

#[tokio::test]
async fn a_batch_says_how_often_when_and_from_where() {
    let (store, metrics, recorder, mut writer) = set_up(100);
    let cell = recorder.cell(id("c1"));
    recorder.cell(id("never-used"));
    for (at, from) in [
        (50, "192.0.2.1"),
        (60, "192.0.2.1"),
        (70, "2001:db8::1"),
        (90, "192.0.2.1"),
    ] {
        cell.touch(UnixMillis(at), client(from));
    }
    writer.flush().await;
    writer.flush().await;
    let expected = UsageDelta {
        credential: id("c1"),
        count: 4,
        first_used_at: UnixMillis(50),
        last_used_at: UnixMillis(90),
        addresses: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()],
        agents: Vec::new(),
    };
    assert_eq!(
        *store.writes.lock(),
        [vec![expected]],
        "and nothing is written for no use"
    );
    assert_eq!(metrics.usage_flushes.count(FlushOutcome::Written), 1);
    cell.touch(UnixMillis(100), client("192.0.2.1"));
    writer.flush().await;
    let second = store.writes.lock()[1][0].clone();
    assert_eq!((second.count, second.first_used_at), (1, UnixMillis(100)));
    assert_eq!(
        second.addresses,
        ["192.0.2.1"],
        "a new batch names its addresses again"
    );
}

#[tokio::test]
async fn two_cells_of_one_credential_make_one_row() {
    let (store, _, recorder, mut writer) = set_up(100);
    let (one, two) = (recorder.cell(id("c1")), recorder.cell(id("c1")));
    one.touch(UnixMillis(10), client("192.0.2.1"));
    two.touch(UnixMillis(20), client("192.0.2.2"));
    drop((one, two));
    writer.flush().await;
    let writes = store.writes.lock();
    assert_eq!(
        (writes.len(), writes[0].len()),
        (1, 1),
        "even when the cells are gone by then"
    );
    assert_eq!(
        (writes[0][0].count, writes[0][0].first_used_at),
        (2, UnixMillis(10))
    );
    assert_eq!(writes[0][0].addresses, ["192.0.2.2", "192.0.2.1"]);
}

#[tokio::test]
async fn what_could_not_be_written_is_in_the_next_batch() {
    let (store, metrics, recorder, mut writer) = set_up(100);
    *store.failures_left.lock() = 2;
    let cell = recorder.cell(id("c1"));
    for at in [1, 2, 3] {
        cell.touch(UnixMillis(at), client("192.0.2.1"));
        writer.flush().await;
    }
    let row = store.writes.lock()[0][0].clone();
    assert_eq!(
        (row.count, row.first_used_at, row.last_used_at),
        (3, UnixMillis(1), UnixMillis(3))
    );
    assert_eq!(metrics.usage_flushes.count(FlushOutcome::Failed), 2);
}

#[tokio::test]
async fn the_list_is_bounded_and_the_counts_of_others_wait_in_their_cells() {
    let (store, _, recorder, mut writer) = set_up(10);
    let cells: Vec<_> = (0..25).map(|n| recorder.cell(id(&format!("c{n}")))).collect();
    for _ in 0..5 {
        for cell in &cells {
            cell.touch(UnixMillis(1), client("192.0.2.1"));
        }
        assert!(recorder.0.cells.lock().len() <= 10);
    }
    *store.failures_left.lock() = 1;
    writer.flush().await;
    for _ in 0..5 {
        for cell in &cells {
            cell.touch(UnixMillis(1), client("192.0.2.1"));
        }
        writer.flush().await;
        assert!(writer.unwritten.len() <= 10);
    }
    for cell in &cells {
        cell.touch(UnixMillis(1), client("192.0.2.1"));
    }
    for _ in 0..3 {
        for cell in &cells {
            if cell.count.load(Ordering::Relaxed) > 0 && !cell.listed.load(Ordering::Relaxed) {
                cell.count.fetch_sub(1, Ordering::Relaxed);
                cell.touch(UnixMillis(1), client("192.0.2.1"));
            }
        }
        writer.flush().await;
    }
    assert_eq!(store.total(), 25 * 11, "nothing was forgotten");
}

#[test]
fn only_the_most_recent_addresses_are_kept() {
    let mut recent = RecentAddresses::default();
    for n in 0..20 {
        recent.see(IpAddr::from([192, 0, 2, n]));
    }
    recent.see(IpAddr::from([192, 0, 2, 15]));
    let taken = recent.take();
    assert_eq!(taken.len(), MAX_RECENT_ADDRESSES);
    assert_eq!(taken[..3], ["192.0.2.15", "192.0.2.19", "192.0.2.18"]);
    assert_eq!(taken.iter().filter(|a| *a == "192.0.2.15").count(), 1);
    assert!(recent.take().is_empty());
}

#[tokio::test]
async fn no_use_is_lost_or_doubled_while_writing_goes_on() {
    let (store, _, recorder, mut writer) = set_up(100);
    let cell = recorder.cell(id("c1"));
    let users: Vec<_> = (0..4)
        .map(|n: u8| {
            let cell = cell.clone();
            std::thread::spawn(move || {
                for at in 0..20_000 {
                    cell.touch(UnixMillis(at), ClientIp::new(IpAddr::from([192, 0, 2, n])));
                }
            })
        })
        .collect();
    while users.iter().any(|user| !user.is_finished()) {
        writer.flush().await;
    }
    for user in users {
        user.join().expect("joined");
    }
    writer.flush().await;
    assert_eq!(store.total(), 80_000);
    for delta in store.writes.lock().iter().flatten() {
        assert!(delta.first_used_at <= delta.last_used_at && delta.first_used_at >= UnixMillis(0));
    }
}

#[tokio::test]
async fn the_stop_writes_what_is_left() {
    let store = Arc::new(FakeStore::default());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let tasks = Tasks::on(Handle::current());
    let settings = UsageSettings {
        interval: Duration::from_secs(3600),
        ..UsageSettings::default()
    };
    let recorder = UsageRecorder::spawn(&settings, store.clone(), metrics, &tasks);
    recorder.cell(id("c1")).touch(UnixMillis(1), client("192.0.2.1"));
    tasks.stop(Duration::from_secs(30)).await;
    assert_eq!(store.total(), 1);
}

#[test]
fn addresses_that_wait_to_be_written_are_bounded() {
    let delta = |first: u8| UsageDelta {
        credential: id("c1"),
        count: 1,
        first_used_at: UnixMillis(0),
        last_used_at: UnixMillis(0),
        addresses: (0..MAX_RECENT_ADDRESSES)
            .map(|n| IpAddr::from([192, 0, 2, first + u8::try_from(n).expect("few")]).to_string())
            .collect(),
        agents: Vec::new(),
    };
    let mut sum = delta(0);
    for first in [100, 200] {
        add(&mut sum, delta(first));
    }
    assert_eq!(sum.addresses, delta(200).addresses, "the latest, and no more");
}

#[tokio::test]
async fn agents_are_noted_each_once_the_last_first_and_cut() {
    let (store, _, recorder, mut writer) = set_up(100);
    let cell = recorder.cell(id("c1"));
    let long = "x".repeat(500);
    for agent in ["curl/8", "curl/8", "python\r\nforged: 1", "curl/8", long.as_str()] {
        cell.touched_by(agent.as_bytes());
        cell.touch(UnixMillis(1), client("192.0.2.1"));
    }
    writer.flush().await;
    let agents = store.writes.lock()[0][0].agents.clone();
    assert_eq!(agents, ["x".repeat(96).as_str(), "curl/8", "python??forged: 1"]);
    for n in 0..20 {
        cell.touched_by(format!("agent {n}").as_bytes());
        cell.touch(UnixMillis(2), client("192.0.2.1"));
    }
    writer.flush().await;
    assert_eq!(store.writes.lock()[1][0].agents.len(), MAX_RECENT_ADDRESSES);
}
