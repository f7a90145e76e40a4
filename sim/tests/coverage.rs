//! What is reached is counted, summed up, demanded and kept.

use std::path::Path;

use tickgate::marks::Mark;
use tickgate_sim::coverage::{Coverage, Operation};
use tickgate_sim::fault::FaultKind;
use tickgate_sim::world::{Options, play};
use tickgate_sim::{plan, scenario};

use crate::common::{code, said, sim};

fn coverage_of(file: &str, seed: u64) -> Coverage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let scenario = scenario::load(&path).expect("the scenario is good");
    play(&plan::draw(&scenario, seed), Options::default()).coverage
}

#[test]
fn a_simulation_counts_for_itself_whatever_runs_beside_it() {
    let alone = coverage_of("scenarios/rc_008.yaml", 1);
    let again = std::thread::scope(|scope| {
        let beside = scope.spawn(|| coverage_of("scenarios/smoke.yaml", 1));
        let again = coverage_of("scenarios/rc_008.yaml", 1);
        assert_ne!(beside.join().expect("it ends"), again);
        again
    });
    assert_eq!(alone, again);
    assert!(alone.mark(Mark::OnAndUnwanted) > 0, "clients come and go");
    assert_eq!(alone.mark(Mark::StopWaiting), 0, "it stops at rest");
    assert_eq!(alone.met(Operation::Flip, FaultKind::GatewayCrash), 0, "nothing goes wrong");
}

#[test]
fn a_gateway_that_stops_in_the_middle_is_another_situation() {
    let mut sum = Coverage::default();
    (1..=5).for_each(|seed| sum.add(&coverage_of("scenarios/stopping.yaml", seed)));
    assert!(sum.mark(Mark::StopWaiting) > 0);
}

#[test]
fn a_demand_that_is_not_met_fails_and_names_what_is_missing() {
    for command in ["sweep", "coverage"] {
        let arguments = [command, "scenarios/rc_006.yaml", "--seeds", "2"];
        assert_eq!(code(&sim(&arguments)), Some(0), "nobody demands anything");
        for (demand, missing) in [
            ("marks", "not reached: a tick replaces one that a client did not read\n"),
            ("pairs", "not reached: flip never met gateway_crash\n"),
            ("transitions", "not reached: topic [turning off] the broker refuses\n"),
        ] {
            let output = sim(&[&arguments[..], &["--demand", demand]].concat());
            assert_eq!(code(&output), Some(6), "{demand}: {}", said(&output));
            assert!(said(&output).contains(missing), "{demand}: {}", said(&output));
        }
    }
}

#[test]
fn what_was_reached_does_not_depend_on_how_many_play_at_once() {
    let arguments = ["coverage", "scenarios/rc_001.yaml", "scenarios/smoke.yaml", "--seeds", "4"];
    let [one, two] =
        ["1", "2"].map(|jobs| sim(&[&arguments[..], &["--jobs", jobs]].concat()).stdout);
    assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&two));
    let text = String::from_utf8_lossy(&one);
    assert!(text.contains("situations\n") && text.contains("seeds reach something new"), "{text}");
}

#[test]
fn kept_seeds_reach_together_what_was_reached_and_say_when_they_no_longer_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let corpus = directory.path().join("corpus.txt");
    let path = corpus.to_str().expect("it is UTF-8");
    let stories = ["scenarios/rc_007.yaml", "scenarios/rc_008.yaml", "--seeds", "6"];
    let kept = sim(&[&["coverage", "--keep", "--corpus", path], &stories[..]].concat());
    assert_eq!(code(&kept), Some(0), "{}", said(&kept));
    let text = std::fs::read_to_string(&corpus).expect("it was written");
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!((1..12).contains(&lines), "{text}");

    let replay = ["coverage", "--replay", "--corpus", path];
    let replayed = sim(&replay);
    assert_eq!(code(&replayed), Some(0), "{}", said(&replayed));
    let reached = |output: &std::process::Output| {
        let said = said(output);
        said.lines().find(|line| line.starts_with("reached: ")).map(ToOwned::to_owned)
    };
    let short =
        |line: Option<String>| line.and_then(|line| line.split(", ").next().map(String::from));
    assert_eq!(short(reached(&replayed)), short(reached(&kept)), "as much in fewer seeds");

    // Keeping again changes nothing.
    sim(&[&["coverage", "--keep", "--corpus", path], &stories[..]].concat());
    assert_eq!(std::fs::read_to_string(&corpus).expect("it is there"), text);

    let promise = format!("scenarios/rc_006.yaml 1 {}\n", Mark::Conflated.label());
    std::fs::write(&corpus, format!("{text}{promise}")).expect("it can be written");
    let stale = sim(&replay);
    assert_eq!(code(&stale), Some(6), "{}", said(&stale));
    assert!(said(&stale).contains("the corpus no longer reaches: a tick replaces one"));

    std::fs::write(&corpus, "scenarios/rc_006.yaml 1 nonsense\n").expect("it can be written");
    let bad = sim(&replay);
    assert_eq!(code(&bad), Some(2));
    assert!(said(&bad).contains("line 1: nothing is called `nonsense`"), "{}", said(&bad));
}

#[test]
fn a_kept_seed_that_fails_fails_the_replay() {
    let directory = tempfile::tempdir().expect("a directory");
    let corpus = directory.path().join("corpus.txt");
    let story = directory.path().join("stuck.yaml");
    let text = "about: The broker sleeps.\nworld:\n  duration_ms: 400\n  users: [{ name: alice, \
                arrive_ms: [0, 0] }]\n  broker:\n    topics:\n      - { topic: NSE:TCS/LTP, \
                subscribe: { slow: [60000, 60000] } }\nsteps:\n  - { at_ms: 100, client: alice, \
                do: subscribe, topics: [NSE:TCS/LTP] }\n";
    std::fs::write(&story, text).expect("it can be written");
    let line = format!("{} 1 {}\n", story.display(), Mark::OffAndWanted.label());
    std::fs::write(&corpus, line).expect("it can be written");
    let output = sim(&["coverage", "--replay", "--corpus", corpus.to_str().expect("UTF-8")]);
    assert_eq!(code(&output), Some(3), "{}", said(&output));
    assert!(said(&output).contains("STUCK"), "{}", said(&output));
}

#[test]
fn a_sweep_tells_programs_what_was_reached() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sweep.json");
    let shown = path.to_str().expect("it is UTF-8");
    sim(&["sweep", "scenarios/standard_storm.yaml", "--seeds", "2", "--json", shown]);
    let text = std::fs::read_to_string(&path).expect("it was written");
    let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let reached = &json["coverage"];
    assert!(reached["marks"]["a topic that is off is wanted"].as_u64() > Some(0));
    assert_eq!(reached["marks"]["the gateway stops while a request waits"], 0);
    assert!(reached["met"]["subscribe"]["reset"].is_u64());
    let transitions = reached["transitions"].as_array().expect("a list");
    assert_eq!(transitions.len(), Coverage::pairs_known());
}
