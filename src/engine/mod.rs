//! The deciding part of the gateway: plain synchronous state machines, event in, effects out.
//!
//! [`Hub`] owns control: clients, users, broker sessions, wants, broker commands. It never sees a
//! tick. [`Shard`] owns data: routes, last values, outboxes. It never talks to a broker.
//! [`Index`] tells the feed which routes a tick serves. None of them knows a socket, a task or a
//! clock: time comes in as milliseconds of the gateway's own clock.

mod backlog;
mod backoff;
mod broadcast;
mod calls;
mod channel;
mod conduct;
mod feed_state;
mod gate;
mod hub;
mod index;
mod numbered;
mod outbox;
mod pace;
mod prefixes;
mod shard;
mod timers;
mod upstream;
mod wheel;
mod wildcards;

use bytes::Bytes;

use crate::broker::{BrokerEvent, Command};
use crate::protocol::{
    AdminAnswer, AdminCommand, Answer, BadEntry, Reject, RequestId, SubscribeEntry,
    UnsubscribeEntry,
};
use crate::topic::{BrokerName, ClientId, CredentialTag, Role, Topic, UserId};

pub use backlog::{Backlog, BacklogLimits};
pub use broadcast::{Broadcast, BroadcastEffect, BroadcastOptions, BroadcastTotals};
pub use calls::{Calls, Urgency};
pub use channel::{ChannelId, ChannelRules};
pub use conduct::{Conduct, Escalation, Rates, Reaction, Violation};
pub use feed_state::{Bounds, FeedNote, FeedState, Hours, Moment, RouteNews, TopicCounts};
pub use gate::{
    Arrival, Attempt, Gate, GateEffect, GateOptions, GateTotals, NotBlocked, Refusal, Tried,
    network_of,
};
pub use hub::{
    Hub, HubClient, HubOptions, HubSnapshot, HubTotals, SessionSnapshot, SessionState,
    TopicSnapshot,
};
pub use index::{Index, Served, TickAddress};
pub use outbox::{Content, Lost, Outbox, OutboxLimits, Overflow};
pub use prefixes::{PrefixChange, Prefixes, always as always_wanted};
pub use shard::{Change, Manner, OVERFLOWED, Orders, Shard, ShardOptions, ShardTotals};
pub use upstream::{Upstream, UpstreamCommand};
pub use wildcards::{Picked, Wild, Wildcards};

/// Number of a shard, from 0.
pub type ShardId = usize;

/// Names one (topic, broker) pair that somebody wants, in feed and shards. Never reused, so that
/// a tick still under way cannot reach the subscribers of another topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u64);

/// Counts how often a shard was told that it wants a route, or no longer does. Whoever sends it
/// ticks says how far it had been told of that itself: what it sent before a route began anew can
/// be told apart by it, as what an outdated holder of a lock does is by a fencing token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Who a credential belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: UserId,
    /// The broker the account is with.
    pub broker: BrokerName,
    /// How much the user may do.
    pub role: Role,
    /// The credential, if it can be revoked.
    pub credential: Option<CredentialUse>,
}

/// A credential that somebody has come in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialUse {
    /// Names it.
    pub tag: CredentialTag,
    /// How often credentials had been read again when it was found good, or fewer.
    pub generation: u64,
    /// How many milliseconds it is good for; `None`: until it is revoked.
    pub expires_in_ms: Option<u64>,
}

impl Identity {
    /// A trader whose credential is never revoked.
    #[must_use]
    pub const fn trader(user: UserId, broker: BrokerName) -> Self {
        Self { user, broker, role: Role::Trader, credential: None }
    }
}

/// A client's request, parsed, its credential already verified.
#[derive(Clone, Debug)]
pub enum Request {
    /// `authenticate`, with whom the credential named.
    Authenticate(Result<Identity, Reject>),
    /// `subscribe`.
    Subscribe(Vec<Result<SubscribeEntry, BadEntry>>),
    /// `unsubscribe`.
    Unsubscribe(Vec<Result<UnsubscribeEntry, BadEntry>>),
    /// `unsubscribe_all`.
    UnsubscribeAll,
    /// `subscribe_orders`.
    SubscribeOrders,
    /// `unsubscribe_orders`.
    UnsubscribeOrders,
    /// `get_broker_info`.
    BrokerInfo,
    /// `get_supported_brokers`.
    SupportedBrokers,
    /// `admin`.
    Admin(AdminCommand),
    /// An answer that needs nothing of the hub but its turn: a pong, a refusal by the parser.
    Ready(Answer),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client finished its handshake; its shard already knows it.
    Opened {
        /// Its number, never seen before.
        client: ClientId,
        /// Where its outbox lives.
        shard: ShardId,
        /// By which way it has come.
        channel: ChannelId,
    },
    /// A client asks for something.
    Request {
        /// Who asks.
        client: ClientId,
        /// Echoed in the answer.
        request_id: Option<RequestId>,
        /// What it asks.
        request: Request,
    },
    /// A client's connection has ended, for whatever reason.
    Closed {
        /// Which.
        client: ClientId,
    },
    /// A broker said something.
    Broker {
        /// Which.
        broker: BrokerName,
        /// What.
        event: BrokerEvent,
    },
    /// The bus says that a user's broker credentials have changed.
    Invalidate {
        /// Whose.
        user: UserId,
    },
    /// Credentials have been read again, for the so-many-th time. Whoever came in by one of these
    /// has to leave, and whoever is still on the way in with one is turned down.
    Revoke {
        /// Counts from 1, without gaps.
        generation: u64,
        /// Credentials that are gone, or give another role now.
        tags: Vec<CredentialTag>,
    },
    /// An [`Effect::Administer`] has ended.
    Administered {
        /// Who asked.
        client: ClientId,
        /// As it was given.
        number: u64,
        /// What it gets for an answer.
        result: Result<AdminAnswer, Reject>,
    },
    /// Time has passed. Send it when [`Hub::next_deadline_ms`] is due.
    Timer,
    /// The gateway is to stop: close the clients, then the sessions.
    Drain,
}

