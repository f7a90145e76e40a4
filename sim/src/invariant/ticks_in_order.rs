use std::collections::{BTreeMap, BTreeSet};

use tickgate::topic::{Mode, Topic};

use super::feed_loss::FeedLoss;
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Seen, Tick};
use crate::plan::Plan;
use crate::scenario::Gateway;
use crate::topic_name::TopicName;

/// A subscriber reads every tick of its topic, in the order in which the feed published them:
/// none twice, none left out, and the first one published after its subscribe was answered is not
/// missed. Whoever gets the latest tick at intervals misses some, but gets none twice and none that
/// is older.
///
/// A subscription is served from one mode at a time. Where publishers send several modes that
/// could serve it, the count starts anew at each change of source.
pub(super) struct TicksInOrder {
    /// Topics that can be served from one mode only.
    single: BTreeSet<TopicName>,
    /// When each tick was published for the first time, and how often.
    published: BTreeMap<TopicName, BTreeMap<u64, (u64, u32)>>,
    feed_loss: FeedLoss,
    trouble: Trouble,
    /// Clients that do not get every tick.
    paced: BTreeSet<ClientName>,
    /// Whether the gateway may leave ticks out before they come to a shard. It has to say so, with
    /// their number, which is what `every_gap_is_told` judges.
    sheds: bool,
    reading: BTreeMap<ClientName, BTreeMap<TopicName, Reading>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// The tick that was read last.
    last: Option<(Mode, u64)>,
    /// How often it was read.
    copies: u32,
    /// Whether that was a snapshot: ticks that nobody wanted may lie between it and the next.
    snapshot: bool,
    /// Ticks published when the subscribe was answered.
    before: Option<u64>,
}

impl TicksInOrder {
    pub fn new(plan: &Plan) -> Self {
        let topics: BTreeSet<&TopicName> = plan.feed.topics.iter().map(|r| &r.topic).collect();
        let is_single = |topic: &&TopicName| {
            let same = topics.iter().filter(|other| other.instrument() == topic.instrument());
            same.filter(|other| other.mode() >= topic.mode()).count() == 1
        };
        Self {
            single: topics.iter().copied().filter(is_single).cloned().collect(),
            published: BTreeMap::new(),
            feed_loss: FeedLoss::new(plan),
            trouble: Trouble::new(plan),
            paced: plan.intervals_us().into_keys().collect(),
            sheds: plan.gateway.waiting_ticks_max < Gateway::default().waiting_ticks_max,
            reading: BTreeMap::new(),
        }
    }

    fn read(&mut self, client: &ClientName, tick: &Tick) -> Result<(), String> {
        let Tick { topic, source, seq, snapshot, .. } = tick;
        if *source < topic.mode() {
            return Err(format!("{client} read {topic} #{seq} made of a mere {source} tick"));
        }
        let single = self.single.contains(topic);
        let reading = reading_of(&mut self.reading, client, topic);
        let published = match *source == topic.mode() {
            true => self.published.get(topic),
            false => {
                let instrument = topic.instrument().clone();
                self.published.get(&Topic::new(instrument, *source).into())
            }
        };
        let tick = |seq: u64| published.and_then(|ticks| ticks.get(&seq)).copied();
        let copies = tick(*seq).map_or(1, |(_, copies)| copies);
        let again = reading.last == Some((*source, *seq)) && reading.copies < copies;
        let expected = match reading.last {
            // A snapshot repeats, or goes before, what was read.
            Some((last_source, last)) if last_source == *source => {
                let least = if *snapshot || again { last } else { last + 1 };
                let most = if *snapshot || reading.snapshot { u64::MAX } else { last + 1 };
                Some((least, most, last))
            }
            Some(_) | None => None,
        };
        // Whether the ticks after `last` may have been lost, or left out for the newest.
        let trouble = || self.sheds || self.trouble.lags(client) || self.paced.contains(client);
        let lost = |seq| tick(seq).is_some_and(|(at_us, _)| self.feed_loss.may_have_lost(at_us));
        let missed = |last: u64| !trouble() && !(last + 1..*seq).all(lost);
        let before = reading.before.filter(|_| single && !snapshot && reading.last.is_none());
        *reading = Reading {
            last: Some((*source, *seq)),
            copies: if again { reading.copies + 1 } else { 1 },
            snapshot: *snapshot,
            before: reading.before,
        };
        match (expected, before) {
            (Some((least, _, last)), _) if *seq < least => {
                Err(format!("{client} read {topic} #{seq} after #{last}"))
            }
            (Some((_, most, last)), _) if *seq > most && missed(last) => Err(format!(
                "{client} read {topic} #{seq} after #{last}: it missed {}",
                seq - last - 1
            )),
            (None, Some(before)) if *seq > before + 1 && missed(before) => Err(format!(
                "{client} first read {topic} #{seq}, although #{} was published after its \
                 subscribe had been answered",
                before + 1
            )),
            (_, _) => Ok(()),
        }
    }
}

