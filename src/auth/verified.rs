//! What is asked of the providers of credentials, and what they answer.

use std::future::Future;

use sha2::{Digest, Sha256};

use super::jwt::JwtFault;
use crate::protocol::{Credential, Secret};
use crate::topic::{BrokerName, CredentialTag, Role, UserId};

/// Whom a credential belongs to, and how far it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The account.
    pub user: UserId,
    /// The user's broker; absent: the first one configured.
    pub broker: Option<BrokerName>,
    /// How much the user may do.
    pub role: Role,
    /// Whether this is the demo key, or came of it.
    pub demo: bool,
    /// Names the credential, to find what came in by it when it is revoked.
    pub tag: CredentialTag,
    /// From then on it would be refused, in milliseconds since 1970. Absent: never by itself.
    pub expires_unix_ms: Option<u64>,
}

/// How a credential came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `api_key` of the message `authenticate`.
    ApiKey,
    /// `token` of that message.
    Token,
    /// `Authorization: Bearer …`.
    Bearer,
    /// A cookie.
    Cookie,
    /// `Sec-WebSocket-Protocol: tickgate, bearer.…`.
    Subprotocol,
    /// `?token=…`.
    Query,
}

impl Way {
    /// Whether long-lived keys are taken that way. Not from a URL, which proxies and histories
    /// keep, nor where the client says itself that it is a token.
    #[must_use]
    pub const fn takes_keys(self) -> bool {
        match self {
            Self::ApiKey | Self::Bearer | Self::Cookie | Self::Subprotocol => true,
            Self::Token | Self::Query => false,
        }
    }
}

/// A credential as a client shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its text.
    pub secret: Secret,
    /// How it came.
    pub way: Way,
}

impl From<Credential> for Presented {
    fn from(credential: Credential) -> Self {
        match credential {
            Credential::ApiKey(secret) => Self { secret, way: Way::ApiKey },
            Credential::Token(secret) => Self { secret, way: Way::Token },
        }
    }
}

/// Why a credential is refused. For the operator: the client is told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows it.
    #[error("nobody has this credential")]
    Unknown,
    /// A one-use token that was never made here, was used, or is too old.
    #[error("the one-use token is unknown, used or too old")]
    Spent,
    /// A JWT that is not good.
    #[error("the JWT is refused: {0}")]
    Jwt(#[from] JwtFault),
}

/// Why somebody does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The credential is wrong.
    #[error("{0}")]
    Bad(#[from] Refusal),
    /// It is good, but its user is logged in with no broker. No attempt to be counted.
    #[error("the user is with no broker")]
    NoBroker,
    /// It cannot be checked now. The client may try again, and this counts as no attempt.
    #[error("credentials cannot be checked now: {0}")]
    Unavailable(&'static str),
}

/// What a provider is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) secret: &'a str,
    pub(super) way: Way,
    /// Whether the client is on this machine.
    pub(super) loopback: bool,
    /// Milliseconds since 1970.
    pub(super) unix_ms: u64,
    /// Milliseconds on a clock that never steps.
    pub(super) now_ms: u64,
}

/// What a provider says.
pub(super) enum Judgement {
    /// It knows no such credential; another provider may.
    NotMine,
    Good(Verified),
    Bad(Refusal),
    /// The credential is good and its user has no broker.
    NoBroker,
    /// It cannot say now, for this reason.
    Unavailable(&'static str),
}

/// One way to know who somebody is.
pub(super) trait Provider {
    fn judge(&self, asked: Asked<'_>) -> impl Future<Output = Judgement> + Send;
}

/// The first 64 bits of a SHA-256 over the parts, each with its length.
pub(super) fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
