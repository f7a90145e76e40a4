use std::collections::BTreeMap;

use tickgate::config::Quirks;
use tickgate::topic::UserId;

use super::holdings::Settled;
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Event, Reply, RowOutcome, Seen};
use crate::plan::Plan;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 100_000;

/// Whoever is told that its broker took too long was waiting for the broker: not long before, a
/// command about the topic or about a session of the user was not answered yet, or a session or the
/// host was lost, or the credentials had changed. Nobody waits for what was never asked.
///
/// Judged where no fault delays anybody, any number of calls is allowed, and no topic
/// waits for another's place.
pub(super) struct TimeoutsAreTheBrokers {
    judges: bool,
    /// For so long a command can be in flight.
    command_us: u64,
    /// After a failure, until the next try has been made and its client has read the answer.
    pause_us: u64,
    /// Until when everybody had something to wait for.
    busy_us: Option<u64>,
    /// Until when a user had, at its sessions or at an instrument.
    busy_with_us: BTreeMap<(UserId, Option<String>), u64>,
    trouble: Trouble,
}

impl Invariant for TimeoutsAreTheBrokers {
    fn name(&self) -> &'static str {
        "timeouts_are_the_brokers"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if !self.judges {
            return Ok(());
        }
        self.trouble.observe(event);
        let at_us = event.at_us;
        match &event.seen {
            Seen::BrokerDied { back_in_ms } => self.busy_us = Some(at_us + back_in_ms * 1_000),
            Seen::Greeted => self.busy_us = self.busy_us.max(Some(at_us)),
            Seen::SessionLost { user, .. } | Seen::Invalidated { user } => {
                self.busy_with_us.insert((user.clone(), None), at_us);
            }
            Seen::Called(call) => {
                let instrument = call.op.topic().map(|topic| topic.instrument().to_string());
                let until_us = at_us + self.command_us;
                self.busy_with_us.insert((call.user.clone(), instrument), until_us);
            }
            Seen::Replied { call, in_time: true, .. } => {
                let instrument = call.op.topic().map(|topic| topic.instrument().to_string());
                self.busy_with_us.insert((call.user.clone(), instrument), at_us);
            }
            Seen::Answered(_) => return held.settled.map_or(Ok(()), |it| self.told(at_us, it)),
            _ => {}
        }
        Ok(())
    }
}

impl TimeoutsAreTheBrokers {
    pub fn new(plan: &Plan) -> Self {
        let gateway = &plan.gateway;
        let quirks = &gateway.quirks;
        let usual = Quirks::default();
        let freely = quirks.calls_per_second.is_none()
            && quirks.topics_per_connection == usual.topics_per_connection;
        let journeys_us = 4 * plan.network.latency_ms[1] * 1_000 + TOLERANCE_US;
        let command_ms = gateway.answer_timeout_ms.max(gateway.connect_timeout_ms);
        Self {
            judges: plan.faults.are_none() && freely,
            command_us: command_ms * 1_000,
            pause_us: gateway.retry_max_ms * 1_000 + journeys_us,
            busy_us: None,
            busy_with_us: BTreeMap::new(),
            trouble: Trouble::new(plan),
        }
    }

    fn told(&self, at_us: u64, settled: &Settled) -> Result<(), String> {
        let Settled { client, reply, was, sent_us, .. } = settled;
        let (Reply::Subscribed(rows), Some(user)) = (reply, was) else { return Ok(()) };
        // Whoever reads late was told earlier.
        let Some(late_us) = self.trouble.delay_us(client, *sent_us, at_us) else { return Ok(()) };
        let lasts = |until_us: &u64| until_us + self.pause_us + late_us >= at_us;
        let waits = |instrument: Option<&String>| {
            let key = (user.clone(), instrument.cloned());
            self.busy_with_us.get(&key).is_some_and(lasts)
        };
        // All rows are told when the last is settled.
        let everybody = self.busy_us.as_ref().is_some_and(lasts);
        if everybody || waits(None) || rows.iter().any(|row| waits(Some(&row.instrument))) {
            return Ok(());
        }
        let is_timeout = |outcome: &RowOutcome| matches!(outcome, RowOutcome::Failed { code } if code == "BROKER_TIMEOUT");
        if let Some(row) = rows.iter().find(|row| is_timeout(&row.outcome)) {
            return Err(format!(
                "{client} was told that the broker of {user} took too long for {}, and it had not \
                 been asked",
                row.instrument
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named, plan, row};
    use super::*;
    use crate::fault::{FaultKind, Party, Strike};
    use crate::history::{Actor, Answer, Op, Request};

    /// alice waits for a topic; what happens; later she is told that it took too long.
    fn told(before: impl FnOnce(&mut Story<TimeoutsAreTheBrokers>)) -> Result<(), String> {
        let mut story = Story::of(TimeoutsAreTheBrokers::new(&plan()));
        story.join("alice-1");
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
        before(&mut story);
        let outcome = RowOutcome::Failed { code: "BROKER_TIMEOUT".into() };
        let reply = Reply::Subscribed(vec![row("NSE:A/LTP", outcome)]);
        let answer = Answer { id: Some(id), reply, broker: None };
        story.later(1_400, &client("alice-1"), Seen::Answered(answer))
    }

    fn asks(story: &mut Story<TimeoutsAreTheBrokers>, user: &str, op: Op) {
        let call = story.call(user, 1, op);
        story.good(&Actor::BROKER, Seen::Called(call));
    }

    #[test]
    fn waiting_for_what_nobody_asked_is_noticed() {
        assert!(told(|_| ()).is_err());
        assert!(told(|story| asks(story, "alice", Op::Subscribe(named("NSE:B/LTP")))).is_err());
        assert!(told(|story| asks(story, "bob", Op::Connect)).is_err());
        assert!(
            told(|story| story.serve("alice", 1, Op::Unsubscribe(named("NSE:A/LTP")))).is_err()
        );
    }

    #[test]
    fn a_broker_that_does_not_answer_or_is_gone_takes_too_long() {
        assert_eq!(told(|story| asks(story, "alice", Op::Subscribe(named("NSE:A/LTP")))), Ok(()));
        assert_eq!(told(|story| asks(story, "alice", Op::Connect)), Ok(()));
        let dies = Seen::BrokerDied { back_in_ms: 1_000 };
        assert_eq!(told(|story| story.good(&Actor::BROKER, dies)), Ok(()));
    }

    #[test]
    fn who_reads_late_was_told_earlier() {
        let party = Party::Client("alice-1".into());
        let strike = Strike { fault: FaultKind::StoppedReader, party, lasts_ms: 2_000 };
        let reads_late = |story: &mut Story<TimeoutsAreTheBrokers>| {
            story.good(&Actor::Network, Seen::Struck(strike));
            story.serve("alice", 1, Op::Unsubscribe(named("NSE:A/LTP")));
        };
        assert_eq!(told(reads_late), Ok(()));
    }
}
