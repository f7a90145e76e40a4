use std::collections::{BTreeMap, BTreeSet};

use tickgate::broker::Line;

use super::broker_link::BrokerLinks;
use super::whereabouts::Whereabouts;
use super::{Held, Invariant};
use crate::fault::FaultKind;
use crate::history::{Actor, Call, Event, Op, Seen};
use crate::plan::Plan;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 20_000;

/// A user's connection has at most one broker session: none is opened while another is open, being
/// opened or being closed; and each has a higher number than the one before.
pub(super) struct OneSessionPerUser {
    /// After this time the gateway may have given up waiting.
    patience_us: u64,
    links: BrokerLinks,
    whereabouts: Whereabouts,
    /// Whether the gateway has crashed, and who has greeted it since.
    crashed: Option<BTreeSet<Actor>>,
    lines: BTreeMap<Line, Session>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    state: State,
    /// Since when it is so.
    known_us: u64,
}

/// What the gateway must believe about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open,
    InFlight {
        id: u64,
        since_us: u64,
    },
    /// It cannot know.
    Doubt,
}

impl OneSessionPerUser {
    pub fn new(plan: &Plan) -> Self {
        let patience_ms =
            plan.gateway.connect_timeout_ms.saturating_sub(plan.network.latency_ms[1]);
        Self {
            patience_us: (patience_ms * 1_000).saturating_sub(TOLERANCE_US),
            links: BrokerLinks::new(plan),
            whereabouts: Whereabouts::default(),
            crashed: None,
            lines: BTreeMap::new(),
        }
    }

    fn called(&mut self, call: &Call, now_us: u64) -> Result<(), String> {
        let none = Session { number: 0, state: State::Closed, known_us: now_us };
        let session = self.lines.entry(call.line()).or_insert(none);
        let before = *session;
        session.state = State::InFlight { id: call.id, since_us: now_us };
        session.known_us = now_us;
        if call.op == Op::Disconnect {
            return Ok(());
        }
        session.number = call.session;
        let (user, patience_us) = (&call.user, self.patience_us);
        let link = self.links.of(user);
        match before.state {
            _ if call.session <= before.number => Err(format!(
                "session {} of {user} was opened after session {}",
                call.session, before.number
            )),
            State::Open if link.unsure_of_answer(before.known_us) => Ok(()),
            State::Open => Err(format!(
                "session {} of {user} was opened while session {} was open",
                call.session, before.number
            )),
            State::InFlight { since_us, .. } if link.unsure(since_us, now_us) => Ok(()),
            State::InFlight { id, since_us } if now_us < since_us + patience_us => Err(format!(
                "session {} of {user} was opened while command {id} was opening or closing \
                 session {}",
                call.session, before.number
            )),
            State::Closed | State::Doubt | State::InFlight { .. } => Ok(()),
        }
    }

    fn replied(&mut self, call: &Call, error: Option<&str>, in_time: bool, now_us: u64) {
        let Some(session) = self.lines.get_mut(&call.line()) else { return };
        let State::InFlight { id, since_us } = session.state else { return };
        if id != call.id {
            return;
        }
        session.known_us = now_us;
        session.state = match (&call.op, error) {
            _ if self.links.of(&call.user).unsure(since_us, now_us) => State::Doubt,
            _ if !in_time => State::Doubt,
            (Op::Connect, None) => State::Open,
            (Op::Connect, Some(_)) | (Op::Disconnect, None) => State::Closed,
            (_, _) => State::Doubt,
        };
    }
}

impl Invariant for OneSessionPerUser {
    fn name(&self) -> &'static str {
        "one_session_per_user"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.links.observe(event);
        self.whereabouts.observe(event);
        if let Some((user, session)) = event.seen.loss() {
            let of_user = (user.clone(), 0)..=(user.clone(), u32::MAX);
            let mut held = self.lines.range_mut(of_user).map(|(_, held)| held);
            if let Some(held) = held.find(|held| held.number == session) {
                held.state = State::Closed;
            }
        }
        match &event.seen {
            Seen::Called(call) if matches!(call.op, Op::Connect | Op::Disconnect) => {
                return self.called(call, event.at_us);
            }
            Seen::Replied { call, error, in_time } => {
                self.replied(call, *error, *in_time, event.at_us)
            }
            Seen::Struck(strike) if strike.fault == FaultKind::GatewayCrash => {
                self.crashed = Some(BTreeSet::new());
            }
            // A new gateway knows nothing of the numbers of the one before.
            Seen::Greeted
                if let Some(greeted) = &mut self.crashed
                    && greeted.insert(event.actor.clone()) =>
            {
                let whereabouts = &self.whereabouts;
                self.lines.retain(|(user, _), _| !whereabouts.are_at(&event.actor, user));
            }
            Seen::BrokerDied { .. } | Seen::Greeted => {
                let there = self.lines.iter_mut();
                there
                    .filter(|((user, _), _)| self.whereabouts.are_at(&event.actor, user))
                    .for_each(|(_, session)| session.state = State::Closed);
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

    fn open(story: &mut Story<OneSessionPerUser>, session: u64) -> Result<(), String> {
        let call = story.call("alice", session, Op::Connect);
        story.see(&Actor::BROKER, Seen::Called(call))
    }

    #[test]
    fn a_session_of_which_the_broker_knows_nothing_is_over() {
        let mut story = Story::of(OneSessionPerUser::new(&plan()));
        story.serve("alice", 1, Op::Connect);
        story.serve("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
        assert!(open(&mut story, 2).is_err());

        let mut story = Story::of(OneSessionPerUser::new(&plan()));
        story.serve("alice", 1, Op::Connect);
        let call = story.call("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
        let error = Some("NOT_CONNECTED");
        story.good(&Actor::BROKER, Seen::Replied { call, error, in_time: true });
        assert_eq!(open(&mut story, 2), Ok(()));
    }

    #[test]
    fn one_session_after_the_other_is_good() {
        let mut story = Story::of(OneSessionPerUser::new(&plan()));
        story.serve("alice", 1, Op::Connect);
        story.serve("alice", 1, Op::Disconnect);
        story.serve("alice", 2, Op::Connect);
        story.good(&Actor::BROKER, Seen::BrokerDied { back_in_ms: 1 });
        assert_eq!(open(&mut story, 3), Ok(()));
    }

    #[test]
    fn a_second_session_beside_an_open_or_opening_one_is_noticed() {
        let mut beside = Story::of(OneSessionPerUser::new(&plan()));
        beside.serve("alice", 1, Op::Connect);
        assert!(open(&mut beside, 2).is_err());
        let mut opening = Story::of(OneSessionPerUser::new(&plan()));
        assert_eq!(open(&mut opening, 1), Ok(()));
        assert!(open(&mut opening, 2).is_err());
    }

    #[test]
    fn a_number_that_is_used_again_is_noticed() {
        let mut story = Story::of(OneSessionPerUser::new(&plan()));
        story.serve("alice", 1, Op::Connect);
        story.serve("alice", 1, Op::Disconnect);
        assert!(open(&mut story, 1).is_err());
    }
}
