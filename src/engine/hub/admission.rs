//! Whether a client may come in as a user.

use super::{Hub, reject};
use crate::engine::Identity;
use crate::marks::mark;
use crate::protocol::Reject;
use crate::topic::ClientId;

impl Hub {
    /// Whether the account can be served at all, on one client more if it has not this one.
    pub(super) fn admit(&self, id: ClientId, identity: Identity) -> Result<Identity, Reject> {
        self.still_holds(&identity)?;
        if let Some(left_ms) = self.bans.left_ms(&identity.user, self.now_ms) {
            return Err(Reject::removed_by_an_administrator(left_ms));
        }
        if !self.brokers.contains_key(&identity.broker) {
            return Err(reject::unknown_broker(&identity.broker));
        }
        match self.users.get(&identity.user) {
            Some(user) if user.broker != identity.broker => Err(reject::other_broker(&user.broker)),
            Some(user)
                if !user.clients.contains(&id)
                    && user.clients.len() >= self.options.clients_per_user_max =>
            {
                mark!(UserCrowded);
                Err(Reject::too_many_clients_of_user(self.options.clients_per_user_max))
            }
            Some(_) | None => Ok(identity),
        }
    }
}
