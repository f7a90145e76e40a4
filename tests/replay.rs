//! Recordings and the replay broker: on a network of memory, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tickgate::broker::paper::{Paper, PaperOptions};
use tickgate::broker::replay::{BadReplay, Replay, ReplayOptions};
use tickgate::broker::{Broker, BrokerEvent, Command, CommandId, CommandKind, SessionId};
use tickgate::config::ReplayStart;
use tickgate::recording::bus::{Filter, record};
use tickgate::recording::{self, BlockBuilder, End, Next, Recorder, Tick, Writer};
use tickgate::runtime::{Clock, Runtime, Task};
use tickgate::topic::{Instrument, Mode, Topic};
use tickgate::zmtp::{Options, Sub};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::zmtp_peers::memory::Memory;

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// A bus, as a gateway binds it.
async fn bus(runtime: &Memory) -> Sub {
    let bind = ["127.0.0.1:0".to_owned()];
    Sub::start(runtime, Options::default(), &bind, &[], &[bytes::Bytes::new()]).await.unwrap()
}

fn endpoint(bus: &Sub) -> String {
    format!("tcp://{}", bus.bound()[0])
}

/// A gateway's end of a broker.
struct Caller {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<BrokerEvent>,
    next: u64,
    _task: Task,
}

impl Caller {
    /// Starts a broker and opens a session.
    async fn of(runtime: &Memory, broker: impl Broker) -> Self {
        let (commands, commands_out) = mpsc::channel(64);
        let (events_in, events) = mpsc::channel(64);
        let task = runtime.spawn("test_broker", broker.run(commands_out, events_in));
        let mut caller = Self { commands, events, next: 1, _task: task };
        assert_eq!(caller.events.recv().await, Some(BrokerEvent::Up));
        caller.done(CommandKind::Connect).await;
        // Until it is connected to the bus.
        sleep(Duration::from_millis(50)).await;
        caller
    }

    async fn done(&mut self, kind: CommandKind) {
        let id = CommandId(self.next);
        self.next += 1;
        let deadline = Duration::from_secs(5);
        let (user, connection, session, more) = ("alice".into(), 0, SessionId(1), false);
        let command = Command { id, user, connection, session, kind, deadline, more };
        self.commands.send(command).await.unwrap();
        let Some(BrokerEvent::Answer(answer)) = self.events.recv().await else { panic!("an end") };
        assert_eq!(answer.id, id);
        answer.result.unwrap();
    }

    async fn subscribe(&mut self, symbol: &str, mode: Mode) {
        let topic = Topic::new(Instrument::new("NSE", symbol), mode);
        self.done(CommandKind::Subscribe { topic, depth: 5 }).await;
    }

    async fn unsubscribe(&mut self, symbol: &str, mode: Mode) {
        let topic = Topic::new(Instrument::new("NSE", symbol), mode);
        self.done(CommandKind::Unsubscribe { topic }).await;
    }
}

/// What comes over a bus within a while, with its times in milliseconds since `clock` began.
async fn hear(bus: &mut Sub, clock: Clock, within: Duration) -> Vec<(u64, String, String)> {
    let mut heard = Vec::new();
    let until = clock.now() + within;
    while let Some(left) = until.checked_sub(clock.now()) {
        let Ok(batch) = timeout(left, bus.recv()).await else { break };
        for message in batch.unwrap() {
            let [topic, payload] = message.parts() else { panic!("{message:?}") };
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            heard.push((clock.now_ms(), text(topic), text(payload)));
        }
    }
    heard
}

fn read(path: &Path) -> (Vec<Tick>, End) {
    let mut reader = recording::open(path).unwrap();
    let mut ticks = Vec::new();
    loop {
        match reader.next_ticks().unwrap() {
            Next::Ticks(more) => ticks.extend(more),
            Next::End(end) => return (ticks, end),
        }
    }
}

