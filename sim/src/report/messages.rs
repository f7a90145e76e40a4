//! Which events are the two ends of a message.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::history::{Actor, ClientName, Event, Seen};
use crate::topic_name::TopicName;

/// From one event to another: `[from, to, kind]`.
#[derive(Serialize)]
pub(super) struct Message(usize, usize, Kind);

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A client's request and the gateway's answer.
    Request,
    /// The gateway's command and the broker's reply.
    Command,
    /// A tick that was published and is read.
    Tick,
    /// An order update that was published and is read.
    Order,
}

/// What waits for its other end.
#[derive(Default)]
struct Open {
    requests: BTreeMap<(ClientName, u64), usize>,
    /// Requests without a number in the answer are answered in order.
    oldest: BTreeMap<ClientName, Vec<usize>>,
    commands: BTreeMap<u64, usize>,
    ticks: BTreeMap<(TopicName, u64), usize>,
    orders: BTreeMap<(String, u64), usize>,
}

/// All messages, in the order in which they arrive.
pub(super) fn of(events: &[Event]) -> Vec<Message> {
    let mut open = Open::default();
    let mut messages = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let found = match &event.actor {
            Actor::Client(client) => client_event(&mut open, client, at, &event.seen),
            _ => other_event(&mut open, at, &event.seen),
        };
        messages.extend(found.map(|(from, kind)| Message(from, at, kind)));
    }
    messages
}

fn client_event(
    open: &mut Open,
    client: &ClientName,
    at: usize,
    seen: &Seen,
) -> Option<(usize, Kind)> {
    match seen {
        Seen::Connected { .. } => {
            open.oldest.remove(client);
            None
        }
        Seen::Sent(sent) => {
            open.requests.insert((client.clone(), sent.id), at);
            open.oldest.entry(client.clone()).or_default().push(at);
            None
        }
        Seen::Answered(answer) => {
            let waiting = open.oldest.entry(client.clone()).or_default();
            let numbered = answer.id.and_then(|id| open.requests.remove(&(client.clone(), id)));
            let from = numbered.or_else(|| waiting.first().copied())?;
            waiting.retain(|sent| *sent != from);
            Some((from, Kind::Request))
        }
        Seen::Tick(tick) => {
            let topic = TopicName::new(
                &tick.topic.instrument().exchange,
                &tick.topic.instrument().symbol,
                tick.source,
            );
            open.ticks.get(&(topic, tick.seq)).map(|from| (*from, Kind::Tick))
        }
        Seen::OrderUpdate { user, seq } => {
            open.orders.get(&(user.to_string(), *seq)).map(|from| (*from, Kind::Order))
        }
        _ => None,
    }
}

fn other_event(open: &mut Open, at: usize, seen: &Seen) -> Option<(usize, Kind)> {
    match seen {
        Seen::Called(call) => {
            open.commands.insert(call.id, at);
            None
        }
        // A broker that answers twice has two answers to one command.
        Seen::Replied { call, .. } => {
            open.commands.get(&call.id).map(|from| (*from, Kind::Command))
        }
        Seen::Published { topic, seq, .. } => {
            open.ticks.insert((topic.clone(), *seq), at);
            None
        }
        Seen::PublishedOrder { user, seq } => {
            open.orders.insert((user.to_string(), *seq), at);
            None
        }
        _ => None,
    }
}
