use std::collections::{BTreeMap, VecDeque};

use super::listeners::{Listeners, wants_of};
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::fault::Party;
use crate::history::{Actor, ClientName, Event, Phase, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// So long may a tick be under way to the gateway, and a broadcast to its listener, in all.
const JOURNEY_US: u64 = 200_000;

/// Published ticks of each topic that are remembered.
const REMEMBERED_MAX: usize = 1_024;

/// What a listener reads is the latest of each topic, but for the interval and the journey: it was
/// published so lately, or nothing newer was. No listener reads an older value after a newer one,
/// and in the end everybody has the last.
pub(super) struct BroadcastsAreCurrent {
    listeners: Listeners,
    trouble: Trouble,
    /// Whether ticks may be lost on their way to the gateway.
    unreliable: bool,
    /// When each tick was published.
    published: BTreeMap<TopicName, VecDeque<(u64, u64)>>,
    read: BTreeMap<(ClientName, TopicName), u64>,
}

impl BroadcastsAreCurrent {
    pub fn new(plan: &Plan) -> Self {
        Self {
            listeners: Listeners::new(plan),
            trouble: Trouble::new(plan),
            unreliable: false,
            published: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    fn judge(
        &mut self,
        at_us: u64,
        client: &ClientName,
        topic: &TopicName,
        seq: u64,
    ) -> Result<(), String> {
        let Some(channel) = self.listeners.broadcast_of(client) else {
            return Err(format!("{client} reads a broadcast and is in no such channel"));
        };
        let old = self.read.insert((client.clone(), topic.clone()), seq);
        if let Some(old) = old.filter(|old| *old > seq) {
            return Err(format!("{client} reads {topic} #{seq} after #{old}"));
        }
        let published = self.published.get(topic);
        let newer = published.and_then(|all| all.iter().find(|(_, newer)| *newer > seq));
        let patience_us = channel.interval_ms * 1_000 + JOURNEY_US;
        let Some((since_us, newer)) = newer.copied().filter(|_| !self.unreliable) else {
            return Ok(());
        };
        match self.trouble.delay_us(client, since_us, at_us) {
            Some(slow_us) if since_us + patience_us + slow_us < at_us => Err(format!(
                "{client} reads {topic} #{seq}, and #{newer} is older than an interval"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether everybody who still listens has what of each subscribed topic is older than an
    /// interval and a journey.
    fn everybody_has_the_last(&self, now_us: u64, held: &Held<'_>) -> Result<(), String> {
        for channel in self.listeners.heard(held.clients).filter(|_| !self.unreliable) {
            let patience_us = channel.interval_ms * 1_000 + JOURNEY_US;
            for (_, topic) in wants_of(channel) {
                let Some(published) = self.published.get(&topic) else { continue };
                let is_old = |(at_us, _): &&(u64, u64)| at_us + patience_us <= now_us;
                let Some((_, last)) = published.iter().rev().find(is_old) else { continue };
                for client in self.listeners.connected(&channel.path) {
                    let read = self.read.get(&(client.clone(), topic.clone()));
                    if held.clients.get(client).is_some() && read < Some(last) {
                        return Err(format!(
                            "{client} has {topic} {read:?} and the last is #{last}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Invariant for BroadcastsAreCurrent {
    fn name(&self) -> &'static str {
        "broadcasts_are_current"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.trouble.observe(event);
        self.listeners.observe(event);
        match (&event.actor, &event.seen) {
            (_, Seen::Struck(strike)) => {
                self.unreliable |= matches!(strike.party, Party::Feed | Party::Gateway);
            }
            (_, Seen::Published { topic, seq, .. }) => {
                let all = self.published.entry(topic.clone()).or_default();
                all.push_back((event.at_us, *seq));
                if all.len() > REMEMBERED_MAX {
                    all.pop_front();
                }
            }
            (_, Seen::Phase(Phase::Leave)) => {
                return self.everybody_has_the_last(event.at_us, held);
            }
            (Actor::Client(client), Seen::Connected { .. }) => {
                self.read.retain(|(reader, _), _| reader != client);
            }
            (Actor::Client(client), Seen::Broadcast { ticks, .. }) => {
                for tick in ticks {
                    self.judge(event.at_us, client, &tick.topic, tick.seq)?;
                }
            }
            (_, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tickgate::config::{ChannelAuth, ChannelEntry, ChannelKind};

    use super::super::testing::{Story, client, named, plan};
    use super::*;
    use crate::history::Tick;

    fn story() -> Story<BroadcastsAreCurrent> {
        let mut plan = plan();
        plan.gateway.channels = vec![ChannelEntry {
            auth: ChannelAuth::Anonymous,
            topics: vec!["NSE:A".into()],
            user: Some("own".into()),
            interval_ms: 100,
            ..ChannelEntry::new("/c", ChannelKind::Broadcast)
        }];
        plan.clients[0].channel = Some("/c".into());
        let mut story = Story::of(BroadcastsAreCurrent::new(&plan));
        story.connect("alice-1");
        story.publish("NSE:A/LTP", 1);
        story.publish("NSE:A/LTP", 2);
        story
    }

    fn read(seq: u64) -> Seen {
        let topic = named("NSE:A/LTP");
        let source = topic.mode();
        let ticks = vec![Tick::new(topic, source, seq)];
        Seen::Broadcast { ticks, snapshot: false }
    }

    #[test]
    fn what_is_older_than_an_interval_and_a_journey_is_noticed() {
        assert!(story().later(250, &client("alice-1"), read(1)).is_ok());
        assert!(story().later(350, &client("alice-1"), read(1)).is_err());
        assert!(story().later(350, &client("alice-1"), read(2)).is_ok());
    }

    #[test]
    fn what_goes_back_is_noticed_and_so_is_whoever_hears_what_is_not_for_him() {
        let mut back = story();
        back.good(&client("alice-1"), read(2));
        assert!(back.see(&client("alice-1"), read(1)).is_err());
        let mut foreign = story();
        foreign.connect("alice-2");
        assert!(foreign.see(&client("alice-2"), read(2)).is_err());
    }

    #[test]
    fn whoever_has_not_the_last_in_the_end_is_noticed() {
        for (seq, is_good) in [(1, false), (2, true)] {
            let mut story = story();
            story.good(&client("alice-1"), read(seq));
            let leave = Seen::Phase(Phase::Leave);
            assert_eq!(story.later(400, &Actor::Operator, leave).is_ok(), is_good);
        }
    }
}
