use std::collections::{BTreeMap, BTreeSet};

use super::feed_loss::FeedLoss;
use super::holdings::Holdings;
use super::{Held, Invariant};
use crate::fault::{FaultKind, Party};
use crate::history::{Actor, ClientName, Event, Seen};
use crate::plan::{ConnectionFault, Plan};
use crate::topic_name::TopicName;

/// The longest frame of a tick, in bytes.
const FRAME_BYTES: u64 = 400;
/// Answers that may wait before the ticks, in bytes.
const ANSWERS_BYTES: u64 = 4_000;
/// Until a subscription has reached the feed; also added where moments of hosts are compared.
const TOLERANCE_US: u64 = 100_000;

/// What the feed itself does: nothing is on its way for longer.
const SPEAKS_OTHERWISE: [FaultKind; 3] =
    [FaultKind::FeedSilence, FaultKind::FeedDuplicates, FaultKind::FeedFlood];

/// However far a client has lagged, it has read the latest value of each of its topics when the
/// topic has been silent for as long as it takes to write all that may wait.
///
/// Judged are clients whose connection is narrow at most: not slowed down, and always read from;
/// and nobody if the way from the feed is slow.
pub(super) struct LatestReachesAll {
    feed_loss: FeedLoss,
    /// Topics that can be served from one mode only.
    single: BTreeSet<TopicName>,
    /// Clients that get the latest at intervals.
    intervals_us: BTreeMap<ClientName, u64>,
    /// A silence that suffices, for others.
    silence_us: u64,
    /// The latest tick of each topic, and when it was published.
    latest: BTreeMap<TopicName, (u64, u64)>,
    /// Since when each topic is held, and the latest tick that was read.
    reading: BTreeMap<(ClientName, TopicName), (u64, u64)>,
    /// Clients that are not judged; `None` in it: nobody is.
    spared: BTreeSet<Option<ClientName>>,
}

impl LatestReachesAll {
    pub fn new(plan: &Plan) -> Self {
        let topics: BTreeSet<&TopicName> = plan.feed.topics.iter().map(|r| &r.topic).collect();
        let is_single = |topic: &&TopicName| {
            topics.iter().filter(|other| other.instrument() == topic.instrument()).count() == 1
        };
        let faults = plan.faults.connections.iter().flat_map(|struck| &struck.faults);
        let windows = faults.filter_map(|fault| match fault {
            ConnectionFault::Window { bytes } => Some(*bytes),
            _ => None,
        });
        let narrowest = windows.min().unwrap_or(u64::MAX).max(1);
        let of_each = topics.len() as u64;
        let ticks = of_each.max(plan.gateway.outbox_ticks_max as u64) + of_each;
        let windowfuls = (ticks * FRAME_BYTES + ANSWERS_BYTES).div_ceil(narrowest);
        let there_and_back_us = 2 * (plan.network.latency_ms[1] + 1) * 1_000;
        Self {
            feed_loss: FeedLoss::new(plan),
            single: topics.iter().copied().filter(is_single).cloned().collect(),
            intervals_us: plan.intervals_us(),
            silence_us: (windowfuls + 2) * there_and_back_us + TOLERANCE_US,
            latest: BTreeMap::new(),
            reading: BTreeMap::new(),
            spared: BTreeSet::new(),
        }
    }

    /// A topic has been silent since its latest tick.
    fn judge(&self, clients: &Holdings, topic: &TopicName, now_us: u64) -> Result<(), String> {
        let Some(&(latest, at_us)) = self.latest.get(topic) else { return Ok(()) };
        let lost = self.feed_loss.may_have_lost(at_us);
        if now_us - at_us < self.silence_us || lost || self.spared.contains(&None) {
            return Ok(());
        }
        for ((client, held), (since_us, read)) in &self.reading {
            let waits = clients.get(client).is_none_or(|held| !held.pending.is_empty());
            let is_new = since_us + TOLERANCE_US > at_us;
            let interval_us = self.intervals_us.get(client).unwrap_or(&0);
            let is_early = now_us - at_us < self.silence_us + interval_us;
            let judged = held == topic && !waits && !is_new && !is_early;
            if judged && *read < latest && !self.spared.contains(&Some(client.clone())) {
                return Err(format!(
                    "{client} has read {topic} up to #{read} only, although the latest, #{latest}, \
                     was published {} ms ago and none since: it was left with an old value",
                    (now_us - at_us) / 1_000
                ));
            }
        }
        Ok(())
    }

    fn spare(&mut self, fault: FaultKind, party: &Party) {
        match party {
            Party::Client(_) if fault == FaultKind::Window => {}
            Party::Client(name) => drop(self.spared.insert(Some(name.as_str().into()))),
            Party::ClientHost(_) | Party::Gateway => drop(self.spared.insert(None)),
            Party::Feed if !SPEAKS_OTHERWISE.contains(&fault) => drop(self.spared.insert(None)),
            Party::Broker(_) | Party::Feed => {}
        }
    }
}

impl Invariant for LatestReachesAll {
    fn name(&self) -> &'static str {
        "latest_reaches_all"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.feed_loss.observe(event);
        match &event.seen {
            Seen::Struck(strike) => self.spare(strike.fault, &strike.party),
            Seen::Published { topic, seq, .. } if self.single.contains(topic) => {
                let judged = self.judge(held.clients, topic, event.at_us);
                self.latest.insert(topic.clone(), (*seq, event.at_us));
                return judged;
            }
            _ => {}
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        if let Seen::Tick(tick) = &event.seen {
            if let Some((_, read)) = self.reading.get_mut(&(client.clone(), tick.topic.clone())) {
                *read = tick.seq;
            }
            return Ok(());
        }
        let holding = held.client;
        if held.settled.is_none() && holding.is_some() {
            return Ok(());
        }
        let holds = |topic: &TopicName| holding.is_some_and(|held| held.topics.contains(topic));
        self.reading.retain(|(known, topic), _| known != client || holds(topic));
        for topic in holding.iter().flat_map(|holding| &holding.topics) {
            self.reading.entry((client.clone(), topic.clone())).or_insert((event.at_us, 0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, plan};
    use super::*;
    use crate::fault::Strike;

    fn after_silence(ms: u64, read: u64, fault: Option<FaultKind>) -> Result<(), String> {
        let mut plan = plan();
        plan.gateway.outbox_ticks_max = 2;
        let mut story = Story::of(LatestReachesAll::new(&plan));
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        if let Some(fault) = fault {
            let strike = Strike { fault, party: Party::Client("alice-1".into()), lasts_ms: 0 };
            story.good(&Actor::Network, Seen::Struck(strike));
        }
        story.later(200, &Actor::Operator, Seen::Finished).expect("it is nothing");
        story.publish("NSE:A/LTP", 6);
        story.publish("NSE:A/LTP", 7);
        story.tick("alice-1", "NSE:A/LTP", read).expect("it is early");
        let again = Seen::Published {
            topic: "NSE:A/LTP".parse().expect("it is good"),
            seq: 8,
            wanted: true,
        };
        story.later(ms, &Actor::Feed, again)
    }

    #[test]
    fn an_old_value_after_a_long_silence_is_noticed() {
        assert_eq!(after_silence(1_000, 7, None), Ok(()));
        assert!(after_silence(1_000, 6, None).is_err_and(|problem| problem.contains("#7")));
        assert!(after_silence(1_000, 6, Some(FaultKind::Window)).is_err());
        assert_eq!(after_silence(20, 6, None), Ok(()));
        assert_eq!(after_silence(1_000, 6, Some(FaultKind::RateCap)), Ok(()));
    }
}
