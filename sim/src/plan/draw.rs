//! Draws a plan.

use std::collections::BTreeSet;

use tickgate::topic::UserId;

use super::{
    Action, ClientPlan, FeedPlan, NetworkPlan, OrderRhythm, Plan, TimedAction, TopicRhythm,
    administration, draw_brokers, draw_faults, draw_keys, draw_steps, storm, swarm,
};
use crate::fault::FaultKind;
use crate::history::Request;
use crate::rng::Stream;
use crate::runtime::TaskOrder;
use crate::scenario::{Recording, Scenario, Storm, TaskOrderChoice};
use crate::topic_name::TopicName;

/// Clients leave within this time after the end of the story.
const LEAVE_WITHIN_MS: u64 = 60;

/// Clients that were cut off come back within this time.
const RETURN_WITHIN_MS: u64 = 100;
/// How often a client comes back.
const RETURNS_MAX: usize = 20;

/// What is no request. Each is answered with an error, and the connection lives on.
pub(super) const GARBAGE: [&str; 6] = [
    "not json",
    "{}",
    "[1,2,3]",
    r#"{"action":"dance"}"#,
    r#"{"action":"subscribe""#,
    r#"{"action":17}"#,
];

/// Expands a scenario.
#[must_use]
pub fn draw(scenario: &Scenario, seed: u64) -> Plan {
    let part = scenario.swarm.then(|| swarm::part(scenario, seed));
    let scenario = part.as_ref().unwrap_or(scenario);
    let world = &scenario.world;
    let network = NetworkPlan {
        kind: world.network.kind,
        latency_ms: world.network.latency_ms,
        tick_ms: world.network.tick_ms,
        random_host_order: world.network.random_host_order,
        client_hosts: world.client_hosts,
    };
    let mut brokers = draw_brokers::brokers(world);
    let mut plan = Plan {
        about: scenario.about.trim().to_owned(),
        expect: scenario.expect.clone(),
        forbid: scenario.forbid.clone(),
        seed,
        duration_ms: world.duration_ms,
        task_order: task_order(world.task_order, seed),
        yield_share: world.yield_share.unwrap_or_else(|| yield_share(seed)),
        stop_at_ms: world.stop_at_ms,
        network,
        gateway: world.gateway.clone(),
        users: world.users.iter().map(|users| users.value.name.as_str().into()).collect(),
        roles: draw_keys::roles(world),
        keys: Vec::new(),
        broker: brokers.remove(0),
        more_brokers: brokers,
        accounts: draw_brokers::accounts(world),
        feed: feed(scenario, seed),
        administration: Vec::new(),
        clients: clients(scenario, seed),
        faults: draw_faults::faults(scenario, seed),
    };
    for step in &scenario.steps {
        draw_steps::happen(&step.value, &mut plan);
        administration::from_step(&step.value, &mut plan);
    }
    if let Some(weather) = &scenario.storm {
        let window = [weather.from_ms, weather.to_ms.unwrap_or(world.duration_ms)];
        draw_brokers::strike(weather, window, seed, &mut plan);
        draw_keys::change(weather.incidents, window, seed, &mut plan);
        administration::from_storm(weather.incidents, window, seed, &mut plan);
    }
    plan.keys.sort_by_key(|timed| timed.at_ms);
    for broker in plan.brokers_mut() {
        broker.incidents.sort_by_key(|incident| incident.at_ms);
    }
    plan.feed.invalidations.sort_by_key(|invalidation| invalidation.at_ms);
    plan.administration.sort_by_key(|order| order.at_ms);
    plan
}

fn task_order(choice: TaskOrderChoice, seed: u64) -> TaskOrder {
    let choices = [
        TaskOrder::None,
        TaskOrder::Jitter(0.1),
        TaskOrder::Jitter(0.5),
        TaskOrder::Starve(0.2),
        TaskOrder::Priorities(3),
        TaskOrder::Priorities(10),
    ];
    match choice {
        TaskOrderChoice::Seeded => *Stream::fork(seed, "plan", "task order").pick(&choices),
        TaskOrderChoice::None => TaskOrder::None,
        TaskOrderChoice::Jitter(probability) => TaskOrder::Jitter(probability),
        TaskOrderChoice::Starve(share) => TaskOrder::Starve(share),
        TaskOrderChoice::Priorities(preemptions) => TaskOrder::Priorities(preemptions),
    }
}

