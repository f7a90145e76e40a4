//! `cargo sim mutants`

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::bugs::ordinary_scenarios;
use super::complain;
use super::progress::Progress;
use super::sweep::write_whole;
use crate::bugs::scratch::Scratch;
use crate::mutants::Fate;
use crate::mutants::build::{Programs, Workshop};
use crate::mutants::explained::{self, Explained};
use crate::mutants::judge::{Court, Effort, Judge};
use crate::mutants::list::{self, Mutant};
use crate::mutants::table::{self, Row};

/// Where the copy of the workspace is.
const PLACE: &str = "target/mutants";
/// A mutant that no judge can miss.
const CANARY: &str = "src/engine/hub/mod.rs: replace Hub::settle with ()";
/// Pause between two looks at the progress.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A mutant is one small change to src/engine: a body replaced by a constant, `<` by `>`, `&&` by `||`,
a guard by `true`. cargo-mutants lists them. All are written into one copy of the workspace below
target/mutants, each behind its number, so that one build holds all of them; what does not compile
together with the others is tried alone. Each is then put before the engine's tests, walks of the
hub, walks with feed, shards and outboxes, and a sweep of the ordinary scenarios, until one of them
fails, crashes or does not end in ten times its time. First all four must pass without a mutant,
and notice one that nobody can miss.

A survivor is a hole in the tests, or it makes no difference that anybody could see: then
sim/mutants/explained.txt says why. It fails (1) if one survives that is not explained there.

Needs cargo-mutants, or a list that it has made:
  cargo install --locked cargo-mutants --version 27.1.0

Examples:
  cargo sim mutants
  cargo sim mutants src/engine/outbox.rs Hub::settle
  cargo sim mutants --settled target/before.json --json target/after.json
  cargo sim mutants --json target/mutants.json --page sim/mutants/MEASURED.md")]
pub(super) struct Arguments {
    /// Only mutants that have one of these words in their names: a file, a function, an operator
    words: Vec<String>,
    /// Take the mutants from this file: what `cargo mutants --list --json` has printed
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Walks of each of the two kinds
    #[arg(long, default_value_t = NonZeroU64::new(1_000).expect("not zero"))]
    walks: NonZeroU64,
    /// Seeds of every ordinary scenario
    #[arg(long, default_value_t = NonZeroU64::new(3).expect("not zero"))]
    seeds: NonZeroU64,
    /// Judge so many mutants at once
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    jobs: NonZeroUsize,
    /// Do not judge again whom this file, written with --json, has as caught or as not compiling:
    /// for after tests were added
    #[arg(long, value_name = "FILE")]
    settled: Option<PathBuf>,
    /// Write the results for programs to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results to this file, as a page to be kept
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    measure(arguments).unwrap_or_else(|problem| complain(&problem))
}

