use std::collections::BTreeMap;

use tickgate::server::status::Status;
use tickgate::topic::{Mode, UserId};

use super::carriers::Carriers;
use super::holdings::Holdings;
use super::listeners::Listeners;
use super::{Held, Invariant};
use crate::history::{Event, Phase, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// At rest, the gateway counts for each topic exactly the clients that hold it according to the
/// answers they have read.
#[derive(Default)]
pub(super) struct ReferenceCounts {
    at_rest: bool,
    listeners: Listeners,
    carriers: Carriers,
}

impl ReferenceCounts {
    pub fn new(plan: &Plan) -> Self {
        let (listeners, carriers) = (Listeners::new(plan), Carriers::new(plan));
        Self { listeners, carriers, ..Self::default() }
    }
}

impl Invariant for ReferenceCounts {
    fn name(&self) -> &'static str {
        "reference_counts"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.listeners.observe(event);
        match &event.seen {
            Seen::Phase(phase) => {
                self.at_rest = *phase == Phase::Rest;
                Ok(())
            }
            Seen::Status(status) if self.at_rest => self.compare(held.clients, status),
            _ => Ok(()),
        }
    }
}

impl ReferenceCounts {
    fn compare(&self, clients: &Holdings, status: &Status) -> Result<(), String> {
        let mut held = clients.counts();
        for want in self.listeners.wants(clients) {
            *held.entry(want).or_default() += 1;
        }
        let mut held = self.carriers.counts(held);
        for ((user, topic), counted) in self.carriers.counts(topics_of(status)) {
            let held = held.remove(&(user.clone(), topic.clone())).unwrap_or(0);
            if counted != held {
                return Err(format!(
                    "the gateway counts {counted} clients of {user} on {topic}, {held} hold it"
                ));
            }
        }
        if let Some(((user, topic), held)) = held.into_iter().next() {
            return Err(format!(
                "{held} clients of {user} hold {topic}, the gateway does not know of it"
            ));
        }
        let mut users: BTreeMap<&UserId, u64> = BTreeMap::new();
        for (_, holding) in clients.iter() {
            if let Some(user) = &holding.user {
                *users.entry(user).or_default() += 1;
            }
        }
        for row in &status.users {
            let are = users.remove(&row.user).unwrap_or(0);
            if are != row.clients {
                return Err(format!(
                    "the gateway counts {} clients of {}, {are} are authenticated",
                    row.clients, row.user
                ));
            }
        }
        match users.into_iter().next() {
            Some((user, are)) => {
                Err(format!("{are} clients are {user}, the gateway does not know that user"))
            }
            None => Ok(()),
        }
    }
}

/// The topics of a status page, with their counts.
pub(super) fn topics_of(status: &Status) -> BTreeMap<(UserId, TopicName), u64> {
    let rows = status.topics.iter().filter_map(|row| {
        let mode = Mode::from_number(row.mode.into())?;
        let topic = TopicName::new(&row.exchange, &row.symbol, mode);
        Some(((row.user.clone(), topic), row.count))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, page};
    use super::*;

    fn story() -> Story<ReferenceCounts> {
        let mut story = Story::of(ReferenceCounts::default());
        for name in ["alice-1", "alice-2"] {
            story.join(name);
            story.subscribe(name, "NSE:A/LTP");
        }
        story.phase(Phase::Rest);
        story
    }

    #[test]
    fn exact_counts_are_good() {
        let good = page(&[("alice", 2)], &[("alice", "NSE:A/LTP", 2)]);
        assert_eq!(story().status(good), Ok(()));
    }

    #[test]
    fn a_wrong_count_a_missing_topic_and_one_too_many_are_noticed() {
        for (users, topics) in [
            (("alice", 2), vec![("alice", "NSE:A/LTP", 1)]),
            (("alice", 2), vec![]),
            (("alice", 2), vec![("alice", "NSE:A/LTP", 2), ("bob", "NSE:A/LTP", 1)]),
            (("alice", 1), vec![("alice", "NSE:A/LTP", 2)]),
        ] {
            assert!(story().status(page(&[users], &topics)).is_err(), "{users:?} {topics:?}");
        }
    }
}