fn yield_share(seed: u64) -> f64 {
    *Stream::fork(seed, "plan", "yields").pick(&[0.0, 0.02, 0.1, 0.3])
}

fn feed(scenario: &Scenario, seed: u64) -> FeedPlan {
    let feed = &scenario.world.feed;
    let unwanted: BTreeSet<&TopicName> = feed.unwanted_topics.iter().collect();
    let mut topics: BTreeSet<&TopicName> = scenario.world.topics.iter().collect();
    topics.extend(scenario.steps.iter().flat_map(|step| &step.value.topics));
    topics.extend(&unwanted);
    // Periods are even over a range whose ends differ by the skew, around the mean.
    let mean_us = (1_000_000.0 / feed.ticks_per_second) as u64;
    let least_us = (mean_us as f64 * 2.0 / (1.0 + feed.skew)) as u64;
    let most_us = (2 * mean_us).saturating_sub(least_us).max(least_us);
    let topics = topics.into_iter().map(|topic| {
        let recording = feed.recording.as_ref().map(|recording| &recording.value);
        let recorded = recording.and_then(|Recording { ticks, length_ms, .. }| {
            TopicRhythm::recorded(topic, unwanted.contains(topic), ticks, *length_ms)
        });
        if let Some(recorded) = recorded {
            return recorded;
        }
        let mut stream = Stream::fork(seed, "feed", &topic.to_string());
        let period_ms = (stream.between(least_us, most_us) / 1_000).max(1);
        TopicRhythm {
            topic: topic.clone(),
            period_ms,
            first_at_ms: stream.below(period_ms),
            unwanted: unwanted.contains(topic),
            recorded: Vec::new(),
        }
    });
    let orders_wanted = feed.orders_per_second > 0.0;
    let orders = scenario.world.users.iter().filter(|_| orders_wanted).map(|users| {
        let period_ms = ((1_000.0 / feed.orders_per_second) as u64).max(1);
        let first_at_ms = Stream::fork(seed, "orders", &users.value.name).below(period_ms);
        OrderRhythm { user: users.value.name.as_str().into(), period_ms, first_at_ms }
    });
    FeedPlan { topics: topics.collect(), orders: orders.collect(), invalidations: Vec::new() }
}

fn clients(scenario: &Scenario, seed: u64) -> Vec<ClientPlan> {
    let mut clients = Vec::new();
    for users in &scenario.world.users {
        for number in 1..=users.value.clients {
            let name = format!("{}-{number}", users.value.name);
            let host = clients.len() as u32 % scenario.world.client_hosts;
            clients.push(client(scenario, seed, name, &users.value.name, host));
        }
    }
    clients
}

fn client(scenario: &Scenario, seed: u64, name: String, user: &str, host: u32) -> ClientPlan {
    let user: UserId = user.into();
    let users = scenario.world.users.iter().find(|users| users.value.name == user.as_str());
    let arrive_ms = users.and_then(|users| users.value.arrive_ms);
    let key_at_door = users.is_some_and(|users| users.value.key_at_door);
    let nameless = users.is_some_and(|users| users.value.nameless);
    let mut actions = Vec::new();
    if let Some([least, most]) = arrive_ms {
        let at_ms = Stream::fork(seed, "arrival", &name).between(least, most);
        actions.extend(join(at_ms, &user));
    }
    for step in &scenario.steps {
        let step = &step.value;
        let meant = |who: &String| who == "all" || *who == name || who == user.as_str();
        if step.client.as_ref().is_some_and(meant) {
            actions.extend(draw_steps::client_step(step, &user));
        }
    }
    let hit = |storm: &&Storm| {
        storm.users.is_empty() || storm.users.iter().any(|name| name == user.as_str())
    };
    if let Some(weather) = scenario.storm.as_ref().filter(hit) {
        let mut storm = storm::ClientStorm::new(scenario, weather, &name, &user, seed);
        storm.run(arrive_ms.is_some(), &mut actions);
    }
    actions.sort_by_key(|timed| timed.at_ms);
    if nameless {
        // Whoever comes shows its credential right behind; these do not.
        let comes = |at: &TimedAction| matches!(at.action, Action::Connect);
        let came: Vec<bool> = actions.iter().map(comes).collect();
        let mut before = std::iter::once(false).chain(came);
        actions.retain(|timed| !(before.next() == Some(true) && authenticates(timed)));
    }
    // Nobody else cuts clients off.
    let cut_off = scenario.faults.is_some() || scenario.asks_for().contains(&FaultKind::KeyChange);
    let returns = if cut_off { RETURNS_MAX } else { 0 };
    let mut away = Stream::fork(seed, "returns", &name);
    let returns_after_ms = (0..returns).map(|_| away.between(0, RETURN_WITHIN_MS)).collect();
    let interval_ms = match users.map_or(&[][..], |users| &users.value.paces_ms) {
        [] => 0,
        paces_ms => *Stream::fork(seed, "pace", &name).pick(paces_ms),
    };
    let mut farewell = Stream::fork(seed, "farewell", &name);
    ClientPlan {
        name,
        user,
        key_at_door,
        host,
        actions,
        leaves_after_ms: farewell.between(0, LEAVE_WITHIN_MS),
        leaves_politely: farewell.chance(0.5),
        returns_after_ms,
        channel: users.and_then(|users| users.value.channel.clone()),
        nameless,
        interval_ms,
    }
}

