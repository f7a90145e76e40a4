//! What lasts: faults and incidents as bands, connections as stays.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::Lanes;
use crate::fault::Party;
use crate::history::{Actor, Event, Phase, Seen};
use crate::plan::Plan;

/// Something that goes wrong in a lane for a while.
#[derive(Serialize)]
pub(super) struct Band {
    lane: usize,
    from: u64,
    /// The same as `from`: it has no duration.
    to: u64,
    label: String,
}

/// A client's connection: `[lane, from, to]`.
#[derive(Serialize)]
pub(super) struct Stay(usize, u64, u64);

/// Incidents and faults, with the lanes that they strike.
pub(super) fn bands(events: &[Event], plan: &Plan, lanes: &Lanes) -> Vec<Band> {
    // Whatever goes wrong ends with the story.
    let settled = |event: &&Event| matches!(event.seen, Seen::Phase(Phase::Settle));
    let end_us = events.iter().find(settled).or(events.last()).map_or(0, |event| event.at_us);
    let mut bands = Vec::new();
    for event in events {
        let at_us = event.at_us;
        let mut strike = |lane: Option<usize>, lasts_ms: u64, label: String| {
            let to = (at_us + lasts_ms * 1_000).min(end_us.max(at_us));
            bands.extend(lane.map(|lane| Band { lane, from: at_us, to, label }));
        };
        let lane = Some(lanes.actor(&event.actor));
        match &event.seen {
            Seen::BrokerDied { back_in_ms } => strike(lane, *back_in_ms, "broker is dead".into()),
            Seen::SessionLost { user, .. } => strike(lane, 0, format!("loses session of {user}")),
            Seen::Invalidated { user } => strike(lane, 0, format!("credentials of {user} invalid")),
            Seen::KeyChanges(change) => strike(lane, 0, change.to_string()),
            Seen::Struck(struck) => {
                for lane in lanes_of(&struck.party, plan, lanes) {
                    strike(Some(lane), struck.lasts_ms, struck.fault.label().to_owned());
                }
            }
            _ => {}
        }
    }
    bands
}

/// The lanes of a party: one actor's, or those of all clients of a host.
fn lanes_of(party: &Party, plan: &Plan, lanes: &Lanes) -> Vec<usize> {
    match party {
        Party::ClientHost(host) => {
            let there = plan.clients.iter().filter(|client| client.host == *host);
            there.filter_map(|client| lanes.named(&client.name)).collect()
        }
        Party::Client(name) => lanes.named(name).into_iter().collect(),
        Party::Broker(host) => vec![lanes.actor(&Actor::Broker(host.clone()))],
        Party::Feed => vec![lanes.actor(&Actor::Feed)],
        Party::Gateway => vec![lanes.actor(&Actor::Gateway)],
    }
}

/// When which client is connected.
pub(super) fn stays(events: &[Event], lanes: &Lanes) -> Vec<Stay> {
    let end_us = events.last().map_or(0, |event| event.at_us);
    let (mut open, mut stays) = (BTreeMap::new(), Vec::new());
    for event in events {
        let Actor::Client(_) = &event.actor else { continue };
        let lane = lanes.actor(&event.actor);
        match event.seen {
            Seen::Connected { .. } => {
                open.insert(lane, event.at_us);
            }
            Seen::Leaves { .. } | Seen::Lost { .. } => {
                stays.extend(open.remove(&lane).map(|from| Stay(lane, from, event.at_us)));
            }
            _ => {}
        }
    }
    stays.extend(open.into_iter().map(|(lane, from)| Stay(lane, from, end_us)));
    stays
}
