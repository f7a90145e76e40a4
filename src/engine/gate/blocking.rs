//! Keeping networks out: for their clients' conduct, or because an administrator says so.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::blocks::Block;
use super::{Gate, GateEffect, doubled, network_of};
use crate::protocol::admin::BlockRow;
use crate::topic::ClientId;

/// Why an administrator's block was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBlocked {
    /// The gateway's own machine would be shut out.
    #[error("that network holds loopback, which cannot be blocked")]
    Loopback,
    /// Whoever asked would be shut out.
    #[error("that network holds your own address; block it from elsewhere")]
    OwnAddress,
    /// There are as many blocks of administrators as there can be.
    #[error("there are {0} blocks already; lift one first")]
    Full(usize),
}

impl Gate {
    /// A client is being closed for its conduct. Several of one network block it; a machine does
    /// not block itself, because everything on it shares that address.
    pub fn strike(&mut self, now_ms: u64, id: ClientId, effects: &mut Vec<GateEffect>) {
        self.pass_time(now_ms);
        let Some(address) = self.guests.get(&id).and_then(|guest| guest.address) else { return };
        self.totals.strikes += 1;
        let network = network_of(address);
        let (strikes_max, options) = (self.options.strikes_max, self.options);
        let entry = self.address(network);
        entry.strikes = entry.strikes.saturating_add(1);
        self.remember(network, now_ms);
        let Some(entry) = self.addresses.get_mut(&network) else { return };
        if strikes_max > 0 && entry.strikes >= strikes_max && !address.to_canonical().is_loopback()
        {
            entry.strikes = 0;
            entry.blocks = entry.blocks.saturating_add(1);
            let ms = doubled(options.block_ms, entry.blocks - 1, options.block_max_ms);
            self.remember(network, now_ms.saturating_add(ms));
            self.block_for_conduct(network, ms, effects);
        }
    }

    /// Blocks a network because its clients break rules. Makes room for itself if there are too
    /// many.
    fn block_for_conduct(&mut self, network: IpNet, for_ms: u64, effects: &mut Vec<GateEffect>) {
        self.totals.blocks += 1;
        let until_ms = Some(self.now_ms.saturating_add(for_ms));
        let block = Block { until_ms, reason: None };
        self.blocks.add_making_room(network, block, self.options.remembered_max);
        effects.push(GateEffect::Blocked(network, for_ms));
        self.close_all_of(network, effects);
    }

    /// Blocks a network because an administrator says so, and closes its clients; says how many.
    /// `by` is the administrator's own connection, if there is one. `for_ms`: as long; `None`:
    /// until it is lifted. An administrator's block that exists already is replaced.
    ///
    /// # Errors
    ///
    /// Fails if an administrator could lock itself out, or if there are too many such blocks.
    pub fn block(
        &mut self,
        now_ms: u64,
        by: Option<ClientId>,
        (network, for_ms): (IpNet, Option<u64>),
        reason: Option<String>,
        effects: &mut Vec<GateEffect>,
    ) -> Result<usize, NotBlocked> {
        self.pass_time(now_ms);
        let network = network.trunc();
        if holds_loopback(network) {
            return Err(NotBlocked::Loopback);
        }
        let own = by.and_then(|id| self.guests.get(&id)).and_then(|guest| guest.address);
        if own.is_some_and(|address| network.contains(&address.to_canonical())) {
            return Err(NotBlocked::OwnAddress);
        }
        let until_ms = for_ms.map(|ms| now_ms.saturating_add(ms));
        let block = Block { until_ms, reason };
        if !self.ordered.add_if_room(network, block, self.options.ordered_blocks_max) {
            return Err(NotBlocked::Full(self.options.ordered_blocks_max));
        }
        self.totals.blocks += 1;
        Ok(self.close_all_of(network, effects))
    }

    /// Lifts a block, whoever made it. `false`: there is none of exactly this network.
    pub fn unblock(&mut self, now_ms: u64, network: IpNet) -> bool {
        self.pass_time(now_ms);
        let ordered = self.ordered.remove(network.trunc());
        self.blocks.remove(network.trunc()) || ordered
    }

    /// The blocks, those of administrators first: at most so many, and how many there are.
    pub fn list_blocks(&mut self, now_ms: u64, rows_max: usize) -> (Vec<BlockRow>, usize) {
        self.pass_time(now_ms);
        let row = |(network, block): (IpNet, &Block), ordered| BlockRow {
            network,
            left_ms: block.until_ms.map(|ms| ms - now_ms),
            ordered,
            reason: block.reason.clone(),
        };
        let ordered = self.ordered.iter().map(|block| row(block, true));
        let rows = ordered.chain(self.blocks.iter().map(|block| row(block, false)));
        (rows.take(rows_max).collect(), self.blocked())
    }

    /// How many blocks there are, those included that have ended since the last event.
    #[must_use]
    pub fn blocked(&self) -> usize {
        self.ordered.len() + self.blocks.len()
    }

    /// Where everybody is who has come in, as far as that is known; only from `within`, if given.
    #[must_use]
    pub fn addresses_of(&self, within: Option<IpNet>) -> BTreeMap<ClientId, IpAddr> {
        let known = self.guests.iter().filter(|(_, guest)| guest.admitted);
        let known = known.filter_map(|(id, guest)| Some((*id, guest.address?.to_canonical())));
        known.filter(|(_, ip)| within.is_none_or(|network| network.contains(ip))).collect()
    }

    /// When the last block of an address ends, if it is blocked; `Some(None)`: when it is lifted.
    pub(super) fn blocked_until(&self, address: IpAddr) -> Option<Option<u64>> {
        match (self.ordered.covering(address), self.blocks.covering(address)) {
            (Some(one), Some(other)) => Some(one.zip(other).map(|(one, other)| one.max(other))),
            (one, other) => one.or(other),
        }
    }

    fn close_all_of(&mut self, network: IpNet, effects: &mut Vec<GateEffect>) -> usize {
        let before = effects.len();
        for (id, guest) in &self.guests {
            let is_of = guest.address.is_some_and(|ip| network.contains(&ip.to_canonical()));
            if guest.admitted && is_of {
                effects.push(GateEffect::Close(*id));
            }
        }
        effects.len() - before
    }
}

/// Whether a network has an address of this machine's own in it.
fn holds_loopback(network: IpNet) -> bool {
    let v4 = IpNet::new(Ipv4Addr::LOCALHOST.into(), 8).expect("a prefix of its family").trunc();
    network.contains(&IpAddr::from(Ipv6Addr::LOCALHOST))
        || network.contains(&v4)
        || v4.contains(&network)
}
