//! What must be true of the hub after every event. Our own mistakes, found where they are made.

use std::iter::repeat_n;

use super::client::{Auth, Client, CurrentKind};
use super::topics::Want;
use super::user::{SessionState, User};
use super::{Hub, ShardId, TimerKey};
use crate::broker::CommandId;
use crate::engine::{RouteId, Upstream};
use crate::topic::{ClientId, Topic, UserId};

impl Hub {
    /// Asserts every private rule of the hub. Costs time in proportion to all that it holds.
    ///
    /// # Panics
    ///
    /// Panics if a rule is broken.
    pub fn check(&self) {
        assert!(self.work.sessions.is_empty(), "sessions are left unsettled");
        assert!(self.work.topics.is_empty(), "topics are left unsettled");
        assert!(self.work.clients.is_empty(), "clients are left unserved");
        for (id, client) in &self.clients {
            self.check_client(*id, client);
        }
        let mut wanted = Vec::new();
        for (id, user) in &self.users {
            self.check_user(id, user, &mut wanted);
        }
        self.check_commands();
        self.check_audiences();
        self.check_serving();
        self.check_routes(wanted);
        self.check_timers();
    }

    fn check_client(&self, id: ClientId, client: &Client) {
        let held = client.topics.len();
        assert!(held <= self.subscriptions_max(id), "{id} holds {held} topics");
        match &client.auth {
            Auth::Nobody => {
                assert!(client.topics.is_empty(), "{id} is nobody and wants something");
                assert!(!client.orders, "{id} is nobody and follows orders");
                let armed = self.timers.contains(&TimerKey::Authenticate(id));
                assert!(
                    armed || client.closing || self.may_be_nobody(id),
                    "{id} is nobody for ever"
                );
            }
            Auth::Joining(user) | Auth::Joined(user) => {
                assert!(self.users[user].clients.contains(&id), "{user} does not know {id}");
            }
        }
        assert!(client.queue.is_empty() || client.current.is_some(), "{id} is not served");
        let Some(current) = &client.current else {
            assert!(!matches!(client.auth, Auth::Joining(_)), "{id} joins without a request");
            return;
        };
        assert!(self.timers.contains(&TimerKey::Request(id)), "{id} waits for ever");
        if let CurrentKind::Subscribe { waiting, .. } = &current.kind {
            assert!(!waiting.is_empty(), "{id} waits for nothing");
            let user = client.user().expect("a subscriber has a user");
            for topic in waiting.keys() {
                let want = self.serving(user, topic).wants[&(id, topic.mode)];
                assert_eq!(want, Want::Waiting, "{id} waits for {topic}, which it holds");
            }
        }
    }

    /// Adds to `wanted` the route of each want.
    fn check_user(&self, id: &UserId, user: &User, wanted: &mut Vec<(RouteId, ShardId)>) {
        assert!(!user.is_over(), "{id} has neither clients nor a session");
        let of_others = user.clients.iter().filter(|id| !id.is_own());
        let held: usize = of_others.map(|id| self.clients[id].topics.len()).sum();
        if !self.is_crowd(id) {
            let count = user.clients_of_others();
            assert!(count <= self.options.clients_per_user_max, "{id}: too many clients");
            assert!(held <= self.options.subscriptions_per_user_max, "{id} holds {held} topics");
        }
        for client in &user.clients {
            assert_eq!(self.clients[client].attached(), Some(id), "{client} is not with {id}");
        }
        self.check_sessions(id, user);
        for (topic, state) in &user.topics {
            let is_off = state.upstream == Upstream::Off;
            assert_eq!(state.seat.is_none(), is_off, "{topic} of {id}: {:?}", state.seat);
            let live = state.seat.is_none_or(|at| user.sessions[at].state == SessionState::Up);
            assert!(live, "{topic} of {id} is {:?} without a session", state.upstream);
            assert!(
                !state.wants.is_empty() || !is_off || state.bound.is_some(),
                "{topic} of {id} is neither wanted nor on"
            );
            for ((client_id, mode), want) in &state.wants {
                let topic = &topic.in_mode(*mode);
                let client = &self.clients[client_id];
                assert!(client.topics.contains(topic), "{client_id} does not know of {topic}");
                assert_eq!(client.user(), Some(id), "{client_id} wants {topic} of {id}");
                let waits = client.current.as_ref().is_some_and(|current| {
                    matches!(&current.kind, CurrentKind::Subscribe { waiting, .. }
                        if waiting.contains_key(topic))
                });
                assert_eq!(waits, *want == Want::Waiting, "{client_id} on {topic}");
                wanted.push((self.routes.id(topic, &user.broker), client.shard));
            }
        }
        // Each want is a topic of its client. If there are as many topics, each of them is wanted.
        let wants: usize = user.topics.values().map(|state| state.wants.len()).sum();
        let topics: usize = user.clients.iter().map(|id| self.clients[id].topics.len()).sum();
        assert_eq!(wants, topics, "clients of {id} have topics that it does not know of");
    }

