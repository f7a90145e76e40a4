//! The audit log by itself: its schema, its rotation, and what it does when it cannot keep up.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use tickgate::audit::{self, Audit, Line, LogFile, Record, Roll, Target, What};
use tickgate::config::Audit as Config;
use tickgate::runtime::{Clock, TokioRuntime};
use tickgate::topic::{ClientId, Instrument, Mode, Role, Topic};

/// 2026-11-21T07:30:00.123Z
const NOW_MS: u64 = 1_795_246_200_123;

fn topic(symbol: &str) -> Topic {
    Topic::new(Instrument::new("NSE", symbol), Mode::Quote)
}

/// One record of each kind.
fn each_kind() -> Vec<What> {
    vec![
        What::Opened { channel: "/".into() },
        What::Closed { code: Some(4429), reason: Some("rules broken repeatedly") },
        What::TurnedAway { reason: "crowded", status: Some(429), count: 4 },
        What::Authenticated {},
        What::AuthenticationFailed { reason: "AUTHENTICATION_ERROR", count: 4 },
        What::TokenIssued {},
        What::SubscriptionAdded { topic: topic("TCS") },
        What::SubscriptionRemoved { topic: topic("M&M") },
        What::RateLimited { count: 2 },
        What::Violation { rule: "name", count: 1 },
        What::ConductClosed {},
        What::AddressBlocked { network: "2001:db8::/64".parse().unwrap(), for_ms: Some(60_000) },
        What::AdminAction {
            command: "remove_user",
            target: Some(Target::User("mallory".into())),
            outcome: "done",
            by: Some("alice".into()),
        },
        What::CredentialsReloaded { revoked: 1, changed: 2 },
        What::CredentialsNotReloaded {},
        What::CredentialsInvalidated {},
        What::FeedSilent { broker: "paper".into(), topics: 3 },
        What::FeedAudible { broker: "paper".into() },
    ]
}

#[test]
fn the_schema_of_each_kind_of_record() {
    let kinds = each_kind();
    let names: Vec<_> = kinds.iter().map(What::name).collect();
    assert_eq!(names, What::NAMES, "one of each, in order");
    let mut text = String::new();
    for what in kinds {
        let record = Record {
            unix_ms: NOW_MS,
            address: Some("127.0.0.1".parse().unwrap()),
            user: Some("alice".into()),
            role: Some(Role::SuperAdmin),
            dropped: 3,
            ..what.of(ClientId(7))
        };
        text.push_str(&String::from_utf8(record.to_line()).unwrap());
    }
    let bare = Record { unix_ms: NOW_MS, ..What::Closed { code: None, reason: None }.record() };
    text.push_str(&String::from_utf8(bare.to_line()).unwrap());
    insta::assert_snapshot!("schema", text);
}

#[test]
fn a_hostile_name_stays_one_field_of_one_line() {
    let hostile = "x\",\"event\":\"authenticated\"}\n{\"unix_ms\":1}\u{1b}[2J\u{202e}\0";
    for what in each_kind() {
        let what = match what {
            What::SubscriptionAdded { .. } => What::SubscriptionAdded { topic: topic(hostile) },
            What::AdminAction { command, outcome, .. } => What::AdminAction {
                command,
                target: Some(Target::User(hostile.into())),
                outcome,
                by: Some(hostile.into()),
            },
            other => other,
        };
        let name = what.name();
        let record = Record { user: Some(hostile.into()), ..what.of(ClientId(1)) };
        let line = String::from_utf8(record.to_line()).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.trim_end().contains(|c: char| c.is_ascii_control()), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["event"], &read["user"]), (&name.into(), &hostile.into()));
    }
}

#[test]
fn no_part_of_a_record_can_hold_free_text_or_a_secret() {
    let source = include_str!("../src/audit/record.rs");
    let schema = source.split("impl Serialize for Record").next().unwrap();
    for forbidden in ["String", "Secret", "Credential,", "Reject", "Value", "Box<str>", "Arc<str>"]
    {
        assert!(!schema.contains(forbidden), "a record holds a {forbidden}");
    }
}

#[test]
fn what_earlier_records_told_of_a_connection_is_added_until_it_ends() {
    let mut roll = Roll::default();
    let address = Some("10.0.0.1".parse().unwrap());
    let opened = Record { address, ..What::Opened { channel: "/".into() }.of(ClientId(1)) };
    let user = Some("alice".into());
    let entered =
        Record { user, role: Some(Role::Trader), ..What::Authenticated {}.of(ClientId(1)) };
    let limited = What::RateLimited { count: 1 };
    let closed = What::Closed { code: None, reason: None };
    let mut records = [
        opened,
        entered,
        limited.clone().of(ClientId(1)),
        closed.of(ClientId(1)),
        limited.of(ClientId(1)),
    ];
    for record in &mut records {
        roll.complete(record);
    }
    let told = records.map(|record| (record.address.is_some(), record.user.is_some()));
    assert_eq!(told, [(true, false), (true, true), (true, true), (true, true), (false, false)]);
}

/// A log with a clock that stands still unless it is told to move.
struct Log {
    clock: Clock,
    file: LogFile,
}

