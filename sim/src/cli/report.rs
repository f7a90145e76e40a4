//! `cargo sim report`

use std::path::PathBuf;
use std::process::ExitCode;

use super::chosen::{Chosen, quoted};
use super::complain;
use super::sweep::write_whole;
use crate::report::{Told, html};
use crate::verdict::Verdict;
use crate::world::play_keeping_events;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Write the page to this file
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let plan = match arguments.chosen.plan() {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let (outcome, events) = play_keeping_events(&plan);
    let verdict = Verdict::of(&outcome);
    let title = arguments.chosen.shown(plan.seed);
    let told = Told { title: &title, plan: &plan, events: &events, verdict: &verdict };
    let written = html(&told).and_then(|page| write_whole(&arguments.out, page.as_bytes()));
    if let Err(problem) = written {
        return complain(&problem);
    }
    println!("{title}: {verdict}");
    println!("open {} in a browser", quoted(&arguments.out.display().to_string()));
    ExitCode::SUCCESS
}
