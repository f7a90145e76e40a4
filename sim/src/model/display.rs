//! Steps in words.

use std::fmt;

use super::words::{
    Ask, Outcome, Step, SubscribeEntry, Topic, UnsubscribeEntry, broker, symbol, user,
};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { client, shard } => write!(f, "c{client} connects, on shard {shard}"),
            Self::Ask { client, id, ask } => {
                write!(f, "c{client} asks: {ask}")?;
                id.map_or(Ok(()), |id| write!(f, " (request_id {id})"))
            }
            Self::Close { client } => write!(f, "c{client} is gone"),
            Self::BrokerUp(no) => write!(f, "{} is up", broker(*no)),
            Self::BrokerDown(no) => write!(f, "{} is down", broker(*no)),
            Self::Answered { command, result } => write!(f, "answer to #{command}: {result}"),
            Self::SessionLost { user: no, broker: at, session } => {
                write!(f, "{} loses session {session} of {}", broker(*at), user(*no))
            }
            Self::Invalidate(no) => write!(f, "the credentials of {} change", user(*no)),
            Self::Timer => f.write_str("the timer fires"),
            Self::Drain => f.write_str("the gateway is to stop"),
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticate(no, at) => {
                write!(f, "authenticate as {} of {}", user(*no), broker(*at))
            }
            Self::AuthenticateWrongly => f.write_str("authenticate with a wrong key"),
            Self::Subscribe(entries) => {
                f.write_str("subscribe")?;
                entries.iter().try_for_each(|entry| match entry {
                    SubscribeEntry::Good { topic, depth, pace_ms: 0 } => {
                        write!(f, " {topic}:{depth}")
                    }
                    SubscribeEntry::Good { topic, depth, pace_ms } => {
                        write!(f, " {topic}:{depth} each {pace_ms} ms")
                    }
                    SubscribeEntry::Bad => f.write_str(" (unreadable)"),
                })
            }
            Self::Unsubscribe(entries) => {
                f.write_str("unsubscribe")?;
                entries.iter().try_for_each(|entry| match entry {
                    UnsubscribeEntry::Good { symbol: no, mode: Some(mode) } => {
                        write!(f, " {}", Topic::new(no, mode))
                    }
                    UnsubscribeEntry::Good { symbol: no, mode: None } => {
                        write!(f, " {}/*", symbol(no))
                    }
                    UnsubscribeEntry::Bad => f.write_str(" (unreadable)"),
                })
            }
            Self::UnsubscribeAll => f.write_str("unsubscribe_all"),
            Self::SubscribeOrders => f.write_str("subscribe_orders"),
            Self::UnsubscribeOrders => f.write_str("unsubscribe_orders"),
            Self::BrokerInfo => f.write_str("get_broker_info"),
            Self::SupportedBrokers => f.write_str("get_supported_brokers"),
            Self::Ping => f.write_str("ping"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(None) => f.write_str("done"),
            Self::Done(Some(depth)) => write!(f, "done, {depth} levels"),
            Self::Refused => f.write_str("refused"),
            Self::InitFailed => f.write_str("credentials have expired"),
            Self::NotConnected => f.write_str("no session"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}
