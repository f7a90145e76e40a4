//! How long the gateway may leave a client unread for the rules that it has broken.

use std::collections::BTreeMap;

use super::Held;
use super::account::{Account, MINUTE_US};
use crate::history::{Actor, ClientName, Event, Reply, Request, Seen};
use crate::plan::Plan;

/// The gateway reckons in whole milliseconds, so one of them can be missing between two moments.
const WHOLE_US: u64 = 1_000;

/// Threat levels of clients as the gateway can have reckoned them at most, and what follows.
#[derive(Debug)]
pub(super) struct Pauses {
    throttle_at: u64,
    throttle_us: u64,
    decay_per_minute: u64,
    levels: BTreeMap<ClientName, Account>,
    /// Until when a client may not be read.
    until_us: BTreeMap<ClientName, u64>,
}

impl Pauses {
    pub fn new(plan: &Plan) -> Self {
        let gateway = &plan.gateway;
        Self {
            throttle_at: (gateway.throttle_at as u64).saturating_mul(MINUTE_US),
            throttle_us: gateway.throttle_ms * 1_000,
            decay_per_minute: gateway.decay_per_minute as u64,
            levels: BTreeMap::new(),
            until_us: BTreeMap::new(),
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event, held: &Held<'_>) {
        if let (Actor::Client(client), Seen::Connected { .. }) = (&event.actor, &event.seen) {
            self.levels.remove(client);
            self.until_us.remove(client);
        }
        let Some(settled) = held.settled else { return };
        let Some(weight) = weight(&settled.request, &settled.reply) else { return };
        let account = self.levels.entry(settled.client.clone()).or_default();
        let read_us = settled.sent_us.saturating_sub(WHOLE_US);
        let level = account.left(read_us, self.decay_per_minute) + weight * MINUTE_US;
        *account = Account::reached(level, event.at_us);
        if level >= self.throttle_at {
            self.until_us.insert(settled.client.clone(), event.at_us + self.throttle_us);
        }
    }

    /// How long what a client writes now may have to wait before it is read.
    ///
    /// Known of clients that wait for no answer: whatever they broke has been told to them.
    pub fn left_us(&self, client: &ClientName, now_us: u64) -> u64 {
        self.until_us.get(client).map_or(0, |until_us| until_us.saturating_sub(now_us))
    }
}

/// By how much what was answered like this raises the threat level, if it broke a rule.
fn weight(request: &Request, reply: &Reply) -> Option<u64> {
    let Reply::Refused { code, message } = reply else { return None };
    match (code.as_str(), request) {
        ("RATE_LIMITED", _) => message.starts_with("Too many messages").then_some(1),
        ("AUTHENTICATION_ERROR", Request::Authenticate(_)) => Some(2),
        ("INVALID_JSON" | "SERVER_ERROR", Request::Garbage(_)) => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan;
    use super::*;
    use crate::history::{Answer, Sent};
    use crate::invariant::holdings::Holdings;

    struct Tale {
        pauses: Pauses,
        holdings: Holdings,
        at_us: u64,
    }

    impl Tale {
        /// Three wrong keys at once are too many; a second forgives one point.
        fn begin() -> Self {
            let mut plan = plan();
            plan.gateway.throttle_at = 6;
            plan.gateway.throttle_ms = 400;
            plan.gateway.decay_per_minute = 60;
            let (pauses, holdings) = (Pauses::new(&plan), Holdings::default());
            let mut tale = Self { pauses, holdings, at_us: 0 };
            tale.see(0, Seen::Connected { connection: 1 });
            tale
        }

        fn see(&mut self, after_ms: u64, seen: Seen) {
            self.at_us += after_ms * 1_000;
            let event = Event { at_us: self.at_us, actor: Actor::Client("bob-1".into()), seen };
            let settled = self.holdings.observe(&event);
            let held = Held::after(&event, &self.holdings, settled.as_ref());
            self.pauses.observe(&event, &held);
        }

        /// After a pause, something that is refused 10 ms later.
        fn refused(&mut self, after_ms: u64, request: Request, code: &str) -> &mut Self {
            self.see(after_ms, Seen::Sent(Sent { id: 1, request }));
            let reply = Reply::Refused { code: code.into(), message: String::new() };
            self.see(10, Seen::Answered(Answer { id: Some(1), reply, broker: None }));
            self
        }

        fn wrong_key(&mut self, after_ms: u64) -> &mut Self {
            self.refused(after_ms, Request::Authenticate(None), "AUTHENTICATION_ERROR")
        }

        fn left_ms(&self, after_ms: u64) -> u64 {
            self.pauses.left_us(&"bob-1".into(), self.at_us + after_ms * 1_000) / 1_000
        }
    }

    #[test]
    fn who_has_broken_enough_is_not_read_for_a_while() {
        let mut tale = Tale::begin();
        assert_eq!(tale.wrong_key(0).wrong_key(0).left_ms(0), 0);
        assert_eq!(tale.wrong_key(0).left_ms(0), 400);
        assert_eq!((tale.left_ms(150), tale.left_ms(400)), (250, 0));
    }

    #[test]
    fn what_was_broken_is_forgotten_with_time_and_with_the_connection() {
        let mut tale = Tale::begin();
        assert_eq!(tale.wrong_key(0).wrong_key(500).wrong_key(600).left_ms(0), 0);
        assert_eq!(tale.wrong_key(0).left_ms(0), 400);
        tale.see(0, Seen::Connected { connection: 2 });
        assert_eq!(tale.left_ms(0), 0);
        assert_eq!(tale.wrong_key(0).wrong_key(0).left_ms(0), 0);
    }

    #[test]
    fn what_is_no_request_counts_less_and_a_mistake_not_at_all() {
        let mut tale = Tale::begin();
        let garbage = || Request::Garbage("{".into());
        tale.refused(0, Request::Ping, "NOT_AUTHENTICATED");
        tale.refused(0, Request::Authenticate(None), "RATE_LIMITED");
        tale.refused(0, garbage(), "INVALID_ACTION");
        tale.wrong_key(0).wrong_key(0);
        assert_eq!(tale.refused(0, garbage(), "INVALID_JSON").left_ms(0), 0);
        assert_eq!(tale.refused(0, garbage(), "INVALID_JSON").left_ms(0), 400);
    }
}
