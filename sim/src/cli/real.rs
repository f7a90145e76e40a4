//! `cargo sim run --real`: the plan in simulation and in real time, side by side.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::Deserialize;

use super::chosen::Chosen;
use super::run::{last_lines, remark, summary};
use super::stopwatch::Stopwatch;
use super::{EXIT_DISAGREE, EXIT_INTERRUPTED, complain};
use crate::expect::Expectation;
use crate::plan::Plan;
use crate::verdict::Verdict;
use crate::world::real::{self, Interrupted};
use crate::world::{self, Options, Outcome};

/// The package and the program that is played against.
const PROGRAM: &str = "tickgate";

#[derive(Debug, clap::Args)]
pub(super) struct Mode {
    /// Play it in real time too, against the release binary on loopback sockets, and compare
    #[arg(long)]
    pub real: bool,
    /// The gateway's program for --real; default: cargo builds the release binary
    #[arg(long, value_name = "PATH", requires = "real")]
    binary: Option<PathBuf>,
}

/// What is played, and how it is told.
pub(super) struct Told<'a> {
    pub chosen: &'a Chosen,
    pub plan: &'a Plan,
    /// Where the trace of the real run goes.
    pub trace: Option<&'a Path>,
    pub quiet: bool,
}

impl Mode {
    /// Plays both and compares.
    pub fn run(&self, told: &Told<'_>) -> ExitCode {
        let Told { chosen, plan, trace, quiet } = told;
        if let Some(why) = real::obstacle(plan) {
            return complain(&format!("{} cannot be played for real: {why}", shown(chosen)));
        }
        let program = match &self.binary {
            Some(path) => path.clone(),
            None => match build() {
                Ok(path) => path,
                Err(problem) => return complain(&problem),
            },
        };
        let simulated = world::play(plan, Options::default());
        let stopwatch = Stopwatch::start();
        let outcome = match real::play(plan, &program, trace.is_some()) {
            Ok(outcome) => outcome,
            Err(Interrupted) => {
                eprintln!("interrupted; the gateway was ended");
                return ExitCode::from(EXIT_INTERRUPTED);
            }
        };
        let real_ms = stopwatch.elapsed().as_millis();
        if let Some(path) = trace
            && let Err(error) = std::fs::write(path, outcome.trace.as_deref().unwrap_or_default())
        {
            return complain(&format!("cannot write {}: {error}", path.display()));
        }
        let (simulation, reality) = (Verdict::of(&simulated), Verdict::of(&outcome));
        let agree = Expectation::of(&simulation) == Expectation::of(&reality);
        if agree && reality.passed() && *quiet {
            return reality.exit_code();
        }
        say!("{} seed {}", shown(chosen), plan.seed);
        tell("simulation", plan, &simulation, &simulated);
        tell("real      ", plan, &reality, &outcome);
        say!("  {real_ms} ms in real time against {}", program.display());
        for limit in real::limits(plan) {
            say!("  not for real: {limit}");
        }
        say!("{}", if agree { "agree" } else { "DISAGREE" });
        if agree { reality.exit_code() } else { ExitCode::from(EXIT_DISAGREE) }
    }
}

fn shown(chosen: &Chosen) -> String {
    chosen.file.display().to_string()
}

fn tell(whose: &str, plan: &Plan, verdict: &Verdict, outcome: &Outcome) {
    let remark = remark(plan, verdict);
    say!("{whose}: {verdict}{remark}");
    if !verdict.passed() {
        say!("  what led to it:");
        for line in last_lines(verdict, outcome) {
            say!("    {line}");
        }
    }
    say!("  {}", summary(&outcome.counters));
}

/// What cargo says of what it has built.
#[derive(Deserialize)]
struct Built {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Has cargo build the release binary, which does nothing if it is fresh, and say where it is.
fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--package", PROGRAM, "--bin", PROGRAM])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}; give --binary PATH"))?;
    if !built.status.success() {
        return Err("the release binary cannot be built; mend that, or give --binary PATH".into());
    }
    let said = String::from_utf8_lossy(&built.stdout);
    let built = said.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
    let ours = |built: &Built| {
        built.reason == "compiler-artifact"
            && built.target.as_ref().is_some_and(|target| target.name == PROGRAM)
    };
    let path = built.filter(ours).find_map(|built| built.executable);
    path.ok_or_else(|| "cargo does not say where the release binary is; give --binary PATH".into())
}
