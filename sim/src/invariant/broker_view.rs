//! What brokers do for whom, according to the commands that took effect.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::broker::Line;
use tickgate::topic::UserId;

use super::whereabouts::Whereabouts;
use crate::history::{Call, Event, Op, Seen};
use crate::topic_name::TopicName;

/// The brokers' sessions and their topics. A user is at one of them.
#[derive(Debug, Default)]
pub(super) struct BrokerView {
    whereabouts: Whereabouts,
    sessions: BTreeMap<Line, (u64, BTreeSet<TopicName>)>,
}

impl BrokerView {
    pub fn observe(&mut self, event: &Event) {
        self.whereabouts.observe(event);
        match &event.seen {
            Seen::TookEffect(call) => self.apply(call),
            Seen::Forgot(call) => match (&call.op, self.sessions.get_mut(&call.line())) {
                (Op::Connect, Some((id, _))) if *id == call.session => {
                    self.sessions.remove(&call.line());
                }
                (Op::Subscribe(topic), Some((_, topics))) => {
                    topics.remove(topic);
                }
                (_, _) => {}
            },
            Seen::SessionLost { user, session } => {
                self.sessions.retain(|(of, _), (id, _)| of != user || id != session);
            }
            Seen::BrokerDied { .. } | Seen::Greeted => {
                let whereabouts = &self.whereabouts;
                self.sessions.retain(|(user, _), _| !whereabouts.are_at(&event.actor, user));
            }
            _ => {}
        }
    }

    /// The users with a session.
    pub fn users(&self) -> BTreeSet<UserId> {
        self.sessions.keys().map(|(user, _)| user.clone()).collect()
    }

    /// What is on, for whom.
    pub fn topics(&self) -> BTreeSet<(UserId, TopicName)> {
        let sessions = self.sessions.iter();
        sessions
            .flat_map(|((user, _), (_, topics))| topics.iter().map(|t| (user.clone(), t.clone())))
            .collect()
    }

    pub fn is_on(&self, user: &UserId, topic: &TopicName) -> bool {
        let mut held = self.sessions_of(user);
        held.any(|(_, topics)| topics.contains(topic))
    }

    /// Whether a user has the session without which no client is let in.
    pub fn has_session(&self, user: &UserId) -> bool {
        self.sessions.contains_key(&(user.clone(), 0))
    }

    /// The sessions of a user: their numbers, and what they carry.
    pub fn sessions_of(
        &self,
        user: &UserId,
    ) -> impl Iterator<Item = &(u64, BTreeSet<TopicName>)> + use<'_> {
        self.sessions.range((user.clone(), 0)..=(user.clone(), u32::MAX)).map(|(_, held)| held)
    }

    fn apply(&mut self, call: &Call) {
        let line = call.line();
        let current = self.sessions.get(&line).is_some_and(|(id, _)| *id == call.session);
        match &call.op {
            Op::Connect if !current => {
                self.sessions.insert(line, (call.session, BTreeSet::new()));
            }
            Op::Disconnect => {
                // It closes what is older, too.
                self.sessions.retain(|of, (id, _)| *of != line || *id > call.session);
            }
            Op::Connect => {}
            Op::Subscribe(_) | Op::Unsubscribe(_) | Op::UnsubscribeAll => {
                let Some((id, topics)) = self.sessions.get_mut(&line) else { return };
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