fn measure(arguments: &Arguments) -> Result<ExitCode, String> {
    let explained = Explained::parse(&read(Path::new(explained::FILE))?)
        .map_err(|problem| format!("{}: {problem}", explained::FILE))?;
    let settled = arguments.settled.as_deref().map(read).transpose()?;
    let settled = settled.map_or_else(|| Ok(BTreeMap::new()), |text| table::settled(&text))?;
    let all = arguments.list.as_deref().map_or_else(list::listed, list::load)?;
    let (mutants, canary) = chosen(&all, &arguments.words)?;
    let effort = Effort {
        walks: arguments.walks.get(),
        seeds: arguments.seeds.get(),
        scenarios: ordinary_scenarios()?,
    };
    let scratch = Scratch::open(PLACE)?;
    let mut run = Run {
        workshop: Workshop::open(&scratch, &all)?,
        progress: Progress::start(),
        total: mutants.len() as u64,
        rows: Vec::new(),
        explained,
        arguments,
    };
    let mut open = Vec::new();
    for mutant in mutants {
        match settled.get(&mutant.label).cloned() {
            Some(fate) => run.rows.push(Row { mutant, fate }),
            None => open.push(mutant),
        }
    }
    run.judge_all(open, canary, effort)?;
    run.progress.end();
    say!("{}", table::summary(&run.rows).trim_end());
    say!("in {} s", run.progress.elapsed().as_secs());
    let open = table::unexplained(&run.rows, &run.explained).len();
    if arguments.words.is_empty() {
        run.name_idle_explanations();
    }
    if open == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    say!("{open} survivors are not explained in {}", explained::FILE);
    Ok(ExitCode::FAILURE)
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// The mutants that were asked for, and the one that nobody can miss.
fn chosen(all: &[Mutant], words: &[String]) -> Result<(Vec<Mutant>, Mutant), String> {
    let canary = all.iter().find(|mutant| mutant.label == CANARY);
    let canary = canary.cloned().ok_or(format!("the list has no mutant `{CANARY}`"))?;
    let is_chosen = |mutant: &&Mutant| {
        words.is_empty() || words.iter().any(|word| mutant.label.contains(word.as_str()))
    };
    let mutants: Vec<Mutant> = all.iter().filter(is_chosen).cloned().collect();
    if mutants.is_empty() {
        return Err(format!("no mutant has one of these in its name: {}", words.join(", ")));
    }
    Ok((mutants, canary))
}

struct Run<'a> {
    workshop: Workshop<'a>,
    progress: Progress,
    total: u64,
    rows: Vec<Row>,
    explained: Explained,
    arguments: &'a Arguments,
}

