//! How many topics more the clients of a user may hold together.

use std::collections::BTreeMap;

use super::Hub;
use crate::topic::{ClientId, Topic, UserId};

/// What earlier entries of a request mean for the next one.
///
/// The room is counted once for each request: a user has many clients, and a request many entries.
pub(super) struct Earlier {
    /// Topics they have asked for, with their rows.
    pub rows: BTreeMap<Topic, usize>,
    /// How many topics more the user's clients may hold.
    pub room: usize,
}

impl Hub {
    /// Before the first entry of a client's request.
    pub(super) fn earlier(&self, client: ClientId, user: &UserId) -> Earlier {
        let room = if client.is_own() { usize::MAX } else { self.room_of(user) };
        Earlier { rows: BTreeMap::new(), room }
    }

    fn room_of(&self, user: &UserId) -> usize {
        let limit = self.options.subscriptions_per_user_max;
        if self.is_crowd(user) {
            return usize::MAX;
        }
        let clients = self.users[user].clients.len();
        let most = clients.saturating_mul(self.options.subscriptions_per_client_max);
        if most <= limit {
            return limit;
        }
        let clients = self.users[user].clients.iter().filter(|id| !id.is_own());
        limit.saturating_sub(clients.map(|id| self.clients[id].topics.len()).sum())
    }
}
