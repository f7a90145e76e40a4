use super::{Held, Invariant};
use crate::history::{Event, Seen};

/// The gateway logs no `ERROR`: that level is kept for its own mistakes.
pub(super) struct NoErrorsLogged;

impl Invariant for NoErrorsLogged {
    fn name(&self) -> &'static str {
        "no_errors_logged"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        match &event.seen {
            Seen::Log { level, text } if *level == tracing::Level::ERROR => {
                Err(format!("the gateway logged an error: {text}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Story;
    use super::*;
    use crate::history::Actor;

    #[test]
    fn an_error_in_the_log_is_noticed_and_a_warning_is_not() {
        let mut story = Story::of(NoErrorsLogged);
        let log = |level| Seen::Log { level, text: "oh".into() };
        story.good(&Actor::Gateway, log(tracing::Level::WARN));
        assert!(story.see(&Actor::Gateway, log(tracing::Level::ERROR)).is_err());
    }
}
