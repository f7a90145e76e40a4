//! How often each fault struck in a sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fault::FaultKind;
use crate::runtime::Interleavings;
use crate::scenario::Scenario;
use crate::world::Outcome;

/// What a sweep has reached.
pub(super) struct Tally {
    /// Hits of each scenario.
    hits: Vec<Mutex<BTreeMap<FaultKind, u64>>>,
    orders: Mutex<Orders>,
}

/// Orders in which the gateway's tasks ran.
#[derive(Default)]
struct Orders {
    simulations: u64,
    /// Of all polls of a simulation.
    whole: BTreeSet<u64>,
    /// Of four polls.
    runs: Interleavings,
}

impl Tally {
    pub fn new(stories: usize) -> Self {
        let hits = (0..stories).map(|_| Mutex::default()).collect();
        Self { hits, orders: Mutex::default() }
    }

    /// Adds what struck in one simulation of a scenario.
    pub fn add(&self, story: usize, outcome: &Outcome) {
        let mut hits = lock(&self.hits[story]);
        for (fault, count) in &outcome.counters.faults {
            *hits.entry(*fault).or_default() += count;
        }
        let mut orders = lock(&self.orders);
        orders.simulations += 1;
        orders.whole.insert(outcome.interleavings.order());
        orders.runs.merge(&outcome.interleavings);
    }

    /// How many interleavings were reached, in one line.
    pub fn interleavings(&self) -> String {
        let orders = lock(&self.orders);
        let per_thousand = orders.whole.len() as u64 * 1_000 / orders.simulations.max(1);
        format!(
            "interleavings: {per_thousand} different orders of the gateway's tasks per 1,000 \
             seeds, {} different runs of four polls",
            orders.runs.runs()
        )
    }

    /// All hits, in one line; `None` if there were none.
    pub fn summary(&self) -> Option<String> {
        let mut all: BTreeMap<FaultKind, u64> = BTreeMap::new();
        for hits in &self.hits {
            for (fault, count) in &*lock(hits) {
                *all.entry(*fault).or_default() += count;
            }
        }
        let shown: Vec<String> =
            all.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        (!shown.is_empty()).then(|| format!("faults: {}", shown.join(", ")))
    }

    /// What a scenario asks for and never got: it was not tested.
    pub fn never_struck(&self, story: usize, scenario: &Scenario) -> BTreeSet<FaultKind> {
        let hits = lock(&self.hits[story]);
        scenario.asks_for().into_iter().filter(|fault| !hits.contains_key(fault)).collect()
    }
}

/// A panic elsewhere ends the sweep anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
