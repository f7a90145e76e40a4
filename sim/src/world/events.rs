//! A simulation that keeps its events, for those who show them.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Options, Outcome, play_judged};
use crate::history::Event;
use crate::invariant::{self, Held, Invariant};
use crate::plan::Plan;

/// Plays a plan and keeps every event, up to the one that broke an invariant.
#[must_use]
pub fn play_keeping_events(plan: &Plan) -> (Outcome, Vec<Event>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    // The first of all, so that it sees the event that breaks another.
    let mut invariants: Vec<Box<dyn Invariant>> = vec![Box::new(Keeper(Arc::clone(&events)))];
    invariants.extend(invariant::all(plan));
    let outcome = play_judged(plan, Options::default(), invariants);
    let mut kept = events.lock().unwrap_or_else(PoisonError::into_inner);
    (outcome, std::mem::take(&mut *kept))
}

/// Is content with everything and remembers it.
struct Keeper(Arc<Mutex<Vec<Event>>>);

impl Invariant for Keeper {
    fn name(&self) -> &'static str {
        "kept"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.overhear(event);
        Ok(())
    }

    fn overhear(&mut self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}
