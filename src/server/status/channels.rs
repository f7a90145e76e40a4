//! What `/status` tells of channels.

use serde::{Deserialize, Serialize};

/// One channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its path; `/` for the built-in one, which takes every path while no other is configured.
    pub path: String,
    /// `interactive` or `broadcast`.
    pub kind: String,
    /// `message`, `door` or `anonymous`.
    pub auth: String,
    /// Connected now, the HTTP upgrade done.
    pub clients: u64,
    /// How many it may have; absent: as many as the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients_max: Option<u64>,
    /// Of a broadcast channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<BroadcastStatus>,
}

/// What a channel broadcasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastStatus {
    /// Topics whose latest value is kept; none while nobody listens.
    pub topics: u64,
    /// Frames serialized since the start, each once for all listeners.
    pub sent_total: u64,
    /// Intervals since the start in which somebody listened and nothing had changed.
    pub skipped_total: u64,
    /// Ticks since the start of topics that were too many.
    pub left_out_total: u64,
}
