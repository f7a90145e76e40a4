//! What the engine's work costs when there is much of everything: in proportion, never squared.
//! One task owns the hub, and one each shard: while it works on one event, nobody else is served.
#![expect(clippy::disallowed_methods, reason = "it measures how long something really takes")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tickgate::broker::{Answer, BrokerEvent, Command, Done};
use tickgate::config::Config;
use tickgate::engine::{
    Change, ChannelId, Effect, Epoch, Event, Hub, HubOptions, Identity, Orders, OutboxLimits,
    Request, RouteId, Shard, ShardOptions,
};
use tickgate::protocol::SubscribeEntry;
use tickgate::topic::{ClientId, Instrument, Mode, UserId};

/// How much there is in the smaller of two runs.
const SIZE: usize = 500;

/// How many times as much there is of everything in the larger one.
const TIMES: usize = 8;

/// How many times as long it may take. Squared it would be 64.
const TIMES_MAX: u32 = 24;

/// How often it is measured.
const TRIES: usize = 5;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A hub whose broker agrees to everything at once.
struct Crowd {
    hub: Hub,
    effects: Vec<Effect>,
    commands: Vec<Command>,
}

impl Crowd {
    fn new() -> Self {
        let mut config = Config::default();
        config.limits.subscriptions_per_client_max = usize::MAX;
        config.limits.subscriptions_per_user_max = usize::MAX;
        config.limits.clients_per_user_max = usize::MAX;
        let hub = Hub::new(HubOptions::new(&config, vec!["paper".into()], 1));
        let mut crowd = Self { hub, effects: Vec::new(), commands: Vec::new() };
        crowd.broker(BrokerEvent::Up);
        crowd
    }

    fn event(&mut self, event: Event) {
        self.hub.handle(0, event, &mut self.effects);
        for effect in self.effects.drain(..) {
            if let Effect::Command { command, .. } = effect {
                self.commands.push(command);
            }
        }
    }

    fn broker(&mut self, event: BrokerEvent) {
        self.event(Event::Broker { broker: "paper".into(), event });
    }

    fn agree(&mut self) {
        while !self.commands.is_empty() {
            for command in std::mem::take(&mut self.commands) {
                let answer = Answer { id: command.id, result: Ok(Done::default()) };
                self.broker(BrokerEvent::Answer(answer));
            }
        }
    }

    /// A client that comes in as `user` and subscribes to `topics` topics.
    fn enter(&mut self, client: usize, user: &str, topics: usize) {
        let client = ClientId(client as u64);
        let request = |request| Event::Request { client, request_id: None, request };
        let identity = Identity::trader(UserId::from(user), "paper".into());
        let entry = |number| SubscribeEntry {
            instrument: Instrument::new("NSE", format!("S{number}").as_str()),
            mode: Mode::Ltp,
            depth: 5,
            snapshot: None,
            interval_ms: 0,
        };
        let entries = (0..topics).map(|number| Ok(entry(number))).collect();
        self.event(Event::Opened { client, shard: 0, channel: ChannelId::BUILT_IN });
        self.event(request(Request::Authenticate(Ok(identity))));
        self.agree();
        self.event(request(Request::Subscribe(entries)));
        self.agree();
    }

    fn leave(&mut self, client: usize) {
        self.event(Event::Closed { client: ClientId(client as u64) });
    }
}

/// Fails if what `arranged` prepares takes far more than in proportion to its size. The machine is
/// shared, so a bad moment must not decide: what is squared fails however often it is tried.
fn grows_in_proportion(size: usize, mut arranged: impl FnMut(usize) -> Box<dyn FnOnce()>) {
    let mut took = |size| {
        let act = arranged(size);
        let begin = time_at_work();
        act();
        time_at_work() - begin
    };
    let tries: Vec<_> = (0..TRIES).map(|_| (took(size), took(size * TIMES))).collect();
    assert!(
        tries.iter().any(|(small, large)| *large <= *small * TIMES_MAX),
        "for {size} and for {TIMES} times as many: {tries:?}"
    );
}

/// Time that this thread has had a processor, where the system tells; else the time of day.
fn time_at_work() -> Duration {
    // Only then does the system book what has run.
    std::thread::yield_now();
    let ran = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = ran.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| STARTED.elapsed(), Duration::from_nanos)
}

#[test]
fn a_broker_that_is_lost_and_returns_costs_in_proportion_to_its_topics() {
    grows_in_proportion(SIZE, |topics| {
        let mut crowd = Crowd::new();
        for user in 0..20 {
            crowd.enter(user, &format!("user-{user}"), topics / 20);
        }
        Box::new(move || {
            crowd.broker(BrokerEvent::Down { reason: "gone".into() });
            crowd.broker(BrokerEvent::Up);
            crowd.agree();
        })
    });
}