impl Run<'_> {
    fn judge_all(
        &mut self,
        mutants: Vec<Mutant>,
        canary: Mutant,
        effort: Effort,
    ) -> Result<(), String> {
        let number = canary.number;
        let only_proves = !mutants.contains(&canary);
        let mut planted = mutants;
        if only_proves {
            planted.push(canary);
        }
        let (programs, alone) = self.plant(&mut planted)?;
        planted.retain(|mutant| !(only_proves && mutant.number == number));
        let mut court = Court::new(programs, effort);
        self.prove(&mut court, number)?;
        self.judge_together(planted, &court)?;
        for mutant in alone {
            let fate = self.judge_alone(&mutant, &mut court).unwrap_or_else(|why| {
                Fate::NotTried(why.lines().next().unwrap_or_default().to_owned())
            });
            self.done(Row { mutant, fate })?;
        }
        Ok(())
    }

    /// Builds programs with the mutants. Leaves those in `mutants` that are in them, and gives
    /// those that need programs of their own.
    fn plant(&mut self, mutants: &mut Vec<Mutant>) -> Result<(Programs, Vec<Mutant>), String> {
        let Self { workshop, progress, total, .. } = self;
        let total = *total;
        let mut show = |words: &str| progress.show(0, total, words);
        let planted = workshop.plant(mutants, &mut || show("which of them compile"))?;
        let (mut rows, mut alone) = (Vec::new(), Vec::new());
        let mut out: BTreeSet<u32> = planted.refused.clone();
        for (number, why) in &planted.left_out {
            let mutant = mutants.iter().find(|mutant| mutant.number == *number).cloned();
            let fate = Fate::NotTried(why.clone());
            rows.extend(mutant.map(|mutant| Row { mutant, fate }));
            out.insert(*number);
        }
        for mutant in mutants.iter().filter(|mutant| planted.refused.contains(&mutant.number)) {
            let words = format!("alone: {}", mutant.label);
            let mutant = mutant.clone();
            if workshop.compiles_alone(&mutant, &mut || show(&words))? {
                alone.push(mutant);
            } else {
                rows.push(Row { mutant, fate: Fate::NotViable });
            }
        }
        mutants.retain(|mutant| !out.contains(&mutant.number));
        workshop.plant(mutants, &mut || show("writing all that compile"))?;
        let programs = workshop.build(&mut || show("building"))?;
        rows.into_iter().try_for_each(|row| self.done(row))?;
        Ok((programs, alone))
    }

    /// Proves that the chain can fail both ways.
    fn prove(&mut self, court: &mut Court, canary: u32) -> Result<(), String> {
        let (progress, total) = (&mut self.progress, self.total);
        let mut show = |words: &str| progress.show(0, total, words);
        court.see_healthy(&mut |judge| show(&format!("without a mutant: {}", judge.word())))?;
        for judge in Judge::ALL {
            let turn = &mut || show(&format!("one that nobody can miss: {}", judge.word()));
            if court.notices(judge, canary, turn)?.is_none() {
                return Err(format!("{} misses a mutant that nobody can miss", judge.word()));
            }
        }
        Ok(())
    }

    /// Judges mutants that are in the same programs, some at once.
    fn judge_together(&mut self, mutants: Vec<Mutant>, court: &Court) -> Result<(), String> {
        let next = AtomicUsize::new(0);
        let (send, receive) = mpsc::sync_channel(self.arguments.jobs.get());
        std::thread::scope(|scope| {
            for _ in 0..self.arguments.jobs.get() {
                let (send, next, mutants) = (send.clone(), &next, &mutants);
                scope.spawn(move || {
                    while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let fate = court.judge(mutant.number);
                        // Nobody listens once something is broken.
                        if send.send((mutant.clone(), fate)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            self.receive(receive)
        })
    }

    /// Takes the receiver with it: the workers stop once nobody listens.
    fn receive(&mut self, receive: Receiver) -> Result<(), String> {
        loop {
            match receive.recv_timeout(LOOK_PAUSE) {
                Ok((mutant, caught)) => {
                    let fate = caught?.map_or(Fate::Survived, Fate::Caught);
                    self.done(Row { mutant, fate })?;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let survivors = table::Sums::of(&self.rows).survived;
            let words = format!("judged, {survivors} survived");
            self.progress.show(self.rows.len() as u64, self.total, &words);
        }
    }

    /// Judges a mutant with programs of its own, in which it always lives. Most are noticed by the
    /// tests, which are sooner built than the simulator.
    fn judge_alone(&mut self, mutant: &Mutant, court: &mut Court) -> Result<Fate, String> {
        let Self { workshop, progress, total, rows, .. } = self;
        let words = format!("alone: {}", mutant.label);
        let mut show = || progress.show(rows.len() as u64, *total, &words);
        workshop.compiles_alone(mutant, &mut show)?;
        court.turn_to_tests(workshop.build_tests(&mut show)?);
        if let Some(caught) = court.notices(Judge::Tests, mutant.number, &mut show)? {
            return Ok(Fate::Caught(caught));
        }
        court.turn_to(workshop.build(&mut show)?);
        Ok(court.judge(mutant.number)?.map_or(Fate::Survived, Fate::Caught))
    }

    /// After each mutant, so that what was found outlives an interruption.
    fn done(&mut self, row: Row) -> Result<(), String> {
        match &row.fate {
            Fate::Survived | Fate::NotTried(_) => self.progress.say(&table::line(&row)),
            Fate::Caught(_) | Fate::NotViable => {}
        }
        self.rows.push(row);
        if let Some(path) = &self.arguments.json {
            write_whole(path, table::json(&self.rows, &self.explained)?.as_bytes())?;
        }
        if let Some(path) = &self.arguments.page {
            let words: Vec<String> = std::env::args().skip(1).collect();
            let command = format!("cargo sim {}", words.join(" "));
            let page = table::page(&self.rows, &self.explained, &command);
            write_whole(path, page.as_bytes())?;
        }
        Ok(())
    }

    /// Explanations of what did not survive.
    fn name_idle_explanations(&self) {
        let survives = |label: &str| {
            let mut open = self
                .rows
                .iter()
                .filter(|row| matches!(row.fate, Fate::Survived | Fate::NotTried(_)));
            open.any(|row| row.mutant.label == label)
        };
        for label in self.explained.labels().filter(|label| !survives(label)) {
            say!("explained in vain: {label}");
        }
    }
}

/// What the workers have found out.
type Receiver = mpsc::Receiver<(Mutant, Result<Option<crate::mutants::judge::Caught>, String>)>;
