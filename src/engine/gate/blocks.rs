//! Networks that may not come in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::engine::timers::Timers;

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The moment at which it ends; `None`: when somebody lifts it.
    pub until_ms: Option<u64>,
    /// In the words of whoever made it.
    pub reason: Option<String>,
}

/// The blocks there are. Finding whether an address is blocked costs one lookup for each length
/// of prefix that occurs, however many blocks there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    by_network: BTreeMap<IpNet, Block>,
    /// How many blocks have a prefix of this length, IPv4 and IPv6 apart.
    lengths: BTreeMap<(bool, u8), usize>,
    ends: Timers<IpNet>,
}

impl Blocks {
    /// Adds or replaces a block that ends. If there are more than `blocks_max` then, the one that
    /// ends first is lifted.
    pub fn add_making_room(&mut self, network: IpNet, block: Block, blocks_max: usize) {
        self.add(network, block);
        if self.by_network.len() > blocks_max
            && let Some(first) = self.ends.pop_due(u64::MAX)
        {
            self.remove(first);
        }
    }

    /// Adds or replaces a block, unless there would be more than `blocks_max` then.
    pub fn add_if_room(&mut self, network: IpNet, block: Block, blocks_max: usize) -> bool {
        let has_room = self.by_network.len() < blocks_max || self.by_network.contains_key(&network);
        if has_room {
            self.add(network, block);
        }
        has_room
    }

    fn add(&mut self, network: IpNet, block: Block) {
        self.remove(network);
        if let Some(until_ms) = block.until_ms {
            self.ends.set(network, until_ms);
        }
        self.by_network.insert(network, block);
        *self.lengths.entry(length(network)).or_default() += 1;
    }

    /// Lifts the block of exactly this network, if there is one.
    pub fn remove(&mut self, network: IpNet) -> bool {
        if self.by_network.remove(&network).is_none() {
            return false;
        }
        self.ends.cancel(&network);
        let key = length(network);
        let count = self.lengths.get_mut(&key).expect("every block's length is counted");
        *count -= 1;
        if *count == 0 {
            self.lengths.remove(&key);
        }
        true
    }

    /// Lifts what has ended.
    pub fn expire(&mut self, now_ms: u64) {
        while let Some(network) = self.ends.pop_due(now_ms) {
            self.remove(network);
        }
    }

    /// When the last block of an address ends, if it is blocked; `Some(None)`: when it is lifted.
    pub fn covering(&self, address: IpAddr) -> Option<Option<u64>> {
        let address = address.to_canonical();
        let ends = self.lengths.keys().filter(|(v4, _)| *v4 == address.is_ipv4()).filter_map(
            |(_, prefix)| {
                let network = IpNet::new(address, *prefix).ok()?.trunc();
                Some(self.by_network.get(&network)?.until_ms)
            },
        );
        ends.reduce(|one, other| one.zip(other).map(|(one, other)| one.max(other)))
    }

    pub fn len(&self) -> usize {
        self.by_network.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &Block)> {
        self.by_network.iter().map(|(network, block)| (*network, block))
    }

    /// # Panics
    ///
    /// Panics if the tables have drifted apart.
    pub fn check(&self, now_ms: u64) {
        let mut lengths = BTreeMap::new();
        for (network, Block { until_ms, .. }) in &self.by_network {
            *lengths.entry(length(*network)).or_default() += 1;
            assert_eq!(until_ms.is_some(), self.ends.contains(network), "{network} ends");
            assert!(until_ms.is_none_or(|ms| ms > now_ms), "{network} is blocked for too long");
        }
        assert_eq!(lengths, self.lengths, "lengths of prefixes");
        let ending = self.by_network.values().filter(|it| it.until_ms.is_some()).count();
        assert_eq!(self.ends.len(), ending, "a block that is gone has an end");
    }
}

fn length(network: IpNet) -> (bool, u8) {
    (matches!(network, IpNet::V4(_)), network.prefix_len())
}
