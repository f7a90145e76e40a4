//! The adapter hosts of `examples/`, one in Python and one in Rust, as processes behind a gateway.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tickgate::broker::remote::{Remote, RemoteOptions};
use tickgate::broker::{BrokerErrorCode, CommandKind};
use tickgate::config::{BrokerEntry, BrokerKind};
use tickgate::topic::Mode;

use crate::broker_support::{Bus, Caller, FixedRuntime, no_task_is_left, subscribe, unsubscribe};
use crate::common::{Client, TestGateway};
use crate::openalgo_support::places::{free_port, here, python};

/// A host that is ended with the test.
struct Host(Child);

impl Host {
    fn start(mut command: Command, port: u16, bus: &str) -> Self {
        command.env("HOST", address(port)).env("BUS", format!("tcp://{bus}"));
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

fn in_python() -> Command {
    let mut command = Command::new(python());
    command.arg(here("examples/adapter_host.py"));
    command
}

/// Built with the tests, unless these are the only ones. Without the other package tokio, and all
/// that depends on it, would be built once more.
fn in_rust() -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_tickgate"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--example", "adapter_host"]);
    if program.parent().unwrap().ends_with("release") {
        build.arg("--release");
    }
    assert!(build.current_dir(here(".")).status().unwrap().success());
    Command::new(program.with_file_name("examples").join("adapter_host"))
}

/// A client gets ticks, also when the host, and then the gateway, has been away.
async fn serves_a_gateway(command: impl Fn() -> Command) {
    let port = free_port();
    let start = async |bus: &str| {
        let gateway = TestGateway::start_with(|config| {
            config.bus.bind = vec![bus.into()];
            config.brokers = vec![BrokerEntry {
                name: "mine".into(),
                kind: BrokerKind::Remote,
                address: Some(address(port)),
                ..BrokerEntry::paper()
            }];
        });
        gateway.await
    };
    let gateway = start("tcp://127.0.0.1:0").await;
    let bus = gateway.addresses.bus[0].to_string();
    let host = Host::start(command(), port, &bus);
    let mut client = ticks(&gateway).await;

    drop(host);
    gateway.wait_until(|status| status["brokers"][0]["state"] == "down").await;
    let _host = Host::start(command(), port, &bus);
    let mut ticks_read = 0;
    while ticks_read < 20 {
        let message = client.next().await;
        match message["type"].as_str() {
            Some("market_data") => ticks_read += 1,
            // It is told that its topic has lost its host, and is back.
            Some("feed_status") => {}
            _ => panic!("{message}"),
        }
    }
    let runtime = gateway.runtime.clone();
    gateway.stop().await;
    no_task_is_left(&runtime).await;
    drop(client);
    let gateway = start(&format!("tcp://{bus}")).await;
    ticks(&gateway).await;
    gateway.stop().await;
}

/// A new client, which has read a tick.
async fn ticks(gateway: &TestGateway) -> Client {
    gateway.wait_until(|status| status["brokers"][0]["state"] == "up").await;
    let mut client = Client::connect(gateway).await;
    client.enter("alice-key").await;
    let subscribe = r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":"LTP"}"#;
    assert_eq!(client.ask(subscribe).await["status"], "success");
    let tick = client.next().await;
    assert_eq!((&tick["symbol"], &tick["mode"]), (&"TCS".into(), &1.into()), "{tick}");
    assert!(tick["data"]["ltp"].as_u64().unwrap() >= 99, "{tick}");
    client
}

/// The rules of the control protocol that can be seen from outside at once.
async fn keeps_the_rules(command: Command) {
    let runtime = FixedRuntime::default();
    let (port, bus) = (free_port(), Bus::start(&runtime).await);
    let _host = Host::start(command, port, bus.endpoint().trim_start_matches("tcp://"));
    let gateway = || {
        let options = RemoteOptions {
            heartbeat_interval: Duration::from_millis(100),
            ..RemoteOptions::new("mine", address(port))
        };
        Caller::of(&runtime, Remote::new(runtime.clone(), options).unwrap())
    };
    let mut caller = gateway();
    caller.is_up().await;
    let topic = || subscribe("TCS", Mode::Ltp);
    assert_eq!(caller.fails("alice", 1, topic()).await, BrokerErrorCode::NotConnected);
    for _ in 0..2 {
        caller.done("alice", 1, CommandKind::Connect).await;
        caller.done("alice", 1, topic()).await;
        caller.done("alice", 1, unsubscribe("INFY", Mode::Depth)).await;
        caller.done("alice", 1, CommandKind::UnsubscribeAll).await;
    }
    assert_eq!(caller.fails("alice", 2, topic()).await, BrokerErrorCode::NotConnected);
    caller.done("alice", 3, CommandKind::Connect).await;
    caller.done("alice", 2, CommandKind::Disconnect).await;
    caller.done("alice", 3, topic()).await;
    caller.hears_nothing().await;
    caller.done("alice", 3, CommandKind::Disconnect).await;
    caller.done("alice", 3, CommandKind::Disconnect).await;
    assert_eq!(caller.fails("alice", 3, topic()).await, BrokerErrorCode::NotConnected);

    caller.done("bob", 4, CommandKind::Connect).await;
    let mut second = gateway();
    second.is_up().await;
    let other = second.fails("bob", 4, topic()).await;
    assert_eq!(other, BrokerErrorCode::NotConnected, "a session is its gateway's");
    caller.done("bob", 4, topic()).await;
}

#[test]
fn a_host_is_a_page() {
    for file in ["examples/adapter_host.py", "examples/adapter_host.rs"] {
        let lines = std::fs::read_to_string(here(file)).unwrap().lines().count();
        assert!(lines <= 60, "{file} has {lines} lines");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_in_python_serves_a_gateway() {
    serves_a_gateway(in_python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_in_python_keeps_the_rules() {
    keeps_the_rules(in_python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_in_rust_serves_a_gateway() {
    serves_a_gateway(in_rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_in_rust_keeps_the_rules() {
    keeps_the_rules(in_rust()).await;
}
