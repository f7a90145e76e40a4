use std::collections::{BTreeMap, BTreeSet};

use super::holdings::Settled;
use super::{Held, Invariant};
use crate::fault::Party;
use crate::history::{Actor, ClientName, Event, Phase, Reply, RowOutcome, Seen, Tick};
use crate::plan::Plan;
use crate::topic_name::TopicName;
use tickgate::server::status::Status;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 20_000;

/// Whoever gets the latest value at intervals is told the interval, gets at most one value in each,
/// and is never behind by more than one. The status page counts them.
///
/// A value that is read was sent after it was published and before the next one could arrive; so
/// how far apart two were sent is known whatever happens on the way to the client. Judged where
/// nothing interrupts the way from the feed; that nobody is behind, of clients that nothing
/// strikes.
pub(super) struct PacesHold {
    /// In microseconds, of those who have one.
    intervals_us: BTreeMap<ClientName, u64>,
    /// The interval of each client, in milliseconds, as it must be told.
    told_ms: BTreeMap<ClientName, u64>,
    /// Topics that can be served from one mode only.
    single: BTreeSet<TopicName>,
    /// Nothing but clients is struck.
    calm: bool,
    /// The shortest and the longest journey between two hosts.
    journey_us: [u64; 2],
    /// When each value was published.
    published: BTreeMap<TopicName, BTreeMap<u64, u64>>,
    reading: BTreeMap<(ClientName, TopicName), Reading>,
    /// Clients who may be behind; `None` in it: all may.
    spared: BTreeSet<Option<ClientName>>,
    at_rest: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// What was read last, or the last that was published before the subscription.
    last: u64,
    /// Whether that came at the end of an interval.
    at_interval: bool,
}

impl PacesHold {
    pub fn new(plan: &Plan) -> Self {
        let topics: BTreeSet<&TopicName> = plan.feed.topics.iter().map(|r| &r.topic).collect();
        let is_single = |topic: &&TopicName| {
            topics.iter().filter(|other| other.instrument() == topic.instrument()).count() == 1
        };
        let told = |client| plan.interval_ms(client);
        let [least_ms, most_ms] = plan.network.latency_ms;
        Self {
            intervals_us: plan.intervals_us(),
            told_ms: plan.clients.iter().map(|it| (it.name.as_str().into(), told(it))).collect(),
            single: topics.iter().copied().filter(is_single).cloned().collect(),
            calm: [Party::Feed, Party::Gateway].iter().all(|party| !plan.faults.touches(party)),
            journey_us: [least_ms * 1_000, (most_ms + plan.network.tick_ms) * 1_000],
            published: BTreeMap::new(),
            reading: BTreeMap::new(),
            spared: BTreeSet::new(),
            at_rest: false,
        }
    }

    fn read(&mut self, client: &ClientName, tick: &Tick, interval_us: u64) -> Result<(), String> {
        let Tick { topic, seq, snapshot, .. } = tick;
        let Some(reading) = self.reading.get_mut(&(client.clone(), topic.clone())) else {
            return Ok(());
        };
        let before = std::mem::replace(reading, Reading { last: *seq, at_interval: !snapshot });
        let Some(published) = self.published.get(topic) else { return Ok(()) };
        let (first_at_us, next) =
            (published.get(&before.last), published.range(seq + 1..).next().map(|(_, at)| *at));
        let (Some(first_at_us), Some(next_at_us)) = (first_at_us, next) else { return Ok(()) };
        if *snapshot || !before.at_interval {
            return Ok(());
        }
        let sent_from_us = first_at_us + self.journey_us[0];
        let sent_to_us = next_at_us + self.journey_us[1] + TOLERANCE_US;
        if sent_to_us < sent_from_us + interval_us {
            return Err(format!(
                "{client} read {topic} #{} and #{seq}, sent within {} ms, although it asked for \
                 one in {} ms",
                before.last,
                (sent_to_us - first_at_us) / 1_000,
                interval_us / 1_000,
            ));
        }
        Ok(())
    }

