//! What is said of a sweep, to people and to programs.

use std::collections::BTreeMap;

use serde::Serialize;
use tickgate::marks::{Mark, Pair};

use super::orders::Orders;
use super::tally::{Failure, Tally};
use super::work::Work;
use crate::cli::chosen::{next_commands, shown};
use crate::cli::demand;
use crate::coverage::{Coverage, Operation};
use crate::fault::FaultKind;

/// Failures that are shown in full; more are counted.
pub const FAILURES_SHOWN_MAX: usize = 10;

/// For people.
pub fn print(work: &Work, tally: &Tally, orders: &Orders) {
    for failure in tally.failures.values().take(FAILURES_SHOWN_MAX) {
        let file = work.stories()[failure.story].file.display();
        say!("{file} seed {}: {}", failure.seed, failure.text);
        commands(work, failure).iter().for_each(|command| say!("  {command}"));
    }
    if tally.failures.len() > FAILURES_SHOWN_MAX {
        say!("and {} more", tally.failures.len() - FAILURES_SHOWN_MAX);
    }
    let faults: Vec<String> =
        tally.all_faults().iter().map(|(fault, hits)| format!("{fault} {hits}")).collect();
    if let Some(interleavings) = orders.summary() {
        say!("{interleavings}");
    }
    if !faults.is_empty() {
        say!("faults: {}", faults.join(", "));
    }
    for (at, story) in work.stories().iter().enumerate() {
        let hits = tally.faults.get(&at);
        let missed = |fault: &FaultKind| hits.is_none_or(|hits| !hits.contains_key(fault));
        for fault in story.playable.asks_for().into_iter().filter(missed) {
            say!("{}: {fault} never struck", story.file.display());
        }
    }
    say!("{}", demand::in_short(&tally.coverage));
    demand::remarks(&tally.coverage).iter().for_each(|remark| say!("{remark}"));
    let (played, total) = (tally.done.count(), work.total());
    let early = if played < total {
        format!("stopped early, {total} were planned; ")
    } else {
        String::new()
    };
    let seeds = work.stories().iter().map(|story| work.seeds_of(story)).max().unwrap_or_default();
    say!(
        "{} scenarios, {seeds} seeds each: {} of {played} failed; {early}{:.1} s, {:.0} seeds/s, \
         digest {:016x}",
        work.stories().len(),
        tally.failures.len(),
        tally.took_ms as f64 / 1_000.0,
        rate(tally),
        tally.digest
    );
}

fn commands(work: &Work, failure: &Failure) -> [String; 3] {
    let story = &work.stories()[failure.story];
    let playable = Some(&story.playable);
    next_commands(&shown(&story.file, playable, failure.seed, work.network, &work.without))
}

fn rate(tally: &Tally) -> f64 {
    tally.done.count() as f64 / (tally.took_ms as f64 / 1_000.0).max(0.001)
}

#[derive(Serialize)]
struct Summary<'a> {
    played: u64,
    planned: u64,
    failed: u64,
    digest: String,
    simulated_ms: u64,
    scenarios: Vec<StorySummary>,
    failures: Vec<FailureSummary<'a>>,
    counters: &'a BTreeMap<String, u64>,
    faults: BTreeMap<FaultKind, u64>,
    coverage: Reached,
    timing: Timing,
}

#[derive(Serialize)]
struct StorySummary {
    file: String,
    seeds: u64,
    failed: u64,
}

#[derive(Serialize)]
struct FailureSummary<'a> {
    file: String,
    seed: u64,
    verdict: &'a str,
    invariant: Option<&'a str>,
    text: &'a str,
    commands: [String; 3],
}

/// How often everything was reached that can be.
#[derive(Serialize)]
struct Reached {
    marks: BTreeMap<&'static str, u64>,
    transitions: Vec<Transition>,
    /// By operation, then by fault.
    met: BTreeMap<&'static str, BTreeMap<FaultKind, u64>>,
}

#[derive(Serialize)]
struct Transition {
    machine: &'static str,
    state: &'static str,
    event: &'static str,
    hits: u64,
}

impl Reached {
    fn of(coverage: &Coverage) -> Self {
        let transition = |pair: Pair| Transition {
            machine: pair.machine(),
            state: pair.state(),
            event: pair.event(),
            hits: coverage.pair(pair),
        };
        let faults = |operation| {
            let hits = |fault| (fault, coverage.met(operation, fault));
            FaultKind::ALL.into_iter().map(hits).collect()
        };
        let operations = Operation::ALL.into_iter();
        Self {
            marks: Mark::ALL.iter().map(|mark| (mark.label(), coverage.mark(*mark))).collect(),
            transitions: Pair::all().filter(|pair| pair.is_possible()).map(transition).collect(),
            met: operations.map(|operation| (operation.label(), faults(operation))).collect(),
        }
    }
}

/// The only part that is not the same each time.
#[derive(Serialize)]
struct Timing {
    took_ms: u64,
    seeds_per_second: f64,
}

/// For programs.
pub fn json(work: &Work, tally: &Tally) -> Result<String, String> {
    let failed = |at| tally.failures.values().filter(|failure| failure.story == at).count() as u64;
    let scenarios = work.stories().iter().enumerate().map(|(at, story)| StorySummary {
        file: story.file.display().to_string(),
        seeds: work.seeds_of(story),
        failed: failed(at),
    });
    let failures = tally.failures.values().map(|failure| FailureSummary {
        file: work.stories()[failure.story].file.display().to_string(),
        seed: failure.seed,
        verdict: &failure.verdict,
        invariant: failure.invariant.as_deref(),
        text: &failure.text,
        commands: commands(work, failure),
    });
    let summary = Summary {
        played: tally.done.count(),
        planned: work.total(),
        failed: tally.failures.len() as u64,
        digest: format!("{:016x}", tally.digest),
        simulated_ms: tally.simulated_ms,
        scenarios: scenarios.collect(),
        failures: failures.collect(),
        counters: &tally.counters,
        faults: tally.all_faults(),
        coverage: Reached::of(&tally.coverage),
        timing: Timing { took_ms: tally.took_ms, seeds_per_second: rate(tally) },
    };
    let text = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}
