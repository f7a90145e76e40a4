//! Between the small numbers of the model and the engine's own words.

use serde_json::value::RawValue;
use tickgate::broker::{self, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandId};
use tickgate::broker::{CommandKind, Done, SessionId};
use tickgate::config::{BrokerTimes, Config};
use tickgate::engine::{ChannelId, Event, HubOptions, Identity, Note, Orders, Request};
use tickgate::protocol::{
    Answer, BadEntry, FailedRow, Reject, RowOutcome, SubscribeEntry, SubscribeRow, UnsubscribeEntry,
};
use tickgate::topic::{BrokerName, ClientId, Instrument, Mode, Topic, UserId};

use crate::model::words::{
    self as words, Ask, BAD_SYMBOL, BROKERS, Failed, Kind, Line, OrdersChange, Outcome, Refusal,
    Row, SYMBOLS, Say, Sent, Step, USERS,
};
use crate::model::{Rules, words_of};

/// A mode that cannot be read, for entries that are to fail.
const BAD_MODE: i64 = 9;
const EXCHANGE: &str = "NSE";

/// The engine's names, made once.
#[derive(Clone, Debug)]
pub struct Dictionary {
    users: Vec<UserId>,
    brokers: Vec<BrokerName>,
    instruments: Vec<Instrument>,
}

impl Default for Dictionary {
    fn default() -> Self {
        let instrument = |no| Instrument::new(EXCHANGE, words::symbol(no));
        Self {
            users: (0..USERS as u8).map(|no| words::user(no).into()).collect(),
            brokers: (0..=BROKERS as u8).map(|no| words::broker(no).into()).collect(),
            instruments: (0..=SYMBOLS as u8).map(instrument).collect(),
        }
    }
}

/// The options that make a hub follow `rules`.
#[must_use]
pub fn options(rules: &Rules, seed: u64) -> HubOptions {
    let mut config = Config::default();
    config.server.auth_timeout_ms = rules.auth_timeout_ms;
    config.limits.subscriptions_per_client_max = rules.topics_per_client_max;
    config.limits.subscriptions_per_user_max = rules.topics_per_user_max;
    config.limits.clients_per_user_max = rules.clients_per_user_max;
    config.broker = BrokerTimes {
        connect_timeout_ms: rules.connect_timeout_ms,
        answer_timeout_ms: rules.answer_timeout_ms,
        request_timeout_ms: rules.request_timeout_ms,
        retry_min_ms: rules.retry_min_ms,
        retry_max_ms: rules.retry_max_ms,
        ..BrokerTimes::default()
    };
    let brokers = (0..BROKERS as u8).map(|no| words::broker(no).into()).collect();
    HubOptions::new(&config, brokers, seed)
}

impl Dictionary {
    /// A step as the engine is told of it.
    #[must_use]
    pub fn event(&self, step: &Step) -> Event {
        match *step {
            Step::Open { client, shard } => Event::Opened {
                client: ClientId(client),
                shard: shard.into(),
                channel: ChannelId::BUILT_IN,
            },
            Step::Ask { client, id, ask } => Event::Request {
                client: ClientId(client),
                request_id: id.and_then(|id| RawValue::from_string(id.to_string()).ok()),
                request: self.request(&ask),
            },
            Step::Close { client } => Event::Closed { client: ClientId(client) },
            Step::BrokerUp(no) => self.said(no, BrokerEvent::Up),
            Step::BrokerDown(no) => {
                self.said(no, BrokerEvent::Down { reason: "it has crashed".into() })
            }
            Step::Answered { command, result } => {
                let answer = broker::Answer { id: CommandId(command), result: outcome(result) };
                // The hub knows from the number which broker was asked.
                self.said(0, BrokerEvent::Answer(answer))
            }
            Step::SessionLost { user, broker, session } => {
                let event = BrokerEvent::SessionLost {
                    user: self.user(user),
                    session: SessionId(session),
                    reason: "it has ended".into(),
                };
                self.said(broker, event)
            }
            Step::Invalidate(user) => Event::Invalidate { user: self.user(user) },
            Step::Timer => Event::Timer,
            Step::Drain => Event::Drain,
        }
    }

    fn said(&self, no: words::BrokerNo, event: BrokerEvent) -> Event {
        Event::Broker { broker: self.brokers[no as usize].clone(), event }
    }

    fn user(&self, no: words::UserNo) -> UserId {
        self.users[no as usize].clone()
    }

