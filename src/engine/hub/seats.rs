//! Which of a user's sessions carries which topic.
//!
//! A connection to a broker carries so many topics. The first is filled before a second is opened;
//! what a lost one carried goes to the others as far as they have room, and waits for its return
//! beyond that.

use super::topic_state::TopicState;
use super::user::{Session, User};
use super::{Effect, Hub, reject};
use crate::broker::BrokerError;
use crate::marks::mark;
use crate::protocol::Reject;
use crate::topic::{Topic, UserId};

impl TopicState {
    /// Whether any session with room may carry it, and none does.
    pub fn needs_room(&self) -> bool {
        !self.wants.is_empty() && self.seat.is_none() && self.bound.is_none()
    }
}

impl Hub {
    /// How many sessions a user's topics need.
    pub(super) fn sessions_for(&self, user: &User) -> usize {
        let rules = self.rules_of_broker(&user.broker);
        let needed = user.topics.len().div_ceil(rules.topics_per_session);
        needed.clamp(1, rules.sessions_max)
    }

    /// The session that is to carry a topic that is off. `None`: it waits for one.
    pub(super) fn seat(&mut self, user_id: &UserId, topic: &Topic) -> Option<usize> {
        let user = &self.users[user_id];
        let room = self.rules_of_broker(&user.broker).topics_per_session;
        let bound = user.topics[topic].bound;
        let has_room = |(at, session): (usize, &Session)| {
            let is_free = bound.is_none_or(|bound| bound == at);
            is_free && session.is_usable() && session.topics < room
        };
        mark!(TopicBound if bound.is_some());
        let seat = user.sessions.iter().enumerate().position(has_room);
        if seat.is_some() {
            // It may have to wait for its turn to call, but not for room.
            self.users.get_mut(user_id).expect("the user exists").homeless.remove(topic);
        } else {
            self.make_room(user_id, topic);
        }
        seat
    }

    /// A topic waits for a session to carry it: one more is opened, or what lingers is given up.
    fn make_room(&mut self, user_id: &UserId, topic: &Topic) {
        let needed = self.sessions_for(&self.users[user_id]);
        let now_ms = self.now_ms;
        let user = self.users.get_mut(user_id).expect("the user exists");
        while user.sessions.len() < needed {
            mark!(SessionAdded);
            user.sessions.push(Session::new(now_ms));
        }
        for at in 1..user.sessions.len() {
            self.work.sessions.insert((user_id.clone(), at));
        }
        // What is bound waits for that session alone.
        let is_bound = user.topics[topic].bound.is_some();
        if is_bound || !user.sessions.iter().any(Session::is_usable) {
            return;
        }
        if user.homeless.insert(topic.clone()) {
            for (other, state) in &mut user.topics {
                if state.wants.is_empty() && state.lingers_until_ms.is_some() {
                    mark!(LingererMakesRoom);
                    state.lingers_until_ms = Some(now_ms);
                    self.work.topics.push_back((user_id.clone(), other.clone()));
                }
            }
        }
    }

    /// What a session carried at the broker is certainly off: others may have it.
    pub(super) fn unbind(&mut self, user_id: &UserId, at: usize) {
        let user = self.users.get_mut(user_id).expect("the user exists");
        for (topic, state) in &mut user.topics {
            if state.bound == Some(at) {
                state.bound = None;
                self.work.topics.push_back((user_id.clone(), topic.clone()));
            }
        }
    }

    /// A topic is carried by a session from now on.
    pub(super) fn sit(&mut self, user_id: &UserId, topic: &Topic, at: usize) {
        let user = self.users.get_mut(user_id).expect("the user exists");
        let state = user.topics.get_mut(topic).expect("the topic exists");
        if state.seat.replace(at).is_none() {
            user.sessions[at].topics += 1;
        }
    }

    /// A topic is off: whoever waits for room may have it, and an empty session may go.
    pub(super) fn stand_up(&mut self, user_id: &UserId, topic: &Topic) {
        let user = self.users.get_mut(user_id).expect("the user exists");
        let state = user.topics.get_mut(topic).expect("the topic exists");
        let Some(at) = state.seat.take() else { return };
        user.sessions[at].topics -= 1;
        if user.sessions[at].topics == 0 && at > 0 {
            mark!(SessionRunsEmpty);
            self.work.sessions.insert((user_id.clone(), at));
        }
        let waiting = user.homeless.pop_first();
        self.work.topics.extend(waiting.map(|waiting| (user_id.clone(), waiting)));
    }

    /// No session can be had for the topics that wait for one.
    pub(super) fn fail_homeless(
        &mut self,
        user_id: &UserId,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        let homeless =
            std::mem::take(&mut self.users.get_mut(user_id).expect("it exists").homeless);
        mark!(NoSessionForTopic if !homeless.is_empty());
        self.fail_waiting(user_id, &homeless, error, effects);
        self.work.topics.extend(homeless.into_iter().map(|topic| (user_id.clone(), topic)));
    }

    /// Why a user cannot have one topic more at its broker; `None`: it can.
    pub(super) fn is_full(&self, user_id: &UserId, topic: &Topic) -> Option<Reject> {
        let carrier = self.carrier(user_id, topic);
        let user = &self.users[user_id];
        let rules = self.rules_of_broker(&user.broker);
        if rules.topics_per_session == usize::MAX || user.topics.len() < rules.topics_per_session {
            return None;
        }
        let wanted =
            |topic: &Topic| user.topics.get(topic).is_some_and(|state| !state.wants.is_empty());
        let limit = rules.topics_per_session.saturating_mul(rules.sessions_max);
        if wanted(&carrier)
            || user.topics.values().filter(|it| !it.wants.is_empty()).count() < limit
        {
            return None;
        }
        mark!(BrokerFull);
        let (each, connections) = (rules.topics_per_session, rules.sessions_max);
        Some(reject::too_many_topics(&user.broker, each, connections))
    }
}
