//! Keeping networks out: for their clients' conduct, or because an administrator says so.

use ipnet::IpNet;

use super::{Gate, GateEffect, doubled, network_of};
use crate::topic::ClientId;

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
        if strikes_max > 0 && entry.strikes >= strikes_max && !address.is_loopback() {
            entry.strikes = 0;
            entry.blocks = entry.blocks.saturating_add(1);
            let ms = doubled(options.block_ms, entry.blocks - 1, options.block_max_ms);
            self.remember(network, now_ms.saturating_add(ms));
            self.block(now_ms, network, Some(ms), effects);
        }
    }

    /// Blocks a network for `for_ms` milliseconds, or until it is lifted, and closes its clients.
    /// A block that exists already is replaced.
    pub fn block(
        &mut self,
        now_ms: u64,
        network: IpNet,
        for_ms: Option<u64>,
        effects: &mut Vec<GateEffect>,
    ) {
        self.pass_time(now_ms);
        self.totals.blocks += 1;
        let until_ms = for_ms.map(|ms| now_ms.saturating_add(ms));
        self.blocks.add(network.trunc(), until_ms, self.options.remembered_max);
        effects.push(GateEffect::Blocked(network.trunc(), for_ms));
        for (id, guest) in &self.guests {
            if guest.admitted && guest.address.is_some_and(|ip| network.contains(&ip)) {
                effects.push(GateEffect::Close(*id));
            }
        }
    }

    /// Lifts a block. `false`: there is none of exactly this network.
    pub fn unblock(&mut self, now_ms: u64, network: IpNet) -> bool {
        self.pass_time(now_ms);
        self.blocks.remove(network.trunc())
    }

    /// The blocks, with the milliseconds that each has left; `None`: until it is lifted.
    pub fn blocks(&mut self, now_ms: u64) -> Vec<(IpNet, Option<u64>)> {
        self.pass_time(now_ms);
        self.blocks.iter().map(|(net, until)| (net, until.map(|ms| ms - now_ms))).collect()
    }

    /// How many blocks there are, those included that have ended since the last event.
    #[must_use]
    pub fn blocked(&self) -> usize {
        self.blocks.len()
    }
}
