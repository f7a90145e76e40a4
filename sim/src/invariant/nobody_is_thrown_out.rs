use std::collections::{BTreeMap, BTreeSet};

use super::misconduct::Misconduct;
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::fault::{FaultKind, Party};
use crate::history::{Actor, ClientName, Event, Phase, Request, Seen};
use crate::plan::{OrderKind, Plan};

/// Moments are compared across hosts and messages take time.
const TOLERANCE_US: u64 = 100_000;

/// The gateway ends a connection only for a documented reason: with 4401, if its client did not
/// authenticate in time, with 1012 when it is told to stop, with 1013 if its client does not read
/// its answers and order updates, with 4429 if it broke rules repeatedly and with 1008 if enough
/// clients of its host did or an administrator blocked it, with 4403 if one removed its user or its
/// key is gone, with 4408 if nothing was heard of it. The network cuts off nobody but those whom a
/// fault has struck.
pub(super) struct NobodyIsThrownOut {
    auth_timeout_us: u64,
    trouble: Trouble,
    misconduct: Misconduct,
    silence_timeout_us: u64,
    stall_timeout_us: u64,
    /// From when to when each client does not read, and so answers no pings.
    deaf: BTreeMap<ClientName, (u64, u64)>,
    /// Since when each client is connected without being anybody.
    nobody_since: BTreeMap<ClientName, u64>,
    /// Who was removed by an administrator while it was this user, or asked to be.
    removed: BTreeSet<ClientName>,
    /// Whether the gateway was told to stop.
    stopping: bool,
}

impl NobodyIsThrownOut {
    pub fn new(plan: &Plan) -> Self {
        let auth_timeout_us = plan.gateway.auth_timeout_ms * 1_000;
        Self {
            auth_timeout_us,
            trouble: Trouble::new(plan),
            misconduct: Misconduct::new(plan),
            silence_timeout_us: plan.gateway.silence_timeout_ms * 1_000,
            stall_timeout_us: plan.gateway.outbox_stall_timeout_ms * 1_000,
            deaf: BTreeMap::new(),
            nobody_since: BTreeMap::new(),
            removed: BTreeSet::new(),
            stopping: false,
        }
    }
}