    /// Whether somebody waits for a value that should have come, or for one that is newer.
    fn nobody_is_behind(&self, held: &Held<'_>, now_us: u64) -> Result<(), String> {
        if self.spared.contains(&None) {
            return Ok(());
        }
        for ((client, topic), reading) in &self.reading {
            let waits = held.clients.get(client).is_none_or(|held| !held.pending.is_empty());
            if waits || self.spared.contains(&Some(client.clone())) {
                continue;
            }
            let published = self.published.get(topic).into_iter();
            let next = published.flat_map(|ticks| ticks.range(reading.last + 1..)).next();
            let Some((seq, at_us)) = next else { continue };
            let interval_us = self.intervals_us[client];
            let latest_us = at_us + interval_us + 2 * self.journey_us[1] + TOLERANCE_US;
            if latest_us < now_us {
                return Err(format!(
                    "{client} has read {topic} up to #{} only, although #{seq} was published {} \
                     ms ago and it gets the latest every {} ms",
                    reading.last,
                    (now_us - at_us) / 1_000,
                    interval_us / 1_000,
                ));
            }
        }
        Ok(())
    }

    fn is_told(&self, settled: &Settled) -> Result<(), String> {
        let Reply::Subscribed(rows) = &settled.reply else { return Ok(()) };
        let Some(interval_ms) = self.told_ms.get(&settled.client) else { return Ok(()) };
        for row in rows.iter().filter(|row| row.outcome == RowOutcome::Success) {
            if row.interval_ms != *interval_ms {
                return Err(format!(
                    "{} was told an interval of {} ms for {}, not {interval_ms}",
                    settled.client, row.interval_ms, row.instrument
                ));
            }
        }
        Ok(())
    }

    fn are_counted(&self, status: &Status, held: &Held<'_>) -> Result<(), String> {
        let counted: u64 = status.shards.iter().map(|shard| shard.paced).sum();
        let paced = held.clients.iter().filter(|(name, _)| self.intervals_us.contains_key(*name));
        let are: usize = paced.map(|(_, holding)| holding.topics.len()).sum();
        if counted != are as u64 {
            return Err(format!(
                "the gateway counts {counted} paced subscriptions, there are {are}"
            ));
        }
        Ok(())
    }

    fn spare(&mut self, party: &Party) {
        match party {
            Party::Client(name) => drop(self.spared.insert(Some(name.as_str().into()))),
            Party::ClientHost(_) | Party::Gateway => drop(self.spared.insert(None)),
            Party::Broker(_) | Party::Feed => {}
        }
    }

    /// Since when a client reads a topic, once it is sure that it does.
    fn hold(&mut self, client: &ClientName, held: &Held<'_>) {
        let holding = held.client;
        if held.settled.is_none() && holding.is_some() || !self.intervals_us.contains_key(client) {
            return;
        }
        let holds = |topic: &TopicName| holding.is_some_and(|held| held.topics.contains(topic));
        self.reading.retain(|(known, topic), _| known != client || holds(topic));
        let topics = holding.iter().flat_map(|holding| &holding.topics);
        for topic in topics.filter(|topic| self.single.contains(topic)) {
            let last = self.published.get(topic).and_then(BTreeMap::last_key_value);
            let last = last.map_or(0, |(seq, _)| *seq);
            let new = Reading { last, at_interval: false };
            self.reading.entry((client.clone(), topic.clone())).or_insert(new);
        }
    }
}

