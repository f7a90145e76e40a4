//! What is said of a sweep, to people and to programs.

use serde::Serialize;

use super::orders::Orders;
use super::tally::{Failure, Tally};
use super::work::Work;
use crate::cli::chosen::{next_commands, shown};
use crate::fault::FaultKind;

/// Failures that are shown in full; more are counted.
pub const FAILURES_SHOWN_MAX: usize = 10;

/// For people.
pub fn print(work: &Work, tally: &Tally, orders: &Orders) {
    for failure in tally.failures.values().take(FAILURES_SHOWN_MAX) {
        let file = work.stories()[failure.story].file.display();
        println!("{file} seed {}: {}", failure.seed, failure.text);
        commands(work, failure).iter().for_each(|command| println!("  {command}"));
    }
    if tally.failures.len() > FAILURES_SHOWN_MAX {
        println!("and {} more", tally.failures.len() - FAILURES_SHOWN_MAX);
    }
    let faults: Vec<String> =
        tally.all_faults().iter().map(|(fault, hits)| format!("{fault} {hits}")).collect();
    if let Some(interleavings) = orders.summary() {
        println!("{interleavings}");
    }
    if !faults.is_empty() {
        println!("faults: {}", faults.join(", "));
    }
    for (at, story) in work.stories().iter().enumerate() {
        let hits = tally.faults.get(&at);
        let missed = |fault: &FaultKind| hits.is_none_or(|hits| !hits.contains_key(fault));
        for fault in story.playable.asks_for().into_iter().filter(missed) {
            println!("{}: {fault} never struck", story.file.display());
        }
    }
    let (played, total) = (tally.done.count(), work.total());
    let early = if played < total {
        format!("stopped early, {total} were planned; ")
    } else {
        String::new()
    };
    let seeds = work.stories().iter().map(|story| work.seeds_of(story)).max().unwrap_or_default();
    println!(
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
    next_commands(&shown(&story.file, Some(&story.playable), failure.seed, work.network))
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
    counters: &'a std::collections::BTreeMap<String, u64>,
    faults: std::collections::BTreeMap<FaultKind, u64>,
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
        timing: Timing { took_ms: tally.took_ms, seeds_per_second: rate(tally) },
    };
    let text = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}
