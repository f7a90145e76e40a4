//! Where a client's requests are read, judged and handed on.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::ClientContext;
use crate::audit::What;
use crate::engine::{
    Conduct, CredentialUse, Event, Identity, Reaction, Request, ShardId, Violation,
};
use crate::marks::mark;
use crate::protocol::{
    self, Answer, BadEntry, Credential, ErrorCode, ParseLimits, Reject, RequestId,
};
use crate::runtime::Runtime;
use crate::server::credential::{Found, TurnedDown, Why};
use crate::server::hub::HubMessage;
use crate::server::shard::ShardMessage;
use crate::server::tls::MaybeTls;
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
    /// How often it has broken which rule.
    pub violations: BTreeMap<Violation, u64>,
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
            elements_max: limits.json_elements_max,
        };
        let mut turn = self.context.turns.next().await;
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
                // Who it is may take long to say.
                turn = None;
                self.authenticate(credential).await
            }
            (Ok(()), Ok(request)) => {
                let violation = holds_forbidden_name(&request).then_some(Violation::Name);
                (self.translate(request), violation)
            }
        };
        let reaction = violation.map_or(Reaction::None, |violation| self.broke(violation));
        let request = match reaction {
            Reaction::None => request,
            Reaction::Warn | Reaction::Throttle(_) | Reaction::Close => warned(request),
        };
        self.to_hub(incoming.request_id, request, turn).await;
        reaction
    }

    /// Counts a ping or a pong, which is a message like any other: a flood of pings is one.
    pub fn control_frame(&mut self, bytes: usize) -> Reaction {
        match self.conduct.message(self.context.clock.now_ms(), bytes) {
            Ok(()) => Reaction::None,
            Err(_) => self.broke(Violation::Rate),
        }
    }

    fn broke(&mut self, violation: Violation) -> Reaction {
        self.told(violation);
        self.conduct.violation(self.context.clock.now_ms(), violation)
    }

    /// Has a violation written down, unless there were many like it.
    fn told(&mut self, violation: Violation) {
        let count = self.violations.entry(violation).or_default();
        *count += 1;
        let count = *count;
        if count.is_power_of_two() {
            let what = match violation {
                Violation::Rate => What::RateLimited { count },
                Violation::Malformed | Violation::Name | Violation::Credential => {
                    What::Violation { rule: violation.word(), count }
                }
            };
            self.context.audit.put(what.of(self.id));
        }
    }

    /// Tries a credential.
    async fn authenticate(&self, credential: Option<Credential>) -> (Request, Option<Violation>) {
        let Some(credential) = credential else {
            return (Request::Authenticate(Err(Reject::api_key_required())), None);
        };
        match self.context.try_credential(self.id, &credential.into(), self.loopback).await {
            Ok(found) => (Request::Authenticate(Ok(self.identity(found))), None),
            Err(TurnedDown { reject, why }) => {
                let violation = (why == Why::Wrong).then_some(Violation::Credential);
                (Request::Authenticate(Err(reject)), violation)
            }
        }
    }

    /// Lets a client in whose credential was good at the door, as if it had just shown it.
    pub async fn welcome(&self, found: Found) {
        let identity = self.identity(found);
        self.to_hub(None, Request::Authenticate(Ok(identity)), None).await;
    }

    fn identity(&self, found: Found) -> Identity {
        let Found { verified, generation } = found;
        let broker = verified.broker.unwrap_or_else(|| self.context.default_broker.clone());
        let unix_ms = self.context.runtime.unix_ms();
        let expires_in_ms = verified.expires_unix_ms.map(|at_ms| at_ms.saturating_sub(unix_ms));
        let credential = CredentialUse { tag: verified.tag, generation, expires_in_ms };
        let (user, role) = (verified.user, verified.role);
        Identity { user, broker, role, credential: Some(credential) }
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
            protocol::Request::Admin(command) => Request::Admin(command),
            protocol::Request::Ping { timestamp, ping_id } => Request::Ready(Answer::Pong {
                server_timestamp_ms: self.context.runtime.unix_ms(),
                timestamp,
                ping_id,
            }),
        }
    }

    async fn to_hub(
        &self,
        request_id: Option<RequestId>,
        request: Request,
        turn: Option<OwnedSemaphorePermit>,
    ) {
        let event = Event::Request { client: self.id, request_id, request };
        let message = match turn {
            Some(turn) => HubMessage::Request(event, turn),
            None => HubMessage::Event(event),
        };
        // If the hub is gone the gateway is ending, and this task with it.
        let _ = self.context.hub.send(message).await;
    }

    pub async fn to_shard(&self, message: ShardMessage<MaybeTls<R::Stream>>) {
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
        | protocol::Request::Admin(_)
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
