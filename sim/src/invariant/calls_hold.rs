use std::collections::{BTreeMap, VecDeque};

use super::broker_link::BrokerLinks;
use super::{Held, Invariant};
use crate::history::{Actor, Call, Event, Seen};
use crate::plan::Plan;

/// A broker is called no more often than it is said to allow: within any second (below one call
/// per second, within the time of one), so many at most.
///
/// Judged where calls arrive: what left a second apart can arrive closer together by as much as
/// journeys differ, so the window is shorter by that. Commands of a batch are one call, which
/// counts when its last one arrives.
pub(super) struct CallsHold {
    /// `None`: any number is allowed.
    rate: Option<Rate>,
    links: BrokerLinks,
    calls_us: BTreeMap<Actor, VecDeque<u64>>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    max: usize,
    window_us: u64,
}

impl Invariant for CallsHold {
    fn name(&self) -> &'static str {
        "calls_hold"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.links.observe(event);
        match (&event.seen, self.rate) {
            // A new gateway knows nothing of the calls of the one before.
            (Seen::Greeted, _) => drop(self.calls_us.remove(&event.actor)),
            (Seen::Called(call), Some(rate)) if !call.more => {
                return self.called(rate, &event.actor, call, event.at_us);
            }
            (_, _) => {}
        }
        Ok(())
    }
}

impl CallsHold {
    pub fn new(plan: &Plan) -> Self {
        let quirks = &plan.gateway.quirks;
        let [least_ms, most_ms] = plan.network.latency_ms;
        let differ_us = (most_ms - least_ms + 2 * plan.network.tick_ms) * 1_000;
        let rate = quirks.calls_per_second.map(|rate| {
            let max = rate.floor().max(1.0);
            let window_us = (max * 1e6 / rate) as u64;
            Rate { max: max as usize, window_us: window_us.saturating_sub(differ_us) }
        });
        Self { rate, links: BrokerLinks::new(plan), calls_us: BTreeMap::new() }
    }

    fn called(
        &mut self,
        rate: Rate,
        broker: &Actor,
        call: &Call,
        now_us: u64,
    ) -> Result<(), String> {
        let Rate { max, window_us } = rate;
        let calls_us = self.calls_us.entry(broker.clone()).or_default();
        while calls_us.front().is_some_and(|at_us| at_us + window_us <= now_us) {
            calls_us.pop_front();
        }
        calls_us.push_back(now_us);
        let first_us = calls_us.front().copied().unwrap_or(now_us);
        // What was held back arrives all at once.
        if calls_us.len() <= max || self.links.of(&call.user).unsure(first_us, now_us) {
            return Ok(());
        }
        Err(format!(
            "the {broker} got {} calls within {} ms, and allows {max} in {} ms",
            calls_us.len(),
            (now_us - first_us) / 1_000,
            window_us / 1_000
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, named, plan};
    use super::*;
    use crate::history::Op;

    #[test]
    fn one_call_too_many_within_a_second_is_noticed() {
        let mut plan = plan();
        plan.gateway.quirks.calls_per_second = Some(2.0);
        let mut story = Story::of(CallsHold::new(&plan));
        let mut call = |after_ms: u64| {
            let call = story.call("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
            story.later(after_ms, &Actor::BROKER, Seen::Called(call))
        };
        assert_eq!([call(0), call(10), call(1_000), call(10)], [Ok(()), Ok(()), Ok(()), Ok(())]);
        assert!(call(900).is_err());
    }

    #[test]
    fn commands_of_a_batch_are_one_call() {
        let mut plan = plan();
        plan.gateway.quirks.calls_per_second = Some(1.0);
        plan.gateway.quirks.batch_max = 2;
        let mut story = Story::of(CallsHold::new(&plan));
        let mut call = |more| {
            let call = story.call("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
            story.later(1, &Actor::BROKER, Seen::Called(Call { more, ..call }))
        };
        assert_eq!([call(true), call(false), call(true)], [Ok(()), Ok(()), Ok(())]);
        assert!(call(false).is_err(), "a second batch");
    }
}
