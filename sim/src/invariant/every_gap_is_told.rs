use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tickgate::topic::Mode;

use super::feed_loss::FeedLoss;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Seen, Tick};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// Whatever a client does not get of a topic, the next tick of it tells: the numbers of two ticks
/// that it reads one after the other differ by one more than what the second says was skipped.
///
/// What is skipped is neither more nor less than what was published in between, where a topic has
/// one source and nothing is lost on the way from the feed. A tick has one number, whoever of a
/// broker's users reads it. A snapshot comes once, first of all, tells of nothing, and is not older
/// than what its connection has read. What a broadcast holds has no place among others.
pub(super) struct EveryGapIsTold {
    numbered: bool,
    snapshots: bool,
    /// Topics that can be served from one mode only.
    single: BTreeSet<TopicName>,
    feed_loss: FeedLoss,
    /// When each tick was published for the first time, and how often.
    published: BTreeMap<TopicName, BTreeMap<u64, (u64, u64)>>,
    /// The number of each tick that was published once.
    numbers: BTreeMap<Origin, u64>,
    /// The tick that each subscription has read last.
    last: BTreeMap<ClientName, BTreeMap<TopicName, Tick>>,
    /// The newest tick that each connection has read.
    newest: BTreeMap<ClientName, BTreeMap<TopicName, u64>>,
}

/// Topic of a subscription, source, number of the publisher and broker.
type Origin = (TopicName, Mode, u64, Option<Arc<str>>);

