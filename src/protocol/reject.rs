//! Why a client's request is turned down.

use std::fmt;
use std::ops::RangeInclusive;

use super::name::{clean, clean_message};

/// Characters of a client's own text that a message repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// Kinds of refusal, as clients see them in `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The credential is missing or wrong.
    AuthenticationError,
    /// The request needs an authenticated client.
    NotAuthenticated,
    /// The broker refused, or the user has none.
    BrokerError,
    /// The broker session could not be initialized.
    BrokerInitError,
    /// The broker session could not be connected, or is lost.
    BrokerConnectionError,
    /// A field is missing or has a value that makes no sense.
    InvalidParameters,
    /// `mode` is none of the known spellings.
    InvalidMode,
    /// `action` names no request.
    InvalidAction,
    /// The message is not JSON.
    InvalidJson,
    /// The gateway failed outside the request.
    ProcessingError,
    /// The message or one of its fields has the wrong JSON type, or the gateway failed.
    ServerError,
    /// The request would exceed a limit; its message names it.
    LimitExceeded,
    /// The client asks too often.
    RateLimited,
    /// The client may not do this.
    Forbidden,
    /// The broker did not answer in time.
    BrokerTimeout,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::AuthenticationError,
        Self::NotAuthenticated,
        Self::BrokerError,
        Self::BrokerInitError,
        Self::BrokerConnectionError,
        Self::InvalidParameters,
        Self::InvalidMode,
        Self::InvalidAction,
        Self::InvalidJson,
        Self::ProcessingError,
        Self::ServerError,
        Self::LimitExceeded,
        Self::RateLimited,
        Self::Forbidden,
        Self::BrokerTimeout,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationError => "AUTHENTICATION_ERROR",
            Self::NotAuthenticated => "NOT_AUTHENTICATED",
            Self::BrokerError => "BROKER_ERROR",
            Self::BrokerInitError => "BROKER_INIT_ERROR",
            Self::BrokerConnectionError => "BROKER_CONNECTION_ERROR",
            Self::InvalidParameters => "INVALID_PARAMETERS",
            Self::InvalidMode => "INVALID_MODE",
            Self::InvalidAction => "INVALID_ACTION",
            Self::InvalidJson => "INVALID_JSON",
            Self::ProcessingError => "PROCESSING_ERROR",
            Self::ServerError => "SERVER_ERROR",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Forbidden => "FORBIDDEN",
            Self::BrokerTimeout => "BROKER_TIMEOUT",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request, or one row of it, is turned down.
///
/// The connection stays open; the next request is served. Messages are for people, start with
/// a capital and have no full stop, as those of the original do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Reject {
    /// What kind of refusal.
    pub code: ErrorCode,
    /// For people. Never holds a credential.
    pub message: String,
    /// After how many milliseconds it is worth trying again, where that is known.
    pub retry_after_ms: Option<u64>,
}

/// Refusals that the state of the client or the gateway causes.
impl Reject {
    /// A refusal in other words. `message` is cut to 512 characters; control characters in it
    /// become `?`, so that a broker's own words can be given.
    #[must_use]
    pub fn new(code: ErrorCode, message: &str) -> Self {
        Self { code, message: clean_message(message), retry_after_ms: None }
    }

    /// The client has not authenticated.
    #[must_use]
    pub fn not_authenticated() -> Self {
        Self::of(ErrorCode::NotAuthenticated, "You must authenticate first")
    }

    /// An authenticate holds neither key nor token.
    #[must_use]
    pub fn api_key_required() -> Self {
        Self::of(ErrorCode::AuthenticationError, "API key is required")
    }

    /// No user has this key.
    #[must_use]
    pub fn invalid_api_key() -> Self {
        Self::of(ErrorCode::AuthenticationError, "Invalid API key")
    }

    /// The token is not valid.
    #[must_use]
    pub fn invalid_token() -> Self {
        Self::of(ErrorCode::AuthenticationError, "Invalid token")
    }

    /// Nobody can say now whether the credential is good.
    #[must_use]
    pub fn cannot_verify_now() -> Self {
        Self::of(ErrorCode::ServerError, "Credentials cannot be checked now; try again later")
    }

