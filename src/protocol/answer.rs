//! What a client is told in answer to a request.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::admin::AdminAnswer;
use super::reject::Reject;
use crate::topic::{BrokerName, Instrument, Mode, UserId};

/// The answer to one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The credential is good.
    Authenticated {
        /// The user's broker.
        broker: BrokerName,
        /// Who the client is now.
        user: UserId,
    },
    /// A subscribe was served, row by row.
    Subscribed {
        /// One for each entry of the request, in its order.
        rows: Vec<SubscribeRow>,
        /// The user's broker.
        broker: BrokerName,
    },
    /// An unsubscribe was served, row by row.
    Unsubscribed {
        /// What the client no longer holds.
        successful: Vec<Instrument>,
        /// What could not be done.
        failed: Vec<FailedRow>,
        /// The user's broker.
        broker: BrokerName,
    },
    /// Order updates will come.
    SubscribedOrders,
    /// No order updates will come.
    UnsubscribedOrders,
    /// About the user's broker.
    BrokerInfo {
        /// Its name.
        broker: BrokerName,
        /// `connected`, `connecting` or `disconnected`.
        adapter_status: &'static str,
        /// Whose session it is.
        user: UserId,
    },
    /// The configured brokers.
    SupportedBrokers {
        /// In the order of the configuration.
        brokers: Vec<BrokerName>,
    },
    /// The gateway is there.
    Pong {
        /// Milliseconds since 1970.
        server_timestamp_ms: u64,
        /// The client's own, echoed.
        timestamp: Option<Box<RawValue>>,
        /// The client's own, echoed.
        ping_id: Option<Box<RawValue>>,
    },
    /// An administrator's command is carried out.
    Admin(AdminAnswer),
    /// The request was refused as a whole.
    Rejected(Reject),
}

impl PartialEq for Answer {
    /// Two answers are equal if a client could not tell them apart.
    fn eq(&self, other: &Self) -> bool {
        self.to_json(None) == other.to_json(None)
    }
}

/// One symbol of a subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRow {
    /// As the client spelled it.
    pub exchange: Arc<str>,
    /// As the client spelled it.
    pub symbol: Arc<str>,
    /// How it went.
    pub outcome: RowOutcome,
}

/// How the subscription of one symbol went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// Ticks will come.
    Success {
        /// In this mode.
        mode: Mode,
        /// Levels of the order book that the broker sends.
        depth: u32,
        /// The latest value comes at most this often, in milliseconds; 0: every value comes.
        interval_ms: u64,
    },
    /// Ticks come already; nothing has changed.
    AlreadySubscribed {
        /// In this mode.
        mode: Mode,
        /// Levels of the order book that the broker sends.
        depth: u32,
    },
    /// No ticks will come.
    Failed(Reject),
}

/// One symbol that could not be unsubscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// As the client spelled it.
    pub exchange: Arc<str>,
    /// As the client spelled it.
    pub symbol: Arc<str>,
    /// Why not.
    pub reject: Reject,
}
