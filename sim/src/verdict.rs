//! What is said of a simulation in the end.

use std::fmt;
use std::process::ExitCode;

use crate::history::Violation;
use crate::runtime::Crash;
use crate::world::Outcome;

/// How a simulation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held.
    Passed,
    /// One did not.
    Violated(Violation),
    /// It came to no end.
    Stuck(String),
    /// Something panicked.
    Crashed(Crash),
}

impl Verdict {
    /// Judges. A crash outweighs what was seen before it.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        if let Some(crash) = &outcome.crash {
            return Self::Crashed(crash.clone());
        }
        match (&outcome.violation, &outcome.stuck) {
            (Some(violation), _) => Self::Violated(violation.clone()),
            (None, Some(why)) => Self::Stuck(why.clone()),
            (None, None) => Self::Passed,
        }
    }

    /// Whether every invariant held.
    #[must_use]
    pub const fn passed(&self) -> bool {
        matches!(self, Self::Passed)
    }

    /// What the program returns: 0 passed, 1 violated, 3 stuck, 4 crashed.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// As [`Verdict::exit_code`], as a number.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Violated(_) => 1,
            Self::Stuck(_) => 3,
            Self::Crashed(_) => 4,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Violated(violation) => {
                let (ms, us) = (violation.at_us / 1_000, violation.at_us % 1_000);
                write!(
                    f,
                    "VIOLATED {}\n  at {ms}.{us:03} ms: {}",
                    violation.invariant, violation.message
                )
            }
            Self::Stuck(why) => write!(f, "STUCK\n  {why}"),
            Self::Crashed(crash) => write!(f, "CRASHED\n  {crash}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_outweighs_a_violation_and_that_being_stuck() {
        let violation =
            Violation { invariant: "x", at_us: 1_234_567, message: "m".into(), recent: Vec::new() };
        let mut outcome = Outcome { stuck: Some("s".into()), ..Outcome::default() };
        assert_eq!(Verdict::of(&outcome), Verdict::Stuck("s".into()));
        outcome.violation = Some(violation);
        assert_eq!(Verdict::of(&outcome).to_string(), "VIOLATED x\n  at 1234.567 ms: m");
        outcome.crash = Some(Crash { message: "boom".into(), place: "a.rs:1".into() });
        assert_eq!(Verdict::of(&outcome).to_string(), "CRASHED\n  boom (a.rs:1)");
        assert!(Verdict::of(&Outcome::default()).passed());
    }
}
