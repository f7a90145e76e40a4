//! What each metric is, and where its numbers come from.

use std::collections::BTreeMap;

use super::{Family, Kind, Samples};
use crate::server::status::{
    BroadcastStatus, BrokerState, GatewayState, SessionState, Status, TopicState,
};

const fn one(value: u64) -> Samples {
    Samples::One(value)
}

fn labelled<L: ToString>(label: &'static str, all: impl IntoIterator<Item = (L, u64)>) -> Samples {
    let values = all.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    Samples::Each(label, values)
}

/// A number that every shard has.
macro_rules! of_shards {
    ($kind:ident, $name:literal, $help:literal, $count:ident) => {
        family(Kind::$kind, $name, $help, |s| {
            labelled("shard", s.shards.iter().map(|shard| (shard.id, shard.$count)))
        })
    };
}

fn counts(label: &'static str, counts: &BTreeMap<String, u64>) -> Samples {
    labelled(label, counts.iter().map(|(name, count)| (name, *count)))
}

/// One sample for each state, also for those that nothing is in.
fn by_state<S: Copy + Ord>(
    states: &[S],
    label: fn(S) -> &'static str,
    counts: &BTreeMap<S, u64>,
) -> Samples {
    let count = |state: &S| (label(*state), counts.get(state).copied().unwrap_or(0));
    labelled("state", states.iter().map(count))
}

fn broadcasts(status: &Status, count: fn(&BroadcastStatus) -> u64) -> Samples {
    let rows = status.channels.iter();
    labelled("channel", rows.filter_map(|it| Some((&it.path, count(it.broadcast.as_ref()?)))))
}

const fn family(
    kind: Kind,
    name: &'static str,
    help: &'static str,
    samples: fn(&Status) -> Samples,
) -> Family {
    Family { kind, name, help, samples }
}

fn broker_calls(status: &Status) -> Samples {
    let calls = &status.broker_calls;
    labelled(
        "command",
        [
            ("connect", calls.connect),
            ("disconnect", calls.disconnect),
            ("subscribe", calls.subscribe),
            ("unsubscribe", calls.unsubscribe),
            ("unsubscribe_all", calls.unsubscribe_all),
        ],
    )
}

fn broker_answers(status: &Status) -> Samples {
    let calls = &status.broker_calls;
    labelled(
        "result",
        [("succeeded", calls.succeeded), ("failed", calls.failed), ("timed_out", calls.timed_out)],
    )
}

