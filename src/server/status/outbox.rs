//! What becomes of clients that lag, by the policy of their channels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::ShardTotals;

/// What clients that lag have missed since the start, all shards together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// Values that their clients were never sent, by policy: `conflate`, `drop_oldest`.
    pub ticks_left_out_total: BTreeMap<String, u64>,
    /// Clients closed with 1013, by what there was no room for: `conflate`, the latest values;
    /// `disconnect`, ticks that must not be dropped; `answers`, those and order updates.
    pub clients_closed_total: BTreeMap<String, u64>,
}

impl OutboxStatus {
    /// The sum over shards.
    #[must_use]
    pub fn sum(shards: &[ShardTotals]) -> Self {
        let sum = |of: fn(&ShardTotals) -> u64| shards.iter().map(of).sum();
        let answers = |it: &ShardTotals| it.overflows - it.latest_overflows - it.tick_overflows;
        let named = |rows: &[(&str, u64)]| {
            rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        Self {
            ticks_left_out_total: named(&[
                ("conflate", sum(|it| it.conflated)),
                ("drop_oldest", sum(|it| it.dropped)),
            ]),
            clients_closed_total: named(&[
                ("answers", sum(answers)),
                ("conflate", sum(|it| it.latest_overflows)),
                ("disconnect", sum(|it| it.tick_overflows)),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_is_counted_under_one_cause() {
        let shard = |overflows, latest_overflows, tick_overflows| ShardTotals {
            conflated: 5,
            dropped: 7,
            overflows,
            latest_overflows,
            tick_overflows,
            ..ShardTotals::default()
        };
        let status = OutboxStatus::sum(&[shard(6, 1, 2), shard(1, 1, 0)]);
        let closed: Vec<u64> = status.clients_closed_total.into_values().collect();
        assert_eq!(closed, [3, 2, 2], "answers, conflate, disconnect");
        let left_out: Vec<u64> = status.ticks_left_out_total.into_values().collect();
        assert_eq!(left_out, [10, 14], "conflate, drop_oldest");
    }
}
