use tickgate::server::status::Status;

use super::{Held, Invariant};
use crate::history::{Event, Seen};

/// The numbers of the status page agree with each other at every moment.
pub(super) struct StatusAddsUp;

impl Invariant for StatusAddsUp {
    fn name(&self) -> &'static str {
        "status_adds_up"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        let Seen::Status(status) = &event.seen else { return Ok(()) };
        match contradiction(status) {
            Some((what, one, other)) => {
                Err(format!("the status page contradicts itself: {what}: {one} and {other}"))
            }
            None => Ok(()),
        }
    }
}

/// Two numbers that should be the same.
fn contradiction(status: &Status) -> Option<(&'static str, u64, u64)> {
    let clients = &status.clients;
    let counted: u64 = status.topics.iter().map(|topic| topic.count).sum();
    let dropped: u64 = status.feed.dropped_total.values().sum();
    let attached: u64 = status.users.iter().map(|user| user.clients).sum();
    let pairs = [
        ("clients", clients.opened_total, clients.closed_total + clients.total),
        ("topics", status.topics_total, status.topics.len() as u64),
        ("users", status.users_total, status.users.len() as u64),
        ("subscriptions", status.subscriptions, counted),
        ("messages", status.feed.messages_total, status.feed.routed_total + dropped),
    ];
    let unequal = pairs.into_iter().find(|(_, one, other)| one != other);
    // Some may be about to be authenticated.
    let too_many = attached > clients.total || clients.authenticated > clients.total;
    unequal.or_else(|| too_many.then_some(("clients of users", attached, clients.total)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, page};
    use super::*;

    #[test]
    fn each_contradiction_is_noticed() {
        let good = || page(&[("alice", 2)], &[("alice", "NSE:A/LTP", 2)]);
        let mut story = Story::of(StatusAddsUp);
        assert_eq!(story.status(good()), Ok(()));
        let changes: [fn(&mut Status); 5] = [
            |status| status.clients.closed_total = 1,
            |status| status.topics_total = 2,
            |status| status.users_total = 0,
            |status| status.subscriptions = 1,
            |status| status.users[0].clients = 3,
        ];
        for change in changes {
            let mut status = good();
            change(&mut status);
            assert!(story.status(status).is_err());
        }
    }
}
