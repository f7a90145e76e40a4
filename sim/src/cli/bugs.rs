//! `cargo sim bugs`

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::list::scenarios_in;
use super::progress::Progress;
use super::sweep::write_whole;
use super::{SCENARIOS, complain};
use crate::bugs::judgement::{Judgement, Measured};
use crate::bugs::measure::{Span, Suspect};
use crate::bugs::scratch::Scratch;
use crate::bugs::table::{self, Row};
use crate::bugs::techniques::{Reach, Techniques};
use crate::bugs::{BUGS, Bug, CANARY, UNFOUND, bugs_in};
use crate::playable::Playable;

/// Where the copy of the workspace is.
const PLACE: &str = "target/bugs";
/// What the canary is called: the healthy tree that must pass, and the bug nobody can miss.
const HEALTHY: &str = "healthy";
/// Seeds from one start to the next.
const START_DISTANCE: u64 = 1_000_000;
/// Real time for one sweep; a bug that needs more is not found.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Walks that are tried, of each kind.
const WALKS: u64 = 2_000;
/// Real time for all of them.
const WALKS_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What `--quick` means.
const QUICK_STARTS: u64 = 1;
const QUICK_SEEDS: u64 = 200;
/// One bug of so many, by name.
const QUICK_EACH: usize = 6;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each sim/bugs/NAME.patch is applied to a copy of the workspace below target/bugs, built, and swept
with all ordinary scenarios. It fails (1) if a bug is not found from every start, if what found it
cannot explain it, or if its patch does not apply or compile. With no names the healthy tree is
swept first, which must find nothing, and then a bug that nobody can miss.

Examples:
  cargo sim bugs
  cargo sim bugs rc_001_second_subscribe rc_012_invalidation_while_connecting
  cargo sim bugs --quick --json bugs.json
  cargo sim bugs --technique-seeds 0          without the columns of techniques: much sooner
  cargo sim bugs --settled bugs.json --json bugs.json        goes on where it was interrupted
  cargo sim bugs rc_001_second_subscribe --shrink-seconds 60 --settled bugs.json --json bugs.json
  cargo sim bugs --list")]
pub(super) struct Arguments {
    /// The bugs, by the names of their files; none: all
    names: Vec<String>,
    /// Sweep each from so many first seeds
    #[arg(long, default_value_t = NonZeroU64::new(5).expect("not zero"))]
    starts: NonZeroU64,
    /// Try so many seeds of every scenario from each start
    #[arg(long, default_value_t = NonZeroU64::new(2_000).expect("not zero"))]
    seeds_max: NonZeroU64,
    /// Shrink the first finding of each bug for so many seconds; 0: not at all
    #[arg(long, default_value_t = 20)]
    shrink_seconds: u64,
    /// Sweep also with techniques left out, and walk: so many seeds each, from the first start on;
    /// 0: not at all
    #[arg(long, default_value_t = 100)]
    technique_seeds: u64,
    /// For CI: one start, 200 seeds, nothing is shrunk, all techniques together, and with no names
    /// every sixth bug
    #[arg(long)]
    quick: bool,
    /// Seeds of every scenario that the healthy tree must pass
    #[arg(long, default_value_t = NonZeroU64::new(20).expect("not zero"))]
    healthy_seeds: NonZeroU64,
    /// Take over what this file, written with --json, has as found, and measure the others; or
    /// those that are named, whatever it has of them
    #[arg(long, value_name = "FILE")]
    settled: Option<PathBuf>,
    /// Write the results for programs to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to this file, as a page to be kept
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Only list the bugs, those that are known not to be found included
    #[arg(long)]
    list: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let result = if arguments.list { list() } else { measure_all(arguments) };
    result.unwrap_or_else(|problem| complain(&problem))
}

fn list() -> Result<ExitCode, String> {
    for bug in bugs_in(Path::new(BUGS))? {
        say!("{:<7} {:<36} {}", bug.preamble.race, bug.name, bug.preamble.bug);
    }
    for bug in bugs_in(Path::new(UNFOUND)).unwrap_or_default() {
        let why = bug.preamble.unfound.as_deref().unwrap_or("no reason is given");
        say!("{:<7} {:<36} {}", bug.preamble.race, bug.name, bug.preamble.bug);
        say!("{:<7} not found: {why}", "");
    }
    Ok(ExitCode::SUCCESS)
}

