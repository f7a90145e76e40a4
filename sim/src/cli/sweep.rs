//! `cargo sim sweep`

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::list::files_or_all;
use super::run::reproduction;
use super::stopwatch::Stopwatch;
use super::tally::Tally;
use super::{complain, load_scenario};
use crate::plan;
use crate::scenario::Scenario;
use crate::verdict::Verdict;
use crate::world::{self, Options};

/// Failures that are shown in full; more are counted.
const FAILURES_SHOWN_MAX: usize = 10;
/// Pause between two looks at the progress.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The scenarios; none: all that there are
    files: Vec<PathBuf>,
    /// Play each scenario with so many seeds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Play so many at once; default: one on each core
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
}

struct Story {
    file: PathBuf,
    scenario: Scenario,
}

struct Failure {
    story: usize,
    seed: u64,
    verdict: Verdict,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let files = match files_or_all(&arguments.files) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    if arguments.from.checked_add(arguments.seeds).is_none() {
        return complain("the last seed exceeds 18446744073709551615");
    }
    let mut stories = Vec::new();
    for file in files {
        match load_scenario(&file) {
            Ok(scenario) => stories.push(Story { file, scenario }),
            Err(exit) => return exit,
        }
    }
    let stopwatch = Stopwatch::start();
    let tally = Tally::new(stories.len());
    let mut failures = play_all(&stories, arguments, &tally, stopwatch);
    failures.sort_by_key(|failure| (failure.seed, failure.story));
    report(&stories, arguments, &failures, &tally, stopwatch.elapsed())
}

/// Seed by seed through all scenarios, so that an early end has seen each of them.
fn play_all(
    stories: &[Story],
    arguments: &Arguments,
    tally: &Tally,
    stopwatch: Stopwatch,
) -> Vec<Failure> {
    let count = stories.len() as u64;
    let total = arguments.seeds * count;
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok());
    std::thread::scope(|scope| {
        for _ in 0..jobs.map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    let story = (number % count) as usize;
                    let seed = arguments.from + number / count;
                    let plan = plan::draw(&stories[story].scenario, seed);
                    let outcome = world::play(&plan, Options::default());
                    tally.add(story, &outcome);
                    let verdict = Verdict::of(&outcome);
                    if !verdict.passed() {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(Failure { story, seed, verdict });
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        if std::io::stderr().is_terminal() {
            show_progress(&done, total, &failures, stopwatch);
        }
    });
    failures.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn show_progress(
    done: &AtomicU64,
    total: u64,
    failures: &Mutex<Vec<Failure>>,
    stopwatch: Stopwatch,
) {
    loop {
        let played = done.load(Ordering::Relaxed);
        let failed = failures.lock().unwrap_or_else(PoisonError::into_inner).len();
        let seconds = stopwatch.elapsed().as_secs_f64();
        let rate = played as f64 / seconds.max(0.001);
        let left = (total - played) as f64 / rate.max(0.001);
        eprint!("\r{played}/{total} played, {failed} failed, {rate:.0}/s, {left:.0} s left   ");
        // A progress line that cannot be shown is no reason to stop.
        let _ = std::io::stderr().flush();
        if played == total {
            eprintln!();
            return;
        }
        std::thread::sleep(PROGRESS_PAUSE);
    }
}

fn report(
    stories: &[Story],
    arguments: &Arguments,
    failures: &[Failure],
    tally: &Tally,
    took: Duration,
) -> ExitCode {
    let total = arguments.seeds * stories.len() as u64;
    let rate = total as f64 / took.as_secs_f64().max(0.001);
    for failure in failures.iter().take(FAILURES_SHOWN_MAX) {
        let file = &stories[failure.story].file;
        println!("{} seed {}: {}", file.display(), failure.seed, failure.verdict);
        println!("  {}", reproduction(file, failure.seed));
    }
    if failures.len() > FAILURES_SHOWN_MAX {
        println!("and {} more", failures.len() - FAILURES_SHOWN_MAX);
    }
    println!("{}", tally.interleavings());
    if let Some(faults) = tally.summary() {
        println!("{faults}");
    }
    for (number, story) in stories.iter().enumerate() {
        for fault in tally.never_struck(number, &story.scenario) {
            println!("{}: {fault} never struck", story.file.display());
        }
    }
    println!(
        "{} scenarios, {} seeds each: {} of {total} failed; {:.1} s, {rate:.0} seeds/s",
        stories.len(),
        arguments.seeds,
        failures.len(),
        took.as_secs_f64()
    );
    failures.first().map_or(ExitCode::SUCCESS, |failure| failure.verdict.exit_code())
}
