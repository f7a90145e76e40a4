use std::collections::{BTreeMap, BTreeSet};

use super::listeners::Listeners;
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Seen};
use crate::plan::Plan;

/// So long may the end of a connection be under way to its client.
const JOURNEY_US: u64 = 200_000;

/// A channel never has more connections than it may, and nobody is turned away from one in which
/// there must be a place.
///
/// A client may learn late that its connection is over. So the limit counts as broken when those
/// who are too many are all still there a journey later.
pub(super) struct ChannelsHold {
    listeners: Listeners,
    trouble: Trouble,
    /// The channel of each client, with how many it may have and how many clients it could have.
    of: BTreeMap<ClientName, Place>,
    suspicions: Vec<(u64, BTreeSet<ClientName>, String)>,
}

struct Place {
    path: String,
    most: usize,
    clients: usize,
}

impl ChannelsHold {
    pub fn new(plan: &Plan) -> Self {
        let place = |path: &String| {
            let entry = plan.gateway.channels.iter().find(|it| it.path == *path)?;
            let inside = plan.clients.iter().filter(|it| it.channel.as_ref() == Some(path));
            Some(Place { path: path.clone(), most: entry.clients_max, clients: inside.count() })
        };
        let clients = plan.clients.iter();
        let of = clients.filter_map(|client| {
            Some((client.name.as_str().into(), place(client.channel.as_ref()?)?))
        });
        Self {
            listeners: Listeners::new(plan),
            trouble: Trouble::new(plan),
            of: of.collect(),
            suspicions: Vec::new(),
        }
    }

    fn counts(&self, client: &ClientName) -> bool {
        !self.trouble.may_be_cut_off(client) && !self.trouble.lags(client)
    }
}

impl Invariant for ChannelsHold {
    fn name(&self) -> &'static str {
        "channels_hold"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.trouble.observe(event);
        self.listeners.observe(event);
        if let Some((_, _, what)) = self.suspicions.iter().find(|it| it.0 <= event.at_us) {
            return Err(what.clone());
        }
        let struck: Vec<_> = match &event.seen {
            Seen::Struck(_) => self.of.keys().filter(|it| !self.counts(it)).cloned().collect(),
            _ => Vec::new(),
        };
        self.suspicions.retain(|(_, clients, _)| !struck.iter().any(|it| clients.contains(it)));
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        let Some(Place { path, most, clients }) = self.of.get(client) else { return Ok(()) };
        match &event.seen {
            Seen::Connected { .. } => {
                let inside = self.listeners.connected(path).filter(|it| self.counts(it));
                let inside: BTreeSet<_> = inside.cloned().collect();
                if inside.len() > *most {
                    let count = inside.len();
                    let what = format!("{path} has {count} clients and may have {most}");
                    self.suspicions.push((event.at_us + JOURNEY_US, inside, what));
                }
            }
            Seen::Leaves { .. } | Seen::Lost { .. } => {
                self.suspicions.retain(|(_, clients, _)| !clients.contains(client));
            }
            // A connection that is over may linger, and so may a handshake that died.
            Seen::TurnedAway { status: 503 } if clients <= most => {
                return Err(format!("{client} was turned away from {path}, which is never full"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tickgate::config::{ChannelEntry, ChannelKind};

    use super::super::testing::{Story, client, plan};
    use super::*;

    fn story(clients_max: usize) -> Story<ChannelsHold> {
        let mut plan = plan();
        let entry = ChannelEntry::new("/c", ChannelKind::Interactive);
        plan.gateway.channels = vec![ChannelEntry { clients_max, ..entry }];
        plan.clients.iter_mut().for_each(|client| client.channel = Some("/c".into()));
        Story::of(ChannelsHold::new(&plan))
    }

    #[test]
    fn a_client_too_many_is_noticed_unless_one_was_on_its_way_out() {
        for (lost, is_good) in [(false, false), (true, true)] {
            let mut story = story(1);
            story.connect("alice-1");
            story.connect("alice-2");
            if lost {
                let lost = Seen::Lost { code: Some(4401), reason: String::new() };
                story.good(&client("alice-1"), lost);
            }
            assert_eq!(story.later(300, &Actor::Operator, Seen::Finished).is_ok(), is_good);
        }
    }

    #[test]
    fn nobody_is_turned_away_where_there_is_room_for_all() {
        let turned_away = Seen::TurnedAway { status: 503 };
        assert!(story(3).see(&client("alice-1"), turned_away.clone()).is_err());
        assert!(story(2).see(&client("alice-1"), turned_away).is_ok());
    }
}
