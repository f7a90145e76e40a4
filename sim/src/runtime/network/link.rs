//! The way from one host to another, and what goes wrong on it.

use std::time::Duration;

use super::pipe::Hose;
use crate::rng;

/// One direction between two hosts.
#[derive(Debug, Default)]
pub struct Link {
    /// Everything is held back until it is released.
    pub held: bool,
    /// Nobody can connect; what is connected waits as if held: TCP would send it again.
    pub cut: bool,
    /// Longest latency, if it is not the usual one.
    pub slowed: Option<Duration>,
    hoses: Vec<Hose>,
}

impl Link {
    /// Whether bytes pass now.
    #[must_use]
    pub const fn passes(&self) -> bool {
        !self.held && !self.cut
    }

    /// A connection runs over it.
    pub(super) fn add(&mut self, hose: Hose) {
        self.hoses.retain(Hose::is_open);
        self.hoses.push(hose);
    }

    /// A latency between the usual bounds, or up to what the link is slowed to.
    pub(super) fn latency(&self, [low, high]: [Duration; 2], stream: &mut rng::Stream) -> Duration {
        let high = self.slowed.unwrap_or(high).max(low);
        Duration::from_micros(stream.between(low.as_micros() as u64, high.as_micros() as u64))
    }

    /// Lets go what was held back, if bytes pass now.
    pub(super) fn release(&self, now: Duration, latency: Duration) {
        if self.passes() {
            self.hoses.iter().for_each(|hose| hose.release(now, latency));
        }
    }
}