impl Log {
    fn new(path: &Path, bytes_max: usize, age_ms: u64, files_max: usize) -> Self {
        let config =
            Config { file: None, rotate_bytes_max: bytes_max, rotate_age_ms: age_ms, files_max };
        Self { clock: Clock::start(), file: LogFile::new(path.to_owned(), &config) }
    }

    fn line(&self, client: u64) -> Line {
        let unix_ms = NOW_MS + self.clock.now_ms();
        let record =
            Record { unix_ms, ..What::Opened { channel: "/".into() }.of(ClientId(client)) };
        Line { unix_ms, bytes: record.to_line() }
    }

    fn write(&mut self, clients: impl IntoIterator<Item = u64>) {
        let mut lines: VecDeque<_> = clients.into_iter().map(|client| self.line(client)).collect();
        self.file.write(&mut lines).unwrap();
        assert!(lines.is_empty());
    }
}

/// The numbers of the connections in a file.
fn clients(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let read = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["client"].as_u64();
    text.lines().map(|line| read(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_full_is_put_aside_and_the_oldest_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let line_bytes = Log::new(&path, 1, 1, 1).line(1).bytes.len();
    let mut log = Log::new(&path, 2 * line_bytes, 1_000, 2);
    log.write(1..=3);
    log.write(4..=7);
    assert_eq!(clients(&path), [7]);
    assert_eq!(clients(&audit::sibling(&path, 1)), [5, 6]);
    assert_eq!(clients(&audit::sibling(&path, 2)), [3, 4]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    let mut tiny = Log::new(&path, 1, 1_000, 2);
    tiny.write([8]);
    assert_eq!(clients(&path), [8], "a line that fits nowhere has a file of its own");
}

#[test]
fn fewer_files_than_before_are_kept_from_the_next_rotation_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let line_bytes = Log::new(&path, 1, 1, 1).line(1).bytes.len();
    Log::new(&path, line_bytes, 1_000, 6).write(1..=6);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 6);
    Log::new(&path, line_bytes, 1_000, 2).write([7]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    assert_eq!(clients(&path), [7]);
    assert_eq!(clients(&audit::sibling(&path, 1)), [6]);
    assert_eq!(clients(&audit::sibling(&path, 2)), [5]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_old_is_put_aside_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut log = Log::new(&path, 1_000_000, 60_000, 3);
    log.write([1]);
    tokio::time::advance(Duration::from_millis(59_999)).await;
    log.write([2]);
    assert_eq!(clients(&path), [1, 2]);
    let clock = log.clock;
    tokio::time::advance(Duration::from_millis(1)).await;
    let mut log = Log { clock, ..Log::new(&path, 1_000_000, 60_000, 3) };
    log.write([3]);
    assert_eq!(clients(&path), [3]);
    assert_eq!(clients(&audit::sibling(&path, 1)), [1, 2]);
}

#[test]
fn a_line_that_was_cut_off_does_not_spoil_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    std::fs::write(&path, "{\"unix_ms\":17").unwrap();
    Log::new(&path, 1_000_000, 60_000, 3).write([1]);
    let text = std::fs::read_to_string(&path).unwrap();
    let (cut, whole) = text.split_once('\n').unwrap();
    assert_eq!(cut, "{\"unix_ms\":17");
    assert!(serde_json::from_str::<serde_json::Value>(whole).is_ok(), "{whole}");
}

#[test]
fn what_does_not_fit_into_the_queue_is_counted_and_the_next_record_says_so() {
    let (audit, mut records) = Audit::channel(2, || NOW_MS);
    for client in 1..=5 {
        audit.put(What::Opened { channel: "/".into() }.of(ClientId(client)));
    }
    assert_eq!(audit.totals().dropped, 3);
    let first = records.try_recv().unwrap();
    assert_eq!((first.client, first.dropped, first.unix_ms), (Some(ClientId(1)), 0, NOW_MS));
    audit.put(What::Opened { channel: "/".into() }.of(ClientId(6)));
    records.try_recv().unwrap();
    let next = records.try_recv().unwrap();
    assert_eq!((next.client, next.dropped), (Some(ClientId(6)), 3));
    drop(records);
    audit.put(What::Opened { channel: "/".into() }.of(ClientId(7)));
    assert_eq!(audit.totals().dropped, 3, "nobody keeps it any more");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_stops_nothing_and_what_was_not_written_is_written_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let config = Config { file: Some(path.clone()), ..Config::default() };
    let runtime = TokioRuntime::new();
    let (audit, _task, stop) = audit::start(&runtime, &config).await.unwrap().unwrap();

    audit.put(What::Opened { channel: "/".into() }.of(ClientId(1)));
    while audit.totals().errors == 0 {
        tokio::task::yield_now().await;
    }
    assert!(audit.totals().failing && audit.totals().written == 0);
    audit.put(What::Opened { channel: "/".into() }.of(ClientId(2)));
    std::fs::remove_file(&path).unwrap();
    stop.stop().await;

    assert!(!audit.totals().failing);
    assert_eq!((audit.totals().written, audit.totals().dropped), (2, 0));
    assert_eq!(clients(&path), [1, 2]);
}
