mod sessions;
mod silences;

use std::collections::{BTreeMap, BTreeSet};

use tickgate::config::MarketHours;
use tickgate::protocol::FeedStatus;
use tickgate::topic::UserId;

use super::{Held, Invariant};
use crate::fault::Party;
use crate::history::{Actor, ClientName, Event, Op, Seen};
use crate::plan::Plan;
use crate::runtime::EPOCH_UNIX_MS;
use crate::topic_name::TopicName;
use sessions::Sessions;
use silences::Silences;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 30_000;
/// How long a session may be lost before that is told.
const GRACE_US: u64 = 1_000_000;
const MINUTE_MS: u64 = 60_000;

/// What clients are told of their topics is true, and they are told in time.
///
/// Nobody reads a tick behind a silence whose end it was not told, is told of a topic that it does
/// not hold, of an end without a silence, or of one silence twice. A topic is closed outside its
/// hours and stale or recovering within them; it is recovering if a session was lost. Where nothing
/// interrupts the way from the feed to a client: what is stale was not published for as long as
/// every silence is allowed, what is live was published, and of what is not published for longer
/// than any silence is allowed, its clients have been told; of one with a habit sooner, whatever
/// its session did before. A topic that was silent for too long twice running is not stale again
/// before it has been so for as long.
pub(super) struct FeedStatusIsTrue {
    min_us: u64,
    silences: Silences,
    hours: BTreeMap<String, MarketHours>,
    /// Nothing but clients is struck, and broker sessions.
    calm: bool,
    /// A message's way from the feed by the gateway to a client.
    way_us: u64,
    /// Topics that can be served from one mode only.
    single: BTreeSet<TopicName>,
    published: BTreeMap<TopicName, BTreeSet<u64>>,
    /// What each client was told of a silence that lasts, and when.
    told: BTreeMap<ClientName, BTreeMap<TopicName, (FeedStatus, u64)>>,
    /// Since when clients hold what they hold.
    since_us: BTreeMap<ClientName, BTreeMap<TopicName, u64>>,
    sessions: Sessions,
    /// A session has been lost, or closed.
    lost: bool,
    /// Clients to whom messages may be slow; `None` in it: all.
    spared: BTreeSet<Option<ClientName>>,
}

impl FeedStatusIsTrue {
    pub fn new(plan: &Plan) -> Self {
        let topics: BTreeSet<&TopicName> = plan.feed.topics.iter().map(|r| &r.topic).collect();
        let is_single = |topic: &&TopicName| {
            topics.iter().filter(|other| other.instrument() == topic.instrument()).count() == 1
        };
        let markets = plan.gateway.markets.iter();
        let hours = markets.flat_map(|market| {
            let hours = market.hours().ok();
            market.exchanges.iter().filter_map(move |name| Some((name.clone(), hours.clone()?)))
        });
        Self {
            min_us: plan.gateway.stale_min_ms * 1_000,
            silences: Silences::new(plan),
            hours: hours.collect(),
            calm: [Party::Feed, Party::Gateway].iter().all(|party| !plan.faults.touches(party)),
            way_us: 2 * (plan.network.latency_ms[1] + plan.network.tick_ms) * 1_000 + TOLERANCE_US,
            single: topics.iter().copied().filter(is_single).cloned().collect(),
            published: BTreeMap::new(),
            told: BTreeMap::new(),
            since_us: BTreeMap::new(),
            sessions: Sessions::default(),
            lost: false,
            spared: BTreeSet::new(),
        }
    }

    /// Whether the market of a topic may have been open, and whether it may have been closed, at
    /// some moment within the way of a message before this one.
    fn may_be(&self, topic: &TopicName, at_us: u64) -> (bool, bool) {
        let Some(hours) = self.hours.get(&*topic.instrument().exchange) else {
            return (true, false);
        };
        let moments = [at_us.saturating_sub(self.way_us), at_us].map(|us| is_open(hours, us));
        (moments.contains(&true), moments.contains(&false))
    }

