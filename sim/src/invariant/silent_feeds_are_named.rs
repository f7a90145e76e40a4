use std::collections::{BTreeMap, BTreeSet};

use tickgate::audit::{Record, What};
use tickgate::protocol::FeedStatus;
use tickgate::server::status::Status;
use tickgate::topic::{BrokerName, UserId};

use super::holdings::Holding;
use super::{Held, Invariant};
use crate::fault::{FaultKind, Party, Strike};
use crate::history::{Actor, ClientName, Event, Seen, Tick};
use crate::plan::{Plan, TimedKind};
use crate::topic_name::TopicName;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 30_000;
/// What falls silent within this time is named as one feed.
const TOGETHER_US: u64 = 1_000_000;
/// A silence that was named is named again when it is one of so many times as many topics.
const GROWN: u64 = 10;

/// An operator is told of a broker whose whole feed is silent, and of no other: in the audit log
/// once, and on the status page as long as it lasts.
///
/// No tick that was published within the time that a topic may be silent was read by clients of
/// that broker, whatever befell them. An end is told of what was told. Where nothing ails the way
/// from the feed to the gateway: what ends a silence is a tick, and a feed is named of which a
/// client knows that a topic is stale, while nothing at all has been published for that long.
pub(super) struct SilentFeedsAreNamed {
    max_us: u64,
    /// Somebody may be silent for that long before the story ends.
    judged: bool,
    /// Nothing delays or loses what the publisher says, and nothing ails the gateway.
    calm: bool,
    /// A message's way from the feed by the gateway to a client.
    way_us: u64,
    hosts: BTreeMap<UserId, BrokerName>,
    other: BrokerName,
    /// When each topic's ticks were published, by number.
    published: BTreeMap<TopicName, Vec<u64>>,
    published_us: u64,
    /// When those were published that clients of each broker have read.
    read: BTreeMap<BrokerName, BTreeSet<u64>>,
    /// Of how many topics a silence was told that has not ended, and when.
    named: BTreeMap<BrokerName, (u64, u64)>,
    /// Who was told of which topics that they are stale, and when; nothing else since.
    stale: BTreeMap<ClientName, BTreeMap<TopicName, u64>>,
    /// Clients to whom messages may be slow; `None` in it: all.
    spared: BTreeSet<Option<ClientName>>,
}

impl SilentFeedsAreNamed {
    pub fn new(plan: &Plan) -> Self {
        let gateway = &plan.gateway;
        let name = |user: &UserId| BrokerName::from(plan.host_of(user).configured());
        let is_heard = |what: &TimedKind| match what.party() {
            Party::Gateway => false,
            // What it does not say is silence, and not delay.
            Party::Feed => !matches!(
                what.kind(),
                FaultKind::Stall
                    | FaultKind::Hold
                    | FaultKind::Partition
                    | FaultKind::PartitionOneWay
                    | FaultKind::Latency
            ),
            Party::Client(_) | Party::ClientHost(_) | Party::Broker(_) => true,
        };
        let faults = &plan.faults;
        let is_ailing = |party: &Party| matches!(party, Party::Feed | Party::Gateway);
        Self {
            max_us: gateway.stale_after_ms * 1_000,
            judged: gateway.stale_after_ms <= plan.duration_ms,
            calm: !faults.connections.iter().any(|struck| is_ailing(&struck.of))
                && faults.timed.iter().all(|timed| is_heard(&timed.what)),
            way_us: 2 * (plan.network.latency_ms[1] + plan.network.tick_ms) * 1_000 + TOLERANCE_US,
            hosts: plan.users.iter().map(|user| (user.clone(), name(user))).collect(),
            other: plan.broker.host.configured().into(),
            published: BTreeMap::new(),
            published_us: 0,
            read: BTreeMap::new(),
            named: BTreeMap::new(),
            stale: BTreeMap::new(),
            spared: BTreeSet::new(),
        }
    }

    /// Whose feed a client hears.
    fn broker(&self, client: Option<&Holding>) -> &BrokerName {
        let user = client.and_then(|holding| holding.user.as_ref());
        user.and_then(|user| self.hosts.get(user)).unwrap_or(&self.other)
    }

    fn published(&mut self, topic: &TopicName, seq: u64, at_us: u64) {
        self.published_us = at_us;
        let moments = self.published.entry(topic.clone()).or_default();
        // A duplicate has the moment of the first.
        if moments.len() as u64 + 1 == seq {
            moments.push(at_us);
        }
    }

    fn read(&mut self, tick: &Tick, held: &Held<'_>) {
        let instrument = tick.topic.instrument();
        let topic = TopicName::new(&instrument.exchange, &instrument.symbol, tick.source);
        let moments = self.published.get(&topic);
        let Some(number) = tick.seq.checked_sub(1) else { return };
        if let Some(at_us) = moments.and_then(|moments| moments.get(number as usize)).copied() {
            let broker = self.broker(held.client).clone();
            self.read.entry(broker).or_default().insert(at_us);
        }
    }

    /// How long ago the latest tick was published that was read of a broker, among those of before
    /// `until_us`, if that is sooner than a feed may be silent.
    fn too_lately(&self, broker: &BrokerName, until_us: u64, at_us: u64) -> Option<u64> {
        let last_us = self.read.get(broker)?.range(..=until_us).next_back()?;
        let ago_us = at_us.saturating_sub(*last_us);
        (ago_us + TOLERANCE_US < self.max_us).then_some(ago_us)
    }