impl EveryGapIsTold {
    pub fn new(plan: &Plan) -> Self {
        let topics: BTreeSet<&TopicName> = plan.feed.topics.iter().map(|r| &r.topic).collect();
        let is_single = |topic: &&TopicName| {
            topics.iter().filter(|other| other.instrument() == topic.instrument()).count() == 1
        };
        Self {
            numbered: plan.gateway.seq,
            snapshots: plan.gateway.snapshot,
            single: topics.iter().copied().filter(is_single).cloned().collect(),
            feed_loss: FeedLoss::new(plan),
            published: BTreeMap::new(),
            numbers: BTreeMap::new(),
            last: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    fn read(&mut self, client: &ClientName, tick: &Tick) -> Result<(), String> {
        if tick.number.is_some() != self.numbered {
            return Err(format!("{client} read {tick}, whose number is not as was configured"));
        }
        self.judge_number(tick)?;
        let topics = self.last.entry(client.clone()).or_default();
        let last = topics.insert(tick.topic.clone(), tick.clone());
        let newest = self.newest.entry(client.clone()).or_default();
        let before = newest.insert(tick.topic.clone(), tick.seq);
        if tick.snapshot {
            let is_single = self.single.contains(&tick.topic);
            let older = before.filter(|before| is_single && tick.seq < *before);
            return match (&last, older) {
                _ if !self.snapshots => Err(format!("{client} read {tick}, and none was wanted")),
                (Some(last), _) => Err(format!("{client} read {tick} behind {last}")),
                (None, Some(newer)) => Err(format!("{client} read {tick} after #{newer}")),
                (None, None) if tick.skipped > 0 => {
                    Err(format!("{client} read {tick}, which is a beginning"))
                }
                (None, None) => Ok(()),
            };
        }
        let Some(last) = last else { return Ok(()) };
        if let (Some(before), Some(number)) = (last.number, tick.number)
            && number != before + 1 + tick.skipped
        {
            return Err(format!(
                "{client} read {tick} behind {last}: {} are missing and it was told of {}",
                number.saturating_sub(before + 1),
                tick.skipped
            ));
        }
        // Between a snapshot and the next tick there may be some that nobody was there for.
        if last.snapshot || !self.single.contains(&tick.topic) {
            return Ok(());
        }
        self.judge_count(client, &last, tick)
    }

    /// Compares what was skipped with what was published in between.
    fn judge_count(&self, client: &ClientName, last: &Tick, tick: &Tick) -> Result<(), String> {
        let Some(published) = self.published.get(&tick.topic) else { return Ok(()) };
        let copies = |seq| published.get(&seq).map_or(1, |(_, copies)| *copies);
        let between = || published.range(last.seq + 1..tick.seq.max(last.seq + 1));
        let surely = between().filter(|(_, (at_us, _))| !self.feed_loss.may_have_lost(*at_us));
        let least = surely.count() as u64;
        // Of each of the two, all copies but the one that was read.
        let of_these = copies(last.seq) - 1 + copies(tick.seq) - 1;
        let most = between().map(|(_, (_, copies))| copies).sum::<u64>() + of_these;
        if (least..=most).contains(&tick.skipped) {
            return Ok(());
        }
        Err(format!(
            "{client} read {tick} behind {last}: between them {least} to {most} were published and \
             not sent, and it was told of {}",
            tick.skipped
        ))
    }

    /// Compares a number with what others have read for the same tick.
    fn judge_number(&mut self, tick: &Tick) -> Result<(), String> {
        let Some(number) = tick.number else { return Ok(()) };
        let Tick { topic, source, seq, broker, .. } = tick;
        let origin: TopicName = match *source == topic.mode() {
            true => topic.clone(),
            false => tickgate::topic::Topic::new(topic.instrument().clone(), *source).into(),
        };
        let copies = self.published.get(&origin).and_then(|ticks| ticks.get(seq));
        if copies.is_none_or(|(_, copies)| *copies != 1) {
            return Ok(());
        }
        let key = (topic.clone(), *source, *seq, broker.clone());
        let known = *self.numbers.entry(key).or_insert(number);
        if known == number {
            return Ok(());
        }
        Err(format!("{tick} has the number {number}, and for somebody else it had {known}"))
    }
}

impl Invariant for EveryGapIsTold {
    fn name(&self) -> &'static str {
        "every_gap_is_told"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.feed_loss.observe(event);
        if let Seen::Published { topic, seq, .. } = &event.seen {
            let published = self.published.entry(topic.clone()).or_default();
            published.entry(*seq).or_insert((event.at_us, 0)).1 += 1;
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        match &event.seen {
            Seen::Tick(tick) => return self.read(client, tick),
            Seen::Broadcast { ticks, .. } => {
                let placed = |tick: &&Tick| tick.number.is_some() || tick.skipped > 0;
                return ticks.iter().find(placed).map_or(Ok(()), |tick| {
                    Err(format!("{client} read {tick} in a broadcast, which follows nothing"))
                });
            }
            Seen::Connected { .. } => drop(self.newest.remove(client)),
            _ => {}
        }
        let holding = held.client;
        if held.settled.is_none() && holding.is_some() {
            return Ok(());
        }
        // A subscription that has ended starts anew, even if the next one is on its way.
        match (holding, self.last.get_mut(client)) {
            (Some(holding), Some(last)) => {
                last.retain(|topic, _| holding.topics.contains(topic));
            }
            (None, _) => drop(self.last.remove(client)),
            (Some(_), None) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named, plan};
    use super::*;

    fn story() -> Story<EveryGapIsTold> {
        let mut story = Story::of(EveryGapIsTold::new(&plan()));
        for name in ["alice-1", "bob-1"] {
            story.join(name);
            story.subscribe(name, "NSE:A/LTP");
        }
        for seq in 1..=9 {
            story.publish("NSE:A/LTP", seq);
        }
        story
    }

    /// Number `seq` of the publisher, that is `number` here.
    fn tick(seq: u64, number: u64, skipped: u64) -> Tick {
        let number = Some(number);
        Tick { number, skipped, ..Tick::new(named("NSE:A/LTP"), Mode::Ltp, seq) }
    }

    fn reads(
        story: &mut Story<EveryGapIsTold>,
        name: &str,
        ticks: impl IntoIterator<Item = Tick>,
    ) -> Result<(), String> {
        ticks.into_iter().try_for_each(|tick| story.see(&client(name), Seen::Tick(tick)))
    }

    fn complaint(ticks: impl IntoIterator<Item = Tick>) -> String {
        reads(&mut story(), "alice-1", ticks).expect_err("it is wrong")
    }

    #[test]
    fn what_adds_up_is_good() {
        let snapshot = Tick { snapshot: true, ..tick(2, 2, 0) };
        let ticks = [snapshot, tick(5, 5, 2), tick(6, 6, 0), tick(9, 9, 2)];
        assert_eq!(reads(&mut story(), "alice-1", ticks), Ok(()));
    }

    #[test]
    fn a_gap_that_is_not_told_is_noticed() {
        let said = complaint([tick(2, 2, 0), tick(5, 5, 1)]);
        assert!(said.contains("2 are missing and it was told of 1"), "{said}");
        complaint([tick(2, 2, 0), tick(3, 3, 1)]);
        complaint([tick(2, 2, 0), tick(3, 2, 0)]);
    }

    #[test]
    fn numbers_that_hide_a_gap_are_noticed() {
        let said = complaint([tick(2, 2, 0), tick(5, 3, 0)]);
        assert!(said.contains("2 to 2 were published"), "{said}");
        complaint([tick(2, 2, 0), tick(3, 5, 2)]);
    }

    #[test]
    fn without_numbers_what_was_published_is_compared() {
        let mut plan = plan();
        plan.gateway.seq = false;
        let bare = |seq, skipped| Tick { number: None, ..tick(seq, 0, skipped) };
        for (second, good) in [(bare(4, 1), true), (bare(4, 0), false), (bare(3, 1), false)] {
            let mut story = Story::of(EveryGapIsTold::new(&plan));
            story.join("alice-1");
            story.subscribe("alice-1", "NSE:A/LTP");
            (1..=9).for_each(|seq| story.publish("NSE:A/LTP", seq));
            let read = reads(&mut story, "alice-1", [bare(2, 0), second.clone()]);
            assert_eq!(read.is_ok(), good, "{second}");
        }
        let mut story = Story::of(EveryGapIsTold::new(&plan));
        story.join("alice-1");
        assert!(reads(&mut story, "alice-1", [tick(1, 1, 0)]).is_err(), "a number");
    }

    #[test]
    fn one_tick_with_two_numbers_is_noticed() {
        let mut story = story();
        assert_eq!(reads(&mut story, "alice-1", [tick(3, 3, 0)]), Ok(()));
        assert!(reads(&mut story, "bob-1", [tick(3, 4, 0)]).is_err());
    }

    #[test]
    fn a_snapshot_in_the_middle_a_second_one_and_an_old_one_are_noticed() {
        let snapshot = |seq| Tick { snapshot: true, ..tick(seq, seq, 0) };
        complaint([tick(2, 2, 0), snapshot(3)]);
        complaint([snapshot(2), snapshot(2)]);
        complaint([Tick { skipped: 1, ..snapshot(2) }]);
        let mut story = story();
        assert_eq!(reads(&mut story, "alice-1", [tick(5, 5, 0)]), Ok(()));
        story.unsubscribe("alice-1", "NSE:A/LTP");
        story.subscribe("alice-1", "NSE:A/LTP");
        assert!(reads(&mut story, "alice-1", [snapshot(4)]).is_err(), "it has read the fifth");
    }

    #[test]
    fn a_new_subscription_compares_with_nothing_older() {
        let mut story = story();
        assert_eq!(reads(&mut story, "alice-1", [tick(5, 5, 0)]), Ok(()));
        story.unsubscribe("alice-1", "NSE:A/LTP");
        story.subscribe("alice-1", "NSE:A/LTP");
        assert_eq!(reads(&mut story, "alice-1", [tick(8, 1, 0)]), Ok(()));
    }

    #[test]
    fn a_snapshot_that_nobody_wants_and_a_place_in_a_broadcast_are_noticed() {
        let mut plan = plan();
        plan.gateway.snapshot = false;
        let mut story = Story::of(EveryGapIsTold::new(&plan));
        let snapshot = Tick { snapshot: true, ..tick(2, 2, 0) };
        assert!(reads(&mut story, "alice-1", [snapshot]).is_err());
        let broadcast = |tick| Seen::Broadcast { ticks: vec![tick], snapshot: false };
        let bare = Tick::new(named("NSE:A/LTP"), Mode::Ltp, 3);
        story.good(&client("bob-1"), broadcast(bare));
        assert!(story.see(&client("bob-1"), broadcast(tick(3, 3, 0))).is_err());
    }
}
