//! Whoever may notice a mutant.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::VARIABLE;
use super::build::Programs;

/// Address space that a judge gets: a mutant that collects without end is caught there.
const MEMORY_KB: &str = "4194304";
/// Pauses between two looks at a program that runs: short at first, since most end at once.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(2);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(50);
/// A mutant may take so many times what the healthy engine takes, and not less than this.
const SLOWER: u32 = 10;
const PATIENCE_MIN: Duration = Duration::from_secs(10);
/// For the healthy engine.
const PATIENCE_MAX: Duration = Duration::from_secs(20 * 60);

/// Judges, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// The engine's tests.
    Tests,
    /// Walks of the hub alone.
    Walk,
    /// Walks with feed, shards and outboxes.
    Delivery,
    /// The ordinary scenarios.
    Sweep,
}

impl Judge {
    /// All of them, the quickest first.
    pub const ALL: [Self; 4] = [Self::Tests, Self::Walk, Self::Delivery, Self::Sweep];

    /// What it is called.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Walk => "walk",
            Self::Delivery => "walk --delivery",
            Self::Sweep => "sweep",
        }
    }
}

/// Who noticed a mutant, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caught {
    /// Who.
    pub by: Judge,
    /// By what.
    pub how: How,
}

/// By what a mutant is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The judge says that something is wrong.
    Failed,
    /// The judge's process is ended: it aborts, or its memory is used up.
    Crashed,
    /// The judge does not come to an end.
    TimedOut,
}

/// How much each judge looks at.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Walks of each kind.
    pub walks: u64,
    /// Seeds of each scenario.
    pub seeds: u64,
    /// The scenarios, as seen from the copy.
    pub scenarios: Vec<PathBuf>,
}

/// The judges, and how long each of their programs may take.
#[derive(Clone, Debug)]
pub struct Court {
    programs: Programs,
    effort: Effort,
    /// For each judge and each of its programs.
    patience: BTreeMap<(Judge, usize), Duration>,
}

impl Court {
    /// The court of these programs.
    #[must_use]
    pub fn new(programs: Programs, effort: Effort) -> Self {
        Self { programs, effort, patience: BTreeMap::new() }
    }

    /// Takes other programs before the same judges, with the same patience.
    pub fn turn_to(&mut self, programs: Programs) {
        self.programs = programs;
    }

    /// Takes other tests before the same judges, with the same patience.
    pub fn turn_to_tests(&mut self, tests: Vec<PathBuf>) {
        self.programs.tests = tests;
    }

    /// Lets every judge see the healthy engine, and learns how long that takes: so much more is a
    /// mutant given. `turn` is called while it waits.
    ///
    /// # Errors
    ///
    /// Fails if a judge complains.
    pub fn see_healthy(&mut self, turn: &mut dyn FnMut(Judge)) -> Result<(), String> {
        for judge in Judge::ALL {
            let (how, took) = self.ask(judge, 0, &mut || turn(judge))?;
            if let Some(how) = how {
                return Err(format!("{} complains without a mutant: {how:?}", judge.word()));
            }
            let patience = took.into_iter().map(|took| PATIENCE_MIN.max(took * SLOWER));
            self.patience.extend((0..).map(|at| (judge, at)).zip(patience));
        }
        Ok(())
    }

    /// Whether a judge notices a mutant.
    ///
    /// # Errors
    ///
    /// Fails if the judge cannot be asked.
    pub fn notices(
        &self,
        judge: Judge,
        mutant: u32,
        turn: &mut dyn FnMut(),
    ) -> Result<Option<Caught>, String> {
        let (how, _) = self.ask(judge, mutant, turn)?;
        Ok(how.map(|how| Caught { by: judge, how }))
    }

    /// The first judge that notices a mutant.
    ///
    /// # Errors
    ///
    /// Fails if one cannot be asked.
    pub fn judge(&self, mutant: u32) -> Result<Option<Caught>, String> {
        for judge in Judge::ALL {
            if let Some(caught) = self.notices(judge, mutant, &mut || {})? {
                return Ok(Some(caught));
            }
        }
        Ok(None)
    }

    fn ask(
        &self,
        judge: Judge,
        mutant: u32,
        turn: &mut dyn FnMut(),
    ) -> Result<(Option<How>, Vec<Duration>), String> {
        let mut took = Vec::new();
        for (at, mut command) in self.commands(judge).into_iter().enumerate() {
            command.env(VARIABLE, mutant.to_string());
            let patience = self.patience.get(&(judge, at)).copied().unwrap_or(PATIENCE_MAX);
            let (how, so_long) = watch(&mut command, patience, turn)?;
            took.push(so_long);
            if how.is_some() {
                return Ok((how, took));
            }
        }
        Ok((None, took))
    }

