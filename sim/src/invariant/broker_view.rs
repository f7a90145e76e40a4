//! What the broker does for whom, according to the commands that took effect.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::topic::UserId;

use crate::history::{Call, Event, Op, Seen};
use crate::topic_name::TopicName;

/// The broker's sessions and their topics.
#[derive(Debug, Default)]
pub(super) struct BrokerView {
    sessions: BTreeMap<UserId, (u64, BTreeSet<TopicName>)>,
}

impl BrokerView {
    pub fn observe(&mut self, event: &Event) {
        match &event.seen {
            Seen::TookEffect(call) => self.apply(call),
            Seen::Forgot(call) => {
                if let (Some(topic), Some((_, topics))) =
                    (call.op.topic(), self.sessions.get_mut(&call.user))
                {
                    topics.remove(topic);
                }
            }
            Seen::SessionLost { user, .. } => {
                self.sessions.remove(user);
            }
            Seen::BrokerDied { .. } | Seen::Greeted => self.sessions.clear(),
            _ => {}
        }
    }

    /// The users with a session.
    pub fn users(&self) -> BTreeSet<UserId> {
        self.sessions.keys().cloned().collect()
    }

    /// What is on, for whom.
    pub fn topics(&self) -> BTreeSet<(UserId, TopicName)> {
        let sessions = self.sessions.iter();
        sessions
            .flat_map(|(user, (_, topics))| topics.iter().map(|t| (user.clone(), t.clone())))
            .collect()
    }

    pub fn is_on(&self, user: &UserId, topic: &TopicName) -> bool {
        self.sessions.get(user).is_some_and(|(_, topics)| topics.contains(topic))
    }

    pub fn has_session(&self, user: &UserId) -> bool {
        self.sessions.contains_key(user)
    }

    fn apply(&mut self, call: &Call) {
        let current = self.sessions.get(&call.user).is_some_and(|(id, _)| *id == call.session);
        match &call.op {
            Op::Connect if !current => {
                self.sessions.insert(call.user.clone(), (call.session, BTreeSet::new()));
            }
            Op::Disconnect => {
                // It closes what is older, too.
                self.sessions.retain(|user, (id, _)| *user != call.user || *id > call.session);
            }
            Op::Connect => {}
            Op::Subscribe(_) | Op::Unsubscribe(_) | Op::UnsubscribeAll => {
                let Some((id, topics)) = self.sessions.get_mut(&call.user) else { return };
                match &call.op {
                    _ if *id != call.session => {}
                    Op::Subscribe(topic) => {
                        topics.insert(topic.clone());
                    }
                    Op::Unsubscribe(topic) => {
                        topics.remove(topic);
                    }
                    Op::UnsubscribeAll | Op::Connect | Op::Disconnect => topics.clear(),
                }
            }
        }
    }
}