impl Invariant for NobodyIsThrownOut {
    fn name(&self) -> &'static str {
        "nobody_is_thrown_out"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let (may_be_cut_off, is_slow) = match (&event.actor, &event.seen) {
            (Actor::Client(client), Seen::Lost { .. }) => {
                (self.trouble.may_be_cut_off(client), self.trouble.lags(client))
            }
            _ => (false, false),
        };
        self.stopping |= matches!(event.seen, Seen::Phase(Phase::Stop));
        self.trouble.observe(event);
        self.misconduct.observe(event);
        if let Seen::Struck(strike) = &event.seen
            && let (FaultKind::StoppedReader | FaultKind::Stall, Party::Client(name)) =
                (strike.fault, &strike.party)
        {
            let until_us = event.at_us + strike.lasts_ms * 1_000;
            let deaf = self.deaf.entry(name.as_str().into()).or_insert((event.at_us, until_us));
            if deaf.1 < event.at_us {
                *deaf = (event.at_us, until_us);
            }
            deaf.1 = deaf.1.max(until_us);
        }
        if let Seen::Administered(OrderKind::RemoveUser(user)) = &event.seen {
            let clients = held.clients.iter().filter(|(_, holding)| {
                let asks =
                    |request: &Request| *request == Request::Authenticate(Some(user.clone()));
                holding.user.as_ref() == Some(user)
                    || holding.pending.iter().any(|(_, sent)| asks(&sent.request))
            });
            self.removed.extend(clients.map(|(client, _)| client.clone()));
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        match &event.seen {
            Seen::Connected { .. } => {
                self.nobody_since.insert(client.clone(), event.at_us);
            }
            // Who fails to become somebody else is nobody again.
            Seen::Answered(_) => match held.client.map(|holding| &holding.user) {
                Some(Some(_)) => {
                    self.nobody_since.remove(client);
                }
                Some(None) | None => {
                    self.nobody_since.entry(client.clone()).or_insert(event.at_us);
                }
            },
            Seen::Lost { code, reason } => {
                let is_removed = self.removed.remove(client);
                let since_us = self.nobody_since.remove(client);
                let overdue = since_us.is_some_and(|since_us| {
                    event.at_us + TOLERANCE_US >= since_us + self.auth_timeout_us
                });
                let is_deaf = self.deaf.get(client).is_some_and(|(from_us, _)| {
                    event.at_us + TOLERANCE_US >= from_us + self.silence_timeout_us
                });
                let is_stalled = self.deaf.get(client).is_some_and(|(from_us, _)| {
                    event.at_us + TOLERANCE_US >= from_us + self.stall_timeout_us
                });
                return match code {
                    _ if may_be_cut_off => Ok(()),
                    Some(4408) if is_deaf => Ok(()),
                    Some(4429) if self.misconduct.may_be_closed(client) => Ok(()),
                    Some(1008) if self.misconduct.may_be_blocked(client) => Ok(()),
                    Some(4403) if is_removed => Ok(()),
                    Some(4401) if overdue => Ok(()),
                    // `keys_decide` knows whether its key was gone.
                    Some(4403) if reason.starts_with("credential") => Ok(()),
                    Some(1012) if self.stopping => Ok(()),
                    Some(1013) if is_slow => Ok(()),
                    // It did not read why.
                    None if (is_slow && overdue) || is_deaf || is_stalled => Ok(()),
                    Some(code) => Err(format!("{client} was closed with {code} ({reason})")),
                    None => Err(format!("{client} was cut off: {reason}")),
                };
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::fault::{FaultKind, Party, Strike};
    use crate::history::{Answer, Reply, Request};

    fn lost(code: Option<u16>) -> Seen {
        Seen::Lost { code, reason: "auth timeout".into() }
    }

    #[test]
    fn who_did_not_authenticate_in_time_may_be_closed() {
        let mut story = Story::of(NobodyIsThrownOut::new(&plan()));
        story.connect("alice-1");
        assert_eq!(story.later(15_000, &client("alice-1"), lost(Some(4401))), Ok(()));
    }

    #[test]
    fn who_is_nobody_again_has_the_whole_time_again() {
        let mut story = Story::of(NobodyIsThrownOut::new(&plan()));
        story.join("alice-1");
        let id = story.send("alice-1", Request::Authenticate(Some("bob".into())));
        let (code, message) = ("BROKER_INIT_ERROR".into(), String::new());
        let reply = Reply::Refused { code, message };
        let refused = Seen::Answered(Answer { id: Some(id), reply, broker: None });
        assert_eq!(story.later(20_000, &client("alice-1"), refused), Ok(()));
        assert_eq!(story.later(15_000, &client("alice-1"), lost(Some(4401))), Ok(()));
    }

    #[test]
    fn a_gateway_that_stops_closes_its_clients_and_says_why() {
        for (code, is_good) in [(Some(1012), true), (Some(1013), false), (None, false)] {
            let mut story = Story::of(NobodyIsThrownOut::new(&plan()));
            story.join("alice-1");
            story.phase(Phase::Stop);
            assert_eq!(story.later(9, &client("alice-1"), lost(code)).is_ok(), is_good);
        }
    }

    #[test]
    fn who_does_not_read_its_answers_may_be_closed() {
        let mut story = Story::of(NobodyIsThrownOut::new(&plan()));
        story.join("alice-1");
        let party = Party::Client("alice-1".into());
        let strike = Strike { fault: FaultKind::Window, party, lasts_ms: 0 };
        story.good(&Actor::Network, Seen::Struck(strike));
        assert_eq!(story.later(9, &client("alice-1"), lost(Some(1013))), Ok(()));
    }

    #[test]
    fn any_other_end_is_noticed() {
        let ends = [Some(4401), Some(1012), Some(1013), None].map(|code| (100, code));
        for (after_ms, code) in ends.into_iter().chain([(15_000, Some(1013)), (15_000, None)]) {
            let mut story = Story::of(NobodyIsThrownOut::new(&plan()));
            story.connect("alice-1");
            assert!(story.later(after_ms, &client("alice-1"), lost(code)).is_err());
        }
        let mut story = Story::of(NobodyIsThrownOut::new(&plan()));
        story.join("alice-1");
        assert!(story.later(15_000, &client("alice-1"), lost(Some(4401))).is_err());
    }
}