impl Invariant for PacesHold {
    fn name(&self) -> &'static str {
        "paces_hold"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if let Some(settled) = held.settled {
            self.is_told(settled)?;
        }
        match &event.seen {
            Seen::Phase(phase) => self.at_rest = *phase == Phase::Rest,
            Seen::Status(status) if self.at_rest => self.are_counted(status, held)?,
            _ => {}
        }
        if !self.calm || self.intervals_us.is_empty() {
            return Ok(());
        }
        match (&event.actor, &event.seen) {
            (_, Seen::Struck(strike)) => self.spare(&strike.party),
            (_, Seen::Published { topic, seq, .. }) => {
                self.published.entry(topic.clone()).or_default().insert(*seq, event.at_us);
                return self.nobody_is_behind(held, event.at_us);
            }
            (_, Seen::Phase(Phase::Leave)) => return self.nobody_is_behind(held, event.at_us),
            (Actor::Client(client), Seen::Tick(tick)) => {
                let interval_us = self.intervals_us.get(client).copied();
                return interval_us.map_or(Ok(()), |us| self.read(client, tick, us));
            }
            (Actor::Client(client), _) => self.hold(client, held),
            (_, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named, plan, row};
    use super::*;
    use crate::fault::{FaultKind, Strike};
    use crate::history::Request;
    use tickgate::server::status::ShardStatus;

    const A: &str = "NSE:A/LTP";

    /// alice-1 gets the latest every 200 ms.
    fn story(told_ms: u64) -> Result<Story<PacesHold>, String> {
        let mut plan = plan();
        plan.clients[0].interval_ms = 200;
        let mut story = Story::of(PacesHold::new(&plan));
        story.join("alice-1");
        let id = story.send("alice-1", Request::Subscribe(vec![named(A)]));
        let row =
            crate::history::SubscribeRow { interval_ms: told_ms, ..row(A, RowOutcome::Success) };
        story.answer("alice-1", id, Reply::Subscribed(vec![row]))?;
        Ok(story)
    }

    #[test]
    fn whoever_is_not_told_its_interval_is_noticed() {
        assert!(story(200).is_ok());
        for told_ms in [0, 199] {
            assert!(story(told_ms).is_err_and(|problem| problem.contains("not 200")));
        }
    }

    #[test]
    fn a_wrong_count_at_rest_is_noticed() {
        for (paced, is_good) in [(1, true), (0, false), (2, false)] {
            let mut story = story(200).expect("a good answer");
            let mut status = Status::default();
            status.shards.push(ShardStatus { paced, ..ShardStatus::default() });
            assert_eq!(story.status(status.clone()), Ok(()), "it may be on its way");
            story.phase(Phase::Rest);
            assert_eq!(story.status(status).is_ok(), is_good, "{paced}");
        }
    }

    fn second_after(ticks: u64) -> Result<(), String> {
        let mut story = story(200)?;
        for seq in 1..=30 {
            story.publish(A, seq);
            let read = match seq {
                5 => story.tick("alice-1", A, 4),
                _ if seq == 6 + ticks => story.tick("alice-1", A, 4 + ticks),
                _ => Ok(()),
            };
            read?;
            if seq == 6 + ticks {
                return Ok(());
            }
        }
        Ok(())
    }

    #[test]
    fn two_values_in_one_interval_are_noticed() {
        assert!(second_after(3).is_err_and(|problem| problem.contains("#4 and #7")));
        assert_eq!(second_after(19), Ok(()));
    }

    fn after(ms: u64, read: u64, fault: Option<FaultKind>) -> Result<(), String> {
        let mut story = story(200)?;
        if let Some(fault) = fault {
            let strike = Strike { fault, party: Party::Client("alice-1".into()), lasts_ms: 0 };
            story.good(&Actor::Network, Seen::Struck(strike));
        }
        story.publish(A, 1);
        story.publish(A, 2);
        story.see(&client("alice-1"), {
            let topic = named(A);
            let source = topic.mode();
            Seen::Tick(Tick::new(topic, source, read))
        })?;
        story.later(ms, &Actor::Operator, Seen::Phase(Phase::Leave))
    }

    #[test]
    fn whoever_is_left_with_an_old_value_is_noticed() {
        assert_eq!(after(1_000, 2, None), Ok(()));
        assert!(after(1_000, 1, None).is_err_and(|problem| problem.contains("#2")));
        assert_eq!(after(1_000, 1, Some(FaultKind::RateCap)), Ok(()));
        assert_eq!(after(150, 1, None), Ok(()));
    }
}
