//! The nouns everything else is made of: users, brokers, instruments, topics, modes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a subscription asks for. Higher modes contain the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Last traded price.
    Ltp = 1,
    /// Price with the day's open, high, low and volume.
    Quote = 2,
    /// Quote with the order book.
    Depth = 3,
}

impl Mode {
    /// Every mode, lowest first.
    pub const ALL: [Self; 3] = [Self::Ltp, Self::Quote, Self::Depth];

    /// The number used in requests and ticks: 1, 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Position in a table with one cell per mode: 0, 1 or 2.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// The word used in answers: `LTP`, `Quote` or `Depth`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ltp => "LTP",
            Self::Quote => "Quote",
            Self::Depth => "Depth",
        }
    }

    /// The last segment of a bus topic: `LTP`, `QUOTE` or `DEPTH`.
    #[must_use]
    pub const fn segment(self) -> &'static str {
        match self {
            Self::Ltp => "LTP",
            Self::Quote => "QUOTE",
            Self::Depth => "DEPTH",
        }
    }

    /// The mode with this number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Ltp),
            2 => Some(Self::Quote),
            3 => Some(Self::Depth),
            _ => None,
        }
    }

    /// The mode with this name, in any case.
    #[must_use]
    pub const fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("ltp") {
            Some(Self::Ltp)
        } else if name.eq_ignore_ascii_case("quote") {
            Some(Self::Quote)
        } else if name.eq_ignore_ascii_case("depth") {
            Some(Self::Depth)
        } else {
            None
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Defines a cheap, shareable name.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(name: T) -> Self {
                Self(name.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name_type! {
    /// The account behind one or more clients.
    UserId
}
name_type! {
    /// A broker as the configuration names it, e.g. `zerodha`.
    BrokerName
}

name_type! {
    /// A channel as the configuration names it, e.g. `/ws/market`.
    ChannelPath
}

/// The user that all those are together who show no credential.
pub const ANONYMOUS: &str = "anonymous";

/// One WebSocket connection. Numbers are never reused within a gateway's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

impl ClientId {
    /// The first number of the gateway's own.
    const OWN: u64 = 1 << 62;

    /// The n-th client that is no connection: the gateway itself subscribes by it.
    #[must_use]
    pub const fn own(n: u64) -> Self {
        Self(Self::OWN + n)
    }

    /// Whether it is the gateway's own.
    #[must_use]
    pub const fn is_own(self) -> bool {
        self.0 >= Self::OWN
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(Self::OWN) {
            Some(own) => write!(f, "own{own}"),
            None => write!(f, "c{}", self.0),
        }
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// Something that is traded: a symbol at an exchange, both upper or lower case as the broker
/// spells them. Two spellings are two instruments.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instrument {
    /// E.g. `NSE` or `NSE_INDEX`.
    pub exchange: Arc<str>,
    /// E.g. `RELIANCE`, `M&M`, `TCS:50`, `SOL_INR`.
    pub symbol: Arc<str>,
}

impl Instrument {
    /// Names an instrument.
    pub fn new(exchange: impl Into<Arc<str>>, symbol: impl Into<Arc<str>>) -> Self {
        Self { exchange: exchange.into(), symbol: symbol.into() }
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.exchange, self.symbol)
    }
}

impl fmt::Debug for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What can be subscribed to: an instrument in one mode.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// What is traded.
    pub instrument: Instrument,
    /// How much of it is wanted.
    pub mode: Mode,
}

impl Topic {
    /// Names a topic.
    #[must_use]
    pub const fn new(instrument: Instrument, mode: Mode) -> Self {
        Self { instrument, mode }
    }

    /// The same instrument in this mode.
    #[must_use]
    pub fn in_mode(&self, mode: Mode) -> Self {
        Self { instrument: self.instrument.clone(), mode }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.instrument, self.mode)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much a user may do, least first. What each may do is the configuration's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nobody in particular.
    Anonymous,
    /// Looks at a few prices.
    Viewer,
    /// Trades. What a credential gives that names no role.
    #[default]
    Trader,
    /// Looks at many prices.
    Analyst,
    /// Runs the gateway.
    Admin,
    /// Runs those who run the gateway.
    SuperAdmin,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::Viewer, Self::Trader, Self::Analyst, Self::Admin, Self::SuperAdmin];

    /// As it is written in files and answers, e.g. `super_admin`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Viewer => "viewer",
            Self::Trader => "trader",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
            Self::SuperAdmin => "super_admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Text that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is anonymous, viewer, trader, analyst, admin or super_admin")]
pub struct NotARole;

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(NotARole)
    }
}

/// Names a credential without telling it, so that connections which came in by it can be found.
///
/// It is made of hashes cut to 64 bits, and is the same in every process that knows the
/// credential. What was issued under another credential, as a JWT is under a signing key, has two
/// parts: the first is that of its issuer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialTag {
    issuer: u64,
    issued: Option<u64>,
}

impl CredentialTag {
    /// The tag of a credential that stands for itself, or of an issuer.
    #[must_use]
    pub const fn new(issuer: u64) -> Self {
        Self { issuer, issued: None }
    }

    /// The tag of what this one has issued.
    #[must_use]
    pub const fn issuing(self, issued: u64) -> Self {
        Self { issuer: self.issuer, issued: Some(issued) }
    }

    /// Whether `other` is this credential or was issued under it: when this one is revoked, so is
    /// the other.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self == other || (self.issued.is_none() && self.issuer == other.issuer)
    }
}

impl fmt::Display for CredentialTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.issuer)?;
        match self.issued {
            Some(issued) => write!(f, ".{issued:016x}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CredentialTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_written_and_read_in_one_way_and_ranks() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            let json = serde_json::to_string(&role).expect("serializes");
            assert_eq!(json, format!("\"{role}\""));
        }
        assert_eq!("Admin".parse::<Role>(), Err(NotARole));
        assert!(Role::ALL.is_sorted());
    }

    #[test]
    fn an_issuer_covers_what_it_issued_and_nothing_else() {
        let issuer = CredentialTag::new(7);
        let one = issuer.issuing(1);
        assert!(issuer.covers(one) && issuer.covers(issuer) && one.covers(one));
        assert!(!one.covers(issuer) && !one.covers(issuer.issuing(2)));
        assert!(!issuer.covers(CredentialTag::new(8).issuing(1)));
        assert_eq!(one.to_string(), "0000000000000007.0000000000000001");
    }
}