    fn check_sessions(&self, id: &UserId, user: &User) {
        let room = self.rules_of_broker(&user.broker).topics_per_session;
        let mut carried = vec![0; user.sessions.len()];
        for at in user.topics.values().filter_map(|state| state.seat) {
            carried[at] += 1;
        }
        for (at, (session, carried)) in user.sessions.iter().zip(carried).enumerate() {
            let live = session.state == SessionState::Up;
            // Where calls are limited, what is to be done may have to wait.
            let waits = self.brokers[&user.broker].calls.is_some();
            assert!(waits || !(live && session.stale), "{id} keeps a stale session");
            assert_eq!(carried, session.topics, "{id}: session {at} is counted wrong");
            assert!(carried <= room, "{id}: session {at} carries {carried} topics");
        }
        for topic in &user.homeless {
            assert!(user.topics.contains_key(topic), "{id} has no {topic} that waits for room");
        }
    }

    /// Every command on the books is the one in flight of its topic or session, and the reverse.
    fn check_commands(&self) {
        let mut in_flight = 0;
        let mut check = |command: CommandId, user: &UserId, topic: Option<&Topic>| {
            let about = self.in_flight.get(&command);
            let is_right =
                about.is_some_and(|about| about.user == *user && about.topic.as_ref() == topic);
            assert!(is_right, "{command:?} of {user} for {topic:?} is booked as {about:?}");
            in_flight += 1;
        };
        for (id, user) in &self.users {
            for session in &user.sessions {
                if let Some(command) = session.state.in_flight() {
                    check(command, id, None);
                }
            }
            for (topic, state) in &user.topics {
                if let Some(command) = state.upstream.in_flight() {
                    check(command, id, Some(topic));
                }
            }
        }
        assert_eq!(self.in_flight.len(), in_flight, "a command is on the books in vain");
    }

    fn check_routes(&self, mut expected: Vec<(RouteId, ShardId)>) {
        let counts = self.routes.counts();
        let counted = counts.flat_map(|(id, shard, count)| repeat_n((id, shard), count));
        let mut counted: Vec<_> = counted.collect();
        expected.sort_unstable();
        counted.sort_unstable();
        assert_eq!(counted, expected, "routes and wants have drifted apart");
    }

    fn check_timers(&self) {
        for key in self.timers.keys() {
            let owned = match key {
                TimerKey::Authenticate(id) | TimerKey::Expiry(id) => self.clients.contains_key(id),
                TimerKey::Request(id) => {
                    self.clients.get(id).is_some_and(|client| client.current.is_some())
                }
                TimerKey::Command(id) => self.in_flight.contains_key(id),
                TimerKey::Session(user, _) => self.users.contains_key(user),
                TimerKey::Calls(broker) => self.brokers.contains_key(broker),
                TimerKey::Topic(user, topic) => self.has_topic(user, topic),
            };
            assert!(owned, "the deadline {key:?} has no owner");
        }
        for id in self.in_flight.keys() {
            assert!(self.timers.contains(&TimerKey::Command(*id)), "a command waits for ever");
        }
    }

