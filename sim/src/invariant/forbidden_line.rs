use std::collections::BTreeMap;

use super::{Held, Invariant};
use crate::expect::Forbidden;
use crate::history::{Actor, Event};

/// What the file forbids does not happen.
pub(super) struct ForbiddenLine {
    forbidden: Vec<Forbidden>,
    /// How often each actor has seen each of them.
    seen: BTreeMap<(usize, Actor), u32>,
}

impl ForbiddenLine {
    pub fn new(forbidden: Vec<Forbidden>) -> Self {
        Self { forbidden, seen: BTreeMap::new() }
    }
}

impl Invariant for ForbiddenLine {
    fn name(&self) -> &'static str {
        "forbidden_line"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        if self.forbidden.is_empty() {
            return Ok(());
        }
        let line = format!("{} {}", event.actor, event.seen);
        for (at, Forbidden { line: text, actor, times }) in self.forbidden.iter().enumerate() {
            let another = actor.as_ref().is_some_and(|actor| event.actor.to_string() != *actor);
            if another || !line.contains(text) {
                continue;
            }
            let seen = self.seen.entry((at, event.actor.clone())).or_default();
            *seen += 1;
            if *seen >= *times {
                return Err(format!("{} {text:?}, {seen} times; the file forbids it", event.actor));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Story;
    use super::*;

    #[test]
    fn a_line_is_forbidden_from_its_nth_time_by_one_actor() {
        let line = " subscribe NSE:A/LTP".to_owned();
        let forbidden = Forbidden { line, actor: None, times: 2 };
        let mut story = Story::of(ForbiddenLine::new(vec![forbidden]));
        story.subscribe("alice-1", "NSE:A/LTP");
        story.subscribe("alice-2", "NSE:A/LTP");
        story.unsubscribe("alice-1", "NSE:A/LTP");
        let topic = super::super::testing::named("NSE:A/LTP");
        let sent = crate::history::Sent {
            id: 9,
            request: crate::history::Request::Subscribe(vec![topic]),
        };
        let client = super::super::testing::client("alice-1");
        assert!(story.see(&client, crate::history::Seen::Sent(sent)).is_err());
    }

    #[test]
    fn it_may_be_forbidden_to_one_actor_alone() {
        let actor = Some("alice-1".to_owned());
        let forbidden = Forbidden { line: " subscribe NSE:A/LTP".into(), actor, times: 1 };
        let mut story = Story::of(ForbiddenLine::new(vec![forbidden]));
        story.subscribe("alice-2", "NSE:A/LTP");
    }

    #[test]
    fn nothing_is_forbidden_unless_the_file_says_so() {
        let mut story = Story::of(ForbiddenLine::new(Vec::new()));
        story.join("alice-1");
    }
}
