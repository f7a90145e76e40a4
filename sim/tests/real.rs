//! `cargo sim run --real`: the same files against the release binary on loopback sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::common::scenario::Scenario;
use crate::common::{code, said, sim};

/// Of each kind: what goes right, and what brokers, feeds, clients, connections, links and the
/// gateway itself do wrong.
const SCENARIOS: [&str; 15] = [
    "smoke",
    "rc_001",
    "rc_003",
    "rc_005",
    "rc_009",
    "rc_010",
    "rc_012",
    "sessions",
    "garbage",
    "slow_readers",
    "unreliable_feed",
    "broken_links",
    "ws_003",
    "reconnect_storm",
    "keys",
];

/// Somebody who is there for a moment; shorter than any scenario.
const SHORT: &str = "
about: Somebody subscribes and leaves.
world:
  duration_ms: 300
  users:
    - { name: alice, clients: 1, arrive_ms: [0, 1] }
  topics: [NSE:TCS/LTP, NSE:INFY/LTP]
steps:
  - { at_ms: 100, client: alice, do: subscribe, topics: [NSE:TCS/LTP, NSE:INFY/LTP] }
";

/// The release binary, built if it is stale. `.ci/run` and most developers have it.
fn release() -> &'static Path {
    static RELEASE: OnceLock<PathBuf> = OnceLock::new();
    RELEASE.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--package", "tickgate", "--bin", "tickgate"])
            .args(["--message-format", "json"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo can be started");
        assert!(built.status.success(), "the release binary can be built");
        let lines = String::from_utf8(built.stdout).expect("cargo speaks UTF-8");
        let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut paths =
            messages.filter_map(|message| message["executable"].as_str().map(Into::into));
        paths.next().expect("cargo says where it is")
    })
}

/// A program that does `before` and then is the gateway.
fn disguised(directory: &Path, before: &str) -> String {
    let path = directory.join("gateway");
    let script = format!("#!/bin/sh\n{before}\nexec '{}' \"$@\"\n", release().display());
    fs::write(&path, script).expect("it can be written");
    let executable = fs::Permissions::from_mode(0o700);
    fs::set_permissions(&path, executable).expect("it can be made executable");
    path.to_str().expect("it is UTF-8").to_owned()
}

/// Plays a file for real against a program.
fn real(file: &str, program: &str) -> (Option<i32>, String) {
    let output = sim(&["run", file, "--real", "--binary", program]);
    (code(&output), said(&output))
}

#[test]
fn scenarios_end_as_in_simulation() {
    let program = release().to_str().expect("it is UTF-8");
    let failed: Vec<String> = thread::scope(|scope| {
        let plays = SCENARIOS.map(|name| {
            let file = format!("scenarios/{name}.yaml");
            scope.spawn(move || (real(&file, program), file))
        });
        let results = plays.into_iter().map(|play| play.join().expect("it does not panic"));
        let failed = results.filter(|((code, said), _)| {
            *code != Some(0)
                || !said.contains("\nreal      : passed\n")
                || !said.ends_with("agree\n")
        });
        failed.map(|((code, said), file)| format!("{file}: {code:?}\n{said}")).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn cargo_builds_the_release_binary_if_none_is_given() {
    release();
    let story = Scenario::new(SHORT);
    let output = sim(&["run", story.path(), "--real", "--quiet"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(output.stdout.is_empty(), "{}", said(&output));
}

/// The gateway in question allows more than the plan says.
#[test]
fn a_gateway_that_breaks_an_invariant_disagrees() {
    let directory = tempfile::tempdir().expect("a directory");
    let more = "sed -i 's/^subscriptions_per_client_max = .*/subscriptions_per_client_max = 9/' $3";
    let program = disguised(directory.path(), more);
    let limited = SHORT.replace("world:", "world:\n  gateway: { subscriptions_per_client_max: 1 }");
    let story = Scenario::new(&limited);
    let (code, said) = real(story.path(), &program);
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("\nreal      : VIOLATED limits_hold\n"), "{said}");
    assert!(said.contains("simulation: passed\n") && said.ends_with("DISAGREE\n"), "{said}");
    // It is the gateway that disagrees, not the story.
    let honest = disguised(directory.path(), ":");
    assert_eq!(real(story.path(), &honest).0, Some(0));
}

#[test]
fn a_program_that_is_no_gateway_disagrees_and_its_last_words_are_shown() {
    let story = Scenario::new(SHORT);
    let directory = tempfile::tempdir().expect("a directory");
    let program = disguised(directory.path(), "echo I am none >&2; exit 3");
    let (code, said) = real(story.path(), &program);
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("CRASHED") && said.contains("exit status: 3"), "{said}");
    assert!(said.contains("I am none") && said.ends_with("DISAGREE\n"), "{said}");
    let (code, said) = real(story.path(), "/no/such/program");
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("/no/such/program cannot be started"), "{said}");
}

/// Both end the same way, so they agree, and the exit code is that of `run`.
#[test]
fn both_can_agree_on_a_violation() {
    let forbidden = format!("{SHORT}forbid:\n  - {{ line: 'alice-1 <- 2 subscribed' }}\n");
    let story = Scenario::new(&forbidden);
    let (code, said) = real(story.path(), release().to_str().expect("it is UTF-8"));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.matches("VIOLATED forbidden_line").count(), 2, "{said}");
    assert!(said.ends_with("\nagree\n"), "{said}");
}

#[test]
fn what_cannot_be_played_for_real_is_refused_by_name() {
    let clock = "faults:\n  clock_step: { times: [1, 1], by_ms: [5000, 5000] }\n";
    let story = Scenario::new(&format!("{SHORT}{clock}"));
    let (code, said) = real(story.path(), "/no/such/program");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be played for real") && said.contains("clock_step"), "{said}");
}

/// The gateway does not outlive whoever started it.
#[test]
fn an_interrupted_run_ends_the_gateway() {
    let directory = tempfile::tempdir().expect("a directory");
    let pid_file = directory.path().join("pid");
    let program = disguised(directory.path(), &format!("echo $$ >'{}'", pid_file.display()));
    let mut run = Command::new(env!("CARGO_BIN_EXE_tickgate-sim"))
        .args(["run", "scenarios/smoke.yaml", "--real", "--binary", &program])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program can be started");
    let pid = loop {
        let pid = fs::read_to_string(&pid_file).unwrap_or_default();
        if pid.ends_with('\n') {
            break pid.trim().to_owned();
        }
        assert!(run.try_wait().expect("it can be asked").is_none(), "it has ended");
        thread::sleep(Duration::from_millis(5));
    };
    let sent = Command::new("kill").args(["-INT", &run.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert_eq!(run.wait().expect("it ends").code(), Some(130));
    // A process that has ended may still be listed until somebody asks after it.
    let lives = || {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    while lives() {
        thread::sleep(Duration::from_millis(5));
    }
}
