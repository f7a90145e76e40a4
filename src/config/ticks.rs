//! `[ticks]`: what ticks tell, and where subscriptions begin.

use serde::{Deserialize, Serialize};

/// `[ticks]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ticks {
    /// Whether each tick carries its number among those of its topic.
    pub seq: bool,
    /// Whether a subscription that does not say begins with the last value.
    pub snapshot: bool,
}

impl Default for Ticks {
    fn default() -> Self {
        Self { seq: false, snapshot: true }
    }
}
