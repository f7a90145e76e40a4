//! Clients that have taken, or have been kept waiting, too long.

use super::client::{Client, CurrentKind};
use super::{Effect, Hub, TimerKey};
use crate::broker::{BrokerError, BrokerErrorCode};
use crate::marks::ClientEvent;
use crate::protocol::Reject;
use crate::topic::ClientId;

impl Hub {
    pub(super) fn authentication_overdue(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        self.client_meets(id, ClientEvent::AuthenticationOverdue);
        if let Some(client) = self.clients.get_mut(&id) {
            client.close(id, 4401, "auth timeout", effects);
        }
    }

    /// A request has waited too long: whatever part of it still waits has failed.
    pub(super) fn request_overdue(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        let Some(client) = self.clients.get(&id) else { return };
        let Some(current) = &client.current else { return };
        if !matches!(current.kind, CurrentKind::Admin(_)) {
            self.client_meets(id, ClientEvent::RequestOverdue);
        }
        let message = self.overdue_message(client);
        let error = BrokerError { code: BrokerErrorCode::Timeout, message };
        match &current.kind {
            CurrentKind::Authenticate | CurrentKind::Enter => {
                self.authentication_failed(id, &error, effects);
            }
            CurrentKind::Move(identity) => {
                let user = identity.user.clone();
                self.cannot_move(id, &user, effects);
            }
            CurrentKind::Admin(number) => {
                let number = *number;
                self.administered(id, number, Err(Reject::administration_took_too_long()), effects);
            }
            CurrentKind::Subscribe { .. } => {
                for topic in client.waits_for() {
                    self.entry_done(id, &topic, Err(&error), effects);
                }
            }
        }
    }

    fn overdue_message(&self, client: &Client) -> String {
        let user = client.attached().and_then(|user| self.users.get(user));
        let broker = user.and_then(|user| Some((user, self.brokers.get(&user.broker)?)));
        match broker {
            Some((user, link)) if !link.up && link.reason.is_empty() => {
                format!("broker {} cannot be reached", user.broker)
            }
            Some((user, link)) if !link.up => {
                format!("broker {} cannot be reached: {}", user.broker, link.reason)
            }
            Some((user, link)) if link.calls.as_ref().is_some_and(|calls| !calls.is_empty()) => {
                format!("broker {} takes no more calls at present", user.broker)
            }
            Some(_) | None => "the broker did not answer in time".to_owned(),
        }
    }

    /// Gives a client time to authenticate, if it has to.
    pub(super) fn arm_authentication(&mut self, id: ClientId) {
        if !self.may_be_nobody(id) {
            let at_ms = self.now_ms + self.options.auth_timeout_ms;
            self.timers.set(TimerKey::Authenticate(id), at_ms);
        }
    }
}
