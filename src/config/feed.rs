//! `[feed]`: when a topic that is silent counts as stale, and who is told.

use serde::{Deserialize, Serialize};

/// `[feed]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// Whether clients are told when a topic of theirs is stale, closed or recovering.
    pub status: bool,
    /// Silence after which a topic is stale while its market is open, unless it is rare.
    pub stale_after_ms: u64,
    /// Silence after which a topic that is known to be rare is stale, too. Less than
    /// `stale_after_ms`: nothing is known to be rare.
    pub stale_max_ms: u64,
    /// Silence before which no topic is stale, however often it ticks.
    pub stale_min_ms: u64,
    /// In between: so many times the longest gap that the topic usually has.
    pub stale_factor: usize,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            status: true,
            stale_after_ms: 120_000,
            stale_max_ms: 3_600_000,
            stale_min_ms: 5_000,
            stale_factor: 4,
        }
    }
}
