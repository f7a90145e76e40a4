//! The developer's loop at a failing seed. The gateway is healthy, so the story forbids something
//! that does happen.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::scenario::Scenario;
use crate::common::{code, said, sim};

/// A storm in which nobody may subscribe to one topic twice.
const FORBIDDEN: &str = r#"
about: Two users' clients storm, and nobody is to subscribe to one topic twice.
forbid: [{ line: " subscribe NSE:TCS/LTP", times: 2 }]
world:
  duration_ms: 900
  users:
    - { name: alice, clients: 3, arrive_ms: [0, 60] }
    - { name: bob, clients: 2, arrive_ms: [0, 60] }
  topics: [NSE:TCS/LTP, NSE:INFY/LTP, NSE:SBIN/Quote]
storm:
  pause_ms: [0, 80]
  symbols_per_request: [1, 2]
  weights: { subscribe: 10, unsubscribe: 4, ping: 4, vanish: 1, flip: 1 }
  incidents: { invalidations: [0, 2], broker_deaths: [0, 1] }
"#;

/// Everything goes wrong that can, and nobody's connection is to be reset.
const STORMY: &str = r#"
about: Everything goes wrong that can.
forbid: [{ actor: network, line: "reset strikes" }]
world:
  duration_ms: 900
  users:
    - { name: alice, clients: 3, arrive_ms: [0, 60] }
    - { name: bob, clients: 2, arrive_ms: [0, 60] }
  topics: [NSE:TCS/LTP, NSE:INFY/LTP, NSE:SBIN/Quote]
storm:
  pause_ms: [0, 80]
  weights: { subscribe: 10, unsubscribe: 4, ping: 4, vanish: 1, flip: 1 }
  incidents: { broker_deaths: [1, 1], invalidations: [1, 1] }
faults:
  chop: { share: 0.3, bytes_max: 5 }
  reset: { share: 0.3, after_bytes: [200, 3000], of: [clients] }
  corrupt: { share: 0.3, after_bytes: [200, 2000], of: [clients] }
  hold: { times: [1, 2], for_ms: [20, 200] }
  stall: { times: [1, 2], for_ms: [20, 200] }
  clock_step: { times: [1, 2], by_ms: [-5000, -1] }
  feed_silence: { times: [1, 1], for_ms: [50, 300] }
"#;

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it was written")
}

/// The trace of a file, with these arguments.
fn trace(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trace.txt");
    let shown = path.to_str().expect("it is UTF-8");
    sim(&[&["run"], arguments, &["--quiet", "--trace", shown]].concat());
    text(&path)
}

/// Writes the plan of a file and a seed beside others.
fn plan(directory: &Path, file: &str, seed: &str) -> String {
    let output = sim(&["plan", file, "--seed", seed]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    let path = directory.join("plan.yaml");
    std::fs::write(&path, &output.stdout).expect("it can be written");
    path.to_str().expect("it is UTF-8").to_owned()
}

#[test]
fn a_plan_replays_the_trace_of_its_scenario_and_seed() {
    let directory = tempfile::tempdir().expect("a directory");
    for (file, seed) in [
        ("scenarios/smoke.yaml", "3"),
        ("scenarios/rc_012.yaml", "7"),
        ("scenarios/sessions.yaml", "18446744073709551615"),
        ("scenarios/rc_011.yaml", "5"),
    ] {
        let plan = plan(directory.path(), file, seed);
        let first = trace(&[file, "--seed", seed]);
        assert!(first.lines().count() > 100, "{file} tells a story");
        assert!(trace(&[&plan]) == first, "{file} seed {seed}: its plan plays otherwise");
        assert!(trace(&[&plan, "--seed", seed]) == first);
    }
}

/// The trace, as a replay shows it.
fn replayed(file: &str, seed: &str) -> String {
    let shown = said(&sim(&["replay", file, "--seed", seed]));
    let (trace, _) = shown.rsplit_once("\n\n").expect("the verdict stands below the trace");
    format!("{trace}\n")
}

#[test]
fn faults_are_replayed_too_and_what_a_garbled_connection_carried_is_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, allowed) = STORMY.split_once("world:").expect("it has a world");
    let story = Scenario::new(&format!("about: Stormy.\nworld:{allowed}"));
    for seed in ["1", "2", "3"] {
        let first = trace(&[story.path(), "--seed", seed]);
        assert!(first.contains(" strikes "), "faults strike");
        assert!(replayed(story.path(), seed) == first, "seed {seed}: the replay leaves out lines");
        let plan = plan(directory.path(), story.path(), seed);
        assert!(trace(&[&plan]) == first, "seed {seed}: its plan plays otherwise");
    }
}

