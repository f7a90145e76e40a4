use std::collections::{BTreeMap, VecDeque};

use super::account::{Account, MINUTE_US};
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Reply, Seen};
use crate::plan::Plan;

/// So much may the journeys of two messages differ.
const JITTER_US: u64 = 100_000;

/// The gateway's clock counts milliseconds.
const CLOCK_US: u64 = 1_000;

/// In no time is more of a client served than its burst and what that time refills, and nothing is
/// refused as too much that its burst, and what time has refilled of it, had room for.
pub(super) struct RatesHold {
    per_minute: u64,
    burst: u64,
    trouble: Trouble,
    /// When what was served was sent, in the time in which a bucket fills.
    served: BTreeMap<ClientName, VecDeque<u64>>,
    /// What they can have used of their bursts at most. What is refused uses nothing.
    taken: BTreeMap<ClientName, Account>,
    /// Since when they are connected. What they said at the door before is no message.
    since: BTreeMap<ClientName, u64>,
}

impl RatesHold {
    pub fn new(plan: &Plan) -> Self {
        Self {
            per_minute: plan.gateway.messages_per_minute_max as u64,
            burst: plan.gateway.message_burst_max as u64,
            trouble: Trouble::new(plan),
            served: BTreeMap::new(),
            taken: BTreeMap::new(),
            since: BTreeMap::new(),
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
            self.taken.remove(client);
            self.since.insert(client.clone(), event.at_us);
        }
        let Some(settled) = held.settled else { return Ok(()) };
        let sent_us = settled.sent_us;
        if self.since.get(client).is_some_and(|since| sent_us < *since) {
            return Ok(());
        }
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
        let taken = self.taken.entry(client.clone()).or_default();
        let left = taken.left(sent_us, per_minute);
        if is_refusal {
            // One more than is needed, for what is refilled between two whole messages.
            if left + 2 * MINUTE_US <= burst * MINUTE_US {
                return Err(format!(
                    "{client} was refused as too loud, and {} of {burst} messages were free",
                    burst - left.div_ceil(MINUTE_US)
                ));
            }
            let count = served.len() as u64;
            if delay_us == Some(0) && count + 1 < burst {
                return Err(format!(
                    "{client} was refused as too loud after {count} of {burst} messages"
                ));
            }
            return Ok(());
        }
        *taken = Account::reached(left + MINUTE_US, event.at_us);
        served.push_back(sent_us);
        // None was read before it was sent, and the last one before its answer was here. When that
        // was sent says nothing: whoever is too loud is left unread for a second at a time.
        for (at, first_us) in served.iter().enumerate() {
            let window_us = event.at_us - first_us;
            let count = (served.len() - at) as u64;
            let most = burst + (window_us + CLOCK_US) * per_minute / MINUTE_US;
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
    use super::super::testing::{Story, client, plan};
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

    /// Its burst has been served.
    fn used_up() -> Story<RatesHold> {
        let mut story = story();
        for _ in 0..5 {
            let id = story.send("alice-1", Request::Ping);
            story.answer("alice-1", id, Reply::Pong).expect("within the burst");
        }
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
        for _ in 0..5 {
            assert_eq!(served(), Ok(()), "the burst");
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

    #[test]
    fn what_was_left_unread_is_served_by_what_time_refills() {
        for (after_ms, is_good) in [(700, false), (1_100, true)] {
            let mut story = used_up();
            let id = story.send("alice-1", Request::Ping);
            let nothing = Seen::Unexpected(String::new());
            assert_eq!(story.later(after_ms, &client("alice-1"), nothing), Ok(()));
            assert_eq!(story.answer("alice-1", id, Reply::Pong).is_ok(), is_good);
        }
    }

    #[test]
    fn who_goes_on_although_it_is_refused_is_served_again() {
        for (after_ms, is_good) in [(1_500, true), (2_500, false)] {
            let mut story = used_up();
            let nothing = Seen::Unexpected(String::new());
            assert_eq!(story.later(after_ms, &client("alice-1"), nothing), Ok(()));
            let id = story.send("alice-1", Request::Ping);
            assert_eq!(story.answer("alice-1", id, refused()).is_ok(), is_good);
        }
    }
}
