//! What clients ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::client::{Current, CurrentKind, Row};
use super::reject;
use super::room::Earlier;
use super::topic_state::Want;
use super::{Effect, Hub, Note, TimerKey};
use crate::broker::BrokerError;
use crate::engine::{Change, Orders, Request, RouteId};
use crate::marks::mark;
use crate::protocol::{
    Answer, BadEntry, FailedRow, Reject, RequestId, RowOutcome, SubscribeEntry, SubscribeRow,
    UnsubscribeEntry,
};
use crate::topic::{ClientId, Instrument, Mode, Topic, UserId};

impl Hub {
    /// Serves one request: answers it, or leaves it as the client's current one.
    pub(super) fn serve(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        request: Request,
        effects: &mut Vec<Effect>,
    ) {
        let user = self.clients[&id].user().cloned();
        let mut reject = self.forbids_there(id, &request);
        if reject.is_none() && user.is_some() {
            reject = self.forbids(id, &request);
        }
        if let Some(reject) = reject {
            self.note_forbidden(id, &request, effects);
            self.answer(id, request_id, Answer::Rejected(reject), effects);
        } else if user.is_none() && self.becomes_anonymous(id, &request) {
            self.enter_anonymously(id, request_id, request, effects);
        } else {
            self.serve_permitted(id, request_id, request, user, effects);
        }
    }

    fn serve_permitted(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        request: Request,
        user: Option<UserId>,
        effects: &mut Vec<Effect>,
    ) {
        match (request, user) {
            (Request::Ready(answer), _) => self.answer(id, request_id, answer, effects),
            (Request::SupportedBrokers, _) => {
                let brokers = self.options.supported.clone();
                self.answer(id, request_id, Answer::SupportedBrokers { brokers }, effects);
            }
            (Request::Authenticate(identity), _) => {
                self.authenticate(id, request_id, identity, effects);
            }
            (
                Request::Subscribe(_)
                | Request::Unsubscribe(_)
                | Request::UnsubscribeAll
                | Request::SubscribeOrders
                | Request::UnsubscribeOrders
                | Request::Admin(_)
                | Request::BrokerInfo,
                None,
            ) => {
                mark!(NotAuthenticated);
                let answer = Answer::Rejected(Reject::not_authenticated());
                self.answer(id, request_id, answer, effects);
            }
            (Request::Admin(command), Some(user)) => {
                self.administer(id, request_id, user, command, effects);
            }
            (Request::Subscribe(entries), Some(user)) => {
                self.subscribe(id, request_id, &user, entries, effects);
            }
            (Request::Unsubscribe(entries), Some(user)) => {
                self.unsubscribe(id, request_id, &user, entries, effects);
            }
            (Request::UnsubscribeAll, Some(user)) => {
                self.unsubscribe_all(id, request_id, &user, effects);
            }
            (Request::SubscribeOrders, Some(user)) => {
                self.clients[&id].orders = true;
                let change = Change { orders: Orders::Follow(user), ..Change::default() };
                self.answer_with(id, request_id, change, Answer::SubscribedOrders, effects);
            }
            (Request::UnsubscribeOrders, Some(_)) => {
                self.clients[&id].orders = false;
                let change = Change { orders: Orders::Stop, ..Change::default() };
                self.answer_with(id, request_id, change, Answer::UnsubscribedOrders, effects);
            }
            (Request::BrokerInfo, Some(user_id)) => {
                let user = &self.users[&user_id];
                let (broker, adapter_status) = (user.broker.clone(), user.adapter_status());
                let answer = Answer::BrokerInfo { broker, adapter_status, user: user_id };
                self.answer(id, request_id, answer, effects);
            }
        }
    }

    fn subscribe(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        user: &UserId,
        entries: Vec<Result<SubscribeEntry, BadEntry>>,
        effects: &mut Vec<Effect>,
    ) {
        let mut rows = Vec::with_capacity(entries.len());
        let mut waiting = BTreeMap::new();
        let mut earlier = self.earlier(id, user);
        let quiet = self.without_snapshot(&entries);
        for (at, entry) in entries.into_iter().enumerate() {
            let row = match entry {
                Err(bad) => failed_entry(bad),
                Ok(entry) => self.subscribe_entry(id, user, entry, at, &mut earlier, effects),
            };
            if let Row::Waiting { instrument, mode, .. } = &row {
                waiting.insert(Topic::new(instrument.clone(), *mode), at);
            }
            rows.push(row);
        }
        let all_done = waiting.is_empty();
        self.clients[&id].current =
            Some(Current { request_id, kind: CurrentKind::Subscribe { rows, waiting, quiet } });
        if all_done {
            self.finish_subscribe(id, effects);
        } else {
            let at_ms = self.now_ms + self.options.times.request_timeout_ms;
            self.timers.set(TimerKey::Request(id), at_ms);
        }
    }

