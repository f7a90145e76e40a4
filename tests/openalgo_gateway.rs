//! Gateway, adapter host, broker and `openalgo` clients, each a process, and each killed in turn.

use std::path::{Path, PathBuf};

use crate::openalgo_support::gateway::{Gateway, SdkClient};
use crate::openalgo_support::{Installation, here, python};

const ALICE: &[&str] = &["NSE:M&M:1", "NSE:M&M:3", "NSE:TCS:1", "NSE:TCS:3"];
const BOB: &[&str] = &["NSE:INFY:1", "NSE:INFY:3"];

/// Everything is killed in turn, and dropped; ticks come back each time, and the broker's own
/// account of what it was asked has no topic twice in a session, and none too many or too few.
fn everything_comes_back(python: &Path, environment: &str) {
    let mut gateway = Gateway::new();
    let mut installation = Installation::new(gateway.bus);
    installation.set(environment);
    let keys = ["alice", "bob"].map(|user| gateway.new_key(user));
    gateway.serve("standin", &installation.host_address());
    let mut host = installation.host(&["--lost-after", "2"]);
    let url = format!("ws://127.0.0.1:{}", gateway.websocket);
    let client = |name: &str, key: &str, symbols: &[&str]| {
        SdkClient::start(python, &url, key, installation.path(name), symbols)
    };
    let alice = client("alice.ticks", &keys[0], &["M&M", "TCS"]);
    let bob = client("bob.ticks", &keys[1], &["INFY"]);
    let all_is_well = |installation: &Installation, what: &str| {
        println!("{what}");
        installation.settles_on(&[("alice", ALICE), ("bob", BOB)]);
        alice.ticks();
        bob.ticks();
        installation.settles_on(&[("alice", ALICE), ("bob", BOB)]);
    };
    all_is_well(&installation, "at the start");

    for _ in 0..2 {
        host.kill();
        installation.settles_on(&[]);
        host = installation.host(&["--lost-after", "2"]);
        all_is_well(&installation, "the host was killed");

        installation.drop_sessions("alice");
        all_is_well(&installation, "the broker dropped a session");

        installation.kill_broker();
        installation.start_broker();
        all_is_well(&installation, "the broker was killed");

        gateway.kill();
        gateway.start();
        all_is_well(&installation, "the gateway was killed");
    }

    alice.end();
    installation.settles_on(&[("bob", BOB)]);
    bob.end();
    installation.settles_on(&[]);
    let log = gateway.log();
    assert!(keys.iter().all(|key| !log.contains(key)), "a key is in the log: {log}");
    drop(host);
}

#[test]
fn everything_comes_back_with_a_client_that_connects_again() {
    everything_comes_back(&python(), "");
}

/// The 2.x line of the package connects again by itself. It needs Python 3.12.
#[test]
fn everything_comes_back_with_a_client_that_does_so_by_itself() {
    let newer: PathBuf = std::env::var_os("INTEROP_PYTHON312")
        .map_or_else(|| here("target/venv312/bin/python"), PathBuf::from);
    let python = if newer.exists() { newer } else { python() };
    everything_comes_back(&python, "ENABLE_CONNECTION_POOLING=false\n");
}
