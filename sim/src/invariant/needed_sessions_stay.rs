use std::collections::BTreeSet;

use tickgate::topic::UserId;

use super::holdings::Holdings;
use super::{Held, Invariant};
use crate::history::{Event, Op, Phase, Request, Seen};
use crate::plan::Plan;

/// While a client is in, its user's first session is not closed, unless new credentials ask for
/// that: what has lingered long enough is compared with who is there, and does not obey a clock.
///
/// Judged where nobody but the client itself ends its connection.
pub(super) struct NeededSessionsStay {
    judges: bool,
    /// Whose credentials have changed, or were refused with a topic.
    excused: BTreeSet<UserId>,
}

impl Invariant for NeededSessionsStay {
    fn name(&self) -> &'static str {
        "needed_sessions_stay"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        match &event.seen {
            Seen::Phase(phase) => self.judges &= *phase < Phase::Stop,
            Seen::Invalidated { user } => drop(self.excused.insert(user.clone())),
            Seen::Replied { call, error: Some("INIT_FAILED"), .. } => {
                self.excused.insert(call.user.clone());
            }
            Seen::Called(call) if call.op == Op::Disconnect && call.connection == 0 => {
                let user = &call.user;
                if self.judges && !self.excused.contains(user) && is_in(user, held.clients) {
                    return Err(format!(
                        "session s{} of {user} was closed while a client of it was in",
                        call.session
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl NeededSessionsStay {
    pub fn new(plan: &Plan) -> Self {
        let calm = plan.faults.is_empty() && plan.keys.is_empty() && plan.administration.is_empty();
        Self { judges: calm && plan.gateway.quirks.linger_ms > 0, excused: BTreeSet::new() }
    }
}

/// Whether a client of this user is in, and has not asked to be somebody else.
fn is_in(user: &UserId, clients: &Holdings) -> bool {
    clients.iter().any(|(_, holding)| {
        let stays = |sent: &Request| !matches!(sent, Request::Authenticate(_));
        holding.user.as_ref() == Some(user)
            && holding.pending.iter().all(|(_, sent)| stays(&sent.request))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::history::Actor;

    fn story() -> Story<NeededSessionsStay> {
        let mut plan = plan();
        plan.gateway.quirks.linger_ms = 100;
        let mut story = Story::of(NeededSessionsStay::new(&plan));
        story.serve("alice", 1, Op::Connect);
        story.join("alice-1");
        story
    }

    fn close(story: &mut Story<NeededSessionsStay>) -> Result<(), String> {
        let call = story.call("alice", 1, Op::Disconnect);
        story.see(&Actor::BROKER, Seen::Called(call))
    }

    #[test]
    fn a_session_that_is_closed_under_its_client_is_noticed() {
        assert!(close(&mut story()).is_err());
    }

    #[test]
    fn who_has_left_or_has_new_credentials_is_no_reason_to_keep_it() {
        let mut left = story();
        left.good(&client("alice-1"), Seen::Lost { code: None, reason: String::new() });
        assert_eq!(close(&mut left), Ok(()));
        let mut renewed = story();
        renewed.good(&Actor::Feed, Seen::Invalidated { user: "alice".into() });
        assert_eq!(close(&mut renewed), Ok(()));
    }
}