#[test]
fn faults_that_are_not_needed_are_taken_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let small = directory.path().join("small.yaml");
    let small = small.to_str().expect("it is UTF-8");
    let story = Scenario::new(STORMY);
    let seed = (1..20).map(|seed| seed.to_string());
    let fails = |seed: &String| code(&sim(&["run", story.path(), "--seed", seed])) == Some(1);
    let seed = seed.into_iter().find(fails).expect("one of them is reset");
    let output = sim(&["shrink", story.path(), "--seed", &seed, "--out", small]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    let plan = text(Path::new(small));
    assert_eq!(plan.matches("reset:").count(), 1, "{plan}");
    for fault in ["chop:", "corrupt:", "hold:", "stall:", "clock_step:", "feed_silence"] {
        assert!(!plan.contains(fault), "{fault} is not needed: {plan}");
    }
    assert!(plan.matches("at_ms:").count() <= 8, "{plan}");
}

#[test]
fn every_command_takes_a_plan() {
    let directory = tempfile::tempdir().expect("a directory");
    let plan = plan(directory.path(), "scenarios/rc_006.yaml", "2");
    for command in ["run", "replay", "plan", "sweep", "determinism"] {
        let output = sim(&[command, &plan]);
        assert_eq!(code(&output), Some(0), "{command}: {}", said(&output));
    }
    let swept = said(&sim(&["sweep", &plan, "--seeds", "50"]));
    assert!(swept.contains("0 of 1 failed"), "a plan has one seed: {swept}");
    let again = sim(&["plan", &plan]);
    let body = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(body(&said(&again)), body(&text(Path::new(&plan))));
}

