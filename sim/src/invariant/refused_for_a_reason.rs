use std::collections::BTreeMap;

use tickgate::topic::UserId;

use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Event, Reply, Request, Seen};
use crate::plan::Plan;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 100_000;

/// Whoever shows a good key is refused for its broker's sake only if something was wrong there: a
/// command about the session failed or was not answered, the session or the host was lost, or the
/// credentials had changed.
///
/// Judged where no fault delays anybody and any number of calls is allowed.
pub(super) struct RefusedForAReason {
    judges: bool,
    /// After a failure, until the next try has been made.
    pause_us: u64,
    /// Until when something was wrong last, with everybody's broker.
    wrong_us: Option<u64>,
    /// And for whom else.
    wrong_for_us: BTreeMap<UserId, u64>,
    /// Commands about sessions that were not answered, by number.
    open: BTreeMap<u64, UserId>,
    /// When the last of them was: the answer and a refusal pass each other on the way.
    answered_us: BTreeMap<UserId, u64>,
    journeys_us: u64,
    trouble: Trouble,
}

impl Invariant for RefusedForAReason {
    fn name(&self) -> &'static str {
        "refused_for_a_reason"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if !self.judges {
            return Ok(());
        }
        self.trouble.observe(event);
        let at_us = event.at_us;
        match &event.seen {
            Seen::BrokerDied { back_in_ms } => {
                self.open.clear();
                self.wrong_us = Some(at_us + back_in_ms * 1_000);
            }
            Seen::Greeted => self.wrong_us = self.wrong_us.max(Some(at_us)),
            Seen::SessionLost { user, .. } | Seen::Invalidated { user } => {
                self.wrong_for_us.insert(user.clone(), at_us);
            }
            Seen::Called(call) if call.op.topic().is_none() => {
                self.open.insert(call.id, call.user.clone());
            }
            Seen::Replied { call, error, in_time } => {
                if self.open.remove(&call.id).is_some() {
                    self.answered_us.insert(call.user.clone(), at_us);
                }
                if !in_time || error.is_some_and(|code| code != "REFUSED") {
                    self.wrong_for_us.insert(call.user.clone(), at_us);
                }
            }
            Seen::Answered(_) => {
                if let Some(settled) = held.settled
                    && let (Request::Authenticate(Some(user)), Reply::Refused { code, .. }) =
                        (&settled.request, &settled.reply)
                    && code.starts_with("BROKER_")
                    && let Some(late_us) =
                        self.trouble.delay_us(&settled.client, settled.sent_us, at_us)
                    // Whoever reads late was told earlier.
                    && !self.had_a_reason(user, settled.sent_us, at_us.saturating_sub(late_us))
                {
                    let client = &settled.client;
                    return Err(format!(
                        "{client} showed the key of {user} and got {code}, though nothing was \
                         wrong with its broker"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl RefusedForAReason {
    pub fn new(plan: &Plan) -> Self {
        let journeys_us = 4 * plan.network.latency_ms[1] * 1_000 + TOLERANCE_US;
        Self {
            judges: plan.faults.are_none() && plan.gateway.quirks.calls_per_second.is_none(),
            pause_us: plan.gateway.retry_max_ms * 1_000 + journeys_us,
            wrong_us: None,
            wrong_for_us: BTreeMap::new(),
            open: BTreeMap::new(),
            answered_us: BTreeMap::new(),
            journeys_us,
            trouble: Trouble::new(plan),
        }
    }

    fn had_a_reason(&self, user: &UserId, sent_us: u64, at_us: u64) -> bool {
        let lasts = |at_us: &u64| at_us + self.pause_us >= sent_us;
        self.wrong_us.as_ref().is_some_and(lasts)
            || self.wrong_for_us.get(user).is_some_and(lasts)
            || self.open.values().any(|of| of == user)
            || self.answered_us.get(user).is_some_and(|it| it + self.journeys_us >= at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::history::{Actor, Answer, Op};

    /// alice waits to be let in; what happens; so much later she is refused.
    fn refused_after(
        after_ms: u64,
        before: impl FnOnce(&mut Story<RefusedForAReason>),
    ) -> Result<(), String> {
        let mut story = Story::of(RefusedForAReason::new(&plan()));
        story.connect("alice-1");
        let id = story.send("alice-1", Request::Authenticate(Some("alice".into())));
        before(&mut story);
        let (code, message) = ("BROKER_CONNECTION_ERROR".into(), String::new());
        let reply = Reply::Refused { code, message };
        let answer = Answer { id: Some(id), reply, broker: None };
        story.later(after_ms, &client("alice-1"), Seen::Answered(answer))
    }

    fn refused(before: impl FnOnce(&mut Story<RefusedForAReason>)) -> Result<(), String> {
        refused_after(1_000, before)
    }

    #[test]
    fn a_refusal_without_a_reason_is_noticed() {
        assert!(refused(|_| ()).is_err());
        assert!(refused(|story| story.serve("alice", 1, Op::Connect)).is_err());
    }

    #[test]
    fn an_answer_that_comes_just_then_came_too_late() {
        let connects = |user: &'static str| {
            move |story: &mut Story<RefusedForAReason>| story.serve(user, 1, Op::Connect)
        };
        assert_eq!(refused_after(5, connects("alice")), Ok(()));
        assert!(refused_after(5, connects("bob")).is_err());
    }

    #[test]
    fn a_host_that_dies_or_does_not_answer_is_a_reason() {
        let dies = Seen::BrokerDied { back_in_ms: 5 };
        assert_eq!(refused(|story| story.good(&Actor::BROKER, dies)), Ok(()));
        let silent = |story: &mut Story<RefusedForAReason>| {
            let call = story.call("alice", 1, Op::Connect);
            story.good(&Actor::BROKER, Seen::Called(call));
        };
        assert_eq!(refused(silent), Ok(()));
    }
}
