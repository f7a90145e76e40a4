//! What has gone wrong at the brokers of users, and how long that can be felt.

use std::collections::BTreeMap;

use tickgate::topic::UserId;

use super::holdings::Settled;
use super::trouble::Trouble;
use crate::history::{Event, Seen};
use crate::plan::Plan;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 100_000;

/// When a host died or welcomed the gateway, a session was lost, or credentials changed.
///
/// It knows all there is to know where no fault delays anybody and any number of calls is allowed.
#[derive(Debug)]
pub(super) struct Mishaps {
    knows_all: bool,
    journeys_us: u64,
    /// After a mishap, until the next try has been made and its client has read the answer.
    pause_us: u64,
    /// Until when something was wrong last, for everybody.
    everybody_us: Option<u64>,
    /// And for whom else.
    users_us: BTreeMap<UserId, u64>,
    trouble: Trouble,
}

impl Mishaps {
    pub fn new(plan: &Plan) -> Self {
        let journeys_us = 4 * plan.network.latency_ms[1] * 1_000 + TOLERANCE_US;
        Self {
            knows_all: plan.faults.are_none() && plan.gateway.quirks.calls_per_second.is_none(),
            journeys_us,
            pause_us: plan.gateway.retry_max_ms * 1_000 + journeys_us,
            everybody_us: None,
            users_us: BTreeMap::new(),
            trouble: Trouble::new(plan),
        }
    }

    /// Whether nothing can go wrong that is not written down here.
    pub const fn knows_all(&self) -> bool {
        self.knows_all
    }

    /// The journeys of a command, its answer and what a client is told then.
    pub const fn journeys_us(&self) -> u64 {
        self.journeys_us
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event) {
        self.trouble.observe(event);
        let at_us = event.at_us;
        if let Some((user, _)) = event.seen.loss() {
            self.add(user, at_us);
        }
        match &event.seen {
            Seen::BrokerDied { back_in_ms } => self.everybody_us = Some(at_us + back_in_ms * 1_000),
            Seen::Greeted => self.everybody_us = self.everybody_us.max(Some(at_us)),
            Seen::Invalidated { user } => self.add(user, at_us),
            _ => {}
        }
    }

    /// Something else went wrong for this user.
    pub fn add(&mut self, user: &UserId, at_us: u64) {
        self.users_us.insert(user.clone(), at_us);
    }

    /// Whether anything was wrong for this user so shortly before a moment that it was felt then.
    pub fn are_felt(&self, user: &UserId, at_us: u64) -> bool {
        let is_felt = |until_us: &u64| self.is_felt(*until_us, at_us);
        self.everybody_us.as_ref().is_some_and(is_felt)
            || self.users_us.get(user).is_some_and(is_felt)
    }

    /// Whether what was wrong until then is felt at this moment.
    pub const fn is_felt(&self, until_us: u64, at_us: u64) -> bool {
        until_us + self.pause_us >= at_us
    }

    /// When the client was told what it has just read, at the earliest: whoever reads late was told
    /// earlier. `None` if that cannot be said.
    pub fn told_us(&self, settled: &Settled, at_us: u64) -> Option<u64> {
        let late_us = self.trouble.delay_us(&settled.client, settled.sent_us, at_us)?;
        Some(at_us.saturating_sub(late_us))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan;
    use super::*;
    use crate::fault::{FaultKind, Party, Strike};
    use crate::history::{Actor, Reply, Request};

    /// With a pause of 500 ms and journeys of 132.
    fn mishaps() -> Mishaps {
        let mut plan = plan();
        plan.gateway.retry_max_ms = 500;
        plan.network.latency_ms = [1, 8];
        Mishaps::new(&plan)
    }

    fn see(mishaps: &mut Mishaps, at_ms: u64, seen: Seen) {
        mishaps.observe(&Event { at_us: at_ms * 1_000, actor: Actor::BROKER, seen });
    }

    fn felt_by(mishaps: &Mishaps, at_ms: u64) -> Vec<&'static str> {
        let users = ["alice", "bob"].into_iter();
        users.filter(|user| mishaps.are_felt(&UserId::from(*user), at_ms * 1_000)).collect()
    }

    #[test]
    fn what_befalls_a_host_is_felt_by_everybody_until_it_is_back_and_tried_again() {
        let mut mishaps = mishaps();
        assert_eq!(felt_by(&mishaps, 0), [""; 0]);
        see(&mut mishaps, 100, Seen::BrokerDied { back_in_ms: 50 });
        see(&mut mishaps, 120, Seen::Greeted);
        assert_eq!(felt_by(&mishaps, 782), ["alice", "bob"]);
        assert_eq!(felt_by(&mishaps, 783), [""; 0]);
        see(&mut mishaps, 1_000, Seen::Greeted);
        assert_eq!(felt_by(&mishaps, 1_632), ["alice", "bob"]);
    }

    #[test]
    fn what_befalls_a_user_is_felt_by_nobody_else() {
        let mut mishaps = mishaps();
        see(&mut mishaps, 100, Seen::Invalidated { user: "alice".into() });
        assert_eq!((felt_by(&mishaps, 732), felt_by(&mishaps, 733)), (vec!["alice"], vec![]));
        mishaps.add(&"bob".into(), 200_000);
        assert_eq!(felt_by(&mishaps, 832), ["bob"]);
    }

    #[test]
    fn who_reads_late_was_told_earlier() {
        let mut mishaps = mishaps();
        let settled = Settled {
            client: "alice-1".into(),
            sent_us: 0,
            request: Request::Ping,
            reply: Reply::Pong,
            was: None,
        };
        assert_eq!(mishaps.told_us(&settled, 900_000), Some(900_000));
        let party = Party::Client("alice-1".into());
        let strike = Strike { fault: FaultKind::StoppedReader, party, lasts_ms: 300 };
        see(&mut mishaps, 100, Seen::Struck(strike));
        assert_eq!(mishaps.told_us(&settled, 900_000), Some(580_000));
    }

    #[test]
    fn where_calls_are_counted_not_all_is_known() {
        assert!(mishaps().knows_all());
        let mut plan = plan();
        plan.gateway.quirks.calls_per_second = Some(5.0);
        assert!(!Mishaps::new(&plan).knows_all());
    }
}
