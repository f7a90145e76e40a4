//! The audit log of a real gateway, and `tickgate audit` which reads it back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::{self, Client, TestGateway, quiet_market};

const SUBSCRIBE: &str = r#"{"action":"subscribe","exchange":"NSE","symbol":"TCS","mode":1}"#;
const UNSUBSCRIBE: &str = r#"{"action":"unsubscribe","exchange":"NSE","symbol":"TCS","mode":1}"#;

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The record as one line, without its time and address.
fn story(record: &Value) -> String {
    let field = |(name, value): (&String, &Value)| match name.as_str() {
        "unix_ms" | "time" | "event" => None,
        _ => Some(format!(" {name}={}", value.to_string().trim_matches('"'))),
    };
    let fields: String = record.as_object().unwrap().iter().filter_map(field).collect();
    format!("{}{fields}", record["event"].as_str().unwrap())
}

#[tokio::test]
async fn a_session_is_written_down_in_the_order_in_which_it_happened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let gateway = TestGateway::start_with(|config| {
        quiet_market(config);
        config.audit.file = Some(path.clone());
        config.limits.messages_per_minute_max = 4;
        config.limits.message_burst_max = 4;
    })
    .await;

    let mut client = Client::connect(&gateway).await;
    client.ask(r#"{"action":"authenticate","api_key":"wrong-key-0123"}"#).await;
    client.enter("alice-key").await;
    client.ask(SUBSCRIBE).await;
    client.ask(UNSUBSCRIBE).await;
    client.ask(UNSUBSCRIBE).await;
    client.0.close(None).await.unwrap();
    client.closed().await;
    gateway.wait_until(|status| status["audit"]["written_total"] == 8).await;
    let refused = common::http(gateway.addresses.websocket, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(refused.await.starts_with("HTTP/1.1 426"));
    gateway.wait_until(|status| status["audit"]["written_total"] == 9).await;
    gateway.stop().await;

    let records = lines(&path);
    let told: Vec<_> = records.iter().map(story).collect();
    insta::assert_snapshot!("session", told.join("\n"));
    let text = std::fs::read_to_string(&path).unwrap();
    for secret in ["wrong-key", "alice-key"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_broker_that_agrees_and_sends_nothing_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let gateway = TestGateway::start_with(|config| {
        quiet_market(config);
        config.audit.file = Some(path.clone());
        config.feed.stale_after_ms = 300;
        config.feed.stale_min_ms = 300;
    })
    .await;
    let publisher = common::Publisher::connect(&gateway).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(SUBSCRIBE).await;
    gateway.wait_until(|status| status["feed"]["silent_brokers"][0] == "paper").await;
    publisher.send("NSE_TCS_LTP", r#"{"ltp":2}"#).await;
    gateway
        .wait_until(|status| status["feed"]["silent_brokers"].as_array().unwrap().is_empty())
        .await;
    gateway.stop().await;

    let records = lines(&path);
    let told = |event: &str| records.iter().find(|record| record["event"] == event).unwrap();
    let silent = told("feed_silent");
    assert_eq!((&silent["broker"], &silent["topics"]), (&"paper".into(), &1.into()), "{silent}");
    assert_eq!(told("feed_audible")["broker"], "paper");
}

#[tokio::test]
async fn what_happens_last_is_written_before_the_gateway_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let gateway = TestGateway::start_with(|config| config.audit.file = Some(path.clone())).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;

    let (closed, ()) = tokio::join!(client.closed(), gateway.stop());

    assert_eq!(closed, Some(1012));
    let last = lines(&path).pop().unwrap();
    assert_eq!(last["event"], "connection_closed");
    assert_eq!((&last["code"], &last["user"]), (&1012.into(), &"alice".into()));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_alone_and_a_gateway_that_cannot_have_it_does_not_start() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let gateway = TestGateway::start_with(|config| config.audit.file = Some(path.clone())).await;
    gateway.stop().await;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let mut config = tickgate::config::Config::default();
    config.audit.file = Some(directory.path().join("missing/audit.jsonl"));
    let runtime = tickgate::runtime::TokioRuntime::new();
    let keys = tickgate::auth::KeyTable::new();
    let started = tickgate::server::Gateway::start(runtime, config, keys).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("missing/audit.jsonl (audit.file): "), "{error}");
}

const LOG: &str = r#"{"unix_ms":1000,"time":"1970-01-01T00:00:01.000Z","event":"connection_opened","client":1,"address":"10.0.0.1"}
{"unix_ms":2000,"time":"1970-01-01T00:00:02.000Z","event":"authenticated","client":1,"address":"10.0.0.1","user":"alice","role":"trader"}
half a li
{"unix_ms":3000,"time":"1970-01-01T00:00:03.000Z","event":"connection_opened","client":2,"address":"10.0.1.2"}
{"unix_ms":4000,"time":"1970-01-01T00:00:04.000Z","event":"address_blocked","network":"10.0.1.2/32","for_ms":60000,"dropped":3}
{"unix_ms":5000,"time":"1970-01-01T00:00:05.000Z","event":"subscription_added","client":1,"address":"10.0.0.1","user":"alice\u001b[2J","topic":"NSE:TCS/LTP"}
"#;

fn audit(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tickgate"))
        .args(["audit", "audit.jsonl"])
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn the_command_filters_and_passes_over_what_is_no_record() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("audit.jsonl"), LOG).unwrap();
    let mut story = String::new();
    for arguments in [
        "",
        "--user alice",
        "--client 2",
        "--client c1 --event connection_opened",
        "--event authenticated --event address_blocked",
        "--address 10.0.1.0/24",
        "--address 10.0.0.1 --json",
        "--since 1970-01-01T00:00:02 --until 1970-01-01T00:00:04",
        "--since 2h",
    ] {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let output = audit(directory.path(), &arguments);
        assert!(output.status.success());
        story.push_str(&format!("$ tickgate audit audit.jsonl {}\n", arguments.join(" ")));
        story.push_str(&String::from_utf8(output.stdout).unwrap());
        story.push_str(&String::from_utf8(output.stderr).unwrap());
    }
    insta::assert_snapshot!("filters", story);
}

#[test]
fn the_files_put_aside_are_read_oldest_first_if_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    for (name, client) in [("audit.jsonl.2", 1), ("audit.jsonl.1", 2), ("audit.jsonl", 3)] {
        let record = format!(
            r#"{{"unix_ms":1,"time":"1970-01-01T00:00:00.001Z","event":"authenticated","client":{client}}}"#
        );
        std::fs::write(directory.path().join(name), format!("{record}\n")).unwrap();
    }
    let clients = |arguments: &[&str]| -> Vec<u64> {
        let output = audit(directory.path(), arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let read = |line| serde_json::from_str::<Value>(line).unwrap()["client"].as_u64().unwrap();
        text.lines().map(read).collect()
    };
    assert_eq!(clients(&["--json"]), [3]);
    assert_eq!(clients(&["--json", "--all"]), [1, 2, 3]);
}

#[test]
fn a_mistake_on_the_command_line_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&[][..], "tickgate: audit.jsonl: No such file or directory"),
        (&["--since", "yesterday"], "or how long ago, as 2h"),
        (&["--event", "bogus"], "invalid value 'bogus'"),
        (&["--address", "here"], "as 203.0.113.7 or 203.0.113.0/24"),
    ] {
        let output = audit(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(wanted), "{told}");
    }
}
