use std::collections::BTreeMap;

use super::{Held, Invariant};
use crate::fault::Party;
use crate::history::{Actor, ClientName, Event, Seen, Tick};
use crate::plan::Plan;
use crate::topic_name::TopicName;
use tickgate::topic::{Mode, Topic};

/// Until a subscription has reached the feed, at most.
const TO_THE_FEED_US: u64 = 100_000;
/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 20_000;

/// A subscription is served from one source: the lowest mode at or above its own that publishers
/// have sent within the source window.
///
/// Judged where nothing interrupts the way from the feed and no session ends.
pub(super) struct OneSourceAtATime {
    calm: bool,
    /// Within this time after a tick, its mode certainly counts as sent.
    window_us: u64,
    /// Since when each topic is held.
    since: BTreeMap<(ClientName, TopicName), u64>,
    /// When each tick was published.
    published: BTreeMap<TopicName, BTreeMap<u64, u64>>,
}

impl OneSourceAtATime {
    pub fn new(plan: &Plan) -> Self {
        let journeys_us = 2 * plan.network.latency_ms[1] * 1_000;
        let window_us = plan.gateway.source_window_ms * 1_000;
        Self {
            calm: plan.brokers().all(|broker| {
                broker.incidents.is_empty()
                    && broker.sessions.is_empty()
                    && broker.topics.is_empty()
            }) && plan.feed.invalidations.is_empty()
                && !plan.faults.touches_a_broker()
                && ![Party::Feed, Party::Gateway].iter().any(|party| plan.faults.touches(party)),
            window_us: window_us.saturating_sub(journeys_us + TOLERANCE_US),
            since: BTreeMap::new(),
            published: BTreeMap::new(),
        }
    }

    fn read(&self, client: &ClientName, tick: &Tick) -> Result<(), String> {
        let Tick { topic, source, seq, .. } = tick;
        let at = |mode: Mode| TopicName::from(Topic::new(topic.instrument().clone(), mode));
        let Some(since_us) = self.since.get(&(client.clone(), topic.clone())) else {
            return Ok(());
        };
        let ticks = self.published.get(&at(*source));
        let Some(&published_us) = ticks.and_then(|ticks| ticks.get(seq)) else { return Ok(()) };
        for mode in Mode::ALL.into_iter().filter(|mode| topic.mode() <= *mode && mode < source) {
            let Some(ticks) = self.published.get(&at(mode)) else { continue };
            let from_us =
                (since_us + TO_THE_FEED_US).max(published_us.saturating_sub(self.window_us));
            let in_time = |us: &u64| (from_us..published_us).contains(us);
            if let Some((lower, _)) = ticks.iter().rev().find(|(_, us)| in_time(us)) {
                return Err(format!(
                    "{client} read {topic} from {source} #{seq}, although {mode} #{lower} had \
                     been published within the source window: two sources serve it"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for OneSourceAtATime {
    fn name(&self) -> &'static str {
        "one_source_at_a_time"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if !self.calm {
            return Ok(());
        }
        if let Seen::Published { topic, seq, .. } = &event.seen {
            let ticks = self.published.entry(topic.clone()).or_default();
            ticks.entry(*seq).or_insert(event.at_us);
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        if let Seen::Tick(tick) = &event.seen
            && !tick.snapshot
        {
            return self.read(client, tick);
        }
        let holding = held.client;
        if held.settled.is_none() && holding.is_some() {
            return Ok(());
        }
        let holds = |topic: &TopicName| holding.is_some_and(|held| held.topics.contains(topic));
        self.since.retain(|(known, topic), _| known != client || holds(topic));
        for topic in holding.iter().flat_map(|holding| &holding.topics) {
            self.since.entry((client.clone(), topic.clone())).or_insert(event.at_us);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;

    /// Publishes LTP #1, waits, publishes Quote #1; alice reads her LTP subscription from Quote.
    fn read_from_quote(wait_ms: u64) -> Result<(), String> {
        let mut plan = plan();
        // A slow topic of another instrument.
        plan.broker.topics.clear();
        let mut story = Story::of(OneSourceAtATime::new(&plan));
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:M/LTP");
        story.later(200, &Actor::Operator, Seen::Finished).expect("it is nothing");
        story.publish("NSE:M/LTP", 1);
        story.later(wait_ms, &Actor::Operator, Seen::Finished).expect("it is nothing");
        story.publish("NSE:M/Quote", 1);
        let topic = TopicName::new("NSE", "M", Mode::Ltp);
        let tick = Tick::new(topic, Mode::Quote, 1);
        story.see(&client("alice-1"), Seen::Tick(tick))
    }

    #[test]
    fn a_second_source_is_noticed_and_one_that_has_fallen_silent_is_none() {
        assert!(read_from_quote(1_000).is_err_and(|problem| problem.contains("LTP #1")));
        assert_eq!(read_from_quote(6_000), Ok(()));
    }
}
