//! What brokers say.

use super::session::SessionState;
use super::{Effect, Hub};
use crate::broker::{
    Answer, BrokerError, BrokerErrorCode, BrokerEvent, CommandId, Done, SessionId,
};
use crate::marks::{SessionEvent, mark};
use crate::topic::{BrokerName, UserId};

impl Hub {
    pub(super) fn broker_event(
        &mut self,
        broker: &BrokerName,
        event: BrokerEvent,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            BrokerEvent::Up => self.broker_up(broker),
            BrokerEvent::Down { reason } => self.broker_down(broker, &reason, effects),
            BrokerEvent::Answer(Answer { id, result }) => self.answered(id, result, effects),
            BrokerEvent::SessionLost { user, session, reason } => {
                if self.is_current(broker, &user, session) {
                    self.session_meets(&user, SessionEvent::Lost);
                    self.session_lost(&user, &reason, effects);
                } else {
                    mark!(LateLoss);
                    self.totals.stale_events += 1;
                }
            }
        }
    }

    /// An answer nobody waits for any more (too late, said twice, or of an older session) is
    /// counted and changes nothing.
    fn answered(
        &mut self,
        id: CommandId,
        result: Result<Done, BrokerError>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(about) = self.forget_command(id) else {
            mark!(LateAnswer);
            self.totals.stale_events += 1;
            return;
        };
        self.totals.answered(&result);
        let lost = matches!(&result, Err(error) if error.code == BrokerErrorCode::NotConnected);
        match about.topic {
            None => self.session_answered(&about.user, id, result.map(|_| ()), effects),
            Some(topic) => {
                let reason = result.as_ref().err().map(|error| error.message.clone());
                self.topic_answered(&about.user, &topic, id, result, effects);
                // The broker knows nothing of the session that we believe in.
                if let Some(reason) = reason.filter(|_| lost) {
                    self.session_lost(&about.user, &reason, effects);
                }
            }
        }
    }

    pub(super) fn command_overdue(&mut self, id: CommandId, effects: &mut Vec<Effect>) {
        let message = "the broker did not answer in time".to_owned();
        self.answered(id, Err(BrokerError { code: BrokerErrorCode::Timeout, message }), effects);
    }

    fn broker_up(&mut self, broker: &BrokerName) {
        let Some(link) = self.brokers.get_mut(broker) else { return };
        link.up = true;
        link.reason.clear();
        mark!(StopBrokerBack if self.draining);
        for (id, user) in self.users.iter_mut().filter(|(_, user)| user.broker == *broker) {
            user.meets(SessionEvent::BrokerUp);
            if matches!(user.session.state, SessionState::Down | SessionState::Unsure) {
                user.session.backoff.hurry();
            }
            self.work.sessions.insert(id.clone());
        }
    }

    fn broker_down(&mut self, broker: &BrokerName, reason: &str, effects: &mut Vec<Effect>) {
        let Some(link) = self.brokers.get_mut(broker) else { return };
        link.up = false;
        reason.clone_into(&mut link.reason);
        let users = self.users.iter().filter(|(_, user)| user.broker == *broker);
        let users: Vec<UserId> = users.map(|(id, _)| id.clone()).collect();
        for user in users {
            self.session_meets(&user, SessionEvent::BrokerDown);
            self.session_lost(&user, reason, effects);
        }
    }

    fn is_current(&self, broker: &BrokerName, user: &UserId, session: SessionId) -> bool {
        self.users.get(user).is_some_and(|user| {
            user.broker == *broker
                && user.session.id == session
                && user.session.state == SessionState::Up
        })
    }
}
