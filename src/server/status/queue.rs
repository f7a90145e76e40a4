//! How full the queues between tasks are.

use serde::{Deserialize, Serialize};

/// A bounded queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Items that wait.
    pub len: u64,
    /// Items it holds at most.
    pub max: u64,
}