const fn authenticates(timed: &TimedAction) -> bool {
    matches!(timed.action, Action::Send(Request::Authenticate(Some(_))))
}

/// Connecting, and authenticating right behind it.
pub(super) fn join(at_ms: u64, user: &UserId) -> [TimedAction; 2] {
    let authenticate = Action::Send(Request::Authenticate(Some(user.clone())));
    [TimedAction { at_ms, action: Action::Connect }, TimedAction { at_ms, action: authenticate }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    const TEXT: &str = r#"
about: A storm.
world:
  duration_ms: 1000
  users:
    - { name: alice, clients: 2, arrive_ms: [0, 50] }
    - { name: bob, clients: 1 }
  topics: ["NSE:A/LTP", "NSE:B/Quote"]
steps:
  - { at_ms: 10, client: bob, do: join }
  - { at_ms: 500, do: invalidate, user: alice }
  - { at_ms: 400, do: kill_broker, for_ms: 20 }
storm:
  weights: { subscribe: 5, unsubscribe: 3, vanish: 1, reconnect: 1 }
  incidents: { sessions_lost: [2, 2] }
"#;

    fn plan(text: &str, seed: u64) -> Plan {
        draw(&parse("s.yaml", text).expect("it is good"), seed)
    }

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another() {
        let shown = |seed| serde_json::to_string(&plan(TEXT, seed)).expect("it is JSON");
        assert_eq!(shown(1), shown(1));
        assert_ne!(shown(1), shown(2));
    }

    #[test]
    fn a_client_less_leaves_the_others_as_they_were() {
        let fewer = TEXT.replace("clients: 2", "clients: 1");
        let (all, fewer) = (plan(TEXT, 1), plan(&fewer, 1));
        assert_eq!(all.clients[0].actions, fewer.clients[0].actions);
        assert_eq!(all.clients[2].actions, fewer.clients[1].actions);
    }

    #[test]
    fn a_swarm_leaves_out_actions_and_faults_but_never_all_actions() {
        let text = format!(
            "{TEXT}swarm: true\nfaults:\n  chop: {{ share: 1.0, bytes_max: 3 }}\n  \
             stall: {{ times: [1, 1], for_ms: [1, 5] }}\n"
        );
        let plans: Vec<Plan> = (0..60).map(|seed| plan(&text, seed)).collect();
        let chopped = |plan: &&Plan| !plan.faults.connections.is_empty();
        let stalled = |plan: &&Plan| !plan.faults.timed.is_empty();
        assert!((10..50).contains(&plans.iter().filter(chopped).count()));
        let both = plans.iter().filter(chopped).filter(stalled).count();
        assert!((3..40).contains(&both), "{both} of 60 have both");
        assert!(plans.iter().all(|plan| plan.clients[0].actions.len() > 2));
    }

    #[test]
    fn incidents_come_in_order_and_in_the_number_asked_for() {
        let plan = plan(TEXT, 1);
        assert_eq!(plan.broker.incidents.len(), 3);
        assert!(plan.broker.incidents.is_sorted_by_key(|incident| incident.at_ms));
        assert_eq!(plan.feed.invalidations[0].at_ms, 500);
    }

    #[test]
    fn a_plan_reads_back_as_it_is_printed() {
        let plan = plan(TEXT, 3);
        let text = serde_saphyr::to_string(&plan).expect("it is YAML");
        let back: Plan = serde_saphyr::from_str(&text).expect("it is a plan");
        assert_eq!(
            serde_json::to_string(&plan).expect("it is JSON"),
            serde_json::to_string(&back).expect("it is JSON")
        );
    }
}
