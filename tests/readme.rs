//! The commands of README.md that `.ci/run` does not run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

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
