//! RFC 6455 section by section, by a client that is written for it in Python and knows no other
//! implementation; over plain sockets and over TLS.
//!
//! `INTEROP_PYTHON` names another interpreter than `python3`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::program::Program;
use crate::tls_support::Pair;

/// How many cases there are.
const CASES: usize = 216;

/// Nobody is waited for long who was told to go.
const CONFIG: &str = "server.close_timeout_ms = 1000\n";

const TLS: &str = "server.tls_certificate = \"certificate.pem\"\nserver.tls_key = \"key.pem\"\n";

/// Plays all cases, and returns the table.
fn play(program: &Program, scheme: &str, ca: Option<PathBuf>) -> String {
    let python = std::env::var_os("INTEROP_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/conformance/run.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .env("INTEROP_WEBSOCKET", format!("{scheme}://localhost:{}", program.websocket.port()))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(ca) = ca {
        command.env("INTEROP_CA", ca);
    }
    let output = command.output().expect("python3 is installed, or INTEROP_PYTHON names it");
    let table = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    println!("{table}");
    assert!(output.status.success(), "the table is above");
    table
}

fn judge(table: &str) {
    let passed = table.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(passed, CASES, "a case was lost, or one came: change CASES");
    assert!(table.ends_with(&format!("{CASES} cases, 0 failed\n")));
}

#[tokio::test]
async fn every_case_of_the_rfc_passes() {
    let program = Program::start(tempfile::tempdir().unwrap(), CONFIG);
    judge(&play(&program, "ws", None));
    program.wait_until(|status| status["gate"]["connections"] == 0).await;
    program.stop();
}

#[tokio::test]
async fn every_case_of_the_rfc_passes_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, _) = Pair::new().write(directory.path());
    let program = Program::start(directory, &[CONFIG, TLS].concat());
    judge(&play(&program, "wss", Some(ca)));
    program.wait_until(|status| status["gate"]["connections"] == 0).await;
    program.stop();
}
