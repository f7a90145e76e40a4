use std::collections::BTreeSet;

use tickgate::topic::UserId;

use super::broker_view::BrokerView;
use super::{Held, Invariant};
use crate::history::{Call, Event, Op, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// A user has no more connections at its broker than it may have, none carries more topics than it
/// can, and no topic is carried by two of them.
pub(super) struct ConnectionsHold {
    connections_max: u32,
    topics_max: usize,
    broker: BrokerView,
    /// What the broker has said to be off, and is not.
    lies: BTreeSet<(UserId, TopicName)>,
}

impl Invariant for ConnectionsHold {
    fn name(&self) -> &'static str {
        "connections_hold"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        if let Seen::Called(call) = &event.seen {
            self.connection_exists(call)?;
        }
        if let Seen::TookEffect(call) = &event.seen {
            self.is_news(call)?;
            self.broker.observe(event);
            return self.has_room(call);
        }
        if let Seen::Lied(call) = &event.seen
            && let Op::Unsubscribe(topic) = &call.op
        {
            self.lies.insert((call.user.clone(), topic.clone()));
        }
        self.broker.observe(event);
        Ok(())
    }
}

impl ConnectionsHold {
    pub fn new(plan: &Plan) -> Self {
        let quirks = &plan.gateway.quirks;
        Self {
            connections_max: u32::try_from(quirks.connections_per_user).unwrap_or(u32::MAX),
            topics_max: match quirks.topics_per_connection {
                0 => usize::MAX,
                topics => topics,
            },
            broker: BrokerView::default(),
            lies: BTreeSet::new(),
        }
    }

    fn connection_exists(&self, call: &Call) -> Result<(), String> {
        let (connection, most) = (call.connection, self.connections_max);
        if connection < most {
            return Ok(());
        }
        let user = &call.user;
        Err(format!("{user} was given connection {connection}, but may have {most}"))
    }

    /// A topic that is turned on is not on already, on another connection.
    fn is_news(&self, call: &Call) -> Result<(), String> {
        let Op::Subscribe(topic) = &call.op else { return Ok(()) };
        let other = |(session, topics): &&(u64, BTreeSet<TopicName>)| {
            *session != call.session && topics.contains(topic)
        };
        let Some((session, _)) = self.broker.sessions_of(&call.user).find(other) else {
            return Ok(());
        };
        let user = &call.user;
        // What is said in a session that is gone has no effect.
        if self.broker.sessions_of(user).all(|(session, _)| *session != call.session) {
            return Ok(());
        }
        if self.lies.contains(&(user.clone(), topic.clone())) {
            return Ok(());
        }
        Err(format!("{topic} of {user} came on in s{}, and is on in s{session}", call.session))
    }

    fn has_room(&self, call: &Call) -> Result<(), String> {
        let Op::Subscribe(_) = &call.op else { return Ok(()) };
        let mut sessions = self.broker.sessions_of(&call.user);
        match sessions.find(|(_, topics)| topics.len() > self.topics_max) {
            Some((session, topics)) => Err(format!(
                "session s{session} of {} carries {} topics, and can carry {}",
                call.user,
                topics.len(),
                self.topics_max
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, named, plan};
    use super::*;
    use crate::history::Actor;

    /// A user with two sessions of two topics each at most, the first of which has both.
    fn story() -> Story<ConnectionsHold> {
        let mut plan = plan();
        plan.gateway.quirks.connections_per_user = 2;
        plan.gateway.quirks.topics_per_connection = 2;
        let mut story = Story::of(ConnectionsHold::new(&plan));
        for (connection, session) in [(0, 1), (1, 2)] {
            let connect = Call { connection, ..story.call("alice", session, Op::Connect) };
            story.good(&Actor::BROKER, Seen::TookEffect(connect));
        }
        for topic in ["NSE:A/LTP", "NSE:B/LTP"] {
            story.serve("alice", 1, Op::Subscribe(named(topic)));
        }
        story
    }

    fn subscribe(connection: u32, session: u64, topic: &str) -> Result<(), String> {
        let mut story = story();
        let call = story.call("alice", session, Op::Subscribe(named(topic)));
        let call = Call { connection, ..call };
        story.see(&Actor::BROKER, Seen::Called(call.clone()))?;
        story.see(&Actor::BROKER, Seen::TookEffect(call))
    }

    #[test]
    fn a_topic_belongs_on_one_connection_that_has_room() {
        assert_eq!(subscribe(1, 2, "NSE:M/LTP"), Ok(()));
        assert!(subscribe(1, 2, "NSE:A/LTP").is_err(), "on twice");
        assert!(subscribe(0, 1, "NSE:M/LTP").is_err(), "one too many");
        assert!(subscribe(2, 3, "NSE:M/LTP").is_err(), "a third connection");
    }

    #[test]
    fn what_a_lost_connection_carried_may_come_on_elsewhere() {
        let mut story = story();
        let lost = Seen::SessionLost { user: "alice".into(), session: 1 };
        story.good(&Actor::BROKER, lost);
        let call = story.call("alice", 2, Op::Subscribe(named("NSE:A/LTP")));
        story.good(&Actor::BROKER, Seen::TookEffect(Call { connection: 1, ..call }));
    }
}