/// A file of these ticks: milliseconds, topic, payload.
fn file(directory: &Path, ticks: &[(u64, &str, &str)], length_ms: u64) -> PathBuf {
    let path = directory.join("market.tick");
    let (mut new, out) = recording::create(&path, true).unwrap();
    let mut writer = Writer::new(out, 0).unwrap();
    let mut builder = BlockBuilder::default();
    for (at_ms, topic, payload) in ticks {
        builder.push(at_ms * 1_000_000, topic.as_bytes(), payload.as_bytes()).unwrap();
        if builder.is_full() {
            writer.write(&builder.take().unwrap()).unwrap();
        }
    }
    if let Some(block) = builder.take() {
        writer.write(&block).unwrap();
    }
    writer.finish(length_ms * 1_000_000).unwrap();
    new.keep().unwrap();
    path
}

const SYMBOLS: [&str; 4] = ["TCS", "INFY", "M&M", "RELIANCE"];

/// Five minutes of the paper market, recorded from the bus.
async fn record_paper(runtime: &Memory, path: &Path) -> (Vec<Tick>, End) {
    let mut bus = bus(runtime).await;
    let options =
        PaperOptions { ticks_per_second: 5.0, ..PaperOptions::new("paper", endpoint(&bus), 7) };
    let paper = Paper::new(runtime.clone(), options).unwrap();
    let mut caller = Caller::of(runtime, paper).await;
    for symbol in SYMBOLS {
        for mode in Mode::ALL {
            caller.subscribe(symbol, mode).await;
        }
    }
    let writer = Writer::new(recording::create(path, false).unwrap().1, 0).unwrap();
    let mut recorder = Recorder::start(runtime, writer);
    let stop = sleep(FIVE_MINUTES);
    record(&mut bus, &mut recorder, &Filter::default(), None, stop, |_| ()).await.unwrap();
    let recorded = recorder.totals().ticks;
    let bytes = recorder.finish().await.unwrap();
    assert_eq!(bytes, std::fs::metadata(path).unwrap().len());
    let (ticks, end) = read(path);
    assert_eq!(ticks.len() as u64, recorded);
    (ticks, end)
}

