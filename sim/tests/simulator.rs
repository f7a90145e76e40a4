//! The simulator's commands, and what only whole scenarios, programs and browsers can show of it.

mod common;

mod bugs;
mod cli;
mod coverage;
mod failing;
mod faults;
mod fence;
mod fuzz;
mod lints;
mod mutants;
mod readme;
mod real;
mod regressions;
mod report;
mod scenarios;
mod stories;
