//! What must be true of the gate after every event. Our own mistakes, found where they are made.

use std::collections::BTreeMap;

use super::address::Address;
use super::{Gate, Trying, network_of};

impl Gate {
    /// Asserts every limit and every private rule of the gate. Costs time in proportion to all
    /// that it holds.
    ///
    /// # Panics
    ///
    /// Panics if a rule is broken.
    pub fn check(&self) {
        let mut expected: BTreeMap<_, Address> = BTreeMap::new();
        let mut admitted = 0;
        for (id, guest) in &self.guests {
            admitted += u32::from(guest.admitted);
            let Some(address) = guest.address else {
                assert_eq!(guest.attempt, Trying::No, "{id} tries from nowhere");
                continue;
            };
            let entry = expected.entry(network_of(address)).or_default();
            entry.admitted += u32::from(guest.admitted);
            entry.told += u32::from(!guest.admitted);
            entry.trying += u32::from(guest.attempt == Trying::Yes);
            if guest.attempt == Trying::Queued {
                entry.queue.push_back(*id);
            }
        }
        assert_eq!(admitted, self.admitted, "connections are miscounted");
        assert!(admitted <= self.options.clients_max, "{admitted} connections");
        let told = self.guests.len() - admitted as usize;
        // Whoever a proxy stands for may be told although it was admitted at first.
        assert!(told <= (self.options.told_max + self.options.clients_max) as usize, "{told} told");
        for (network, address) in &self.addresses {
            let seen = expected.remove(network).unwrap_or_default();
            assert_eq!(address.admitted, seen.admitted, "{network}: connections");
            assert_eq!(address.told, seen.told, "{network}: visitors");
            assert_eq!(address.trying, seen.trying, "{network}: attempts");
            let mut queue: Vec<_> = address.queue.iter().collect();
            queue.sort_unstable();
            let mut waiting: Vec<_> = seen.queue.iter().collect();
            waiting.sort_unstable();
            assert_eq!(queue, waiting, "{network}: waiting attempts");
            assert!(queue.is_empty() || address.trying > 0, "{network}: an attempt waits for ever");
            self.check_limits(network, address);
        }
        assert!(expected.is_empty(), "networks that nobody knows: {expected:?}");
        assert!(self.memory.len() <= self.options.remembered_max, "too much is remembered");
        for network in self.memory.keys() {
            assert!(self.addresses.contains_key(network), "{network} is remembered for nothing");
        }
        self.check_channels();
        self.blocks.check(self.now_ms);
        assert!(self.blocks.len() <= self.options.remembered_max.max(1), "too many blocks");
        self.ordered.check(self.now_ms);
        let ordered_max = self.options.ordered_blocks_max;
        assert!(self.ordered.len() <= ordered_max, "too many blocks by administrators");
    }

    fn check_limits(&self, network: &ipnet::IpNet, address: &Address) {
        let connections_max = self.options.connections_per_address_max;
        assert!(address.admitted <= connections_max, "{network}: {} connections", address.admitted);
        let within = address.failures + address.trying <= self.options.auth_failures_max;
        assert!(within || address.trying <= 1, "{network}: {} attempts at once", address.trying);
        let has_history = address.has_history();
        assert_eq!(has_history, self.memory.contains(network), "{network}: memory");
        assert!(!address.is_empty(), "{network} is kept for nothing");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::blocks::Block;
    use super::super::tests::gate_with;
    use super::*;
    use crate::config::{ChannelEntry, ChannelKind, Config};
    use crate::topic::ClientId;

    fn is_noticed(drift: impl Fn(&mut Gate)) -> bool {
        let channel = vec![ChannelEntry::new("/a", ChannelKind::Interactive)];
        let config = Config { channel, ..Config::default() };
        let mut gate = gate_with([1, 2]).with_channels(&config);
        for id in [1, 2] {
            gate.attempt(0, ClientId(id), &mut Vec::new());
        }
        gate.check();
        drift(&mut gate);
        catch_unwind(AssertUnwindSafe(|| gate.check())).is_err()
    }

    #[test]
    fn a_gate_that_has_drifted_is_noticed() {
        let drifts: [fn(&mut Gate); 5] = [
            |gate| gate.admitted += 1,
            |gate| gate.channels.taken[1] += 1,
            |gate| gate.addresses.values_mut().next().unwrap().strikes = 1,
            |gate| {
                // Two attempts at once may both fail, and then there are too many.
                let network = *gate.addresses.keys().next().unwrap();
                gate.address(network).failures = 1;
                gate.remember(network, 0);
            },
            |gate| {
                let network = "10.0.0.9/32".parse().unwrap();
                let block = Block { until_ms: Some(0), reason: None };
                gate.ordered.add_if_room(network, block, 9);
            },
        ];
        for (at, drift) in drifts.into_iter().enumerate() {
            assert!(is_noticed(drift), "{at}");
        }
        assert!(!is_noticed(|_| ()));
    }
}
