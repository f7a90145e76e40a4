use std::collections::{BTreeMap, BTreeSet};

use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::fault::{FaultKind, Party};
use crate::history::{Actor, ClientName, Event, Seen};
use crate::plan::Plan;

/// What the last word, the close and whatever holds messages back may take.
const SLACK_US: u64 = 500_000;

/// A client of which nothing is heard for as long as a silence may last is closed (WS-004).
///
/// It is judged when it reads again, because before it cannot know. Whoever waits for an answer, or
/// says something meanwhile, is not judged.
pub(super) struct SilentAreClosed {
    silence_timeout_us: u64,
    trouble: Trouble,
    connected: BTreeSet<ClientName>,
    /// From when to when clients read and said nothing, for too long.
    silent: BTreeMap<ClientName, (u64, u64)>,
}

impl SilentAreClosed {
    pub fn new(plan: &Plan) -> Self {
        Self {
            silence_timeout_us: plan.gateway.silence_timeout_ms * 1_000,
            trouble: Trouble::new(plan),
            connected: BTreeSet::new(),
            silent: BTreeMap::new(),
        }
    }

    fn stops_reading(&mut self, client: ClientName, from_us: u64, until_us: u64, held: &Held<'_>) {
        let waits = held.clients.get(&client).is_none_or(|holding| !holding.pending.is_empty());
        let is_long = until_us >= from_us + self.silence_timeout_us + SLACK_US;
        if is_long && !waits && self.connected.contains(&client) {
            self.silent.insert(client, (from_us, until_us));
        }
    }
}

impl Invariant for SilentAreClosed {
    fn name(&self) -> &'static str {
        "silent_are_closed"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.trouble.observe(event);
        match (&event.actor, &event.seen) {
            (Actor::Client(client), Seen::Connected { .. }) => {
                self.connected.insert(client.clone());
            }
            (Actor::Client(client), Seen::Lost { .. } | Seen::Leaves { .. }) => {
                self.connected.remove(client);
                self.silent.remove(client);
            }
            (Actor::Client(client), Seen::Sent(_)) => {
                let is_over =
                    self.silent.get(client).is_some_and(|(_, to_us)| *to_us < event.at_us);
                if !is_over {
                    self.silent.remove(client);
                }
            }
            (_, Seen::Struck(strike)) => {
                if let (FaultKind::StoppedReader, Party::Client(name)) =
                    (strike.fault, &strike.party)
                {
                    let until_us = event.at_us + strike.lasts_ms * 1_000;
                    self.stops_reading(name.as_str().into(), event.at_us, until_us, held);
                }
            }
            (_, _) => {}
        }
        let trouble = &self.trouble;
        self.silent.retain(|client, _| !trouble.may_be_cut_off(client));
        for (client, (from_us, until_us)) in &self.silent {
            let reads_us = until_us + SLACK_US;
            if event.at_us < reads_us {
                continue;
            }
            // What has held back more than itself is over by then, or counts.
            let delay_us = trouble.delay_us(client, until_us + SLACK_US / 2, event.at_us);
            if delay_us.is_some_and(|delay_us| event.at_us > reads_us + delay_us) {
                return Err(format!(
                    "{client} is still connected, although nothing was heard of it for {} ms",
                    (until_us - from_us) / 1_000
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
    use crate::fault::Strike;
    use crate::history::Request;

    /// alice-1 reads nothing for so long.
    fn silent_for(ms: u64) -> Story<SilentAreClosed> {
        let mut plan = plan();
        plan.gateway.silence_timeout_ms = 600;
        let mut story = Story::of(SilentAreClosed::new(&plan));
        story.join("alice-1");
        let party = Party::Client("alice-1".into());
        let strike = Strike { fault: FaultKind::StoppedReader, party, lasts_ms: ms };
        story.good(&Actor::Network, Seen::Struck(strike));
        story
    }

    fn later(story: &mut Story<SilentAreClosed>, ms: u64) -> Result<(), String> {
        story.later(ms, &Actor::Operator, Seen::Finished)
    }

    #[test]
    fn who_stays_after_too_long_a_silence_is_noticed() {
        let mut story = silent_for(2_000);
        assert_eq!(later(&mut story, 2_400), Ok(()), "its close may be under way");
        assert!(later(&mut story, 200).is_err());
        assert_eq!(later(&mut silent_for(700), 2_000), Ok(()), "it was not that long");
    }

    #[test]
    fn who_was_closed_or_said_something_is_not() {
        let mut closed = silent_for(2_000);
        let lost = Seen::Lost { code: Some(4408), reason: "heartbeat missed".into() };
        assert_eq!(closed.later(1_000, &client("alice-1"), lost), Ok(()));
        assert_eq!(later(&mut closed, 3_000), Ok(()));
        let mut loud = silent_for(2_000);
        loud.send("alice-1", Request::Ping);
        assert_eq!(later(&mut loud, 3_000), Ok(()));
    }
}
