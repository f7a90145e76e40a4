//! What the shape of a plan cannot say. A plan that was drawn is good; one that was edited by hand
//! or by the shrinker may not be.

use std::collections::BTreeSet;

use tickgate::protocol::INTERVAL_MS;
use tickgate::topic::UserId;

use super::check_brokers::check_brokers;
use super::check_faults::check_faults;
use super::{Action, ClientPlan, OrderKind, Plan};
use crate::history::Request;
use crate::runtime::TaskOrder;
use crate::scenario::bounds::in_order;
use crate::topic_name::TopicName;

/// Longest story, in milliseconds.
const DURATION_MS_MAX: u64 = 600_000;
/// Most clients.
const CLIENTS_MAX: usize = 1_000;

/// Finds the first thing that makes no sense.
///
/// # Errors
///
/// Fails with one sentence.
pub fn check(plan: &Plan) -> Result<(), String> {
    if plan.about.trim().is_empty() || plan.about.contains('\n') {
        return Err("`about` must be one sentence".into());
    }
    if !(1..=DURATION_MS_MAX).contains(&plan.duration_ms) {
        return Err(format!("`duration_ms` must be from 1 to {DURATION_MS_MAX}"));
    }
    if plan.stop_at_ms.is_some_and(|at_ms| at_ms > plan.duration_ms) {
        return Err("`stop_at_ms` must not be after the story".into());
    }
    let users: BTreeSet<&UserId> = plan.users.iter().collect();
    if users.is_empty() || users.len() < plan.users.len() {
        return Err("`users` must name at least one user, and each once".into());
    }
    if plan.clients.len() > CLIENTS_MAX {
        return Err(format!("{} clients exceed the limit of {CLIENTS_MAX}", plan.clients.len()));
    }
    plan.gateway.check()?;
    check_network(plan)?;
    check_brokers(plan, &users)?;
    check_feed(plan, &users)?;
    check_keys(plan, &users)?;
    check_administration(plan, &users)?;
    check_faults(plan)?;
    let mut names = BTreeSet::new();
    for client in &plan.clients {
        if !names.insert(&client.name) {
            return Err(format!("there are two clients `{}`", client.name));
        }
        check_client(client, plan, &users).map_err(|why| format!("{}: {why}", client.name))?;
    }
    Ok(())
}

fn check_network(plan: &Plan) -> Result<(), String> {
    let network = &plan.network;
    in_order(network.latency_ms, "latency_ms")?;
    if network.tick_ms == 0 || network.tick_ms > network.latency_ms[0] {
        return Err("`tick_ms` must be from 1 to the least latency".into());
    }
    if !(1..=3).contains(&network.client_hosts) {
        return Err("`client_hosts` must be 1, 2 or 3".into());
    }
    let within = |most: f64, number: f64, name: &str| match (0.0..=most).contains(&number) {
        true => Ok(()),
        false => Err(format!("`{name}` must be from 0.0 to {most:?}")),
    };
    within(0.9, plan.yield_share, "yield_share")?;
    match plan.task_order {
        TaskOrder::Jitter(share) => within(0.9, share, "jitter"),
        TaskOrder::Starve(share) => within(1.0, share, "starve"),
        TaskOrder::None | TaskOrder::Priorities(_) => Ok(()),
    }
}

fn check_feed(plan: &Plan, users: &BTreeSet<&UserId>) -> Result<(), String> {
    let feed = &plan.feed;
    let stands = feed.topics.iter().any(|rhythm| !rhythm.goes_on());
    if stands || feed.orders.iter().any(|rhythm| rhythm.period_ms == 0) {
        return Err("`period_ms` must not be zero: the feed would never end".into());
    }
    feed.orders.iter().try_for_each(|rhythm| known(&rhythm.user, users))?;
    feed.invalidations.iter().try_for_each(|invalidation| known(&invalidation.user, users))?;
    rising(feed.invalidations.iter().map(|invalidation| invalidation.at_ms), "invalidations")
}

fn check_keys(plan: &Plan, users: &BTreeSet<&UserId>) -> Result<(), String> {
    plan.roles.iter().try_for_each(|role| known(&role.user, users))?;
    plan.keys.iter().try_for_each(|timed| known(&timed.change.user, users))?;
    rising(plan.keys.iter().map(|timed| timed.at_ms), "keys")
}

