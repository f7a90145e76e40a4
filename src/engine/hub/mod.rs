//! The control half of the engine.
//!
//! Every event changes *what is wanted* or *what the broker is known to be doing*, and marks the
//! users, topics and clients it touched. [`Hub::settle`] then compares the two for whatever was
//! touched and sends at most one command for each. Nothing counts edges: the reference count of a
//! topic is the size of its set of wants.

mod access;
mod administer;
mod admission;
mod anonymous;
mod answered;
mod answering;
mod audience;
mod brokers;
mod calls;
mod check;
mod client;
mod moving;
mod overdue;
mod reached;
mod reject;
mod requests;
mod room;
mod routes;
mod seats;
mod serving;
mod session;
mod snapshot;
mod topic_state;
mod topics;
mod user;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::numbered::NumberMap;
use super::timers::Timers;
use super::{ChannelRules, Effect, Event, Note, RESTARTING, ShardId};
use crate::broker::{Command, CommandId, CommandKind};
use crate::config::{BrokerTimes, Config, Quirks, RoleTable};
use crate::marks::{SessionEvent, TopicEvent};
use crate::protocol::TopicRules;
use crate::topic::{BrokerName, ClientId, Topic, UserId};

use access::Revocation;
use administer::Bans;
pub use administer::HubClient;
use audience::Audiences;
use brokers::BrokerLink;
use calls::Turn;
use client::Client;
use routes::Routes;
pub use snapshot::{HubSnapshot, HubTotals, SessionSnapshot, TopicSnapshot};
pub use user::SessionState;
use user::User;

/// What the hub needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The brokers, in the order of the configuration.
    pub brokers: Vec<BrokerName>,
    /// What `get_supported_brokers` lists.
    pub supported: Vec<BrokerName>,
    /// How long a client may stay unauthenticated.
    pub auth_timeout_ms: u64,
    /// Topics that one client may hold.
    pub subscriptions_per_client_max: usize,
    /// Topics that the clients of one user may hold together, each counted for each client.
    pub subscriptions_per_user_max: usize,
    /// Clients that one user may have, those included that wait for its session.
    pub clients_per_user_max: usize,
    /// What each role may do.
    pub roles: RoleTable,
    /// What holds in each channel, by number.
    pub channels: Vec<ChannelRules>,
    /// Deadlines and pauses of brokers.
    pub times: BrokerTimes,
    /// How each broker differs from others; one that is not named does not.
    pub quirks: BTreeMap<BrokerName, Quirks>,
    /// Whether subscriptions that do not say begin with the last value.
    pub snapshot: bool,
    /// How the bus spells topics: what it cannot carry is refused.
    pub rules: TopicRules,
    /// Seed of the jitter.
    pub seed: u64,
}

impl HubOptions {
    /// The options that a configuration gives.
    #[must_use]
    pub fn new(config: &Config, brokers: Vec<BrokerName>, seed: u64) -> Self {
        let rules = TopicRules {
            brokers: brokers.clone(),
            two_segment_exchanges: config.bus.two_segment_exchanges.clone(),
        };
        let supported = match &config.broker.supported[..] {
            [] => brokers.clone(),
            names => names.iter().map(|name| name.as_str().into()).collect(),
        };
        Self {
            brokers,
            supported,
            rules,
            auth_timeout_ms: config.server.auth_timeout_ms,
            subscriptions_per_client_max: config.limits.subscriptions_per_client_max,
            subscriptions_per_user_max: config.limits.subscriptions_per_user_max,
            clients_per_user_max: config.limits.clients_per_user_max,
            roles: config.roles.table(),
            channels: ChannelRules::all(config),
            times: config.broker.clone(),
            quirks: config
                .brokers
                .iter()
                .map(|broker| (broker.name.as_str().into(), broker.quirks.clone()))
                .collect(),
            snapshot: config.ticks.snapshot,
            seed,
        }
    }
}

