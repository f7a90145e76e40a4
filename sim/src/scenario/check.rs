//! What the shape of a scenario cannot say: ranges, names that must exist, fields that a step
//! needs.

use std::collections::BTreeSet;

use serde_saphyr::{Location, Spanned};
use tickgate::protocol::INTERVAL_MS;

use super::bounds::in_order;
use super::check_brokers::check_brokers;
use super::check_faults::check_faults;
use super::{Scenario, Step, StepKind, Storm, TaskOrderChoice, World};

/// Longest story, in milliseconds.
const DURATION_MS_MAX: u64 = 600_000;
/// Most clients.
const CLIENTS_MAX: u32 = 1_000;

pub(super) type Problem = (Location, String);

/// Finds the first thing that makes no sense.
pub(super) fn check(scenario: &Scenario) -> Result<(), Problem> {
    if scenario.about.trim().is_empty() || scenario.about.contains('\n') {
        return nowhere("`about` must be one sentence");
    }
    check_world(&scenario.world)?;
    let names = Names::of(&scenario.world);
    check_brokers(scenario, &names)?;
    for step in &scenario.steps {
        check_step(&step.value, &names, scenario.world.duration_ms)
            .map_err(|problem| (step.defined, problem))?;
    }
    if let Some(faults) = &scenario.faults {
        check_faults(faults, &scenario.world)?;
    }
    scenario.storm.as_ref().map_or(Ok(()), |storm| check_storm(storm, &scenario.world, &names))
}

/// Who can be named.
pub(super) struct Names {
    users: BTreeSet<String>,
    clients: BTreeSet<String>,
}

impl Names {
    fn of(world: &World) -> Self {
        let mut names = Self { users: BTreeSet::new(), clients: BTreeSet::new() };
        for Spanned { value: users, .. } in &world.users {
            names.users.insert(users.name.clone());
            names.clients.extend((1..=users.clients).map(|n| format!("{}-{n}", users.name)));
        }
        names
    }

    pub(super) fn user(&self, name: Option<&String>) -> Result<(), String> {
        match name {
            Some(name) if self.users.contains(name) => Ok(()),
            Some(name) => Err(format!("there is no user `{name}`")),
            None => Err("`user` is missing".into()),
        }
    }

    fn client(&self, name: Option<&String>) -> Result<(), String> {
        match name {
            Some(name) if name == "all" => Ok(()),
            Some(name) if self.users.contains(name) || self.clients.contains(name) => Ok(()),
            Some(name) => Err(format!(
                "there is no client `{name}`: write `all`, a user, or a client like `{}`",
                self.clients.first().map_or("alice-1", String::as_str)
            )),
            None => Err("`client` is missing".into()),
        }
    }
}

fn check_world(world: &World) -> Result<(), Problem> {
    if let Err(problem) = world.gateway.check() {
        return nowhere(problem);
    }
    if !(1..=DURATION_MS_MAX).contains(&world.duration_ms) {
        return nowhere(format!("`duration_ms` must be from 1 to {DURATION_MS_MAX}"));
    }
    if world.stop_at_ms.is_some_and(|at_ms| at_ms > world.duration_ms) {
        return nowhere("`stop_at_ms` must not be after the story");
    }
    if world.users.is_empty() {
        return nowhere("a world needs users");
    }
    if !(1..=3).contains(&world.client_hosts) {
        return nowhere("`client_hosts` must be 1, 2 or 3");
    }
    let mut known = BTreeSet::new();
    let mut clients = 0;
    for Spanned { value: users, defined, .. } in &world.users {
        let here = |problem: &str| Err((*defined, problem.to_owned()));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if users.name.is_empty() || !users.name.chars().all(plain) || users.name == "all" {
            return here("a user's name has lower-case letters and digits only, and is not `all`");
        }
        if !known.insert(&users.name) {
            return here("this user is there already");
        }
        if users.clients == 0 || users.clients > CLIENTS_MAX {
            return here("`clients` must be from 1 to 1000");
        }
        if !users.paces_ms.iter().all(|ms| *ms == 0 || INTERVAL_MS.contains(ms)) {
            return here("`paces_ms` must each be 0 or from 10 to 3600000");
        }
        clients += users.clients;
        if let Some(range) = users.arrive_ms {
            in_order(range, "arrive_ms").map_err(|problem| (*defined, problem))?;
            if range[1] > world.duration_ms {
                return here("`arrive_ms` ends after the story");
            }
        }
    }
    if clients > CLIENTS_MAX {
        return nowhere(format!("{clients} clients exceed the limit of {CLIENTS_MAX}"));
    }
    check_rates(world).map_err(|problem| (Location::UNKNOWN, problem))
}

