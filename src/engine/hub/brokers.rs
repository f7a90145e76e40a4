//! What brokers say.

use super::calls::Call;
use super::user::SessionState;
use super::{Effect, Hub, HubOptions};
use crate::broker::{
    Answer, BrokerError, BrokerErrorCode, BrokerEvent, CommandId, Done, SessionId,
};
use crate::config::{DepthLevels, Quirks};
use crate::engine::Calls;
use crate::marks::{SessionEvent, mark};
use crate::topic::{BrokerName, Mode, UserId};

/// Calls that wait for a broker.
pub(super) type BrokerCalls = Calls<UserId, Call>;

/// A broker, and whether it can be talked to.
#[derive(Clone, Debug)]
pub(super) struct BrokerLink {
    pub up: bool,
    /// Why not, in the broker's words.
    pub reason: String,
    pub rules: BrokerRules,
    /// `None`: it takes any number of calls.
    pub calls: Option<BrokerCalls>,
}

/// What holds at a broker.
#[derive(Clone, Debug)]
pub(super) struct BrokerRules {
    pub linger_ms: u64,
    pub keep_session: bool,
    pub single_session: bool,
    pub reinitialize: bool,
    /// Sessions that a user can have.
    pub sessions_max: usize,
    /// Topics that a session carries.
    pub topics_per_session: usize,
    /// Subscribes in a call.
    pub batch_max: usize,
    pub depths: DepthLevels,
    /// Modes that it has, the leanest first.
    pub modes: Vec<Mode>,
}

impl BrokerLink {
    /// One that is down.
    pub fn new(options: &HubOptions, name: &BrokerName) -> Self {
        let quirks = options.quirks.get(name).cloned().unwrap_or_default();
        Self {
            up: false,
            reason: String::new(),
            calls: quirks.calls_per_second.map(Calls::new),
            rules: BrokerRules::new(&quirks),
        }
    }
}

impl BrokerRules {
    fn new(quirks: &Quirks) -> Self {
        let topics = quirks.topics_per_connection;
        Self {
            linger_ms: quirks.linger_ms,
            keep_session: quirks.keep_session,
            single_session: quirks.single_session,
            reinitialize: quirks.reinitialize,
            sessions_max: quirks.connections_per_user.max(1),
            topics_per_session: if topics == 0 { usize::MAX } else { topics },
            batch_max: quirks.batch_max.max(1),
            // A validated configuration can be read.
            depths: DepthLevels::parse(&quirks.depth_levels).unwrap_or_default(),
            modes: quirks.modes().unwrap_or_default(),
        }
    }
}

impl Hub {
    /// What holds at the broker of somebody who has come in.
    pub(super) fn rules_of_broker(&self, broker: &BrokerName) -> &BrokerRules {
        &self.brokers[broker].rules
    }

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
                if let Some(at) = self.current(broker, &user, session) {
                    self.session_meets(&user, at, SessionEvent::Lost);
                    self.session_lost(&user, at, &reason, effects);
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
            None => {
                let result = result.map(|_| ());
                self.session_answered((&about.user, about.at), id, result, effects);
            }
            Some(topic) => {
                let reason = result.as_ref().err().map(|error| error.message.clone());
                self.topic_answered(&about.user, &topic, id, result, effects);
                // The broker knows nothing of the session that we believe in.
                if let Some(reason) = reason.filter(|_| lost) {
                    self.session_lost(&about.user, about.at, &reason, effects);
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
            user.meets(0, SessionEvent::BrokerUp);
            for (at, session) in user.sessions.iter_mut().enumerate() {
                if matches!(session.state, SessionState::Down | SessionState::Unsure) {
                    session.backoff.hurry();
                }
                self.work.sessions.insert((id.clone(), at));
            }
        }
    }

    fn broker_down(&mut self, broker: &BrokerName, reason: &str, effects: &mut Vec<Effect>) {
        let Some(link) = self.brokers.get_mut(broker) else { return };
        link.up = false;
        reason.clone_into(&mut link.reason);
        let users = self.users.iter().filter(|(_, user)| user.broker == *broker);
        let sessions = users.map(|(id, user)| (id.clone(), user.sessions.len()));
        for (user, sessions) in sessions.collect::<Vec<_>>() {
            self.session_meets(&user, 0, SessionEvent::BrokerDown);
            for at in 0..sessions {
                self.session_lost(&user, at, reason, effects);
            }
        }
    }

    /// Which of a user's sessions this is, if it is open.
    fn current(&self, broker: &BrokerName, user: &UserId, session: SessionId) -> Option<usize> {
        let user = self.users.get(user).filter(|user| user.broker == *broker)?;
        user.sessions.iter().position(|held| {
            let is_open = matches!(held.state, SessionState::Up | SessionState::Emptying(_));
            held.id == session && is_open
        })
    }
}
