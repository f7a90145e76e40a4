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
