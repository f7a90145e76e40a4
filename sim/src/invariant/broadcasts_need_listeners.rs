use std::collections::BTreeMap;

use tickgate::config::{ChannelEntry, ChannelKind};

use super::listeners::{Listeners, wants_of};
use super::{Held, Invariant};
use crate::history::{Event, Seen};
use crate::plan::Plan;

/// So long after the last listener has left something may still be on its way.
const JOURNEY_US: u64 = 500_000;

/// A channel that nobody hears keeps no value, sends nothing, and wants nothing of a broker.
pub(super) struct BroadcastsNeedListeners {
    channels: Vec<ChannelEntry>,
    listeners: Listeners,
    /// Since when nobody hears each channel, and what it had sent when that was first seen.
    silent: BTreeMap<String, (u64, Option<u64>)>,
}

impl BroadcastsNeedListeners {
    pub fn new(plan: &Plan) -> Self {
        let broadcasts = plan.gateway.channels.iter();
        let broadcasts = broadcasts.filter(|channel| channel.kind == ChannelKind::Broadcast);
        let channels: Vec<ChannelEntry> = broadcasts.cloned().collect();
        let silent = channels.iter().map(|channel| (channel.path.clone(), (0, None))).collect();
        Self { channels, listeners: Listeners::new(plan), silent }
    }
}

impl Invariant for BroadcastsNeedListeners {
    fn name(&self) -> &'static str {
        "broadcasts_need_listeners"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if self.channels.is_empty() {
            return Ok(());
        }
        self.listeners.observe(event);
        for channel in &self.channels {
            if self.listeners.connected(&channel.path).next().is_some() {
                self.silent.remove(&channel.path);
            } else {
                self.silent.entry(channel.path.clone()).or_insert((event.at_us, None));
            }
        }
        let Seen::Status(status) = &event.seen else { return Ok(()) };
        for channel in &self.channels {
            let path = &channel.path;
            let Some((since_us, sent)) = self.silent.get_mut(path) else { continue };
            if event.at_us < *since_us + JOURNEY_US {
                continue;
            }
            let row = status.channels.iter().find(|row| row.path == *path);
            let Some(now) = row.and_then(|row| row.broadcast) else { continue };
            if now.topics > 0 {
                return Err(format!("{path} keeps {} values for nobody", now.topics));
            }
            if *sent.get_or_insert(now.sent_total) != now.sent_total {
                return Err(format!("{path} was broadcast to nobody"));
            }
            let others = held.clients.counts();
            let wanted = wants_of(channel).into_iter().find(|want| {
                let (user, topic) = want;
                !others.contains_key(want)
                    && status.topics.iter().any(|row| {
                        row.user == *user
                            && row.count > 0
                            && *row.symbol == *topic.instrument().symbol
                    })
            });
            if let Some((user, topic)) = wanted {
                return Err(format!("{topic} is wanted for {user}, and nobody hears {path}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tickgate::config::ChannelAuth;
    use tickgate::server::status::{BroadcastStatus, ChannelStatus, Status};

    use super::super::testing::{Story, client, page, plan};
    use super::*;

    fn story() -> Story<BroadcastsNeedListeners> {
        let mut plan = plan();
        plan.gateway.channels = vec![ChannelEntry {
            auth: ChannelAuth::Anonymous,
            topics: vec!["NSE:A".into()],
            user: Some("own".into()),
            ..ChannelEntry::new("/c", ChannelKind::Broadcast)
        }];
        plan.clients[0].channel = Some("/c".into());
        Story::of(BroadcastsNeedListeners::new(&plan))
    }

    fn with(topics: u64, sent_total: u64, wanted: &[(&str, &str, u64)]) -> Status {
        let broadcast = BroadcastStatus { topics, sent_total, ..BroadcastStatus::default() };
        let row = ChannelStatus {
            path: "/c".into(),
            broadcast: Some(broadcast),
            ..ChannelStatus::default()
        };
        Status { channels: vec![row], ..page(&[], wanted) }
    }

    #[test]
    fn what_is_done_for_nobody_is_noticed() {
        let wanted = [("own", "NSE:A/LTP", 1)];
        for (status, is_good) in [
            (with(0, 5, &[]), true),
            (with(1, 5, &[]), false),
            (with(0, 6, &[]), false),
            (with(0, 5, &wanted), false),
        ] {
            let mut story = story();
            story.connect("alice-1");
            assert_eq!(story.status(with(1, 4, &wanted)), Ok(()), "somebody listens");
            story.good(&client("alice-1"), Seen::Leaves { politely: true });
            story.good(&client("alice-2"), Seen::Finished);
            let quiet = Seen::Status(Box::new(with(0, 5, &[])));
            let later = story.later(600, &crate::history::Actor::Operator, quiet);
            assert_eq!(later, Ok(()));
            assert_eq!(story.status(status).is_ok(), is_good);
        }
    }
}
