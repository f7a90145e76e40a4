//! What became of a simulation.

use crate::actors::Stage;
use crate::coverage::Coverage;
use crate::history::{Counters, Violation};
use crate::runtime::{Crash, Interleavings};

/// Everything there is to know after a simulation.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The first property that was broken.
    pub violation: Option<Violation>,
    /// Something panicked or ended that must not.
    pub crash: Option<Crash>,
    /// Why the simulation could not go on.
    pub stuck: Option<String>,
    /// How much of everything there was.
    pub counters: Counters,
    /// Simulated time, in microseconds, of the last event.
    pub ended_us: u64,
    /// The hash of the trace, if it was asked for.
    pub trace_hash: Option<u64>,
    /// The last lines of the trace.
    pub recent: Vec<String>,
    /// The whole trace, if it was asked for.
    pub trace: Option<String>,
    /// In which order the gateway's tasks ran.
    pub interleavings: Interleavings,
    /// What was reached on the way.
    pub coverage: Coverage,
}

impl Outcome {
    pub(super) fn of(stage: &Stage, crash: Option<Crash>, interleavings: Interleavings) -> Self {
        let mut recorder = stage.recorder();
        let done = stage.phase() == crate::history::Phase::Done;
        let quiet = crash.is_none() && recorder.violation().is_none();
        let stuck = recorder.stuck().or_else(|| {
            (quiet && !done).then(|| format!("the simulation never left `{}`", stage.phase()))
        });
        Self {
            violation: recorder.violation().cloned(),
            crash,
            stuck,
            counters: recorder.counters().clone(),
            ended_us: recorder.ended_us(),
            trace_hash: recorder.hash(),
            recent: recorder.recent(),
            trace: recorder.take_trace(),
            interleavings,
            coverage: Coverage::of(&tickgate::marks::reached(), recorder.met()),
        }
    }

    pub(super) fn without_history(why: String) -> Self {
        Self { stuck: Some(why), ..Self::default() }
    }
}
