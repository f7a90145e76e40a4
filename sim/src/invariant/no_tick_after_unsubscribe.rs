use std::collections::{BTreeMap, BTreeSet};

use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Seen};
use crate::topic_name::TopicName;

/// A client that has read the answer to its unsubscribe reads no more ticks of that topic.
#[derive(Default)]
pub(super) struct NoTickAfterUnsubscribe {
    /// What each client held once, on its present connection.
    held: BTreeMap<ClientName, BTreeSet<TopicName>>,
}

impl Invariant for NoTickAfterUnsubscribe {
    fn name(&self) -> &'static str {
        "no_tick_after_unsubscribe"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        if held.settled.is_some()
            && let Some(holding) = held.client
        {
            let once = self.held.entry(client.clone()).or_default();
            once.extend(holding.topics.iter().cloned());
        }
        match &event.seen {
            Seen::Connected { .. } => {
                self.held.remove(client);
            }
            Seen::Tick(tick) => {
                let may = held.client.is_some_and(|held| {
                    // A snapshot that comes before its answer belongs to the next subscription.
                    held.topics.contains(&tick.topic) || tick.snapshot && held.awaits(&tick.topic)
                });
                let once = self.held.get(client).is_some_and(|held| held.contains(&tick.topic));
                if once && !may {
                    return Err(format!(
                        "{client} read {} #{} after it had been told that it is no longer \
                         subscribed",
                        tick.topic, tick.seq
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named};
    use super::*;
    use crate::history::{Request, Tick};

    #[test]
    fn a_tick_after_the_answer_is_noticed_and_one_before_it_is_not() {
        let mut story = Story::of(NoTickAfterUnsubscribe::default());
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 1), Ok(()));
        story.unsubscribe("alice-1", "NSE:A/LTP");
        assert!(story.tick("alice-1", "NSE:A/LTP", 2).is_err());
    }

    #[test]
    fn who_has_subscribed_again_reads_no_old_tick_before_the_answer() {
        let mut story = Story::of(NoTickAfterUnsubscribe::default());
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        story.unsubscribe("alice-1", "NSE:A/LTP");
        let topic = named("NSE:A/LTP");
        story.send("alice-1", Request::Subscribe(vec![topic.clone()]));
        let source = topic.mode();
        let tick = |snapshot| Seen::Tick(Tick { snapshot, ..Tick::new(topic.clone(), source, 2) });
        assert_eq!(story.see(&client("alice-1"), tick(true)), Ok(()));
        assert!(story.see(&client("alice-1"), tick(false)).is_err());
    }
}