fn check_rates(world: &World) -> Result<(), String> {
    let (feed, network) = (&world.feed, &world.network);
    if !(0.1..=1_000.0).contains(&feed.ticks_per_second) {
        return Err("`ticks_per_second` must be from 0.1 to 1000".into());
    }
    if !(1.0..=100.0).contains(&feed.skew) {
        return Err("`skew` must be from 1 to 100".into());
    }
    if !(0.0..=100.0).contains(&feed.orders_per_second) {
        return Err("`orders_per_second` must be from 0 to 100".into());
    }
    in_order(network.latency_ms, "latency_ms")?;
    if network.tick_ms == 0 || network.tick_ms > network.latency_ms[0] {
        return Err("`tick_ms` must be from 1 to the least latency".into());
    }
    match world.task_order {
        TaskOrderChoice::Jitter(p) if !(0.0..=0.9).contains(&p) => {
            Err("`jitter` must be from 0.0 to 0.9".into())
        }
        TaskOrderChoice::Starve(share) if !(0.0..=1.0).contains(&share) => {
            Err("`starve` must be from 0.0 to 1.0".into())
        }
        TaskOrderChoice::Jitter(_)
        | TaskOrderChoice::Starve(_)
        | TaskOrderChoice::Priorities(_)
        | TaskOrderChoice::Seeded
        | TaskOrderChoice::None => match world.yield_share {
            Some(share) if !(0.0..=0.9).contains(&share) => {
                Err("`yield_share` must be from 0.0 to 0.9".into())
            }
            Some(_) | None => Ok(()),
        },
    }
}

fn check_step(step: &Step, names: &Names, duration_ms: u64) -> Result<(), String> {
    if step.at_ms > duration_ms {
        return Err(format!("a step at {} ms comes after the story's end", step.at_ms));
    }
    let (mut topics, mut user, mut for_ms, mut client) = (false, false, false, true);
    let role = step.r#do == StepKind::GrantKey;
    let mut host = false;
    match step.r#do {
        StepKind::Subscribe | StepKind::Unsubscribe | StepKind::UnsubscribeEveryMode => {
            topics = true;
        }
        StepKind::Authenticate => user = step.user.is_some(),
        StepKind::Invalidate | StepKind::RevokeKey | StepKind::GrantKey | StepKind::LoseSession => {
            (user, client) = (true, false)
        }
        StepKind::KillBroker => (for_ms, client) = (true, false),
        StepKind::RemoveUser => (user, client) = (true, false),
        StepKind::Block | StepKind::Unblock => (host, client) = (true, false),
        StepKind::Broadcast => client = false,
        StepKind::StopReading => for_ms = true,
        StepKind::Join
        | StepKind::Connect
        | StepKind::WrongKey
        | StepKind::UnsubscribeAll
        | StepKind::SubscribeOrders
        | StepKind::UnsubscribeOrders
        | StepKind::Ping
        | StepKind::BrokerInfo
        | StepKind::SupportedBrokers
        | StepKind::Garbage
        | StepKind::Disconnect
        | StepKind::Vanish => {}
    }
    if client {
        names.client(step.client.as_ref())?;
    }
    if user {
        names.user(step.user.as_ref())?;
    }
    let superfluous = [
        ("client", step.client.is_some() && !client),
        ("topics", !step.topics.is_empty() && !topics),
        ("user", step.user.is_some() && !user),
        ("for_ms", step.for_ms.is_some() && !for_ms),
        ("role", step.role.is_some() && !role),
        ("host", step.host.is_some() && !host),
    ];
    if let Some((key, _)) = superfluous.iter().find(|(_, there)| *there) {
        return Err(format!("`{key}` means nothing for this step"));
    }
    if host && step.host.is_none() {
        return Err("`host` is missing".into());
    }
    if topics && step.topics.is_empty() {
        return Err("`topics` is missing".into());
    }
    let once: BTreeSet<_> = step.topics.iter().map(|topic| topic.instrument()).collect();
    if step.r#do != StepKind::Subscribe && once.len() < step.topics.len() {
        return Err("an unsubscribe names an instrument once".into());
    }
    if for_ms && step.for_ms.is_none() { Err("`for_ms` is missing".into()) } else { Ok(()) }
}

