//! `cargo sim sweep`

mod journal;
mod orders;
mod summary;
mod tally;
mod work;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::journal::Journal;
pub(super) use self::journal::write_whole;
pub(super) use self::orders::Orders;
use self::tally::Tally;
pub(super) use self::work::{Story, Work};
use super::demand::{self, Demand};
use super::list::files_or_all;
use super::progress::Progress;
use super::without::Without;
use super::{EXIT_NOT_REACHED, complain};
use crate::plan::NetworkKind;
use crate::world::{self, Options};

/// Pause between two looks at the progress.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two writes of the state.
const WRITE_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The scenarios and plans; none: all that there are
    files: Vec<PathBuf>,
    /// Play each scenario with so many seeds; a plan is played once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Play so many at once; default: one on each core
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// The network that carries the bytes; default: what each file says
    #[arg(long, value_enum)]
    network: Option<NetworkKind>,
    #[command(flatten)]
    without: Without,
    /// Stop when so many have failed
    #[arg(long, value_name = "N")]
    stop_after: Option<NonZeroUsize>,
    /// Keep the state in this file, and go on from it if it is there
    #[arg(long, value_name = "STATE.json")]
    resume: Option<PathBuf>,
    /// Write a summary for programs to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if not all of this is reached
    #[arg(long, value_enum, value_name = "WHAT")]
    demand: Vec<Demand>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let files = match files_or_all(&arguments.files) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    if arguments.from.checked_add(arguments.seeds - 1).is_none() {
        return complain("the last seed exceeds 18446744073709551615");
    }
    let mut stories = Vec::new();
    for file in files {
        match Story::load(file, arguments.network) {
            Ok(story) => stories.push(story),
            Err(error) => return complain(&error.to_string()),
        }
    }
    let mut work = Work::new(stories, arguments.from, arguments.seeds);
    work.network = arguments.network;
    work.without = arguments.without.clone();
    match sweep(&work, arguments) {
        Ok(exit) => exit,
        Err(problem) => complain(&problem),
    }
}

fn sweep(work: &Work, arguments: &Arguments) -> Result<ExitCode, String> {
    let (journal, begun) = match &arguments.resume {
        Some(path) => {
            let (journal, tally) = Journal::open(path, work, arguments.from, arguments.seeds)?;
            (Some(journal), tally)
        }
        None => (None, Tally::default()),
    };
    if begun.done.count() > 0 {
        eprintln!("resuming: {} of {} are played", begun.done.count(), work.total());
    }
    let (tally, orders) = Sitting::new(work, begun, arguments).play(journal.as_ref())?;
    summary::print(work, &tally, &orders);
    if let Some(path) = &arguments.json {
        journal::write_whole(path, summary::json(work, &tally)?.as_bytes())?;
    }
    let met = demand::are_met(&arguments.demand, &tally.coverage);
    let otherwise = if met { 0 } else { EXIT_NOT_REACHED };
    let first = tally.failures.values().next();
    Ok(ExitCode::from(first.map_or(otherwise, |first| first.exit)))
}

/// From the start of the program to its end, or to its being killed.
struct Sitting<'a> {
    work: &'a Work,
    begun: Tally,
    tally: Mutex<Tally>,
    orders: Mutex<Orders>,
    next: AtomicU64,
    stop: AtomicBool,
    failures_max: usize,
    jobs: usize,
}

impl<'a> Sitting<'a> {
    fn new(work: &'a Work, begun: Tally, arguments: &Arguments) -> Self {
        let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok());
        let stop_after = arguments.stop_after.map_or(usize::MAX, NonZeroUsize::get);
        Self {
            work,
            tally: Mutex::new(begun.clone()),
            orders: Mutex::default(),
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            failures_max: begun.failures.len().saturating_add(stop_after),
            jobs: jobs.map_or(1, NonZeroUsize::get),
            begun,
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn play(self, journal: Option<&Journal>) -> Result<(Tally, Orders), String> {
        let written = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(|| self.player())).collect();
            let written = self.watch(journal, || workers.iter().all(|w| w.is_finished()));
            self.stop.store(true, Ordering::Relaxed);
            written
        });
        written?;
        let tally = self.tally().clone();
        Ok((tally, self.orders.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Plays whatever is next until nothing is left.
    fn player(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.work.total() {
                return;
            }
            if self.begun.done.contains(number) {
                continue;
            }
            let (story, seed) = self.work.item(number);
            let playable = &self.work.stories()[story].playable;
            // A plan is played with its own seed.
            let Ok(mut plan) = playable.plan(seed) else { continue };
            self.work.without.apply(&mut plan);
            let outcome = world::play(&plan, Options::default());
            let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            orders.add(&outcome.interleavings);
            drop(orders);
            let mut tally = self.tally();
            tally.add(number, (story, seed), playable.expect(), &outcome);
            if tally.failures.len() >= self.failures_max {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Shows the progress and keeps the state on disk until all have ended.
    fn watch(&self, journal: Option<&Journal>, ended: impl Fn() -> bool) -> Result<(), String> {
        let mut progress = Progress::start();
        let mut told: BTreeSet<u64> = self.begun.failures.keys().copied().collect();
        let mut last_write = Duration::ZERO;
        loop {
            let over = ended();
            let mut tally = self.tally().clone();
            tally.took_ms = self.begun.took_ms + progress.elapsed().as_millis() as u64;
            for (number, failure) in &tally.failures {
                if told.len() < summary::FAILURES_SHOWN_MAX && told.insert(*number) {
                    let file = self.work.stories()[failure.story].file.display();
                    let first = failure.text.lines().next().unwrap_or_default();
                    progress.say(&format!("{file} seed {}: {first}", failure.seed));
                }
            }
            self.show(&mut progress, &tally);
            if over || progress.elapsed() >= last_write + WRITE_PAUSE {
                last_write = progress.elapsed();
                journal.map_or(Ok(()), |journal| journal.write(&tally))?;
            }
            if over {
                progress.end();
                self.tally().took_ms = tally.took_ms;
                return Ok(());
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }

    fn show(&self, progress: &mut Progress, tally: &Tally) {
        let (played, total) = (tally.done.count(), self.work.total());
        let now = (played - self.begun.done.count()) as f64;
        let rate = now / progress.elapsed().as_secs_f64().max(0.001);
        let left = (total - played) as f64 / rate.max(0.001);
        let left = if now > 0.0 { format!(", {left:.0} s left") } else { String::new() };
        let failed = tally.failures.len();
        progress.show(played, total, &format!("played, {failed} failed, {rate:.0}/s{left}"));
    }
}
