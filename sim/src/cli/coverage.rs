//! `cargo sim coverage`

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use tickgate::marks::{Mark, Pair};

use super::demand::{self, Demand};
use super::list::files_or_all;
use super::progress::Progress;
use super::sweep::{Orders, Story, Work, write_whole};
use super::{EXIT_NOT_REACHED, complain};
use crate::coverage::{Corpus, Coverage, Entry, Feature, Operation};
use crate::fault::FaultKind;
use crate::playable::Playable;
use crate::verdict::Verdict;
use crate::world::{self, Options, Outcome};

/// Where the kept seeds are, seen from the workspace.
const CORPUS: &str = "sim/corpus.txt";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It fails (6) if a demand is not met, if a pair of state and event is reached that cannot be, and
with --replay if the corpus does not reach what it is kept for: then --keep makes it anew.

Examples:
  cargo sim coverage --seeds 60
  cargo sim coverage scenarios/swarm.yaml --seeds 1000 --demand pairs
  cargo sim coverage --seeds 200 --keep
  cargo sim coverage --replay")]
pub(super) struct Arguments {
    /// The scenarios; none: all that there are
    files: Vec<PathBuf>,
    /// Play each scenario with so many seeds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Play so many at once; default: one on each core
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Fail if not all of this is reached
    #[arg(long, value_enum, value_name = "WHAT")]
    demand: Vec<Demand>,
    /// Put the seeds that reach something new into the corpus
    #[arg(long)]
    keep: bool,
    /// Play the corpus, and nothing else
    #[arg(long, conflicts_with_all = ["keep", "files", "seeds", "from"])]
    replay: bool,
    /// The corpus
    #[arg(long, value_name = "FILE", default_value = CORPUS)]
    corpus: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    cover(arguments).unwrap_or_else(|problem| complain(&problem))
}

fn cover(arguments: &Arguments) -> Result<ExitCode, String> {
    let old = if arguments.keep || arguments.replay {
        corpus(&arguments.corpus, arguments.replay)?
    } else {
        Corpus::default()
    };
    let mut items = kept(&old)?;
    if !arguments.replay {
        items.extend(wanted(arguments)?);
    }
    let mut found = Found::default();
    let failed = play(&items, arguments.jobs, |item, outcome| found.take(item, outcome));
    found.print();
    let mut exit = match failed {
        Some(verdict) => verdict,
        None if demand::are_met(&arguments.demand, &found.sum) => 0,
        None => EXIT_NOT_REACHED,
    };
    if !found.sum.pairs_impossible().is_empty() {
        exit = exit.max(EXIT_NOT_REACHED);
    }
    if arguments.replay {
        let promised = old.entries.iter().flat_map(|entry| &entry.why);
        for feature in promised.filter(|feature| !found.sum.has(**feature)) {
            eprintln!("the corpus no longer reaches: {feature}; `cargo sim coverage --keep`");
            exit = exit.max(EXIT_NOT_REACHED);
        }
    } else if arguments.keep && failed.is_none() {
        let corpus = Corpus::distil(found.kept);
        write_whole(&arguments.corpus, corpus.text().as_bytes())?;
        say!("kept: {} seeds in {}", corpus.entries.len(), arguments.corpus.display());
    } else {
        say!("{} seeds reach something new: --keep keeps what is needed of them", found.kept.len());
    }
    Ok(ExitCode::from(exit))
}

/// Reads the corpus; where there is none it is empty, unless it must be there.
fn corpus(path: &Path, must_be: bool) -> Result<Corpus, String> {
    let shown = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) => Corpus::parse(&text).map_err(|why| format!("{shown}: {why}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_be => {
            Ok(Corpus::default())
        }
        Err(error) => Err(format!("cannot read {shown}: {error}")),
    }
}

/// A simulation to be played.
struct Item {
    file: PathBuf,
    playable: std::sync::Arc<Playable>,
    seed: u64,
}

fn kept(corpus: &Corpus) -> Result<Vec<Item>, String> {
    let mut loaded: BTreeMap<&PathBuf, std::sync::Arc<Playable>> = BTreeMap::new();
    let mut items = Vec::new();
    for Entry { file, seed, .. } in &corpus.entries {
        if !loaded.contains_key(file) {
            let playable = Playable::load(file).map_err(|error| error.to_string())?;
            loaded.insert(file, playable.into());
        }
        let playable = loaded[file].clone();
        items.push(Item { file: file.clone(), playable, seed: *seed });
    }
    Ok(items)
}

