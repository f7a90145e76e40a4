//! Which routes a broker session serves.
//!
//! A route is served while one user who wants it has a session that is up. What brokers do about
//! single topics is not in it: they are turned on again with the session, and the feed judges by
//! the ticks whether that has worked.

use super::Hub;
use super::session::SessionState;
use crate::topic::{Topic, UserId};

impl Hub {
    /// The session of a user is up (`now`), or was until now.
    pub(super) fn session_changes(&mut self, user_id: &UserId, was: SessionState) {
        let user = &self.users[user_id];
        let now = user.session.state;
        let (was, now) = (was == SessionState::Up, now == SessionState::Up);
        if was == now {
            return;
        }
        for (topic, state) in &user.topics {
            if !state.wants.is_empty() {
                self.routes.serve(topic, &user.broker, now);
            }
        }
    }

    /// A user's first want of a topic has come (`wanted`), or its last one is about to go.
    pub(super) fn wanting_changes(&mut self, user_id: &UserId, topic: &Topic, wanted: bool) {
        let user = &self.users[user_id];
        if user.topics.get(topic).is_some_and(|state| state.wants.len() == 1) {
            let is_up = user.session.state == SessionState::Up;
            self.routes.wanting(topic, &user.broker, is_up, wanted);
        }
    }

    /// Asserts that routes know how many sessions serve them.
    ///
    /// # Panics
    ///
    /// Panics if one does not.
    pub(super) fn check_serving(&self) {
        for (topic, broker, serving) in self.routes.serving() {
            let serves = self.users.values().filter(|user| {
                let wants = user.topics.get(topic).is_some_and(|state| !state.wants.is_empty());
                wants && user.broker == *broker && user.session.state == SessionState::Up
            });
            assert_eq!(serving, serves.count(), "{topic} at {broker}");
        }
    }
}