fn check_storm(storm: &Storm, world: &World, names: &Names) -> Result<(), Problem> {
    let here = storm.weights.defined;
    for user in &storm.users {
        names.user(Some(user)).map_err(|problem| (here, problem))?;
    }
    let to_ms = storm.to_ms.unwrap_or(world.duration_ms);
    if storm.from_ms >= to_ms || to_ms > world.duration_ms {
        return Err((here, "a storm begins before it ends, and ends with the story".into()));
    }
    for (range, name) in [
        (storm.pause_ms, "pause_ms"),
        (storm.away_ms, "away_ms"),
        (storm.stopped_ms, "stopped_ms"),
        (storm.symbols_per_request, "symbols_per_request"),
        (storm.incidents.invalidations, "invalidations"),
        (storm.incidents.keys_revoked, "keys_revoked"),
        (storm.incidents.roles_changed, "roles_changed"),
        (storm.incidents.sessions_lost, "sessions_lost"),
        (storm.incidents.losses_repeated, "losses_repeated"),
        (storm.incidents.broker_deaths, "broker_deaths"),
        (storm.incidents.blocks, "blocks"),
        (storm.incidents.removals, "removals"),
        (storm.incidents.broadcasts, "broadcasts"),
    ] {
        in_order(range, name).map_err(|problem| (here, problem))?;
    }
    if storm.pause_ms[1] == 0 {
        return Err((here, "`pause_ms` must not be zero: the storm would never end".into()));
    }
    if storm.symbols_per_request[0] == 0 {
        return Err((here, "`symbols_per_request` must be at least 1".into()));
    }
    if world.topics.is_empty() {
        return Err((here, "a storm needs `world.topics`".into()));
    }
    if storm.weights.value.all().iter().all(|weight| *weight == 0) {
        return Err((here, "all weights are zero".into()));
    }
    Ok(())
}

fn nowhere(problem: impl Into<String>) -> Result<(), Problem> {
    Err((Location::UNKNOWN, problem.into()))
}

#[cfg(test)]
mod tests {
    use crate::scenario::parse;

    const WORLD: &str =
        "about: A story.\nworld:\n  duration_ms: 100\n  users:\n    - name: alice\n";

    fn problem(more: &str) -> String {
        parse("s.yaml", &format!("{WORLD}{more}")).expect_err("it is wrong").to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (more, expected) in [
            ("steps:\n  - { at_ms: 101, client: all, do: join }\n", "after the story's end"),
            ("steps:\n  - { at_ms: 1, client: bob, do: join }\n", "there is no client `bob`"),
            ("steps:\n  - { at_ms: 1, do: join }\n", "`client` is missing"),
            ("steps:\n  - { at_ms: 1, client: all, do: subscribe }\n", "`topics` is missing"),
            ("steps:\n  - { at_ms: 1, do: kill_broker }\n", "`for_ms` is missing"),
            ("steps:\n  - { at_ms: 1, client: all, do: join, for_ms: 1 }\n", "means nothing"),
            ("steps:\n  - { at_ms: 1, do: invalidate, user: bob }\n", "no user `bob`"),
            ("  gateway: { message_burst_max: 0 }\n", "`limits.message_burst_max` must be"),
            ("  gateway: { warn_at: 9, throttle_at: 8 }\n", "is greater than"),
            ("storm: { users: [eve], weights: { ping: 1 } }\n", "no user `eve`"),
            ("storm: { weights: { ping: 1 } }\n", "a storm needs `world.topics`"),
            ("  network: { latency_ms: [5, 1] }\n", "[least, most]"),
            ("  network: { tick_ms: 2 }\n", "`tick_ms`"),
            ("    - name: alice\n", "there already"),
            ("    - name: all\n", "is not `all`"),
            ("  topics: [nonsense]\n", "is no topic"),
            ("  topics: [\"A:B/LTP\"]\nstorm: { weights: { ping: 0 } }\n", "all weights are zero"),
        ] {
            let problem = problem(more);
            assert!(problem.contains(expected), "{more:?} gave {problem:?}");
        }
    }

    #[test]
    fn a_bad_step_is_named_by_its_line() {
        let problem = problem(
            "steps:\n  - { at_ms: 1, client: all, do: join }\n  - { at_ms: 1, client: eve, do: join }\n",
        );
        assert!(problem.starts_with("s.yaml:8:5: "), "{problem}");
    }
}
