//! What a client can ask.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use super::admin::AdminCommand;
use super::reject::Reject;
use crate::topic::{Instrument, Mode};

/// Levels of the order book that a subscription asks for if it does not say.
pub const DEPTH_DEFAULT: u32 = 5;

/// Most levels of the order book that can be asked for.
pub const DEPTH_MAX: u32 = 200;

/// Milliseconds between two values of a subscription that asks for a pace of its own.
pub const INTERVAL_MS: RangeInclusive<u64> = 10..=3_600_000;

/// Bytes of JSON text in a `request_id`, a ping's `timestamp` or its `_pingId`. They are echoed,
/// so that a longer one is refused.
pub const ECHO_BYTES_MAX: usize = 1_024;

/// Any JSON value that a client put into `request_id`; echoed digit for digit.
pub type RequestId = Box<RawValue>;

/// One message of a client.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// To be echoed in the answer, also if the request is refused.
    pub request_id: Option<RequestId>,
    /// What the client asks, or why it cannot be read.
    pub body: Result<Request, Reject>,
}

/// Limits of what [`parse_request`](super::parse_request) accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Entries in `symbols`.
    pub symbols_max: usize,
    /// Bytes of an exchange or symbol name.
    pub name_bytes_max: usize,
    /// Arrays and objects inside each other.
    pub nesting_max: usize,
    /// Values in the whole message: those of arrays and objects, which count too.
    pub elements_max: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self { symbols_max: 1_000, name_bytes_max: 64, nesting_max: 64, elements_max: 10_000 }
    }
}

/// What a client asks.
#[derive(Clone, Debug)]
pub enum Request {
    /// Say who the client is. `None`: the message holds no credential.
    Authenticate(Option<Credential>),
    /// Send ticks; one entry for each symbol, in the client's order. Never empty.
    Subscribe(Vec<Result<SubscribeEntry, BadEntry>>),
    /// Send no more ticks; one entry for each symbol, in the client's order. Never empty.
    Unsubscribe(Vec<Result<UnsubscribeEntry, BadEntry>>),
    /// Send no more ticks at all.
    UnsubscribeAll,
    /// Send the user's order updates.
    SubscribeOrders,
    /// Send no more order updates.
    UnsubscribeOrders,
    /// Say which broker serves the user, and how it is.
    BrokerInfo,
    /// List the configured brokers.
    SupportedBrokers,
    /// Have an administrator's command carried out.
    Admin(AdminCommand),
    /// Say that you are there.
    Ping {
        /// The client's `timestamp`, to be echoed. `null` counts as absent.
        timestamp: Option<Box<RawValue>>,
        /// The client's `_pingId`, to be echoed. `null` counts as absent.
        ping_id: Option<Box<RawValue>>,
    },
}

impl PartialEq for Request {
    /// JSON values are equal if their texts are.
    fn eq(&self, other: &Self) -> bool {
        let text = |raw: &Option<Box<RawValue>>| raw.as_ref().map(|raw| raw.get().to_owned());
        match (self, other) {
            (Self::Authenticate(a), Self::Authenticate(b)) => a == b,
            (Self::Subscribe(a), Self::Subscribe(b)) => a == b,
            (Self::Unsubscribe(a), Self::Unsubscribe(b)) => a == b,
            (Self::Admin(a), Self::Admin(b)) => a == b,
            (
                Self::Ping { timestamp: at, ping_id: ap },
                Self::Ping { timestamp: bt, ping_id: bp },
            ) => text(at) == text(bt) && text(ap) == text(bp),
            (
                Self::Authenticate(_)
                | Self::Subscribe(_)
                | Self::Unsubscribe(_)
                | Self::UnsubscribeAll
                | Self::SubscribeOrders
                | Self::UnsubscribeOrders
                | Self::BrokerInfo
                | Self::SupportedBrokers
                | Self::Admin(_)
                | Self::Ping { .. },
                _,
            ) => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// How a client says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A long-lived key.
    ApiKey(Secret),
    /// A JWT.
    Token(Secret),
}

/// Text that must not reach a log, an answer or a panic message.
///
/// Compare it in the verifier only, in constant time: `==` is for tests.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself, for the verifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_boxed_str())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One symbol to subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeEntry {
    /// What is wanted.
    pub instrument: Instrument,
    /// How much of it.
    pub mode: Mode,
    /// Levels of the order book, 1 to [`DEPTH_MAX`].
    pub depth: u32,
    /// The latest value at most this often, within [`INTERVAL_MS`]; 0: every value.
    pub interval_ms: u64,
    /// Whether the last value is to be sent at once; `None`: as the gateway does.
    pub snapshot: Option<bool>,
}

/// One symbol to unsubscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeEntry {
    /// What is no longer wanted.
    pub instrument: Instrument,
    /// In which mode. `None`: in every mode that the client holds.
    pub mode: Option<Mode>,
}

/// An entry of `symbols` that cannot be served. It becomes a failed row; the others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// What the client gave as exchange: at most `name_bytes_max` characters, `?` for what cannot
    /// be shown; empty if it was no text.
    pub exchange: String,
    /// What the client gave as symbol, in the same way.
    pub symbol: String,
    /// What is wrong with it.
    pub reject: Reject,
    /// Whether a name holds what no name may: control characters, markup, bidi tricks. That is no
    /// typing mistake.
    pub forbidden: bool,
}
