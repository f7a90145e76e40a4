//! How often each fault struck in a sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::fault::FaultKind;
use crate::history::Counters;
use crate::scenario::Scenario;

/// Hits of each scenario.
pub(super) struct Tally(Vec<Mutex<BTreeMap<FaultKind, u64>>>);

impl Tally {
    pub fn new(stories: usize) -> Self {
        Self((0..stories).map(|_| Mutex::default()).collect())
    }

    /// Adds what struck in one simulation of a scenario.
    pub fn add(&self, story: usize, counters: &Counters) {
        let mut hits = self.0[story].lock().unwrap_or_else(PoisonError::into_inner);
        for (fault, count) in &counters.faults {
            *hits.entry(*fault).or_default() += count;
        }
    }

    /// All hits, in one line; `None` if there were none.
    pub fn summary(&self) -> Option<String> {
        let mut all: BTreeMap<FaultKind, u64> = BTreeMap::new();
        for hits in &self.0 {
            for (fault, count) in &*hits.lock().unwrap_or_else(PoisonError::into_inner) {
                *all.entry(*fault).or_default() += count;
            }
        }
        let shown: Vec<String> =
            all.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        (!shown.is_empty()).then(|| format!("faults: {}", shown.join(", ")))
    }

    /// What a scenario asks for and never got: it was not tested.
    pub fn never_struck(&self, story: usize, scenario: &Scenario) -> BTreeSet<FaultKind> {
        let hits = self.0[story].lock().unwrap_or_else(PoisonError::into_inner);
        scenario.asks_for().into_iter().filter(|fault| !hits.contains_key(fault)).collect()
    }
}
