//! `cargo sim run`

use std::path::PathBuf;
use std::process::ExitCode;

use super::chosen::{Chosen, next_commands};
use super::stopwatch::Stopwatch;
use super::{complain, real};
use crate::history::Counters;
use crate::plan::Plan;
use crate::verdict::Verdict;
use crate::world::{self, Options, Outcome};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo sim run scenarios/smoke.yaml --seed 7
  cargo sim run scenarios/smoke.yaml --seed 7 --real
  cargo sim run scenarios/rc_003.yaml --real --binary target/release/tickgate

With --real the exit code is the verdict of both, or 7 if they disagree.")]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Write the whole trace to this file; with --real, that of the run in real time
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Say nothing if it passes
    #[arg(long)]
    quiet: bool,
    /// Another number, other orders of hash maps and other masks
    #[arg(long, hide = true, default_value_t = 0)]
    salt: u64,
    #[command(flatten)]
    real: real::Mode,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Arguments { chosen, trace, quiet, salt, real } = arguments;
    let plan = match chosen.plan() {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if real.real {
        let told = real::Told { chosen, plan: &plan, trace: trace.as_deref(), quiet: *quiet };
        return real.run(&told);
    }
    let file = &chosen.file;
    let stopwatch = Stopwatch::start();
    let outcome = world::play(&plan, Options { keep_trace: true, salt: *salt });
    if let Some(path) = trace
        && let Err(error) = std::fs::write(path, outcome.trace.as_deref().unwrap_or_default())
    {
        return complain(&format!("cannot write {}: {error}", path.display()));
    }
    let verdict = Verdict::of(&outcome);
    if verdict.passed() && *quiet {
        return verdict.exit_code();
    }
    say!("{} seed {}: {verdict}{}", file.display(), plan.seed, remark(&plan, &verdict));
    if !verdict.passed() {
        say!("  what led to it:");
        for line in last_lines(&verdict, &outcome) {
            say!("    {line}");
        }
    }
    let real_ms = stopwatch.elapsed().as_millis();
    let simulated_ms = outcome.ended_us / 1_000;
    say!("  {}", summary(&outcome.counters));
    let hash = outcome.trace_hash.unwrap_or_default();
    say!("  {simulated_ms} ms simulated in {real_ms} ms, trace {hash:016x}");
    if !verdict.passed() {
        let chosen = chosen.shown(plan.seed);
        say!("take it apart with");
        next_commands(&chosen).iter().for_each(|command| say!("  {command}"));
    }
    verdict.exit_code()
}

/// The lines that show the failure: up to its moment, if it has one.
pub(super) fn last_lines<'a>(verdict: &'a Verdict, outcome: &'a Outcome) -> &'a [String] {
    match verdict {
        Verdict::Violated(violation) => &violation.recent,
        Verdict::Passed | Verdict::Stuck(_) | Verdict::Crashed(_) => &outcome.recent,
    }
}

/// What is to be said if the file expects something, on a line of its own.
pub(super) fn remark(plan: &Plan, verdict: &Verdict) -> String {
    plan.expect.remark(verdict).map_or(String::new(), |text| format!("\n  ({text})"))
}

pub(super) fn summary(counters: &Counters) -> String {
    let Counters {
        connections,
        departures: _,
        lost,
        requests,
        garbage: _,
        answers,
        published,
        ticks,
        orders,
        broker_calls,
        broker_failures,
        sessions_lost,
        invalidations,
        events,
        faults,
    } = counters;
    let faults: Vec<String> =
        faults.iter().map(|(fault, hits)| format!("{fault} {hits}")).collect();
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
    format!(
        "{connections} connections ({lost} lost), {requests} requests, {answers} answers, \
         {published} ticks published, {ticks} read, {orders} orders read,\n  {broker_calls} \
         broker calls ({broker_failures} failed or late), {sessions_lost} sessions lost, \
         {invalidations} invalidations, {events} events,\n  faults: {faults}"
    )
}
