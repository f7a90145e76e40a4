//! What is written down of those who do not come in.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::door::Visitor;
use crate::audit::{Audit, Record, What};
use crate::engine::network_of;

/// How long the visitors of a network are counted together, in milliseconds.
const MEMORY_MS: u64 = 600_000;

/// Networks that are counted at a time; beyond, counting begins anew.
const NETWORKS_MAX: usize = 4_096;

/// Counts those who were turned away by their networks: it costs nothing to knock, so a line for
/// each would let anybody push everything else out of the audit log.
#[derive(Debug, Default)]
pub(super) struct TurnedAway(BTreeMap<IpNet, (u64, u64)>);

impl TurnedAway {
    /// Writes a record down if it is the 1st, 2nd, 4th, 8th … of its network.
    pub fn write(&mut self, now_ms: u64, mut record: Record, audit: &Audit) {
        let (What::TurnedAway { count, .. }, Some(address)) = (&mut record.what, record.address)
        else {
            return;
        };
        if self.0.len() >= NETWORKS_MAX {
            self.0.clear();
        }
        let (since_ms, so_far) = self.0.entry(network_of(address)).or_insert((now_ms, 0));
        if now_ms >= *since_ms + MEMORY_MS {
            (*since_ms, *so_far) = (now_ms, 0);
        }
        *so_far += 1;
        *count = *so_far;
        if so_far.is_power_of_two() {
            audit.put(record);
        }
    }
}

impl Visitor {
    /// What the audit log says of one that has not come in. `None`: it got what it wanted.
    pub(super) fn turned_away(&self, otherwise: &'static str) -> Option<Record> {
        let status = self.status.get().copied();
        let reason = match (self.why.get(), status) {
            (Some(why), _) => why,
            (None, Some(200)) => return None,
            (None, Some(_)) => "request",
            (None, None) => otherwise,
        };
        let record = What::TurnedAway { reason, status, count: 1 }.of(self.id);
        Some(Record { address: Some(self.address()), ..record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::ClientId;

    fn written(visits: &[(u64, &str)]) -> Vec<u64> {
        let (audit, mut records) = Audit::channel(100, || 0);
        let mut turned_away = TurnedAway::default();
        for (now_ms, address) in visits {
            let what = What::TurnedAway { reason: "request", status: Some(426), count: 1 };
            let address = Some(address.parse().expect("an address"));
            let record = Record { address, ..what.of(ClientId(1)) };
            turned_away.write(*now_ms, record, &audit);
        }
        let counts = std::iter::from_fn(|| records.try_recv().ok()).map(|record| record.what);
        counts
            .map(|what| match what {
                What::TurnedAway { count, .. } => count,
                what => panic!("{what:?}"),
            })
            .collect()
    }

    #[test]
    fn what_a_network_repeats_is_written_ever_less_often() {
        assert_eq!(written(&[(0, "10.0.0.1"); 9]), [1, 2, 4, 8]);
        assert_eq!(written(&[(0, "10.0.0.1"), (0, "10.0.0.2")]), [1, 1]);
        assert_eq!(written(&[(0, "10.0.0.1"), (9, "10.0.0.1"), (600_000, "10.0.0.1")]), [1, 2, 1]);
    }
}
