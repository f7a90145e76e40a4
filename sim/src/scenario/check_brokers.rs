//! What the shape of `brokers` cannot say.

use std::collections::BTreeSet;

use serde_saphyr::{Location, Spanned};

use super::bounds::in_order;
use super::check::{Names, Problem};
use super::{Broker, Manner, Scenario, Step, StepKind, World};

/// Names that somebody else in a history has.
const TAKEN: [&str; 7] = ["all", "broker", "feed", "gateway", "log", "network", "operator"];

/// Finds the first thing that makes no sense.
pub(super) fn check_brokers(scenario: &Scenario, names: &Names) -> Result<(), Problem> {
    let world = &scenario.world;
    let nowhere = |problem: String| (Location::UNKNOWN, problem);
    if world.broker.is_some() && !world.brokers.is_empty() {
        return Err(nowhere("a world has `broker` or `brokers`".into()));
    }
    check_names(world).map_err(nowhere)?;
    for Spanned { value: users, defined, .. } in &world.users {
        known(users.broker.as_ref(), world).map_err(|problem| (*defined, problem))?;
        if users.broker.is_none() && world.brokers.len() > 1 {
            return Err((*defined, "of several brokers, say which: `broker: NAME`".into()));
        }
    }
    for Spanned { value: step, defined, .. } in &scenario.steps {
        check_step(step, world).map_err(|problem| (*defined, problem))?;
    }
    let of_storm = scenario.storm.iter().flat_map(|storm| &storm.brokers);
    let struck = scenario.faults.iter().flat_map(|faults| &faults.brokers).chain(of_storm);
    for name in struck {
        known(Some(name), world).map_err(nowhere)?;
    }
    world.broker_hosts().into_iter().try_for_each(|(_, broker)| check_broker(broker, names))
}

fn check_names(world: &World) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let users: BTreeSet<_> = world.users.iter().map(|users| &users.value.name).collect();
    for name in world.brokers.keys() {
        if name.is_empty() || !name.chars().all(plain) || TAKEN.contains(&name.as_str()) {
            return Err(format!(
                "`{name}` is no name for a broker: lower-case letters and digits, and none of {}",
                TAKEN.join(", ")
            ));
        }
        if users.contains(name) {
            return Err(format!("`{name}` is a user and a broker"));
        }
    }
    Ok(())
}

fn check_step(step: &Step, world: &World) -> Result<(), String> {
    known(step.broker.as_ref(), world)?;
    let kills = step.r#do == StepKind::KillBroker;
    if step.broker.is_some() && !kills {
        return Err("`broker` means nothing for this step".into());
    }
    if kills && step.broker.is_none() && world.brokers.len() > 1 {
        return Err("of several brokers, say which: `broker: NAME`".into());
    }
    Ok(())
}

fn known(name: Option<&String>, world: &World) -> Result<(), String> {
    let Some(name) = name.filter(|name| !world.brokers.contains_key(*name)) else { return Ok(()) };
    let names: Vec<&str> = world.brokers.keys().map(String::as_str).collect();
    Err(match names.as_slice() {
        [] => format!("there is no broker `{name}`; name some in `world.brokers`"),
        _ => format!("there is no broker `{name}`; there is {}", names.join(", ")),
    })
}

fn check_broker(broker: &Broker, names: &Names) -> Result<(), Problem> {
    for (range, name) in [(broker.answer_ms, "answer_ms"), (broker.connect_ms, "connect_ms")] {
        if let Some(range) = range {
            in_order(range, name).map_err(|problem| (Location::UNKNOWN, problem))?;
        }
    }
    for Spanned { value: rule, defined, .. } in &broker.topics {
        check_manner(rule.subscribe).map_err(|problem| (*defined, problem))?;
        check_undoing(rule.unsubscribe, "unsubscribe").map_err(|problem| (*defined, problem))?;
    }
    for Spanned { value: rule, defined, .. } in &broker.sessions {
        check_manner(rule.connect).map_err(|problem| (*defined, problem))?;
        check_undoing(rule.disconnect, "disconnect").map_err(|problem| (*defined, problem))?;
        names.user(Some(&rule.user)).map_err(|problem| (*defined, problem))?;
    }
    Ok(())
}

