//! The patches of `sim/bugs/`. Whether they are found is the business of `cargo sim bugs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tickgate_sim::bugs::{BUGS, Bug, CANARY, UNFOUND, bugs_in};

use crate::common::{code, said, sim};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn planted() -> Vec<Bug> {
    bugs_in(&root().join(BUGS)).expect("every patch says what is needed of it")
}

fn known_as_unfound() -> Vec<Bug> {
    let directory = root().join(UNFOUND);
    // Git keeps no empty directory.
    if !directory.exists() {
        return Vec::new();
    }
    bugs_in(&directory).expect("every patch says what is needed of it")
}

#[test]
fn every_patch_still_applies() {
    let canary = Bug::load(&root().join(CANARY)).expect("the canary is good");
    for bug in planted().into_iter().chain(known_as_unfound()).chain([canary]) {
        let output = Command::new("git")
            .args(["apply", "--check"])
            .arg(bug.patch.canonicalize().expect("it exists"))
            .current_dir(root())
            .output()
            .expect("git can be started");
        assert!(output.status.success(), "{}: {}", bug.name, said(&output));
    }
}

#[test]
fn only_a_bug_that_is_not_found_gives_a_reason_and_no_name_is_used_twice() {
    for bug in planted() {
        assert_eq!(bug.preamble.unfound, None, "{} belongs into {UNFOUND}", bug.name);
    }
    for bug in known_as_unfound() {
        assert!(bug.preamble.unfound.is_some(), "{} lacks `unfound:`, a reason", bug.name);
    }
    let all: Vec<Bug> = planted().into_iter().chain(known_as_unfound()).collect();
    let names: BTreeSet<&str> = all.iter().map(|bug| bug.name.as_str()).collect();
    assert_eq!(names.len(), all.len());
}

#[test]
fn they_can_be_listed_and_a_name_that_is_none_is_refused() {
    let list = sim(&["bugs", "--list"]);
    assert_eq!(code(&list), Some(0), "{}", said(&list));
    for bug in planted() {
        assert!(said(&list).contains(&bug.name), "{} is not listed", bug.name);
    }
    let unknown = sim(&["bugs", "no_such_bug"]);
    assert_eq!(code(&unknown), Some(2));
    assert!(said(&unknown).contains("there is no bug `no_such_bug`"), "{}", said(&unknown));
}