#[test]
fn a_bad_plan_and_a_seed_that_is_not_its_own_are_one_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = plan(directory.path(), "scenarios/rc_006.yaml", "2");
    let other = sim(&["replay", &path, "--seed", "3"]);
    assert_eq!(code(&other), Some(2));
    assert!(said(&other).contains("this is the plan of seed 2"), "{}", said(&other));
    let good = text(Path::new(&path));
    for (bad, expected) in [
        (good.replace("seed: 2", "seed: 18446744073709551616"), "plan.yaml:"),
        (good.replace("{ at_ms:", "{ at_m:"), "did you mean `at_ms`?"),
        (good.replace("tick_ms: 1", "tick_ms: 9"), "`tick_ms` must be"),
        (good[..good.len() - 3].to_owned(), "plan.yaml:"),
    ] {
        std::fs::write(&path, bad).expect("it can be written");
        for command in ["run", "replay", "shrink", "sweep"] {
            let output = sim(&[command, &path]);
            let said = said(&output);
            assert_eq!(code(&output), Some(2), "{command}: {said}");
            assert!(said.contains(expected), "{command}: {said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    }
}

#[test]
fn a_replay_is_the_whole_trace_with_the_violation_in_its_place() {
    let story = Scenario::new(FORBIDDEN);
    let output = sim(&["replay", story.path(), "--seed", "1"]);
    let shown = said(&output);
    assert_eq!(code(&output), Some(1), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let mark = lines.iter().position(|line| line.contains(">>> VIOLATED forbidden_line"));
    let mark = mark.expect("the violation is marked");
    assert!(lines[mark - 1].contains(" subscribe ") && lines[mark - 1].contains("NSE:TCS/LTP"));
    assert!(shown.trim_end().lines().any(|line| line.contains("seed 1: VIOLATED")), "{shown}");
    let trace = trace(&[story.path(), "--seed", "1"]);
    assert!(trace.starts_with(&lines[..mark].join("\n")), "the same lines as in the trace");
    assert!(!shown.contains('\x1b'), "no colours where there is no terminal");
    let painted = said(&sim(&["replay", story.path(), "--color", "always"]));
    assert!(painted.contains("\x1b[1;31m"), "{painted}");
}

#[test]
fn a_replay_shows_what_is_asked_for() {
    let lines = |more: &[&str]| {
        let output = sim(&[&["replay", "scenarios/smoke.yaml", "--seed", "2"], more].concat());
        let lines = said(&output).lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(code(&output), Some(0), "{}", lines.join("\n"));
        let end = lines.iter().position(|line| line.ends_with("are left out)"));
        lines[..end.expect("something is left out")].to_vec()
    };
    let told = |line: &String| !line.contains(" -- ");
    let of_bob = lines(&["--client", "bob"]);
    assert!(of_bob.iter().filter(|l| told(l)).all(|line| line.contains(" bob-")));
    let of_two = lines(&["--client", "bob-1", "--client", "broker", "--topic", "NSE:TCS"]);
    assert!(of_two.iter().filter(|l| told(l)).all(|line| line.contains("NSE:TCS")));
    assert!(of_two.iter().any(|line| line.contains(" broker ")));
    let moment = |line: &String| line.trim_start().split('.').next().map(str::parse::<u64>);
    let window = lines(&["--from-ms", "500", "--until-ms", "600"]);
    let inside = |line: &String| matches!(moment(line), Some(Ok(500..=600)));
    assert!(window.len() > 10 && window.iter().all(inside));
    for (arguments, expected) in [
        (&["--client", "eve"] as &[&str], "there is no client `eve`; here are: alice-1"),
        (&["--topic", "TCS"], "is no topic"),
        (&["--from-ms", "9", "--until-ms", "8"], "comes before"),
    ] {
        let output = sim(&[&["replay", "scenarios/smoke.yaml"], arguments].concat());
        assert_eq!(code(&output), Some(2));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

#[test]
fn a_sweep_stops_on_request_and_prints_what_to_paste() {
    let story = Scenario::new(FORBIDDEN);
    let output = sim(&["sweep", story.path(), "--seeds", "500", "--stop-after", "1"]);
    let shown = said(&output);
    assert_eq!(code(&output), Some(1), "{shown}");
    assert!(shown.contains("stopped early, 500 were planned"), "{shown}");
    assert!(shown.contains(&format!("  cargo sim replay {} --seed 1\n", story.path())), "{shown}");
}

#[test]
fn a_sweep_expects_what_the_file_expects() {
    let bug = FORBIDDEN.replace("forbid:", "expect: { violated: forbidden_line }\nforbid:");
    let story = Scenario::new(&bug);
    let output = sim(&["sweep", story.path(), "--seeds", "3"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    let run = sim(&["run", story.path()]);
    assert_eq!(code(&run), Some(1), "a run returns what happened");
    assert!(said(&run).contains("as the file expects"), "{}", said(&run));
    let fixed = Scenario::new(&bug.replace("forbid: [{ line: \" ", "forbid: [{ line: \"no "));
    let output = sim(&["sweep", fixed.path(), "--seeds", "3"]);
    let shown = said(&output);
    assert_eq!(code(&output), Some(1), "{shown}");
    assert!(shown.contains("3 of 3 failed") && shown.contains("`expect: pass`"), "{shown}");
}

#[test]
fn a_failing_seed_shrinks_to_a_plan_that_fails_by_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let small = directory.path().join("new").join("small.yaml");
    let small = small.to_str().expect("it is UTF-8");
    let output = sim(&["shrink", "sim/canary.yaml", "--seed", "4", "--out", small]);
    let shown = said(&output);
    assert_eq!(code(&output), Some(0), "{shown}");
    assert!(shown.contains("8 clients became 1, ") && shown.contains("take it apart"), "{shown}");
    let plan = text(Path::new(small));
    let steps = plan.matches("at_ms:").count();
    assert!(steps <= 4, "{plan}");
    assert!(plan.starts_with("# Found by: cargo sim shrink sim/canary.yaml --seed 4\n"), "{plan}");
    assert!(plan.contains("expect: { violated: forbidden_line }"), "{plan}");

    let run = sim(&["run", small]);
    assert_eq!(code(&run), Some(1), "{}", said(&run));
    assert_eq!(code(&sim(&["sweep", small])), Some(0), "it fails as it expects");
    let again = sim(&["shrink", small, "--out", small]);
    assert_eq!(code(&again), Some(0), "{}", said(&again));
    assert_eq!(text(Path::new(small)).matches("at_ms:").count(), steps);
}

#[test]
fn a_seed_that_passes_is_not_shrunk_and_a_shrinking_ends_in_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.yaml");
    let out = out.to_str().expect("it is UTF-8");
    let passes = sim(&["shrink", "scenarios/rc_006.yaml", "--out", out]);
    assert_eq!(code(&passes), Some(2));
    assert!(said(&passes).contains("it passes: there is nothing to shrink"), "{}", said(&passes));
    assert!(!Path::new(out).exists());
    let hasty = sim(&["shrink", "sim/canary.yaml", "--seconds", "0", "--out", out]);
    assert!(said(&hasty).contains("stopped early"), "{}", said(&hasty));
    assert_eq!(code(&sim(&["run", out])), Some(1), "what there is by then fails too");
    let nowhere = sim(&["shrink", "sim/canary.yaml", "--seconds", "0", "--out", "/proc/no/x.yaml"]);
    assert_eq!(code(&nowhere), Some(2), "{}", said(&nowhere));
}

/// What a sweep says to programs, without how long it took.
fn summary(path: &Path) -> serde_json::Value {
    let mut summary: serde_json::Value = serde_json::from_str(&text(path)).expect("it is JSON");
    let timing = summary.as_object_mut().and_then(|fields| fields.remove("timing"));
    assert!(timing.is_some_and(|timing| timing["took_ms"].is_u64()));
    summary
}

#[test]
fn a_sweep_that_is_killed_in_the_middle_goes_on_to_the_same_result() {
    let story = Scenario::new(FORBIDDEN);
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let (state, whole, resumed) = (path("state.json"), path("whole.json"), path("resumed.json"));
    let scenarios = ["sweep", story.path(), "scenarios/rc_006.yaml", "--seeds", "150"];

    let mut child = Command::new(env!("CARGO_BIN_EXE_tickgate-sim"))
        .args(scenarios)
        .args(["--resume", &state, "--jobs", "1"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    let played = || {
        let text = std::fs::read_to_string(&state).ok()?;
        // Whoever reads it in the middle of a sweep finds it whole.
        let state: serde_json::Value = serde_json::from_str(&text).expect("it is whole");
        state["tally"]["done"]["below"].as_u64()
    };
    while played().is_none_or(|played| played < 5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    let before = played().expect("it has a state");
    assert!(before < 300, "it was killed in the middle");

    let output = sim(&[&scenarios[..], &["--resume", &state, "--json", &resumed]].concat());
    assert_eq!(code(&output), Some(1), "{}", said(&output));
    assert!(said(&output).contains("resuming: "), "{}", said(&output));
    sim(&[&scenarios[..], &["--json", &whole, "--jobs", "1"]].concat());
    let result = summary(Path::new(&resumed));
    assert_eq!(result, summary(Path::new(&whole)));
    assert_eq!((&result["played"], &result["failed"]), (&300.into(), &150.into()));

    // Once more: everything is played already.
    let again = sim(&[&scenarios[..], &["--resume", &state, "--json", &resumed]].concat());
    assert!(said(&again).contains("resuming: 300 of 300"), "{}", said(&again));
    assert_eq!(summary(Path::new(&resumed)), result);
    let other = sim(&["sweep", story.path(), "--seeds", "40", "--resume", &state]);
    assert_eq!(code(&other), Some(2));
    assert!(said(&other).contains("belongs to another sweep"), "{}", said(&other));
    std::fs::write(&state, "{\"header\":").expect("it can be written");
    let broken = sim(&["sweep", story.path(), "--seeds", "40", "--resume", &state]);
    assert_eq!(code(&broken), Some(2));
    assert!(said(&broken).contains("is not the state of a sweep"), "{}", said(&broken));
}
