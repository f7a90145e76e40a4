//! How many interleavings a sweep has reached. Not kept from sitting to sitting: it would be most
//! of the journal.

use std::collections::BTreeSet;

use crate::runtime::Interleavings;

/// Orders in which the gateway's tasks ran.
#[derive(Default)]
pub struct Orders {
    simulations: u64,
    /// Of all polls of a simulation.
    whole: BTreeSet<u64>,
    /// Of four polls.
    runs: Interleavings,
}

impl Orders {
    /// Takes in a simulation.
    pub fn add(&mut self, seen: &Interleavings) {
        self.simulations += 1;
        self.whole.insert(seen.order());
        self.runs.merge(seen);
    }

    /// In one line, for people; `None` if nothing was played.
    pub fn summary(&self) -> Option<String> {
        let per_thousand = (self.whole.len() as u64 * 1_000).checked_div(self.simulations)?;
        Some(format!(
            "interleavings: {per_thousand} different orders of the gateway's tasks per 1,000 \
             seeds, {} different runs of four polls",
            self.runs.runs()
        ))
    }
}