    fn subscribe_entry(
        &mut self,
        id: ClientId,
        user: &UserId,
        entry: SubscribeEntry,
        at: usize,
        earlier: &mut Earlier,
        effects: &mut Vec<Effect>,
    ) -> Row {
        let SubscribeEntry { instrument, mode, depth, interval_ms, snapshot: _ } = entry;
        let interval_ms = interval_ms.max(self.rules_there(id).pace_ms);
        let depths = &self.rules_of_broker(&self.users[user].broker).depths;
        let depth = depths.fit(&instrument.exchange, depth);
        let topic = Topic::new(instrument, mode);
        if let Some(&row) = earlier.rows.get(&topic) {
            return Row::Repeats { row, instrument: topic.instrument, mode };
        }
        let client = &self.clients[&id];
        if client.topics.contains(&topic) {
            mark!(AlreadySubscribed);
            let depth = self.serving(user, &topic).levels.of(depth);
            return done(&topic.instrument, RowOutcome::AlreadySubscribed { mode, depth });
        }
        if !self.options.rules.carries(&topic.instrument) {
            return done(&topic.instrument, RowOutcome::Failed(Reject::not_on_the_bus()));
        }
        let limit = self.subscriptions_max(id);
        if client.topics.len() >= limit {
            mark!(LimitReached);
            let reject = Reject::too_many_subscriptions(limit);
            return done(&topic.instrument, RowOutcome::Failed(reject));
        }
        if earlier.room == 0 {
            mark!(UserLimitReached);
            let limit = self.options.subscriptions_per_user_max;
            let reject = Reject::too_many_subscriptions_of_user(limit);
            return done(&topic.instrument, RowOutcome::Failed(reject));
        }
        if let Some(reject) = self.is_full(user, &topic) {
            return done(&topic.instrument, RowOutcome::Failed(reject));
        }
        earlier.rows.insert(topic.clone(), at);
        earlier.room -= 1;
        match self.want(user, id, &topic, depth, effects) {
            Want::Waiting => {
                Row::Waiting { instrument: topic.instrument, mode, depth, interval_ms }
            }
            Want::Held => {
                mark!(JoinedOn);
                Self::note(effects, Note::Subscribed { client: id, topic: topic.clone() });
                let depth = self.serving(user, &topic).levels.of(depth);
                done(&topic.instrument, RowOutcome::Success { mode, depth, interval_ms })
            }
        }
    }

    /// The broker has agreed to, or failed at, an entry that a client waits for.
    pub(super) fn entry_done(
        &mut self,
        id: ClientId,
        topic: &Topic,
        result: Result<(), &BrokerError>,
        effects: &mut Vec<Effect>,
    ) {
        let client = &self.clients[&id];
        let user_id = client.user().expect("a waiting client has a user").clone();
        match result {
            Ok(()) => Self::note(effects, Note::Subscribed { client: id, topic: topic.clone() }),
            Err(_) => {
                self.unwant(&user_id, id, topic);
            }
        }
        let served = result.map(|()| self.serving(&user_id, topic).levels);
        let current = self.clients[&id].current.as_mut().expect("a client waits in a request");
        let CurrentKind::Subscribe { rows, waiting, .. } = &mut current.kind else {
            unreachable!("a client waits for a topic in a subscribe");
        };
        let at = waiting.remove(topic).expect("the entry waits");
        let Row::Waiting { mode, depth, interval_ms, .. } = rows[at] else {
            unreachable!("a waiting entry has a waiting row");
        };
        let outcome = match served {
            Ok(levels) => RowOutcome::Success { mode, depth: levels.of(depth), interval_ms },
            Err(error) => RowOutcome::Failed(reject::topic(error)),
        };
        rows[at] = done(&topic.instrument, outcome);
        if waiting.is_empty() {
            self.finish_subscribe(id, effects);
        }
    }

    /// Every entry has its outcome: answer, and route what succeeded right behind the answer.
    fn finish_subscribe(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        let client = &mut self.clients[&id];
        let broker = self.users[client.user().expect("it subscribes")].broker.clone();
        let current = client.current.as_mut().expect("it is being served");
        let CurrentKind::Subscribe { rows, quiet, .. } = &mut current.kind else {
            unreachable!("the request is a subscribe");
        };
        let (rows, quiet) = (settle_rows(std::mem::take(rows)), std::mem::take(quiet));
        mark!(PartlySubscribed if {
            let mut failed = rows.iter().map(|row| matches!(row.outcome, RowOutcome::Failed(_)));
            let first = failed.next();
            failed.any(|failed| Some(failed) != first)
        });
        let mut change = Change::default();
        for row in &rows {
            if let RowOutcome::Success { mode, interval_ms, .. } = row.outcome {
                let instrument = Instrument::new(row.exchange.clone(), row.symbol.clone());
                let topic = Topic::new(instrument, mode);
                let route = self.routes.id(&topic, &broker);
                change.add.push(route);
                if interval_ms > 0 {
                    change.paces.insert(route, interval_ms);
                }
                if quiet.contains(&topic) {
                    change.without_snapshot.insert(route);
                }
            }
        }
        self.finish_with(id, change, Answer::Subscribed { rows, broker }, effects);
    }