    /// The user has no broker.
    #[must_use]
    pub fn no_broker() -> Self {
        Self::of(ErrorCode::BrokerError, "No broker configuration found for user")
    }

    /// The broker did not answer in time.
    #[must_use]
    pub fn broker_timeout() -> Self {
        Self::of(ErrorCode::BrokerTimeout, "Broker did not answer in time")
    }

    /// An unsubscribe of what the client does not hold.
    #[must_use]
    pub fn not_subscribed() -> Self {
        Self::of(
            ErrorCode::InvalidParameters,
            "Client is not subscribed to this symbol/exchange/mode",
        )
    }

    /// The client would hold more than `limit` topics.
    #[must_use]
    pub fn too_many_subscriptions(limit: usize) -> Self {
        Self::of(
            ErrorCode::LimitExceeded,
            format!("A client may hold at most {limit} subscriptions"),
        )
    }

    /// The user's clients would hold more than `limit` topics together.
    #[must_use]
    pub fn too_many_subscriptions_of_user(limit: usize) -> Self {
        Self::of(
            ErrorCode::LimitExceeded,
            format!("The clients of a user may hold at most {limit} subscriptions together"),
        )
    }

    /// The user has as many clients as it may have.
    #[must_use]
    pub fn too_many_clients_of_user(limit: usize) -> Self {
        Self::of(
            ErrorCode::LimitExceeded,
            format!("A user may have at most {limit} connections at a time"),
        )
    }

    /// The credential was good a moment ago.
    #[must_use]
    pub fn credential_revoked() -> Self {
        Self::of(ErrorCode::AuthenticationError, "This credential has just been revoked or changed")
    }

    /// The client says more than it may; it may go on after so many milliseconds.
    #[must_use]
    pub fn rate_limited(retry_after_ms: u64) -> Self {
        let mut reject = Self::of(ErrorCode::RateLimited, "Too many messages; slow down");
        reject.retry_after_ms = Some(retry_after_ms);
        reject
    }

    /// There were too many failed authentications from the client's address; it may try again
    /// after so many milliseconds.
    #[must_use]
    pub fn too_many_attempts(retry_after_ms: u64) -> Self {
        let message = "Too many failed authentications from your address; try again later";
        let mut reject = Self::of(ErrorCode::RateLimited, message);
        reject.retry_after_ms = Some(retry_after_ms);
        reject
    }

    /// The same refusal, saying where this leads if it goes on.
    #[must_use]
    pub fn with_warning(mut self) -> Self {
        self.message.push_str("; this connection will be closed if this goes on");
        self
    }

    /// The user may not do this; `what` completes "You may not".
    #[must_use]
    pub fn forbidden(what: &str) -> Self {
        Self::new(ErrorCode::Forbidden, &format!("You may not {what}"))
    }

    /// The client's channel sends everybody the same.
    #[must_use]
    pub fn broadcasts() -> Self {
        let message =
            "This channel broadcasts the same to everybody; there is nothing to subscribe";
        Self::of(ErrorCode::Forbidden, message)
    }

    /// The gateway is about to stop.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::of(ErrorCode::ServerError, "Server is shutting down")
    }

    /// The bus cannot carry this instrument: its topic would be read as another one.
    #[must_use]
    pub fn not_on_the_bus() -> Self {
        Self::of(
            ErrorCode::InvalidParameters,
            "Exchange and symbol cannot be told apart in a topic; check the exchange",
        )
    }
}

