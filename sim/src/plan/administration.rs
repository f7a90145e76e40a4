//! What an administrator on the gateway's machine does.

use std::fmt;

use serde::{Deserialize, Serialize};
use tickgate::topic::UserId;

use super::Plan;
use crate::rng::Stream;
use crate::scenario::{Incidents, RangeMs, Step, StepKind};

/// How long a host stays blocked in a storm.
const BLOCKED_MS: RangeMs = [50, 600];

/// Something an administrator does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// When.
    pub at_ms: u64,
    /// What.
    pub what: OrderKind,
}

/// What an administrator can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Blocks the address of this host of clients, from 0.
    Block(u32),
    /// Lifts that.
    Unblock(u32),
    /// Closes all clients of a user.
    RemoveUser(UserId),
    /// Tells everybody this number.
    Broadcast(u64),
}

impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(host) => write!(f, "blocks host {host}"),
            Self::Unblock(host) => write!(f, "unblocks host {host}"),
            Self::RemoveUser(user) => write!(f, "removes {user}"),
            Self::Broadcast(number) => write!(f, "tells everybody #{number}"),
        }
    }
}

/// The order that a step stands for, if it does.
pub(super) fn from_step(step: &Step, plan: &mut Plan) {
    let host = step.host.unwrap_or_default();
    let what = match step.r#do {
        StepKind::Block => OrderKind::Block(host),
        StepKind::Unblock => OrderKind::Unblock(host),
        StepKind::RemoveUser => {
            OrderKind::RemoveUser(step.user.as_deref().unwrap_or_default().into())
        }
        StepKind::Broadcast => OrderKind::Broadcast(next_number(plan)),
        _ => return,
    };
    plan.administration.push(Order { at_ms: step.at_ms, what });
}

/// The orders of a storm. Whatever is blocked is unblocked before the story ends.
pub(super) fn from_storm(incidents: Incidents, window: RangeMs, seed: u64, plan: &mut Plan) {
    let mut stream = Stream::fork(seed, "plan", "blocks");
    for _ in 0..stream.between(incidents.blocks[0], incidents.blocks[1]) {
        let at_ms = stream.between(window[0], window[1]);
        let host = stream.between(0, u64::from(plan.network.client_hosts) - 1);
        let host = u32::try_from(host).unwrap_or_default();
        let until_ms = at_ms + stream.between(BLOCKED_MS[0], BLOCKED_MS[1]);
        plan.administration.push(Order { at_ms, what: OrderKind::Block(host) });
        let at_ms = until_ms.min(plan.duration_ms);
        plan.administration.push(Order { at_ms, what: OrderKind::Unblock(host) });
    }
    let mut stream = Stream::fork(seed, "plan", "removals");
    for _ in 0..stream.between(incidents.removals[0], incidents.removals[1]) {
        let at_ms = stream.between(window[0], window[1]);
        let what = OrderKind::RemoveUser(stream.pick(&plan.users).clone());
        plan.administration.push(Order { at_ms, what });
    }
    let mut stream = Stream::fork(seed, "plan", "broadcasts");
    for _ in 0..stream.between(incidents.broadcasts[0], incidents.broadcasts[1]) {
        let at_ms = stream.between(window[0], window[1]);
        let what = OrderKind::Broadcast(next_number(plan));
        plan.administration.push(Order { at_ms, what });
    }
}

fn next_number(plan: &Plan) -> u64 {
    let told = |order: &&Order| matches!(order.what, OrderKind::Broadcast(_));
    plan.administration.iter().filter(told).count() as u64 + 1
}
