//! `[admin]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The `admin.socket` that is found by itself.
pub const SOCKET_AUTO: &str = "auto";

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where health, status and metrics are served; empty: nowhere. Loopback only.
    pub listen: String,
    /// The socket of `tickgate admin`: `auto`, an absolute path, or empty: nowhere.
    pub socket: String,
    /// File that is written again every ten seconds with what OpenAlgo's health monitor reads.
    /// Absent: none.
    pub stats_file: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8766".into(), socket: SOCKET_AUTO.into(), stats_file: None }
    }
}
