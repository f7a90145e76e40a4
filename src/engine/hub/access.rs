//! What a client may do: its role, and whether its credential still holds.

use super::{Effect, Hub, TimerKey};
use crate::config::{Action, RoleRules};
use crate::engine::{CredentialUse, Identity, Request};
use crate::marks::mark;
use crate::protocol::Reject;
use crate::topic::{ClientId, CredentialTag};

/// Revocations that are remembered for those who are still on their way in. Whoever takes longer
/// than so many has to show its credential again.
const REVOCATIONS_MAX: usize = 16;

/// Credentials that were revoked, or changed their role, at once.
#[derive(Clone, Debug)]
pub(super) struct Revocation {
    pub generation: u64,
    pub tags: Vec<CredentialTag>,
}

impl Hub {
    /// Why a client may not do what it asks for, whoever it is; `None`: it may.
    pub(super) fn forbids(&self, id: ClientId, request: &Request) -> Option<Reject> {
        let (action, what) = match request {
            Request::Subscribe(_) => (Action::Ticks, "subscribe to market data"),
            Request::SubscribeOrders => (Action::Orders, "subscribe to order updates"),
            Request::Admin(_) => (Action::Admin, "administer this gateway"),
            // What takes something back is always allowed, and so is what tells nothing of anybody.
            Request::Authenticate(_)
            | Request::Unsubscribe(_)
            | Request::UnsubscribeAll
            | Request::UnsubscribeOrders
            | Request::BrokerInfo
            | Request::SupportedBrokers
            | Request::Ready(_) => return None,
        };
        if id.is_own() || self.rules_of(id).allows(action) {
            return None;
        }
        mark!(Forbidden);
        Some(Reject::forbidden(what))
    }

    /// Topics that this client may hold.
    pub(super) fn subscriptions_max(&self, id: ClientId) -> usize {
        if id.is_own() {
            return usize::MAX;
        }
        let limit = self.options.subscriptions_per_client_max;
        self.rules_there(id).subscriptions_max(self.rules_of(id), limit)
    }

    /// Why nobody may ask for this in the client's channel; `None`: it may be asked for.
    pub(super) fn forbids_there(&self, id: ClientId, request: &Request) -> Option<Reject> {
        if id.is_own() || !self.rules_there(id).broadcast {
            return None;
        }
        match request {
            Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::UnsubscribeAll
            | Request::SubscribeOrders
            | Request::UnsubscribeOrders => Some(Reject::broadcasts()),
            Request::Authenticate(_)
            | Request::BrokerInfo
            | Request::SupportedBrokers
            | Request::Admin(_)
            | Request::Ready(_) => None,
        }
    }

    fn rules_of(&self, id: ClientId) -> &RoleRules {
        self.options.roles.of(self.clients[&id].role)
    }

    /// Whether a credential that was found good some time ago still is.
    pub(super) fn still_holds(&self, identity: &Identity) -> Result<(), Reject> {
        let Some(CredentialUse { tag, generation, .. }) = identity.credential else {
            return Ok(());
        };
        let later = self.revocations.iter().filter(|it| it.generation > generation);
        if later.clone().any(|it| covers(&it.tags, tag)) {
            mark!(RevokedOnTheWay);
            return Err(Reject::credential_revoked());
        }
        // What lies further back is forgotten.
        let oldest = self.revocations.front().map_or(0, |oldest| oldest.generation);
        if generation + 1 < oldest { Err(Reject::cannot_verify_now()) } else { Ok(()) }
    }

    pub(super) fn revoke(
        &mut self,
        generation: u64,
        tags: Vec<CredentialTag>,
        effects: &mut Vec<Effect>,
    ) {
        for (id, client) in &mut self.clients {
            let tag = client.credential.map(|credential| credential.tag);
            if tag.is_some_and(|tag| covers(&tags, tag)) {
                mark!(RevokedInside);
                client.close(*id, 4403, "credential revoked or changed", effects);
            }
        }
        self.revocations.push_back(Revocation { generation, tags });
        if self.revocations.len() > REVOCATIONS_MAX {
            self.revocations.pop_front();
        }
    }

    /// From now on the client is what this identity says.
    pub(super) fn take_on(&mut self, id: ClientId, identity: &Identity) {
        let client = self.clients.get_mut(&id).expect("the client exists");
        client.role = identity.role;
        client.credential = identity.credential;
        match identity.credential.and_then(|credential| credential.expires_in_ms) {
            Some(ms) => self.timers.set(TimerKey::Expiry(id), self.now_ms.saturating_add(ms)),
            None => self.timers.cancel(&TimerKey::Expiry(id)),
        }
    }

    pub(super) fn credential_expired(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.close(id, 4401, "credential expired", effects);
        }
    }
}

fn covers(tags: &[CredentialTag], tag: CredentialTag) -> bool {
    tags.iter().any(|gone| gone.covers(tag))
}
