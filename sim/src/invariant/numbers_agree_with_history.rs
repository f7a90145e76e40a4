use std::collections::BTreeMap;

use tickgate::server::status::Status;

use super::{Held, Invariant};
use crate::fault::{FaultKind, Party};
use crate::history::{Actor, Event, Op, Phase, Request, Seen};
use crate::plan::Plan;

/// The number of the request that makes somebody of a client.
const FIRST_REQUEST: u64 = 1;

/// What the gateway has counted, once everybody has gone, is what everybody has seen: no message of
/// the bus, no tick, no command and no connection is counted that was not there, and none that was
/// there is left out. Ticks are conserved: what was put into outboxes was read, replaced by a later
/// value, or dropped with a subscription or connection that had ended.
///
/// Where faults or departures may have cost something on its way, the number is a bound.
#[derive(Default)]
pub(super) struct NumbersAgreeWithHistory {
    empty: bool,
    /// The gateway crashed, and began to count anew.
    crashed: bool,
    feed: Side,
    broker: Side,
    clients: Side,
    /// Whether ticks may lie in outboxes that nobody reads any more.
    ticks_dropped: bool,
    leaving: bool,
    published: u64,
    ticks: u64,
    connections: u64,
    calls: BTreeMap<&'static str, u64>,
}

/// Whether something may have been lost between the gateway and these.
#[derive(Default)]
struct Side {
    struck: bool,
}

impl Side {
    /// Compares what the gateway counted with what was seen, where the more is at `from`.
    fn compare(&self, what: &str, from: u64, to: u64) -> Result<(), String> {
        match from >= to && (self.struck || from == to) {
            true => Ok(()),
            false => Err(format!("{what}: {from} left and {to} arrived")),
        }
    }
}

impl Invariant for NumbersAgreeWithHistory {
    fn name(&self) -> &'static str {
        "numbers_agree_with_history"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        match &event.seen {
            Seen::Phase(phase) => {
                self.leaving |= *phase == Phase::Leave;
                self.empty |= *phase == Phase::Empty;
            }
            Seen::Status(status) if self.empty && !self.crashed => return self.judge(status),
            Seen::Struck(strike) => {
                self.crashed |= strike.fault == FaultKind::GatewayCrash;
                let side = match strike.party {
                    Party::Broker(_) => &mut self.broker,
                    Party::Feed => &mut self.feed,
                    Party::Client(_) | Party::ClientHost(_) => &mut self.clients,
                    Party::Gateway => return Ok(()),
                };
                side.struck = true;
            }
            Seen::BrokerDied { .. } => self.broker.struck = true,
            Seen::Connected { .. } => self.connections += 1,
            Seen::Leaves { .. } | Seen::Lost { .. } => self.ticks_dropped |= !self.leaving,
            Seen::Sent(sent) => {
                // Whoever becomes somebody else is subscribed to nothing any more.
                self.ticks_dropped |= match sent.request {
                    Request::Unsubscribe(_) | Request::UnsubscribeAll => true,
                    Request::Authenticate(_) => sent.id > FIRST_REQUEST,
                    _ => false,
                };
            }
            Seen::Tick(_) | Seen::Broadcast { .. } => self.ticks += 1,
            Seen::Published { .. } | Seen::PublishedOrder { .. } | Seen::Invalidated { .. } => {
                self.published += 1;
            }
            Seen::Called(call) => *self.calls.entry(kind(&call.op)).or_default() += 1,
            _ => {}
        }
        Ok(())
    }

    fn overhear(&mut self, event: &Event) {
        // What a garbled connection carried was counted, and judges do not see it.
        if matches!(event.actor, Actor::Client(_)) {
            (self.clients.struck, self.ticks_dropped) = (true, true);
        }
    }
}

impl NumbersAgreeWithHistory {
    pub fn new(plan: &Plan) -> Self {
        // What nobody wants does not leave a publisher that is not asked for it.
        let feed = Side { struck: plan.gateway.wanted_prefixes };
        Self { feed, ..Self::default() }
    }

