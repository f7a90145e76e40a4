//! Lets the program with the planted bug sweep and shrink.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::preamble::{CHECK, CRASH, STUCK};
use crate::playable::Playable;
use crate::shrink::Size;

/// Pause between two looks at a program that runs.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Where our own assertions are, as panics name their place.
const ENGINE: &str = "src/engine/";

/// What one sweep has found first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The scenario.
    pub file: String,
    /// The seed.
    pub seed: u64,
    /// Seeds that were tried with every scenario, this one included.
    pub seeds: u64,
    /// The invariant, `check`, `crash` or `stuck`.
    pub explanation: String,
    /// What was said, in one line.
    pub text: String,
}

/// What a sweep writes down, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Summary {
    failures: Vec<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    file: String,
    seed: u64,
    verdict: String,
    invariant: Option<String>,
    text: String,
}

/// Where and how far a sweep goes.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first seed.
    pub from: u64,
    /// So many seeds of every scenario.
    pub seeds: u64,
    /// Techniques that it does without, as the command line has them; empty: none.
    pub without: &'static str,
}

/// A program with a planted bug.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The program.
    pub program: PathBuf,
    /// Where it is started.
    pub tree: PathBuf,
    /// The ordinary scenarios, as seen from there.
    pub scenarios: Vec<PathBuf>,
}

impl Suspect {
    /// Sweeps all scenarios until something fails. The first failure does not depend on how many
    /// play at once. `turn` is called while it waits.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot do it, or needs more than `patience` of real time.
    pub fn sweep(
        &self,
        span: Span,
        patience: Duration,
        json: &Path,
        turn: &mut dyn FnMut(),
    ) -> Result<Option<Finding>, String> {
        // An old one must not be taken for this one's.
        let _ = std::fs::remove_file(json);
        let Span { from, seeds, without } = span;
        let (from_word, seeds_word) = (from.to_string(), seeds.to_string());
        let mut command = self.command("sweep");
        command.args(&self.scenarios);
        command.args(["--from", &from_word, "--seeds", &seeds_word, "--stop-after", "1"]);
        command.arg("--json").arg(json);
        if !without.is_empty() {
            command.args(["--without", without]);
        }
        let status = run_to_end(&mut command, Some(patience), turn)?;
        let text = std::fs::read_to_string(json)
            .map_err(|error| format!("the sweep left no summary ({status}): {error}"))?;
        let found = read_summary(&text, from)?;
        if found.is_none() && !status.success() {
            return Err(format!("the sweep ended with {status} and found nothing"));
        }
        Ok(found)
    }

    /// Walks from the first seed on until a walk fails; gives the number of that walk. `delivery`:
    /// with feed, shards and outboxes.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot do it, or needs more than `patience` of real time.
    pub fn walk(
        &self,
        delivery: bool,
        walks: u64,
        patience: Duration,
        out: &Path,
        turn: &mut dyn FnMut(),
    ) -> Result<Option<u64>, String> {
        let broken = |error: std::io::Error| format!("cannot use {}: {error}", out.display());
        let mut command = self.command("walk");
        command.args(["--seeds", &walks.to_string()]);
        if delivery {
            command.arg("--delivery");
        }
        command.stdout(File::create(out).map_err(broken)?);
        let status = run_to_end(&mut command, Some(patience), turn)?;
        let said = std::fs::read_to_string(out).map_err(broken)?;
        match (failed_walk(&said), status.success()) {
            (Some(seed), false) => Ok(Some(seed)),
            (None, true) => Ok(None),
            (_, _) => Err(format!("the walk ended with {status} and does not say why")),
        }
    }

