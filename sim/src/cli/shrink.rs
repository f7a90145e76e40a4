//! `cargo sim shrink`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::chosen::{Chosen, next_commands, quoted};
use super::progress::Progress;
use super::sweep::write_whole;
use super::{REGRESSIONS, complain};
use crate::expect::Expectation;
use crate::invariant;
use crate::plan;
use crate::playable::Playable;
use crate::shrink::{Shrunk, Size, shrink};
use crate::verdict::Verdict;
use crate::world::{self, Options};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Write the result to this file; default: scenarios/regressions/INVARIANT-HASH.yaml
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Stop after so many seconds with what there is by then
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Play so many at once; default: one on each core
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match shrink_and_write(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit,
    }
}

fn shrink_and_write(arguments: &Arguments) -> Result<(), ExitCode> {
    let plan = arguments.chosen.plan()?;
    let shown = arguments.chosen.shown(plan.seed);
    let broken = |problem: String| complain(&format!("{shown}: {problem}"));
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok());
    let before = Size::of(&plan).map_err(broken)?;
    let mut progress = Progress::start();
    let (mut played, mut end) = (1, Duration::from_secs(arguments.seconds));
    if end.is_zero() {
        end = Duration::from_nanos(1);
    }
    let shrunk = shrink(&plan, &invariant::all, jobs.map_or(1, NonZeroUsize::get), &mut |stats| {
        played = stats.played;
        let (parts, size) = (before.parts, stats.size);
        let words = format!(
            "parts taken out, {} clients and {} steps left, {played} played, {:.0} s",
            size.clients,
            size.steps,
            progress.elapsed().as_secs_f64()
        );
        progress.show((parts - size.parts.min(parts)) as u64, parts as u64, &words);
        progress.elapsed() < end
    });
    progress.end();
    let shrunk = shrunk.map_err(broken)?;
    let path = write(&shrunk, &shown, arguments.out.as_deref()).map_err(|why| complain(&why))?;
    let after = Size::of(&shrunk.plan).map_err(broken)?;
    let file = quoted(&path.display().to_string());
    println!("{file}: {}", shrunk.verdict);
    println!(
        "  {} clients became {}, {} steps {}; {played} simulations in {:.1} s{}",
        before.clients,
        after.clients,
        before.steps,
        after.steps,
        progress.elapsed().as_secs_f64(),
        if shrunk.complete { "" } else { ", stopped early: --seconds gives it more time" }
    );
    println!("take it apart with");
    next_commands(&file).iter().for_each(|command| println!("  {command}"));
    println!(
        "it expects its own failure; when the bug is fixed, write `expect: pass` into it and keep it"
    );
    Ok(())
}

/// Writes a plan that fails by itself, and makes sure that it does.
fn write(shrunk: &Shrunk, origin: &str, out: Option<&Path>) -> Result<PathBuf, String> {
    let Shrunk { plan, verdict, .. } = shrunk;
    let body = plan::to_yaml(plan, "")?;
    let name = format!("{}-{:08x}.yaml", plan.expect.label(), xxh3_64(body.as_bytes()) as u32);
    let path = out.map_or_else(|| Path::new(REGRESSIONS).join(name), Path::to_path_buf);
    let shown = path.display().to_string();
    let why = match verdict {
        Verdict::Violated(violation) => violation.message.clone(),
        Verdict::Stuck(why) => why.clone(),
        Verdict::Crashed(crash) => crash.message.clone(),
        Verdict::Passed => String::new(),
    };
    let text = plan::to_yaml(plan, &format!("Found by: cargo sim shrink {origin}\n{why}"))?;
    let back = Playable::parse(&shown, &text).map_err(|error| error.to_string())?;
    let again = world::play(&back.plan(plan.seed)?, Options::default());
    if Expectation::of(&Verdict::of(&again)) != plan.expect {
        return Err(format!("{shown} does not fail like the plan it is written from"));
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    }
    write_whole(&path, text.as_bytes())?;
    Ok(path)
}