    fn commands(&self, judge: Judge) -> Vec<Command> {
        let (walks, seeds) = (self.effort.walks.to_string(), self.effort.seeds.to_string());
        let simulate = |arguments: &[&str]| {
            let mut command = self.command(&self.programs.simulator);
            command.args(arguments).args(["--jobs", "1"]);
            command
        };
        match judge {
            Judge::Tests => {
                let test = |(at, program): (usize, &PathBuf)| {
                    let mut command = self.command(program);
                    // The first holds the tests beside all of the code.
                    command.args((at == 0).then_some("engine::"));
                    command
                };
                self.programs.tests.iter().enumerate().map(test).collect()
            }
            Judge::Walk => vec![simulate(&["walk", "--seeds", &walks])],
            Judge::Delivery => vec![simulate(&["walk", "--delivery", "--seeds", &walks])],
            Judge::Sweep => {
                let mut sweep = simulate(&["sweep", "--seeds", &seeds, "--stop-after", "1"]);
                sweep.args(&self.effort.scenarios);
                vec![sweep]
            }
        }
    }

    fn command(&self, program: &PathBuf) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", MEMORY_KB]).arg(program);
        command.current_dir(&self.programs.tree);
        command.env("INSTA_UPDATE", "no").env("INSTA_WORKSPACE_ROOT", &self.programs.tree);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Runs a program to its end, and tells what is wrong with the end, and about how long it took.
fn watch(
    command: &mut Command,
    patience: Duration,
    turn: &mut dyn FnMut(),
) -> Result<(Option<How>, Duration), String> {
    let broken = |error: std::io::Error| format!("cannot run a judge: {error}");
    let mut child = command.spawn().map_err(broken)?;
    let (mut waited, mut pause) = (Duration::ZERO, LOOK_PAUSE_MIN);
    loop {
        if let Some(status) = child.try_wait().map_err(broken)? {
            return Ok((verdict(status), waited));
        }
        if waited > patience {
            end(&mut child).map_err(broken)?;
            return Ok((Some(How::TimedOut), waited));
        }
        turn();
        std::thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(LOOK_PAUSE_MAX);
    }
}

fn end(child: &mut Child) -> std::io::Result<()> {
    // It may have ended by itself in between.
    let _ = child.kill();
    child.wait().map(|_| ())
}

fn verdict(status: ExitStatus) -> Option<How> {
    match status.code() {
        Some(0) => None,
        Some(_) => Some(How::Failed),
        None => Some(How::Crashed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(script: &str) -> Option<How> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        watch(&mut command, Duration::from_millis(300), &mut || {}).expect("it can be run").0
    }

    #[test]
    fn a_judge_that_fails_aborts_or_does_not_end_has_noticed_something() {
        assert_eq!(ended("exit 0"), None);
        assert_eq!(ended("exit 1"), Some(How::Failed));
        assert_eq!(ended("kill -ABRT $$"), Some(How::Crashed));
        assert_eq!(ended("sleep 60"), Some(How::TimedOut));
    }

    #[test]
    fn a_judge_gets_the_number_of_the_mutant_and_not_all_of_the_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let judge = directory.path().join("judge");
        let script = "#!/bin/sh\n[ \"$LIVING_MUTANT\" != 7 ] && [ \"$(ulimit -v)\" = 4194304 ]\n";
        std::fs::write(&judge, script).expect("it can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&judge, mode).expect("it can be made a program");
        let tree = directory.path().to_owned();
        let programs = Programs { simulator: judge.clone(), tests: vec![judge], tree };
        let effort = Effort { walks: 1, seeds: 1, scenarios: Vec::new() };
        let mut court = Court::new(programs, effort);
        court.see_healthy(&mut |_| {}).expect("nobody complains without a mutant");
        assert_eq!(court.judge(6), Ok(None));
        let caught = Caught { by: Judge::Tests, how: How::Failed };
        assert_eq!(court.judge(7), Ok(Some(caught)));
        for judge in Judge::ALL {
            assert!(court.notices(judge, 7, &mut || {}).is_ok_and(|caught| caught.is_some()));
        }
    }
}
