//! The commands, as they are typed.

use crate::common::scenario::Scenario;
use crate::common::{code, said, sim};

#[test]
fn a_run_that_passes_says_so_and_ends_with_0() {
    let output = sim(&["run", "scenarios/rc_006.yaml", "--seed", "2"]);
    let said = said(&output);
    assert_eq!(code(&output), Some(0), "{said}");
    assert!(said.starts_with("scenarios/rc_006.yaml seed 2: passed\n"), "{said}");
    assert!(said.contains("ms simulated in") && said.contains("trace "), "{said}");
    let quiet = sim(&["run", "scenarios/rc_006.yaml", "--seed", "2", "--quiet"]);
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
}

#[test]
fn a_trace_is_written_without_addresses_of_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trace.txt");
    let path = path.to_str().expect("it is UTF-8");
    let output = sim(&["run", "scenarios/rc_006.yaml", "--trace", path]);
    assert_eq!(code(&output), Some(0));
    let trace = std::fs::read_to_string(path).expect("it was written");
    assert!(trace.contains("-- play --") && trace.contains("-- done --"), "{trace}");
    assert!(!trace.contains("0x"), "{trace}");
    let nowhere = sim(&["run", "scenarios/rc_006.yaml", "--trace", "/no/such/place"]);
    assert_eq!(code(&nowhere), Some(2));
}

/// A broker that takes longer for a topic than the simulator is willing to wait.
#[test]
fn a_run_that_is_stuck_prints_the_line_that_reproduces_it_and_ends_with_3() {
    let story = Scenario::new(
        r#"
about: The broker sleeps over a topic.
world:
  duration_ms: 400
  users: [{ name: alice, arrive_ms: [0, 0] }]
  broker:
    topics:
      - { topic: NSE:TCS/LTP, subscribe: { slow: [60000, 60000] } }
steps:
  - { at_ms: 100, client: alice, do: subscribe, topics: [NSE:TCS/LTP] }
"#,
    );
    let output = sim(&["run", story.path(), "--seed", "5"]);
    let said = said(&output);
    assert_eq!(code(&output), Some(3), "{said}");
    assert!(said.contains("STUCK") && said.contains("NSE:TCS"), "{said}");
    let line = format!("cargo sim replay {} --seed 5\n", story.path());
    assert!(said.contains(&line), "{said}");
}

#[test]
fn a_bad_scenario_is_one_sentence_and_ends_with_2() {
    let story = Scenario::new("about: A story.\nworld:\n  duration: 100\n");
    for command in ["run", "replay", "plan", "sweep", "determinism"] {
        let output = sim(&[command, story.path()]);
        let said = said(&output);
        assert_eq!(code(&output), Some(2), "{command}: {said}");
        assert!(said.contains("story.yaml:3:3: unknown key `duration`"), "{command}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{command}: {said}");
    }
    let missing = sim(&["run", "no/such.yaml"]);
    assert_eq!(code(&missing), Some(2));
    assert!(said(&missing).contains("cannot read no/such.yaml"));
}

#[test]
fn bad_usage_ends_with_2_and_help_has_examples() {
    for arguments in [
        &["run"] as &[_],
        &["dance"],
        &["run", "scenarios/smoke.yaml", "--seed", "-1"],
        &["run", "scenarios/smoke.yaml", "--seed", "18446744073709551616"],
        &["sweep", "scenarios/smoke.yaml", "--seeds", "0"],
        &["sweep", "scenarios/smoke.yaml", "--seeds", "3", "--from", "18446744073709551614"],
    ] {
        assert_eq!(code(&sim(arguments)), Some(2), "{arguments:?}");
    }
    let help = sim(&["--help"]);
    assert_eq!(code(&help), Some(0));
    assert!(said(&help).contains("cargo sim run scenarios/smoke.yaml --seed 1"));
}

#[test]
fn a_plan_is_the_same_each_time_and_names_every_client() {
    let plan = || said(&sim(&["plan", "scenarios/smoke.yaml", "--seed", "3"]));
    let shown = plan();
    assert_eq!(shown, plan());
    for name in ["alice-4", "bob-3", "carol-2"] {
        assert!(shown.contains(name), "{name}");
    }
}

#[test]
fn two_processes_give_identical_traces() {
    let output = sim(&["determinism", "scenarios/smoke.yaml", "--seeds", "2"]);
    let said = said(&output);
    assert_eq!(code(&output), Some(0), "{said}");
    assert!(said.contains("traces are identical"), "{said}");
}

#[test]
fn a_sweep_counts_its_seeds() {
    let output = sim(&["sweep", "scenarios/rc_001.yaml", "scenarios/rc_006.yaml", "--seeds", "4"]);
    let said = said(&output);
    assert_eq!(code(&output), Some(0), "{said}");
    assert!(said.contains("2 scenarios, 4 seeds each: 0 of 8 failed"), "{said}");
}

#[test]
fn the_list_shows_what_each_scenario_is_about() {
    let output = sim(&["list"]);
    let said = said(&output);
    assert_eq!(code(&output), Some(0), "{said}");
    assert!(said.contains("scenarios/smoke.yaml") && said.contains("storm"), "{said}");
    assert_eq!(code(&sim(&["list", "no/such/directory"])), Some(2));
}

#[test]
fn walks_and_searches_say_how_much_they_have_seen() {
    for (arguments, seen) in [
        (&["walk", "--seeds", "20"][..], "20 walks, "),
        (&["walk", "--seed", "3", "--events", "40"], "1 walks, "),
        (&["walk", "--delivery", "--seeds", "5"], "5 walks, "),
        (&["walk", "--exhaustive", "--events", "3"], "every order of up to 3 events: "),
    ] {
        let output = sim(arguments);
        let said = said(&output);
        assert_eq!(code(&output), Some(0), "{said}");
        assert!(said.contains(seen) && said.contains("as the model says"), "{said}");
    }
    assert_eq!(code(&sim(&["walk", "--exhaustive", "--seed", "3"])), Some(2));
    assert_eq!(code(&sim(&["walk", "--seeds", "0"])), Some(2));
}
