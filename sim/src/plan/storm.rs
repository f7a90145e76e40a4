//! One client's part in a storm.

use std::collections::BTreeSet;

use tickgate::topic::UserId;

use super::draw::{GARBAGE, join};
use super::{Action, TimedAction};
use crate::history::{Request, UnsubscribeEntry};
use crate::rng::Stream;
use crate::scenario::{Scenario, Storm, Weights};
use crate::topic_name::TopicName;

/// Actions of one client; a storm of a long story ends here.
const ACTIONS_MAX: usize = 10_000;

/// Draws what one client does, keeping track of where it is and as whom.
pub(super) struct ClientStorm<'a> {
    scenario: &'a Scenario,
    storm: &'a Storm,
    user: UserId,
    /// As whom it authenticated last.
    is: UserId,
    stream: Stream,
    end_ms: u64,
}

impl<'a> ClientStorm<'a> {
    pub fn new(
        scenario: &'a Scenario,
        storm: &'a Storm,
        name: &str,
        user: &UserId,
        seed: u64,
    ) -> Self {
        Self {
            scenario,
            storm,
            user: user.clone(),
            is: user.clone(),
            stream: Stream::fork(seed, "storm", name),
            end_ms: storm.to_ms.unwrap_or(scenario.world.duration_ms),
        }
    }

    /// Adds the actions. `arrived`: the client has joined before the storm.
    pub fn run(&mut self, arrived: bool, actions: &mut Vec<TimedAction>) {
        let mut at_ms = self.storm.from_ms;
        if !arrived {
            at_ms += self.pause();
            actions.extend(join(at_ms, &self.user));
        }
        loop {
            at_ms += self.pause();
            if at_ms >= self.end_ms || actions.len() >= ACTIONS_MAX {
                return;
            }
            at_ms = self.act(at_ms, actions);
        }
    }

    /// Does one thing and tells when it is over.
    fn act(&mut self, at_ms: u64, actions: &mut Vec<TimedAction>) -> u64 {
        let weights: &Weights = &self.storm.weights.value;
        let Some(choice) = self.stream.weighted(&weights.all()) else { return at_ms };
        let mut push = |action| actions.push(TimedAction { at_ms, action });
        // The order of Weights::all.
        match choice {
            0 => push(Action::Send(Request::Subscribe(self.topics()))),
            1 => push(Action::Send(Request::Unsubscribe(self.entries(false)))),
            2 => push(Action::Send(Request::Unsubscribe(self.entries(true)))),
            3 => push(Action::Send(Request::UnsubscribeAll)),
            4 => {
                let topic = self.topic();
                for _ in 0..self.stream.between(1, 3) {
                    let entry = UnsubscribeEntry { topic: topic.clone(), every_mode: false };
                    push(Action::Send(Request::Subscribe(vec![topic.clone()])));
                    push(Action::Send(Request::Unsubscribe(vec![entry])));
                }
                if self.stream.chance(0.5) {
                    push(Action::Send(Request::Subscribe(vec![topic])));
                }
            }
            5 => return self.leave(true, false, at_ms, actions),
            6 => return self.leave(false, false, at_ms, actions),
            7 => return self.leave(false, true, at_ms, actions),
            8 => push(Action::Send(Request::Authenticate(Some(self.is.clone())))),
            9 => {
                let users = &self.scenario.world.users;
                self.is = self.stream.pick(users).value.name.as_str().into();
                push(Action::Send(Request::Authenticate(Some(self.is.clone()))));
            }
            10 => push(Action::Send(Request::Authenticate(None))),
            11 => push(Action::Send(Request::Ping)),
            12 => push(Action::Send(Request::BrokerInfo)),
            13 => push(Action::Send(Request::SubscribeOrders)),
            14 => push(Action::Send(Request::UnsubscribeOrders)),
            15 => push(Action::Send(Request::Garbage(self.stream.pick(&GARBAGE).to_string()))),
            _ => {
                let [least, most] = self.storm.stopped_ms;
                push(Action::StopReading { for_ms: self.stream.between(least, most) });
            }
        }
        at_ms
    }

    fn leave(
        &mut self,
        politely: bool,
        back_at_once: bool,
        at_ms: u64,
        actions: &mut Vec<TimedAction>,
    ) -> u64 {
        actions.push(TimedAction { at_ms, action: Action::Leave { politely } });
        let [least, most] = self.storm.away_ms;
        let away_ms = if back_at_once { 0 } else { self.stream.between(least, most) };
        self.is = self.user.clone();
        actions.extend(join(at_ms + away_ms, &self.user));
        at_ms + away_ms
    }

    fn pause(&mut self) -> u64 {
        let [least, most] = self.storm.pause_ms;
        self.stream.between(least, most)
    }

    fn topic(&mut self) -> TopicName {
        self.stream.pick(&self.scenario.world.topics).clone()
    }

    fn topics(&mut self) -> Vec<TopicName> {
        let topics = &self.scenario.world.topics;
        let [least, most] = self.storm.symbols_per_request;
        let count = self.stream.between(least, most) as usize;
        let positions = self.stream.sample(topics.len(), count);
        positions.into_iter().map(|at| topics[at].clone()).collect()
    }

    fn entries(&mut self, every_mode: bool) -> Vec<UnsubscribeEntry> {
        let mut named = BTreeSet::new();
        let mut topics = self.topics();
        topics.retain(|topic| named.insert(topic.instrument().clone()));
        topics.into_iter().map(|topic| UnsubscribeEntry { topic, every_mode }).collect()
    }
}