    fn judge(&self, status: &Status) -> Result<(), String> {
        let feed = &status.feed;
        self.feed.compare("messages of the bus", self.published, feed.messages_total)?;
        let delivered: u64 = status.shards.iter().map(|shard| shard.ticks_delivered_total).sum();
        let replaced = status.shards.iter();
        let replaced = replaced.map(|it| it.ticks_conflated_total + it.ticks_dropped_total);
        let conflated: u64 = replaced.sum();
        let dropped = Side { struck: self.ticks_dropped || self.clients.struck };
        dropped.compare("ticks put into outboxes", delivered, conflated + self.ticks)?;
        let opened = status.clients.opened_total;
        self.clients.compare("connections of clients", opened, self.connections)?;
        let calls = &status.broker_calls;
        let sent = [
            ("connect", calls.connect),
            ("disconnect", calls.disconnect),
            ("subscribe", calls.subscribe),
            ("unsubscribe", calls.unsubscribe),
            ("unsubscribe_all", calls.unsubscribe_all),
        ];
        for (kind, sent) in sent {
            let called = self.calls.get(kind).copied().unwrap_or_default();
            self.broker.compare(&format!("{kind} commands to the broker"), sent, called)?;
        }
        Ok(())
    }
}

const fn kind(op: &Op) -> &'static str {
    match op {
        Op::Connect => "connect",
        Op::Disconnect => "disconnect",
        Op::Subscribe(_) => "subscribe",
        Op::Unsubscribe(_) => "unsubscribe",
        Op::UnsubscribeAll => "unsubscribe_all",
    }
}

#[cfg(test)]
mod tests {
    use tickgate::server::status::ShardStatus;

    use super::super::testing::{Story, page};
    use super::*;
    use crate::fault::Strike;

    fn story() -> Story<NumbersAgreeWithHistory> {
        let mut story = Story::of(NumbersAgreeWithHistory::default());
        story.serve("alice", 1, Op::Connect);
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        for seq in 1..=3 {
            story.publish("NSE:A/LTP", seq);
        }
        for seq in [1, 3] {
            story.tick("alice-1", "NSE:A/LTP", seq).expect("a good tick");
        }
        story
    }

    fn counted() -> Status {
        let mut status = page(&[], &[]);
        status.feed.messages_total = 3;
        status.clients.opened_total = 1;
        status.broker_calls.connect = 1;
        let (ticks_delivered_total, ticks_conflated_total) = (3, 1);
        status.shards = vec![ShardStatus {
            ticks_delivered_total,
            ticks_conflated_total,
            ..Default::default()
        }];
        status
    }

    #[test]
    fn what_was_counted_is_what_was_seen() {
        let mut story = story();
        story.phase(Phase::Empty);
        assert_eq!(story.status(counted()), Ok(()));
    }

    #[test]
    fn a_number_that_is_not_what_was_seen_is_noticed() {
        let changes: [fn(&mut Status); 6] = [
            |status| status.feed.messages_total = 2,
            |status| status.feed.messages_total = 4,
            |status| status.shards[0].ticks_delivered_total = 4,
            |status| status.shards[0].ticks_conflated_total = 2,
            |status| status.clients.opened_total = 2,
            |status| status.broker_calls.subscribe = 1,
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut story = story();
            story.phase(Phase::Empty);
            let mut status = counted();
            change(&mut status);
            assert!(story.status(status).is_err(), "change {at}");
        }
    }

    #[test]
    fn what_may_have_been_lost_may_be_missing_and_nothing_may_be_invented() {
        let lost = |messages_total| {
            let mut story = story();
            let strike = Strike { fault: FaultKind::Reset, party: Party::Feed, lasts_ms: 0 };
            story.good(&Actor::Network, Seen::Struck(strike));
            story.phase(Phase::Empty);
            let mut status = counted();
            status.feed.messages_total = messages_total;
            story.status(status)
        };
        assert_eq!(lost(2), Ok(()));
        assert!(lost(4).is_err());
    }
}
