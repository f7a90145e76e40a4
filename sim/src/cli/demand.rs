//! What a sweep is asked to reach, and whether it did.

use clap::ValueEnum;

use crate::coverage::{Coverage, Operation};
use crate::fault::FaultKind;
use tickgate::marks::Mark;

/// What must be reached, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Demand {
    /// Every rare situation that the gateway's code names
    Marks,
    /// Every pair of a storm's operation and a fault
    Pairs,
    /// Every possible pair of state and event
    Transitions,
}

/// In one line, for people, whether all of it was reached.
pub(super) fn in_short(coverage: &Coverage) -> String {
    let met = |known: usize, missed: usize| format!("{} of {known}", known - missed);
    let pairs = Operation::ALL.len() * FaultKind::ALL.len();
    let transitions = Coverage::pairs_known();
    format!(
        "reached: {} situations, {} pairs of state and event, {} pairs of operation and fault",
        met(Mark::COUNT, coverage.marks_missed().len()),
        met(transitions, coverage.pairs_missed().len()),
        met(pairs, coverage.never_met().len()),
    )
}

/// A line for each situation that was never met, and for each pair that cannot be and was.
pub(super) fn remarks(coverage: &Coverage) -> Vec<String> {
    let missed = coverage.marks_missed().into_iter();
    let missed = missed.map(|mark| format!("never met: {}", mark.label()));
    let wrong = coverage.pairs_impossible().into_iter().map(|pair| {
        let (machine, state, event) = (pair.machine(), pair.state(), pair.event());
        format!("reached although it cannot be: {machine} [{state}] {event}")
    });
    missed.chain(wrong).collect()
}

/// What of the demands was not reached.
pub(super) fn unmet(demands: &[Demand], coverage: &Coverage) -> Vec<String> {
    let mut unmet = Vec::new();
    for demand in demands {
        match demand {
            Demand::Marks => {
                let missed = coverage.marks_missed().into_iter();
                unmet.extend(missed.map(|mark| mark.label().to_owned()));
            }
            Demand::Pairs => {
                let missed = coverage.never_met().into_iter();
                unmet.extend(
                    missed.map(|(operation, fault)| {
                        format!("{} never met {fault}", operation.label())
                    }),
                );
            }
            Demand::Transitions => {
                let missed = coverage.pairs_missed().into_iter();
                unmet.extend(
                    missed.map(|pair| {
                        format!("{} [{}] {}", pair.machine(), pair.state(), pair.event())
                    }),
                );
            }
        }
    }
    unmet
}

/// Says what was not reached, and whether that is nothing.
pub(super) fn are_met(demands: &[Demand], coverage: &Coverage) -> bool {
    let unmet = unmet(demands, coverage);
    for what in &unmet {
        eprintln!("not reached: {what}");
    }
    unmet.is_empty()
}

#[cfg(test)]
mod tests {
    use tickgate::marks::Reached;

    use super::*;

    #[test]
    fn a_demand_is_met_only_by_everything() {
        let mut reached = Reached::default();
        reached.marks.fill(1);
        let mut coverage = Coverage::of(&reached, &[1; crate::coverage::MET]);
        assert!(unmet(&[Demand::Marks, Demand::Pairs], &coverage).is_empty());
        assert_eq!(unmet(&[Demand::Transitions], &coverage).len(), Coverage::pairs_known());
        reached.marks[Mark::LateAnswer as usize] = 0;
        coverage = Coverage::of(&reached, &[0; crate::coverage::MET]);
        assert_eq!(unmet(&[Demand::Marks], &coverage), [Mark::LateAnswer.label()]);
        assert_eq!(unmet(&[Demand::Pairs], &coverage).len(), crate::coverage::MET);
        assert!(unmet(&[], &coverage).is_empty());
        assert_eq!(remarks(&coverage), [format!("never met: {}", Mark::LateAnswer.label())]);
    }
}
