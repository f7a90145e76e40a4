//! The commands of README.md and of benches/README.md that `.ci/run` does not run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Runs a command line of README.md with the built program, in this directory.
fn run(directory: &Path, line: &str) -> Output {
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("target/release/tickgate"), "{line}");
    Command::new(env!("CARGO_BIN_EXE_tickgate"))
        .args(words)
        .current_dir(directory)
        .env_remove("TICKGATE_AUTH_KEYS_FILE")
        .output()
        .unwrap()
}

#[test]
fn the_audit_log_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let record = r#"{"unix_ms":9999999999999,"time":"2286-11-20T17:46:39.999Z","event":"authentication_failed","client":1}"#;
    std::fs::write(directory.path().join("audit.jsonl"), format!("{record}\n")).unwrap();

    let read = run(
        directory.path(),
        "target/release/tickgate audit audit.jsonl --all --since 2h --event authentication_failed",
    );

    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let shown = String::from_utf8(read.stdout).unwrap();
    assert!(shown.contains("2286-11-20T17:46:39.999Z  authentication_failed"), "{shown}");
}

#[test]
fn a_key_is_shown_once_and_only_its_hash_is_stored() {
    let directory = tempfile::tempdir().unwrap();

    let line = "target/release/tickgate keys new alice --file tickgate-keys.toml";
    let made = run(directory.path(), line);

    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let shown = String::from_utf8(made.stdout).unwrap();
    let stored = std::fs::read_to_string(directory.path().join("tickgate-keys.toml")).unwrap();
    assert!(stored.contains("alice"), "{stored}");
    let secrets = shown.split_whitespace().filter(|word| word.len() >= 32);
    let mut count = 0;
    for secret in secrets {
        assert!(!stored.contains(secret), "the key itself is stored");
        count += 1;
    }
    assert_eq!(count, 1, "the key is shown once: {shown}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_load_says_what_it_found_as_json() {
    let directory = tempfile::tempdir().unwrap();

    let line = "target/release/tickgate bench --clients 50 --seconds 1 --json";
    let found = run(directory.path(), line);

    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let report: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let phase = &report["targets"][0]["phases"][0];
    assert!(phase["per_second"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(phase["lost"], 0, "{report}");
}

/// The commands of the chapter "Administer", in their order.
const ADMINISTER: [&str; 7] = [
    "target/release/tickgate admin clients --limit 20",
    "target/release/tickgate admin block 203.0.113.0/24 --for 2h",
    "target/release/tickgate admin blocks",
    "target/release/tickgate admin unblock 203.0.113.0/24",
    "target/release/tickgate admin remove-user mallory --for 1h",
    r#"target/release/tickgate admin broadcast "restart at 16:00""#,
    "target/release/tickgate admin log-level info,tickgate::server=debug",
];

/// A gateway that is ended with the test.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[test]
fn a_gateway_is_administered_as_the_chapter_says() {
    let directory = tempfile::tempdir().unwrap();
    // Where the command looks if nothing else is said.
    let socket = directory.path().join("tickgate/admin-8766.sock");
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_tickgate"))
        .current_dir(directory.path())
        .env_clear()
        .env("TICKGATE_SERVER_LISTEN", "127.0.0.1:0")
        .env("TICKGATE_ADMIN_LISTEN", "127.0.0.1:0")
        .env("TICKGATE_BUS_BIND", "tcp://127.0.0.1:0")
        .env("TICKGATE_ADMIN_SOCKET", &socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(gateway.stdout.take().unwrap());
    let _gateway = Gateway(gateway);
    stdout.lines().find(|line| line.as_ref().unwrap() == "Ctrl-C ends.").unwrap().unwrap();
    let mut told = String::new();
    for line in ADMINISTER {
        let (words, quoted) = line.split_once(" \"").unwrap_or((line, ""));
        let mut words = words.split(' ');
        assert_eq!(words.next(), Some("target/release/tickgate"), "{line}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
        command.args(words).env_clear().env("XDG_RUNTIME_DIR", directory.path());
        if !quoted.is_empty() {
            command.arg(quoted.trim_end_matches('"'));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        told.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    for expected in ["no client matches", "is blocked for 2h", "is unblocked", "is refused for 1h"]
    {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

/// The commands of the chapter "Record and replay", in their order.
const RECORD: [&str; 3] = [
    "target/release/tickgate record market.tick NSE:RELIANCE NSE_INDEX:NIFTY --seconds 300",
    "target/release/tickgate recording market.tick",
    "target/release/tickgate import trades.csv history.tick --exchange NSE --zone +05:30",
];

/// The broker of that chapter.
const REPLAY: &str = r#"[[brokers]]
name = "recorded"
kind = "replay"
file = "market.tick"
speed = 50.0
"#;

/// Starts a gateway in a directory; returns where clients connect.
fn serve(directory: &Path) -> (Gateway, String) {
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_tickgate"))
        .current_dir(directory)
        .env_clear()
        .env("TICKGATE_SERVER_LISTEN", "127.0.0.1:0")
        .env("TICKGATE_ADMIN_LISTEN", "127.0.0.1:0")
        .env("TICKGATE_BUS_BIND", "tcp://127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(gateway.stdout.take().unwrap());
    let gateway = Gateway(gateway);
    let lines = stdout.lines().map(Result::unwrap).take_while(|line| line != "Ctrl-C ends.");
    let url = lines.filter_map(|line| Some(line[line.find("ws://")?..].to_owned())).next();
    (gateway, url.unwrap().split_whitespace().next().unwrap().to_owned())
}

#[test]
fn a_market_is_recorded_and_replayed_as_the_chapter_says() {
    let directory = tempfile::tempdir().unwrap();
    let [record, recording, import] = RECORD;
    let (gateway, url) = serve(directory.path());
    // Not for five minutes.
    let recorded = run(directory.path(), &format!("{record} --url {url} --count 6"));
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    drop(gateway);
    let shown = run(directory.path(), recording);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("ticks    6, ") && shown.contains("NSE_INDEX_NIFTY_QUOTE"), "{shown}");

    assert!(include_str!("../README.md").contains(REPLAY), "the chapter has another broker");
    std::fs::write(directory.path().join("tickgate.toml"), REPLAY).unwrap();
    let (_gateway, url) = serve(directory.path());
    let again = record.replace("market.tick", "again.tick");
    let again = run(directory.path(), &format!("{again} --url {url} --count 6"));
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let ticks = |file: &str| {
        let line = format!("target/release/tickgate recording {file} --csv");
        let csv = String::from_utf8(run(directory.path(), &line).stdout).unwrap();
        let tick = |line: &str| line.split_once(',').unwrap().1.to_owned();
        csv.lines().map(tick).collect::<Vec<_>>()
    };
    assert_eq!(ticks("again.tick"), ticks("market.tick"));

    let csv = "time,symbol,ltp,volume,bid,ask\n2026-11-20T09:15:00.250,TCS,3500.05,7,3500,3500.1\n";
    std::fs::write(directory.path().join("trades.csv"), csv).unwrap();
    let imported = run(directory.path(), import);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    assert_eq!(ticks("history.tick").len(), 2, "the head line and a tick");
}
