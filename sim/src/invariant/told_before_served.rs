use super::{Held, Invariant};
use crate::history::{Actor, Event, Seen};

/// A client reads the answer to its subscribe before the first tick of the topic, the last known
/// value included.
#[derive(Default)]
pub(super) struct ToldBeforeServed {}

impl Invariant for ToldBeforeServed {
    fn name(&self) -> &'static str {
        "told_before_served"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let (Actor::Client(client), Seen::Tick(tick)) = (&event.actor, &event.seen) else {
            return Ok(());
        };
        let Some(holding) = held.client else { return Ok(()) };
        if holding.awaits(&tick.topic) && !holding.topics.contains(&tick.topic) {
            return Err(format!(
                "{client} read {} #{} before the answer to its subscribe",
                tick.topic, tick.seq
            ));
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
    fn a_tick_that_overtakes_the_answer_is_noticed() {
        let mut story = Story::of(ToldBeforeServed::default());
        story.join("alice-1");
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
        assert!(story.tick("alice-1", "NSE:A/LTP", 1).is_err());
        story.answer("alice-1", id, subscribed("NSE:A/LTP")).expect("a good answer");
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 1), Ok(()));
    }
}