    fn has_topic(&self, user: &UserId, topic: &Topic) -> bool {
        self.users.get(user).is_some_and(|user| user.topics.contains_key(topic))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::broker::{Answer, BrokerEvent, Done};
    use crate::config::Config;
    use crate::engine::hub::InFlight;
    use crate::engine::{ChannelId, Event, HubOptions, Identity, Request};
    use crate::protocol::SubscribeEntry;
    use crate::topic::{Instrument, Mode};

    const ALICE: &str = "alice";
    const IN: ClientId = ClientId(1);
    const NOBODY: ClientId = ClientId(2);
    /// The subscribe that is not answered.
    const SUBSCRIBE: CommandId = CommandId(2);

    /// What breaks a rule.
    type Drift<'a> = &'a dyn Fn(&mut Hub);

    fn topic(symbol: &str) -> Topic {
        Topic::new(Instrument::new("NSE", symbol), Mode::Ltp)
    }

    /// A hub with a client that is nobody, and one that waits for a topic.
    fn hub() -> Hub {
        let mut hub = Hub::new(HubOptions::new(&Config::default(), vec!["paper".into()], 1));
        let says = |event| Event::Broker { broker: "paper".into(), event };
        let asks = |request| Event::Request { client: IN, request_id: None, request };
        let identity = Identity::trader(ALICE.into(), "paper".into());
        let connected = Answer { id: CommandId(1), result: Ok(Done::default()) };
        let instrument = Instrument::new("NSE", "TCS");
        let entry = SubscribeEntry {
            instrument,
            mode: Mode::Ltp,
            depth: 5,
            snapshot: None,
            interval_ms: 0,
        };
        for event in [
            says(BrokerEvent::Up),
            Event::Opened { client: IN, shard: 0, channel: ChannelId::BUILT_IN },
            Event::Opened { client: NOBODY, shard: 0, channel: ChannelId::BUILT_IN },
            asks(Request::Authenticate(Ok(identity))),
            says(BrokerEvent::Answer(connected)),
            asks(Request::Subscribe(vec![Ok(entry)])),
        ] {
            hub.handle(0, event, &mut Vec::new());
        }
        hub.check();
        hub
    }

    #[test]
    fn each_rule_notices_what_breaks_it() {
        let user = || UserId::from(ALICE);
        let drifts: [(&str, Drift<'_>); 14] = [
            ("sessions are left", &|hub| _ = hub.work.sessions.insert((user(), 0))),
            ("topics are left", &|hub| hub.work.topics.push_back((user(), topic("TCS")))),
            ("clients are left", &|hub| hub.work.clients.push_back(IN)),
            ("follows orders", &|hub| hub.clients[&NOBODY].orders = true),
            ("nobody for ever", &|hub| hub.timers.cancel(&TimerKey::Authenticate(NOBODY))),
            ("waits for ever", &|hub| hub.timers.cancel(&TimerKey::Request(IN))),
            ("a stale session", &|hub| {
                hub.users.get_mut(&user()).expect("it is there").sessions[0].stale = true;
            }),
            ("is booked as", &|hub| {
                hub.in_flight.get_mut(&SUBSCRIBE).expect("it is there").topic = None;
            }),
            ("is booked as", &|hub| {
                hub.in_flight.get_mut(&SUBSCRIBE).expect("it is there").user = "bob".into();
            }),
            ("on the books in vain", &|hub| {
                hub.in_flight.insert(CommandId(9), InFlight { user: user(), at: 0, topic: None });
            }),
            ("drifted apart", &|hub| {
                hub.routes.add(&topic("INFY"), &"paper".into(), 0, &mut Vec::new());
            }),
            ("has no owner", &|hub| hub.timers.set(TimerKey::Session("bob".into(), 0), 1)),
            ("has no owner", &|hub| hub.timers.set(TimerKey::Topic(user(), topic("INFY")), 1)),
            ("a command waits for ever", &|hub| hub.timers.cancel(&TimerKey::Command(SUBSCRIBE))),
        ];
        for (rule, drift) in drifts {
            let mut hub = hub();
            drift(&mut hub);
            let panic = catch_unwind(AssertUnwindSafe(|| hub.check())).expect_err(rule);
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            assert!(said.as_ref().is_some_and(|said| said.contains(rule)), "{rule}: {said:?}");
        }
    }
}