/// Clients, users, sessions, wants and broker commands.
#[derive(Clone, Debug)]
pub struct Hub {
    options: HubOptions,
    rng: ChaCha8Rng,
    now_ms: u64,
    draining: bool,
    clients: NumberMap<ClientId, Client>,
    users: BTreeMap<UserId, User>,
    /// Who waits for the end of a user's session at another broker, in the order of asking.
    movers: BTreeMap<UserId, Vec<ClientId>>,
    brokers: BTreeMap<BrokerName, BrokerLink>,
    routes: Routes,
    audiences: Audiences,
    in_flight: BTreeMap<CommandId, InFlight>,
    timers: Timers<TimerKey>,
    turn: Turn,
    next_command: u64,
    next_session: u64,
    next_admin: u64,
    bans: Bans,
    /// The latest, oldest first.
    revocations: VecDeque<Revocation>,
    totals: HubTotals,
    work: Work,
}

/// What the last event touched.
#[derive(Clone, Debug, Default)]
struct Work {
    sessions: BTreeSet<(UserId, usize)>,
    /// One may be in it twice: settling it again changes nothing.
    topics: VecDeque<(UserId, Topic)>,
    /// Clients whose current request has been answered: the next one may start.
    clients: VecDeque<ClientId>,
    /// Brokers for whose calls somebody waits.
    brokers: BTreeSet<BrokerName>,
}

/// What a command in flight is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InFlight {
    user: UserId,
    /// Which of its sessions.
    at: usize,
    /// `None`: the session itself.
    topic: Option<Topic>,
}

/// Owners of deadlines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    /// The client must have authenticated by now.
    Authenticate(ClientId),
    /// The client's credential is good no longer.
    Expiry(ClientId),
    /// The client's current request must have been answered by now.
    Request(ClientId),
    /// The command must have been answered by now.
    Command(CommandId),
    /// The user's session may be tried again, or has been idle for long enough.
    Session(UserId, usize),
    /// The topic may be tried again, or has been idle for long enough.
    Topic(UserId, Topic),
    /// The broker takes another call.
    Calls(BrokerName),
}

impl Hub {
    /// A hub with no clients, whose brokers are all down.
    #[must_use]
    pub fn new(options: HubOptions) -> Self {
        let link = |name: &BrokerName| (name.clone(), BrokerLink::new(&options, name));
        let brokers = options.brokers.iter().map(link).collect();
        Self {
            rng: ChaCha8Rng::seed_from_u64(options.seed),
            options,
            now_ms: 0,
            draining: false,
            clients: NumberMap::default(),
            users: BTreeMap::new(),
            movers: BTreeMap::new(),
            brokers,
            routes: Routes::default(),
            audiences: Audiences::default(),
            in_flight: BTreeMap::new(),
            timers: Timers::new(),
            turn: Turn::None,
            next_command: 0,
            next_session: 0,
            next_admin: 0,
            bans: Bans::default(),
            revocations: VecDeque::new(),
            totals: HubTotals::default(),
            work: Work::default(),
        }
    }

    /// Takes in one event and appends what is to be done about it to `effects`.
    ///
    /// `now_ms` never goes back. Events about clients or commands that are gone are ignored.
    pub fn handle(&mut self, now_ms: u64, event: Event, effects: &mut Vec<Effect>) {
        debug_assert!(now_ms >= self.now_ms, "time went back");
        self.now_ms = now_ms;
        match event {
            Event::Opened { client, shard, channel } => {
                self.client_opened(client, shard, channel, effects);
            }
            Event::Request { client, request_id, request } => {
                self.request_arrived(client, request_id, request);
            }
            Event::Closed { client } => self.client_closed(client, effects),
            Event::Broker { broker, event } => self.broker_event(&broker, event, effects),
            Event::Invalidate { user } => self.invalidate(&user, effects),
            Event::Administered { client, number, result } => {
                self.administered(client, number, result, effects);
            }
            Event::Revoke { generation, tags } => self.revoke(generation, tags, effects),
            Event::Timer => {}
            Event::Drain => self.drain(effects),
        }
        self.fire_timers(effects);
        self.settle(effects);
        self.routes.flush(effects);
        self.audiences.flush(effects);
        self.batch(effects);
    }

