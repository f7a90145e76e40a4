//! The bridge between the hub and one broker.
//!
//! The hub must never wait for a broker, nor a broker for the hub, or the two could wait for each
//! other. So the bridge always has room for both: commands are bounded because the hub has at most
//! one in flight for each topic and session, events because the bridge stops asking for more.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::hub::HubMessage;
use crate::broker::{Broker, BrokerEvent, Command};
use crate::engine::Event;
use crate::runtime::Runtime;
use crate::topic::BrokerName;

/// Commands and events in the channels between bridge and broker.
const CHANNEL_MAX: usize = 256;

/// Events that may wait for the hub before the broker is asked for no more.
const EVENTS_MAX: usize = 1_024;

/// Runs a broker, and carries commands to it and events from it, until the hub is gone.
pub(super) async fn run_broker<R: Runtime, B: Broker>(
    runtime: R,
    name: BrokerName,
    broker: B,
    mut from_hub: mpsc::Receiver<Command>,
    to_hub: mpsc::Sender<HubMessage>,
) {
    let (to_broker, commands) = mpsc::channel(CHANNEL_MAX);
    let (event_sender, mut from_broker) = mpsc::channel(CHANNEL_MAX);
    let task = runtime.spawn("broker", broker.run(commands, event_sender));
    let mut commands: VecDeque<Command> = VecDeque::new();
    let mut events: VecDeque<BrokerEvent> = VecDeque::new();
    let mut running = true;
    loop {
        tokio::select! {
            biased;
            permit = to_hub.reserve(), if !events.is_empty() => {
                let Ok(permit) = permit else { break };
                if let Some(event) = events.pop_front() {
                    permit.send(HubMessage::Event(Event::Broker { broker: name.clone(), event }));
                }
            }
            permit = to_broker.reserve(), if running && !commands.is_empty() => {
                if let (Ok(permit), Some(command)) = (permit, commands.pop_front()) {
                    permit.send(command);
                }
            }
            event = from_broker.recv(), if running && events.len() < EVENTS_MAX => {
                events.push_back(event.unwrap_or_else(|| {
                    tracing::error!(broker = %name, "the broker adapter ended unexpectedly");
                    running = false;
                    BrokerEvent::Down { reason: "the adapter has ended".to_owned() }
                }));
            }
            command = from_hub.recv() => match command {
                Some(command) => commands.push_back(command),
                None => break,
            },
        }
    }
    // The hub is gone: whatever it said last still goes out, then the broker closes down.
    for command in commands {
        if to_broker.send(command).await.is_err() {
            break;
        }
    }
    drop(to_broker);
    from_broker.close();
    task.await;
}