    fn written(&mut self, record: &Record, at_us: u64) -> Result<(), String> {
        match &record.what {
            What::FeedSilent { broker, topics } => self.falls_silent(broker, *topics, at_us),
            What::FeedAudible { broker } => self.is_audible(broker, at_us),
            _ => Ok(()),
        }
    }

    fn falls_silent(&mut self, broker: &BrokerName, topics: u64, at_us: u64) -> Result<(), String> {
        if at_us < self.max_us {
            return Err(format!("the feed of {broker} is told to be silent from the beginning"));
        }
        if topics == 0 {
            return Err(format!("the feed of {broker} is told to be silent, and nothing of it is"));
        }
        if let Some(ago_us) = self.too_lately(broker, at_us, at_us) {
            return Err(format!(
                "the feed of {broker} is told to be silent; a tick was published {} ms before, and \
                 read",
                ago_us / 1_000
            ));
        }
        match self.named.insert(broker.clone(), (topics, at_us)) {
            Some((told, _)) if topics < told.saturating_mul(GROWN) => Err(format!(
                "the feed of {broker} is told to be silent again: {topics} topics, {told} before"
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn is_audible(&mut self, broker: &BrokerName, at_us: u64) -> Result<(), String> {
        let Some((_, named_us)) = self.named.remove(broker) else {
            return Err(format!("the feed of {broker} is told to tick again, and of no silence"));
        };
        if self.judged && self.calm && self.published_us + self.way_us < named_us {
            return Err(format!(
                "the feed of {broker} is told to tick again after {} ms, and nothing was published",
                (at_us - named_us) / 1_000
            ));
        }
        Ok(())
    }

    fn shown(&self, status: &Status, held: &Held<'_>, at_us: u64) -> Result<(), String> {
        let silent = &status.feed.silent_brokers;
        for broker in silent {
            let until_us = at_us.saturating_sub(self.way_us);
            let lately = self.too_lately(broker, until_us, at_us).filter(|_| self.calm);
            if let Some(ago_us) = lately {
                return Err(format!(
                    "the status page names the feed of {broker} silent; a tick was published {} ms \
                     before, and read",
                    ago_us / 1_000
                ));
            }
        }
        if !self.judged || !self.calm {
            return Ok(());
        }
        if self.spared.contains(&None) {
            return Ok(());
        }
        for (client, topics) in &self.stale {
            let holding = held.clients.get(client).filter(|holding| holding.pending.is_empty());
            let Some(holding) = holding.filter(|_| !self.spared.contains(&Some(client.clone())))
            else {
                continue;
            };
            let broker = self.broker(Some(holding));
            for (topic, stale_us) in topics {
                let silence = (client, topic, *stale_us);
                self.is_named(silence, broker, silent.contains(broker), at_us)?;
            }
        }
        Ok(())
    }

    /// Where a client knows that a topic is stale, and nothing is published, the operator knows.
    fn is_named(
        &self,
        (client, topic, stale_us): (&ClientName, &TopicName, u64),
        broker: &BrokerName,
        shown: bool,
        at_us: u64,
    ) -> Result<(), String> {
        let since_us = stale_us.max(self.published_us + self.max_us);
        let named = self.named.contains_key(broker);
        if (shown && named) || at_us <= since_us + TOGETHER_US + self.way_us {
            return Ok(());
        }
        let place = if shown { "the audit log" } else { "the status page" };
        Err(format!(
            "{client} knows that {topic} is stale, nothing was published for {} ms, and {place} \
             does not say that the feed of {broker} is silent",
            (at_us - self.published_us) / 1_000
        ))
    }

    fn struck(&mut self, strike: &Strike) {
        match &strike.party {
            Party::Client(name) => drop(self.spared.insert(Some(name.as_str().into()))),
            Party::ClientHost(_) => drop(self.spared.insert(None)),
            Party::Gateway if strike.fault == FaultKind::GatewayCrash => self.named.clear(),
            Party::Gateway | Party::Broker(_) | Party::Feed => {}
        }
    }

    fn is_told(&mut self, client: &ClientName, status: FeedStatus, topic: &TopicName, at_us: u64) {
        let told = self.stale.entry(client.clone()).or_default();
        match status {
            FeedStatus::Stale => drop(told.insert(topic.clone(), at_us)),
            FeedStatus::Live | FeedStatus::Recovering | FeedStatus::Closed => {
                told.remove(topic);
            }
        }
    }
}

impl Invariant for SilentFeedsAreNamed {
    fn name(&self) -> &'static str {
        "silent_feeds_are_named"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let at_us = event.at_us;
        match (&event.actor, &event.seen) {
            (_, Seen::Audited(record)) => return self.written(record, at_us),
            (_, Seen::Struck(strike)) => self.struck(strike),
            (_, Seen::Status(status)) => return self.shown(status, held, at_us),
            (_, _) if !self.judged => {}
            (_, Seen::Published { topic, seq, .. }) => self.published(topic, *seq, at_us),
            (_, Seen::Tick(tick)) if !tick.snapshot => self.read(tick, held),
            (Actor::Client(client), Seen::FeedStatus { status, topics }) => {
                topics.iter().for_each(|topic| self.is_told(client, *status, topic, at_us));
            }
            (Actor::Client(client), _) => match held.client {
                None => drop(self.stale.remove(client)),
                Some(holding) if held.settled.is_some() => {
                    if let Some(stale) = self.stale.get_mut(client) {
                        stale.retain(|topic, _| holding.topics.contains(topic));
                    }
                }
                Some(_) => {}
            },
            (_, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
