//! Shards for stories about them.

use tickgate::engine::{OutboxLimits, Shard, ShardOptions};

/// A shard in whose outboxes little has room.
pub fn small_shard(ticks_max: usize, latest_bytes_max: usize) -> Shard {
    let outbox =
        OutboxLimits { ticks_max, tick_bytes_max: 4_000, latest_bytes_max, control_bytes_max: 400 };
    Shard::new(ShardOptions { outbox, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 })
}
