//! What a sweep has found so far. It does not depend on the order in which simulations end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::coverage::Coverage;
use crate::expect::Expectation;
use crate::fault::FaultKind;
use crate::history::Counters;
use crate::verdict::Verdict;
use crate::world::Outcome;

/// Results of a sweep, finished or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Which simulations are done.
    pub done: Done,
    /// Those that did not end as expected, by number.
    pub failures: BTreeMap<u64, Failure>,
    /// Sums over all simulations.
    pub counters: BTreeMap<String, u64>,
    /// How often each fault struck, by the position of the file.
    #[serde(default)]
    pub faults: BTreeMap<usize, BTreeMap<FaultKind, u64>>,
    /// What was reached, in all.
    pub coverage: Coverage,
    /// Milliseconds of simulated time in all.
    pub simulated_ms: u64,
    /// Depends on every trace of every simulation: the same sweep gives the same digest.
    pub digest: u64,
    /// Milliseconds of real time spent on it, over all sittings.
    pub took_ms: u64,
}

/// A set of numbers that is filled roughly in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// All numbers below this one …
    below: u64,
    /// … and these.
    besides: BTreeSet<u64>,
}

/// A simulation that did not end as its file expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Position of the file.
    pub story: usize,
    /// Its seed.
    pub seed: u64,
    /// `violated`, `stuck`, `crashed`, or `passed` where something else is expected.
    pub verdict: String,
    /// Which invariant, if one was violated.
    pub invariant: Option<String>,
    /// Everything that is to be said, for people.
    pub text: String,
    /// What the program returns for it.
    pub exit: u8,
}

impl Done {
    pub fn contains(&self, number: u64) -> bool {
        number < self.below || self.besides.contains(&number)
    }

    pub fn insert(&mut self, number: u64) {
        if number >= self.below {
            self.besides.insert(number);
        }
        while self.besides.remove(&self.below) {
            self.below += 1;
        }
    }

    pub fn count(&self) -> u64 {
        self.below + self.besides.len() as u64
    }

    /// Whether no number at or above this one is in it.
    pub fn ends_before(&self, total: u64) -> bool {
        self.below <= total && self.besides.last().is_none_or(|last| *last < total)
    }
}

impl Tally {
    /// Takes in a simulation; tells if it failed.
    pub fn add(
        &mut self,
        number: u64,
        (story, seed): (usize, u64),
        expected: &Expectation,
        outcome: &Outcome,
    ) -> Option<&Failure> {
        self.done.insert(number);
        self.count(&outcome.counters);
        let hits = self.faults.entry(story).or_default();
        for (fault, count) in &outcome.counters.faults {
            *hits.entry(*fault).or_default() += count;
        }
        self.coverage.add(&outcome.coverage);
        self.simulated_ms += outcome.ended_us / 1_000;
        let verdict = Verdict::of(outcome);
        let (ended_us, counters) = (outcome.ended_us, &outcome.counters);
        let (reached, ended) = (outcome.coverage.digest(), Expectation::of(&verdict));
        let mark = format!("{number} {ended_us} {counters:?} {reached:016x} {ended}");
        self.digest = self.digest.wrapping_add(xxh3_64(mark.as_bytes()));
        if expected.met_by(&verdict) {
            return None;
        }
        let failure = Failure::of(story, seed, expected, &verdict);
        Some(self.failures.entry(number).or_insert(failure))
    }

    fn count(&mut self, counters: &Counters) {
        // Through their names, so that a counter more needs nothing here.
        let Ok(counters) = serde_json::to_value(counters) else { return };
        self.add_counters("", &counters);
    }

    /// Counters of counters have names with a point.
    fn add_counters(&mut self, name: &str, value: &serde_json::Value) {
        if let Some(count) = value.as_u64() {
            *self.counters.entry(name.to_owned()).or_default() += count;
        }
        for (inner, value) in value.as_object().into_iter().flatten() {
            let point = if name.is_empty() { "" } else { "." };
            self.add_counters(&format!("{name}{point}{inner}"), value);
        }
    }

    /// All hits of faults.
    pub fn all_faults(&self) -> BTreeMap<FaultKind, u64> {
        let mut all = BTreeMap::new();
        for (fault, count) in self.faults.values().flatten() {
            *all.entry(*fault).or_default() += count;
        }
        all
    }
}

impl Failure {
    fn of(story: usize, seed: u64, expected: &Expectation, verdict: &Verdict) -> Self {
        let (kind, invariant) = match verdict {
            Verdict::Passed => ("passed", None),
            Verdict::Violated(violation) => ("violated", Some(violation.invariant.to_owned())),
            Verdict::Stuck(_) => ("stuck", None),
            Verdict::Crashed(_) => ("crashed", None),
        };
        let remark = expected.remark(verdict).map_or(String::new(), |text| format!("\n  ({text})"));
        Self {
            story,
            seed,
            verdict: kind.into(),
            invariant,
            text: format!("{verdict}{remark}"),
            // Passing where a bug is expected is a failure too.
            exit: verdict.code().max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuck() -> Outcome {
        Outcome { stuck: Some("why".into()), ended_us: 5, ..Outcome::default() }
    }

    fn tally(order: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for number in order {
            let outcome = if *number == 2 { stuck() } else { Outcome::default() };
            tally.add(*number, (0, *number), &Expectation::Pass, &outcome);
        }
        tally
    }

    #[test]
    fn the_order_in_which_simulations_end_does_not_matter() {
        assert_eq!(tally(&[0, 1, 2, 3]), tally(&[3, 2, 0, 1]));
        assert_ne!(tally(&[0, 1, 2, 3]).digest, tally(&[0, 1, 2]).digest);
        assert_eq!(tally(&[0, 1, 2]).failures[&2].exit, 3);
    }

    #[test]
    fn what_is_done_is_remembered_with_its_gaps() {
        let done = tally(&[0, 1, 3]).done;
        assert!(done.contains(1) && !done.contains(2) && done.contains(3));
        assert_eq!(done.count(), 3);
        assert!(done.ends_before(4) && !done.ends_before(3));
    }

    #[test]
    fn passing_where_a_bug_is_expected_is_a_failure() {
        let mut tally = Tally::default();
        let failure = tally.add(0, (0, 1), &Expectation::Stuck, &Outcome::default());
        assert!(failure.is_some_and(|failure| failure.exit == 1));
        assert!(tally.add(1, (0, 2), &Expectation::Stuck, &stuck()).is_none());
    }
}
