use super::{Held, Invariant};
use crate::history::{Event, Seen};

/// Everything the gateway says is a message that the protocol knows.
pub(super) struct SpeaksTheProtocol;

impl Invariant for SpeaksTheProtocol {
    fn name(&self) -> &'static str {
        "speaks_the_protocol"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        match &event.seen {
            Seen::Unexpected(what) => {
                Err(format!("{} met what no protocol describes: {what}", event.actor))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client};
    use super::*;

    #[test]
    fn an_unknown_message_is_noticed() {
        let mut story = Story::of(SpeaksTheProtocol);
        assert!(story.see(&client("alice-1"), Seen::Unexpected("?".into())).is_err());
    }
}
