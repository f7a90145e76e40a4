//! What an operator is told of the hub adds up.

use tickgate::engine::HubSnapshot;

use super::Totals;

/// Compares the parts of a snapshot with each other, and its counters with what the walk has seen.
///
/// # Errors
///
/// Fails at the first that differ.
pub fn adds_up(snapshot: &HubSnapshot, seen: &Totals, is_draining: bool) -> Result<(), String> {
    let states = snapshot.sessions.iter().map(|session| session.state);
    same("states of sessions", &snapshot.session_states, &states.collect::<Vec<_>>())?;
    let count = |at: &_| snapshot.topic_states.iter().filter(|state| *state == at).count();
    for topic in &snapshot.topics {
        let at = (topic.state, topic.paused);
        let alike = snapshot.topics.iter().filter(|other| (other.state, other.paused) == at);
        same("topics in a state", &count(&at), &alike.count())?;
    }
    same("topics", &snapshot.topic_states.len(), &snapshot.topics.len())?;
    let wants: usize = snapshot.topics.iter().map(|topic| topic.count).sum();
    same("subscriptions", &snapshot.subscriptions, &wants)?;
    same("whether it is stopping", &snapshot.draining, &is_draining)?;
    let totals = &snapshot.totals;
    same("answers", &totals.answers, &seen.answers)?;
    let commands =
        [totals.connects, totals.disconnects, totals.subscribes, totals.unsubscribes].iter().sum();
    same("commands", &seen.commands, &commands)?;
    let in_flight: usize = snapshot.commands_by_broker.values().sum();
    if snapshot.timers < in_flight {
        return Err(format!("{in_flight} commands have {} deadlines", snapshot.timers));
    }
    let clients = totals.opened.checked_sub(totals.closed);
    same("clients that have not gone", &clients, &Some(snapshot.clients as u64))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, told: &T, right: &T) -> Result<(), String> {
    if told == right {
        return Ok(());
    }
    Err(format!("an operator is told of {what}: {told:?} instead of {right:?}"))
}