    /// Shrinks what was found and measures what is left.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot do it.
    pub fn shrink(
        &self,
        found: &Finding,
        seconds: u64,
        out: &Path,
        turn: &mut dyn FnMut(),
    ) -> Result<Size, String> {
        let mut command = self.command("shrink");
        command.args([&found.file, "--seed", &found.seed.to_string()]);
        command.args(["--seconds", &seconds.to_string(), "--out"]).arg(out);
        let patience = Duration::from_secs(seconds.saturating_mul(2).saturating_add(60));
        let status = run_to_end(&mut command, Some(patience), turn)?;
        if !status.success() {
            return Err(format!("it cannot be shrunk ({status})"));
        }
        let playable = Playable::load(out).map_err(|error| error.to_string())?;
        // What is shrunk has a seed of its own.
        Size::of(&playable.plan(playable.first_seed())?)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).current_dir(&self.tree);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// The seed of the walk that failed, if the walk's report names one.
fn failed_walk(said: &str) -> Option<u64> {
    let rest = said.lines().find_map(|line| line.strip_prefix("seed "))?;
    let (seed, rest) = rest.split_once(' ')?;
    seed.parse().ok().filter(|_| rest.starts_with("fails with "))
}

fn read_summary(text: &str, from: u64) -> Result<Option<Finding>, String> {
    let summary: Summary = serde_json::from_str(text)
        .map_err(|error| format!("the sweep's summary is not understood: {error}"))?;
    Ok(summary.failures.into_iter().next().map(|failure| {
        let explanation = match (failure.verdict.as_str(), failure.invariant) {
            (_, Some(invariant)) => invariant,
            ("crashed", None) if failure.text.contains(ENGINE) => CHECK.to_owned(),
            ("crashed", None) => CRASH.to_owned(),
            (_, None) => STUCK.to_owned(),
        };
        Finding {
            file: failure.file,
            seed: failure.seed,
            seeds: failure.seed.saturating_sub(from).saturating_add(1),
            explanation,
            text: failure.text.lines().map(str::trim).collect::<Vec<_>>().join(" "),
        }
    }))
}

/// Runs a program until it ends; one that needs more than its time is ended.
pub(crate) fn run_to_end(
    command: &mut Command,
    patience: Option<Duration>,
    turn: &mut dyn FnMut(),
) -> Result<ExitStatus, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let broken = |error: std::io::Error| format!("cannot run {name}: {error}");
    let mut child = command.spawn().map_err(broken)?;
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().map_err(broken)? {
            return Ok(status);
        }
        if patience.is_some_and(|patience| waited > patience) {
            // It may have ended by itself in between.
            let _ = child.kill();
            child.wait().map_err(broken)?;
            return Err(format!("{name} has not ended after {} s", waited.as_secs()));
        }
        turn();
        std::thread::sleep(LOOK_PAUSE);
        waited += LOOK_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(verdict: &str, invariant: &str, text: &str) -> Finding {
        let summary = format!(
            r#"{{"played": 9, "failures": [{{"file": "a.yaml", "seed": 107,
               "verdict": "{verdict}", "invariant": {invariant}, "text": "{text}",
               "commands": []}}]}}"#
        );
        read_summary(&summary, 101).expect("it is good").expect("it has a failure")
    }

    #[test]
    fn a_finding_tells_what_explains_it_and_how_many_seeds_it_took() {
        let violated = explained("violated", r#""no_ticks""#, r"VIOLATED no_ticks\n  at 3 ms");
        assert_eq!((violated.seeds, violated.explanation.as_str()), (7, "no_ticks"));
        assert_eq!(violated.text, "VIOLATED no_ticks at 3 ms");
        let check = explained("crashed", "null", "CRASHED drifted (src/engine/hub/check.rs:9)");
        assert_eq!(check.explanation, CHECK);
        let crash = explained("crashed", "null", "CRASHED oh (sim/src/actors/feed.rs:9)");
        assert_eq!(crash.explanation, CRASH);
        assert_eq!(explained("stuck", "null", "STUCK").explanation, STUCK);
        let nothing = read_summary(r#"{"failures": []}"#, 1);
        assert_eq!(nothing, Ok(None));
        assert!(read_summary("{}", 1).is_err());
    }

    #[test]
    fn a_walk_that_failed_is_told_from_one_that_did_not() {
        assert_eq!(failed_walk("seed 17 fails with 41 events: it differs\n"), Some(17));
        assert_eq!(failed_walk("2000 walks, 600000 events\n"), None);
        assert_eq!(failed_walk("seed 17 is fine\n"), None);
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let result = run_to_end(&mut sleep, Some(Duration::from_millis(60)), &mut || {});
        assert!(result.is_err_and(|problem| problem.contains("has not ended")));
        let status = run_to_end(&mut Command::new("true"), None, &mut || {});
        assert!(status.is_ok_and(|status| status.success()));
    }
}
