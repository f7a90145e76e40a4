use super::{Held, Invariant};
use crate::history::{Actor, Event};
use crate::plan::Plan;

/// No client ever holds more topics than the configuration allows.
pub(super) struct LimitsHold {
    subscriptions_max: usize,
}

impl LimitsHold {
    pub fn new(plan: &Plan) -> Self {
        let subscriptions_max = plan.gateway.subscriptions_per_client_max;
        Self { subscriptions_max }
    }
}

impl Invariant for LimitsHold {
    fn name(&self) -> &'static str {
        "limits_hold"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if held.settled.is_none() {
            return Ok(());
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        let held = held.client.map_or(0, |holding| holding.topics.len());
        if held > self.subscriptions_max {
            let max = self.subscriptions_max;
            return Err(format!("{client} holds {held} topics, and may hold {max}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, named, subscribed};
    use super::*;
    use crate::history::Request;

    #[test]
    fn a_topic_too_many_is_noticed() {
        let limits = LimitsHold { subscriptions_max: 1 };
        let mut story = Story::of(limits);
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:B/LTP")]));
        assert!(story.answer("alice-1", id, subscribed("NSE:B/LTP")).is_err());
    }
}
