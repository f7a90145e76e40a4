use super::{Held, Invariant};
use crate::history::{Event, Seen};
use crate::plan::Plan;

/// However long a client does not read, no more ticks wait for it than the configuration allows,
/// and the latest of each of its topics.
pub(super) struct OutboxesAreBounded {
    ticks_max: u64,
}

impl OutboxesAreBounded {
    pub fn new(plan: &Plan) -> Self {
        let topics = plan.feed.topics.len() as u64;
        // What a client that wakes up is given at once may be one of each topic; then it may lag
        // with one of each again.
        let of_channels = plan.gateway.channels.iter().map(|channel| channel.ticks_max);
        let ticks_max = of_channels.fold(plan.gateway.outbox_ticks_max, usize::max) as u64;
        Self { ticks_max: topics.max(ticks_max) + topics }
    }
}

impl Invariant for OutboxesAreBounded {
    fn name(&self) -> &'static str {
        "outboxes_are_bounded"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        let Seen::Status(status) = &event.seen else { return Ok(()) };
        let full = status.shards.iter().find(|shard| shard.outbox_ticks_most > self.ticks_max);
        full.map_or(Ok(()), |shard| {
            Err(format!(
                "{} ticks wait for a client of shard {}, and {} is the most that may",
                shard.outbox_ticks_most, shard.id, self.ticks_max
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use tickgate::server::status::ShardStatus;

    use super::super::testing::{Story, page, plan};
    use super::*;

    #[test]
    fn a_tick_too_many_is_noticed() {
        let mut plan = plan();
        plan.gateway.outbox_ticks_max = 10;
        let most = 10 + plan.feed.topics.len() as u64;
        let mut story = Story::of(OutboxesAreBounded::new(&plan));
        let mut with = |ticks| {
            let mut status = page(&[], &[]);
            let shard = |outbox_ticks_most| ShardStatus { outbox_ticks_most, ..shard() };
            status.shards = vec![shard(0), shard(ticks)];
            story.status(status)
        };
        assert_eq!(with(most), Ok(()));
        assert!(with(most + 1).is_err());
    }

    fn shard() -> ShardStatus {
        ShardStatus {
            id: 0,
            clients: 1,
            routes: 1,
            topics: 1,
            mailbox_len: 0,
            ticks_delivered_total: 0,
            ticks_conflated_total: 0,
            ticks_dropped_total: 0,
            paced: 0,
            values_withheld_total: 0,
            overflows_total: 0,
            stalls_total: 0,
            outbox_bytes: 0,
            outbox_ticks_most: 0,
            last_values: 0,
        }
    }
}
