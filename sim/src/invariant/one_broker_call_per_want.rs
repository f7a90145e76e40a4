use std::collections::BTreeMap;

use tickgate::broker::Line;
use tickgate::topic::UserId;

use super::broker_link::BrokerLinks;
use super::whereabouts::Whereabouts;
use super::{Held, Invariant};
use crate::history::{Call, Event, Op, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 20_000;

/// However many clients of a user want a topic, its broker is asked once: never for what it has
/// turned on, never to turn off what is off, and never while an earlier command of that topic is in
/// flight.
pub(super) struct OneBrokerCallPerWant {
    /// After this time the gateway may have given up waiting.
    patience_us: u64,
    links: BrokerLinks,
    whereabouts: Whereabouts,
    sessions: BTreeMap<Line, u64>,
    topics: BTreeMap<(UserId, TopicName), Known>,
}

/// What is known of a topic.
#[derive(Clone, Copy, Debug)]
struct Known {
    state: State,
    /// Since when it is so.
    since_us: u64,
    /// The connection on which it was asked for last.
    connection: u32,
}

/// What the gateway must believe about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    On,
    InFlight {
        id: u64,
        since_us: u64,
        /// An earlier command was not answered, and nothing has settled what became of it.
        doubtful: bool,
    },
    /// It cannot know.
    Doubt,
}

impl OneBrokerCallPerWant {
    pub fn new(plan: &Plan) -> Self {
        let patience_ms = plan.gateway.answer_timeout_ms.saturating_sub(plan.network.latency_ms[1]);
        Self {
            patience_us: (patience_ms * 1_000).saturating_sub(TOLERANCE_US),
            links: BrokerLinks::new(plan),
            whereabouts: Whereabouts::default(),
            sessions: BTreeMap::new(),
            topics: BTreeMap::new(),
        }
    }

    fn called(&mut self, call: &Call, now_us: u64) -> Result<(), String> {
        match &call.op {
            Op::Connect => {
                self.forget(&call.line());
                self.sessions.insert(call.line(), call.session);
                Ok(())
            }
            Op::Disconnect => {
                self.forget(&call.line());
                Ok(())
            }
            Op::UnsubscribeAll => {
                let user = &call.user;
                let all = self.topics.iter_mut().filter(|((of, _), _)| of == user);
                let all = all.filter(|(_, known)| known.connection == call.connection);
                all.for_each(|(_, known)| known.state = State::Doubt);
                Ok(())
            }
            Op::Subscribe(topic) | Op::Unsubscribe(topic) => self.topic_called(call, topic, now_us),
        }
    }

    fn topic_called(&mut self, call: &Call, topic: &TopicName, now_us: u64) -> Result<(), String> {
        // What is said of a session that is gone is answered with an error.
        if self.sessions.get(&call.line()) != Some(&call.session) {
            return Ok(());
        }
        let key = (call.user.clone(), topic.clone());
        let connection = call.connection;
        let off = Known { state: State::Off, since_us: now_us, connection };
        let Known { state, since_us: known_us, .. } = self.topics.get(&key).copied().unwrap_or(off);
        let doubtful = matches!(state, State::Doubt | State::InFlight { .. });
        let next = State::InFlight { id: call.id, since_us: now_us, doubtful };
        self.topics.insert(key, Known { state: next, since_us: now_us, connection });
        let subscribes = matches!(call.op, Op::Subscribe(_));
        let user = &call.user;
        let link = self.links.of(user);
        match state {
            State::InFlight { since_us, .. } if link.unsure(since_us, now_us) => Ok(()),
            State::InFlight { id, since_us, .. } if now_us < since_us + self.patience_us => {
                Err(format!(
                    "the broker was told to {} for {user} while command {id} of that topic was in flight",
                    call.op
                ))
            }
            State::On | State::Off if link.unsure_of_answer(known_us) => Ok(()),
            State::On if subscribes => {
                Err(format!("the broker was asked for {topic} for {user}, which was on already"))
            }
            State::Off if !subscribes => {
                Err(format!("the broker was told to turn {topic} off for {user}, which was not on"))
            }
            State::On | State::Off | State::Doubt | State::InFlight { .. } => Ok(()),
        }
    }

