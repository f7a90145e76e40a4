//! What clients ask for, and what they are told.

use super::list::List;
use super::words::{
    Ask, BAD_SYMBOL, ClientNo, Failed, Line, NO_SYMBOL, OrdersChange, Outcome, Refusal, Row,
    RowOutcome, Say, SubscribeEntry, Topic, UnsubscribeEntry, UserNo,
};
use super::{Busy, Client, Life, Model, OpenRow, Standing, Work, take_out};

const NOT_AUTHENTICATED: Refusal = Refusal { code: "NOT_AUTHENTICATED", words: "authenticate" };
const NOT_SUBSCRIBED: Refusal = Refusal { code: "INVALID_PARAMETERS", words: "not subscribed" };
const NOT_CARRIED: Refusal = Refusal { code: "INVALID_PARAMETERS", words: "told apart" };
const TOO_MANY: Refusal = Refusal { code: "LIMIT_EXCEEDED", words: "A client may hold" };
const TOO_MANY_TOGETHER: Refusal = Refusal { code: "LIMIT_EXCEEDED", words: "together" };
/// What the walk puts into entries that could not be read.
const UNREADABLE: Refusal = Refusal { code: "INVALID_MODE", words: "Invalid mode" };
const WRONG_KEY: Refusal = Refusal { code: "AUTHENTICATION_ERROR", words: "Invalid API key" };

impl Model {
    pub(super) fn serve_one(&mut self, no: ClientNo, id: Option<u32>, ask: Ask) {
        let account = self.client(no).expect("it asks").account;
        let joined = account.filter(|(_, standing)| *standing == Standing::Joined);
        let user = joined.map(|(user, _)| user);
        match (ask, user) {
            (Ask::Ping, _) => self.tell(no, id, Say::Pong),
            (Ask::SupportedBrokers, _) => self.tell(no, id, Say::SupportedBrokers),
            (Ask::Authenticate(user, broker), _) => self.authenticate(no, id, user, broker),
            (Ask::AuthenticateWrongly, _) => self.refuse_authentication(no, id, WRONG_KEY),
            (
                Ask::Subscribe(_)
                | Ask::Unsubscribe(_)
                | Ask::UnsubscribeAll
                | Ask::SubscribeOrders
                | Ask::UnsubscribeOrders
                | Ask::BrokerInfo,
                None,
            ) => self.tell(no, id, Say::Refused(NOT_AUTHENTICATED)),
            (Ask::Subscribe(entries), Some(user)) => self.subscribe(no, id, user, &entries),
            (Ask::Unsubscribe(entries), Some(user)) => self.unsubscribe(no, id, user, &entries),
            (Ask::UnsubscribeAll, Some(user)) => self.unsubscribe_all(no, id, user),
            (Ask::SubscribeOrders, Some(user)) => {
                self.client(no).expect("it asks").follows_orders = true;
                self.deliver(no, id, Say::SubscribedOrders, 0, 0, OrdersChange::Follow(user));
            }
            (Ask::UnsubscribeOrders, Some(_)) => {
                self.client(no).expect("it asks").follows_orders = false;
                self.deliver(no, id, Say::UnsubscribedOrders, 0, 0, OrdersChange::Stop);
            }
            (Ask::BrokerInfo, Some(user)) => {
                let account = self.account(user);
                let status = match account.life {
                    Life::Open => "connected",
                    Life::None => "disconnected",
                    Life::Opening(_) | Life::Closing(_) | Life::Unknown => "connecting",
                };
                let say = Say::BrokerInfo(account.broker, status, user);
                self.tell(no, id, say);
            }
        }
    }

