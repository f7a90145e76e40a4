//! `cargo sim`: the commands.

/// Prints a line. Whoever closes the pipe has seen enough.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

mod bugs;
mod chosen;
mod coverage;
mod demand;
mod determinism;
mod list;
mod mutants;
mod progress;
mod real;
mod replay;
mod report;
mod run;
mod shrink;
mod stopwatch;
mod sweep;
mod walk;
mod without;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::chosen::Chosen;
use crate::plan;
use crate::playable::Playable;

/// Bad usage or a bad scenario.
const EXIT_USAGE: u8 = 2;
/// The simulation and a run in real time ended differently.
const EXIT_DISAGREE: u8 = 7;
/// Ended by Ctrl-C or SIGTERM, as shells say it.
const EXIT_INTERRUPTED: u8 = 130;
/// Two runs of one seed differ.
const EXIT_NOT_REPRODUCIBLE: u8 = 5;
/// Something was not reached that had to be.
const EXIT_NOT_REACHED: u8 = 6;

/// Where scenarios are, seen from the workspace.
const SCENARIOS: &str = "scenarios";
/// Where shrunk failures are: plans, one for each bug that was found.
const REGRESSIONS: &str = "scenarios/regressions";

/// Runs the gateway under a simulated network, where one seed decides everything.
#[derive(Debug, Parser)]
#[command(
    name = "cargo sim",
    bin_name = "cargo sim",
    after_help = "Examples:
  cargo sim run scenarios/smoke.yaml --seed 1
  cargo sim run scenarios/smoke.yaml --seed 1 --real
  cargo sim replay scenarios/smoke.yaml --seed 7 --client alice-1 --topic NSE:TCS
  cargo sim shrink scenarios/smoke.yaml --seed 7
  cargo sim report scenarios/smoke.yaml --seed 7 --out report.html
  cargo sim sweep scenarios/*.yaml --seeds 200
  cargo sim sweep --seeds 10000 --resume state.json --json result.json --stop-after 5
  cargo sim coverage --seeds 60
  cargo sim determinism scenarios/smoke.yaml --seeds 20
  cargo sim plan scenarios/rc_008.yaml --seed 3 > plan.yaml
  cargo sim run plan.yaml
  cargo sim bugs --list
  cargo sim mutants src/engine/outbox.rs
  cargo sim walk --seeds 10000

Exit codes: 0 passed, 1 an invariant was violated, 2 bad scenario or usage, 3 stuck,
4 crashed, 5 not reproducible, 6 not reached (`--demand`), 7 simulation and reality
disagree (`run --real`).
`run` and `replay` return what happened; `sweep` returns 0 for what ended as its file
expects (`expect: { violated: NAME }`). What escapes the seed (a clock, entropy, a
thread) aborts the program, with a backtrace headed LEAK FENCE; a sweep goes on from
there with its `--resume` file."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays one scenario with one seed and judges it
    Run(run::Arguments),
    /// Plays scenarios with many seeds, on all cores
    Sweep(sweep::Arguments),
    /// Tells which situations, states and encounters a sweep has reached, and which never
    Coverage(coverage::Arguments),
    /// Plays each seed in two processes and compares the traces byte for byte
    Determinism(determinism::Arguments),
    /// Plays one seed and shows everything that happens, with the violation in its place
    Replay(replay::Arguments),
    /// Makes the plan of a failing seed as small as it gets, and writes it down as a regression
    Shrink(shrink::Arguments),
    /// Plays one seed and draws what happens: one HTML file that needs no network
    Report(report::Arguments),
    /// Shows what a scenario and a seed expand into: a file that can itself be played
    Plan(PlanArguments),
    /// Plants bugs, one after the other, and tells how soon the ordinary scenarios find them
    Bugs(bugs::Arguments),
    /// Changes the engine in every small way, one at a time, and tells which nobody notices
    Mutants(mutants::Arguments),
    /// Leads the hub alone through random events and compares it with a reference model
    Walk(walk::Arguments),
    /// Lists the scenarios and what they are about
    List(list::Arguments),
}

#[derive(Debug, clap::Args)]
struct PlanArguments {
    #[command(flatten)]
    chosen: Chosen,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Coverage(arguments) => coverage::run(&arguments),
        Command::Determinism(arguments) => determinism::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Shrink(arguments) => shrink::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Plan(arguments) => show_plan(&arguments),
        Command::Bugs(arguments) => bugs::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Walk(arguments) => walk::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
    }
}

fn show_plan(arguments: &PlanArguments) -> ExitCode {
    let plan = match arguments.chosen.plan() {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let origin = format!("cargo sim plan {}", arguments.chosen.shown(plan.seed));
    match plan::to_yaml(&plan, &origin) {
        Ok(text) => {
            say!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problem) => complain(&problem),
    }
}

fn load(file: &Path) -> Result<Playable, ExitCode> {
    Playable::load(file).map_err(|error| complain(&error.to_string()))
}

/// One sentence for the user's mistake.
fn complain(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(EXIT_USAGE)
}
