use super::{Held, Invariant};
use crate::history::{Actor, Event, Request, Seen};

/// Nobody sees data it did not ask for: no tick of another topic, no order of another user, and
/// nothing before it has authenticated.
#[derive(Default)]
pub(super) struct OnlyWhatWasAskedFor {}

impl Invariant for OnlyWhatWasAskedFor {
    fn name(&self) -> &'static str {
        "only_what_was_asked_for"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        let holding = held.client;
        match &event.seen {
            Seen::Tick(tick) if !holding.is_some_and(|held| held.may_get(&tick.topic)) => {
                Err(format!("{client} read {} #{} and had not asked for it", tick.topic, tick.seq))
            }
            Seen::OrderUpdate { user, seq } => {
                let Some(holding) = holding else {
                    return Err(format!("{client} read an order while not connected"));
                };
                // A switch to that user may have been served already.
                let is_user = holding.user.as_ref() == Some(user)
                    || holding.pending.iter().any(|(_, sent)| {
                        matches!(&sent.request, Request::Authenticate(Some(to)) if to == user)
                    });
                let wants = holding.orders
                    || holding
                        .pending
                        .iter()
                        .any(|(_, sent)| matches!(sent.request, Request::SubscribeOrders));
                match (is_user, wants) {
                    (true, true) => Ok(()),
                    (false, _) => Err(format!("{client} read order #{seq} of {user}")),
                    (true, false) => {
                        Err(format!("{client} read order #{seq} without having asked for orders"))
                    }
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, failed, named};
    use super::*;
    use crate::history::Reply;

    #[test]
    fn a_tick_that_nobody_asked_for_is_noticed() {
        let mut story = Story::of(OnlyWhatWasAskedFor::default());
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 1), Ok(()));
        assert!(story.tick("alice-1", "NSE:B/LTP", 1).is_err());
    }

    #[test]
    fn a_tick_after_a_failed_subscribe_is_noticed() {
        let mut story = Story::of(OnlyWhatWasAskedFor::default());
        story.join("alice-1");
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
        story.answer("alice-1", id, failed("NSE:A/LTP")).expect("a good answer");
        assert!(story.tick("alice-1", "NSE:A/LTP", 1).is_err());
    }

    #[test]
    fn what_was_held_as_another_user_is_gone_after_the_switch() {
        let mut story = Story::of(OnlyWhatWasAskedFor::default());
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        let id = story.send("alice-1", Request::Authenticate(Some("bob".into())));
        story.answer("alice-1", id, Reply::Authenticated("bob".into())).expect("a good answer");
        assert!(story.tick("alice-1", "NSE:A/LTP", 1).is_err());
    }

    #[test]
    fn an_order_of_another_user_or_unasked_for_is_noticed() {
        let mut story = Story::of(OnlyWhatWasAskedFor::default());
        let order = |user: &str| Seen::OrderUpdate { user: user.into(), seq: 1 };
        story.join("alice-1");
        assert!(story.see(&client("alice-1"), order("alice")).is_err());
        let id = story.send("alice-1", Request::SubscribeOrders);
        story.answer("alice-1", id, Reply::OrdersOn).expect("a good answer");
        assert_eq!(story.see(&client("alice-1"), order("alice")), Ok(()));
        assert!(story.see(&client("alice-1"), order("bob")).is_err());
    }
}
