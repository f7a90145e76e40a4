//! At which broker each user is, according to the commands that arrived.

use std::collections::BTreeMap;

use tickgate::topic::UserId;

use crate::history::{Actor, Event, Seen};

/// The broker of each user. That none gets commands for users of another is `hosts_keep_apart`'s.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    brokers: BTreeMap<UserId, Actor>,
}

impl Whereabouts {
    /// Takes an event in.
    pub fn observe(&mut self, event: &Event) {
        let (Seen::Called(call) | Seen::TookEffect(call)) = &event.seen else { return };
        if !self.are_at(&event.actor, &call.user) {
            self.brokers.insert(call.user.clone(), event.actor.clone());
        }
    }

    /// Whether it is this broker at which a user is.
    pub fn are_at(&self, broker: &Actor, user: &UserId) -> bool {
        self.brokers.get(user) == Some(broker)
    }
}
