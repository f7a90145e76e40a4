use std::collections::BTreeSet;

use tickgate::topic::UserId;

use super::broker_view::BrokerView;
use super::carriers::Carriers;
use super::reference_counts::topics_of;
use super::{Held, Invariant};
use crate::history::{Event, Phase, Reply, Request, RowOutcome, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// A subscribe that failed leaves nothing behind: if nobody else holds the topic, neither the
/// gateway nor the broker knows it once everything is at rest.
#[derive(Default)]
pub(super) struct FailedSubscribeLeavesNothing {
    broker: BrokerView,
    carriers: Carriers,
    failed: BTreeSet<(UserId, TopicName)>,
    at_rest: bool,
}

impl FailedSubscribeLeavesNothing {
    pub fn new(plan: &Plan) -> Self {
        Self { carriers: Carriers::new(plan), ..Self::default() }
    }
}

impl Invariant for FailedSubscribeLeavesNothing {
    fn name(&self) -> &'static str {
        "failed_subscribe_leaves_nothing"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.broker.observe(event);
        if let Some(settled) = held.settled
            && let (Request::Subscribe(topics), Reply::Subscribed(rows), Some(user)) =
                (&settled.request, &settled.reply, &settled.was)
        {
            for (topic, row) in topics.iter().zip(rows) {
                if matches!(row.outcome, RowOutcome::Failed { .. }) {
                    self.failed.insert((user.clone(), self.carriers.of(topic)));
                }
            }
        }
        match &event.seen {
            Seen::Phase(phase) => {
                self.at_rest = *phase == Phase::Rest;
                Ok(())
            }
            Seen::Status(status) if self.at_rest => {
                let held = self.carriers.counts(held.clients.counts());
                let known: BTreeSet<_> =
                    self.carriers.counts(topics_of(status)).into_keys().collect();
                let on = self.broker.topics();
                for left in self.failed.iter().filter(|topic| !held.contains_key(topic)) {
                    let (user, topic) = left;
                    let who = match (known.contains(left), on.contains(left)) {
                        (_, true) => "the broker still publishes it",
                        (true, false) => "the gateway still keeps it",
                        (false, false) => continue,
                    };
                    return Err(format!(
                        "a subscribe of {user} to {topic} failed and nobody holds it, but {who}"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, failed, named, page};
    use super::*;
    use crate::history::Op;

    fn story(effect: bool) -> Story<FailedSubscribeLeavesNothing> {
        let mut story = Story::of(FailedSubscribeLeavesNothing::default());
        story.serve("alice", 1, Op::Connect);
        story.join("alice-1");
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
        if effect {
            story.serve("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
        }
        story.answer("alice-1", id, failed("NSE:A/LTP")).expect("a good answer");
        story.phase(Phase::Rest);
        story
    }

    #[test]
    fn a_topic_that_stays_at_the_broker_or_in_the_gateway_is_noticed() {
        assert_eq!(story(false).status(page(&[("alice", 1)], &[])), Ok(()));
        assert!(story(true).status(page(&[("alice", 1)], &[])).is_err());
        let left = page(&[("alice", 1)], &[("alice", "NSE:A/LTP", 1)]);
        assert!(story(false).status(left).is_err());
    }
}
