//! `[audit]`: who came and who was turned away, in a file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The file, a line of JSON for each event. Absent: there is no audit log.
    pub file: Option<PathBuf>,
    /// Bytes of the file, beyond which it is put aside as `file.1`.
    pub rotate_bytes_max: usize,
    /// Age of the first record in the file, from which on it is put aside.
    pub rotate_age_ms: u64,
    /// Files that are kept besides the one that is written.
    pub files_max: usize,
}

impl Default for Audit {
    fn default() -> Self {
        Self { file: None, rotate_bytes_max: 16_777_216, rotate_age_ms: 86_400_000, files_max: 14 }
    }
}
