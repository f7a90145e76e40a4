//! The chapter "Reproduce a failure" of README.md: from a red line to a minimal scenario.

use std::path::{Path, PathBuf};

use crate::common::{code, said, sim};

/// What the chapter tells to type, in this order.
const COMMANDS: [&str; 3] = [
    "cargo sim replay sim/canary.yaml --seed 4 --client alice",
    "cargo sim shrink sim/canary.yaml --seed 4 --out target/canary.yaml",
    "cargo sim report target/canary.yaml --out target/canary.html",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("it is there")
}

/// Runs a command line of the chapter with the built program.
fn run(line: &str) -> (Option<i32>, String) {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[..2], ["cargo", "sim"], "{line}");
    let output = sim(&words[2..]);
    (code(&output), said(&output))
}

#[test]
fn from_a_red_line_to_a_minimal_scenario_in_three_commands() {
    let readme = read("README.md");
    let (_, chapter) = readme.split_once("## Reproduce a failure").expect("it is there");
    let (chapter, _) = chapter.split_once("\n## ").expect("it is not the last");
    let typed: Vec<&str> = chapter.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(typed, COMMANDS);

    // The red lines are what a sweep says, word for word but for the moment.
    let mut red = chapter.lines().skip_while(|line| *line != "```text").skip(1);
    let swept = said(&sim(&["sweep", "sim/canary.yaml", "--from", "4", "--seeds", "1"]));
    let without_moment = |line: &str| line.split_once(" ms: ").map(|(_, why)| why.to_owned());
    for line in swept.lines().take(5) {
        let shown = red.next().expect("the chapter shows it");
        let same = line == shown
            || without_moment(line).is_some() && without_moment(line) == without_moment(shown);
        assert!(same, "{line:?} is not {shown:?}");
    }

    let (code, replayed) = run(COMMANDS[0]);
    assert_eq!(code, Some(1), "{replayed}");
    assert!(replayed.contains(">>> VIOLATED forbidden_line"), "{replayed}");

    let (code, shrunk) = run(COMMANDS[1]);
    assert_eq!(code, Some(0), "{shrunk}");
    let steps = read("target/canary.yaml").matches("at_ms:").count();
    assert!((1..=8).contains(&steps), "{steps} steps are left: {}", read("target/canary.yaml"));
    assert_eq!(run("cargo sim run target/canary.yaml").0, Some(1), "it fails by itself");

    let (code, drawn) = run(COMMANDS[2]);
    assert_eq!(code, Some(0), "{drawn}");
    assert!(read("target/canary.html").contains("forbidden_line"));
}
