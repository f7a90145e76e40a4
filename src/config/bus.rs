//! `[bus]`: where ticks arrive, and what publishers are asked for.

use serde::{Deserialize, Serialize};

/// What `bus.subscribe` can be.
pub const BUS_SUBSCRIBES: &[&str] = &["all", "wanted"];

/// `[bus]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bus {
    /// Addresses on which the SUB socket waits for publishers, `tcp://host:port`.
    pub bind: Vec<String>,
    /// Addresses of publishers that bind themselves, `tcp://host:port`.
    pub connect: Vec<String>,
    /// What publishers are asked for: `all`, or what is `wanted`.
    pub subscribe: String,
    /// Beginnings of topics that they are always asked for.
    pub prefixes: Vec<String>,
    /// How long a mode that was seen for an instrument keeps serving its own subscriptions.
    pub source_window_ms: u64,
    /// Silence after which a publisher is pinged; three times as much closes its connection.
    pub heartbeat_interval_ms: u64,
    /// How long connecting and the ZMTP handshake may take together.
    pub handshake_timeout_ms: u64,
    /// First pause before connecting again; doubles up to the maximum.
    pub reconnect_min_ms: u64,
    /// Longest pause before connecting again.
    pub reconnect_max_ms: u64,
    /// Bytes of one frame from a publisher; a larger one closes the connection.
    pub frame_bytes_max: usize,
    /// Ticks, and KiB of them, that may wait for one shard before they are conflated.
    pub waiting_ticks_max: usize,
    /// Exchanges whose names have two segments, like `NSE_INDEX`.
    pub two_segment_exchanges: Vec<String>,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            bind: vec!["tcp://127.0.0.1:5555".into()],
            connect: Vec::new(),
            subscribe: BUS_SUBSCRIBES[0].into(),
            prefixes: Vec::new(),
            source_window_ms: 5_000,
            heartbeat_interval_ms: 5_000,
            handshake_timeout_ms: 5_000,
            reconnect_min_ms: 100,
            reconnect_max_ms: 5_000,
            frame_bytes_max: 1_048_576,
            waiting_ticks_max: 4_096,
            two_segment_exchanges: ["NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX"]
                .map(String::from)
                .to_vec(),
        }
    }
}
