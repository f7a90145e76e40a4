//! What a search has reached: rare situations, states in which events arrived, operations that met
//! faults.
//!
//! The first two are counted by the gateway itself, on the thread of the simulation.

mod corpus;
mod encounters;
mod feature;
mod operation;

use serde::{Deserialize, Serialize};
use tickgate::marks::{Mark, Pair, Reached};
use xxhash_rust::xxh3::xxh3_64;

pub use corpus::{Corpus, Entry};
pub use encounters::{Encounters, MET, NEAR_US};
pub use feature::Feature;
pub use operation::{Operation, operations};

use crate::fault::FaultKind;

/// Counts of one simulation, or of many. Sums do not depend on their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// In the order of [`Mark::ALL`]; empty: nothing was played.
    marks: Vec<u64>,
    /// In the order of [`Pair::all`].
    pairs: Vec<u64>,
    /// By operation, then by fault.
    met: Vec<u64>,
}

impl Coverage {
    /// Of one simulation.
    #[must_use]
    pub fn of(reached: &Reached, met: &[u64]) -> Self {
        let wide = |counts: &[u32]| counts.iter().copied().map(u64::from).collect();
        Self { marks: wide(&reached.marks), pairs: wide(&reached.pairs), met: met.to_vec() }
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        let sum = |own: &mut Vec<u64>, other: &[u64]| {
            own.resize(own.len().max(other.len()), 0);
            own.iter_mut().zip(other).for_each(|(own, other)| *own = own.saturating_add(*other));
        };
        sum(&mut self.marks, &other.marks);
        sum(&mut self.pairs, &other.pairs);
        sum(&mut self.met, &other.met);
    }

    /// How often a situation was met.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> u64 {
        self.marks.get(mark as usize).copied().unwrap_or_default()
    }

    /// How often an event found a state.
    #[must_use]
    pub fn pair(&self, pair: Pair) -> u64 {
        self.pairs.get(pair.number()).copied().unwrap_or_default()
    }

    /// How often an operation met a fault.
    #[must_use]
    pub fn met(&self, operation: Operation, fault: FaultKind) -> u64 {
        self.met.get(encounters::number(operation, fault)).copied().unwrap_or_default()
    }

    /// Whether this was reached.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::Mark(mark) => self.mark(mark) > 0,
            Feature::Pair(pair) => self.pair(pair) > 0,
        }
    }

    /// Situations that were never met.
    #[must_use]
    pub fn marks_missed(&self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| self.mark(*mark) == 0).collect()
    }

    /// Possible pairs of state and event that were never reached.
    #[must_use]
    pub fn pairs_missed(&self) -> Vec<Pair> {
        Pair::all().filter(|pair| pair.is_possible() && self.pair(*pair) == 0).collect()
    }

    /// Pairs of state and event that were reached although they cannot be.
    #[must_use]
    pub fn pairs_impossible(&self) -> Vec<Pair> {
        Pair::all().filter(|pair| !pair.is_possible() && self.pair(*pair) > 0).collect()
    }

    /// Operations that never met a fault.
    #[must_use]
    pub fn never_met(&self) -> Vec<(Operation, FaultKind)> {
        let all = Operation::ALL
            .iter()
            .flat_map(|operation| FaultKind::ALL.iter().map(move |fault| (*operation, *fault)));
        all.filter(|(operation, fault)| self.met(*operation, *fault) == 0).collect()
    }

    /// How many possible pairs of state and event there are.
    #[must_use]
    pub fn pairs_known() -> usize {
        Pair::all().filter(|pair| pair.is_possible()).count()
    }

    /// A number that stands for all counts.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let counts = self.marks.iter().chain(&self.pairs).chain(&self.met);
        xxh3_64(&counts.flat_map(|count| count.to_le_bytes()).collect::<Vec<u8>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_adds_up_and_the_rest_is_named() {
        let mut reached = Reached::default();
        reached.marks[Mark::LateAnswer as usize] = 2;
        let one = Coverage::of(&reached, &[0; MET]);
        let mut sum = Coverage::default();
        assert_eq!(sum.marks_missed().len(), Mark::COUNT, "nothing was played");
        sum.add(&one);
        sum.add(&one);
        assert_eq!(sum.mark(Mark::LateAnswer), 4);
        assert!(!sum.marks_missed().contains(&Mark::LateAnswer));
        assert_eq!(sum.marks_missed().len(), Mark::COUNT - 1);
        assert_eq!(sum.pairs_missed().len(), Coverage::pairs_known());
        assert_eq!(sum.never_met().len(), MET);
        assert_ne!(sum.digest(), one.digest());
    }

    #[test]
    fn a_pair_that_cannot_be_is_told_apart() {
        let pair = Pair::all().find(|pair| !pair.is_possible()).expect("there are some");
        let mut reached = Reached::default();
        reached.pairs[pair.number()] = 1;
        assert_eq!(Coverage::of(&reached, &[]).pairs_impossible(), [pair]);
    }
}
