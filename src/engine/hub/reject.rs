//! Why the hub turns requests down, in the words of the wire protocol.

use crate::broker::{BrokerError, BrokerErrorCode};
use crate::protocol::{ErrorCode, Reject};
use crate::topic::BrokerName;

fn reject(code: ErrorCode, message: impl AsRef<str>) -> Reject {
    Reject::new(code, message.as_ref())
}

/// The user's broker session could not be had.
pub(super) fn session(error: &BrokerError) -> Reject {
    let code = match error.code {
        BrokerErrorCode::InitFailed => ErrorCode::BrokerInitError,
        BrokerErrorCode::Refused | BrokerErrorCode::NotConnected | BrokerErrorCode::Timeout => {
            ErrorCode::BrokerConnectionError
        }
    };
    reject(code, &error.message)
}

/// The broker did not agree to a topic.
pub(super) fn topic(error: &BrokerError) -> Reject {
    let code = match error.code {
        BrokerErrorCode::Timeout => ErrorCode::BrokerTimeout,
        BrokerErrorCode::NotConnected => ErrorCode::BrokerConnectionError,
        BrokerErrorCode::Refused | BrokerErrorCode::InitFailed => ErrorCode::BrokerError,
    };
    reject(code, &error.message)
}

/// All connections that the user may have at its broker are full.
pub(super) fn too_many_topics(broker: &BrokerName, each: usize, connections: usize) -> Reject {
    let limit = each.saturating_mul(connections);
    let message = format!(
        "Broker {broker} carries at most {limit} topics of a user, {each} on each of {connections} \
         connection(s)"
    );
    reject(ErrorCode::LimitExceeded, message)
}

/// The credential names a broker that the gateway does not have.
pub(super) fn unknown_broker(broker: &BrokerName) -> Reject {
    let message = format!("No broker configuration found for user: broker {broker} is not known");
    reject(ErrorCode::BrokerError, message)
}

/// The user moves to another broker, and its session at this one is still there.
pub(super) fn not_ended(broker: &BrokerName) -> Reject {
    let message = format!("the user's session at broker {broker} has not ended yet");
    reject(ErrorCode::BrokerError, message)
}

/// The user's other clients are on another broker.
pub(super) fn other_broker(broker: &BrokerName) -> Reject {
    let message = format!("the user's other clients are on broker {broker}");
    reject(ErrorCode::BrokerError, message)
}