#[test]
fn a_client_that_leaves_costs_in_proportion_to_its_topics() {
    grows_in_proportion(SIZE, |topics| {
        let mut crowd = Crowd::new();
        crowd.enter(1, "alice", topics);
        Box::new(move || crowd.leave(1))
    });
}

#[test]
fn clients_that_all_leave_cost_in_proportion_to_their_number() {
    grows_in_proportion(SIZE, |clients| {
        let mut crowd = Crowd::new();
        for client in 0..clients {
            crowd.enter(client, "alice", 3);
        }
        Box::new(move || (0..clients).for_each(|client| crowd.leave(client)))
    });
}

#[test]
fn a_user_who_returns_as_another_costs_in_proportion_to_the_topics() {
    grows_in_proportion(SIZE, |topics| {
        let mut crowd = Crowd::new();
        crowd.enter(1, "alice", topics);
        crowd.enter(2, "bob", 1);
        let client = ClientId(1);
        let request = |request| Event::Request { client, request_id: None, request };
        let entry = |number| SubscribeEntry {
            instrument: Instrument::new("NSE", format!("S{number}").as_str()),
            mode: Mode::Ltp,
            depth: 5,
            snapshot: None,
            interval_ms: 0,
        };
        let entries = (0..topics).map(|number| Ok(entry(number))).collect();
        let identity = Identity::trader("carol".into(), "paper".into());
        // While carol's session is being opened, the subscribe waits in the queue: both are then
        // served in one event.
        crowd.event(request(Request::Authenticate(Ok(identity))));
        crowd.event(request(Request::Subscribe(entries)));
        Box::new(move || crowd.agree())
    });
}

/// A shard of clients that follow one user's orders and hold `routes` routes.
fn shard_of(clients: usize, routes: usize) -> Shard {
    let outbox = OutboxLimits {
        ticks_max: usize::MAX,
        tick_bytes_max: usize::MAX,
        latest_bytes_max: usize::MAX,
        control_bytes_max: usize::MAX,
    };
    let mut shard =
        Shard::new(ShardOptions { outbox, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 });
    let add: Vec<RouteId> = (0..routes).map(|route| RouteId(route as u64)).collect();
    for route in &add {
        shard.expect(*route, Epoch(0));
    }
    for client in 0..clients {
        let client = ClientId(client as u64);
        let change = Change {
            add: add.clone(),
            orders: Orders::Follow("alice".into()),
            ..Change::default()
        };
        shard.attach(client);
        shard.deliver(client, change, None);
    }
    shard
}

#[test]
fn an_unsubscribe_costs_in_proportion_to_its_topics_and_the_ticks_that_wait() {
    grows_in_proportion(SIZE, |topics| {
        let mut shard = shard_of(1, topics);
        let routes = (0..topics).map(|route| RouteId(route as u64));
        for route in routes.clone() {
            shard.tick(route, &Bytes::from_static(b"tick"));
        }
        let change = Change { remove: routes.rev().collect(), ..Change::default() };
        Box::new(move || shard.deliver(ClientId(0), change, None))
    });
}

#[test]
fn clients_that_are_all_closed_cost_in_proportion_to_their_number() {
    grows_in_proportion(SIZE, |clients| {
        let mut shard = shard_of(clients, 3);
        let clients = (0..clients).rev().map(|client| ClientId(client as u64));
        Box::new(move || {
            for client in clients.clone() {
                shard.close(client, 1012, "the gateway is restarting");
            }
            while shard.pop_dirty().is_some() {}
            clients.for_each(|client| shard.detach(client));
        })
    });
}

#[test]
fn an_operator_who_looks_gets_the_first_rows_and_the_totals_of_all() {
    let mut crowd = Crowd::new();
    for client in 0..9 {
        crowd.enter(client, &format!("user-{client}"), 20);
    }
    let seen = crowd.hub.snapshot(0, 25);
    assert_eq!((seen.sessions.len(), seen.session_states.len()), (9, 9));
    assert_eq!((seen.topics.len(), seen.topic_states.len(), seen.subscriptions), (25, 180, 180));
    assert!(seen.topics.is_sorted_by_key(|row| (row.user.clone(), row.topic.clone())));
    let seen = crowd.hub.snapshot(0, 0);
    assert_eq!((seen.sessions.len(), seen.topics.len(), seen.subscriptions), (0, 0, 180));
}
