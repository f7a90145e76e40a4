use super::holdings::Holdings;
use super::{Held, Invariant};
use crate::history::{Actor, Event, Reply, RowOutcome, Seen};

/// A client is told that it is subscribed already only if it was told before that it is
/// subscribed.
#[derive(Default)]
pub(super) struct AlreadyMeansHeld {
    holdings: Holdings,
}

impl Invariant for AlreadyMeansHeld {
    fn name(&self) -> &'static str {
        "already_means_held"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        let judged = self.judge(event);
        self.holdings.observe(event);
        judged
    }
}

impl AlreadyMeansHeld {
    /// Before the answer changes what is held.
    fn judge(&self, event: &Event) -> Result<(), String> {
        let (Actor::Client(client), Seen::Answered(answer)) = (&event.actor, &event.seen) else {
            return Ok(());
        };
        let (Reply::Subscribed(rows), Some(holding)) = (&answer.reply, self.holdings.get(client))
        else {
            return Ok(());
        };
        for (at, row) in rows.iter().enumerate() {
            let Some(mode) = row.mode.filter(|_| row.outcome == RowOutcome::Already) else {
                continue;
            };
            let held = holding.topics.iter();
            let mut held = held.filter(|topic| topic.mode() == mode);
            let same = |other: &crate::history::SubscribeRow| {
                other.instrument == row.instrument && other.mode == row.mode
            };
            if !held.any(|topic| topic.instrument().to_string() == row.instrument)
                && !rows[..at].iter().any(same)
            {
                return Err(format!(
                    "{client} was told that it is subscribed to {}/{mode} already, and was never \
                     told that it is",
                    row.instrument
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, failed, named, row};
    use super::*;
    use crate::history::Request;

    fn again(story: &mut Story<AlreadyMeansHeld>) -> Result<(), String> {
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
        let rows = vec![row("NSE:A/LTP", RowOutcome::Already)];
        story.answer("alice-1", id, Reply::Subscribed(rows))
    }

    #[test]
    fn already_after_a_failure_is_noticed() {
        let mut story = Story::of(AlreadyMeansHeld::default());
        story.join("alice-1");
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
        story.answer("alice-1", id, failed("NSE:A/LTP")).expect("a good answer");
        assert!(again(&mut story).is_err_and(|problem| problem.contains("NSE:A/LTP already")));
        let mut story = Story::of(AlreadyMeansHeld::default());
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        assert_eq!(again(&mut story), Ok(()));
    }
}