fn check_administration(plan: &Plan, users: &BTreeSet<&UserId>) -> Result<(), String> {
    for order in &plan.administration {
        match &order.what {
            OrderKind::Block(host) | OrderKind::Unblock(host)
                if *host >= plan.network.client_hosts =>
            {
                return Err(format!("there is no host {host} of clients"));
            }
            OrderKind::RemoveUser(user) => known(user, users)?,
            OrderKind::Block(_) | OrderKind::Unblock(_) | OrderKind::Broadcast(_) => {}
        }
    }
    rising(plan.administration.iter().map(|order| order.at_ms), "administration")
}

fn check_client(client: &ClientPlan, plan: &Plan, users: &BTreeSet<&UserId>) -> Result<(), String> {
    if client.name.is_empty() {
        return Err("a client needs a name".into());
    }
    known(&client.user, users)?;
    if client.interval_ms > 0 && !INTERVAL_MS.contains(&client.interval_ms) {
        return Err("`interval_ms` must be from 10 to 3600000".into());
    }
    if client.host >= plan.network.client_hosts {
        return Err(format!("`host` must be below `client_hosts`, {}", plan.network.client_hosts));
    }
    for timed in &client.actions {
        match &timed.action {
            Action::Send(Request::Authenticate(Some(user))) => known(user, users)?,
            Action::Send(Request::Subscribe(topics)) => check_subscribe(topics, plan)?,
            Action::Send(Request::Unsubscribe(entries)) => {
                let named: BTreeSet<_> =
                    entries.iter().map(|entry| entry.topic.instrument()).collect();
                if named.is_empty() || named.len() < entries.len() {
                    return Err("an unsubscribe names an instrument, and each once".into());
                }
            }
            Action::Connect
            | Action::Send(_)
            | Action::StopReading { .. }
            | Action::Leave { .. } => {}
        }
    }
    rising(client.actions.iter().map(|timed| timed.at_ms), "actions")
}

/// What nobody publishes cannot be served, and would be held against the gateway.
fn check_subscribe(topics: &[TopicName], plan: &Plan) -> Result<(), String> {
    if topics.is_empty() {
        return Err("a subscribe names at least one topic".into());
    }
    let published = |topic: &&TopicName| plan.feed.topics.iter().any(|had| had.topic == **topic);
    match topics.iter().find(|topic| !published(topic)) {
        Some(topic) => Err(format!("`feed.topics` lacks {topic}")),
        None => Ok(()),
    }
}

pub(super) fn known(user: &UserId, users: &BTreeSet<&UserId>) -> Result<(), String> {
    if users.contains(user) { Ok(()) } else { Err(format!("there is no user `{user}`")) }
}

pub(super) fn rising(moments: impl Iterator<Item = u64>, name: &str) -> Result<(), String> {
    if moments.is_sorted() { Ok(()) } else { Err(format!("`{name}` must be in order of `at_ms`")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::draw;
    use crate::scenario::parse;

    fn plan() -> Plan {
        let text = "about: A.\nworld:\n  duration_ms: 100\n  users: [{ name: alice, clients: 2, \
                    arrive_ms: [5, 9] }]\n  topics: [NSE:A/LTP]\nsteps:\n  - { at_ms: 9, do: \
                    subscribe, client: all, topics: [NSE:A/LTP] }\n";
        draw(&parse("s.yaml", text).expect("it is good"), 1)
    }

    fn problem(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = plan();
        change(&mut plan);
        check(&plan).expect_err("it makes no sense")
    }

    #[test]
    fn what_was_drawn_is_good_and_what_makes_no_sense_is_refused() {
        assert_eq!(check(&plan()), Ok(()));
        assert!(problem(|plan| plan.duration_ms = 0).contains("duration_ms"));
        assert!(problem(|plan| plan.stop_at_ms = Some(101)).contains("stop_at_ms"));
        assert!(problem(|plan| plan.users.clear()).contains("users"));
        assert!(problem(|plan| plan.network.latency_ms = [9, 1]).contains("latency_ms"));
        assert!(problem(|plan| plan.feed.topics.clear()).contains("lacks NSE:A/LTP"));
        assert!(problem(|plan| plan.yield_share = 1.0).contains("0.0 to 0.9"));
        assert!(problem(|plan| plan.network.tick_ms = 0).contains("tick_ms"));
        assert!(problem(|plan| plan.feed.topics[0].period_ms = 0).contains("period_ms"));
        assert!(problem(|plan| plan.clients[1].name = "alice-1".into()).contains("two clients"));
        assert!(problem(|plan| plan.clients[0].user = "eve".into()).contains("no user `eve`"));
        assert!(problem(|plan| plan.clients[0].host = 7).contains("client_hosts"));
        assert!(problem(|plan| plan.clients[0].actions[0].at_ms = 99).contains("in order"));
    }
}
