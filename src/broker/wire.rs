//! Commands and answers of the [`Broker`](super::Broker) trait in the words of the control
//! protocol, and back.

use std::time::Duration;

use super::{
    Answer, BrokerError, BrokerErrorCode, Command, CommandId, CommandKind, Done, SessionId,
};
use crate::protocol::control::{self, Failure, FailureCode, NAME_BYTES_MAX, Op, Request};

/// Longest deadline that is taken at its word.
const DEADLINE_MAX: Duration = Duration::from_secs(3_600);

/// The request that asks a host for this.
pub(super) fn request(command: &Command) -> Request {
    Request {
        id: command.id.0,
        user: command.user.clone(),
        connection: command.connection,
        session: command.session.0,
        op: match &command.kind {
            CommandKind::Connect => Op::Connect,
            CommandKind::Disconnect => Op::Disconnect,
            CommandKind::Subscribe { topic, depth } => {
                Op::Subscribe { topic: topic.clone(), depth: *depth }
            }
            CommandKind::Unsubscribe { topic } => Op::Unsubscribe { topic: topic.clone() },
            CommandKind::UnsubscribeAll => Op::UnsubscribeAll,
        },
        deadline_ms: milliseconds(command.deadline.min(DEADLINE_MAX)),
        more: command.more,
    }
}

/// The name in a command that is too long for the protocol (or empty), if there is one.
pub(super) fn unfit_name(command: &Command) -> Option<&'static str> {
    let unfit = |name: &str| name.is_empty() || name.len() > NAME_BYTES_MAX;
    if unfit(command.user.as_str()) {
        return Some("user");
    }
    match &command.kind {
        CommandKind::Subscribe { topic, .. } | CommandKind::Unsubscribe { topic } => {
            let instrument = &topic.instrument;
            if unfit(&instrument.exchange) {
                Some("exchange")
            } else if unfit(&instrument.symbol) {
                Some("symbol")
            } else {
                None
            }
        }
        CommandKind::Connect | CommandKind::Disconnect | CommandKind::UnsubscribeAll => None,
    }
}

/// A gateway's request as a command under the host's own numbers.
pub(super) fn command(request: Request, id: CommandId, session: SessionId) -> Command {
    Command {
        id,
        user: request.user,
        connection: request.connection,
        session,
        kind: match request.op {
            Op::Connect => CommandKind::Connect,
            Op::Disconnect => CommandKind::Disconnect,
            Op::Subscribe { topic, depth } => CommandKind::Subscribe { topic, depth },
            Op::Unsubscribe { topic } => CommandKind::Unsubscribe { topic },
            Op::UnsubscribeAll => CommandKind::UnsubscribeAll,
        },
        deadline: Duration::from_millis(request.deadline_ms).min(DEADLINE_MAX),
        more: request.more,
    }
}

/// A host's answer as the gateway's.
pub(super) fn answer(answer: control::Answer) -> Answer {
    Answer {
        id: CommandId(answer.id),
        result: answer.result.map(|depth| Done { depth }).map_err(|failure| BrokerError {
            code: match failure.code {
                FailureCode::Refused => BrokerErrorCode::Refused,
                FailureCode::InitFailed => BrokerErrorCode::InitFailed,
                FailureCode::NotConnected => BrokerErrorCode::NotConnected,
                FailureCode::Timeout => BrokerErrorCode::Timeout,
            },
            message: failure.message,
        }),
    }
}

/// A broker's result as the host's answer to request `id`.
pub(super) fn reply(id: u64, result: Result<Done, BrokerError>) -> control::Answer {
    let result = result.map(|done| done.depth).map_err(|error| Failure {
        code: match error.code {
            BrokerErrorCode::Refused => FailureCode::Refused,
            BrokerErrorCode::InitFailed => FailureCode::InitFailed,
            BrokerErrorCode::NotConnected => FailureCode::NotConnected,
            BrokerErrorCode::Timeout => FailureCode::Timeout,
        },
        message: error.message,
    });
    control::Answer { id, result }
}

/// Whole milliseconds, as many as fit.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