/// Seed by seed through all files.
fn wanted(arguments: &Arguments) -> Result<Vec<Item>, String> {
    if arguments.from.checked_add(arguments.seeds - 1).is_none() {
        return Err("the last seed exceeds 18446744073709551615".into());
    }
    // The complaint was said where it was found.
    let files = files_or_all(&arguments.files).map_err(|_| "there is nothing to play")?;
    let mut stories = Vec::new();
    for file in files {
        stories.push(Story::load(file, None).map_err(|error| error.to_string())?);
    }
    let work = Work::new(stories, arguments.from, arguments.seeds);
    let all = work.stories().iter();
    let shared: Vec<_> = all.map(|story| std::sync::Arc::new(story.playable.clone())).collect();
    let item = |number| {
        let (story, seed) = work.item(number);
        let file = work.stories()[story].file.clone();
        Item { file, playable: shared[story].clone(), seed }
    };
    Ok((0..work.total()).map(item).collect())
}

/// Plays all and hands the outcomes over in order. Gives the exit code of the first failure.
fn play(
    items: &[Item],
    jobs: Option<NonZeroUsize>,
    mut take: impl FnMut(&Item, &Outcome),
) -> Option<u8> {
    let jobs = jobs.or_else(|| std::thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZeroUsize::get);
    let next = AtomicU64::new(0);
    let mut failed = None;
    let mut progress = Progress::start();
    std::thread::scope(|scope| {
        let (done, outcomes) = mpsc::sync_channel(jobs * 4);
        for _ in 0..jobs {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(item) = items.get(number) else { return };
                    let plan = item.playable.plan(item.seed);
                    let outcome = plan.map(|plan| world::play(&plan, Options::default()));
                    if done.send((number, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut waiting = BTreeMap::new();
        let mut taken = 0;
        for (number, outcome) in outcomes {
            waiting.insert(number, outcome);
            while let Some(outcome) = waiting.remove(&taken) {
                let item = &items[taken];
                match outcome {
                    Ok(outcome) => {
                        let verdict = Verdict::of(&outcome);
                        if !item.playable.expect().met_by(&verdict) {
                            let (file, seed) = (item.file.display(), item.seed);
                            progress.say(&format!("{file} seed {seed}: {verdict}"));
                            failed.get_or_insert(verdict.code().max(1));
                        }
                        take(item, &outcome);
                    }
                    Err(_) => {
                        let (file, seed) = (item.file.display(), item.seed);
                        progress.say(&format!("{file} cannot be played with seed {seed}"));
                        failed.get_or_insert(super::EXIT_USAGE);
                    }
                }
                taken += 1;
            }
            progress.show(taken as u64, items.len() as u64, "played");
        }
    });
    progress.end();
    failed
}

/// What was reached so far, and by which simulations first.
#[derive(Default)]
struct Found {
    sum: Coverage,
    orders: Orders,
    kept: Vec<(PathBuf, u64, Coverage)>,
}

impl Found {
    fn take(&mut self, item: &Item, outcome: &Outcome) {
        let coverage = &outcome.coverage;
        let is_new = |feature: Feature| coverage.has(feature) && !self.sum.has(feature);
        if Feature::all().any(is_new) {
            self.kept.push((item.file.clone(), item.seed, coverage.clone()));
        }
        self.sum.add(coverage);
        self.orders.add(&outcome.interleavings);
    }

    fn print(&self) {
        say!("situations");
        for mark in Mark::ALL {
            say!("  {:>9}  {}", count(self.sum.mark(*mark)), mark.label());
        }
        for machine in ["topic", "session", "client"] {
            self.print_machine(machine);
        }
        say!("operation and fault");
        let never = self.sum.never_met();
        for operation in Operation::ALL {
            let of = never.iter().filter(|(other, _)| *other == operation);
            let missed: Vec<&str> = of.map(|(_, fault)| fault.label()).collect();
            let met = FaultKind::ALL.len() - missed.len();
            let missed = if missed.is_empty() {
                String::new()
            } else {
                format!("; never {}", missed.join(", "))
            };
            say!("  {:<24} met {met} of {}{missed}", operation.label(), FaultKind::ALL.len());
        }
        if let Some(interleavings) = self.orders.summary() {
            say!("{interleavings}");
        }
        say!("{}", demand::in_short(&self.sum));
        demand::remarks(&self.sum).iter().for_each(|remark| say!("{remark}"));
    }

    /// Of each state, the events that found it, and those that never did.
    fn print_machine(&self, machine: &str) {
        let pairs = || Pair::all().filter(|pair| pair.machine() == machine && pair.is_possible());
        let reached = pairs().filter(|pair| self.sum.pair(*pair) > 0).count();
        say!("{machine}: {reached} of {} pairs of state and event", pairs().count());
        let mut state = "";
        for pair in pairs() {
            if pair.state() != state {
                state = pair.state();
                say!("  {state}");
            }
            say!("    {:>9}  {}", count(self.sum.pair(pair)), pair.event());
        }
    }
}

fn count(hits: u64) -> String {
    if hits == 0 { "never".to_owned() } else { hits.to_string() }
}
