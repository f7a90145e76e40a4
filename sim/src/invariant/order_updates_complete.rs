use std::collections::BTreeMap;

use tickgate::topic::UserId;

use super::feed_loss::FeedLoss;
use super::holdings::Holding;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Phase, Seen};
use crate::plan::Plan;

/// Who has asked for order updates reads each of them once, in order, and all until the end.
pub(super) struct OrderUpdatesComplete {
    feed_loss: FeedLoss,
    /// When each update of a user was published.
    published: BTreeMap<UserId, Vec<u64>>,
    /// The number of the update that was read last, or that came before the answer.
    last: BTreeMap<ClientName, (UserId, u64, bool)>,
}

impl Invariant for OrderUpdatesComplete {
    fn name(&self) -> &'static str {
        "order_updates_complete"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.feed_loss.observe(event);
        match (&event.actor, &event.seen) {
            (_, Seen::PublishedOrder { user, .. }) => {
                self.published.entry(user.clone()).or_default().push(event.at_us);
                Ok(())
            }
            (_, Seen::Phase(Phase::Leave)) => self.nobody_misses_the_last(),
            (Actor::Client(client), Seen::OrderUpdate { user, seq }) => {
                let last = self.last.insert(client.clone(), (user.clone(), *seq, true));
                match last {
                    Some((of, last, true)) if of == *user && *seq <= last => {
                        Err(format!("{client} read order #{seq} of {user} after #{last}"))
                    }
                    Some((of, last, true)) if of == *user && self.missed(user, last, *seq) => {
                        Err(format!("{client} read order #{seq} of {user} after #{last}"))
                    }
                    Some((of, last, false)) if of == *user && self.missed(user, last, *seq) => {
                        Err(format!(
                            "{client} first read order #{seq} of {user}, although #{} was published \
                         after it had been told that orders come",
                            last + 1
                        ))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            (_, Seen::Tick(_)) => Ok(()),
            (Actor::Client(client), _) => {
                self.begin_or_end(client, held.client);
                Ok(())
            }
            (_, _) => Ok(()),
        }
    }
}

impl OrderUpdatesComplete {
    pub fn new(plan: &Plan) -> Self {
        Self { feed_loss: FeedLoss::new(plan), published: BTreeMap::new(), last: BTreeMap::new() }
    }

    /// Whether one of the updates after `last` and before `next` cannot have been lost.
    fn missed(&self, user: &UserId, last: u64, next: u64) -> bool {
        let published = self.published.get(user).map_or(&[][..], Vec::as_slice);
        let mut between = (last + 1..next).map(|seq| {
            let at = usize::try_from(seq - 1).unwrap_or(usize::MAX);
            published.get(at).copied()
        });
        between.any(|at_us| !at_us.is_some_and(|at_us| self.feed_loss.may_have_lost(at_us)))
    }

    fn begin_or_end(&mut self, client: &ClientName, holding: Option<&Holding>) {
        let user = holding.filter(|held| held.orders).and_then(|held| held.user.clone());
        let Some(user) = user else {
            // Updates may come before the answer; those are no beginning.
            self.last.remove(client);
            return;
        };
        let so_far = self.published.get(&user).map_or(0, Vec::len) as u64;
        self.last.entry(client.clone()).or_insert((user, so_far, false));
    }

    fn nobody_misses_the_last(&self) -> Result<(), String> {
        for (client, (user, last, _)) in &self.last {
            let published = self.published.get(user).map_or(0, Vec::len) as u64;
            if self.missed(user, *last, published + 1) {
                return Err(format!("{client} never read order #{published} of {user}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::history::{Reply, Request};

    fn story() -> Story<OrderUpdatesComplete> {
        let mut story = Story::of(OrderUpdatesComplete::new(&plan()));
        story.join("alice-1");
        let id = story.send("alice-1", Request::SubscribeOrders);
        story.answer("alice-1", id, Reply::OrdersOn).expect("a good answer");
        for seq in 1..=3 {
            story.good(&Actor::Feed, Seen::PublishedOrder { user: "alice".into(), seq });
        }
        story
    }

    fn order(seq: u64) -> Seen {
        Seen::OrderUpdate { user: "alice".into(), seq }
    }

    #[test]
    fn a_lost_or_repeated_update_is_noticed() {
        let mut missing_first = story();
        assert!(missing_first.see(&client("alice-1"), order(2)).is_err());
        for second in [1, 3] {
            let mut story = story();
            story.good(&client("alice-1"), order(1));
            assert!(story.see(&client("alice-1"), order(second)).is_err());
        }
    }

    #[test]
    fn a_last_update_that_never_came_is_noticed() {
        let mut story = story();
        story.good(&client("alice-1"), order(1));
        assert!(story.see(&Actor::Operator, Seen::Phase(Phase::Leave)).is_err());
        story.good(&client("alice-1"), order(2));
        story.good(&client("alice-1"), order(3));
        story.phase(Phase::Leave);
    }
}
