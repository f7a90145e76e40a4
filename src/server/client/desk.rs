//! Where a client's requests are read, judged and handed on.

use std::sync::Arc;

use super::ClientContext;
use crate::auth::{Denied, Presented, Refusal, Way};
use crate::engine::{
    Attempt, Conduct, Event, Identity, Reaction, Request, ShardId, Tried, Violation,
};
use crate::marks::mark;
use crate::protocol::{
    self, Answer, BadEntry, Credential, ErrorCode, ParseLimits, Reject, RequestId,
};
use crate::runtime::Runtime;
use crate::server::hub::HubMessage;
use crate::server::shard::ShardMessage;
use crate::topic::ClientId;

/// Levels of nesting in a request.
const NESTING_MAX: usize = 64;

/// Where a client's requests are read and handed on.
pub(super) struct Desk<R: Runtime> {
    pub context: Arc<ClientContext<R>>,
    pub id: ClientId,
    pub shard: ShardId,
    pub loopback: bool,
    pub conduct: Conduct,
}

impl<R: Runtime> Desk<R> {
    /// Parses one request and hands it to the hub. The credential stays here.
    pub async fn request(&mut self, bytes: &[u8]) -> Reaction {
        let now_ms = self.context.clock.now_ms();
        let within = self.conduct.message(now_ms, bytes.len());
        let limits = &self.context.config.limits;
        let limits = ParseLimits {
            symbols_max: limits.symbols_per_request_max,
            name_bytes_max: limits.name_bytes_max,
            nesting_max: NESTING_MAX,
        };
        let incoming = protocol::parse_request(bytes, &limits);
        let (request, violation) = match (within, incoming.body) {
            (Err(wait_ms), _) => {
                mark!(RateLimited);
                let answer = Answer::Rejected(Reject::rate_limited(wait_ms));
                (Request::Ready(answer), Some(Violation::Rate))
            }
            (Ok(()), Err(reject)) => {
                let violation = is_no_request(&reject).then_some(Violation::Malformed);
                (Request::Ready(Answer::Rejected(reject)), violation)
            }
            (Ok(()), Ok(protocol::Request::Authenticate(credential))) => {
                self.authenticate(credential).await
            }
            (Ok(()), Ok(request)) => {
                let violation = holds_forbidden_name(&request).then_some(Violation::Name);
                (self.translate(request), violation)
            }
        };
        let reaction = violation.map_or(Reaction::None, |violation| {
            self.conduct.violation(self.context.clock.now_ms(), violation)
        });
        let request = match reaction {
            Reaction::None => request,
            Reaction::Warn | Reaction::Throttle(_) | Reaction::Close => warned(request),
        };
        self.to_hub(incoming.request_id, request).await;
        reaction
    }

    /// Tries a credential, when the gate says that it may be tried.
    async fn authenticate(&self, credential: Option<Credential>) -> (Request, Option<Violation>) {
        let Some(credential) = credential else {
            return (Request::Authenticate(Err(Reject::api_key_required())), None);
        };
        match self.context.gate.attempt(self.id).await {
            Some(Attempt::Go) => {}
            Some(Attempt::Wait(ms)) => {
                return (Request::Authenticate(Err(Reject::too_many_attempts(ms))), None);
            }
            None => return (Request::Authenticate(Err(Reject::shutting_down())), None),
        }
        let unix_ms = self.context.runtime.unix_ms();
        let presented: Presented = credential.into();
        let found = self.context.verifier.verify(&presented, self.loopback, unix_ms).await;
        let outcome = match &found {
            Ok(_) | Err(Denied::NoBroker) => Tried::Good,
            Err(Denied::Bad(_)) => Tried::Wrong,
            Err(Denied::Unavailable(_)) => Tried::Unknown,
        };
        self.context.gate.tried(self.id, outcome).await;
        let violation = (outcome == Tried::Wrong).then_some(Violation::Credential);
        let identity = found.map_err(|denied| self.turned_down(&denied, presented.way));
        let identity = identity.map(|verified| {
            let broker = verified.broker.unwrap_or_else(|| self.context.default_broker.clone());
            Identity { user: verified.user, broker }
        });
        (Request::Authenticate(identity), violation)
    }

    /// What a client is told whose credential was not accepted; the log knows more.
    fn turned_down(&self, denied: &Denied, way: Way) -> Reject {
        match denied {
            Denied::Bad(refusal) => {
                tracing::debug!(client = %self.id, %refusal, "a credential is refused");
                match (refusal, way) {
                    (Refusal::Unknown, Way::ApiKey) => Reject::invalid_api_key(),
                    _ => Reject::invalid_token(),
                }
            }
            Denied::NoBroker => Reject::no_broker(),
            Denied::Unavailable(why) => {
                tracing::warn!(client = %self.id, why, "a credential cannot be checked now");
                Reject::cannot_verify_now()
            }
        }
    }

    fn translate(&self, request: protocol::Request) -> Request {
        match request {
            protocol::Request::Authenticate(_) => unreachable!("it is tried at the gate"),
            protocol::Request::Subscribe(entries) => Request::Subscribe(entries),
            protocol::Request::Unsubscribe(entries) => Request::Unsubscribe(entries),
            protocol::Request::UnsubscribeAll => Request::UnsubscribeAll,
            protocol::Request::SubscribeOrders => Request::SubscribeOrders,
            protocol::Request::UnsubscribeOrders => Request::UnsubscribeOrders,
            protocol::Request::BrokerInfo => Request::BrokerInfo,
            protocol::Request::SupportedBrokers => Request::SupportedBrokers,
            protocol::Request::Ping { timestamp, ping_id } => Request::Ready(Answer::Pong {
                server_timestamp_ms: self.context.runtime.unix_ms(),
                timestamp,
                ping_id,
            }),
        }
    }

    async fn to_hub(&self, request_id: Option<RequestId>, request: Request) {
        let event = Event::Request { client: self.id, request_id, request };
        // If the hub is gone the gateway is ending, and this task with it.
        let _ = self.context.hub.send(HubMessage::Event(event)).await;
    }

    pub async fn to_shard(&self, message: ShardMessage<R::Stream>) {
        let _ = self.context.shards[self.shard].send(message).await;
    }
}

/// Whether a message was no request at all, which no client sends by mistake for long.
fn is_no_request(reject: &Reject) -> bool {
    matches!(reject.code, ErrorCode::InvalidJson | ErrorCode::ServerError)
}

fn holds_forbidden_name(request: &protocol::Request) -> bool {
    let forbidden = |bad: Option<&BadEntry>| bad.is_some_and(|bad| bad.forbidden);
    match request {
        protocol::Request::Subscribe(entries) => {
            entries.iter().any(|entry| forbidden(entry.as_ref().err()))
        }
        protocol::Request::Unsubscribe(entries) => {
            entries.iter().any(|entry| forbidden(entry.as_ref().err()))
        }
        protocol::Request::Authenticate(_)
        | protocol::Request::UnsubscribeAll
        | protocol::Request::SubscribeOrders
        | protocol::Request::UnsubscribeOrders
        | protocol::Request::BrokerInfo
        | protocol::Request::SupportedBrokers
        | protocol::Request::Ping { .. } => false,
    }
}

/// The same, with a warning where it is refused.
fn warned(request: Request) -> Request {
    match request {
        Request::Ready(Answer::Rejected(reject)) => {
            Request::Ready(Answer::Rejected(reject.with_warning()))
        }
        Request::Authenticate(Err(reject)) => Request::Authenticate(Err(reject.with_warning())),
        served => served,
    }
}
