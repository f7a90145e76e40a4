//! Bytes to types and back: what clients, publishers and the gateway say to each other.
//!
//! Everything here is pure and total: no clock, no socket, no panic on any input. A peer's
//! mistake is a value ([`Reject`], [`BadTopic`], [`BadPayload`]) that says what to do about it.
//!
//! - [`request`]: what a client can ask. [`parse`]: the bytes of a request.
//! - [`admin`]: what an administrator can have done.
//! - [`control`]: what gateway and adapter hosts say to each other.
//! - [`answer`], [`reject`]: what a client is told, and [its bytes](Answer::to_json).
//! - [`bus`], [`payload`]: what publishers say on ZeroMQ.
//! - [`feed_status`]: what clients are told about the state of their topics.
//! - [`frame`]: complete WebSocket frames, ready to be shared between clients.
//! - [`lengths`]: how the frames of clients say how long they are.

pub mod admin;
pub mod answer;
pub mod bus;
pub mod control;
mod encode;
pub mod feed_status;
mod fields;
pub mod frame;
mod json;
pub mod lengths;
mod name;
pub mod parse;
pub mod payload;
pub mod reject;
pub mod request;

pub use admin::{AdminAnswer, AdminCommand};
pub use answer::{Answer, FailedRow, RowOutcome, SubscribeRow};
pub use bus::{
    BadPayload, BadTopic, BusTopic, CacheType, Checked, Invalidation, TopicRules, check_payload,
    parse_invalidation, parse_order_user, parse_topic,
};
pub use feed_status::FeedStatus;
pub use frame::{close_frame, text_frame, tick_frame, with_snapshot};
pub use lengths::{Lengths, LongLength};
pub use parse::parse_request;
pub use reject::{ErrorCode, Reject};
pub use request::{
    BadEntry, Credential, INTERVAL_MS, Incoming, ParseLimits, Request, RequestId, Secret,
    SubscribeEntry, UnsubscribeEntry,
};
