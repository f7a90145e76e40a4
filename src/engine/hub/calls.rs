//! Brokers that take only so many calls per second: what is to be done waits for its turn.

use super::{Effect, Hub, TimerKey};
use crate::broker::CommandKind;
use crate::engine::Urgency;
use crate::marks::mark;
use crate::topic::{BrokerName, Topic, UserId};

/// What a user waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// A command about one of its sessions.
    Session(usize),
    /// A command about a topic.
    Topic(Topic),
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nobody's: what is to be done waits.
    #[default]
    None,
    /// The next command is a call.
    Call,
    /// The next command is part of the call before it, if it subscribes in this session.
    Batch(usize),
}

impl Hub {
    /// Whether a command can be sent now. If not, it is looked at again when its turn has come.
    /// `joins`: the session in which it subscribes, if it does.
    pub(super) fn may_call(
        &mut self,
        user_id: &UserId,
        call: Call,
        urgency: Urgency,
        joins: Option<usize>,
    ) -> bool {
        let broker = &self.users[user_id].broker;
        let Some(link) = self.brokers.get_mut(broker) else { return true };
        let Some(calls) = &mut link.calls else { return true };
        match self.turn {
            Turn::Call => return true,
            Turn::Batch(at) if joins == Some(at) => return true,
            // It would be a call of its own: it gives the turn back.
            Turn::Batch(_) => self.turn = Turn::None,
            Turn::None => {}
        }
        mark!(CallWaits if calls.next_ms(self.now_ms).is_some_and(|at_ms| at_ms > self.now_ms));
        calls.queue(user_id, call, urgency);
        self.work.brokers.insert(broker.clone());
        false
    }

    /// Nobody needs what waits for this user.
    pub(super) fn no_calls_of(&mut self, broker: &BrokerName, user_id: &UserId) {
        if let Some(calls) = self.brokers.get_mut(broker).and_then(|link| link.calls.as_mut()) {
            calls.forget(user_id);
            if calls.is_empty() {
                self.timers.cancel(&TimerKey::Calls(broker.clone()));
            }
        }
    }

    /// Makes the next call that a broker takes now, or waits until it takes one.
    pub(super) fn make_call(&mut self, broker: &BrokerName, effects: &mut Vec<Effect>) {
        let now_ms = self.now_ms;
        let Some(link) = self.brokers.get_mut(broker) else { return };
        let (Some(calls), batch_max) = (&mut link.calls, link.rules.batch_max) else { return };
        let Some((user, call)) = calls.next(now_ms) else {
            if let Some(at_ms) = calls.next_ms(now_ms) {
                self.timers.set(TimerKey::Calls(broker.clone()), at_ms);
            }
            return;
        };
        self.work.brokers.insert(broker.clone());
        let sent = self.take_turn(Turn::Call, &user, call, effects);
        self.turn = Turn::None;
        if !sent {
            mark!(CallNeedless);
            return;
        }
        self.calls_of(broker).made(now_ms);
        let mut in_batch = 1;
        let Some(at) = subscribes_in(effects.last()) else { return };
        while in_batch < batch_max {
            let Some(call) = self.calls_of(broker).next_of(&user) else { break };
            let sent = self.take_turn(Turn::Batch(at), &user, call, effects);
            mark!(CallBatched if sent);
            in_batch += usize::from(sent);
            if std::mem::take(&mut self.turn) == Turn::None {
                break;
            }
        }
        self.turn = Turn::None;
    }

    /// Settles what waited. Whether a command was sent. The turn is left as it is then.
    fn take_turn(
        &mut self,
        turn: Turn,
        user: &UserId,
        call: Call,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let sent = self.next_command;
        self.turn = turn;
        match call {
            Call::Session(at) => self.settle_session(user, at, effects),
            Call::Topic(topic) => self.settle_topic(user, &topic, effects),
        }
        self.next_command > sent
    }

    fn calls_of(&mut self, broker: &BrokerName) -> &mut super::brokers::BrokerCalls {
        let link = self.brokers.get_mut(broker).expect("the broker exists");
        link.calls.as_mut().expect("its calls are limited")
    }

    /// Marks subscribes that follow each other as parts of one call, where a broker takes that.
    pub(super) fn batch(&self, effects: &mut [Effect]) {
        if self.brokers.values().all(|link| link.rules.batch_max == 1) {
            return;
        }
        for (broker, link) in &self.brokers {
            let of_broker = effects.iter_mut().filter_map(|effect| match effect {
                Effect::Command { broker: other, command } if other == broker => Some(command),
                _ => None,
            });
            let mut before: Option<&mut crate::broker::Command> = None;
            let mut in_batch = 1;
            for command in of_broker {
                let subscribes = matches!(command.kind, CommandKind::Subscribe { .. });
                if let Some(before) = before.take()
                    && subscribes
                    && before.session == command.session
                    && in_batch < link.rules.batch_max
                {
                    before.more = true;
                    in_batch += 1;
                } else {
                    in_batch = 1;
                }
                before = subscribes.then_some(command);
            }
        }
    }
}

/// The session in which a command subscribes, if it does.
fn subscribes_in(effect: Option<&Effect>) -> Option<usize> {
    match effect {
        Some(Effect::Command { command, .. })
            if matches!(command.kind, CommandKind::Subscribe { .. }) =>
        {
            usize::try_from(command.connection).ok()
        }
        Some(_) | None => None,
    }
}