/// The WebSocket close code of a gateway that ends ("Service Restart" in IANA's registry).
pub const RESTARTING: u16 = 1012;

/// Something the shell is to do. Effects are carried out in the order in which they are given; a
/// shard lets all but a close with [`RESTARTING`] pass the ticks that wait.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Change a client's routes and send it an answer, as one step of its shard.
    Deliver {
        /// Whose.
        client: ClientId,
        /// Where.
        shard: ShardId,
        /// What changes; applied before the answer goes out, except for what is added.
        change: Change,
        /// The answer, if one is due, with the id to echo.
        answer: Option<(Answer, Option<RequestId>)>,
    },
    /// Send what is left, then this close code, then end the connection.
    Close {
        /// Whose.
        client: ClientId,
        /// Where.
        shard: ShardId,
        /// WebSocket close code.
        code: u16,
        /// Which rule says so.
        reason: &'static str,
    },
    /// Forget a client whose connection has ended.
    Detach {
        /// Which.
        client: ClientId,
        /// Where.
        shard: ShardId,
    },
    /// From now on (or no longer) a shard has somebody who wants a topic.
    Interest {
        /// The route's number.
        route: RouteId,
        /// What is wanted.
        topic: Topic,
        /// By users of which broker.
        broker: BrokerName,
        /// Where.
        shard: ShardId,
        /// Wanted, or no longer wanted.
        wanted: bool,
    },
    /// From now on a session serves a route (`up`), or none does any more. Until something is said,
    /// one does.
    Served {
        /// Which.
        route: RouteId,
        /// Whether a user who wants it has a session.
        up: bool,
    },
    /// From now on (or no longer) a shard has somebody who hears a broadcast.
    Audience {
        /// Whose broadcast.
        channel: ChannelId,
        /// On which route it is sent there.
        route: RouteId,
        /// Where.
        shard: ShardId,
        /// Heard, or no longer heard.
        wanted: bool,
    },
    /// Have a broker do something.
    Command {
        /// Which broker.
        broker: BrokerName,
        /// What to do.
        command: Command,
    },
    /// Carry out a client's command, which its role allows, and say so with
    /// [`Event::Administered`].
    Administer {
        /// Who asks.
        client: ClientId,
        /// Tells this command from others.
        number: u64,
        /// As whom.
        user: UserId,
        /// What.
        command: AdminCommand,
    },
    /// Give these clients, each in its shard, a frame outside the order of their requests.
    Notice {
        /// Who.
        clients: Vec<(ClientId, ShardId)>,
        /// A complete WebSocket frame.
        frame: Bytes,
    },
    /// Something for the log.
    Note(Note),
}

/// Something an operator wants to find in the log. Holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A credential was accepted and the user's broker session is live. Said once until the client
    /// becomes another user.
    Authenticated {
        /// Which connection.
        client: ClientId,
        /// As whom.
        user: UserId,
        /// In which role.
        role: Role,
    },
    /// An authentication was turned down.
    AuthenticationFailed {
        /// Which connection.
        client: ClientId,
        /// The answer's code.
        code: &'static str,
        /// How often this connection has been turned down. Told of when it is a power of two: a
        /// client that guesses must not fill the log.
        failures: u64,
    },
    /// A client whose role does not allow it gave an administrator's command.
    AdminForbidden {
        /// Which connection.
        client: ClientId,
        /// As whom.
        user: UserId,
        /// Which command.
        command: &'static str,
        /// How often this connection has done so. Told of when it is a power of two.
        count: u64,
    },
    /// A subscription is in place: the broker has agreed.
    Subscribed {
        /// Which connection.
        client: ClientId,
        /// To what.
        topic: Topic,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// Which connection.
        client: ClientId,
        /// From what.
        topic: Topic,
    },
    /// A broker session is live.
    SessionUp {
        /// Whose.
        user: UserId,
        /// At which broker.
        broker: BrokerName,
    },
    /// A broker session could not be had or was lost; it is tried again while it is wanted.
    SessionDown {
        /// Whose.
        user: UserId,
        /// At which broker.
        broker: BrokerName,
        /// In the broker's words.
        reason: String,
    },
    /// A broker refused a topic that nobody held; whoever asked for it has been told.
    TopicRefused {
        /// Whose.
        user: UserId,
        /// What.
        topic: Topic,
        /// In the broker's words.
        reason: String,
    },
    /// A broker did not do what it was asked for a topic.
    TopicFailed {
        /// Whose.
        user: UserId,
        /// What.
        topic: Topic,
        /// In the broker's words.
        reason: String,
    },
    /// A user's credentials changed; the session is rebuilt. Said once until that has begun.
    Invalidated {
        /// Whose.
        user: UserId,
    },
}