/// Of a command that turns something off.
fn check_undoing(manner: Manner, name: &str) -> Result<(), String> {
    if matches!(manner, Manner::Forget(_)) {
        return Err(format!("`{name}` leaves nothing that the broker could `forget`"));
    }
    check_manner(manner)
}

fn check_manner(manner: Manner) -> Result<(), String> {
    match manner {
        Manner::Slow(range) => in_order(range, "slow"),
        Manner::Flaky(p) if !(0.0..=1.0).contains(&p) => {
            Err("`flaky` must be from 0.0 to 1.0".into())
        }
        Manner::Flaky(_)
        | Manner::Normal
        | Manner::Refuse
        | Manner::Expired
        | Manner::Ignore
        | Manner::Mute
        | Manner::Late
        | Manner::Twice
        | Manner::Lie
        | Manner::Forget(_)
        | Manner::Die(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::parse;

    fn problem(world: &str, more: &str) -> String {
        let text = format!("about: A story.\nworld:\n  duration_ms: 100\n{world}{more}");
        parse("s.yaml", &text).expect_err("it is wrong").to_string()
    }

    #[test]
    fn whose_broker_is_which_must_be_said_and_be_true() {
        let two = "  brokers: { paper: {}, zerodha: {} }\n";
        let alice = "  users: [{ name: alice }]\n";
        let placed = "  users: [{ name: alice, broker: paper }]\n";
        for (world, more, expected) in [
            (format!("{two}{alice}"), "", "say which"),
            (
                alice.to_owned(),
                "steps: [{ at_ms: 1, do: kill_broker, for_ms: 1, broker: x }]\n",
                "name some",
            ),
            (placed.to_owned(), "", "no broker `paper`"),
            (
                format!("{two}{placed}"),
                "steps: [{ at_ms: 1, do: kill_broker, for_ms: 1 }]\n",
                "say which",
            ),
            (
                format!("{two}{placed}"),
                "steps: [{ at_ms: 1, do: broadcast, broker: paper }]\n",
                "means nothing",
            ),
            (format!("{two}{placed}"), "faults: { brokers: [dhan] }\n", "paper, zerodha"),
            (format!("  brokers: {{ feed: {{}} }}\n{alice}"), "", "no name for a broker"),
            (format!("  brokers: {{ alice: {{}} }}\n{alice}"), "", "is a user and a broker"),
        ] {
            let problem = problem(&world, more);
            assert!(problem.contains(expected), "{world}{more} gave {problem:?}");
        }
    }
    #[test]
    fn how_a_broker_treats_commands_must_make_sense() {
        let world = "  users: [{ name: alice }]\n  topics: [NSE:A/LTP]\n  broker:\n";
        let of_topic = "    topics: [{ topic: NSE:A/LTP, subscribe: normal, ";
        let of_session = "    sessions: [{ user: alice, ";
        for (rules, expected) in [
            (
                format!("{of_topic}unsubscribe: {{ forget: 5 }} }}]\n"),
                "`unsubscribe` leaves nothing",
            ),
            (
                format!("{of_session}disconnect: {{ forget: 5 }} }}]\n"),
                "`disconnect` leaves nothing",
            ),
            (format!("{of_session}disconnect: {{ slow: [9, 1] }} }}]\n"), "slow"),
            (format!("{of_session}connect: {{ slow: [9, 1] }} }}]\n"), "slow"),
        ] {
            let problem = problem(&format!("{world}{rules}"), "");
            assert!(problem.contains(expected), "{rules} gave {problem:?}");
        }
        let forgets = format!("{world}{of_session}connect: {{ forget: 5 }} }}]\n");
        let text = format!("about: A story.\nworld:\n  duration_ms: 100\n{forgets}");
        parse("s.yaml", &text).expect("a session can be forgotten");
    }
}
