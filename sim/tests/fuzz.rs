//! The fuzz targets on stable Rust: their corpora, and seeded mutations of them.
//!
//! It finds less than coverage-guided fuzzing, but it runs with every change.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tickgate_sim::fuzzing::{TARGETS, Target};
use tickgate_sim::rng::Stream;

/// Longest mutated input.
const BYTES_MAX: usize = 4_096;

/// Pieces of the languages that the targets read.
const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\n",
    b" ",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"NaN",
    b"Infinity",
    b"\"mode\":",
    b"\"depth\":",
    b"\"symbols\":",
    b"\"request_id\":",
    b"\"action\":",
    b"\"type\":",
    b"\"user_id\":",
    b"\\ud800",
    b"\xe2\x80\xae",
    b"\x00",
    b"_LTP",
    b"_DEPTH",
    b"zerodha_",
    b"NSE_INDEX",
    b"\x04READY",
    b"\x04PING",
    b"\x05ERROR",
    b"\x02\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x01\x00",
    b"- ",
    b"  ",
    b"&a",
    b"*a",
    b"ms",
    b"_ms: 1",
    b"_percent: 101",
    b"~",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.is_file());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut inputs = files(&root().join("fuzz/corpus").join(name));
    assert!(!inputs.is_empty(), "fuzz/corpus/{name} is empty");
    if name == "scenario_yaml" {
        inputs.extend(files(&root().join("scenarios")));
    }
    inputs
}

fn judge(name: &str, target: Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("{name} fails with b\"{}\"", input.escape_ascii());
    }
}

fn mutate(stream: &mut Stream, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = stream.pick(inputs).clone();
    for _ in 0..stream.between(1, 6) {
        let at = stream.below(input.len() as u64 + 1) as usize;
        let end = at + stream.below((input.len() - at).min(32) as u64 + 1) as usize;
        match stream.below(6) {
            0 if at < input.len() => input[at] = stream.bits() as u8,
            1 if at < input.len() => input[at] ^= 1 << stream.below(8),
            2 => {
                input.drain(at..end);
            }
            3 => {
                let copied = input[at..end].to_vec();
                input.splice(at..at, copied);
            }
            4 => {
                // The rest of another one.
                let other = stream.pick(inputs);
                let from = stream.below(other.len() as u64 + 1) as usize;
                input.splice(at.., other[from..].iter().copied());
            }
            _ => {
                input.splice(at..at, stream.pick(TOKENS).iter().copied());
            }
        }
        input.truncate(BYTES_MAX);
    }
    input
}

/// `mutations`: as many as a second or two allow.
fn replay(name: &str, mutations: usize) {
    let (_, target) = *TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let inputs = corpus(name);
    for input in &inputs {
        judge(name, target, input);
    }
    let mut stream = Stream::fork(1, "fuzz", name);
    for _ in 0..mutations {
        judge(name, target, &mutate(&mut stream, &inputs));
    }
}

#[test]
fn client_requests_keep_their_promises() {
    replay("client_request", 50_000);
}

#[test]
fn ticks_and_topics_keep_their_promises() {
    replay("tick_and_topic", 50_000);
}

#[test]
fn zmtp_streams_keep_their_promises() {
    replay("zmtp_bytes", 50_000);
}

#[test]
fn the_control_protocol_keeps_its_promises() {
    replay("control_protocol", 50_000);
}

#[test]
fn scenarios_keep_their_promises() {
    replay("scenario_yaml", 5_000);
}

#[test]
fn the_engine_agrees_with_the_model_whatever_bytes_decide() {
    replay("engine", 1_500);
}

#[test]
fn recordings_keep_their_promises() {
    replay("recording", 20_000);
}

#[test]
fn every_target_has_a_corpus_a_binary_and_a_test() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let tests = include_str!("fuzz.rs");
    for (name, _) in TARGETS {
        assert!(!corpus(name).is_empty());
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(tests.contains(&format!("replay(\"{name}\", ")), "{name}");
        let shim = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let shim = std::fs::read_to_string(shim).unwrap();
        assert!(shim.contains(&format!("fuzzing::{name}(")), "{name}");
    }
}
