//! What clients are told about the state of their topics.
//!
//! `{"type":"feed_status","status":"stale","broker":"zerodha","topics":[…]}`, where each of the
//! topics is `{"exchange":"NSE","symbol":"TCS","mode":1,"since":1732186800000,"reason":"…"}`. A
//! message speaks of [`TOPICS_MAX`] topics at most; of more, several messages do. `since` is in
//! milliseconds since 1970: of a stale topic the last tick, or from when on one was due if none has
//! come since; of others, from when on the state holds.
//!
//! An entry is written once for all clients; a message is a head and entries, joined.

use bytes::Bytes;

use super::frame::text_frame;
use super::json::ObjectWriter;
use crate::topic::Topic;

/// Topics of which one message speaks.
pub const TOPICS_MAX: usize = 200;

/// What a client can be told about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedStatus {
    /// It ticks.
    Live,
    /// It is silent for longer than it should be.
    Stale,
    /// The broker session that serves it is lost and is being restored.
    Recovering,
    /// It is silent because its market is closed.
    Closed,
}

impl FeedStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Live, Self::Stale, Self::Recovering, Self::Closed];

    /// As clients read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Recovering => "recovering",
            Self::Closed => "closed",
        }
    }
}

/// What a message says of one topic.
#[must_use]
pub fn entry(topic: &Topic, since_unix_ms: u64, reason: &str) -> Bytes {
    let mut json = Vec::with_capacity(128);
    let mut object = ObjectWriter::new(&mut json);
    object
        .text("exchange", &topic.instrument.exchange)
        .text("symbol", &topic.instrument.symbol)
        .number("mode", topic.mode.number().into())
        .number("since", since_unix_ms)
        .text("reason", reason)
        .end();
    json.into()
}

/// A complete frame about these entries, at most [`TOPICS_MAX`] of them.
#[must_use]
pub fn status_frame<'a>(
    status: FeedStatus,
    broker: &str,
    entries: impl Iterator<Item = &'a Bytes>,
) -> Bytes {
    let mut json = Vec::with_capacity(256);
    let mut object = ObjectWriter::new(&mut json);
    object
        .text("type", "feed_status")
        .text("status", status.word())
        .text("broker", broker)
        .array("topics", entries, |out, entry| out.extend_from_slice(entry))
        .end();
    text_frame(&json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::payload;
    use crate::topic::{Instrument, Mode};

    #[test]
    fn a_message_speaks_of_several_topics_at_once() {
        let topic = |symbol: &str| Topic::new(Instrument::new("NSE", symbol), Mode::Quote);
        let entries = [entry(&topic("TCS"), 7, "no tick"), entry(&topic("A\"B"), 8, "no tick")];
        let frame = status_frame(FeedStatus::Stale, "paper", entries.iter());
        assert_eq!(
            std::str::from_utf8(payload(&frame).unwrap()).unwrap(),
            r#"{"type":"feed_status","status":"stale","broker":"paper","topics":[{"exchange":"NSE","symbol":"TCS","mode":2,"since":7,"reason":"no tick"},{"exchange":"NSE","symbol":"A\"B","mode":2,"since":8,"reason":"no tick"}]}"#
        );
    }
}
