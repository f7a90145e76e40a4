//! Clients of channels in which nobody need say who it is.
//!
//! Such a client is nobody until it asks for something that only somebody can have. Then it comes
//! in as the anonymous user, unasked and unanswered, and what it has asked for is served. So a
//! client that authenticates first never becomes anonymous, and no answer comes that it would take
//! for the one to its own credential.

use super::client::{Client, Current, CurrentKind};
use super::{Effect, Hub};
use crate::engine::{ChannelRules, Identity, Request};
use crate::marks::mark;
use crate::protocol::{Answer, RequestId};
use crate::topic::{ANONYMOUS, ClientId, Role, UserId};

impl Hub {
    /// What holds where a client has come in.
    pub(super) fn rules_there(&self, id: ClientId) -> &ChannelRules {
        &self.options.channels[self.clients[&id].channel.0]
    }

    /// Whether a client may stay without ever authenticating.
    pub(super) fn may_be_nobody(&self, id: ClientId) -> bool {
        id.is_own() || self.rules_there(id).anonymous
    }

    /// Whether a client that is nobody becomes anonymous with this request.
    pub(super) fn becomes_anonymous(&self, id: ClientId, request: &Request) -> bool {
        let needs_somebody = match request {
            Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::UnsubscribeAll
            | Request::SubscribeOrders
            | Request::UnsubscribeOrders
            | Request::BrokerInfo => true,
            Request::Authenticate(_)
            | Request::SupportedBrokers
            | Request::Admin(_)
            | Request::Ready(_) => false,
        };
        needs_somebody && !id.is_own() && self.rules_there(id).anonymous
    }

    /// Lets a client in as the anonymous user. Its request is served once that is done.
    pub(super) fn enter_anonymously(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        request: Request,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(reject) = self.is_welcome(&ANONYMOUS.into()) {
            self.answer(id, request_id, Answer::Rejected(reject), effects);
            return;
        }
        mark!(BecomesAnonymous);
        self.clients[&id].queue.push_front((request_id, request));
        let identity = Identity {
            user: ANONYMOUS.into(),
            broker: self.options.brokers[0].clone(),
            role: Role::Anonymous,
            credential: None,
        };
        self.enter(id, None, CurrentKind::Enter, identity, effects);
    }

    /// Whether a user stands for many who do not know of each other: limits of one user do not
    /// hold for it. Its clients are bounded by their channel, their topics by their role.
    pub(super) fn is_crowd(&self, user: &UserId) -> bool {
        user.as_str() == ANONYMOUS && self.options.channels.iter().any(|it| it.anonymous)
    }
}

impl Client {
    /// If it was to become anonymous, what it has asked for fails with that.
    pub(super) fn fail_what_waits_for_it(&mut self) {
        let enters = self.current.as_ref().is_some_and(|at| matches!(at.kind, CurrentKind::Enter));
        if enters && let Some((request_id, _)) = self.queue.pop_front() {
            self.current = Some(Current { request_id, kind: CurrentKind::Authenticate });
        }
    }
}