    fn request(&self, ask: &Ask) -> Request {
        match ask {
            Ask::Authenticate(user, broker) => {
                let broker = self.brokers[*broker as usize].clone();
                Request::Authenticate(Ok(Identity::trader(self.user(*user), broker)))
            }
            Ask::AuthenticateWrongly => Request::Authenticate(Err(Reject::invalid_api_key())),
            Ask::Subscribe(entries) => Request::Subscribe(
                entries.iter().map(|entry| self.subscribe_entry(entry)).collect(),
            ),
            Ask::Unsubscribe(entries) => {
                let entries = entries.iter().map(|entry| self.unsubscribe_entry(entry));
                Request::Unsubscribe(entries.collect())
            }
            Ask::UnsubscribeAll => Request::UnsubscribeAll,
            Ask::SubscribeOrders => Request::SubscribeOrders,
            Ask::UnsubscribeOrders => Request::UnsubscribeOrders,
            Ask::BrokerInfo => Request::BrokerInfo,
            Ask::SupportedBrokers => Request::SupportedBrokers,
            Ask::Ping => Request::Ready(Answer::Pong {
                server_timestamp_ms: 0,
                timestamp: None,
                ping_id: None,
            }),
        }
    }

    fn subscribe_entry(&self, entry: words::SubscribeEntry) -> Result<SubscribeEntry, BadEntry> {
        match entry {
            words::SubscribeEntry::Bad => Err(bad_entry()),
            words::SubscribeEntry::Good { topic, depth, pace_ms: interval_ms } => {
                let instrument = self.instruments[topic.symbol() as usize].clone();
                let mode = Mode::ALL[topic.mode() as usize];
                Ok(SubscribeEntry { instrument, mode, depth, snapshot: None, interval_ms })
            }
        }
    }

    fn unsubscribe_entry(
        &self,
        entry: words::UnsubscribeEntry,
    ) -> Result<UnsubscribeEntry, BadEntry> {
        match entry {
            words::UnsubscribeEntry::Bad => Err(bad_entry()),
            words::UnsubscribeEntry::Good { symbol, mode } => {
                let instrument = self.instruments[symbol as usize].clone();
                let mode = mode.map(|mode| Mode::ALL[mode as usize]);
                Ok(UnsubscribeEntry { instrument, mode })
            }
        }
    }

    /// The number of a user.
    #[must_use]
    pub fn user_no(&self, user: &UserId) -> words::UserNo {
        position(self.users.iter().map(UserId::as_str), user.as_str())
    }

    /// The number of a broker.
    #[must_use]
    pub fn broker_no(&self, broker: &BrokerName) -> words::BrokerNo {
        position(self.brokers.iter().map(BrokerName::as_str), broker.as_str())
    }

    /// The number of a topic.
    #[must_use]
    pub fn topic_no(&self, topic: &Topic) -> words::Topic {
        let mode = topic.mode.index() as u8;
        words::Topic::new(self.symbol_no(&topic.instrument), mode)
    }

    fn symbol_no(&self, instrument: &Instrument) -> u8 {
        let symbols = self.instruments.iter().map(|instrument| &*instrument.symbol);
        position(symbols, &instrument.symbol)
    }

    /// A command in the model's words.
    ///
    /// # Errors
    ///
    /// Fails with what the engine should not say.
    pub fn sent(&self, broker: &BrokerName, command: &Command) -> Result<Sent, String> {
        let (kind, topic, depth) = match &command.kind {
            CommandKind::Connect => (Kind::Connect, None, 0),
            CommandKind::Disconnect => (Kind::Disconnect, None, 0),
            CommandKind::Subscribe { topic, depth } => {
                (Kind::Subscribe, Some(self.topic_no(topic)), *depth)
            }
            CommandKind::Unsubscribe { topic } => {
                (Kind::Unsubscribe, Some(self.topic_no(topic)), 0)
            }
            CommandKind::UnsubscribeAll => return Err("a broker is told unsubscribe_all".into()),
        };
        Ok(Sent {
            command: command.id.0,
            user: self.user_no(&command.user),
            broker: self.broker_no(broker),
            session: command.session.0,
            kind,
            topic,
            depth,
            deadline_ms: command.deadline.as_millis() as u64,
        })
    }

    /// What happens to a client's order updates, in the model's words.
    #[must_use]
    pub fn orders(&self, orders: &Orders) -> OrdersChange {
        match orders {
            Orders::Keep => OrdersChange::Keep,
            Orders::Follow(user) => OrdersChange::Follow(self.user_no(user)),
            Orders::Stop => OrdersChange::Stop,
        }
    }

    /// A line of the log, in the model's words.
    #[must_use]
    pub fn line(&self, note: &Note) -> Line {
        match note {
            Note::Authenticated { client, user, .. } => {
                Line::Authenticated(client.0, self.user_no(user))
            }
            Note::AuthenticationFailed { client, code, failures } => {
                Line::AuthenticationFailed(client.0, code, *failures)
            }
            Note::AdminForbidden { .. } => unreachable!("nobody administers in a walk"),
            Note::Subscribed { client, topic } => Line::Subscribed(client.0, self.topic_no(topic)),
            Note::Unsubscribed { client, topic } => {
                Line::Unsubscribed(client.0, self.topic_no(topic))
            }
            Note::SessionUp { user, .. } => Line::SessionUp(self.user_no(user)),
            Note::SessionDown { user, .. } => Line::SessionDown(self.user_no(user)),
            Note::TopicRefused { user, topic, .. } => {
                Line::TopicRefused(self.user_no(user), self.topic_no(topic))
            }
            Note::TopicFailed { user, topic, .. } => {
                Line::TopicFailed(self.user_no(user), self.topic_no(topic))
            }
            Note::Invalidated { user } => Line::Invalidated(self.user_no(user)),
        }
    }

