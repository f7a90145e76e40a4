use std::collections::BTreeMap;

use tickgate::config::Quirks;
use tickgate::topic::UserId;

use super::holdings::Settled;
use super::mishaps::Mishaps;
use super::{Held, Invariant};
use crate::history::{Call, Event, Reply, RowOutcome, Seen};
use crate::plan::Plan;

/// Whoever is told that its broker took too long was waiting for the broker: not long before, a
/// command about the topic or about a session of the user was not answered yet, or a session or the
/// host was lost, or the credentials had changed. Nobody waits for what was never asked.
///
/// Judged where no fault delays anybody, any number of calls is allowed, and no topic
/// waits for another's place.
pub(super) struct TimeoutsAreTheBrokers {
    judges: bool,
    mishaps: Mishaps,
    /// For so long a command can be in flight.
    command_us: u64,
    /// Until when a user had commands in flight, about its sessions or an instrument.
    commands_us: BTreeMap<(UserId, Option<String>), u64>,
}

impl Invariant for TimeoutsAreTheBrokers {
    fn name(&self) -> &'static str {
        "timeouts_are_the_brokers"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if !self.judges {
            return Ok(());
        }
        self.mishaps.observe(event);
        let at_us = event.at_us;
        match &event.seen {
            Seen::Called(call) => self.is_busy(call, at_us + self.command_us),
            Seen::Replied { call, in_time: true, .. } => self.is_busy(call, at_us),
            Seen::Answered(_) => return held.settled.map_or(Ok(()), |it| self.told(at_us, it)),
            _ => {}
        }
        Ok(())
    }
}

impl TimeoutsAreTheBrokers {
    pub fn new(plan: &Plan) -> Self {
        let gateway = &plan.gateway;
        let usual = Quirks::default().topics_per_connection;
        let has_room = gateway.quirks.topics_per_connection == usual;
        let command_ms = gateway.answer_timeout_ms.max(gateway.connect_timeout_ms);
        let mishaps = Mishaps::new(plan);
        Self {
            judges: mishaps.knows_all() && has_room,
            mishaps,
            command_us: command_ms * 1_000,
            commands_us: BTreeMap::new(),
        }
    }

    fn is_busy(&mut self, call: &Call, until_us: u64) {
        let instrument = call.op.topic().map(|topic| topic.instrument().to_string());
        self.commands_us.insert((call.user.clone(), instrument), until_us);
    }

    fn told(&self, at_us: u64, settled: &Settled) -> Result<(), String> {
        let Settled { client, reply, was, .. } = settled;
        let (Reply::Subscribed(rows), Some(user)) = (reply, was) else { return Ok(()) };
        let Some(told_us) = self.mishaps.told_us(settled, at_us) else { return Ok(()) };
        let waits = |instrument: Option<&String>| {
            let key = (user.clone(), instrument.cloned());
            let until_us = self.commands_us.get(&key);
            until_us.is_some_and(|until_us| self.mishaps.is_felt(*until_us, told_us))
        };
        // All rows are told when the last is settled.
        let any = waits(None) || rows.iter().any(|row| waits(Some(&row.instrument)));
        if any || self.mishaps.are_felt(user, told_us) {
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