    fn subscribe(
        &mut self,
        no: ClientNo,
        id: Option<u32>,
        user: UserNo,
        entries: &List<SubscribeEntry, 3>,
    ) {
        let mut rows: List<OpenRow, 3> = List::new();
        let mut asked_before: [Option<Topic>; 3] = [None; 3];
        for (at, entry) in entries.iter().enumerate() {
            let row = match entry {
                SubscribeEntry::Bad => failed(BAD_SYMBOL, UNREADABLE),
                SubscribeEntry::Good { topic, depth, pace_ms } => {
                    match asked_before.iter().position(|before| *before == Some(topic)) {
                        Some(row) => OpenRow::SameAs { row: row as u8, topic },
                        None => {
                            let (row, is_new) = self.subscribe_one(no, user, topic, depth, pace_ms);
                            asked_before[at] = is_new.then_some(topic);
                            row
                        }
                    }
                }
            };
            rows.push(row);
        }
        let until_ms = self.now_ms + self.rules.request_timeout_ms;
        let with = Work::Subscribing(rows);
        self.client(no).expect("it asks").busy = Some(Busy { id, until_ms, with });
        self.finish_if_complete(no);
    }

    /// The row, and whether the client has begun to want the topic with it.
    fn subscribe_one(
        &mut self,
        no: ClientNo,
        user: UserNo,
        topic: Topic,
        depth: u32,
        pace_ms: u64,
    ) -> (OpenRow, bool) {
        let symbol = topic.symbol();
        let limit = self.rules.topics_per_client_max;
        let client = self.client(no).expect("it asks");
        if client.wants.contains(&topic) {
            let depth = self.depth_of(user, topic, depth);
            let outcome = RowOutcome::Already(topic.mode(), depth);
            return (OpenRow::Done(Row { symbol, outcome }), false);
        }
        if symbol == NO_SYMBOL {
            return (failed(symbol, NOT_CARRIED), false);
        }
        if client.wants.len() >= limit {
            return (failed(symbol, TOO_MANY), false);
        }
        if self.wanted_together(user) >= self.rules.topics_per_user_max {
            return (failed(symbol, TOO_MANY_TOGETHER), false);
        }
        self.client(no).expect("it asks").wants.push(topic);
        if self.begin_to_hold(user, no, topic, depth) {
            self.log(Line::Subscribed(no, topic));
            let depth = self.depth_of(user, topic, depth);
            let outcome = RowOutcome::Success(topic.mode(), depth, pace_ms);
            return (OpenRow::Done(Row { symbol, outcome }), true);
        }
        (OpenRow::Waits { topic, asked: depth, pace_ms }, true)
    }

    fn wanted_together(&self, user: UserNo) -> usize {
        let of_user = |client: &&Client| client.account.is_some_and(|(owner, _)| owner == user);
        self.clients.iter().filter(of_user).map(|client| client.wants.len()).sum()
    }

    /// The topics that a client's request waits for, in order.
    pub(super) fn waits_for(&mut self, no: ClientNo) -> Vec<Topic> {
        let busy = self.client(no).and_then(|client| client.busy.as_ref());
        let Some(Busy { with: Work::Subscribing(rows), .. }) = busy else { return Vec::new() };
        let waits = |row| match row {
            OpenRow::Waits { topic, .. } => Some(topic),
            OpenRow::Done(_) | OpenRow::SameAs { .. } => None,
        };
        let mut topics: Vec<Topic> = rows.iter().filter_map(waits).collect();
        topics.sort();
        topics
    }

    /// The broker has agreed to a row that a client waits for, or has not.
    pub(super) fn row_done(
        &mut self,
        no: ClientNo,
        topic: Topic,
        outcome: Outcome,
        words: &'static str,
    ) {
        let user = self.client(no).and_then(|client| client.account).expect("it waits").0;
        let refused_as = match outcome {
            Outcome::Done(_) => None,
            Outcome::Timeout => Some("BROKER_TIMEOUT"),
            Outcome::NotConnected => Some("BROKER_CONNECTION_ERROR"),
            Outcome::Refused | Outcome::InitFailed => Some("BROKER_ERROR"),
        };
        let levels = self.share(user, topic).map(|share| share.levels).unwrap_or_default();
        if refused_as.is_some() {
            take_out(&mut self.client(no).expect("it waits").wants, |wanted| *wanted == topic);
            self.let_go(user, no, topic);
        }
        let busy = self.client(no).and_then(|client| client.busy.as_mut()).expect("it waits");
        let Work::Subscribing(rows) = &mut busy.with else { unreachable!("it subscribes") };
        for row in rows.iter_mut().flatten() {
            if let OpenRow::Waits { topic: waited, asked, pace_ms } = *row
                && waited == topic
            {
                let outcome = match refused_as {
                    None => RowOutcome::Success(topic.mode(), levels.of(asked), pace_ms),
                    Some(code) => RowOutcome::Failed(Refusal { code, words }),
                };
                *row = OpenRow::Done(Row { symbol: topic.symbol(), outcome });
            }
        }
        if refused_as.is_none() {
            self.log(Line::Subscribed(no, topic));
        }
        self.finish_if_complete(no);
    }

