//! What scripted steps stand for.

use tickgate::topic::UserId;

use super::draw::{GARBAGE, join};
use super::{Action, Incident, IncidentKind, Invalidation, Plan, TimedAction, draw_keys};
use crate::broker_host::BrokerHost;
use crate::history::{Request, UnsubscribeEntry};
use crate::scenario::{Step, StepKind};
use crate::topic_name::TopicName;

/// The actions of a client that a step stands for.
pub(super) fn client_step(step: &Step, user: &UserId) -> Vec<TimedAction> {
    let at_ms = step.at_ms;
    let one = |action| vec![TimedAction { at_ms, action }];
    let send = |request| one(Action::Send(request));
    let named = || step.user.as_ref().map_or_else(|| user.clone(), |name| name.as_str().into());
    let entries = |every_mode| {
        let entry = |topic: &TopicName| UnsubscribeEntry { topic: topic.clone(), every_mode };
        step.topics.iter().map(entry).collect()
    };
    match step.r#do {
        StepKind::Join => join(at_ms, user).to_vec(),
        StepKind::Connect => one(Action::Connect),
        StepKind::Authenticate => send(Request::Authenticate(Some(named()))),
        StepKind::WrongKey => send(Request::Authenticate(None)),
        StepKind::Subscribe => send(Request::Subscribe(step.topics.clone())),
        StepKind::Unsubscribe => send(Request::Unsubscribe(entries(false))),
        StepKind::UnsubscribeEveryMode => send(Request::Unsubscribe(entries(true))),
        StepKind::UnsubscribeAll => send(Request::UnsubscribeAll),
        StepKind::SubscribeOrders => send(Request::SubscribeOrders),
        StepKind::UnsubscribeOrders => send(Request::UnsubscribeOrders),
        StepKind::Ping => send(Request::Ping),
        StepKind::BrokerInfo => send(Request::BrokerInfo),
        StepKind::SupportedBrokers => send(Request::SupportedBrokers),
        StepKind::Garbage => send(Request::Garbage(GARBAGE[0].to_owned())),
        StepKind::StopReading => {
            one(Action::StopReading { for_ms: step.for_ms.unwrap_or_default() })
        }
        StepKind::Disconnect => one(Action::Leave { politely: true }),
        StepKind::Vanish => one(Action::Leave { politely: false }),
        // Not a client's doing.
        StepKind::Invalidate
        | StepKind::RevokeKey
        | StepKind::GrantKey
        | StepKind::LoseSession
        | StepKind::KillBroker
        | StepKind::Block
        | StepKind::Unblock
        | StepKind::RemoveUser
        | StepKind::Broadcast => Vec::new(),
    }
}

/// The incident that a step stands for.
pub(super) fn happen(step: &Step, plan: &mut Plan) {
    let at_ms = step.at_ms;
    let user = || UserId::from(step.user.as_deref().unwrap_or_default());
    match step.r#do {
        StepKind::Invalidate => {
            plan.feed.invalidations.push(Invalidation { at_ms, user: user() });
        }
        StepKind::RevokeKey => draw_keys::revoke(at_ms, user(), plan),
        StepKind::GrantKey => draw_keys::grant(at_ms, user(), step.role, plan),
        StepKind::LoseSession => {
            let (host, what) = (plan.host_of(&user()).clone(), IncidentKind::LoseSession(user()));
            plan.strike(&host, Incident { at_ms, what });
        }
        StepKind::KillBroker => {
            let what = IncidentKind::Die(step.for_ms.unwrap_or_default());
            let host = step.broker.as_deref().map_or(BrokerHost::ONLY, BrokerHost::named);
            plan.strike(&host, Incident { at_ms, what });
        }
        StepKind::Join
        | StepKind::Connect
        | StepKind::Authenticate
        | StepKind::WrongKey
        | StepKind::Subscribe
        | StepKind::Unsubscribe
        | StepKind::UnsubscribeEveryMode
        | StepKind::UnsubscribeAll
        | StepKind::SubscribeOrders
        | StepKind::UnsubscribeOrders
        | StepKind::Ping
        | StepKind::BrokerInfo
        | StepKind::SupportedBrokers
        | StepKind::Garbage
        | StepKind::StopReading
        | StepKind::Disconnect
        | StepKind::Vanish
        | StepKind::Block
        | StepKind::Unblock
        | StepKind::RemoveUser
        | StepKind::Broadcast => {}
    }
}
