use std::collections::{BTreeMap, BTreeSet};

use tickgate::audit::{Record, What};
use tickgate::topic::{ClientId, Topic, UserId};

use super::{Held, Invariant};
use crate::fault::FaultKind;
use crate::history::{Actor, Event, Reply, Request, RowOutcome, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// Codes with which the gateway alone ends connections.
const OURS: [u16; 6] = [1008, 1013, 4401, 4403, 4408, 4429];

/// The audit log tells what happened: of each connection its beginning and its end once, with the
/// code that the client was told if the gateway ended it, of each subscription whatever a client
/// was told of it (G-17).
///
/// That a record says "added" only after the broker agreed is `success_after_the_broker`'s.
pub(super) struct AuditAgrees {
    drain_timeout_ms: u64,
    /// Open connections, with what they hold.
    open: BTreeMap<ClientId, BTreeSet<Topic>>,
    /// How often a subscription was added, less how often a client was told so.
    untold: BTreeMap<(UserId, TopicName), i64>,
    /// How many ends were written with each code, less how many clients were told it.
    ends: BTreeMap<u16, i64>,
    /// The gateway has crashed, and its last records with it.
    crashed: bool,
}

impl AuditAgrees {
    pub fn new(plan: &Plan) -> Self {
        Self {
            drain_timeout_ms: plan.gateway.drain_timeout_ms,
            open: BTreeMap::new(),
            untold: BTreeMap::new(),
            ends: BTreeMap::new(),
            crashed: false,
        }
    }

    fn written(&mut self, record: &Record) -> Result<(), String> {
        let Some(client) = record.client else { return Ok(()) };
        let name = record.what.name();
        match &record.what {
            What::Opened { .. } => match self.open.insert(client, BTreeSet::new()) {
                Some(_) => Err(format!("{name} of {client} is written twice")),
                None => Ok(()),
            },
            What::Closed { code, .. } => {
                if let Some(code) = code {
                    *self.ends.entry(*code).or_default() += 1;
                }
                match self.open.remove(&client) {
                    Some(_) => Ok(()),
                    None => Err(format!("{name} of {client} is written, which was not open")),
                }
            }
            What::SubscriptionAdded { topic } => {
                let Some(user) = record.user.clone() else {
                    return Err(format!("{name} of {client} is written, which is nobody"));
                };
                let held = self.open.get_mut(&client);
                if !held.is_some_and(|held| held.insert(topic.clone())) {
                    return Err(format!("{name} of {client} is written twice: {topic}"));
                }
                *self.untold.entry((user, topic_name(topic))).or_default() += 1;
                Ok(())
            }
            What::SubscriptionRemoved { topic } => {
                let held = self.open.get_mut(&client);
                if held.is_some_and(|held| held.remove(topic)) {
                    return Ok(());
                }
                Err(format!("{name} of {client} is written, which did not hold {topic}"))
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for AuditAgrees {
    fn name(&self) -> &'static str {
        "audit_agrees"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        match &event.seen {
            Seen::Audited(record) if !self.crashed => self.written(record)?,
            Seen::Lost { code: Some(code), .. }
                if matches!(event.actor, Actor::Client(_)) && OURS.contains(code) =>
            {
                *self.ends.entry(*code).or_default() -= 1;
            }
            Seen::Struck(strike) => self.crashed |= strike.fault == FaultKind::GatewayCrash,
            // What did not end in time is cut off without a word.
            Seen::Stopped { took_ms, .. } if !self.crashed && *took_ms < self.drain_timeout_ms => {
                if let Some(client) = self.open.keys().next() {
                    return Err(format!("the end of {client} was never written"));
                }
                let short = self.ends.iter().find(|(_, left)| **left < 0);
                if let Some((code, left)) = short {
                    let count = left.unsigned_abs();
                    return Err(format!("{count} ends with {code} were told, and not written"));
                }
            }
            _ => {}
        }
        let Some(settled) = held.settled.filter(|_| !self.crashed) else { return Ok(()) };
        let (Request::Subscribe(topics), Reply::Subscribed(rows), Some(user)) =
            (&settled.request, &settled.reply, &settled.was)
        else {
            return Ok(());
        };
        for (topic, row) in topics.iter().zip(rows) {
            if row.outcome == RowOutcome::Success {
                let untold = self.untold.entry((user.clone(), topic.clone())).or_default();
                *untold -= 1;
                if *untold < 0 {
                    let client = &settled.client;
                    return Err(format!(
                        "{client} subscribed to {topic}, and nobody wrote it down"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn topic_name(topic: &Topic) -> TopicName {
    TopicName::new(&topic.instrument.exchange, &topic.instrument.symbol, topic.mode)
}

#[cfg(test)]
mod tests {
    use tickgate::topic::{Instrument, Mode};

    use super::super::testing::{Story, client, plan, subscribed};
    use super::*;

    const STOPPED: Seen = Seen::Stopped { took_ms: 5, tasks_left: Vec::new() };

    fn topic() -> Topic {
        let (exchange, symbol) = ("NSE".into(), "A".into());
        Topic::new(Instrument { exchange, symbol }, Mode::Ltp)
    }

    fn write(story: &mut Story<AuditAgrees>, what: What) -> Result<(), String> {
        let user = Some("alice".into());
        let record = Record { user, ..what.of(ClientId(1)) };
        story.see(&Actor::Gateway, Seen::Audited(Box::new(record)))
    }

    fn opened() -> What {
        What::Opened { channel: "/".into() }
    }

    fn added() -> What {
        What::SubscriptionAdded { topic: topic() }
    }

    fn removed() -> What {
        What::SubscriptionRemoved { topic: topic() }
    }

    fn closed() -> What {
        What::Closed { code: None, reason: None }
    }

    #[test]
    fn an_end_that_a_client_was_told_must_have_been_written_with_its_code() {
        for (code, holds) in [(None, false), (Some(4408), false), (Some(1013), true)] {
            let mut story = Story::of(AuditAgrees::new(&plan()));
            story.join("alice-1");
            assert_eq!(write(&mut story, opened()), Ok(()));
            let lost = Seen::Lost { code: Some(1013), reason: "unread".into() };
            assert_eq!(story.see(&client("alice-1"), lost), Ok(()));
            assert_eq!(write(&mut story, What::Closed { code, reason: None }), Ok(()));
            assert_eq!(story.see(&Actor::Gateway, STOPPED).is_ok(), holds, "{code:?}");
        }
    }

    #[test]
    fn what_happened_may_be_written() {
        let mut story = Story::of(AuditAgrees::new(&plan()));
        story.join("alice-1");
        for what in [opened(), added()] {
            assert_eq!(write(&mut story, what), Ok(()));
        }
        story.subscribe("alice-1", "NSE:A/LTP");
        for what in [removed(), added(), closed()] {
            assert_eq!(write(&mut story, what), Ok(()));
        }
        assert_eq!(story.see(&Actor::Gateway, STOPPED), Ok(()));
    }

    #[test]
    fn what_did_not_happen_or_happened_once_may_not() {
        for (before, what) in [
            (vec![opened()], opened()),
            (vec![], closed()),
            (vec![], added()),
            (vec![opened(), added()], added()),
            (vec![opened()], removed()),
            (vec![opened(), added(), removed()], removed()),
        ] {
            let mut story = Story::of(AuditAgrees::new(&plan()));
            for before in before {
                assert_eq!(write(&mut story, before), Ok(()));
            }
            assert!(write(&mut story, what).is_err());
        }
    }

    #[test]
    fn what_a_client_was_told_must_have_been_written() {
        let mut story = Story::of(AuditAgrees::new(&plan()));
        story.join("alice-1");
        assert_eq!(write(&mut story, opened()), Ok(()));
        let id = story.send("alice-1", Request::Subscribe(vec!["NSE:A/LTP".parse().expect("one")]));
        let told = story.answer("alice-1", id, subscribed("NSE:A/LTP"));
        assert!(told.is_err());
        assert!(story.see(&Actor::Gateway, STOPPED).is_err());
    }
}
