//! The bridge between the hub and one broker.
//!
//! The hub must never wait for a broker, nor a broker for the hub, or the two could wait for each
//! other. So the bridge always has room for both: commands are bounded because the hub has at most
//! one in flight for each topic and session, events because the bridge stops asking for more.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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

/// An address to connect to, for one that was bound to every interface.
pub(super) fn reachable(mut bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => bound.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => bound.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_on_every_interface_is_reached_in_its_own_family() {
        let reached = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:5555"), "127.0.0.1:5555");
        assert_eq!(reached("[::]:5555"), "[::1]:5555", "it may take no IPv4 there");
        assert_eq!(reached("10.0.0.1:5555"), "10.0.0.1:5555");
    }
}
