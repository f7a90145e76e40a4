use std::collections::BTreeSet;

use super::broker_view::BrokerView;
use super::carriers::Carriers;
use super::holdings::Holdings;
use super::listeners::Listeners;
use super::{Held, Invariant};
use crate::history::{Event, Phase, Seen};
use crate::plan::Plan;

/// At rest, the broker publishes for each user exactly what its clients hold, and has a session
/// for exactly the users with clients.
#[derive(Default)]
pub(super) struct BrokerAgrees {
    broker: BrokerView,
    carriers: Carriers,
    at_rest: bool,
    listeners: Listeners,
    /// Whether sessions stay open though nobody needs them.
    kept: bool,
}

impl Invariant for BrokerAgrees {
    fn name(&self) -> &'static str {
        "broker_agrees"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.broker.observe(event);
        self.listeners.observe(event);
        match &event.seen {
            Seen::Phase(phase) => {
                self.at_rest = *phase == Phase::Rest;
                Ok(())
            }
            Seen::Status(_) if self.at_rest => self.compare(held.clients),
            _ => Ok(()),
        }
    }
}

impl BrokerAgrees {
    pub fn new(plan: &Plan) -> Self {
        let kept = plan.gateway.quirks.keep_session;
        let carriers = Carriers::new(plan);
        Self { carriers, listeners: Listeners::new(plan), kept, ..Self::default() }
    }

    fn compare(&self, clients: &Holdings) -> Result<(), String> {
        let mut wanted = clients.counts();
        let broadcasts = self.listeners.wants(clients);
        wanted.extend(broadcasts.iter().map(|want| (want.clone(), 1)));
        let wanted: BTreeSet<_> = self.carriers.counts(wanted).into_keys().collect();
        let on = self.broker.topics();
        if let Some((user, topic)) = wanted.difference(&on).next() {
            return Err(format!("{topic} is held for {user}, the broker does not publish it"));
        }
        if let Some((user, topic)) = on.difference(&wanted).next() {
            return Err(format!("the broker publishes {topic} for {user}, nobody holds it"));
        }
        let mut present: BTreeSet<_> =
            clients.iter().filter_map(|(_, holding)| holding.user.clone()).collect();
        present.extend(broadcasts.into_iter().map(|(user, _)| user));
        let sessions = self.broker.users();
        if let Some(user) = present.difference(&sessions).next() {
            return Err(format!("{user} has clients but no broker session"));
        }
        match sessions.difference(&present).next() {
            Some(_) if self.kept => Ok(()),
            Some(user) => Err(format!("{user} has a broker session but no clients")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, named, page};
    use super::*;
    use crate::history::Op;

    fn story(ops: &[Op]) -> Story<BrokerAgrees> {
        let mut story = Story::of(BrokerAgrees::default());
        for op in ops {
            story.serve("alice", 1, op.clone());
        }
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        story.phase(Phase::Rest);
        story
    }

    #[test]
    fn a_broker_that_does_what_is_held_is_good_and_any_difference_is_noticed() {
        let on = |topic| Op::Subscribe(named(topic));
        let judge = |ops: &[Op]| story(ops).status(page(&[], &[]));
        assert_eq!(judge(&[Op::Connect, on("NSE:A/LTP")]), Ok(()));
        assert!(judge(&[Op::Connect]).is_err());
        assert!(judge(&[Op::Connect, on("NSE:A/LTP"), on("NSE:B/LTP")]).is_err());
        let mut story = story(&[Op::Connect, on("NSE:A/LTP")]);
        story.serve("bob", 2, Op::Connect);
        assert!(story.status(page(&[], &[])).is_err());
    }
}
