//! Which routes a broker session serves.
//!
//! A route is served while one user who wants it has its first session up. What brokers do about
//! single topics is not in it, nor what other connections carry: they are turned on again, and the
//! feed judges by the ticks whether that has worked.

use super::Hub;
use super::topic_state::TopicState;
use super::user::SessionState;
use crate::topic::{Mode, Topic, UserId};

impl Hub {
    /// The first session of a user is up (`now`), or was until now.
    pub(super) fn session_changes(&mut self, user_id: &UserId, was: SessionState) {
        let user = &self.users[user_id];
        let now = user.main().state;
        let (was, now) = (was == SessionState::Up, now == SessionState::Up);
        if was == now {
            return;
        }
        for (topic, state) in &user.topics {
            for mode in Mode::ALL.into_iter().filter(|mode| state.is_wanted_in(*mode)) {
                self.routes.serve(&topic.in_mode(mode), &user.broker, now);
            }
        }
    }

    /// A user's first want of a topic has come (`wanted`), or its last one is about to go.
    pub(super) fn wanting_changes(&mut self, user_id: &UserId, topic: &Topic, wanted: bool) {
        let carrier = self.carrier(user_id, topic);
        let user = &self.users[user_id];
        let Some(state) = user.topics.get(&carrier) else { return };
        // Where the broker has every mode, all want the same one.
        let has_all = self.rules_of_broker(&user.broker).modes.len() == Mode::ALL.len();
        let in_mode = || state.wants.keys().filter(|(_, mode)| *mode == topic.mode).count();
        if state.wants.len() == 1 || !has_all && in_mode() == 1 {
            self.routes.wanting(topic, &user.broker, user.is_live(), wanted);
        }
    }
}

impl TopicState {
    /// Whether somebody has asked for it in this mode.
    fn is_wanted_in(&self, mode: Mode) -> bool {
        self.wants.keys().any(|(_, asked)| *asked == mode)
    }
}
