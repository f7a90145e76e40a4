use std::collections::BTreeMap;

use super::{Held, Invariant};
use crate::fault::FaultKind;
use crate::history::{ClientName, Event, Reply, Request, Seen};
use crate::plan::Plan;

/// Of one host no more wrong keys are tried at once than it may fail with; whatever it does, the
/// next one is tried after a pause (RC-009).
///
/// A key is tried between its request and the answer. So the limit is broken if too many answers
/// came, and all of their requests were written, within less than the shortest pause.
pub(super) struct AttemptsHold {
    failures_max: usize,
    delay_us: u64,
    hosts: BTreeMap<ClientName, u32>,
    /// When the wrong keys of each host were sent, of those answered within the last pause.
    failures: BTreeMap<u32, Vec<u64>>,
}

impl AttemptsHold {
    pub fn new(plan: &Plan) -> Self {
        let clients = plan.clients.iter();
        Self {
            // With none for nothing the first one is let go nevertheless.
            failures_max: plan.gateway.auth_failures_per_address_max.max(1),
            delay_us: plan.gateway.auth_delay_ms * 1_000,
            hosts: clients.map(|client| (client.name.as_str().into(), client.host)).collect(),
            failures: BTreeMap::new(),
        }
    }
}

impl Invariant for AttemptsHold {
    fn name(&self) -> &'static str {
        "attempts_hold"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if matches!(&event.seen, Seen::Struck(strike) if strike.fault == FaultKind::GatewayCrash) {
            // It remembers nothing of what was before.
            self.failures.clear();
        }
        let Some(settled) = held.settled else { return Ok(()) };
        let was_tried = matches!(&settled.reply, Reply::Refused { code, .. }
            if code == "AUTHENTICATION_ERROR");
        if !was_tried || settled.request != Request::Authenticate(None) {
            return Ok(());
        }
        let Some(host) = self.hosts.get(&settled.client) else { return Ok(()) };
        let failures = self.failures.entry(*host).or_default();
        failures.push(settled.sent_us);
        failures.retain(|sent_us| event.at_us < sent_us + self.delay_us);
        let (count, max) = (failures.len(), self.failures_max);
        if count > max {
            return Err(format!(
                "{count} wrong keys of the host of {} were tried within {} ms, and {max} may be",
                settled.client,
                self.delay_us / 1_000
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::history::Answer;

    fn tries(pauses_ms: &[u64], code: &str) -> Result<(), String> {
        let mut plan = plan();
        plan.gateway.auth_failures_per_address_max = 2;
        plan.gateway.auth_delay_ms = 150;
        let mut story = Story::of(AttemptsHold::new(&plan));
        story.connect("alice-1");
        for pause_ms in pauses_ms {
            story.later(*pause_ms, &client("alice-1"), Seen::Unexpected(String::new()))?;
            let id = story.send("alice-1", Request::Authenticate(None));
            let reply = Reply::Refused { code: code.into(), message: String::new() };
            let answer = Answer { id: Some(id), reply, broker: None };
            story.later(10, &client("alice-1"), Seen::Answered(answer))?;
        }
        Ok(())
    }

    #[test]
    fn a_wrong_key_too_many_at_once_is_noticed() {
        assert_eq!(tries(&[0, 0], "AUTHENTICATION_ERROR"), Ok(()));
        assert!(tries(&[0, 0, 0], "AUTHENTICATION_ERROR").is_err());
    }

    #[test]
    fn one_after_a_pause_is_good_and_so_is_one_that_is_not_tried() {
        assert_eq!(tries(&[0, 0, 150], "AUTHENTICATION_ERROR"), Ok(()));
        assert_eq!(tries(&[0, 0, 0], "RATE_LIMITED"), Ok(()));
    }
}
