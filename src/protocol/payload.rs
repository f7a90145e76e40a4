//! The second part of a message on the bus.

use std::borrow::Cow;

use crate::topic::UserId;

/// A payload that can be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<'a> {
    /// Exactly one JSON object, without blanks around it.
    pub json: Cow<'a, [u8]>,
    /// How many `NaN`, `Infinity` and `-Infinity` became `null`.
    pub nulled: u32,
}

/// Why a payload cannot be passed on. Count the message and drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPayload {
    /// Not JSON.
    #[error("payload is not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("payload is not a JSON object")]
    NotAnObject,
    /// Nested deeper than 64 levels.
    #[error("payload is nested too deep")]
    TooDeep,
    /// No usable `user_id`.
    #[error("payload names no user")]
    NoUser,
    /// `cache_type` is none of `AUTH`, `FEED` and `ALL`.
    #[error("payload names no known cache type")]
    UnknownCacheType,
}

/// What a credential change makes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheType {
    /// The session token.
    Auth,
    /// The feed token.
    Feed,
    /// Both.
    All,
}

/// A user's credentials changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub cache_type: CacheType,
}

/// Checks that a payload is exactly one JSON object.
///
/// # Errors
///
/// Fails if it is not. Count it and drop the message.
pub fn check_payload(payload: &[u8]) -> Result<Checked<'_>, BadPayload> {
    let _ = payload;
    Err(BadPayload::NotJson)
}

/// Whose order update this is. `payload` is the `json` of [`check_payload`].
///
/// # Errors
///
/// Fails if `user_id` is missing. Count it and drop the message.
pub fn parse_order_user(payload: &[u8]) -> Result<UserId, BadPayload> {
    let _ = payload;
    Err(BadPayload::NoUser)
}

/// Reads the payload of a `CACHE_INVALIDATE_…` message.
///
/// # Errors
///
/// Fails if it names no user. Count it and drop the message.
pub fn parse_invalidation(payload: &[u8]) -> Result<Invalidation, BadPayload> {
    let _ = payload;
    Err(BadPayload::NoUser)
}