#[tokio::test(start_paused = true)]
async fn five_minutes_of_paper_market_are_replayed_at_fifty_times_digit_for_digit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("paper.tick");
    let runtime = Memory::new();
    let (recorded, end) = record_paper(&runtime, &path).await;
    let End::Whole { length_ns } = end else { panic!("{end:?}") };
    assert!(length_ns >= 300_000_000_000);
    // Four symbols in three modes, five times a second, and a first tick of each.
    assert!((17_900..=18_020).contains(&recorded.len()), "{}", recorded.len());
    assert!(recorded.last().unwrap().at_ns > 299_000_000_000);

    let mut bus = bus(&runtime).await;
    let options =
        ReplayOptions { speed: 50.0, ..ReplayOptions::new("recorded", endpoint(&bus), &path) };
    let replay = Replay::open(runtime.clone(), options).unwrap();
    let mut caller = Caller::of(&runtime, replay).await;
    let clock = Clock::start();
    for symbol in SYMBOLS {
        for mode in Mode::ALL {
            caller.subscribe(symbol, mode).await;
        }
    }
    let heard = hear(&mut bus, clock, Duration::from_secs(10)).await;

    assert_eq!(heard.len(), recorded.len());
    for (tick, (at_ms, topic, payload)) in recorded.iter().zip(&heard) {
        assert_eq!(topic.as_bytes(), tick.topic, "order");
        assert_eq!(payload.as_bytes(), tick.payload, "digits");
        // A hundred milliseconds after the first subscription it begins.
        let due_us = 100_000 + tick.at_ns.div_ceil(50) / 1_000;
        assert!(at_ms * 1_000 >= due_us, "{topic} came at {at_ms} ms, due at {due_us} us");
        assert!(at_ms * 1_000 <= due_us + 3_000, "{topic} came at {at_ms} ms, due at {due_us} us");
    }
    assert!(heard.last().unwrap().0 < 6_200, "five minutes take six seconds");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_subscribed_is_published_and_at_the_end_it_is_silent() {
    let directory = tempfile::tempdir().unwrap();
    let ticks = [
        (0, "NSE_TCS_LTP", r#"{"ltp":1.10}"#),
        (10, "NSE_INFY_LTP", r#"{"ltp":2.0}"#),
        (20, "ZERODHA_alice_orders", "{}"),
        (30, "NSE_TCS_LTP", r#"{"ltp":1.20}"#),
        (1_000, "NSE_TCS_LTP", r#"{"ltp":1.30}"#),
        (2_000, "NSE_INFY_LTP", r#"{"ltp":2.1}"#),
    ];
    let path = file(directory.path(), &ticks, 3_000);
    let runtime = Memory::new();
    let mut bus = bus(&runtime).await;
    let options = ReplayOptions::new("recorded", endpoint(&bus), &path);
    let mut caller = Caller::of(&runtime, Replay::open(runtime.clone(), options).unwrap()).await;
    assert_eq!(hear(&mut bus, Clock::start(), FIVE_MINUTES).await, [], "nobody subscribed");

    let clock = Clock::start();
    caller.subscribe("TCS", Mode::Ltp).await;
    let heard = hear(&mut bus, clock, Duration::from_millis(500)).await;
    let expected = [(1.10, 100), (1.20, 130)];
    assert_eq!(heard.len(), expected.len());
    for ((at_ms, topic, payload), (ltp, due_ms)) in heard.iter().zip(expected) {
        assert_eq!((topic.as_str(), payload), ("NSE_TCS_LTP", &format!(r#"{{"ltp":{ltp:.2}}}"#)));
        assert!((due_ms..=due_ms + 3).contains(at_ms), "{at_ms}");
    }
    caller.unsubscribe("TCS", Mode::Ltp).await;
    caller.subscribe("INFY", Mode::Ltp).await;
    let heard = hear(&mut bus, clock, Duration::from_secs(60)).await;
    let payloads: Vec<_> = heard.iter().map(|(_, _, payload)| payload.as_str()).collect();
    assert_eq!(payloads, [r#"{"ltp":2.1}"#], "the market goes on meanwhile");
    caller.done(CommandKind::UnsubscribeAll).await;
    caller.done(CommandKind::Disconnect).await;
}

#[tokio::test(start_paused = true)]
async fn it_can_begin_later_and_again_and_with_the_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let ticks: Vec<_> = (0..10).map(|n| (n * 100, "NSE_TCS_QUOTE", "{\"n\":1}")).collect();
    let path = file(directory.path(), &ticks, 2_000);
    let runtime = Memory::new();
    let mut bus = bus(&runtime).await;
    let clock = Clock::start();
    let options = ReplayOptions {
        repeat: true,
        from: Duration::from_millis(850),
        start: ReplayStart::Gateway,
        start_delay: Duration::from_millis(1_000),
        ..ReplayOptions::new("recorded", endpoint(&bus), &path)
    };
    let mut caller = Caller::of(&runtime, Replay::open(runtime.clone(), options).unwrap()).await;
    // The recording lacks the mode, and has a higher one.
    caller.subscribe("TCS", Mode::Ltp).await;
    let heard = hear(&mut bus, clock, Duration::from_millis(3_500)).await;
    // One tick is left, 50 ms behind the beginning, in rounds of 2,000 - 850 ms.
    let times: Vec<_> = heard.iter().map(|(at_ms, _, _)| *at_ms).collect();
    assert_eq!(times.len(), 3, "{times:?}");
    for (at_ms, due_ms) in times.iter().zip([1_050, 2_200, 3_350]) {
        assert!((due_ms..=due_ms + 3).contains(at_ms), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_cannot_keep_up_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // Six times what the bus and its queues hold.
    let pad = "x".repeat(250);
    let payload = |n| format!(r#"{{"n":{n},"pad":"{pad}"}}"#);
    let payloads: Vec<_> = (0..60_000).map(payload).collect();
    let topics: Vec<_> = (0..20).map(|n| format!("NSE_S{n}_LTP")).collect();
    let tick = |(n, payload): (usize, _)| (n as u64 / 100, topics[n % 20].as_str(), payload);
    let ticks: Vec<_> = payloads.iter().map(String::as_str).enumerate().map(tick).collect();
    let path = file(directory.path(), &ticks, 1_000);
    let runtime = Memory::new();
    let mut bus = bus(&runtime).await;
    let options =
        ReplayOptions { speed: 10_000.0, ..ReplayOptions::new("recorded", endpoint(&bus), &path) };
    let mut caller = Caller::of(&runtime, Replay::open(runtime.clone(), options).unwrap()).await;
    for number in 0..20 {
        caller.subscribe(&format!("S{number}"), Mode::Ltp).await;
    }
    // Nobody reads for a while: more is due than the bus and its queues hold.
    sleep(Duration::from_secs(5)).await;
    let heard = hear(&mut bus, Clock::start(), Duration::from_secs(5)).await;
    assert_eq!(heard.len(), payloads.len());
    let first_wrong =
        heard.iter().zip(&payloads).find(|((_, _, payload), wanted)| payload != *wanted);
    assert_eq!(first_wrong, None);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_was_cut_is_replayed_up_to_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), &[(0, "NSE_TCS_LTP", "{}"), (5, "NSE_TCS_LTP", "{}")], 9);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let runtime = Memory::new();
    let mut bus = bus(&runtime).await;
    let options =
        ReplayOptions { repeat: true, ..ReplayOptions::new("recorded", endpoint(&bus), &path) };
    let mut caller = Caller::of(&runtime, Replay::open(runtime.clone(), options).unwrap()).await;
    caller.subscribe("TCS", Mode::Ltp).await;
    let heard = hear(&mut bus, Clock::start(), Duration::from_millis(115)).await;
    let by_topic = heard.iter().fold(BTreeMap::new(), |mut counts, (_, topic, _)| {
        *counts.entry(topic.as_str()).or_insert(0) += 1;
        counts
    });
    // A round is as long as what there is.
    assert!(by_topic["NSE_TCS_LTP"] >= 4, "{heard:?}");
}

/// A disk on which so many bytes fit.
struct Disk(usize);

impl std::io::Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_the_recording_with_what_the_system_said() {
    let runtime = Memory::new();
    for room in [32, 60, 150] {
        let mut recorder = Recorder::start(&runtime, Writer::new(Disk(room), 0).unwrap());
        let mut result = Ok(());
        for at_ns in 0..10 {
            result = recorder.record(at_ns, b"NSE_TCS_LTP", b"{}").await;
            if result.is_ok() {
                result = recorder.flush().await;
            }
            sleep(Duration::from_millis(1)).await;
            if result.is_err() {
                break;
            }
        }
        assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::StorageFull, "{room} bytes");
        // Whoever goes on all the same is told that it is over.
        assert!(recorder.flush().await.is_err(), "{room} bytes");
        assert!(recorder.finish().await.is_err(), "{room} bytes");
    }
    // Full at the very end.
    let mut recorder = Recorder::start(&runtime, Writer::new(Disk(32), 0).unwrap());
    recorder.record(0, b"NSE_TCS_LTP", b"{}").await.unwrap();
    let error = recorder.finish().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[tokio::test]
async fn what_is_no_recording_is_refused_with_its_name() {
    let runtime = Memory::new();
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        let options = ReplayOptions::new("recorded", "tcp://127.0.0.1:1", path);
        Replay::open(runtime.clone(), options).err().unwrap()
    };
    let missing = open(&directory.path().join("none.tick"));
    assert!(missing.to_string().contains("none.tick cannot be replayed: No such file"));
    let foreign = directory.path().join("foreign");
    std::fs::write(&foreign, "time,symbol\n").unwrap();
    assert!(
        open(&foreign)
            .to_string()
            .ends_with("no recording of `tickgate record` or `tickgate import`")
    );
    assert!(matches!(open(&foreign), BadReplay::File { .. }));
}