fn measure_all(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut bugs = chosen(&arguments.names)?;
    if arguments.quick && arguments.names.is_empty() {
        bugs = bugs.into_iter().step_by(QUICK_EACH).collect();
    }
    let starts = if arguments.quick { QUICK_STARTS } else { arguments.starts.get() };
    let mut rows = settled(arguments, starts)?;
    bugs.retain(|bug| rows.iter().all(|row| row.bug.name != bug.name));
    let scenarios = ordinary_scenarios()?;
    let scratch = Scratch::open(PLACE)?;
    let mut bench = Bench {
        suspect: Suspect { program: scratch.program(), tree: scratch.tree(), scenarios },
        scratch,
        starts,
        seeds: if arguments.quick { QUICK_SEEDS } else { arguments.seeds_max.get() },
        shrink_seconds: if arguments.quick { 0 } else { arguments.shrink_seconds },
        technique_seeds: if arguments.quick { 0 } else { arguments.technique_seeds },
        progress: Progress::start(),
        done: 0,
        total: bugs.len() as u64,
    };
    if arguments.names.is_empty() {
        bench.total += 2;
        if let Err(why) = bench.canary(arguments.healthy_seeds.get()) {
            bench.progress.end();
            eprintln!("the canary: {why}");
            return Ok(ExitCode::FAILURE);
        }
    }
    write(arguments, &mut rows)?;
    for bug in bugs {
        let row = bench.row(bug);
        bench.progress.say(table::table(std::slice::from_ref(&row)).lines().nth(1).unwrap_or(""));
        rows.push(row);
        // After each, so that what was measured outlives an interruption.
        write(arguments, &mut rows)?;
    }
    bench.progress.end();
    print!("{}", table::table(&rows));
    let techniques = table::techniques(&rows);
    if !techniques.is_empty() {
        say!("\nseeds or walks until found, technique by technique:\n{techniques}");
    }
    let good = rows.iter().filter(|row| row.judgement() == Judgement::Found).count();
    let seconds = bench.progress.elapsed().as_secs();
    say!("{good} of {} bugs found and explained, in {seconds} s", rows.len());
    Ok(if good == rows.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What need not be measured again: all that was found, but for those that are named.
fn settled(arguments: &Arguments, starts: u64) -> Result<Vec<Row>, String> {
    let Some(file) = &arguments.settled else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let mut settled: BTreeMap<String, Measured> = table::settled(&text, starts)
        .map_err(|problem| format!("{}: {problem}", file.display()))?;
    let unnamed = chosen(&[])?.into_iter().filter(|bug| !arguments.names.contains(&bug.name));
    let rows = unnamed.filter_map(|bug| {
        let measured = settled.remove(&bug.name)?;
        Some(Row { bug, measured })
    });
    Ok(rows.collect())
}

/// Writes down what was measured, by name.
fn write(arguments: &Arguments, rows: &mut [Row]) -> Result<(), String> {
    rows.sort_by(|a, b| a.bug.name.cmp(&b.bug.name));
    if let Some(path) = &arguments.json {
        write_whole(path, table::json(rows)?.as_bytes())?;
    }
    if let Some(path) = &arguments.page {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let page = table::page(rows, &format!("cargo sim {}", words.join(" ")));
        write_whole(path, page.as_bytes())?;
    }
    Ok(())
}

/// The bugs that were named, also those that are known not to be found; none: all that must be.
fn chosen(names: &[String]) -> Result<Vec<Bug>, String> {
    let bugs = bugs_in(Path::new(BUGS))?;
    if names.is_empty() {
        return Ok(bugs);
    }
    let unfound = bugs_in(Path::new(UNFOUND)).unwrap_or_default();
    let known: Vec<Bug> = bugs.into_iter().chain(unfound).collect();
    let find = |name: &String| {
        let bug = known.iter().find(|bug| bug.name == *name).cloned();
        bug.ok_or_else(|| format!("there is no bug `{name}`: `cargo sim bugs --list` has them all"))
    };
    names.iter().map(find).collect()
}

/// Scenarios that a healthy gateway passes. Regressions are no such: each was made of one failure.
pub(super) fn ordinary_scenarios() -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for file in scenarios_in(Path::new(SCENARIOS))? {
        let playable = Playable::load(&file).map_err(|error| error.to_string())?;
        if playable.expect().is_pass() {
            files.push(file);
        }
    }
    Ok(files)
}

/// Where bugs are measured, one after the other.
struct Bench {
    scratch: Scratch,
    suspect: Suspect,
    starts: u64,
    seeds: u64,
    shrink_seconds: u64,
    technique_seeds: u64,
    progress: Progress,
    done: u64,
    total: u64,
}

impl Bench {
    fn row(&mut self, bug: Bug) -> Row {
        let measured = self
            .measure(&bug.name, Some(&bug.patch))
            .unwrap_or_else(|why| Measured { broken: Some(why), ..Measured::default() });
        Row { bug, measured }
    }

    /// Proves that the chain can fail both ways: a healthy tree counts as not found, and a bug
    /// that is in every simulation is found by the first seed.
    fn canary(&mut self, seeds: u64) -> Result<(), String> {
        let old = (self.starts, self.seeds, self.shrink_seconds, self.technique_seeds);
        (self.starts, self.seeds, self.shrink_seconds, self.technique_seeds) = (1, seeds, 0, 0);
        let healthy = self.measure(HEALTHY, None)?;
        match Judgement::of(&healthy, &BTreeSet::new()) {
            Judgement::NotFound(1) => {}
            _ => {
                let found = healthy.starts.into_iter().flatten().next();
                let what = found.map_or_else(String::new, |found| {
                    format!("{} --seed {}: {}", found.file, found.seed, found.text)
                });
                return Err(format!("the healthy tree fails: {what}"));
            }
        }
        let row = self.row(Bug::load(Path::new(CANARY))?);
        (self.starts, self.seeds, self.shrink_seconds, self.technique_seeds) = old;
        match (row.judgement(), row.measured.seeds_median()) {
            (Judgement::Found, Some(1)) => {}
            (judgement, _) => {
                return Err(format!("a bug that nobody can miss is missed: {judgement:?}"));
            }
        }
        // What cannot explain it must not be taken for an explanation.
        match Judgement::of(&row.measured, &BTreeSet::new()) {
            Judgement::Unexplained(_) => Ok(()),
            judgement => Err(format!("a finding that explains nothing is taken as {judgement:?}")),
        }
    }

    fn measure(&mut self, name: &str, patch: Option<&Path>) -> Result<Measured, String> {
        let result = self.measure_steps(name, patch);
        self.done += 1;
        result
    }

    fn measure_steps(&mut self, name: &str, patch: Option<&Path>) -> Result<Measured, String> {
        let Self { scratch, suspect, progress, done, total, .. } = self;
        let mut show = |words: &str| progress.show(*done, *total, &format!("{name}: {words}"));
        scratch.restore()?;
        if let Some(patch) = patch {
            scratch.apply(patch)?;
        }
        scratch.build(&mut || show("building"))?;
        let mut measured = Measured::default();
        let json = scratch.file("sweep.json");
        for start in 0..self.starts {
            let words = format!("sweeping, start {} of {}", start + 1, self.starts);
            let from = 1 + start * START_DISTANCE;
            let turn = &mut || show(&words);
            let span = Span { from, seeds: self.seeds, without: "" };
            measured.starts.push(suspect.sweep(span, PATIENCE, &json, turn)?);
            // One start without a finding decides.
            if measured.starts.last().is_some_and(Option::is_none) {
                break;
            }
        }
        let first = measured.starts.iter().flatten().next();
        if let Some(found) = first.filter(|_| self.shrink_seconds > 0) {
            let out = scratch.file(&format!("{name}.yaml"));
            let turn = &mut || show("shrinking");
            let shrunk = suspect.shrink(found, self.shrink_seconds, &out, turn);
            measured.shrunk = Some(shrunk);
        }
        if self.technique_seeds > 0 {
            let found = measured.starts.first().and_then(Option::as_ref).map(|found| found.seeds);
            measured.techniques = Some(self.techniques(name, found));
        }
        Ok(measured)
    }

    /// `found`: the seed at which everything together has found it.
    fn techniques(&mut self, name: &str, found: Option<u64>) -> Techniques {
        let Self { scratch, suspect, progress, done, total, technique_seeds: seeds, .. } = self;
        let seeds = *seeds;
        let mut show = |words: &str| progress.show(*done, *total, &format!("{name}: {words}"));
        let mut sweep = |without: &'static str| {
            let turn = &mut || show(&format!("without {without}"));
            let span = Span { from: 1, seeds, without };
            let found = suspect.sweep(span, PATIENCE, &scratch.file("sweep.json"), turn);
            Reach::of(found.map(|found| found.map(|found| found.seeds)), seeds)
        };
        let (network, task_order) = (sweep("task-order,yields"), sweep("yields"));
        let mut walk = |delivery| {
            let turn = &mut || show("walking");
            let out = scratch.file("walk.txt");
            Reach::of(suspect.walk(delivery, WALKS, WALKS_PATIENCE, &out, turn), WALKS)
        };
        let (walk, delivery) = (walk(false), walk(true));
        let yields = Reach::of(Ok(found), self.seeds);
        Techniques { network, task_order, yields, walk, delivery }
    }
}