/// Every family but `tickgate_build_info`, in the order of the page.
pub(super) const FAMILIES: &[Family] = &[
    family(Kind::Gauge, "ready", "1 if clients may be sent here, else 0.", |s| {
        one(s.not_ready().is_empty().into())
    }),
    family(Kind::Gauge, "draining", "1 if the gateway is ending, else 0.", |s| {
        one((s.gateway.state == GatewayState::Draining).into())
    }),
    family(Kind::GaugeOfTime, "uptime", "Time since the start.", |s| one(s.gateway.uptime_ms)),
    family(
        Kind::GaugeOfTime,
        "certificate_expiry_timestamp",
        "When the certificate for clients ends to be good, in time since 1970.",
        |s| Samples::Maybe(s.gateway.certificate_expires_unix_ms),
    ),
    family(Kind::Gauge, "clients", "Connected clients.", |s| one(s.clients.total)),
    family(
        Kind::Gauge,
        "clients_authenticated",
        "Connected clients that have authenticated.",
        |s| one(s.clients.authenticated),
    ),
    family(Kind::Count, "clients_opened", "Clients that connected.", |s| {
        one(s.clients.opened_total)
    }),
    family(Kind::Count, "clients_closed", "Clients that went.", |s| one(s.clients.closed_total)),
    family(Kind::Count, "clients_turned_away", "Connections that did not become clients.", |s| {
        one(s.clients.turned_away_total)
    }),
    family(Kind::Count, "connections_refused", "Connections turned away, by reason.", |s| {
        labelled("reason", s.gate.refused_total.iter().map(|(reason, count)| (reason, *count)))
    }),
    family(
        Kind::Gauge,
        "addresses",
        "Addresses that have a connection or are remembered for what they did.",
        |s| one(s.gate.addresses),
    ),
    family(Kind::Gauge, "blocks", "Addresses and networks that are blocked.", |s| {
        one(s.gate.blocks)
    }),
    family(Kind::Count, "blocks_begun", "Blocks of addresses and networks begun.", |s| {
        one(s.gate.blocks_total)
    }),
    family(Kind::Count, "authentications_failed", "Credentials that were wrong.", |s| {
        one(s.gate.attempts_failed_total)
    }),
    family(
        Kind::Count,
        "authentications_refused",
        "Credentials not looked at because of earlier failures from their address.",
        |s| one(s.gate.attempts_refused_total),
    ),
    family(Kind::Count, "clients_struck", "Clients closed for their conduct.", |s| {
        one(s.gate.strikes_total)
    }),
    family(
        Kind::Gauge,
        "users",
        "Users with a client or a broker session.",
        |s| one(s.users_total),
    ),
    family(Kind::Gauge, "sessions", "Broker sessions by state.", |s| {
        by_state(&SessionState::ALL, SessionState::label, &s.sessions_by_state)
    }),
    family(Kind::Gauge, "topics", "Topics of users by state.", |s| {
        by_state(&TopicState::ALL, TopicState::label, &s.topics_by_state)
    }),
    family(
        Kind::Gauge,
        "subscriptions",
        "Subscriptions held by clients.",
        |s| one(s.subscriptions),
    ),
    family(Kind::Count, "broker_commands", "Commands given to brokers.", broker_calls),
    family(Kind::Count, "broker_answers", "How commands to brokers ended.", broker_answers),
    family(Kind::Gauge, "broker_up", "1 if the broker can be talked to, else 0.", |s| {
        labelled("broker", s.brokers.iter().map(|b| (&b.name, (b.state == BrokerState::Up).into())))
    }),
    family(
        Kind::Gauge,
        "broker_commands_in_flight",
        "Commands that wait for the broker's answer.",
        |s| labelled("broker", s.brokers.iter().map(|b| (&b.name, b.commands_in_flight))),
    ),
    family(Kind::Gauge, "broker_calls_waiting", "Commands that wait for their turn.", |s| {
        labelled("broker", s.brokers.iter().map(|b| (&b.name, b.calls_waiting)))
    }),
    family(Kind::Gauge, "feed_publishers", "Publishers connected to the bus.", |s| {
        one(s.feed.publishers)
    }),
    family(Kind::Count, "feed_messages", "Messages from publishers.", |s| {
        one(s.feed.messages_total)
    }),
    family(Kind::CountOfBytes, "feed_received", "Bytes of these messages.", |s| {
        one(s.feed.bytes_total)
    }),
    family(Kind::Count, "feed_routed", "Messages that were handed on.", |s| {
        one(s.feed.routed_total)
    }),
    family(Kind::Count, "feed_dropped", "Messages that were dropped, by reason.", |s| {
        counts("reason", &s.feed.dropped_total)
    }),
    family(Kind::Count, "feed_nulled", "Payloads in which a NaN or infinity became null.", |s| {
        one(s.feed.nulled_total)
    }),
    family(Kind::Gauge, "feed_topics", "Wanted topics, by whether they tick.", |s| {
        counts("state", &s.feed.topics)
    }),
    family(Kind::Count, "feed_shed", "Ticks replaced because a shard was behind.", |s| {
        one(s.feed.shed_total)
    }),
    family(Kind::Count, "feed_reconnects", "Connections to publishers made again.", |s| {
        one(s.feed.reconnects_total)
    }),
    family(
        Kind::Count,
        "feed_protocol_errors",
        "Publishers that broke ZMTP or fell silent.",
        |s| one(s.feed.protocol_errors_total),
    ),
    family(Kind::Count, "audit_records_written", "Records in the audit log.", |s| {
        one(s.audit.written_total)
    }),
    family(Kind::Count, "audit_records_dropped", "Records that the audit log lost.", |s| {
        one(s.audit.dropped_total)
    }),
    family(Kind::Count, "audit_write_errors", "Failed attempts to write the audit log.", |s| {
        one(s.audit.errors_total)
    }),
    family(Kind::Gauge, "audit_failing", "1 if the audit log cannot be written, else 0.", |s| {
        one(s.audit.failing.into())
    }),
    family(Kind::Gauge, "channel_clients", "Connected clients of the channel.", |s| {
        labelled("channel", s.channels.iter().map(|it| (&it.path, it.clients)))
    }),
    family(Kind::Count, "channel_broadcasts", "Broadcasts serialized, once for all.", |s| {
        broadcasts(s, |it| it.sent_total)
    }),
    family(
        Kind::Count,
        "channel_broadcasts_skipped",
        "Intervals in which nothing had changed for the listeners.",
        |s| broadcasts(s, |it| it.skipped_total),
    ),
    family(
        Kind::Count,
        "channel_ticks_left_out",
        "Ticks of topics that are too many for the broadcast.",
        |s| broadcasts(s, |it| it.left_out_total),
    ),
    family(
        Kind::Count,
        "outbox_ticks_left_out",
        "Ticks never sent to a client that lags, by policy.",
        |s| counts("policy", &s.outbox.ticks_left_out_total),
    ),
    family(
        Kind::Count,
        "outbox_clients_closed",
        "Clients closed because too much waits for them, by what found no room.",
        |s| counts("reason", &s.outbox.clients_closed_total),
    ),
    of_shards!(Gauge, "shard_clients", "Clients of the shard.", clients),
    of_shards!(Gauge, "shard_routes", "Pairs of client and topic the shard delivers to.", routes),
    of_shards!(Gauge, "shard_topics", "Topics with at least one route in the shard.", topics),
    of_shards!(Gauge, "shard_mailbox_messages", "Messages that wait for the shard.", mailbox_len),
    of_shards!(
        Count,
        "shard_ticks_delivered",
        "Ticks put into outboxes, once for each client.",
        ticks_delivered_total
    ),
    of_shards!(
        Count,
        "shard_ticks_conflated",
        "Ticks replaced by later ones in outboxes.",
        ticks_conflated_total
    ),
    of_shards!(
        Count,
        "shard_ticks_dropped",
        "Ticks that had to go because they were the oldest.",
        ticks_dropped_total
    ),
    of_shards!(Count, "shard_stalls", "Clients cut off because they read nothing.", stalls_total),
    of_shards!(
        Count,
        "shard_overflows",
        "Clients closed for all that waits for them.",
        overflows_total
    ),
    of_shards!(
        GaugeOfBytes,
        "shard_outbox",
        "Bytes that wait for the clients of the shard.",
        outbox_bytes
    ),
    of_shards!(Gauge, "shard_last_values", "Topics whose last value the shard keeps.", last_values),
    of_shards!(Gauge, "shard_paced", "Pairs of client and topic that have a pace.", paced),
    of_shards!(
        Count,
        "shard_values_withheld",
        "Values left out because later ones came within the interval.",
        values_withheld_total
    ),
    family(Kind::Gauge, "queue_items", "Items that wait in the queue.", |s| {
        labelled("queue", s.queues.iter().map(|(name, queue)| (name, queue.len)))
    }),
    family(Kind::Gauge, "queue_items_max", "Items the queue holds at most.", |s| {
        labelled("queue", s.queues.iter().map(|(name, queue)| (name, queue.max)))
    }),
    family(Kind::Gauge, "tasks", "Living tasks by name.", |s| {
        labelled("task", s.tasks.iter().map(|(name, count)| (name, *count)))
    }),
    family(Kind::Gauge, "timers", "Deadlines the hub waits for.", |s| one(s.timers)),
];
