use std::collections::BTreeSet;

use super::holdings::Settled;
use super::pauses::Pauses;
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::fault::Party;
use crate::history::{Actor, ClientName, Event, Reply, Request, Seen};
use crate::plan::Plan;
use crate::scenario::Manner;
use crate::topic_name::TopicName;

/// Added to every bound, for what the gateway itself takes.
const TOLERANCE_US: u64 = 60_000;

/// A slow or silent broker topic, or another client, delays nobody: what does not need it is
/// answered within a few journeys of a message.
///
/// Judged are requests of clients that wait for no other answer. Whoever has broken rules may not
/// be read for a while.
pub(super) struct SlowDelaysNobodyElse {
    trouble: Trouble,
    pauses: Pauses,
    /// Clients that waited for nothing when they wrote their latest request.
    idle: BTreeSet<(ClientName, u64)>,
    journey_us: u64,
    /// Of one command of a topic that is treated normally.
    broker_us: u64,
    special: BTreeSet<TopicName>,
    /// Nothing happens to broker sessions, so subscribes can be judged too.
    calm: bool,
}

impl SlowDelaysNobodyElse {
    pub fn new(plan: &Plan) -> Self {
        let dies = |manner: Manner| matches!(manner, Manner::Die(_));
        let topics = || plan.brokers().flat_map(|broker| &broker.topics);
        let ends = |manner: Manner| dies(manner) || matches!(manner, Manner::Forget(_));
        let mut sessions = plan.brokers().flat_map(|broker| &broker.sessions);
        let deadly = topics().any(|t| dies(t.subscribe) || dies(t.unsubscribe))
            || sessions.any(|session| ends(session.connect));
        let answer_ms = plan.brokers().map(|broker| broker.answer_ms[1]).max();
        Self {
            trouble: Trouble::new(plan),
            pauses: Pauses::new(plan),
            idle: BTreeSet::new(),
            journey_us: plan.network.latency_ms[1] * 1_000,
            broker_us: answer_ms.unwrap_or_default() * 1_000,
            special: topics().map(|rule| rule.topic.clone()).collect(),
            calm: !deadly
                && plan.gateway.quirks.calls_per_second.is_none()
                && plan.brokers().all(|broker| broker.incidents.is_empty())
                && plan.feed.invalidations.is_empty()
                && !plan.faults.touches_a_broker()
                && !plan.faults.touches(&Party::Gateway),
        }
    }

    /// The longest that the answer may take; `None` if that cannot be said.
    fn bound_us(&self, settled: &Settled) -> Option<u64> {
        let there_and_back = 2 * self.journey_us + TOLERANCE_US;
        if enters_with(settled) {
            return None;
        }
        match &settled.request {
            // Opening a session takes what it takes.
            Request::Authenticate(Some(_)) => None,
            Request::Subscribe(topics) => {
                let normal = topics.iter().all(|topic| !self.special.contains(topic));
                // An unsubscribe may be in flight first.
                let commands = 2 * (2 * self.journey_us + self.broker_us);
                (normal && self.calm).then_some(there_and_back + commands)
            }
            Request::Authenticate(None)
            | Request::Unsubscribe(_)
            | Request::UnsubscribeAll
            | Request::SubscribeOrders
            | Request::UnsubscribeOrders
            | Request::Ping
            | Request::BrokerInfo
            | Request::SupportedBrokers
            | Request::Garbage(_) => Some(there_and_back),
        }
    }
}

/// Whether somebody became anonymous with this request, which opens a session.
fn enters_with(settled: &Settled) -> bool {
    let needs_somebody = match &settled.request {
        Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::UnsubscribeAll
        | Request::SubscribeOrders
        | Request::UnsubscribeOrders
        | Request::BrokerInfo => true,
        Request::Authenticate(_)
        | Request::Ping
        | Request::SupportedBrokers
        | Request::Garbage(_) => false,
    };
    let turned_down =
        matches!(&settled.reply, Reply::Refused { code, .. } if code == "NOT_AUTHENTICATED");
    settled.was.is_none() && needs_somebody && !turned_down
}

