//! What a scenario or a plan is expected to end with.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// `expect`: a regression that is not fixed yet says which invariant it violates; once it is
/// fixed it says `pass`, and guards against the bug's return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// Every invariant holds.
    #[default]
    Pass,
    /// This invariant is the first that is broken.
    Violated(String),
    /// It comes to no end.
    Stuck,
    /// Something panics.
    Crashed,
}

impl Expectation {
    /// What a file expects that ends as this one did.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Pass,
            Verdict::Violated(violation) => Self::Violated(violation.invariant.to_owned()),
            Verdict::Stuck(_) => Self::Stuck,
            Verdict::Crashed(_) => Self::Crashed,
        }
    }

    /// Whether a simulation ended like this.
    #[must_use]
    pub fn met_by(&self, verdict: &Verdict) -> bool {
        Self::of(verdict) == *self
    }

    /// Whether nothing is expected to go wrong.
    #[must_use]
    pub const fn is_pass(&self) -> bool {
        matches!(self, Self::Pass)
    }

    /// A name for files: of the invariant, or of what happened instead.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Pass => "passed",
            Self::Violated(invariant) => invariant,
            Self::Stuck => "stuck",
            Self::Crashed => "crashed",
        }
    }

    /// What a developer is told whose simulation ended with `verdict` where this was expected;
    /// `None` if there is nothing to say.
    #[must_use]
    pub fn remark(&self, verdict: &Verdict) -> Option<String> {
        match (self, verdict) {
            (Self::Pass, _) => None,
            (expected, verdict) if expected.met_by(verdict) => {
                Some(format!("as the file expects: {expected}"))
            }
            (expected, Verdict::Passed) => Some(format!(
                "the file expects: {expected}. If the bug is fixed, write `expect: pass`: the \
                 file then guards against its return"
            )),
            (expected, _) => Some(format!("the file expects: {expected}")),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Violated(invariant) => write!(f, "violated {invariant}"),
            Self::Stuck => f.write_str("stuck"),
            Self::Crashed => f.write_str("crashed"),
        }
    }
}

/// One entry of `forbid`: what must not happen in this story, besides what the invariants say.
///
/// A line is what the trace shows of an event, without its moment and with one blank behind the
/// actor: `alice-1 -> 3 subscribe NSE:TCS/LTP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forbidden {
    /// Text that a line contains.
    pub line: String,
    /// Only what this actor sees counts; absent: each actor's lines are counted for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Broken when an actor's lines contain it so often.
    #[serde(default = "once")]
    pub times: u32,
}

const fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Violation;

    fn violated() -> Verdict {
        let (at_us, message, recent) = (1, String::new(), Vec::new());
        Verdict::Violated(Violation { invariant: "x", at_us, message, recent })
    }

    #[test]
    fn an_expectation_is_met_by_its_own_kind_alone() {
        let expected = Expectation::Violated("x".into());
        assert!(expected.met_by(&violated()));
        assert!(!expected.met_by(&Verdict::Passed));
        assert!(!Expectation::Violated("y".into()).met_by(&violated()));
        assert!(!Expectation::Pass.met_by(&violated()));
        assert!(Expectation::Stuck.met_by(&Verdict::Stuck("why".into())));
    }

    #[test]
    fn a_bug_that_is_fixed_is_noticed() {
        let expected = Expectation::Violated("x".into());
        assert!(expected.remark(&Verdict::Passed).is_some_and(|text| text.contains("fixed")));
        assert!(expected.remark(&violated()).is_some_and(|text| text.starts_with("as the file")));
        assert_eq!(Expectation::Pass.remark(&violated()), None);
    }

    #[test]
    fn it_is_written_as_one_word_or_with_the_invariant() {
        let read = |text: &str| serde_saphyr::from_str::<Expectation>(text).expect("it is good");
        assert_eq!(read("pass"), Expectation::Pass);
        assert_eq!(read("{ violated: x }"), Expectation::Violated("x".into()));
    }
}
