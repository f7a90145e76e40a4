//! `cargo sim`: the commands.

mod determinism;
mod list;
mod run;
mod stopwatch;
mod sweep;
mod tally;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::plan::{self, Plan};
use crate::scenario::{self, Scenario};

/// Bad usage or a bad scenario.
const EXIT_USAGE: u8 = 2;
/// Two runs of one seed differ.
const EXIT_NOT_REPRODUCIBLE: u8 = 5;

/// Where scenarios are, seen from the workspace.
const SCENARIOS: &str = "scenarios";

/// Runs the gateway under a simulated network, where one seed decides everything.
#[derive(Debug, Parser)]
#[command(
    name = "cargo sim",
    bin_name = "cargo sim",
    after_help = "Examples:
  cargo sim run scenarios/smoke.yaml --seed 1
  cargo sim run scenarios/smoke.yaml --seed 7 --trace /tmp/seven.txt
  cargo sim sweep scenarios/*.yaml --seeds 200
  cargo sim determinism scenarios/smoke.yaml --seeds 20
  cargo sim plan scenarios/rc_008.yaml --seed 3

Exit codes: 0 passed, 1 an invariant was violated, 2 bad scenario or usage, 3 stuck,
4 crashed, 5 not reproducible."
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
    /// Plays each seed in two processes and compares the traces byte for byte
    Determinism(determinism::Arguments),
    /// Shows what a scenario and a seed expand into
    Plan(PlanArguments),
    /// Lists the scenarios and what they are about
    List(list::Arguments),
}

#[derive(Debug, clap::Args)]
struct PlanArguments {
    /// The scenario
    file: PathBuf,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Determinism(arguments) => determinism::run(&arguments),
        Command::Plan(arguments) => show_plan(&arguments),
        Command::List(arguments) => list::run(&arguments),
    }
}

fn show_plan(arguments: &PlanArguments) -> ExitCode {
    let plan = match load_plan(&arguments.file, arguments.seed) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    match serde_saphyr::to_string(&plan) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error.to_string()),
    }
}

fn load_scenario(file: &Path) -> Result<Scenario, ExitCode> {
    scenario::load(file).map_err(|error| complain(&error.to_string()))
}

fn load_plan(file: &Path, seed: u64) -> Result<Plan, ExitCode> {
    Ok(plan::draw(&load_scenario(file)?, seed))
}

/// One sentence for the user's mistake.
fn complain(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(EXIT_USAGE)
}
