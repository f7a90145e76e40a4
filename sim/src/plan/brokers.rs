//! What adapter hosts do, and whose users are at which.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tickgate::topic::UserId;

use super::Plan;
use crate::broker_host::BrokerHost;
use crate::scenario::{Manner, RangeMs};
use crate::topic_name::TopicName;

/// What an adapter host does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerPlan {
    /// Its name; absent: it is the only one.
    #[serde(default, skip_serializing_if = "BrokerHost::is_only")]
    pub host: BrokerHost,
    /// Time it takes to turn a topic on or off.
    pub answer_ms: RangeMs,
    /// Time it takes to open or close a session.
    pub connect_ms: RangeMs,
    /// Topics that it treats differently.
    pub topics: Vec<TopicPlan>,
    /// Users whose sessions it treats differently.
    pub sessions: Vec<SessionPlan>,
    /// What happens to it, in order.
    pub incidents: Vec<Incident>,
}

/// How the broker treats a topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicPlan {
    /// Which.
    pub topic: TopicName,
    /// Its subscribes.
    pub subscribe: Manner,
    /// Its unsubscribes.
    pub unsubscribe: Manner,
    /// How many of its commands are treated like this; absent: all.
    pub times: Option<u32>,
}

/// How the broker treats the sessions of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPlan {
    /// Whose.
    pub user: UserId,
    /// Their connects.
    pub connect: Manner,
    /// Their disconnects.
    #[serde(default, skip_serializing_if = "Manner::is_normal")]
    pub disconnect: Manner,
    /// How many of each are treated like this; absent: all.
    pub times: Option<u32>,
}

/// Something that happens to the broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// When.
    pub at_ms: u64,
    /// What.
    pub what: IncidentKind,
}

/// What can happen to the broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// It loses this user's session and says so.
    LoseSession(UserId),
    /// It says once more that it lost this user's session: the one that it lost last.
    RepeatLoss(UserId),
    /// It dies and is back after so many milliseconds.
    Die(u64),
}

/// A user whose broker is not the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Who.
    pub user: UserId,
    /// At which host.
    pub broker: BrokerHost,
}

impl Plan {
    /// All adapter hosts, the first one first: whoever has no account elsewhere is there.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerPlan> {
        std::iter::once(&self.broker).chain(&self.more_brokers)
    }

    /// As [`Plan::brokers`], to be changed.
    pub fn brokers_mut(&mut self) -> impl Iterator<Item = &mut BrokerPlan> {
        std::iter::once(&mut self.broker).chain(&mut self.more_brokers)
    }

    /// Of several brokers the names; of one none.
    #[must_use]
    pub fn broker_names(&self) -> Arc<[Arc<str>]> {
        let several = self.brokers().filter(|broker| !broker.host.is_only());
        several.map(|broker| Arc::from(broker.host.configured())).collect()
    }

    /// The adapter host of a user.
    #[must_use]
    pub fn host_of(&self, user: &UserId) -> &BrokerHost {
        let account = self.accounts.iter().find(|account| account.user == *user);
        account.map_or(&self.broker.host, |account| &account.broker)
    }

    /// Has something happen to a host. One that is not there is the first.
    pub(super) fn strike(&mut self, host: &BrokerHost, incident: Incident) {
        let known = self.more_brokers.iter_mut().find(|broker| broker.host == *host);
        known.unwrap_or(&mut self.broker).incidents.push(incident);
    }
}
