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
