//! Whether a client may come in as a user.

use super::{Effect, Hub, Note, reject};
use crate::engine::Identity;
use crate::marks::mark;
use crate::protocol::Reject;
use crate::topic::{ClientId, Role, UserId};

impl Hub {
    /// Whether the account can be served at all, on one client more if it has not this one.
    pub(super) fn admit(&self, id: ClientId, identity: Identity) -> Result<Identity, Reject> {
        self.still_holds(&identity)?;
        // An administrator below it must not lock a super admin out.
        if identity.role < Role::SuperAdmin && !id.is_own() {
            self.is_welcome(&identity.user)?;
        }
        if !id.is_own() {
            self.may_be_here(id, &identity)?;
        }
        if !self.brokers.contains_key(&identity.broker) {
            return Err(reject::unknown_broker(&identity.broker));
        }
        match self.users.get(&identity.user) {
            Some(user) if user.broker != identity.broker && user.is_shared_with(id) => {
                Err(reject::other_broker(&user.broker))
            }
            Some(user)
                if !user.clients.contains(&id)
                    && !id.is_own()
                    && user.clients_of_others() >= self.options.clients_per_user_max =>
            {
                mark!(UserCrowded);
                Err(Reject::too_many_clients_of_user(self.options.clients_per_user_max))
            }
            Some(_) | None => Ok(identity),
        }
    }

    /// Whether no administrator has said that this user is to stay away.
    pub(super) fn is_welcome(&self, user: &UserId) -> Result<(), Reject> {
        match self.bans.left_ms(user, self.now_ms) {
            Some(left_ms) => Err(Reject::removed_by_an_administrator(left_ms)),
            None => Ok(()),
        }
    }

    /// Whether whoever this is may come in where the client did.
    fn may_be_here(&self, id: ClientId, identity: &Identity) -> Result<(), Reject> {
        if !self.rules_there(id).admits(identity.role) {
            return Err(Reject::forbidden("use this channel"));
        }
        if self.is_crowd(&identity.user) {
            return Err(Reject::forbidden("be the user whom those without a credential are"));
        }
        Ok(())
    }

    pub(super) fn note_turned_down(
        &mut self,
        id: ClientId,
        reject: &Reject,
        effects: &mut Vec<Effect>,
    ) {
        let client = self.clients.get_mut(&id).expect("the client exists");
        client.failures += 1;
        let (code, failures) = (reject.code.as_str(), client.failures);
        if failures.is_power_of_two() {
            Self::note(effects, Note::AuthenticationFailed { client: id, code, failures });
        }
    }
}
