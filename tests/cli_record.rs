//! `tickgate record`, `recording` and `import` as processes, and what they made as a broker.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tickgate::recording::{self, End, Next, Tick};
use tickgate::runtime::TokioRuntime;
use tickgate::zmtp::{Message, Options, Pub};

use crate::common::program::Program;

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command.args(arguments).current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs it and returns what it says on standard error, if it succeeds.
fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    told
}

/// Runs it and returns its exit code and what it says on standard error.
fn fails(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(directory, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
    (output.status.code(), text(&output.stderr))
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

/// Topic and payload of each tick.
fn contents(path: &Path) -> Vec<(Bytes, Bytes)> {
    let (ticks, end) = read(path);
    assert!(matches!(end, End::Whole { .. }), "{end:?}");
    ticks.into_iter().map(|tick| (tick.topic, tick.payload)).collect()
}

fn gateway(broker: &str) -> Program {
    Program::start(TempDir::new().unwrap(), &format!("[[brokers]]\n{broker}"))
}

#[test]
fn what_a_gateway_sent_is_replayed_by_another_digit_for_digit() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let paper = gateway("name = \"paper\"\nkind = \"paper\"\nticks_per_second = 50\nseed = 7\n");
    let url = format!("ws://{}", paper.websocket);
    let symbols = ["NSE:TCS", "NSE:INFY", "NSE_INDEX:NIFTY"];
    let record = |file: &str, url: &str, more: &[&str]| {
        let fixed = ["record", file, "--url", url, "--mode", "depth"];
        done(directory.path(), &[&fixed[..], &symbols[..], more].concat())
    };
    let told = record("one.tick", &url, &["--seconds", "2"]);
    assert!(told.contains(" ticks in 2.0 s, "), "{told}");
    paper.stop();
    let one = contents(&path("one.tick"));
    assert!((150..=310).contains(&one.len()), "{} ticks", one.len());
    assert_eq!(fs::metadata(path("one.tick")).unwrap().permissions().mode() & 0o777, 0o600);

    let file = path("one.tick").display().to_string();
    let replay = gateway(&format!(
        "name = \"recorded\"\nkind = \"replay\"\nfile = \"{file}\"\nspeed = 10.0\n\
         start_delay_ms = 300\n"
    ));
    let count = one.len().to_string();
    let url = format!("ws://{}", replay.websocket);
    let told = record("two.tick", &url, &["--count", &count, "--seconds", "30"]);
    assert!(replay.status()["brokers"][0]["kind"] == "replay");
    replay.stop();

    let two = contents(&path("two.tick"));
    assert_eq!(two.len(), one.len(), "{told}");
    assert_eq!(two.iter().zip(&one).find(|(two, one)| two != one), None);
    let (ticks, _) = read(&path("two.tick"));
    let took_ns = ticks.last().unwrap().at_ns - ticks[0].at_ns;
    assert!(took_ns > 150_000_000, "two seconds at ten times took {took_ns} ns");

    let shown = text(&run(directory.path(), &["recording", "one.tick"]).stdout);
    for expected in ["began    20", "topics   3\n", "NSE_INDEX_NIFTY_DEPTH  ", "NSE_TCS_DEPTH"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

/// Starts `record` on a bus of its own, and returns the address.
fn recorder(
    directory: &Path,
    arguments: &[&str],
) -> (Child, BufReader<impl std::io::Read>, String) {
    let fixed = ["record", "bus.tick", "--bind", "tcp://127.0.0.1:0"];
    let mut command = command(directory, &[&fixed[..], arguments].concat());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("tcp://").unwrap_or_else(|| panic!("{line}")).1;
    (child, lines, address.to_owned())
}

async fn publisher(address: &str) -> Pub {
    let publisher = Pub::connect(&TokioRuntime::new(), Options::default(), 10_000, address);
    while publisher.stats().subscriptions == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    publisher
}

fn publish(publisher: &Pub, topic: &str, payload: &str) {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    publisher.publish(Message::pair(bytes(topic), bytes(payload)));
}

#[tokio::test]
async fn a_bus_is_recorded_without_what_is_somebodys_own() {
    let directory = TempDir::new().unwrap();
    let (mut child, _lines, address) = recorder(directory.path(), &["--count", "3"]);
    let publisher = publisher(&address).await;
    publish(&publisher, "NSE_TCS_LTP", r#"{"ltp": 1.10}"#);
    publish(&publisher, "ZERODHA_alice_orders", r#"{"user_id":"alice"}"#);
    publish(&publisher, "zerodha_NSE_TCS_QUOTE", r#"{"ltp":NaN}"#);
    publish(&publisher, "nonsense", "{}");
    publish(&publisher, "NSE_INFY_1", "not even JSON");
    assert!(publisher.flush(Duration::from_secs(5)).await);
    assert!(child.wait().unwrap().success());
    let pair = |topic: &'static str, payload: &'static str| {
        (Bytes::from_static(topic.as_bytes()), Bytes::from_static(payload.as_bytes()))
    };
    assert_eq!(
        contents(&directory.path().join("bus.tick")),
        [
            pair("NSE_TCS_LTP", r#"{"ltp": 1.10}"#),
            pair("zerodha_NSE_TCS_QUOTE", r#"{"ltp":NaN}"#),
            pair("NSE_INFY_1", "not even JSON"),
        ]
    );
}

#[tokio::test]
async fn a_signal_ends_the_file_as_it_should_and_a_kill_costs_a_second() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("bus.tick");
    for signal in ["-INT", "-TERM", "-KILL"] {
        let (mut child, _lines, address) = recorder(directory.path(), &["--force"]);
        let publisher = publisher(&address).await;
        publish(&publisher, "NSE_TCS_LTP", r#"{"ltp":1.10}"#);
        if signal == "-KILL" {
            // What was received is written within a second, and a second later it takes the place
            // of what was there.
            tokio::time::sleep(Duration::from_millis(4_000)).await;
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let status = child.wait().unwrap();
        let (ticks, end) = read(&path);
        assert_eq!(ticks.len(), 1, "{signal}");
        if signal == "-KILL" {
            assert!(matches!(end, End::Cut { .. }), "{end:?}");
            let shown = run(directory.path(), &["recording", "bus.tick"]);
            assert!(text(&shown.stderr).contains("was cut off"), "{}", text(&shown.stderr));
            assert!(text(&shown.stdout).contains("NSE_TCS_LTP  1"));
        } else {
            assert!(status.success(), "{signal}");
            assert!(matches!(end, End::Whole { .. }), "{end:?}");
        }
    }
}

#[test]
fn a_file_that_is_there_is_kept_and_one_without_a_tick_is_not() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("some.tick");
    fs::write(&path, "precious").unwrap();
    let bus = ["--bind", "tcp://127.0.0.1:0", "--seconds", "1"];
    let (code, told) = fails(directory.path(), &[&["record", "some.tick"][..], &bus].concat());
    assert_eq!(code, Some(2));
    assert!(told.ends_with("some.tick is there already; --force replaces it\n"), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let force = ["record", "some.tick", "--force"];
    let (code, told) = fails(directory.path(), &[&force[..], &bus].concat());
    assert_eq!(code, Some(1));
    assert!(told.ends_with("no tick came within 1 s; some.tick stays as it was\n"), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let (code, told) = fails(directory.path(), &[&["record", "none.tick"][..], &bus].concat());
    assert_eq!(code, Some(1));
    assert!(told.ends_with("no tick came within 1 s; none.tick is not kept\n"), "{told}");
    assert!(!directory.path().join("none.tick").exists());

    let (code, told) = fails(directory.path(), &["record", "a.tick"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("SYMBOL"), "{told}");
    let nowhere = ["record", "a.tick", "NSE:TCS", "--url", "ws://127.0.0.1:9"];
    let (code, told) = fails(directory.path(), &nowhere);
    assert_eq!(code, Some(1));
    assert!(told.contains("nothing listens on 127.0.0.1:9"), "{told}");
    assert!(!directory.path().join("a.tick").exists());
}

#[test]
fn a_recording_that_is_none_is_noticed_before_anything_starts() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("other.tick"), "something else").unwrap();
    for (file, reason) in [
        ("none.tick", "none.tick cannot be replayed: No such file"),
        ("other.tick", "other.tick cannot be replayed: it is no recording of `tickgate record`"),
    ] {
        let config = format!(
            "server.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
             bus.bind = [\"tcp://127.0.0.1:0\"]\n[[brokers]]\nname = \"recorded\"\n\
             kind = \"replay\"\nfile = \"{file}\"\n"
        );
        fs::write(directory.path().join("tickgate.toml"), config).unwrap();
        for arguments in [&["check", "tickgate.toml"][..], &["serve"]] {
            let (code, told) = fails(directory.path(), arguments);
            assert_eq!(code, Some(2), "{arguments:?}: {told}");
            assert!(told.contains(reason), "{arguments:?}: {told}");
        }
    }
}

#[test]
fn a_text_file_becomes_a_recording_and_a_text_file_again() {
    let directory = TempDir::new().unwrap();
    let csv = "Time,Symbol,Price,Volume,Colour\n\
               2026-11-21T09:15:00.000000001,RELIANCE,2885.10,100,red\n\
               2026-11-21T09:15:00.250,\"M&M\",1500.00,7,blue\n";
    fs::write(directory.path().join("day.csv"), csv).unwrap();
    let import = ["import", "day.csv", "day.tick", "--exchange", "NSE", "--zone", "+05:30"];
    let told = done(directory.path(), &import);
    assert!(told.contains("2 ticks of 0 s are "), "{told}");
    assert!(told.contains("nothing is made of the columns Colour"), "{told}");

    let shown = run(directory.path(), &["recording", "day.tick", "--csv"]);
    assert_eq!(
        text(&shown.stdout),
        "time_ns,topic,payload\n\
         1795232700000000001,\"NSE_RELIANCE_QUOTE\",\"{\"\"ltp\"\":2885.10,\"\"timestamp\"\":1795232700000,\"\"volume\"\":100}\"\n\
         1795232700250000000,\"NSE_M&M_QUOTE\",\"{\"\"ltp\"\":1500.00,\"\"timestamp\"\":1795232700250,\"\"volume\"\":7}\"\n"
    );
    fs::write(directory.path().join("again.csv"), shown.stdout).unwrap();
    done(directory.path(), &["import", "again.csv", "again.tick"]);
    let bytes = |name: &str| fs::read(directory.path().join(name)).unwrap();
    assert_eq!(bytes("again.tick"), bytes("day.tick"), "what was exported comes back");

    fs::write(directory.path().join("bad.csv"), csv.replace("1500.00", "dear")).unwrap();
    let bad = ["import", "bad.csv", "bad.tick", "--exchange", "NSE"];
    let (code, told) = fails(directory.path(), &bad);
    assert_eq!(code, Some(2));
    assert!(told.contains("bad.csv: line 3, column 3 (Price): \"dear\" is no number"), "{told}");
    assert!(!directory.path().join("bad.tick").exists());

    let over = ["import", "bad.csv", "day.tick", "--exchange", "NSE", "--force"];
    let before = bytes("day.tick");
    assert_eq!(fails(directory.path(), &over).0, Some(2));
    assert_eq!(bytes("day.tick"), before, "what is bad takes nothing's place");
    done(directory.path(), &["import", "again.csv", "again.csv", "--force"]);
    assert_eq!(bytes("again.csv"), before, "a file may take its own place");
    let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let hidden = names.filter(|name| name.to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0, "nothing is left beside them");
}
