//! One event, one line of the trace.

use std::fmt;

use tickgate::audit::{Record, What};
use tickgate::server::status::Status;

use super::{Answer, Call, Event, Op, Phase, Reply, Request, RowOutcome, Seen, Tick};
use crate::broker_host::BrokerHost;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.at_us / 1_000, self.at_us % 1_000);
        write!(f, "{ms:>7}.{us:03} {:<12} {}", self.actor, self.seen)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase(phase) => write!(f, "-- {phase} --"),
            Self::Status(status) => write_status(f, status),
            Self::Stuck(what) => write!(f, "stuck: {what}"),
            Self::Knocks => f.write_str("shows its key at the door"),
            Self::Connected { connection } => write!(f, "connected ({connection})"),
            Self::Sent(sent) => write!(f, "-> {} {}", sent.id, sent.request),
            Self::Answered(answer) => write!(f, "<- {answer}"),
            Self::Tick(tick) => write!(f, "<- {tick}"),
            Self::Broadcast { ticks, snapshot } => {
                f.write_str("<- broadcast")?;
                ticks.iter().try_for_each(|tick| write!(f, " {} #{}", tick.topic, tick.seq))?;
                if *snapshot { f.write_str(" (snapshot)") } else { Ok(()) }
            }
            Self::FeedStatus { status, topics } => {
                write!(f, "<- {}", status.word())?;
                topics.iter().try_for_each(|topic| write!(f, " {topic}"))
            }
            Self::OrderUpdate { user, seq } => write!(f, "<- order update {user} #{seq}"),
            Self::Notice { number } => write!(f, "<- notice #{number}"),
            Self::Administered(what) => write!(f, "an administrator {what}"),
            Self::Unexpected(text) => write!(f, "<- unexpected {text}"),
            Self::Leaves { politely: true } => f.write_str("says goodbye"),
            Self::Leaves { politely: false } => f.write_str("vanishes"),
            Self::TurnedAway { status } => write!(f, "was turned away {status}"),
            Self::Lost { code: Some(code), reason } => write!(f, "was closed {code} {reason}"),
            Self::Lost { code: None, reason } => write!(f, "was cut off: {reason}"),
            Self::Finished => f.write_str("has finished"),
            Self::Greeted => f.write_str("was greeted by the gateway"),
            Self::Called(call) => write!(f, "<= {call}"),
            Self::TookEffect(call) => write!(f, "does {call}"),
            Self::Replied { call, error, in_time } => {
                let late = if *in_time { "" } else { " (late)" };
                write!(f, "=> {call} {}{late}", error.unwrap_or("ok"))
            }
            Self::SessionLost { user, session } => write!(f, "lost session {session} of {user}"),
            Self::BrokerDied { back_in_ms } => write!(f, "died, back in {back_in_ms} ms"),
            Self::Published { topic, seq, wanted } => {
                let unwanted = if *wanted { "" } else { " (unwanted)" };
                write!(f, "publishes {topic} #{seq}{unwanted}")
            }
            Self::PublishedOrder { user, seq } => write!(f, "publishes order of {user} #{seq}"),
            Self::Invalidated { user } => write!(f, "invalidates credentials of {user}"),
            Self::Lied(call) => write!(f, "is about to lie about {call}"),
            Self::Forgot(call) => write!(f, "forgets {call}"),
            Self::Struck(strike) => strike.fmt(f),
            Self::Linked(party) => write!(f, "connects {party}"),
            Self::Log { level, text } => write!(f, "{level} {text}"),
            Self::KeyChanges(change) => write!(f, "is about to learn: {change}"),
            Self::KeyChanged(change) => write!(f, "has learnt: {change}"),
            Self::Audited(record) => write_record(f, record),
            Self::Stopped { took_ms, tasks_left } => {
                write!(f, "stopped in {took_ms} ms, tasks left: {tasks_left:?}")
            }
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WarmUp => "warm up",
            Self::Play => "play",
            Self::Settle => "settle",
            Self::Rest => "rest",
            Self::Silence => "silence",
            Self::Leave => "leave",
            Self::Empty => "empty",
            Self::Stop => "stop",
            Self::Done => "done",
        })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticate(Some(user)) => write!(f, "authenticate as {user}"),
            Self::Authenticate(None) => f.write_str("authenticate with a wrong key"),
            Self::Subscribe(topics) => {
                f.write_str("subscribe")?;
                topics.iter().try_for_each(|topic| write!(f, " {topic}"))
            }
            Self::Unsubscribe(entries) => {
                f.write_str("unsubscribe")?;
                entries.iter().try_for_each(|entry| match entry.every_mode {
                    true => write!(f, " {}/*", entry.topic.instrument()),
                    false => write!(f, " {}", entry.topic),
                })
            }
            Self::UnsubscribeAll => f.write_str("unsubscribe_all"),
            Self::SubscribeOrders => f.write_str("subscribe_orders"),
            Self::UnsubscribeOrders => f.write_str("unsubscribe_orders"),
            Self::Ping => f.write_str("ping"),
            Self::BrokerInfo => f.write_str("get_broker_info"),
            Self::SupportedBrokers => f.write_str("get_supported_brokers"),
            Self::Garbage(text) => write!(f, "garbage {text:?}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{id} {}", self.reply),
            None => write!(f, "{}", self.reply),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticated(user) => write!(f, "authenticated as {user}"),
            Self::Subscribed(rows) => {
                f.write_str("subscribed")?;
                rows.iter().try_for_each(|row| {
                    let mode = row.mode.map_or("?", |mode| mode.label());
                    match &row.outcome {
                        RowOutcome::Success => write!(f, " {}/{mode} ok", row.instrument),
                        RowOutcome::Already => write!(f, " {}/{mode} already", row.instrument),
                        RowOutcome::Failed { code } => write!(f, " {} {code}", row.instrument),
                    }
                })
            }
            Self::Unsubscribed { successful, failed } => {
                write!(f, "unsubscribed {successful:?}, failed {failed:?}")
            }
            Self::OrdersOn => f.write_str("orders on"),
            Self::OrdersOff => f.write_str("orders off"),
            Self::Pong => f.write_str("pong"),
            Self::BrokerInfo { broker, .. } if *broker == BrokerHost::ONLY.configured() => {
                f.write_str("broker info")
            }
            Self::BrokerInfo { broker, session } => write!(f, "broker info: {broker} {session}"),
            Self::SupportedBrokers(_) => f.write_str("supported brokers"),
            Self::Refused { code, message } => write!(f, "refused {code}: {message}"),
        }
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, source, seq, snapshot, number, skipped, broker } = self;
        write!(f, "tick {topic} #{seq}")?;
        if let Some(broker) = broker {
            write!(f, " of {broker}")?;
        }
        if let Some(number) = number {
            write!(f, "={number}")?;
        }
        if *skipped > 0 {
            write!(f, " skipping {skipped}")?;
        }
        if *source != topic.mode() {
            write!(f, " from {source}")?;
        }
        if *snapshot { f.write_str(" (snapshot)") } else { Ok(()) }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, user, connection, session, op, more: _ } = self;
        match connection {
            0 => write!(f, "{id} {user}/s{session} {op}"),
            _ => write!(f, "{id} {user}#{connection}/s{session} {op}"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Disconnect => f.write_str("disconnect"),
            Self::Subscribe(topic) => write!(f, "subscribe {topic}"),
            Self::Unsubscribe(topic) => write!(f, "unsubscribe {topic}"),
            Self::UnsubscribeAll => f.write_str("unsubscribe_all"),
        }
    }
}

