use std::collections::BTreeMap;

use tickgate::topic::UserId;

use super::Invariant;
use crate::history::{Event, Op, Phase, Seen};

/// When a user's credentials are declared invalid, the session that was opened with them is given
/// up: a new one is opened, unless nobody needs it any more.
#[derive(Default)]
pub(super) struct NewCredentialsAreUsed {
    /// Users with a session that is open or being opened, and when its credentials were declared
    /// invalid.
    sessions: BTreeMap<UserId, Option<u64>>,
}

impl Invariant for NewCredentialsAreUsed {
    fn name(&self) -> &'static str {
        "new_credentials_are_used"
    }

    fn observe(&mut self, event: &Event) -> Result<(), String> {
        match &event.seen {
            Seen::Called(call) if call.op == Op::Connect => {
                self.sessions.insert(call.user.clone(), None);
            }
            Seen::Called(call) if call.op == Op::Disconnect => {
                self.sessions.remove(&call.user);
            }
            Seen::SessionLost { user, .. } => {
                self.sessions.remove(user);
            }
            Seen::BrokerDied { .. } | Seen::Greeted => self.sessions.clear(),
            Seen::Invalidated { user } => {
                if let Some(invalid_us) = self.sessions.get_mut(user) {
                    *invalid_us = Some(event.at_us);
                }
            }
            Seen::Phase(Phase::Rest) => {
                let old = self.sessions.iter().find_map(|(user, at)| Some((user, (*at)?)));
                if let Some((user, invalid_us)) = old {
                    return Err(format!(
                        "{user} still uses the broker session whose credentials were declared \
                         invalid at {} ms",
                        invalid_us / 1_000
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Story;
    use super::*;
    use crate::history::Actor;

    fn story() -> Story<NewCredentialsAreUsed> {
        let mut story = Story::of(NewCredentialsAreUsed::default());
        story.serve("alice", 1, Op::Connect);
        story.good(&Actor::Feed, Seen::Invalidated { user: "alice".into() });
        story
    }

    #[test]
    fn a_session_that_is_kept_is_noticed_and_one_that_is_rebuilt_or_closed_is_good() {
        let rest = Seen::Phase(Phase::Rest);
        assert!(story().see(&Actor::Operator, rest).is_err());
        let mut rebuilt = story();
        rebuilt.serve("alice", 1, Op::Disconnect);
        rebuilt.phase(Phase::Rest);
        rebuilt.serve("alice", 2, Op::Connect);
        rebuilt.phase(Phase::Rest);
    }
}