    fn replied(&mut self, call: &Call, error: Option<&str>, in_time: bool, now_us: u64) {
        let Some(topic) = call.op.topic() else { return };
        let key = (call.user.clone(), topic.clone());
        let Some(known) = self.topics.get_mut(&key) else { return };
        let State::InFlight { id, since_us, doubtful } = known.state else { return };
        if id != call.id {
            return;
        }
        known.since_us = now_us;
        known.state = match (&call.op, error) {
            _ if self.links.of(&call.user).unsure(since_us, now_us) => State::Doubt,
            _ if !in_time => State::Doubt,
            (Op::Subscribe(_), None) => State::On,
            // It may be the answer of a world in which the earlier command took effect.
            (Op::Subscribe(_), Some(_)) if doubtful => State::Doubt,
            (Op::Subscribe(_), Some("REFUSED")) | (Op::Unsubscribe(_), None) => State::Off,
            (_, _) => State::Doubt,
        };
    }

    fn forget(&mut self, line: &Line) {
        self.sessions.remove(line);
        let (user, connection) = line;
        self.topics.retain(|(of, _), known| of != user || known.connection != *connection);
    }

    fn lost(&mut self, user: &UserId, session: u64) {
        let held = |((of, _), id): &(&Line, &u64)| of == user && **id == session;
        if let Some(line) = self.sessions.iter().find(held).map(|(line, _)| line.clone()) {
            self.forget(&line);
        }
    }
}

impl Invariant for OneBrokerCallPerWant {
    fn name(&self) -> &'static str {
        "one_broker_call_per_want"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.links.observe(event);
        self.whereabouts.observe(event);
        if let Some((user, session)) = event.seen.loss() {
            self.lost(user, session);
        }
        match &event.seen {
            Seen::Called(call) => return self.called(call, event.at_us),
            Seen::Replied { call, error, in_time } => {
                self.replied(call, *error, *in_time, event.at_us)
            }
            Seen::BrokerDied { .. } | Seen::Greeted => {
                let whereabouts = &self.whereabouts;
                let stays = |user: &UserId| !whereabouts.are_at(&event.actor, user);
                self.sessions.retain(|(user, _), _| stays(user));
                self.topics.retain(|(user, _), _| stays(user));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, named, plan};
    use super::*;
    use crate::history::Actor;

    fn on() -> Op {
        Op::Subscribe(named("NSE:A/LTP"))
    }

    fn off() -> Op {
        Op::Unsubscribe(named("NSE:A/LTP"))
    }

    fn story() -> Story<OneBrokerCallPerWant> {
        let mut story = Story::of(OneBrokerCallPerWant::new(&plan()));
        story.serve("alice", 1, Op::Connect);
        story
    }

    fn ask(story: &mut Story<OneBrokerCallPerWant>, op: Op) -> Result<(), String> {
        let call = story.call("alice", 1, op);
        story.see(&Actor::BROKER, Seen::Called(call))
    }

    #[test]
    fn on_and_off_in_turn_are_good() {
        let mut story = story();
        for op in [on(), off(), on(), off()] {
            story.serve("alice", 1, op);
        }
    }

    #[test]
    fn asking_for_what_is_on_and_turning_off_what_is_off_are_noticed() {
        let mut twice = story();
        twice.serve("alice", 1, on());
        assert!(ask(&mut twice, on()).is_err());
        assert!(ask(&mut story(), off()).is_err());
    }

    #[test]
    fn a_second_command_in_flight_is_noticed_unless_the_first_is_overdue() {
        let mut quick = story();
        assert_eq!(ask(&mut quick, on()), Ok(()));
        assert!(ask(&mut quick, off()).is_err());
        let mut patient = story();
        assert_eq!(ask(&mut patient, on()), Ok(()));
        let call = patient.call("alice", 1, off());
        assert_eq!(patient.later(600, &Actor::BROKER, Seen::Called(call)), Ok(()));
    }

    /// A subscribe that is refused; says what a turning off is taken for then.
    fn off_after_a_refusal(story: &mut Story<OneBrokerCallPerWant>) -> Result<(), String> {
        let call = story.call("alice", 1, on());
        story.later(600, &Actor::BROKER, Seen::Called(call.clone()))?;
        let refused = Seen::Replied { call, error: Some("REFUSED"), in_time: true };
        story.good(&Actor::BROKER, refused);
        ask(story, off())
    }

    #[test]
    fn a_refusal_settles_nothing_that_an_unanswered_command_left_open() {
        assert!(off_after_a_refusal(&mut story()).is_err());
        let mut doubtful = story();
        assert_eq!(ask(&mut doubtful, on()), Ok(()));
        assert_eq!(off_after_a_refusal(&mut doubtful), Ok(()));
    }

    #[test]
    fn a_lost_session_forgets_what_was_on() {
        let mut story = story();
        story.serve("alice", 1, on());
        story.good(&Actor::BROKER, Seen::SessionLost { user: "alice".into(), session: 1 });
        story.serve("alice", 2, Op::Connect);
        story.serve("alice", 2, on());
    }
}