    /// Whether an answer is the one that the model expects.
    #[must_use]
    pub fn is(&self, answer: &Answer, say: &Say) -> bool {
        match (answer, say) {
            (Answer::Authenticated { broker, user }, Say::Authenticated(expected, at)) => {
                self.user_no(user) == *expected && self.broker_no(broker) == *at
            }
            (Answer::Subscribed { rows, broker }, Say::Subscribed(expected, at)) => {
                self.broker_no(broker) == *at
                    && rows.len() == expected.len()
                    && rows.iter().zip(expected.iter()).all(|(row, say)| self.is_row(row, &say))
            }
            (
                Answer::Unsubscribed { successful, failed, broker },
                Say::Unsubscribed(done, not_done, at),
            ) => {
                self.broker_no(broker) == *at
                    && successful.iter().map(|done| self.symbol_no(done)).eq(done.iter())
                    && failed.len() == not_done.len()
                    && failed
                        .iter()
                        .zip(not_done.iter())
                        .all(|(row, say)| self.is_failed(row, &say))
            }
            (
                Answer::BrokerInfo { broker, adapter_status, user },
                Say::BrokerInfo(at, status, expected),
            ) => {
                self.user_no(user) == *expected
                    && self.broker_no(broker) == *at
                    && adapter_status == status
            }
            (Answer::SupportedBrokers { brokers }, Say::SupportedBrokers) => {
                brokers.iter().eq(&self.brokers[..BROKERS])
            }
            (Answer::Rejected(reject), Say::Refused(refusal)) => is_refusal(reject, refusal),
            (Answer::SubscribedOrders, Say::SubscribedOrders)
            | (Answer::UnsubscribedOrders, Say::UnsubscribedOrders)
            | (Answer::Pong { .. }, Say::Pong) => true,
            (
                Answer::Authenticated { .. }
                | Answer::Subscribed { .. }
                | Answer::Unsubscribed { .. }
                | Answer::BrokerInfo { .. }
                | Answer::SupportedBrokers { .. }
                | Answer::Rejected(_)
                | Answer::SubscribedOrders
                | Answer::UnsubscribedOrders
                | Answer::Admin(_)
                | Answer::Pong { .. },
                _,
            ) => false,
        }
    }

    fn is_row(&self, row: &SubscribeRow, say: &Row) -> bool {
        let outcome = match (&row.outcome, &say.outcome) {
            (
                RowOutcome::Success { mode, depth, interval_ms },
                words::RowOutcome::Success(at, levels, pace_ms),
            ) => mode.index() as u8 == *at && depth == levels && interval_ms == pace_ms,
            (
                RowOutcome::AlreadySubscribed { mode, depth },
                words::RowOutcome::Already(at, levels),
            ) => mode.index() as u8 == *at && depth == levels,
            (RowOutcome::Failed(reject), words::RowOutcome::Failed(refusal)) => {
                is_refusal(reject, refusal)
            }
            (
                RowOutcome::Success { .. }
                | RowOutcome::AlreadySubscribed { .. }
                | RowOutcome::Failed(_),
                _,
            ) => false,
        };
        outcome && self.is_symbol(&row.symbol, say.symbol)
    }

    fn is_failed(&self, row: &FailedRow, say: &Failed) -> bool {
        is_refusal(&row.reject, &say.refusal) && self.is_symbol(&row.symbol, say.symbol)
    }

    fn is_symbol(&self, text: &str, no: u8) -> bool {
        if no == BAD_SYMBOL { text == "?" } else { text == words::symbol(no) }
    }
}

fn is_refusal(reject: &Reject, refusal: &Refusal) -> bool {
    reject.code.as_str() == refusal.code && reject.message.contains(refusal.words)
}

fn position<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> u8 {
    names.position(|known| known == name).map_or(u8::MAX, |at| at as u8)
}

fn bad_entry() -> BadEntry {
    let reject = Reject::invalid_mode_number(&BAD_MODE.to_string());
    BadEntry { exchange: EXCHANGE.into(), symbol: "?".into(), reject, forbidden: false }
}

fn outcome(outcome: Outcome) -> Result<Done, BrokerError> {
    let code = match outcome {
        Outcome::Done(depth) => return Ok(Done { depth }),
        Outcome::Refused => BrokerErrorCode::Refused,
        Outcome::InitFailed => BrokerErrorCode::InitFailed,
        Outcome::NotConnected => BrokerErrorCode::NotConnected,
        Outcome::Timeout => BrokerErrorCode::Timeout,
    };
    Err(BrokerError { code, message: words_of(outcome).to_owned() })
}
