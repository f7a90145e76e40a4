//! What an operator may see of the hub.

use std::collections::BTreeMap;

use super::Hub;
use super::client::Client;
use super::topic_state::TopicState;
use super::user::SessionState;
use crate::broker::{BrokerError, BrokerErrorCode, CommandKind, Done};
use crate::engine::Upstream;
use crate::topic::{BrokerName, ClientId, Topic, UserId};

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubTotals {
    /// Clients that finished their handshake.
    pub opened: u64,
    /// Clients whose connection has ended.
    pub closed: u64,
    /// Requests taken up.
    pub requests: u64,
    /// Answers given.
    pub answers: u64,
    /// Connect commands sent to brokers.
    pub connects: u64,
    /// Disconnect commands sent to brokers.
    pub disconnects: u64,
    /// Subscribe commands sent to brokers.
    pub subscribes: u64,
    /// Unsubscribe commands sent to brokers.
    pub unsubscribes: u64,
    /// Commands to end all topics of a session.
    pub unsubscribes_of_all: u64,
    /// Commands that brokers carried out.
    pub succeeded: u64,
    /// Commands that brokers refused or could not carry out.
    pub failed: u64,
    /// Commands that brokers did not answer in time.
    pub timed_out: u64,
    /// Answers and events of brokers that came too late, twice, or about an older session.
    pub stale_events: u64,
    /// Credential invalidations of users that had a session.
    pub invalidations: u64,
}

impl HubTotals {
    pub(super) const fn sent(&mut self, kind: &CommandKind) {
        match kind {
            CommandKind::Connect => self.connects += 1,
            CommandKind::Disconnect => self.disconnects += 1,
            CommandKind::Subscribe { .. } => self.subscribes += 1,
            CommandKind::Unsubscribe { .. } => self.unsubscribes += 1,
            CommandKind::UnsubscribeAll => self.unsubscribes_of_all += 1,
        }
    }

    pub(super) const fn answered(&mut self, result: &Result<Done, BrokerError>) {
        match result {
            Ok(_) => self.succeeded += 1,
            Err(error) => match error.code {
                BrokerErrorCode::Timeout => self.timed_out += 1,
                BrokerErrorCode::Refused
                | BrokerErrorCode::InitFailed
                | BrokerErrorCode::NotConnected => self.failed += 1,
            },
        }
    }
}

/// The hub at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSnapshot {
    /// Clients whose connection is open.
    pub clients: usize,
    /// Those of them that have authenticated.
    pub authenticated: usize,
    /// Clients in each channel, by number.
    pub channels: Vec<usize>,
    /// Accounts with a client or a session, in order of their names; as many as were asked for.
    pub sessions: Vec<SessionSnapshot>,
    /// The sessions of all of them.
    pub session_states: Vec<SessionState>,
    /// Topics that somebody wants, or that are still on at a broker, in order of user and name; as
    /// many as were asked for.
    pub topics: Vec<TopicSnapshot>,
    /// What the brokers are doing about all of them, and whether they wait for the pause before
    /// the next attempt.
    pub topic_states: Vec<(Upstream, bool)>,
    /// Pairs of client and topic.
    pub subscriptions: usize,
    /// Every broker: whether it can be talked to, and if not, why.
    pub brokers: Vec<(BrokerName, bool, String)>,
    /// Broker commands that are not answered yet, by broker.
    pub commands_by_broker: BTreeMap<BrokerName, usize>,
    /// Commands that wait until their broker takes another call, by broker.
    pub calls_waiting: BTreeMap<BrokerName, usize>,
    /// Deadlines that are set.
    pub timers: usize,
    /// Routes that somebody wants.
    pub routes: usize,
    /// Whether the gateway is stopping.
    pub draining: bool,
    /// Counters since the start.
    pub totals: HubTotals,
}

/// One account's broker session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// Whose.
    pub user: UserId,
    /// At which broker.
    pub broker: BrokerName,
    /// Number of its current life; 0: none yet.
    pub session: u64,
    /// Where it stands.
    pub state: SessionState,
    /// Whether it waits for the pause before the next attempt.
    pub paused: bool,
    /// How long it has been in this state.
    pub in_state_ms: u64,
    /// Times it was opened.
    pub opened: u64,
    /// Connections that carry its topics.
    pub connections: usize,
    /// Why it failed last, if it has not been up since.
    pub last_error: Option<String>,
    /// Clients of the account.
    pub clients: usize,
    /// Those of them that follow order updates.
    pub orders_clients: usize,
}

