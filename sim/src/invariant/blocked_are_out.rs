use std::collections::{BTreeMap, BTreeSet};

use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::fault::{FaultKind, Party};
use crate::history::{Actor, ClientName, Event, Seen};
use crate::plan::{OrderKind, Plan};

/// So long may the word of a block, or what was served before it, be under way to a client.
const JOURNEY_US: u64 = 200_000;

/// The close code of clients whose host is blocked.
const BLOCKED: u16 = 1008;

/// When a host is blocked, none of its clients is served any longer, neither those who are inside
/// nor those who are on their way in (G-12).
///
/// Hosts that an administrator blocks are left to `administrators_are_obeyed`.
///
/// That a host is blocked is known from any of its clients that is closed or turned away for it.
/// Whoever had come in by then, or so soon after that the block had not ended, had come in before.
pub(super) struct BlockedAreOut {
    block_us: u64,
    hosts: BTreeMap<ClientName, u32>,
    /// Hosts that an administrator blocks at some time.
    ordered: BTreeSet<u32>,
    trouble: Trouble,
    /// Since when each client is connected.
    connected: BTreeMap<ClientName, u64>,
    /// Whoever hung on its way in: it may learn late what was decided when it came.
    hung: BTreeSet<ClientName>,
    /// The last block of each host: when it was known, and until when nobody can have come in.
    blocks: BTreeMap<u32, (u64, u64)>,
}

impl BlockedAreOut {
    pub fn new(plan: &Plan) -> Self {
        let clients = plan.clients.iter();
        Self {
            block_us: plan.gateway.block_ms * 1_000,
            hosts: clients.map(|client| (client.name.as_str().into(), client.host)).collect(),
            ordered: plan
                .administration
                .iter()
                .filter_map(|order| match order.what {
                    OrderKind::Block(host) => Some(host),
                    OrderKind::Unblock(_) | OrderKind::RemoveUser(_) | OrderKind::Broadcast(_) => {
                        None
                    }
                })
                .collect(),
            trouble: Trouble::new(plan),
            connected: BTreeMap::new(),
            hung: BTreeSet::new(),
            blocks: BTreeMap::new(),
        }
    }

    /// A client has learnt that its host is blocked: since a journey at most, or for longer.
    fn blocked(&mut self, client: &ClientName, at_us: u64, has_just_begun: bool) {
        let from_us = at_us.saturating_sub(JOURNEY_US);
        // Nobody knows how a message that a fault held back relates to the others.
        let held_back_us = self.trouble.delay_us(client, from_us, at_us);
        if held_back_us != Some(0) || self.hung.contains(client) {
            return;
        }
        let lasts_us = if has_just_begun { self.block_us } else { 0 };
        if let Some(host) = self.hosts.get(client).filter(|host| !self.ordered.contains(host)) {
            self.blocks.insert(*host, (at_us, from_us + lasts_us));
        }
    }

    fn served(&self, client: &ClientName, at_us: u64) -> Result<(), String> {
        let block = self.hosts.get(client).and_then(|host| self.blocks.get(host));
        let Some(((known_us, until_us), since_us)) = block.zip(self.connected.get(client)) else {
            return Ok(());
        };
        let from_us = (*known_us).max(*since_us);
        if since_us > until_us || self.trouble.lags(client) {
            return Ok(());
        }
        match self.trouble.delay_us(client, from_us, at_us) {
            Some(delay_us) if at_us > from_us + JOURNEY_US + delay_us => Err(format!(
                "{client} is still served {} ms after its host was blocked",
                (at_us - known_us) / 1_000
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl Invariant for BlockedAreOut {
    fn name(&self) -> &'static str {
        "blocked_are_out"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        let at_us = event.at_us;
        if let (Actor::Client(client), Seen::Lost { code: Some(BLOCKED), .. }) =
            (&event.actor, &event.seen)
        {
            self.blocked(client, at_us, true);
        }
        self.trouble.observe(event);
        if let Seen::Struck(strike) = &event.seen {
            match (strike.fault, &strike.party) {
                // It remembers no block.
                (FaultKind::GatewayCrash, _) => self.blocks.clear(),
                (FaultKind::HangConnect, Party::Client(name)) => {
                    self.hung.insert(name.as_str().into());
                }
                (_, _) => {}
            }
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        match &event.seen {
            Seen::Connected { .. } => {
                self.hung.remove(client);
                self.connected.insert(client.clone(), at_us);
            }
            Seen::Lost { .. } | Seen::Leaves { .. } => {
                self.connected.remove(client);
            }
            Seen::TurnedAway { status } => {
                if *status == 403 {
                    self.blocked(client, at_us, false);
                }
                self.hung.remove(client);
            }
            Seen::Answered(_)
            | Seen::Tick(_)
            | Seen::Broadcast { .. }
            | Seen::OrderUpdate { .. } => {
                return self.served(client, at_us);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::history::{Reply, Request};

    const CLOSED: Seen = Seen::Lost { code: Some(BLOCKED), reason: String::new() };

    fn story() -> Story<BlockedAreOut> {
        let mut plan = plan();
        plan.gateway.block_ms = 400;
        plan.clients.iter_mut().for_each(|client| client.host = 0);
        let mut story = Story::of(BlockedAreOut::new(&plan));
        story.connect("alice-1");
        story
    }

    fn pong_after(story: &mut Story<BlockedAreOut>, ms: u64) -> Result<(), String> {
        story.later(ms, &client("alice-2"), Seen::Unexpected(String::new()))?;
        let id = story.send("alice-2", Request::Ping);
        story.answer("alice-2", id, Reply::Pong)
    }

    #[test]
    fn who_is_served_long_after_a_block_is_noticed() {
        for status in [None, Some(403)] {
            let mut story = story();
            story.connect("alice-2");
            let seen = status.map_or(CLOSED, |status| Seen::TurnedAway { status });
            assert_eq!(story.later(300, &client("alice-1"), seen), Ok(()));
            assert_eq!(pong_after(&mut story, 100), Ok(()), "it may have been under way");
            assert!(pong_after(&mut story, 200).is_err());
        }
    }

    #[test]
    fn who_was_on_its_way_in_is_noticed_and_who_came_after_the_block_is_not() {
        for (after_ms, is_good) in [(20, false), (500, true)] {
            let mut story = story();
            story.good(&client("alice-1"), CLOSED);
            let connected = Seen::Connected { connection: 1 };
            assert_eq!(story.later(after_ms, &client("alice-2"), connected), Ok(()));
            assert_eq!(pong_after(&mut story, 300).is_ok(), is_good);
        }
    }

    #[test]
    fn another_host_is_not_concerned() {
        let mut plan = plan();
        for at in plan.clients.iter_mut().filter(|at| at.name == "alice-2") {
            at.host += 1;
        }
        let mut story = Story::of(BlockedAreOut::new(&plan));
        story.connect("alice-1");
        story.connect("alice-2");
        story.good(&client("alice-1"), CLOSED);
        assert_eq!(pong_after(&mut story, 900), Ok(()));
    }
}
