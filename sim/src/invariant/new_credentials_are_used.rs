use std::collections::BTreeMap;

use tickgate::broker::Line;
use tickgate::topic::UserId;

use super::feed_loss::FeedLoss;
use super::whereabouts::Whereabouts;
use super::{Held, Invariant};
use crate::history::{Call, Event, Op, Phase, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// When a user's credentials are declared invalid, the session that was opened with them is given
/// up: a new one is opened, unless nobody needs it any more. Likewise where the broker refuses a
/// topic for the credentials and may be tried with fresh ones: the topic is not asked for again in
/// that session.
pub(super) struct NewCredentialsAreUsed {
    feed_loss: FeedLoss,
    whereabouts: Whereabouts,
    /// Connections with a session that is open or being opened.
    sessions: BTreeMap<Line, Session>,
    /// Whether refusals are judged: they are heard in time, and fresh credentials are to be tried.
    judges: bool,
    /// The first topic of each connection that was refused for its credentials, and its session.
    refused: BTreeMap<Line, (u64, TopicName)>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    /// When its credentials were declared invalid.
    invalid_us: Option<u64>,
}

impl Invariant for NewCredentialsAreUsed {
    fn name(&self) -> &'static str {
        "new_credentials_are_used"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.feed_loss.observe(event);
        self.whereabouts.observe(event);
        if let Some((user, session)) = event.seen.loss() {
            self.end(user, session);
        }
        match &event.seen {
            Seen::Replied { call, error: Some("INIT_FAILED"), in_time: true } if self.judges => {
                if let Op::Subscribe(topic) = &call.op {
                    let first = (call.session, topic.clone());
                    self.refused.entry(call.line()).or_insert(first);
                }
                if call.op == Op::Connect {
                    self.end(&call.user, call.session);
                }
            }
            Seen::Called(Call { op: Op::Subscribe(topic), session, user, connection, .. }) => {
                let line = (user.clone(), *connection);
                if self.refused.get(&line) == Some(&(*session, topic.clone())) {
                    return Err(format!(
                        "{topic} was refused to {user} for its credentials, and asked for again in \
                         the same session, s{session}"
                    ));
                }
            }
            Seen::Called(call) if call.op == Op::Connect => {
                let session = Session { number: call.session, invalid_us: None };
                self.sessions.insert(call.line(), session);
            }
            Seen::Called(call) if call.op == Op::Disconnect => {
                self.sessions.remove(&call.line());
            }
            Seen::Replied { call, error: Some(_), .. } if call.op == Op::Connect => {
                self.end(&call.user, call.session);
            }
            Seen::BrokerDied { .. } | Seen::Greeted => {
                let whereabouts = &self.whereabouts;
                self.sessions.retain(|(user, _), _| !whereabouts.are_at(&event.actor, user));
            }
            Seen::Invalidated { user } => {
                let of_user = (user.clone(), 0)..=(user.clone(), u32::MAX);
                for (_, session) in self.sessions.range_mut(of_user) {
                    session.invalid_us = Some(event.at_us);
                }
            }
            Seen::Phase(Phase::Rest) => {
                let mut sessions = self.sessions.iter();
                let old = sessions.find_map(|((user, _), session)| {
                    let invalid_us = session.invalid_us?;
                    (!self.feed_loss.may_have_lost(invalid_us)).then_some((user, invalid_us))
                });
                if let Some((user, invalid_us)) = old {
                    return Err(format!(
                        "{user} still uses the broker session whose credentials were declared \
                         invalid at {} ms",
                        invalid_us / 1_000
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl NewCredentialsAreUsed {
    pub fn new(plan: &Plan) -> Self {
        Self {
            feed_loss: FeedLoss::new(plan),
            whereabouts: Whereabouts::default(),
            sessions: BTreeMap::new(),
            judges: plan.gateway.quirks.reinitialize && !plan.faults.touches_a_broker(),
            refused: BTreeMap::new(),
        }
    }

    fn end(&mut self, user: &UserId, number: u64) {
        self.sessions.retain(|(of, _), session| of != user || session.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, named, plan};
    use super::*;
    use crate::history::Actor;

    fn story() -> Story<NewCredentialsAreUsed> {
        let mut story = Story::of(NewCredentialsAreUsed::new(&plan()));
        story.serve("alice", 1, Op::Connect);
        story.good(&Actor::Feed, Seen::Invalidated { user: "alice".into() });
        story
    }

    #[test]
    fn a_session_that_is_kept_is_noticed_and_one_that_is_rebuilt_or_closed_is_good() {
        let rest = Seen::Phase(Phase::Rest);
        assert!(story().see(&Actor::Operator, rest).is_err());
        let mut rebuilt = story();
        rebuilt.serve("alice", 1, Op::Disconnect);
        rebuilt.phase(Phase::Rest);
        rebuilt.serve("alice", 2, Op::Connect);
        rebuilt.phase(Phase::Rest);
    }

    #[test]
    fn a_topic_that_is_asked_for_with_refused_credentials_is_noticed() {
        let mut plan = plan();
        plan.gateway.quirks.reinitialize = true;
        let mut story = Story::of(NewCredentialsAreUsed::new(&plan));
        story.serve("alice", 1, Op::Connect);
        let on = || Op::Subscribe(named("NSE:A/LTP"));
        let call = story.call("alice", 1, on());
        story.good(&Actor::BROKER, Seen::Called(call.clone()));
        let refused = Seen::Replied { call, error: Some("INIT_FAILED"), in_time: true };
        story.good(&Actor::BROKER, refused);
        let fresh = story.call("alice", 2, on());
        assert_eq!(story.see(&Actor::BROKER, Seen::Called(fresh)), Ok(()));
        let again = story.call("alice", 1, on());
        assert!(story.see(&Actor::BROKER, Seen::Called(again)).is_err());
    }

    #[test]
    fn a_session_that_the_broker_refuses_has_no_credentials() {
        let mut story = story();
        story.serve("alice", 1, Op::Disconnect);
        let call = story.call("alice", 2, Op::Connect);
        story.good(&Actor::BROKER, Seen::Called(call.clone()));
        story.good(&Actor::Feed, Seen::Invalidated { user: "alice".into() });
        let refused = Seen::Replied { call, error: Some("INIT_FAILED"), in_time: true };
        story.good(&Actor::BROKER, refused);
        story.phase(Phase::Rest);
    }
}
