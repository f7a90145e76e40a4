//! What clients do of their own accord, as storms name it.

use tickgate::topic::UserId;

use crate::history::Request;
use crate::plan::{Action, TimedAction};

/// A kind of action. The weights of a storm have the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Subscribes.
    Subscribe,
    /// Unsubscribes.
    Unsubscribe,
    /// Unsubscribes without saying which mode.
    UnsubscribeEveryMode,
    /// Unsubscribes from everything.
    UnsubscribeAll,
    /// Subscribes and unsubscribes at once.
    Flip,
    /// Leaves with a close frame.
    Disconnect,
    /// Leaves without a word.
    Vanish,
    /// Leaves without a word and comes back at once.
    Reconnect,
    /// Authenticates again as the same user.
    AuthenticateAgain,
    /// Authenticates as another user.
    SwitchUser,
    /// Authenticates with a key that nobody has.
    WrongKey,
    /// Sends a ping.
    Ping,
    /// Asks about its broker.
    BrokerInfo,
    /// Wants order updates.
    SubscribeOrders,
    /// Wants no more order updates.
    UnsubscribeOrders,
    /// Sends what is no request.
    Garbage,
    /// Reads nothing for a while.
    StopReading,
}

impl Operation {
    /// All, in the order of a storm's weights.
    pub const ALL: [Self; 17] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::UnsubscribeEveryMode,
        Self::UnsubscribeAll,
        Self::Flip,
        Self::Disconnect,
        Self::Vanish,
        Self::Reconnect,
        Self::AuthenticateAgain,
        Self::SwitchUser,
        Self::WrongKey,
        Self::Ping,
        Self::BrokerInfo,
        Self::SubscribeOrders,
        Self::UnsubscribeOrders,
        Self::Garbage,
        Self::StopReading,
    ];

    /// As scenarios call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::UnsubscribeEveryMode => "unsubscribe_every_mode",
            Self::UnsubscribeAll => "unsubscribe_all",
            Self::Flip => "flip",
            Self::Disconnect => "disconnect",
            Self::Vanish => "vanish",
            Self::Reconnect => "reconnect",
            Self::AuthenticateAgain => "authenticate_again",
            Self::SwitchUser => "switch_user",
            Self::WrongKey => "wrong_key",
            Self::Ping => "ping",
            Self::BrokerInfo => "broker_info",
            Self::SubscribeOrders => "subscribe_orders",
            Self::UnsubscribeOrders => "unsubscribe_orders",
            Self::Garbage => "garbage",
            Self::StopReading => "stop_reading",
        }
    }
}

/// What each of a client's actions is; connecting, and authenticating right behind it, are no
/// operations of their own.
#[must_use]
pub fn operations(actions: &[TimedAction]) -> Vec<Option<Operation>> {
    let mut is: Option<&UserId> = None;
    let mut all: Vec<Option<Operation>> = Vec::with_capacity(actions.len());
    for (at, timed) in actions.iter().enumerate() {
        let at_once = |other: &&TimedAction| other.at_ms == timed.at_ms;
        let next = actions.get(at + 1).filter(at_once).map(|next| &next.action);
        let before = all.last().copied().flatten();
        let before = before.filter(|_| at > 0 && at_once(&&actions[at - 1]));
        all.push(match &timed.action {
            Action::Connect => {
                is = None;
                None
            }
            Action::Leave { politely: true } => Some(Operation::Disconnect),
            Action::Leave { politely: false } => Some(match next {
                Some(Action::Connect) => Operation::Reconnect,
                _ => Operation::Vanish,
            }),
            Action::StopReading { .. } => Some(Operation::StopReading),
            Action::Send(Request::Authenticate(Some(user))) => match is.replace(user) {
                None => None,
                Some(was) if was == user => Some(Operation::AuthenticateAgain),
                Some(_) => Some(Operation::SwitchUser),
            },
            Action::Send(Request::Unsubscribe(_)) if before == Some(Operation::Flip) => {
                Some(Operation::Flip)
            }
            Action::Send(request) => request_of(request, next),
        });
    }
    all
}

fn request_of(request: &Request, next: Option<&Action>) -> Option<Operation> {
    Some(match request {
        Request::Subscribe(topics) => match next {
            Some(Action::Send(Request::Unsubscribe(entries)))
                if entries.iter().map(|entry| &entry.topic).eq(topics) =>
            {
                Operation::Flip
            }
            _ => Operation::Subscribe,
        },
        Request::Unsubscribe(entries) if entries.iter().any(|entry| entry.every_mode) => {
            Operation::UnsubscribeEveryMode
        }
        Request::Unsubscribe(_) => Operation::Unsubscribe,
        Request::UnsubscribeAll => Operation::UnsubscribeAll,
        Request::Authenticate(_) => Operation::WrongKey,
        Request::SubscribeOrders => Operation::SubscribeOrders,
        Request::UnsubscribeOrders => Operation::UnsubscribeOrders,
        Request::Ping => Operation::Ping,
        Request::BrokerInfo => Operation::BrokerInfo,
        Request::Garbage(_) => Operation::Garbage,
        // No storm asks for them.
        Request::SupportedBrokers => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan;
    use crate::scenario::{Weights, parse};

    /// What a storm of this one action is taken for.
    fn storm_of(at: usize) -> BTreeSet<Operation> {
        let mut weights = [0; 17];
        weights[at] = 1;
        let text = "about: A.\nworld:\n  duration_ms: 4000\n  users:\n    - { name: alice, \
                    clients: 1, arrive_ms: [0, 0] }\n    - { name: bob }\n  topics: \
                    [NSE:A/LTP, NSE:B/LTP]\nstorm:\n  from_ms: 5\n  \
                    pause_ms: [1, 9]\n  away_ms: [1, 9]\n  weights: { ping: 1 }\n";
        let mut scenario = parse("s.yaml", text).expect("it is good");
        scenario.storm.as_mut().expect("there is one").weights.value = Weights::of(weights);
        let plan = plan::draw(&scenario, 1);
        operations(&plan.clients[0].actions).into_iter().flatten().collect()
    }

    #[test]
    fn each_action_of_a_storm_is_taken_for_what_it_is() {
        for (at, operation) in Operation::ALL.into_iter().enumerate() {
            let mut expected = BTreeSet::from([operation]);
            match operation {
                // It may end with a subscribe.
                Operation::Flip => expected.extend([Operation::Subscribe]),
                // Sometimes it picks the user that the client is.
                Operation::SwitchUser => expected.extend([Operation::AuthenticateAgain]),
                _ => {}
            }
            assert_eq!(storm_of(at), expected, "{}", operation.label());
        }
    }
}
