//! `cargo sim walk`

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::complain;
use super::stopwatch::Stopwatch;
use crate::walk::exhaustive::{self, World};
use crate::walk::failure::Failure;
use crate::walk::{self, Options, Totals};

/// A difference, a broken rule or a panic.
const EXIT_VIOLATED: u8 = 1;
/// Takes the walk of a seed.
type Take = fn(u64, Options) -> Result<Totals, Failure>;

/// Events of a walk if the user does not say.
const WALK_EVENTS: usize = 300;
/// Events of the exhaustive search if the user does not say.
const SEARCH_EVENTS: usize = 12;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo sim walk                              10,000 walks of 300 events
  cargo sim walk --seeds 200000 --check-every 0
  cargo sim walk --seed 4711                  one walk again
  cargo sim walk --seed 4711 --events 41      its shortest failing prefix
  cargo sim walk --delivery --seeds 2000      with feed, shards and outboxes behind the hub
  cargo sim walk --exhaustive                 every order of 12 events in two small worlds

A walk leads the hub alone, without any runtime, through events that concurrent clients and badly
behaved brokers could produce in that order: simultaneous logins, subscribes, disconnects, answers
that are late, lost, doubled or overtaken, lost sessions, brokers that go and come back. After each
event the hub checks itself, and every answer, route, log line and broker command is compared with
a reference model that shares no code with it. In the end brokers are honest, things settle, and
nothing may be left when the last client has gone.

With --delivery the hub's effects reach feed and shards late and one by one, while publishers send
ticks and clients read at their own pace: each frame that a client reads is compared as well.

The exhaustive search takes every event that is possible after every other, up to --events of
them, in worlds of two clients: with one topic, and of one user from the first connection on.
What leads to a state that was met before is not followed again.

Exit codes: 0 no difference, 1 a difference, a broken rule or a panic, 2 bad usage.")]
pub(super) struct Arguments {
    /// Take so many walks, one a seed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Take the walk of this seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Events of a walk, before things settle [default: 300; of the exhaustive search: 12]
    #[arg(long)]
    events: Option<usize>,
    /// Search small worlds through instead
    #[arg(long, conflicts_with_all = ["seed", "seeds", "from", "check_every", "compare_every", "delivery"])]
    exhaustive: bool,
    /// Let the hub check itself after every so many events; 0: only in the end
    #[arg(long, default_value_t = 1)]
    check_every: usize,
    /// Compare what an operator sees after every so many events; 0: only in the end
    #[arg(long, default_value_t = 32)]
    compare_every: usize,
    /// Put feed, shards and outboxes behind the hub, each in its own time, with ticks in between
    #[arg(long)]
    delivery: bool,
    /// Take so many at once; default: one on each core
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    walk::failure::record_panics();
    if arguments.exhaustive {
        return search_all(arguments.events.unwrap_or(SEARCH_EVENTS));
    }
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    if from.checked_add(seeds).is_none() {
        return complain("the last seed exceeds 18446744073709551615");
    }
    let options = Options {
        events: arguments.events.unwrap_or(WALK_EVENTS),
        check_every: arguments.check_every,
        compare_every: arguments.compare_every,
    };
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZeroUsize::get).min(usize::try_from(seeds).unwrap_or(1));
    let stopwatch = Stopwatch::start();
    let take = if arguments.delivery { walk::delivery::walk } else { walk::walk };
    let (totals, failure) = walk_all(from, seeds, options, jobs, take);
    let took = stopwatch.elapsed();
    if let Some((seed, _)) = failure {
        return report(seed, options, take, arguments.delivery);
    }
    println!("{}", summary(seeds, &totals, took, jobs));
    ExitCode::SUCCESS
}

/// Each world on a thread of its own.
fn search_all(events: usize) -> ExitCode {
    let search = |world: World| {
        let stopwatch = Stopwatch::start();
        let searched = exhaustive::search(world, events);
        (world, searched, stopwatch.elapsed())
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let searches = World::ALL.map(|world| scope.spawn(move || search(world)));
        searches.into_iter().filter_map(|search| search.join().ok()).collect()
    });
    let mut exit = ExitCode::SUCCESS;
    for (world, searched, took) in results {
        match searched {
            Ok(exhaustive::Searched { states, events: taken, pruned }) => println!(
                "{}: every order of up to {events} events: {states} states, {taken} events as \
                 the model says, {pruned} of them to a known state and not followed again; \
                 {:.1} s",
                world.name(),
                took.as_secs_f64()
            ),
            Err(failure) => {
                println!("{}: {failure}", world.name());
                exit = ExitCode::from(EXIT_VIOLATED);
            }
        }
    }
    exit
}

/// Stops soon after the first failure; gives the lowest seed that has failed by then.
fn walk_all(
    from: u64,
    seeds: u64,
    options: Options,
    jobs: usize,
    take: Take,
) -> (Totals, Option<(u64, Failure)>) {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let results = Mutex::new((Totals::default(), None::<(u64, Failure)>));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut totals = Totals::default();
                while !failed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        break;
                    }
                    let seed = from + number;
                    match take(seed, options) {
                        Ok(walk) => totals.add(&walk),
                        Err(failure) => {
                            failed.store(true, Ordering::Relaxed);
                            let mut results =
                                results.lock().unwrap_or_else(PoisonError::into_inner);
                            let known = results.1.as_ref().map(|(seed, _)| *seed);
                            if known.is_none_or(|known| seed < known) {
                                results.1 = Some((seed, failure));
                            }
                        }
                    }
                }
                results.lock().unwrap_or_else(PoisonError::into_inner).0.add(&totals);
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Shows the shortest beginning of a walk that still fails.
fn report(seed: u64, options: Options, take: Take, delivery: bool) -> ExitCode {
    let fails = |events| take(seed, Options { events, ..options }).err();
    let shortest = (0..=options.events).find_map(|events| Some((events, fails(events)?)));
    let Some((events, failure)) = shortest else {
        return complain(&format!("seed {seed} has failed once and does not fail again"));
    };
    println!("seed {seed} fails with {events} events: {failure}");
    let delivery = if delivery { " --delivery" } else { "" };
    println!("reproduce it with\n  cargo sim walk{delivery} --seed {seed} --events {events}");
    ExitCode::from(EXIT_VIOLATED)
}

fn summary(seeds: u64, totals: &Totals, took: Duration, jobs: usize) -> String {
    let seconds = took.as_secs_f64().max(0.000_001);
    let rate = totals.events as f64 / seconds;
    format!(
        "{seeds} walks, {} events, {} answers and {} broker commands as the model says; \
         {seconds:.1} s, {rate:.0} events/s on {jobs} cores, {:.0} each",
        totals.events,
        totals.answers,
        totals.commands,
        rate / jobs as f64
    )
}
