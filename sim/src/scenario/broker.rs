//! `world.broker` and `world.brokers`: adapter hosts.

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{RangeMs, World};
use crate::broker_host::BrokerHost;
use crate::topic_name::TopicName;

/// `broker`, or one of `brokers`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Time it takes to turn a topic on or off.
    pub answer_ms: Option<RangeMs>,
    /// Time it takes to open or close a session.
    pub connect_ms: Option<RangeMs>,
    /// Topics that it treats differently.
    pub topics: Vec<Spanned<TopicRule>>,
    /// Users whose sessions it treats differently.
    pub sessions: Vec<Spanned<SessionRule>>,
}

/// One entry of `broker.topics`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicRule {
    /// Which.
    pub topic: TopicName,
    /// How its subscribes are treated.
    pub subscribe: Manner,
    /// How its unsubscribes are treated.
    #[serde(default)]
    pub unsubscribe: Manner,
    /// Only so many of its commands are treated like this, the later ones as the next rule of the
    /// topic says, which counts from the first command too, or normally. Absent: all.
    #[serde(default)]
    pub times: Option<u32>,
}

/// One entry of `broker.sessions`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRule {
    /// Whose.
    pub user: String,
    /// How its connects are treated.
    #[serde(default)]
    pub connect: Manner,
    /// How its disconnects are treated.
    #[serde(default)]
    pub disconnect: Manner,
    /// Only so many of each are treated like this, the later ones as the next rule of the user
    /// says, which counts from the first connect too, or normally. Absent: all.
    #[serde(default)]
    pub times: Option<u32>,
}

/// How a broker treats a command. After the story all commands are treated normally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Does it and says so.
    #[default]
    Normal,
    /// Takes this long for it.
    Slow(RangeMs),
    /// Says no.
    Refuse,
    /// Says that the credentials have expired.
    Expired,
    /// Says no with this probability (0.0 to 1.0).
    Flaky(f64),
    /// Neither does it nor answers.
    Ignore,
    /// Does it and does not answer.
    Mute,
    /// Does it and answers when nobody waits for it any more.
    Late,
    /// Does it and answers twice.
    Twice,
    /// Says that it has done it and has not. Drops the session when faults end.
    Lie,
    /// Does it, and undoes it after so many milliseconds without a word: the topic is off, or the
    /// session is gone, and whoever speaks of it then hears that there is none. Drops the session
    /// when faults end.
    Forget(u64),
    /// Dies instead, loses all sessions and is back after so many milliseconds.
    Die(u64),
}

/// A broker of which nothing is said.
static ORDINARY: Broker =
    Broker { answer_ms: None, connect_ms: None, topics: Vec::new(), sessions: Vec::new() };

impl World {
    /// The adapter hosts: the only one, or several in the order of their names.
    #[must_use]
    pub fn broker_hosts(&self) -> Vec<(BrokerHost, &Broker)> {
        if self.brokers.is_empty() {
            return vec![(BrokerHost::ONLY, self.broker.as_ref().unwrap_or(&ORDINARY))];
        }
        self.brokers.iter().map(|(name, broker)| (BrokerHost::named(name), broker)).collect()
    }
}
