//! What the audit log says: the schema of its lines.
//!
//! A record holds numbers, words of this program, and names that have passed the checks of a
//! request or of a credential. There is no text field and no way to build a record from a
//! credential or from a client's own words, so no secret can get in by mistake.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::runtime::calendar;
use crate::topic::{BrokerName, ChannelPath, ClientId, Role, Topic, UserId};

/// One line of the audit log. Fields that are absent are left out of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, in milliseconds since 1970. Shown as `unix_ms` and, in RFC 3339, as `time`.
    pub unix_ms: u64,
    /// What happened, shown as `event` and the fields of its own.
    pub what: What,
    /// Which connection.
    pub client: Option<ClientId>,
    /// From where; behind a trusted proxy, what it says.
    pub address: Option<IpAddr>,
    /// As whom it has authenticated.
    pub user: Option<UserId>,
    /// In which role.
    pub role: Option<Role>,
    /// How many records before this one were lost because the queue was full; left out if none.
    pub dropped: u64,
}

/// Something that is worth a line. Each variant's documentation begins with the name of its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum What {
    /// `connection_opened`: a WebSocket handshake is done.
    Opened {
        /// The path of its channel in the configuration, or `/`.
        channel: ChannelPath,
    },
    /// `connection_closed`: and with it all its subscriptions end.
    Closed {
        /// The WebSocket close code, if one was said.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
        /// Which rule the gateway closed it by, or `closed by the client`; absent: it broke.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// `connection_turned_away`: it did not become a client.
    TurnedAway {
        /// `full`, `crowded`, `channel_full`, `blocked`, `path`, `role`, `foreign_page`,
        /// `credential`, `request`, `timeout`, `broken`, `stopping`.
        reason: &'static str,
        /// The HTTP status it was answered with, if it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// How many of its network were, within some ten minutes: the 1st, 2nd, 4th, 8th … is
        /// written.
        count: u64,
    },
    /// `authenticated`: the credential was good and the user is in.
    Authenticated {},
    /// `authentication_failed`: of one connection the 1st, 2nd, 4th, 8th … time.
    AuthenticationFailed {
        /// The code of the answer, e.g. `AUTHENTICATION_ERROR`.
        reason: &'static str,
        /// How often that has happened on this connection.
        count: u64,
    },
    /// `token_issued`: somebody got a one-use token for a credential.
    TokenIssued {},
    /// `subscription_added`: the broker has agreed.
    SubscriptionAdded {
        /// `EXCHANGE:SYMBOL/MODE`
        #[serde(serialize_with = "as_text")]
        topic: Topic,
    },
    /// `subscription_removed`: by the client, or because it left.
    SubscriptionRemoved {
        /// `EXCHANGE:SYMBOL/MODE`
        #[serde(serialize_with = "as_text")]
        topic: Topic,
    },
    /// `rate_limited`: it says more than it may; of one connection the 1st, 2nd, 4th, 8th … time.
    RateLimited {
        /// How often that has happened on this connection.
        count: u64,
    },
    /// `violation`: another rule was broken; of one connection and rule the 1st, 2nd, 4th … time.
    Violation {
        /// `malformed`, `name` or `credential`.
        rule: &'static str,
        /// How often that has happened on this connection.
        count: u64,
    },
    /// `conduct_closed`: it has broken rules too often and is being closed with 4429.
    ConductClosed {},
    /// `address_blocked`: nobody comes in from there for a time.
    AddressBlocked {
        /// One address or a network.
        #[serde(serialize_with = "as_text")]
        network: IpNet,
        /// For how many milliseconds; absent: until somebody lifts it.
        #[serde(skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
    },
    /// `admin_action`: an administrator had something done.
    AdminAction {
        /// What, e.g. `block`.
        command: &'static str,
        /// Whom or what it was about.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_shown")]
        target: Option<Target>,
        /// `done`, or the code of the refusal.
        outcome: &'static str,
        /// Who; `local` without a connection: somebody on the gateway's own machine.
        #[serde(serialize_with = "user_or_local")]
        by: Option<UserId>,
    },
    /// `credentials_reloaded`: the files of credentials were read again.
    CredentialsReloaded {
        /// Credentials that are gone, or somebody else's now.
        revoked: u64,
        /// Credentials that give another role now.
        changed: u64,
    },
    /// `credentials_not_reloaded`: a file was bad; what held before goes on holding.
    CredentialsNotReloaded {},
    /// `credentials_invalidated`: the bus said that a user's broker login has changed.
    CredentialsInvalidated {},
    /// `feed_silent`: none of a broker's topics ticks although markets are open; it may have agreed
    /// to all of them.
    FeedSilent {
        /// Whose.
        #[serde(serialize_with = "as_text")]
        broker: BrokerName,
        /// How many topics.
        topics: u64,
    },
    /// `feed_audible`: one of them ticks again.
    FeedAudible {
        /// Whose.
        #[serde(serialize_with = "as_text")]
        broker: BrokerName,
    },
}

