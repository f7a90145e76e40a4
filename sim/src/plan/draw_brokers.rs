//! Draws what adapter hosts do and what happens to them.

use tickgate::topic::UserId;

use super::{
    Account, BrokerPlan, Incident, IncidentKind, Invalidation, Plan, SessionPlan, TopicPlan,
};
use crate::broker_host::BrokerHost;
use crate::rng::Stream;
use crate::scenario::{Broker, RangeMs, Storm, World};

/// The hosts of a world, the first one first.
pub(super) fn brokers(world: &World) -> Vec<BrokerPlan> {
    world.broker_hosts().into_iter().map(|(host, broker)| plan_of(host, broker)).collect()
}

/// Users who are not at the first host.
pub(super) fn accounts(world: &World) -> Vec<Account> {
    let first = world.broker_hosts().into_iter().next().map(|(host, _)| host);
    let users = world.users.iter().map(|users| &users.value);
    let named = users.filter_map(|users| {
        let broker = BrokerHost::named(users.broker.as_ref()?);
        Some(Account { user: users.name.as_str().into(), broker })
    });
    named.filter(|account| Some(&account.broker) != first.as_ref()).collect()
}

fn plan_of(host: BrokerHost, broker: &Broker) -> BrokerPlan {
    let topics = broker.topics.iter().map(|rule| TopicPlan {
        topic: rule.value.topic.clone(),
        subscribe: rule.value.subscribe,
        unsubscribe: rule.value.unsubscribe,
        times: rule.value.times,
    });
    let sessions = broker.sessions.iter().map(|rule| SessionPlan {
        user: rule.value.user.as_str().into(),
        connect: rule.value.connect,
        disconnect: rule.value.disconnect,
        times: rule.value.times,
    });
    BrokerPlan {
        host,
        answer_ms: broker.answer_ms.unwrap_or([1, 15]),
        connect_ms: broker.connect_ms.unwrap_or([1, 25]),
        topics: topics.collect(),
        sessions: sessions.collect(),
        incidents: Vec::new(),
    }
}

/// The incidents of a storm.
pub(super) fn strike(storm: &Storm, window: RangeMs, seed: u64, plan: &mut Plan) {
    let incidents = storm.incidents;
    let mut stream = Stream::fork(seed, "plan", "invalidations");
    for _ in 0..stream.between(incidents.invalidations[0], incidents.invalidations[1]) {
        let at_ms = stream.between(window[0], window[1]);
        let user = stream.pick(&plan.users).clone();
        plan.feed.invalidations.push(Invalidation { at_ms, user });
    }
    let is_struck = |host: &BrokerHost| {
        storm.brokers.is_empty() || storm.brokers.iter().any(|name| name == host.host())
    };
    let users = plan.users.iter().filter(|user| is_struck(plan.host_of(user)));
    let users: Vec<UserId> = users.cloned().collect();
    let hosts = plan.brokers().map(|broker| broker.host.clone());
    let hosts: Vec<BrokerHost> = hosts.filter(is_struck).collect();
    let losses = [
        ("sessions lost", incidents.sessions_lost, false),
        ("losses repeated", incidents.losses_repeated, true),
    ];
    for (name, times, again) in losses {
        let what = if again { IncidentKind::RepeatLoss } else { IncidentKind::LoseSession };
        let mut stream = Stream::fork(seed, "plan", name);
        let times = if users.is_empty() { 0 } else { stream.between(times[0], times[1]) };
        for _ in 0..times {
            let at_ms = stream.between(window[0], window[1]);
            let user = stream.pick(&users).clone();
            let host = plan.host_of(&user).clone();
            plan.strike(&host, Incident { at_ms, what: what(user) });
        }
    }
    let mut stream = Stream::fork(seed, "plan", "broker deaths");
    for _ in 0..stream.between(incidents.broker_deaths[0], incidents.broker_deaths[1]) {
        let at_ms = stream.between(window[0], window[1]);
        let what = IncidentKind::Die(stream.between(0, 300));
        let host = if hosts.len() > 1 { stream.pick(&hosts) } else { &hosts[0] };
        plan.strike(host, Incident { at_ms, what });
    }
}
