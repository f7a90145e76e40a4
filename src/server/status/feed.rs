//! What comes over the bus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::topic::BrokerName;

/// The ZeroMQ bus.
///
/// `messages_total` is `routed_total` plus the sum of `dropped_total`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedStatus {
    /// Publishers connected now.
    pub publishers: u64,
    /// Messages received.
    pub messages_total: u64,
    /// Bytes of these messages, without framing.
    pub bytes_total: u64,
    /// Messages handed on: ticks that somebody wants, order updates, invalidations.
    pub routed_total: u64,
    /// Messages dropped, by reason: `no_interest`, `bad_topic`, `bad_payload`, `private`, ….
    pub dropped_total: BTreeMap<String, u64>,
    /// Payloads in which `NaN` or an infinity became `null`.
    pub nulled_total: u64,
    /// Ticks that a later one of their topic replaced because a shard was behind.
    pub shed_total: u64,
    /// Whether that was so within the last five seconds: more comes than can be delivered.
    pub shedding: bool,
    /// How many topics that somebody wants are how: `waiting` for their first tick, `live`,
    /// `stale`, `recovering`, `closed`. A topic of users of two brokers counts twice.
    #[serde(default)]
    pub topics: BTreeMap<String, u64>,
    /// Brokers none of whose topics tick although some should.
    #[serde(default)]
    pub silent_brokers: Vec<BrokerName>,
    /// Connections to publishers that were made again after a loss.
    pub reconnects_total: u64,
    /// Publishers given up because they broke ZMTP or fell silent.
    pub protocol_errors_total: u64,
}
