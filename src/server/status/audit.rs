//! What `/status` tells of the audit log.

use serde::{Deserialize, Serialize};

/// The audit log; all zero without `audit.file`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Records written to the file.
    pub written_total: u64,
    /// Records lost because too many waited for the file.
    pub dropped_total: u64,
    /// Attempts to write that failed; each was repeated.
    pub errors_total: u64,
    /// Whether the last attempt failed.
    pub failing: bool,
}