    fn is_judged(&self, client: &ClientName, topic: &TopicName) -> bool {
        let spared = self.spared.contains(&None) || self.spared.contains(&Some(client.clone()));
        self.calm && !spared && self.single.contains(topic)
    }

    fn is_told(
        &mut self,
        (client, user, at_us): (&ClientName, Option<&UserId>, u64),
        status: FeedStatus,
        topic: &TopicName,
    ) -> Result<(), String> {
        let before = self.told.get(client).and_then(|told| told.get(topic)).copied();
        let word = status.word();
        match (status, before) {
            (FeedStatus::Live, None) => {
                return Err(format!(
                    "{client} was told that {topic} is live, and of no silence before"
                ));
            }
            (FeedStatus::Live, Some((_, silent_us))) => {
                self.has_ticked(client, topic, silent_us, at_us)?;
                self.told.entry(client.clone()).or_default().remove(topic);
                return Ok(());
            }
            (_, Some((before, _))) if before == status => {
                return Err(format!("{client} was told twice that {topic} is {word}"));
            }
            (FeedStatus::Stale | FeedStatus::Recovering | FeedStatus::Closed, _) => {}
        }
        let (may_be_open, may_be_closed) = self.may_be(topic, at_us);
        let fits = if status == FeedStatus::Closed { may_be_closed } else { may_be_open };
        if !fits {
            return Err(format!(
                "{client} was told that {topic} is {word}, which is not so at this hour"
            ));
        }
        if status == FeedStatus::Recovering && !self.lost {
            return Err(format!("{client} was told that {topic} is recovering, from nothing"));
        }
        if status == FeedStatus::Stale {
            self.is_silent((client, user), topic, at_us)?;
        }
        self.told.entry(client.clone()).or_default().insert(topic.clone(), (status, at_us));
        Ok(())
    }