/// How far a client has read a topic.
fn reading_of<'a>(
    all: &'a mut BTreeMap<ClientName, BTreeMap<TopicName, Reading>>,
    client: &ClientName,
    topic: &TopicName,
) -> &'a mut Reading {
    all.entry(client.clone()).or_default().entry(topic.clone()).or_default()
}

impl Invariant for TicksInOrder {
    fn name(&self) -> &'static str {
        "ticks_in_order"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.feed_loss.observe(event);
        self.trouble.observe(event);
        if let Seen::Published { topic, seq, .. } = &event.seen {
            let published = self.published.entry(topic.clone()).or_default();
            published.entry(*seq).or_insert((event.at_us, 0)).1 += 1;
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        if let Seen::Tick(tick) = &event.seen {
            return self.read(client, tick);
        }
        let holding = held.client;
        if held.settled.is_none() && holding.is_some() {
            return Ok(());
        }
        // A subscription that has ended starts anew, even if the next one is on its way.
        match (holding, self.reading.get_mut(client)) {
            (Some(holding), Some(reading)) => {
                reading.retain(|topic, _| holding.topics.contains(topic));
            }
            (None, _) => drop(self.reading.remove(client)),
            (Some(_), None) => {}
        }
        for topic in holding.iter().flat_map(|holding| &holding.topics) {
            let published = self.published.get(topic).and_then(BTreeMap::last_key_value);
            let published = published.map_or(0, |(seq, _)| *seq);
            let reading = reading_of(&mut self.reading, client, topic);
            reading.before.get_or_insert(published);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named, plan, subscribed};
    use super::*;
    use crate::history::{Reply, Request, UnsubscribeEntry};

    fn story() -> Story<TicksInOrder> {
        let mut story = Story::of(TicksInOrder::new(&plan()));
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        story
    }

    #[test]
    fn a_gap_a_repetition_and_a_step_back_are_noticed() {
        for (second, word) in [(5, "missed 1"), (3, "after #3"), (2, "after #3")] {
            let mut story = story();
            assert_eq!(story.tick("alice-1", "NSE:A/LTP", 2), Err(
                "alice-1 first read NSE:A/LTP #2, although #1 was published after its subscribe \
                 had been answered".into()
            ));
            assert_eq!(story.tick("alice-1", "NSE:A/LTP", 3), Ok(()));
            let problem = story.tick("alice-1", "NSE:A/LTP", second).expect_err("it is wrong");
            assert!(problem.contains(word), "{problem}");
        }
    }

    #[test]
    fn a_new_subscription_starts_anew() {
        let mut story = story();
        story.publish("NSE:A/LTP", 1);
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 1), Ok(()));
        story.unsubscribe("alice-1", "NSE:A/LTP");
        story.publish("NSE:A/LTP", 2);
        story.subscribe("alice-1", "NSE:A/LTP");
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 3), Ok(()));
    }

    #[test]
    fn a_new_subscription_starts_anew_even_if_it_was_asked_for_before_the_old_one_ended() {
        let mut story = story();
        let topic = || vec![named("NSE:A/LTP")];
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 1), Ok(()));
        let entry = UnsubscribeEntry { topic: named("NSE:A/LTP"), every_mode: false };
        let end = story.send("alice-1", Request::Unsubscribe(vec![entry]));
        let again = story.send("alice-1", Request::Subscribe(topic()));
        story.publish("NSE:A/LTP", 2);
        let (successful, failed) = (vec!["NSE:A".to_owned()], Vec::new());
        let ended = Reply::Unsubscribed { successful, failed };
        story.answer("alice-1", end, ended).expect("a good answer");
        story.answer("alice-1", again, subscribed("NSE:A/LTP")).expect("a good answer");
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 3), Ok(()));
    }

    #[test]
    fn the_first_tick_after_a_snapshot_may_be_later_but_not_earlier() {
        let mut story = story();
        let snapshot = |seq| {
            let tick = Tick::new(named("NSE:A/LTP"), Mode::Ltp, seq);
            Seen::Tick(Tick { snapshot: true, ..tick })
        };
        story.good(&client("alice-1"), snapshot(4));
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 7), Ok(()));
        assert!(story.tick("alice-1", "NSE:A/LTP", 7).is_err());
    }

    #[test]
    fn a_change_of_source_starts_anew_and_a_lower_source_is_noticed() {
        let mut story = story();
        story.subscribe("alice-1", "NSE:M/LTP");
        let tick = |mode, source, seq| {
            let topic = TopicName::new("NSE", "M", mode);
            Seen::Tick(Tick::new(topic, source, seq))
        };
        story.good(&client("alice-1"), tick(Mode::Ltp, Mode::Quote, 7));
        story.good(&client("alice-1"), tick(Mode::Ltp, Mode::Ltp, 2));
        assert!(story.see(&client("alice-1"), tick(Mode::Quote, Mode::Ltp, 3)).is_err());
    }
}