/// Addresses and the time of day are left out: they are no part of the story.
fn write_record(f: &mut fmt::Formatter<'_>, record: &Record) -> fmt::Result {
    let Record { unix_ms: _, what, client, address: _, user, role, dropped: _ } = record;
    write!(f, "audits {}", what.name())?;
    if let Some(client) = client {
        write!(f, " of {client}")?;
    }
    if let Some(user) = user {
        write!(f, " as {user}")?;
    }
    if let Some(role) = role {
        write!(f, ", {role}")?;
    }
    match what {
        What::SubscriptionAdded { topic } | What::SubscriptionRemoved { topic } => {
            write!(f, ": {topic}")
        }
        What::Closed { code: Some(code), .. } => write!(f, ": {code}"),
        What::TurnedAway { reason, .. } | What::AuthenticationFailed { reason, .. } => {
            write!(f, ": {reason}")
        }
        _ => Ok(()),
    }
}

fn write_status(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    let tasks: u64 = status.tasks.values().sum();
    write!(
        f,
        "status: {} clients, {} users, {} topics, {} subscriptions, {} tasks;",
        status.clients.total, status.users_total, status.topics_total, status.subscriptions, tasks
    )?;
    for user in &status.users {
        write!(f, " {} {}", user.user, user.session.state.label())?;
    }
    for topic in &status.topics {
        let mode = tickgate::topic::Mode::from_number(topic.mode.into());
        let mode = mode.map_or("?", |mode| mode.label());
        let (exchange, symbol, state) = (&topic.exchange, &topic.symbol, topic.state.label());
        write!(f, " {}/{exchange}:{symbol}/{mode}={} {state}", topic.user, topic.count)?;
    }
    Ok(())
}
