use std::collections::{BTreeMap, BTreeSet};

use super::carriers::Carriers;
use super::holdings::Holdings;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Phase, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// Once faults have ended, everything that is held is served: whoever holds a topic reads what
/// the feed publishes on it while all is at rest, up to the last tick.
pub(super) struct WantedIsServed {
    phase: Phase,
    carriers: Carriers,
    /// Topics that can be served from one mode only.
    single: BTreeSet<TopicName>,
    /// Topics published at rest, with the last tick.
    published: BTreeMap<TopicName, u64>,
    /// What was read since all is at rest, with the last tick.
    read: BTreeMap<(ClientName, TopicName), u64>,
}

impl WantedIsServed {
    pub fn new(plan: &Plan) -> Self {
        let topics: BTreeSet<&TopicName> = plan.feed.topics.iter().map(|r| &r.topic).collect();
        let is_single = |topic: &&TopicName| {
            topics.iter().filter(|other| other.instrument() == topic.instrument()).count() == 1
        };
        Self {
            phase: Phase::WarmUp,
            carriers: Carriers::new(plan),
            single: topics.iter().copied().filter(is_single).cloned().collect(),
            published: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    fn everybody_is_served(&self, clients: &Holdings) -> Result<(), String> {
        for (client, holding) in clients.iter() {
            for topic in &holding.topics {
                let last_read = self.read.get(&(client.clone(), topic.clone()));
                match (self.published.get(&self.carriers.of(topic)), last_read) {
                    (None, _) => {
                        return Err(format!(
                            "{client} holds {topic}, but the feed was not asked for it any more"
                        ));
                    }
                    (Some(last), None) => {
                        return Err(format!(
                            "{client} holds {topic} and read none of its ticks while all was at \
                             rest, up to #{last}"
                        ));
                    }
                    (Some(last), Some(read)) if self.single.contains(topic) && read < last => {
                        return Err(format!(
                            "{client} holds {topic} and read it up to #{read} only, not up to \
                             #{last}"
                        ));
                    }
                    (Some(_), Some(_)) => {}
                }
            }
        }
        Ok(())
    }
}

impl Invariant for WantedIsServed {
    fn name(&self) -> &'static str {
        "wanted_is_served"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let at_rest = matches!(self.phase, Phase::Rest | Phase::Silence);
        match (&event.actor, &event.seen) {
            (_, Seen::Phase(phase)) => {
                self.phase = *phase;
                if *phase == Phase::Leave {
                    return self.everybody_is_served(held.clients);
                }
            }
            (_, Seen::Published { topic, seq, .. }) if at_rest => {
                self.published.insert(topic.clone(), *seq);
            }
            (Actor::Client(client), Seen::Tick(tick)) if at_rest && !tick.snapshot => {
                self.read.insert((client.clone(), tick.topic.clone()), tick.seq);
            }
            (_, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, plan};
    use super::*;

    fn end(published: &[u64], read: &[u64]) -> Result<(), String> {
        let mut story = Story::of(WantedIsServed::new(&plan()));
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        story.phase(Phase::Rest);
        for seq in published {
            story.publish("NSE:A/LTP", *seq);
        }
        for seq in read {
            story.tick("alice-1", "NSE:A/LTP", *seq).expect("a good tick");
        }
        story.see(&Actor::Operator, Seen::Phase(Phase::Leave))
    }

    #[test]
    fn who_reads_all_is_served_and_any_lack_is_noticed() {
        assert_eq!(end(&[1, 2], &[1, 2]), Ok(()));
        assert!(end(&[1, 2], &[1]).is_err_and(|problem| problem.contains("up to #1 only")));
        assert!(end(&[1, 2], &[]).is_err());
        assert!(end(&[], &[]).is_err());
    }
}