    /// When [`Event::Timer`] is due next, if ever.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// Whether nothing is left: no client, no session, no command.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.clients.is_empty() && self.users.is_empty()
    }

    /// Brings commands and answers in line with what is wanted, until nothing changes.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        loop {
            if let Some((user, at)) = self.work.sessions.pop_first() {
                self.settle_session(&user, at, effects);
            } else if let Some((user, topic)) = self.work.topics.pop_front() {
                self.settle_topic(&user, &topic, effects);
            } else if let Some(client) = self.work.clients.pop_front() {
                self.serve_next(client, effects);
            } else if let Some(broker) = self.work.brokers.pop_first() {
                self.make_call(&broker, effects);
            } else {
                return;
            }
        }
    }

    fn fire_timers(&mut self, effects: &mut Vec<Effect>) {
        while let Some(key) = self.timers.pop_due(self.now_ms) {
            match key {
                TimerKey::Authenticate(client) => self.authentication_overdue(client, effects),
                TimerKey::Expiry(client) => self.credential_expired(client, effects),
                TimerKey::Request(client) => self.request_overdue(client, effects),
                TimerKey::Command(id) => self.command_overdue(id, effects),
                TimerKey::Session(user, at) => {
                    self.session_meets(&user, at, SessionEvent::Retry);
                    self.work.sessions.insert((user, at));
                }
                TimerKey::Calls(broker) => {
                    self.work.brokers.insert(broker);
                }
                TimerKey::Topic(user, topic) => {
                    self.topic_meets(&user, &topic, TopicEvent::Retry);
                    self.work.topics.push_back((user, topic));
                }
            }
        }
    }

    /// Sends a command about one of a user's sessions and starts its deadline.
    fn send_command(
        &mut self,
        user_id: &UserId,
        at: usize,
        kind: CommandKind,
        effects: &mut Vec<Effect>,
    ) -> CommandId {
        let times = &self.options.times;
        let (topic, deadline_ms) = match &kind {
            CommandKind::Connect | CommandKind::Disconnect | CommandKind::UnsubscribeAll => {
                (None, times.connect_timeout_ms)
            }
            CommandKind::Subscribe { topic, .. } | CommandKind::Unsubscribe { topic } => {
                (Some(topic.clone()), times.answer_timeout_ms)
            }
        };
        let user = &self.users[user_id];
        let (broker, session) = (user.broker.clone(), user.sessions[at].id);
        self.totals.sent(&kind);
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.in_flight.insert(id, InFlight { user: user_id.clone(), at, topic });
        self.timers.set(TimerKey::Command(id), self.now_ms + deadline_ms);
        let deadline = Duration::from_millis(deadline_ms);
        let connection = u32::try_from(at).unwrap_or(u32::MAX);
        let user = user_id.clone();
        let command = Command { id, user, connection, session, kind, deadline, more: false };
        effects.push(Effect::Command { broker, command });
        id
    }

    /// Takes a command off the books: it was answered, is overdue, or does not matter any more.
    fn forget_command(&mut self, id: CommandId) -> Option<InFlight> {
        self.timers.cancel(&TimerKey::Command(id));
        self.in_flight.remove(&id)
    }

    fn drain(&mut self, effects: &mut Vec<Effect>) {
        self.all_meet_the_end();
        self.draining = true;
        for (id, client) in &mut self.clients {
            client.close(*id, RESTARTING, "the gateway is restarting", effects);
        }
        for (user, state) in &self.users {
            self.work.sessions.extend((0..state.sessions.len()).map(|at| (user.clone(), at)));
        }
    }

    fn note(effects: &mut Vec<Effect>, note: Note) {
        effects.push(Effect::Note(note));
    }
}
