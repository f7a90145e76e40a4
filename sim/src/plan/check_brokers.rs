//! What the shape of a plan's adapter hosts cannot say.

use std::collections::BTreeSet;

use tickgate::topic::UserId;

use super::check::{known, rising};
use super::{BrokerPlan, IncidentKind, Plan};
use crate::scenario::Manner;
use crate::scenario::bounds::in_order;

/// Finds the first thing that makes no sense.
pub(super) fn check_brokers(plan: &Plan, users: &BTreeSet<&UserId>) -> Result<(), String> {
    let hosts: BTreeSet<_> = plan.brokers().map(|broker| &broker.host).collect();
    if hosts.len() < 1 + plan.more_brokers.len() {
        return Err("there are two brokers of the same name".into());
    }
    if hosts.len() > 1 && hosts.iter().any(|host| host.is_only()) {
        return Err("of several brokers each needs a `host`, its name".into());
    }
    for account in &plan.accounts {
        known(&account.user, users)?;
        if !hosts.contains(&account.broker) {
            return Err(format!("there is no broker `{}`", account.broker));
        }
    }
    let accounts: BTreeSet<_> = plan.accounts.iter().map(|account| &account.user).collect();
    if accounts.len() < plan.accounts.len() {
        return Err("`accounts` names each user once".into());
    }
    plan.brokers().try_for_each(|broker| check_broker(broker, users))
}

fn check_broker(broker: &BrokerPlan, users: &BTreeSet<&UserId>) -> Result<(), String> {
    in_order(broker.answer_ms, "answer_ms")?;
    in_order(broker.connect_ms, "connect_ms")?;
    for rule in &broker.topics {
        check_manner(rule.subscribe)?;
        check_manner(rule.unsubscribe)?;
    }
    for rule in &broker.sessions {
        check_manner(rule.connect)?;
        check_manner(rule.disconnect)?;
        known(&rule.user, users)?;
    }
    for incident in &broker.incidents {
        match &incident.what {
            IncidentKind::LoseSession(user) | IncidentKind::RepeatLoss(user) => known(user, users)?,
            IncidentKind::Die(_) => {}
        }
    }
    rising(broker.incidents.iter().map(|incident| incident.at_ms), "incidents")
}

fn check_manner(manner: Manner) -> Result<(), String> {
    if let Manner::Flaky(p) = manner
        && !(0.0..=1.0).contains(&p)
    {
        return Err("`flaky` must be from 0.0 to 1.0".into());
    }
    if let Manner::Slow(range) = manner { in_order(range, "slow") } else { Ok(()) }
}
