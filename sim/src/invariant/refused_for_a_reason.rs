use std::collections::BTreeMap;

use tickgate::topic::UserId;

use super::holdings::Settled;
use super::mishaps::Mishaps;
use super::{Held, Invariant};
use crate::history::{Event, Reply, Request, Seen};
use crate::plan::Plan;

/// Whoever shows a good key is refused for its broker's sake only if something was wrong there: a
/// command about the session failed or was not answered, the session or the host was lost, or the
/// credentials had changed.
///
/// Judged where no fault delays anybody and any number of calls is allowed.
pub(super) struct RefusedForAReason {
    mishaps: Mishaps,
    /// Commands about sessions that were not answered, by number.
    open: BTreeMap<u64, UserId>,
    /// When the last of them was: the answer and a refusal pass each other on the way.
    answered_us: BTreeMap<UserId, u64>,
}

impl Invariant for RefusedForAReason {
    fn name(&self) -> &'static str {
        "refused_for_a_reason"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if !self.mishaps.knows_all() {
            return Ok(());
        }
        self.mishaps.observe(event);
        let at_us = event.at_us;
        match &event.seen {
            Seen::BrokerDied { .. } => self.open.clear(),
            Seen::Called(call) if call.op.topic().is_none() => {
                self.open.insert(call.id, call.user.clone());
            }
            Seen::Replied { call, error, in_time } => {
                if self.open.remove(&call.id).is_some() {
                    self.answered_us.insert(call.user.clone(), at_us);
                }
                if !in_time || error.is_some_and(|code| code != "REFUSED") {
                    self.mishaps.add(&call.user, at_us);
                }
            }
            Seen::Answered(_) => return held.settled.map_or(Ok(()), |it| self.told(at_us, it)),
            _ => {}
        }
        Ok(())
    }
}

impl RefusedForAReason {
    pub fn new(plan: &Plan) -> Self {
        let mishaps = Mishaps::new(plan);
        Self { mishaps, open: BTreeMap::new(), answered_us: BTreeMap::new() }
    }

    fn told(&self, at_us: u64, settled: &Settled) -> Result<(), String> {
        let Settled { client, request, reply, sent_us, .. } = settled;
        let (Request::Authenticate(Some(user)), Reply::Refused { code, .. }) = (request, reply)
        else {
            return Ok(());
        };
        if !code.starts_with("BROKER_") {
            return Ok(());
        }
        let Some(told_us) = self.mishaps.told_us(settled, at_us) else { return Ok(()) };
        if self.mishaps.are_felt(user, *sent_us) || self.waits(user, told_us) {
            return Ok(());
        }
        Err(format!(
            "{client} showed the key of {user} and got {code}, though nothing was wrong with its \
             broker"
        ))
    }

    fn waits(&self, user: &UserId, told_us: u64) -> bool {
        let journeys_us = self.mishaps.journeys_us();
        self.open.values().any(|of| of == user)
            || self.answered_us.get(user).is_some_and(|it| it + journeys_us >= told_us)
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
