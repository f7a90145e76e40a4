//! Something that can be reached.

use std::fmt;

use tickgate::marks::{Mark, Pair};

/// A situation, or a state in which an event arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// A situation.
    Mark(Mark),
    /// A state and an event.
    Pair(Pair),
}

impl Feature {
    /// All that can be reached.
    pub fn all() -> impl Iterator<Item = Self> {
        let pairs = Pair::all().filter(|pair| pair.is_possible());
        Mark::ALL.iter().copied().map(Self::Mark).chain(pairs.map(Self::Pair))
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(mark) => f.write_str(mark.label()),
            Self::Pair(pair) => {
                write!(f, "{} [{}] {}", pair.machine(), pair.state(), pair.event())
            }
        }
    }
}
