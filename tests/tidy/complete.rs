//! Whatever there is, is named where it has to be: files, tests, scenarios, metrics, commands.

use std::collections::BTreeSet;
use std::fs;

use tickgate::server::metrics;
use tickgate::server::status::Status;

use super::tree::{Source, files, read, root};
use super::{judge, rust};

/// What the root of the repository may hold, besides hidden files of editors.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".config",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "examples",
    "fuzz",
    "rustfmt.toml",
    "scenarios",
    "sim",
    "src",
    "target",
    "tests",
    "tickgate.example.toml",
];

#[test]
fn the_root_holds_nothing_unexpected() {
    let mut findings = Vec::new();
    for entry in fs::read_dir(root()).expect("a readable root") {
        let name = entry.expect("a readable root").file_name();
        let name = name.to_str().expect("a UTF-8 name");
        if !name.starts_with('.') && !TOP_LEVEL.contains(&name) {
            findings.push(format!(
                "{name}: not in TOP_LEVEL of tests/tidy/complete.rs: where does it belong?"
            ));
        }
    }
    judge(&findings);
}

/// The programs of tests; what none of them names is not even compiled.
const TEST_PROGRAMS: &[&str] = &["tests/engine.rs", "tests/system.rs", "sim/tests/simulator.rs"];

pub fn test_findings(sources: &[Source]) -> Vec<String> {
    let is_program = |source: &&Source| TEST_PROGRAMS.contains(&source.path.as_str());
    let is_named = |path: &str| {
        let Some((directory, name)) = path.rsplit_once('/') else { return false };
        let naming = format!("\nmod {};\n", name.trim_end_matches(".rs"));
        sources.iter().filter(is_program).any(|program| {
            program.path.rsplit_once('/').is_some_and(|(its, _)| its == directory)
                && program.code.contains(&naming)
        })
    };
    let is_forgotten = |source: &&Source| {
        // What lies deeper is named by a file here.
        let depth = if source.path.starts_with("sim/") { 2 } else { 1 };
        source.path.matches('/').count() == depth && !is_named(&source.path)
    };
    let forgotten = sources.iter().filter(|source| !is_program(source)).filter(is_forgotten);
    forgotten.map(|source| format!("{}:1: no program of tests names it", source.path)).collect()
}

#[test]
fn no_test_is_forgotten() {
    judge(&test_findings(&rust(&["tests", "sim/tests"])));
}

#[test]
fn every_scenario_is_run_by_the_checks() {
    let runners: String = files(&[".ci", "tests", "sim/tests", "sim/src"], &["run", ".rs", ".sh"])
        .iter()
        .map(|source| source.text.as_str())
        .collect();
    let unused = |source: &Source| {
        // The regressions are run as a directory.
        !source.path.starts_with("scenarios/regressions/") && !runners.contains(&source.path)
    };
    let findings: Vec<_> = files(&["scenarios"], &[".yaml"])
        .into_iter()
        .filter(unused)
        .map(|source| format!("{}:1: neither .ci/run nor a test runs it", source.path))
        .collect();
    judge(&findings);
}

#[test]
fn every_metric_is_documented_in_the_readme() {
    let page = metrics::render(Status::default()).expect("the encoder works");
    let readme = read("README.md");
    let documented: BTreeSet<&str> =
        readme.split('`').filter(|word| word.starts_with("tickgate_")).collect();
    let mut exported = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        exported.insert(match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        });
    }
    let missing = exported.iter().filter(|name| !documented.contains(name.as_str()));
    let mut findings: Vec<_> =
        missing.map(|name| format!("README.md: metric `{name}` is not documented")).collect();
    let stale = documented.iter().filter(|name| !exported.contains(**name));
    findings.extend(stale.map(|name| format!("README.md: there is no metric `{name}`")));
    judge(&findings);
}

/// The commands of the fenced `console` blocks, with their lines.
pub fn console_commands(text: &str) -> Vec<(usize, &str)> {
    let (mut inside, mut commands) = (false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            commands.push((number + 1, command));
        }
    }
    commands
}

#[test]
fn every_command_of_the_readmes_is_run_by_the_checks() {
    let runners: String = files(&[".ci", "tests", "sim/tests"], &["run", "readme.rs"])
        .iter()
        .map(|source| source.text.as_str())
        .collect();
    let mut findings = Vec::new();
    for file in ["README.md", "benches/README.md"] {
        let readme = read(file);
        let commands = console_commands(&readme);
        assert!(!commands.is_empty(), "{file} shows no command in a `console` block");
        let strange = commands.into_iter().filter(|(_, command)| !runners.contains(command));
        findings.extend(strange.map(|(line, command)| {
            format!("{file}:{line}: neither .ci/run nor a readme.rs runs `{command}`")
        }));
    }
    judge(&findings);
}
