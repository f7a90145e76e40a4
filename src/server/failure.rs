//! How a gateway fails.

use std::fmt;

use crate::runtime::TaskEnded;

/// A part of the gateway that must not end has ended: our own mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which part.
    pub part: &'static str,
    /// How.
    pub how: TaskEnded,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            TaskEnded::Done => "ended",
            TaskEnded::Aborted => "was ended",
            TaskEnded::Panicked => "panicked",
        };
        write!(f, "the task of the {} {how}", self.part)
    }
}