    /// The topics of a request that are to begin with the next tick. Of one that is named twice,
    /// the first decides.
    fn without_snapshot(&self, entries: &[Result<SubscribeEntry, BadEntry>]) -> BTreeSet<Topic> {
        let by_default = self.options.snapshot;
        if entries.iter().flatten().all(|entry| entry.snapshot.unwrap_or(by_default)) {
            return BTreeSet::new();
        }
        let mut wishes = BTreeMap::new();
        for SubscribeEntry { instrument, mode, snapshot, .. } in entries.iter().flatten() {
            let snapshot = snapshot.unwrap_or(by_default);
            wishes.entry((instrument, *mode)).or_insert(snapshot);
        }
        let quiet = wishes.into_iter().filter(|(_, snapshot)| !snapshot);
        quiet.map(|((instrument, mode), _)| Topic::new(instrument.clone(), mode)).collect()
    }

    fn unsubscribe(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        user: &UserId,
        entries: Vec<Result<UnsubscribeEntry, BadEntry>>,
        effects: &mut Vec<Effect>,
    ) {
        let broker = self.users[user].broker.clone();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        let mut change = Change::default();
        for entry in entries {
            let UnsubscribeEntry { instrument, mode } = match entry {
                Ok(entry) => entry,
                Err(BadEntry { exchange, symbol, reject, .. }) => {
                    let (exchange, symbol) = (exchange.into(), symbol.into());
                    failed.push(FailedRow { exchange, symbol, reject });
                    continue;
                }
            };
            let modes = Mode::ALL.into_iter().filter(|held| mode.is_none_or(|mode| mode == *held));
            let held: Vec<Topic> = modes
                .map(|mode| Topic::new(instrument.clone(), mode))
                .filter(|topic| self.clients[&id].topics.contains(topic))
                .collect();
            if held.is_empty() {
                mark!(NeverSubscribed);
                let Instrument { exchange, symbol } = instrument;
                failed.push(FailedRow { exchange, symbol, reject: Reject::not_subscribed() });
                continue;
            }
            for topic in &held {
                change.remove.push(self.release_topic(user, id, topic, effects));
            }
            successful.push(instrument);
        }
        let answer = Answer::Unsubscribed { successful, failed, broker };
        self.answer_with(id, request_id, change, answer, effects);
    }

    fn unsubscribe_all(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        user: &UserId,
        effects: &mut Vec<Effect>,
    ) {
        let broker = self.users[user].broker.clone();
        let topics: Vec<Topic> = self.clients[&id].topics.iter().cloned().collect();
        let mut change = Change::default();
        for topic in &topics {
            change.remove.push(self.release_topic(user, id, topic, effects));
        }
        let successful = topics.into_iter().map(|topic| topic.instrument).collect();
        let answer = Answer::Unsubscribed { successful, failed: Vec::new(), broker };
        self.answer_with(id, request_id, change, answer, effects);
    }

    /// Takes a want back and names the route that the client has to leave.
    pub(super) fn release_topic(
        &mut self,
        user: &UserId,
        id: ClientId,
        topic: &Topic,
        effects: &mut Vec<Effect>,
    ) -> RouteId {
        let route = self.routes.id(topic, &self.users[user].broker);
        if self.unwant(user, id, topic) == Want::Held {
            Self::note(effects, Note::Unsubscribed { client: id, topic: topic.clone() });
        }
        route
    }
}

fn done(instrument: &Instrument, outcome: RowOutcome) -> Row {
    let (exchange, symbol) = (instrument.exchange.clone(), instrument.symbol.clone());
    Row::Done { exchange, symbol, outcome }
}

fn failed_entry(bad: BadEntry) -> Row {
    let (exchange, symbol): (Arc<str>, Arc<str>) = (bad.exchange.into(), bad.symbol.into());
    Row::Done { exchange, symbol, outcome: RowOutcome::Failed(bad.reject) }
}

/// Rows that repeat an earlier one share its failure, or are told that it is there already.
fn settle_rows(rows: Vec<Row>) -> Vec<SubscribeRow> {
    let mut settled: Vec<SubscribeRow> = Vec::with_capacity(rows.len());
    for row in rows {
        settled.push(match row {
            Row::Done { exchange, symbol, outcome } => SubscribeRow { exchange, symbol, outcome },
            Row::Repeats { row, instrument, mode } => {
                let outcome = match &settled[row].outcome {
                    RowOutcome::Success { depth, .. }
                    | RowOutcome::AlreadySubscribed { depth, .. } => {
                        RowOutcome::AlreadySubscribed { mode, depth: *depth }
                    }
                    RowOutcome::Failed(reject) => RowOutcome::Failed(reject.clone()),
                };
                let Instrument { exchange, symbol } = instrument;
                SubscribeRow { exchange, symbol, outcome }
            }
            Row::Waiting { .. } => unreachable!("every entry has its outcome"),
        });
    }
    settled
}
