//! What the books of a host lead to.

use super::super::wire::reply;
use super::super::{BrokerError, BrokerErrorCode, Command, Done};
use crate::protocol::control::{Event, FromHost};
use crate::topic::UserId;

/// What the ledger wants done. In order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect<P> {
    /// Send this to a gateway.
    Send(P, FromHost),
    /// Let the broker do this.
    Command(Command),
}

/// Answers a gateway's request.
pub(super) fn answer<P>(peer: P, id: u64, result: Result<Done, BrokerError>) -> Effect<P> {
    Effect::Send(peer, FromHost::Answer(reply(id, result)))
}

/// Answers a gateway's request with an error.
pub(super) fn refusal<P>(peer: P, id: u64, code: BrokerErrorCode, message: &str) -> Effect<P> {
    answer(peer, id, Err(BrokerError { code, message: message.to_owned() }))
}

/// Tells a gateway that its session is gone.
pub(super) fn lost<P>(peer: P, user: UserId, session: u64, message: &str) -> Effect<P> {
    let message = message.to_owned();
    Effect::Send(peer, FromHost::Event(Event::SessionLost { user, session, message }))
}
