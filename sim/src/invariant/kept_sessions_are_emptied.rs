use std::collections::{BTreeMap, BTreeSet};

use tickgate::topic::UserId;

use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Op, Request, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// Clients that leave within this time may be noticed in another order.
const CLOSE_US: u64 = 100_000;

/// Where sessions are kept, what the last client of a user held goes in one call with all the rest:
/// nothing of it is turned off by itself before somebody comes again.
///
/// Judged until something happens to the session.
pub(super) struct KeptSessionsAreEmptied {
    judges: bool,
    /// What each client is and holds, if it waits for nothing.
    clients: BTreeMap<ClientName, (UserId, BTreeSet<TopicName>)>,
    /// When a client left last, whoever it was or wanted to be.
    departed_us: Option<u64>,
    /// What the last clients held when they left.
    left: BTreeMap<UserId, BTreeSet<TopicName>>,
}

impl Invariant for KeptSessionsAreEmptied {
    fn name(&self) -> &'static str {
        "kept_sessions_are_emptied"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if !self.judges {
            return Ok(());
        }
        match &event.seen {
            Seen::Leaves { .. } | Seen::Lost { .. } => {
                let Actor::Client(client) = &event.actor else { return Ok(()) };
                let last_us = self.departed_us.replace(event.at_us);
                let Some((user, topics)) = self.clients.remove(client) else { return Ok(()) };
                let is_alone = last_us.is_none_or(|last_us| last_us + CLOSE_US < event.at_us);
                let mut others = held.clients.iter();
                if is_alone && others.all(|(_, other)| other.user.as_ref() != Some(&user)) {
                    self.left.insert(user, topics);
                }
                return Ok(());
            }
            Seen::Sent(sent) if matches!(sent.request, Request::Authenticate(_)) => {
                self.left.clear();
            }
            Seen::Knocks | Seen::BrokerDied { .. } | Seen::Greeted => self.left.clear(),
            Seen::SessionLost { user, .. } | Seen::Invalidated { user } => {
                self.left.remove(user);
            }
            Seen::Replied { call, error, in_time } if error.is_some() || !in_time => {
                self.left.remove(&call.user);
            }
            Seen::Called(call) => {
                if let Op::Unsubscribe(topic) = &call.op
                    && self.left.get(&call.user).is_some_and(|left| left.contains(topic))
                {
                    return Err(format!(
                        "{topic} of {} was turned off by itself, though the session is kept and \
                         nobody needs any of it",
                        call.user
                    ));
                }
            }
            _ => {}
        }
        if let (Actor::Client(name), Some(holding)) = (&event.actor, held.client) {
            holding.user.iter().for_each(|user| drop(self.left.remove(user)));
            match &holding.user {
                Some(user) if holding.pending.is_empty() => {
                    self.clients.insert(name.clone(), (user.clone(), holding.topics.clone()));
                }
                Some(_) | None => drop(self.clients.remove(name)),
            }
        }
        Ok(())
    }
}

impl KeptSessionsAreEmptied {
    pub fn new(plan: &Plan) -> Self {
        let judges = plan.gateway.quirks.keep_session && plan.faults.is_empty();
        Self { judges, clients: BTreeMap::new(), departed_us: None, left: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named, plan};
    use super::*;

    fn after(comes_back: bool) -> Result<(), String> {
        let mut plan = plan();
        plan.gateway.quirks.keep_session = true;
        let mut story = Story::of(KeptSessionsAreEmptied::new(&plan));
        story.serve("alice", 1, Op::Connect);
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        story.good(&client("alice-1"), Seen::Leaves { politely: true });
        if comes_back {
            story.join("alice-2");
        }
        let call = story.call("alice", 1, Op::Unsubscribe(named("NSE:A/LTP")));
        story.see(&Actor::BROKER, Seen::Called(call))
    }

    #[test]
    fn a_topic_that_is_turned_off_by_itself_is_noticed() {
        assert!(after(false).is_err());
        assert_eq!(after(true), Ok(()));
    }
}
