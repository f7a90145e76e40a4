//! Our own code does not get as far as the leak fence: clippy, as this workspace sets it up, names
//! each leak with its file and line.

use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The crates that the leaks name, as far as clippy cares.
const STUBS: &[(&str, &str)] = &[
    ("tokio", "pub mod task { pub fn spawn_blocking(_: fn()) {} }"),
    ("rand", "pub fn rng() -> u32 { 4 }"),
];

/// A leak a line, and what clippy calls it.
const LEAKS: &[(&str, &str)] = &[
    ("pub fn f() -> std::time::Instant { std::time::Instant::now() }", "std::time::Instant::now"),
    ("pub fn f() { let _ = std::time::SystemTime::now(); }", "std::time::SystemTime::now"),
    ("pub fn f() -> u32 { rand::rng() }", "rand::rng"),
    ("pub fn f() { tokio::task::spawn_blocking(|| ()); }", "tokio::task::spawn_blocking"),
    ("pub fn f() { std::thread::spawn(|| ()); }", "std::thread::spawn"),
    ("pub type T = std::collections::HashMap<u8, u8>;", "std::collections::HashMap"),
    ("pub fn f(m: &std::collections::HashSet<u8>) -> usize { m.len() }", "HashSet"),
];

/// Iterates over a map whose type somebody let pass.
const ITERATION: &str = "#[expect(clippy::disallowed_types)] pub fn f(\
    m: &std::collections::HashMap<u8, u8>) { for (k, _) in m { assert!(*k > 0); } }";

fn clippy(directory: &Path, name: &str, code: &str) -> Output {
    let file = directory.join(format!("{name}.rs"));
    std::fs::write(&file, code).expect("it can be written");
    let mut command = Command::new("clippy-driver");
    command
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--crate-name"])
        .args([name, "-D", "warnings", "-D", "clippy::iter_over_hash_type", "--out-dir"])
        .args([directory, &file])
        .arg("-L")
        .arg(directory)
        .env("CLIPPY_CONF_DIR", ROOT);
    if STUBS.iter().all(|(stub, _)| *stub != name) {
        for (stub, _) in STUBS {
            command.args(["--extern", stub]);
        }
    }
    command.output().expect("clippy-driver can be started")
}

#[test]
fn clippy_names_each_leak_of_our_own_code() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, code) in STUBS {
        let output = clippy(directory.path(), name, code);
        assert!(output.status.success(), "{output:?}");
    }
    let innocent = clippy(directory.path(), "innocent", "pub fn f() {}");
    assert!(innocent.status.success(), "{innocent:?}");
    let leaks = LEAKS.iter().map(|(code, named)| (*code, "disallowed", *named));
    for (code, lint, named) in leaks.chain([(ITERATION, "iter_over_hash_type", "for (k, _)")]) {
        let output = clippy(directory.path(), "leak", code);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "nobody minds `{code}`");
        for part in [lint, named, "leak.rs:1:"] {
            assert!(said.contains(part), "`{part}` is not in\n{said}");
        }
    }
}

#[test]
fn the_workspace_denies_iteration_over_hash_maps() {
    let manifest =
        std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("it is there");
    assert!(manifest.contains("iter_over_hash_type = \"deny\""));
}