/// Whom or what an administrator's command was about. What a broadcast says, and which filter the
/// log follows, is free text and not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One address or a network.
    Network(IpNet),
    /// A user.
    User(UserId),
    /// A connection.
    Client(ClientId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::User(user) => user.fmt(f),
            Self::Client(client) => client.fmt(f),
        }
    }
}

impl What {
    /// Every event's name, in the order of a connection's life.
    pub const NAMES: [&'static str; 18] = [
        "connection_opened",
        "connection_closed",
        "connection_turned_away",
        "authenticated",
        "authentication_failed",
        "token_issued",
        "subscription_added",
        "subscription_removed",
        "rate_limited",
        "violation",
        "conduct_closed",
        "address_blocked",
        "admin_action",
        "credentials_reloaded",
        "credentials_not_reloaded",
        "credentials_invalidated",
        "feed_silent",
        "feed_audible",
    ];

    /// The name of the event, one of [`What::NAMES`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "connection_opened",
            Self::Closed { .. } => "connection_closed",
            Self::TurnedAway { .. } => "connection_turned_away",
            Self::Authenticated {} => "authenticated",
            Self::AuthenticationFailed { .. } => "authentication_failed",
            Self::TokenIssued {} => "token_issued",
            Self::SubscriptionAdded { .. } => "subscription_added",
            Self::SubscriptionRemoved { .. } => "subscription_removed",
            Self::RateLimited { .. } => "rate_limited",
            Self::Violation { .. } => "violation",
            Self::ConductClosed {} => "conduct_closed",
            Self::AddressBlocked { .. } => "address_blocked",
            Self::AdminAction { .. } => "admin_action",
            Self::CredentialsReloaded { .. } => "credentials_reloaded",
            Self::CredentialsNotReloaded {} => "credentials_not_reloaded",
            Self::CredentialsInvalidated {} => "credentials_invalidated",
            Self::FeedSilent { .. } => "feed_silent",
            Self::FeedAudible { .. } => "feed_audible",
        }
    }

    /// A record of this, about nobody in particular. Its time is set where it is put in the queue.
    #[must_use]
    pub const fn record(self) -> Record {
        Record {
            unix_ms: 0,
            what: self,
            client: None,
            address: None,
            user: None,
            role: None,
            dropped: 0,
        }
    }

    /// A record of this, about a connection.
    #[must_use]
    pub fn of(self, client: ClientId) -> Record {
        Record { client: Some(client), ..self.record() }
    }
}

impl Record {
    /// The line, with its newline.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a record has only text for keys");
        line.push(b'\n');
        line
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            unix_ms: u64,
            time: String,
            event: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            client: Option<ClientId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            address: Option<IpAddr>,
            #[serde(skip_serializing_if = "Option::is_none")]
            user: Option<&'a UserId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            role: Option<Role>,
            #[serde(flatten)]
            what: &'a What,
            #[serde(skip_serializing_if = "is_zero")]
            dropped: u64,
        }
        let Self { unix_ms, what, client, address, user, role, dropped } = self;
        let line = Line {
            unix_ms: *unix_ms,
            time: calendar::utc_ms(*unix_ms),
            event: what.name(),
            client: *client,
            address: *address,
            user: user.as_ref(),
            role: *role,
            what,
            dropped: *dropped,
        };
        line.serialize(serializer)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn as_text<S: Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde hands over references")]
fn as_shown<S: Serializer>(target: &Option<Target>, serializer: S) -> Result<S::Ok, S::Error> {
    match target {
        Some(target) => serializer.collect_str(target),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::ref_option, reason = "serde hands over references")]
fn user_or_local<S: Serializer>(by: &Option<UserId>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(by.as_ref().map_or("local", UserId::as_str))
}
