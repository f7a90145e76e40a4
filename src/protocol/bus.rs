//! What publishers say on ZeroMQ: two parts, `[topic, JSON object]`.

pub use super::payload::{
    BadPayload, CacheType, Checked, Invalidation, check_payload, parse_invalidation,
    parse_order_user,
};
use crate::topic::{BrokerName, Mode};

/// What must be known to read a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRules {
    /// Configured brokers: their names may stand in front.
    pub brokers: Vec<BrokerName>,
    /// Exchanges whose names have two segments, e.g. `NSE_INDEX`.
    pub two_segment_exchanges: Vec<String>,
}

/// What a message on the bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusTopic<'a> {
    /// A tick.
    Tick {
        /// The configured name of the broker in front; `None`: for every broker's users.
        broker: Option<&'a str>,
        /// E.g. `NSE` or `NSE_INDEX`.
        exchange: &'a str,
        /// As the publisher spells it; may hold `_`.
        symbol: &'a str,
        /// What the payload holds.
        mode: Mode,
    },
    /// An order update; see [`parse_order_user`].
    Orders,
    /// Positions or margins: nobody's business here.
    Private,
    /// A user's credentials changed; see [`parse_invalidation`].
    Invalidate,
}

/// Why a topic cannot be read. Count the message and drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTopic {
    /// Not UTF-8.
    #[error("topic is not UTF-8")]
    NotUtf8,
    /// The last segment is no mode.
    #[error("topic does not end in a mode")]
    UnknownMode,
    /// Exchange or symbol is missing.
    #[error("topic lacks an exchange or a symbol")]
    Incomplete,
}

/// Reads a topic.
///
/// # Errors
///
/// Fails if the topic is neither a tick's nor one of the others. Count it and drop the message.
pub fn parse_topic<'a>(topic: &'a [u8], rules: &'a TopicRules) -> Result<BusTopic<'a>, BadTopic> {
    let _ = (topic, rules);
    Err(BadTopic::Incomplete)
}
