//! What can be chosen about a socket.

use std::time::Duration;

/// Times and limits of a socket, the same for all of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Silence after which a peer is sent a PING; whole milliseconds. Zero: no heartbeats, and a
    /// dead peer is noticed only when the operating system notices.
    ///
    /// Peers of ZMTP 3.0 know no PING: they may be silent for ever, unless something that was
    /// sent to them makes no progress.
    pub heartbeat_interval: Duration,
    /// Silence after which a connection is given up. Less than twice `heartbeat_interval` counts
    /// as twice, as a PING needs time to be answered.
    pub heartbeat_timeout: Duration,
    /// How long connecting (or being connected to) and the handshake may take together.
    pub handshake_timeout: Duration,
    /// First pause before connecting again; doubles with each failure. Half of each pause is
    /// random.
    pub reconnect_min: Duration,
    /// Longest pause before connecting again.
    pub reconnect_max: Duration,
    /// Bytes of one frame; a peer that announces more is disconnected.
    pub frame_bytes_max: usize,
    /// Parts of one message; a peer that sends more is disconnected.
    pub parts_max: usize,
    /// Bytes of all parts of one message; a peer that announces more is disconnected.
    pub message_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(5),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            frame_bytes_max: 1 << 20,
            parts_max: 32,
            message_bytes_max: 2 << 20,
        }
    }
}