impl Invariant for SlowDelaysNobodyElse {
    fn name(&self) -> &'static str {
        "slow_delays_nobody_else"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.trouble.observe(event);
        if let (Actor::Client(client), Seen::Sent(_)) = (&event.actor, &event.seen) {
            // Nothing but this.
            let idle = held.client.is_some_and(|held| held.pending.len() == 1);
            if idle {
                self.idle.insert((client.clone(), event.at_us));
            }
        }
        let Some(settled) = held.settled else {
            self.pauses.observe(event, held);
            return Ok(());
        };
        let unread_us = self.pauses.left_us(&settled.client, settled.sent_us);
        self.pauses.observe(event, held);
        if !self.idle.remove(&(settled.client.clone(), settled.sent_us)) {
            return Ok(());
        }
        let took_us = event.at_us - settled.sent_us;
        let delay_us = self.trouble.delay_us(&settled.client, settled.sent_us, event.at_us);
        let bound_us = self.bound_us(settled).zip(delay_us);
        match bound_us.map(|(bound_us, delay_us)| bound_us + delay_us + unread_us) {
            Some(bound_us) if took_us > bound_us => Err(format!(
                "{} waited {} ms for the answer to {}; {} ms is the most that it should take",
                settled.client,
                took_us / 1_000,
                settled.request,
                bound_us / 1_000
            )),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named, plan, subscribed};
    use super::*;
    use crate::history::Answer;

    fn answer_after(ms: u64, request: Request, reply: Reply) -> Result<(), String> {
        let mut story = Story::of(SlowDelaysNobodyElse::new(&plan()));
        story.join("alice-1");
        let id = story.send("alice-1", request);
        let answer = Answer { id: Some(id), reply, broker: None };
        story.later(ms, &client("alice-1"), Seen::Answered(answer))
    }

    #[test]
    fn a_late_pong_and_a_late_subscribe_of_a_normal_topic_are_noticed() {
        assert_eq!(answer_after(20, Request::Ping, Reply::Pong), Ok(()));
        assert!(answer_after(300, Request::Ping, Reply::Pong).is_err());
        let subscribe = |topic: &str| Request::Subscribe(vec![named(topic)]);
        assert!(answer_after(300, subscribe("NSE:A/LTP"), subscribed("NSE:A/LTP")).is_err());
        assert_eq!(answer_after(300, subscribe("NSE:B/LTP"), subscribed("NSE:B/LTP")), Ok(()));
    }

    /// Two wrong keys, of which the gateway takes the second amiss for 400 ms; later a ping.
    fn pong_for_a_rogue(pause_ms: u64, pong_ms: u64) -> Result<(), String> {
        let mut plan = plan();
        plan.gateway.throttle_at = 3;
        plan.gateway.throttle_ms = 400;
        let mut story = Story::of(SlowDelaysNobodyElse::new(&plan));
        story.join("alice-1");
        for _ in 0..2 {
            let id = story.send("alice-1", Request::Authenticate(None));
            let (code, message) = ("AUTHENTICATION_ERROR".into(), String::new());
            story.answer("alice-1", id, Reply::Refused { code, message })?;
        }
        story.later(pause_ms, &client("alice-1"), Seen::Unexpected(String::new()))?;
        let id = story.send("alice-1", Request::Ping);
        let answer = Answer { id: Some(id), reply: Reply::Pong, broker: None };
        story.later(pong_ms, &client("alice-1"), Seen::Answered(answer))
    }

    #[test]
    fn who_has_broken_rules_waits_for_its_own_sake_and_no_longer() {
        assert_eq!(pong_for_a_rogue(0, 400), Ok(()));
        assert!(pong_for_a_rogue(0, 600).is_err());
        assert!(pong_for_a_rogue(300, 400).is_err());
    }
}