/// Refusals that the text of the message causes.
impl Reject {
    pub(super) fn of(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    /// The message is not UTF-8 or not JSON.
    #[must_use]
    pub fn invalid_json() -> Self {
        Self::of(ErrorCode::InvalidJson, "Invalid JSON message")
    }

    /// The message nests deeper than `limit` levels.
    #[must_use]
    pub fn too_deep(limit: usize) -> Self {
        Self::of(
            ErrorCode::InvalidJson,
            format!("Invalid JSON message: nested deeper than {limit} levels"),
        )
    }

    /// The message holds more than `limit` values.
    #[must_use]
    pub fn too_many_values(limit: usize) -> Self {
        Self::of(
            ErrorCode::InvalidJson,
            format!("Invalid JSON message: more than {limit} values in it"),
        )
    }

    /// The message is JSON, but no object.
    #[must_use]
    pub fn not_an_object() -> Self {
        Self::of(ErrorCode::ServerError, "Message must be a JSON object")
    }

    /// `field` has the wrong JSON type.
    #[must_use]
    pub fn wrong_type(field: &str, expected: &str) -> Self {
        Self::of(ErrorCode::ServerError, format!("Field '{field}' must be {expected}"))
    }

    /// `field` is longer than `limit` bytes.
    #[must_use]
    pub fn too_long(field: &str, limit: usize) -> Self {
        Self::of(
            ErrorCode::InvalidParameters,
            format!("Field '{field}' is longer than {limit} bytes"),
        )
    }

    /// No request has this name. A missing name is `None`.
    #[must_use]
    pub fn invalid_action(action: Option<&str>) -> Self {
        let action = action.map_or_else(|| "None".to_owned(), |text| clean(text, QUOTED_CHARS_MAX));
        Self::of(ErrorCode::InvalidAction, format!("Invalid action: {action}"))
    }

    /// A subscribe without symbols.
    #[must_use]
    pub fn no_symbols() -> Self {
        Self::of(ErrorCode::InvalidParameters, "At least one symbol must be specified")
    }

    /// An unsubscribe without symbols.
    #[must_use]
    pub fn nothing_to_unsubscribe() -> Self {
        Self::of(ErrorCode::InvalidParameters, "Either symbols or unsubscribe_all is required")
    }

    /// More than `limit` entries in `symbols`.
    #[must_use]
    pub fn too_many_symbols(limit: usize) -> Self {
        Self::of(ErrorCode::LimitExceeded, format!("A request may name at most {limit} symbols"))
    }

    /// An integer that is no mode, in the client's digits.
    #[must_use]
    pub fn invalid_mode_number(digits: &str) -> Self {
        let digits = clean(digits, QUOTED_CHARS_MAX);
        Self::of(
            ErrorCode::InvalidMode,
            format!("Invalid mode {digits}; expected 1 (LTP), 2 (Quote), or 3 (Depth)"),
        )
    }

    /// A word that is no mode.
    #[must_use]
    pub fn invalid_mode_name(name: &str) -> Self {
        let name = clean(name, QUOTED_CHARS_MAX);
        Self::of(
            ErrorCode::InvalidMode,
            format!(
                "Invalid mode '{name}'; expected 'LTP', 'Quote', or 'Depth' (case-insensitive)"
            ),
        )
    }

    /// A mode that is neither integer nor word; `found` names its type as Python does.
    #[must_use]
    pub fn invalid_mode_type(found: &'static str) -> Self {
        Self::of(ErrorCode::InvalidMode, format!("Mode must be int or str, got {found}"))
    }

    /// A depth that is no whole number from 1 to `limit`.
    #[must_use]
    pub fn invalid_depth(limit: u32) -> Self {
        Self::of(
            ErrorCode::InvalidParameters,
            format!("Depth must be a whole number from 1 to {limit}"),
        )
    }

    /// A pace that is neither 0 nor a whole number of milliseconds within `limits`.
    #[must_use]
    pub fn invalid_interval(limits: &RangeInclusive<u64>) -> Self {
        let (least, most) = (limits.start(), limits.end());
        Self::of(
            ErrorCode::InvalidParameters,
            format!("interval_ms must be 0 or a whole number from {least} to {most}"),
        )
    }

    /// A `snapshot` that is neither true nor false.
    #[must_use]
    pub fn invalid_snapshot() -> Self {
        Self::of(ErrorCode::InvalidParameters, "Snapshot must be true or false")
    }

    /// An exchange or symbol that is missing, no text, too long or not a name; `why` completes
    /// "Exchange" or "Symbol".
    #[must_use]
    pub fn invalid_name(field: &'static str, why: &str) -> Self {
        Self::of(ErrorCode::InvalidParameters, format!("{field} {why}"))
    }
}
