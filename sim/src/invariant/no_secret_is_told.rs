use super::{Held, Invariant};
use crate::history::{Event, Reply, Seen};
use crate::plan::KEY_PREFIX;

/// No key, good or wrong, is in the log, the audit log or the reason of a refusal.
pub(super) struct NoSecretIsTold;

impl Invariant for NoSecretIsTold {
    fn name(&self) -> &'static str {
        "no_secret_is_told"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        let tells = match &event.seen {
            Seen::Log { text, .. } => text.contains(KEY_PREFIX),
            Seen::Audited(record) => {
                String::from_utf8_lossy(&record.to_line()).contains(KEY_PREFIX)
            }
            Seen::Answered(answer) => match &answer.reply {
                Reply::Refused { message, .. } => message.contains(KEY_PREFIX),
                _ => false,
            },
            Seen::Lost { reason, .. } => reason.contains(KEY_PREFIX),
            _ => false,
        };
        if tells { Err(format!("a secret is told: {}", event.seen)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tickgate::audit::{Record, What};

    use super::super::testing::Story;
    use super::*;
    use crate::history::{Actor, Answer};

    #[test]
    fn a_key_is_noticed_wherever_it_is_told() {
        let user = Some("key-of-bob".into());
        let record = Record { user, ..What::Authenticated {}.record() };
        let message = "key-of-bob is wrong".to_owned();
        let reply = Reply::Refused { code: "AUTHENTICATION_ERROR".into(), message };
        for seen in [
            Seen::Audited(Box::new(record)),
            Seen::Log { level: tracing::Level::INFO, text: "tried key-of-bob".into() },
            Seen::Answered(Answer { id: None, reply, broker: None }),
            Seen::Lost { code: Some(4401), reason: "key-of-bob".into() },
        ] {
            assert!(Story::of(NoSecretIsTold).see(&Actor::Gateway, seen).is_err());
        }
        let text = "authentication failed".into();
        Story::of(NoSecretIsTold)
            .good(&Actor::Log, Seen::Log { level: tracing::Level::INFO, text });
    }
}
