use std::collections::{BTreeMap, VecDeque};

use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Reply, Seen};
use crate::plan::Plan;

/// So much may the journeys of two messages differ.
const JITTER_US: u64 = 100_000;

const MINUTE_US: u64 = 60_000_000;

/// In no time is more of a client served than its burst and what that time refills, and nothing is
/// refused as too much before a whole burst was served.
pub(super) struct RatesHold {
    per_minute: u64,
    burst: u64,
    trouble: Trouble,
    /// When what was served was sent, in the time in which a bucket fills.
    served: BTreeMap<ClientName, VecDeque<u64>>,
}

impl RatesHold {
    pub fn new(plan: &Plan) -> Self {
        Self {
            per_minute: plan.gateway.messages_per_minute_max as u64,
            burst: plan.gateway.message_burst_max as u64,
            trouble: Trouble::new(plan),
            served: BTreeMap::new(),
        }
    }

    fn fill_us(&self) -> u64 {
        self.burst * MINUTE_US / self.per_minute
    }
}

impl Invariant for RatesHold {
    fn name(&self) -> &'static str {
        "rates_hold"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.trouble.observe(event);
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        if matches!(event.seen, Seen::Connected { .. }) {
            self.served.remove(client);
        }
        let Some(settled) = held.settled else { return Ok(()) };
        let sent_us = settled.sent_us;
        let is_refusal = matches!(&settled.reply, Reply::Refused { code, message }
            if code == "RATE_LIMITED" && message.starts_with("Too many messages"));
        let fill_us = self.fill_us();
        let (per_minute, burst) = (self.per_minute, self.burst);
        // Messages that were held back arrive together.
        let delay_us = self.trouble.delay_us(client, sent_us.saturating_sub(fill_us), event.at_us);
        let served = self.served.entry(client.clone()).or_default();
        while served.front().is_some_and(|first| first + fill_us + JITTER_US < sent_us) {
            served.pop_front();
        }
        if is_refusal {
            let count = served.len() as u64;
            if delay_us == Some(0) && count + 1 < burst {
                return Err(format!(
                    "{client} was refused as too loud after {count} of {burst} messages"
                ));
            }
            return Ok(());
        }
        served.push_back(sent_us);
        let Some(delay_us) = delay_us else { return Ok(()) };
        for (at, first_us) in served.iter().enumerate() {
            let window_us = sent_us - first_us + JITTER_US + delay_us;
            let count = (served.len() - at) as u64;
            let most = burst + (window_us * per_minute).div_ceil(MINUTE_US);
            if count > most {
                return Err(format!(
                    "{count} messages of {client} were served in {} ms, and {most} may be",
                    window_us / 1_000
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, plan};
    use super::*;
    use crate::history::Request;

    fn story() -> Story<RatesHold> {
        let mut plan = plan();
        plan.gateway.messages_per_minute_max = 60;
        plan.gateway.message_burst_max = 5;
        let mut story = Story::of(RatesHold::new(&plan));
        story.connect("alice-1");
        story
    }

    fn refused() -> Reply {
        let message = "Too many messages; slow down".into();
        Reply::Refused { code: "RATE_LIMITED".into(), message }
    }

    #[test]
    fn a_message_too_many_is_noticed() {
        let mut story = story();
        let mut served = || {
            let id = story.send("alice-1", Request::Ping);
            story.answer("alice-1", id, Reply::Pong)
        };
        for _ in 0..6 {
            assert_eq!(served(), Ok(()), "the burst, and one that the jitter may have refilled");
        }
        assert!(served().is_err());
    }

    #[test]
    fn a_refusal_that_comes_too_early_is_noticed() {
        let mut story = story();
        for _ in 0..4 {
            let id = story.send("alice-1", Request::Ping);
            story.answer("alice-1", id, Reply::Pong).expect("within the burst");
        }
        let id = story.send("alice-1", Request::Ping);
        assert_eq!(story.answer("alice-1", id, refused()), Ok(()));
        let mut quiet = self::story();
        let id = quiet.send("alice-1", Request::Ping);
        assert!(quiet.answer("alice-1", id, refused()).is_err());
    }
}
