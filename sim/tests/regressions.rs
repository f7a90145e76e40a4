//! Every failure that was found, as small as it got. Each file says how it ends: while its bug
//! lives, with the invariant that it violates; afterwards it passes, and stays.

use std::path::{Path, PathBuf};

use tickgate_sim::playable::Playable;
use tickgate_sim::verdict::Verdict;
use tickgate_sim::world::{Options, play};

/// What is wrong with the files of a directory; nothing if there is none.
fn problems(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable directory").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.iter().filter_map(|file| problem(file)).collect()
}

fn problem(file: &Path) -> Option<String> {
    let playable = match Playable::load(file) {
        Ok(playable) => playable,
        Err(error) => return Some(error.to_string()),
    };
    let plan = playable.plan(playable.first_seed()).expect("its own seed");
    let verdict = Verdict::of(&play(&plan, Options::default()));
    if plan.expect.met_by(&verdict) {
        return None;
    }
    let remark = plan.expect.remark(&verdict).unwrap_or_default();
    Some(format!("cargo sim replay {}\n{verdict}\n{remark}", file.display()))
}

#[test]
fn every_regression_ends_as_it_expects() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/regressions");
    let problems = problems(Path::new(directory));
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n\n"));
}

#[test]
fn a_regression_that_ends_otherwise_is_noticed() {
    let canary = concat!(env!("CARGO_MANIFEST_DIR"), "/canary.yaml");
    let canary = std::fs::read_to_string(canary).expect("it is there");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bug.yaml");
    let ends = |expect: &str| {
        std::fs::write(&file, format!("{canary}expect: {expect}\n")).expect("it can be written");
        problems(directory.path()).join("\n")
    };
    assert_eq!(ends("{ violated: forbidden_line }"), "");
    assert!(ends("pass").contains("VIOLATED forbidden_line"));
    assert!(ends("{ violated: ticks_in_order }").contains("expects: violated ticks_in_order"));
    assert!(ends("{ violated: tick_in_order }").contains("there is no invariant"));
    assert!(problems(Path::new("no/such/directory")).is_empty());
}
