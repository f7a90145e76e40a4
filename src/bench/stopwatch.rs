//! The time of a run, the same for all of its threads.

use std::time::Instant;

/// Nanoseconds since the beginning of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[expect(clippy::disallowed_methods, reason = "load is real, and so is its time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the beginning.
    #[expect(clippy::disallowed_methods, reason = "load is real, and so is its time")]
    pub fn ns(&self) -> u64 {
        u64::try_from((Instant::now() - self.0).as_nanos()).unwrap_or(u64::MAX)
    }
}