    /// What is stale has not been published for a while in which it could be.
    fn is_silent(
        &self,
        (client, user): (&ClientName, Option<&UserId>),
        topic: &TopicName,
        at_us: u64,
    ) -> Result<(), String> {
        let before_us = at_us.saturating_sub(self.min_us.saturating_sub(TOLERANCE_US));
        let hours = self.hours.get(&*topic.instrument().exchange);
        if hours.is_some_and(|hours| !is_open(hours, before_us)) {
            return Err(format!(
                "{client} was told that {topic} is stale, whose market has opened only now"
            ));
        }
        if !self.is_judged(client, topic) {
            return Ok(());
        }
        let published = self.published.get(topic);
        let arrived_us = at_us.saturating_sub(self.way_us);
        let last = published.and_then(|at| at.range(..=arrived_us).next_back());
        self.is_unusual((client, user), topic, at_us)?;
        match last.map(|last_us| at_us - last_us) {
            Some(ago_us) if ago_us + TOLERANCE_US < self.min_us => Err(format!(
                "{client} was told that {topic} is stale, which was published {} ms before",
                ago_us / 1_000
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// What is stale has not come out of two silences like this one just before.
    fn is_unusual(
        &self,
        (client, user): (&ClientName, Option<&UserId>),
        topic: &TopicName,
        at_us: u64,
    ) -> Result<(), String> {
        let arrived_us = at_us.saturating_sub(self.way_us);
        let published = self.published.get(topic).into_iter();
        let mut latest = published.flat_map(|at| at.range(..=arrived_us).rev().copied());
        let (Some(last_us), Some(between_us), Some(before_us)) =
            (latest.next(), latest.next(), latest.next())
        else {
            return Ok(());
        };
        let silences = self.silences.surely_us(topic, &[before_us, between_us, last_us]);
        let Some((began_us, usual_us)) = silences else { return Ok(()) };
        let since_us = self.since_us.get(client).and_then(|since| since.get(topic));
        let saw_all = since_us.is_some_and(|since_us| since_us + self.way_us < began_us);
        let is_settled = self.sessions.last_us(user).is_none_or(|last_us| last_us < began_us);
        let always_open = !self.hours.contains_key(&*topic.instrument().exchange);
        let ago_us = at_us - last_us;
        if saw_all && is_settled && always_open && ago_us + TOLERANCE_US < usual_us {
            return Err(format!(
                "{client} was told that {topic} is stale, silent for {} ms as often before",
                ago_us / 1_000
            ));
        }
        Ok(())
    }

    /// What is live has been published since it was silent.
    fn has_ticked(
        &self,
        client: &ClientName,
        topic: &TopicName,
        silent_us: u64,
        at_us: u64,
    ) -> Result<(), String> {
        if !self.is_judged(client, topic) {
            return Ok(());
        }
        let from_us = silent_us.saturating_sub(self.way_us);
        let published = self.published.get(topic);
        if published.is_some_and(|at| at.range(from_us..=at_us).next().is_some()) {
            return Ok(());
        }
        Err(format!("{client} was told that {topic} is live, which has not been published since"))
    }

    /// Nobody is left without a word of a silence that is longer than any may be.
    fn nobody_is_left(&self, held: &Held<'_>, now_us: u64) -> Result<(), String> {
        let slack_us = self.way_us + TOLERANCE_US;
        for (client, topics) in &self.since_us {
            let holding = held.clients.get(client).filter(|holding| holding.pending.is_empty());
            let Some(holding) = holding else { continue };
            let user = holding.user.as_ref();
            let session_us = self.sessions.last_us(user).unwrap_or_default();
            for (topic, since_us) in topics {
                let told = self.told.get(client).is_some_and(|told| told.contains_key(topic));
                if told || !self.is_judged(client, topic) {
                    continue;
                }
                let published = self.published.get(topic);
                let last_us = published.and_then(|at| at.last()).copied();
                let last_us = last_us.unwrap_or_default().max(*since_us).max(session_us);
                let usual_us = self.usual_us(user, topic, (*since_us, last_us));
                let max_us = usual_us.unwrap_or_else(|| self.silences.max_us(topic));
                if now_us <= last_us + max_us.max(GRACE_US) + slack_us {
                    continue;
                }
                let longest_us = usual_us
                    .unwrap_or_else(|| self.silences.longest_us(topic, self.published.get(topic)));
                let too_long_us = longest_us.max(GRACE_US) + slack_us;
                let opened = match self.hours.get(&*topic.instrument().exchange) {
                    Some(hours) => (0..=10)
                        .all(|part| is_open(hours, now_us.saturating_sub(part * too_long_us / 10))),
                    None => true,
                };
                if opened && now_us > last_us + too_long_us {
                    return Err(format!(
                        "{client} was told nothing of {topic}, silent for {} ms",
                        (now_us - last_us) / 1_000
                    ));
                }
            }
        }
        Ok(())
    }

    /// The longest silence that a topic's own gaps explain, if the gateway surely knows them and no
    /// session has come since its last tick.
    fn usual_us(
        &self,
        user: Option<&UserId>,
        topic: &TopicName,
        (since_us, last_us): (u64, u64),
    ) -> Option<u64> {
        let session_us = self.sessions.settled_us(user);
        let published = self.published.get(topic)?;
        let always_open = !self.hours.contains_key(&*topic.instrument().exchange);
        let is_settled = published.last() == Some(&last_us) && session_us + self.way_us < last_us;
        if !always_open || !is_settled {
            return None;
        }
        let usual_us = self.silences.usual_us(topic, published, since_us)?;
        Some(usual_us.min(self.silences.longest_us(topic, Some(published))))
    }

    /// A client has left a topic, maybe as the last.
    fn leave(&mut self, topic: &TopicName, at_us: u64) {
        if !self.since_us.values().any(|since| since.contains_key(topic)) {
            self.silences.left(topic, at_us);
        }
    }

    /// Since when a client holds its topics; what it was told of others is past.
    fn hold(&mut self, client: &ClientName, held: &Held<'_>, at_us: u64) {
        let Some(holding) = held.client else {
            self.told.remove(client);
            for topic in self.since_us.remove(client).unwrap_or_default().keys() {
                self.leave(topic, at_us);
            }
            return;
        };
        if held.settled.is_none() {
            return;
        }
        let since = self.since_us.entry(client.clone()).or_default();
        let given_up = since.keys().filter(|topic| !holding.topics.contains(*topic));
        let given_up: Vec<TopicName> = given_up.cloned().collect();
        since.retain(|topic, _| holding.topics.contains(topic));
        for topic in &holding.topics {
            since.entry(topic.clone()).or_insert(at_us);
            self.silences.held(topic, at_us);
        }
        for topic in &given_up {
            self.leave(topic, at_us);
        }
        if let Some(told) = self.told.get_mut(client) {
            told.retain(|topic, _| holding.topics.contains(topic));
        }
    }
}

/// Whether a market trades at a moment of the simulation. Those that close the next day are not
/// simulated.
fn is_open(hours: &MarketHours, at_us: u64) -> bool {
    let minute = (EPOCH_UNIX_MS + at_us / 1_000) / MINUTE_MS;
    let local = i64::try_from(minute).unwrap_or(i64::MAX) + hours.offset_min;
    let (day, of_day) = (local / 1_440, local % 1_440);
    let range = i64::from(hours.open_min)..i64::from(hours.close_min);
    // 1970 began on a Thursday.
    let of_week = usize::try_from((day + 3) % 7).unwrap_or_default();
    hours.days[of_week] && !hours.holidays.contains(&day) && range.contains(&of_day)
}

impl Invariant for FeedStatusIsTrue {
    fn name(&self) -> &'static str {
        "feed_status_is_true"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let at_us = event.at_us;
        match (&event.actor, &event.seen) {
            (_, Seen::Struck(strike)) => match &strike.party {
                Party::Client(name) => drop(self.spared.insert(Some(name.as_str().into()))),
                Party::ClientHost(_) | Party::Gateway => drop(self.spared.insert(None)),
                Party::Broker(_) => {
                    self.sessions.all_concerned(at_us);
                    self.lost = true;
                }
                Party::Feed => {}
            },
            (Actor::Client(client), Seen::FeedStatus { status, topics }) => {
                for topic in topics {
                    if !held.client.is_some_and(|holding| holding.topics.contains(topic)) {
                        let word = status.word();
                        return Err(format!(
                            "{client} was told that {topic} is {word} and does not hold it"
                        ));
                    }
                    let user = held.client.and_then(|holding| holding.user.as_ref());
                    self.is_told((client, user, at_us), *status, topic)?;
                }
            }
            (Actor::Client(client), Seen::Tick(tick)) if !tick.snapshot => {
                let told = self.told.get(client).and_then(|told| told.get(&tick.topic));
                if let Some((status, _)) = told {
                    return Err(format!(
                        "{client} read {tick}, and that it is {} is the last that it was told",
                        status.word()
                    ));
                }
            }
            (Actor::Client(client), _) => self.hold(client, held, at_us),
            (_, Seen::Published { topic, .. }) => {
                self.published.entry(topic.clone()).or_default().insert(at_us);
            }
            (_, Seen::Called(call)) => {
                if matches!(call.op, Op::Connect | Op::Disconnect) {
                    self.sessions.concerned(&call.user, at_us);
                    self.lost |= call.op == Op::Disconnect;
                }
            }
            (_, seen) if let Some((user, _)) = seen.loss() => {
                self.sessions.concerned(user, at_us);
                self.lost = true;
            }
            (_, Seen::Replied { call, .. }) => {
                if matches!(call.op, Op::Connect | Op::Disconnect) {
                    self.sessions.replied(&call.user, at_us);
                }
            }
            (_, Seen::BrokerDied { .. }) => {
                self.sessions.all_concerned(at_us);
                self.lost = true;
            }
            (_, Seen::Greeted | Seen::Linked(_)) => self.sessions.all_concerned(at_us),
            (_, Seen::Status(_) | Seen::Phase(_)) => return self.nobody_is_left(held, at_us),
            (_, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