/// One topic of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSnapshot {
    /// Whose.
    pub user: UserId,
    /// At which broker.
    pub broker: BrokerName,
    /// What.
    pub topic: Topic,
    /// Clients that want it: the reference count.
    pub count: usize,
    /// What the broker is doing about it.
    pub state: Upstream,
    /// Whether it waits for the pause before the next attempt.
    pub paused: bool,
    /// Levels of the book that the broker sends, or is asked for.
    pub depth: u32,
}

impl Hub {
    /// The hub as it is now, with the names of the first `rows_max` sessions and topics: while
    /// names are sorted and copied, nobody is served. `now_ms` as in [`Hub::handle`].
    #[must_use]
    pub fn snapshot(&self, now_ms: u64, rows_max: usize) -> HubSnapshot {
        let all = || self.users.values().flat_map(|user| user.topics.values());
        let paused = |at: &TopicState| at.backoff.wait_until_ms(now_ms).is_some();
        let brokers = self.options.brokers.iter().map(|name| {
            let link = &self.brokers[name];
            (name.clone(), link.up, link.reason.clone())
        });
        let mut commands_by_broker = BTreeMap::new();
        for about in self.in_flight.values() {
            *commands_by_broker.entry(self.users[&about.user].broker.clone()).or_insert(0) += 1;
        }
        HubSnapshot {
            clients: self.clients.keys().filter(|id| !id.is_own()).count(),
            authenticated: self
                .clients
                .iter()
                .filter(|(id, it)| self.has_come_in(**id, it))
                .count(),
            channels: self.clients_by_channel(),
            sessions: self.session_rows(now_ms).take(rows_max).collect(),
            session_states: self.users.values().map(|user| user.main().state).collect(),
            topics: self.topic_rows(now_ms, rows_max),
            topic_states: all().map(|at| (at.upstream, paused(at))).collect(),
            subscriptions: all().map(|at| at.wants.len()).sum(),
            brokers: brokers.collect(),
            commands_by_broker,
            calls_waiting: self
                .brokers
                .iter()
                .filter_map(|(name, link)| Some((name.clone(), link.calls.as_ref()?.len())))
                .collect(),
            timers: self.timers.len(),
            routes: self.routes.len(),
            draining: self.draining,
            totals: self.totals,
        }
    }

    /// Whether somebody has come in by a credential.
    fn has_come_in(&self, id: ClientId, client: &Client) -> bool {
        !id.is_own() && client.user().is_some_and(|user| !self.is_crowd(user))
    }

    fn clients_by_channel(&self) -> Vec<usize> {
        let mut counts = vec![0; self.options.channels.len()];
        for (_, client) in self.clients.iter().filter(|(id, _)| !id.is_own()) {
            counts[client.channel.0] += 1;
        }
        counts
    }

    fn session_rows(&self, now_ms: u64) -> impl Iterator<Item = SessionSnapshot> {
        self.users.iter().map(move |(user, state)| {
            let follows = |client| self.clients.get(client).is_some_and(|client| client.orders);
            SessionSnapshot {
                user: user.clone(),
                broker: state.broker.clone(),
                session: state.main().id.0,
                state: state.main().state,
                paused: state.main().backoff.wait_until_ms(now_ms).is_some(),
                in_state_ms: now_ms.saturating_sub(state.main().since_ms),
                opened: state.main().opened,
                connections: state
                    .sessions
                    .iter()
                    .filter(|it| it.state == SessionState::Up)
                    .count(),
                last_error: state.main().last_error.clone(),
                clients: state.clients_of_others(),
                orders_clients: state.clients.iter().filter(|client| follows(*client)).count(),
            }
        })
    }

    fn topic_rows(&self, now_ms: u64, rows_max: usize) -> Vec<TopicSnapshot> {
        let mut rows = Vec::new();
        for (user, state) in &self.users {
            let left = rows_max - rows.len();
            if left == 0 {
                break;
            }
            let mut topics: Vec<_> = state.topics.iter().collect();
            topics.sort_unstable_by_key(|(topic, _)| *topic);
            rows.extend(topics.into_iter().take(left).map(|(topic, at)| TopicSnapshot {
                user: user.clone(),
                broker: state.broker.clone(),
                topic: topic.clone(),
                count: at.wants.len(),
                state: at.upstream,
                paused: at.backoff.wait_until_ms(now_ms).is_some(),
                depth: at.levels.of(at.depth),
            }));
        }
        rows
    }
}