    /// Answers a subscribe all of whose rows have their outcome, and routes what has succeeded.
    fn finish_if_complete(&mut self, no: ClientNo) {
        let client = self.client(no).expect("it asks");
        let Some(Busy { with: Work::Subscribing(open), .. }) = &client.busy else { return };
        let mut rows: List<Row, 3> = List::new();
        for row in open.iter() {
            rows.push(match row {
                OpenRow::Waits { .. } => return,
                OpenRow::Done(row) => row,
                OpenRow::SameAs { row, topic } => {
                    let first = rows[row as usize].expect("it comes before");
                    let outcome = match first.outcome {
                        RowOutcome::Success(_, depth, _) | RowOutcome::Already(_, depth) => {
                            RowOutcome::Already(topic.mode(), depth)
                        }
                        RowOutcome::Failed(refusal) => RowOutcome::Failed(refusal),
                    };
                    Row { symbol: first.symbol, outcome }
                }
            });
        }
        let (user, _) = client.account.expect("it subscribes");
        let (mut add, mut paces) = (0, Vec::new());
        for row in rows.iter() {
            if let RowOutcome::Success(mode, _, pace_ms) = row.outcome {
                let topic = Topic::new(row.symbol, mode);
                add |= topic.bit();
                if pace_ms > 0 {
                    paces.push((topic, pace_ms));
                }
            }
        }
        paces.sort();
        let broker = self.account(user).broker;
        self.finish_and_route(no, Say::Subscribed(rows, broker), add);
        if let Some(delivery) = self.expected.deliveries.last_mut() {
            delivery.paces = paces;
        }
    }

    fn unsubscribe(
        &mut self,
        no: ClientNo,
        id: Option<u32>,
        user: UserNo,
        entries: &List<UnsubscribeEntry, 3>,
    ) {
        let (mut done, mut not_done) = (List::new(), List::new());
        let mut remove = 0;
        for entry in entries.iter() {
            let UnsubscribeEntry::Good { symbol, mode } = entry else {
                not_done.push(Failed { symbol: BAD_SYMBOL, refusal: UNREADABLE });
                continue;
            };
            let client = self.client(no).expect("it asks");
            let is_meant = |topic: &Topic| {
                topic.symbol() == symbol && mode.is_none_or(|mode| mode == topic.mode())
            };
            let mut meant: Vec<Topic> = client.wants.iter().copied().filter(is_meant).collect();
            meant.sort();
            if meant.is_empty() {
                not_done.push(Failed { symbol, refusal: NOT_SUBSCRIBED });
                continue;
            }
            for topic in meant {
                take_out(&mut self.client(no).expect("it asks").wants, |want| *want == topic);
                remove |= topic.bit();
                self.give_up(user, no, topic);
            }
            done.push(symbol);
        }
        let say = Say::Unsubscribed(done, not_done, self.account(user).broker);
        self.deliver(no, id, say, 0, remove, OrdersChange::Keep);
    }

    fn unsubscribe_all(&mut self, no: ClientNo, id: Option<u32>, user: UserNo) {
        let wants = std::mem::take(&mut self.client(no).expect("it asks").wants);
        let remove = wants.iter().fold(0, |set, topic| set | topic.bit());
        for topic in &wants {
            self.give_up(user, no, *topic);
        }
        let done = wants.iter().map(|topic| topic.symbol()).collect();
        let say = Say::Unsubscribed(done, List::new(), self.account(user).broker);
        self.deliver(no, id, say, 0, remove, OrdersChange::Keep);
    }
}

fn failed(symbol: u8, refusal: Refusal) -> OpenRow {
    OpenRow::Done(Row { symbol, outcome: RowOutcome::Failed(refusal) })
}
