//! What became of a simulation.

use std::cell::RefCell;
use std::sync::Once;

use crate::actors::Stage;
use crate::history::{Counters, Violation};

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
    /// The hash of the trace.
    pub trace_hash: u64,
    /// The last lines of the trace.
    pub recent: Vec<String>,
    /// The whole trace, if it was asked for.
    pub trace: Option<String>,
}

/// A panic, or a part of the world that ended on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// What was said.
    pub message: String,
    /// File and line, if known.
    pub place: String,
}

impl Outcome {
    pub(super) fn of(stage: &Stage, crash: Option<Crash>) -> Self {
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
        }
    }

    pub(super) fn without_history(why: String) -> Self {
        Self { stuck: Some(why), ..Self::default() }
    }
}

thread_local! {
    static FIRST_PANIC: RefCell<Option<Crash>> = const { RefCell::new(None) };
    static IN_SIMULATION: RefCell<bool> = const { RefCell::new(false) };
}

/// From now on, panics of this thread are remembered instead of printed.
pub(super) fn catch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IN_SIMULATION.with_borrow(|inside| *inside) {
                return print(info);
            }
            let payload = info.payload();
            let message = payload
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "a panic without words".into());
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
            // The first one is the cause; the network panics after it.
            FIRST_PANIC.with_borrow_mut(|first| {
                first.get_or_insert(Crash { message, place: place.unwrap_or_default() });
            });
        }));
    });
    IN_SIMULATION.set(true);
}

pub(super) fn last_panic() -> Crash {
    FIRST_PANIC.take().unwrap_or_default()
}
