//! The Python host in the documentation of the control protocol, run as it stands there.
//!
//! Needs an interpreter with pyzmq: `INTEROP_PYTHON`, or the one that `.ci/tools` made. Without
//! either the test says so and passes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tickgate::broker::remote::{Remote, RemoteOptions};
use tickgate::broker::{BrokerErrorCode, CommandKind};
use tickgate::topic::Mode;

use crate::broker_support::{Caller, FixedRuntime, no_task_is_left, subscribe, unsubscribe};

/// What the documentation leaves to the reader.
const BROKER: &str = r#"
def broker_connect(line):
    if line[0] == "mallory":
        raise RuntimeError("unknown user")

def broker_disconnect(line):
    pass

def broker_subscribe(line, exchange, symbol, mode):
    if symbol == "NONE":
        raise RuntimeError("unknown symbol")

def broker_unsubscribe(line, exchange, symbol, mode):
    pass
"#;

/// Ends the host however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn interpreter() -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let path = match std::env::var_os("INTEROP_PYTHON") {
        Some(named) => PathBuf::from(named),
        None if made.exists() => made,
        None => return None,
    };
    let imports = Command::new(&path).args(["-c", "import zmq"]).output().unwrap();
    assert!(imports.status.success(), "{} cannot import zmq", path.display());
    Some(path)
}

fn documented_host() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/control.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let lines = source.lines().map(|line| line.trim_start_matches("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let host: Vec<&str> =
        lines.skip_while(|line| *line != "```python").skip(1).take_while(|l| *l != "```").collect();
    assert!(host.len() > 50, "the documentation holds a host");
    host.join("\n")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(python: &Path, port: u16) -> Running {
    let documented = "tcp://127.0.0.1:5600";
    let host = documented_host();
    assert!(host.contains(documented));
    let program = BROKER.to_owned() + &host.replace(documented, &format!("tcp://127.0.0.1:{port}"));
    Running(Command::new(python).arg("-c").arg(program).stdin(Stdio::null()).spawn().unwrap())
}

#[tokio::test]
async fn the_host_in_the_documentation_works() {
    let Some(python) = interpreter() else {
        println!("not run: there is no interpreter with pyzmq; run .ci/tools");
        return;
    };
    let runtime = FixedRuntime::default();
    let port = free_port();
    let first = start(&python, port);
    let options = RemoteOptions {
        heartbeat_interval: Duration::from_millis(200),
        ..RemoteOptions::new("python", format!("tcp://127.0.0.1:{port}"))
    };
    let mut caller = Caller::of(&runtime, Remote::new(runtime.clone(), options).unwrap());
    caller.is_up().await;

    assert_eq!(
        caller.fails("alice", 1, subscribe("TCS", Mode::Ltp)).await,
        BrokerErrorCode::NotConnected
    );
    caller.done("alice", 1, CommandKind::Connect).await;
    caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    assert_eq!(
        caller.fails("alice", 1, subscribe("NONE", Mode::Depth)).await,
        BrokerErrorCode::Refused
    );
    assert_eq!(caller.fails("mallory", 1, CommandKind::Connect).await, BrokerErrorCode::Refused);
    caller.done("alice", 1, unsubscribe("TCS", Mode::Ltp)).await;
    caller.done("alice", 1, CommandKind::UnsubscribeAll).await;
    caller.done("alice", 2, CommandKind::Connect).await;
    assert_eq!(
        caller.fails("alice", 1, CommandKind::UnsubscribeAll).await,
        BrokerErrorCode::NotConnected
    );
    // Heartbeats are answered: nothing happens for a while.
    tokio::time::sleep(Duration::from_secs(1)).await;
    caller.hears_nothing().await;

    drop(first);
    caller.is_down().await;
    let _second = start(&python, port);
    caller.is_up().await;
    caller.done("alice", 3, CommandKind::Connect).await;
    caller.done("alice", 3, CommandKind::Disconnect).await;
    caller.stop().await;
    no_task_is_left(&runtime).await;
}
