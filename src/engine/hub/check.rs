//! What must be true of the hub after every event. Our own mistakes, found where they are made.
//!
//! It is asked so often that it decides how fast simulations and walks are. So whatever must be
//! true in both directions is looked up in one and counted in the other: if each want of a user is
//! a topic of its client, and there are as many of the one as of the other, each topic is wanted.

use indexmap::IndexSet;

use super::client::{Auth, Client, Current, CurrentKind};
use super::routes::{COMPARED_MAX, Claims};
use super::topic_state::{TopicState, Want};
use super::user::{SessionState, User};
use super::{Hub, TimerKey};
use crate::broker::CommandId;
use crate::engine::Upstream;
use crate::topic::{ClientId, Mode, Topic, UserId};

/// How many there are, as those say who own them.
#[derive(Default)]
struct Counted {
    /// Clients of users.
    attached: usize,
    /// Wants that wait.
    waiting: usize,
    /// Commands of sessions and topics.
    in_flight: usize,
    /// Clients with a request that is not answered yet.
    busy: usize,
}

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
        let mut counted = Counted::default();
        let mut claims = self.routes.claims();
        for (id, user) in &self.users {
            self.check_user(id, user, &mut counted, &mut claims);
        }
        claims.are_met();
        self.check_clients(&mut counted);
        self.check_movers();
        assert_eq!(self.in_flight.len(), counted.in_flight, "a command is on the books in vain");
        self.check_audiences();
        self.check_timers(&counted);
    }

    fn check_clients(&self, counted: &mut Counted) {
        let (mut attached, mut waiting) = (0, 0);
        for (id, client) in &self.clients {
            self.check_client(*id, client);
            attached += usize::from(client.attached().is_some());
            counted.busy += usize::from(client.current.is_some());
            waiting += client.awaited().map_or(0, |waiting| waiting.len());
        }
        // Each client of a user says so itself. If no more do, each has a user that knows it.
        assert_eq!(attached, counted.attached, "a client has a user that does not know it");
        // As much for wants that wait, and those who wait for them.
        assert_eq!(waiting, counted.waiting, "a client waits for a topic that it does not want");
    }

    /// Those who wait for the end of a user's session say so themselves, and there is a user.
    fn check_movers(&self) {
        for (user, movers) in &self.movers {
            assert!(self.users.contains_key(user), "somebody waits for the end of {user}");
            let moves = |id: &ClientId| self.clients[id].moves_as() == Some(user);
            assert!(!movers.is_empty() && movers.iter().all(moves), "{user} does not move");
        }
        let moving = self.clients.values().filter(|client| client.moves_as().is_some()).count();
        let waiting: usize = self.movers.values().map(Vec::len).sum();
        assert_eq!(moving, waiting, "a client waits for nobody's end");
    }

    fn check_client(&self, id: ClientId, client: &Client) {
        let held = client.topics.len();
        assert!(held == 0 || held <= self.subscriptions_max(id), "{id} holds {held} topics");
        if client.auth == Auth::Nobody {
            assert!(client.topics.is_empty(), "{id} is nobody and wants something");
            assert!(!client.orders, "{id} is nobody and follows orders");
            let armed = || self.timers.contains(&TimerKey::Authenticate(id));
            let may_stay = client.closing || self.may_be_nobody(id) || client.moves_as().is_some();
            assert!(may_stay || armed(), "{id} is nobody for ever");
        }
        assert!(client.queue.is_empty() || client.current.is_some(), "{id} is not served");
        if client.current.is_none() {
            assert!(!matches!(client.auth, Auth::Joining(_)), "{id} joins without a request");
        }
        let awaited = client.awaited();
        assert!(awaited.is_none_or(|waiting| !waiting.is_empty()), "{id} waits for nothing");
    }

    fn check_user(&self, id: &UserId, user: &User, counted: &mut Counted, claims: &mut Claims<'_>) {
        assert!(!user.is_over(), "{id} has neither clients nor a session");
        let (mut topics, mut of_others, mut held) = (0, 0, 0);
        for client_id in &user.clients {
            let client = &self.clients[client_id];
            assert_eq!(client.attached(), Some(id), "{client_id} is not with {id}");
            topics += client.topics.len();
            if !client_id.is_own() {
                of_others += 1;
                held += client.topics.len();
            }
        }
        counted.attached += user.clients.len();
        if !self.is_crowd(id) {
            assert!(of_others <= self.options.clients_per_user_max, "{id}: too many clients");
            assert!(held <= self.options.subscriptions_per_user_max, "{id} holds {held} topics");
        }
        self.check_sessions(id, user, counted);
        let modes = &self.rules_of_broker(&user.broker).modes;
        let mut wants = 0;
        for (topic, state) in &user.topics {
            self.check_topic((id, user), topic, state);
            if let Some(command) = state.upstream.in_flight() {
                self.check_command(command, id, Some(topic), counted);
            }
            wants += state.wants.len();
            let mut claim = claims.on(topic, &user.broker, user.is_live());
            for ((client_id, mode), want) in &state.wants {
                let client = &self.clients[client_id];
                assert_eq!(client.user(), Some(id), "{client_id} wants {topic} of {id}");
                let carries = modes.iter().find(|had| *had >= mode).unwrap_or(mode);
                assert_eq!(*carries, topic.mode, "{topic} of {id} does not carry {mode}");
                self.check_want((*client_id, client), topic, *mode, *want);
                counted.waiting += usize::from(*want == Want::Waiting);
                claim.wants(*mode, client.shard);
            }
        }
        // Each want is a topic of its client. If there are as many topics, each of them is wanted.
        assert_eq!(wants, topics, "clients of {id} have topics that it does not know of");
    }

    fn check_want(&self, (id, client): (ClientId, &Client), topic: &Topic, mode: Mode, want: Want) {
        let is_it = |held: &Topic| held.mode == mode && held.instrument == topic.instrument;
        let holds = |topics: &IndexSet<Topic>| match topics.len() {
            0..=COMPARED_MAX => topics.iter().any(is_it),
            _ => topics.contains(&topic.in_mode(mode)),
        };
        assert!(holds(&client.topics), "{id} does not know of {topic} in {mode}");
        let waits = client.awaited().is_some_and(|waiting| waiting.keys().any(is_it));
        assert_eq!(waits, want == Want::Waiting, "{id} on {topic} in {mode}");
    }

    fn check_topic(&self, (id, user): (&UserId, &User), topic: &Topic, state: &TopicState) {
        let is_off = state.upstream == Upstream::Off;
        assert_eq!(state.seat.is_none(), is_off, "{topic} of {id}: {:?}", state.seat);
        let live = state.seat.is_none_or(|at| user.sessions[at].state == SessionState::Up);
        assert!(live, "{topic} of {id} is {:?} without a session", state.upstream);
        assert!(
            !state.wants.is_empty() || !is_off || state.bound.is_some(),
            "{topic} of {id} is neither wanted nor on"
        );
    }

    fn check_sessions(&self, id: &UserId, user: &User, counted: &mut Counted) {
        let room = self.rules_of_broker(&user.broker).topics_per_session;
        for (at, session) in user.sessions.iter().enumerate() {
            let live = session.state == SessionState::Up;
            if live && session.stale {
                // Where calls are limited, what is to be done may have to wait.
                let waits = self.brokers[&user.broker].calls.is_some();
                assert!(waits, "{id} keeps a stale session");
            }
            let carried = user.topics.values().filter(|state| state.seat == Some(at)).count();
            assert_eq!(carried, session.topics, "{id}: session {at} is counted wrong");
            assert!(carried <= room, "{id}: session {at} carries {carried} topics");
            if let Some(command) = session.state.in_flight() {
                self.check_command(command, id, None, counted);
            }
        }
        for topic in &user.homeless {
            let waits = user.topics.get(topic).is_some_and(TopicState::needs_room);
            assert!(waits, "{topic} of {id} does not wait for room");
        }
        if let Some(topic) = user.homeless.first() {
            let usable = user.sessions.iter().filter(|session| session.is_usable());
            let free: usize = usable.map(|session| room.saturating_sub(session.topics)).sum();
            // Those who have found room and wait for their turn, or for their time.
            let needing = user.topics.values().filter(|state| free > 0 && state.needs_room());
            let takers = needing.count().saturating_sub(user.homeless.len());
            assert!(free <= takers, "{topic} of {id} waits for room that is there");
        }
    }

    /// A command in flight of a topic or session is on the books as that.
    fn check_command(
        &self,
        command: CommandId,
        user: &UserId,
        topic: Option<&Topic>,
        counted: &mut Counted,
    ) {
        let about = self.in_flight.get(&command);
        let is_right =
            about.is_some_and(|about| about.user == *user && about.topic.as_ref() == topic);
        assert!(is_right, "{command:?} of {user} for {topic:?} is booked as {about:?}");
        counted.in_flight += 1;
    }

    fn check_timers(&self, counted: &Counted) {
        let (mut requests, mut commands) = (0, 0);
        for key in self.timers.keys() {
            let owned = match key {
                TimerKey::Authenticate(id) | TimerKey::Expiry(id) => self.clients.contains_key(id),
                TimerKey::Request(id) => {
                    requests += 1;
                    self.clients.get(id).is_some_and(|client| client.current.is_some())
                }
                TimerKey::Command(id) => {
                    commands += 1;
                    self.in_flight.contains_key(id)
                }
                TimerKey::Session(user, _) => self.users.contains_key(user),
                TimerKey::Calls(broker) => self.brokers.contains_key(broker),
                TimerKey::Topic(user, topic) => self.has_topic(user, topic),
            };
            assert!(owned, "the deadline {key:?} has no owner");
        }
        // Each of them has an owner. If there are as many owners, each of those has a deadline.
        assert_eq!(requests, counted.busy, "a client waits for ever");
        assert_eq!(commands, self.in_flight.len(), "a command waits for ever");
    }

    fn has_topic(&self, user: &UserId, topic: &Topic) -> bool {
        self.users.get(user).is_some_and(|user| user.topics.contains_key(topic))
    }
}

impl Client {
    /// As whom it waits to come in at another broker.
    fn moves_as(&self) -> Option<&UserId> {
        match &self.current {
            Some(Current { kind: CurrentKind::Move(identity), .. }) => Some(&identity.user),
            Some(_) | None => None,
        }
    }

    /// What its subscribe waits for.
    fn awaited(&self) -> Option<&std::collections::BTreeMap<Topic, usize>> {
        match &self.current {
            Some(Current { kind: CurrentKind::Subscribe { waiting, .. }, .. }) => Some(waiting),
            Some(Current {
                kind:
                    CurrentKind::Authenticate
                    | CurrentKind::Move(_)
                    | CurrentKind::Admin(_)
                    | CurrentKind::Enter,
                ..
            })
            | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::broker::{Answer, BrokerEvent, Done};
    use crate::config::Config;
    use crate::engine::hub::InFlight;
    use crate::engine::{ChannelId, Event, HubOptions, Identity, Request, RouteId};
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
        let drifts: [(&str, Drift<'_>); 24] = [
            ("sessions are left", &|hub| _ = hub.work.sessions.insert((user(), 0))),
            ("topics are left", &|hub| hub.work.topics.push_back((user(), topic("TCS")))),
            ("clients are left", &|hub| hub.work.clients.push_back(IN)),
            ("too many clients", &|hub| hub.options.clients_per_user_max = 0),
            ("holds 1 topics", &|hub| hub.options.subscriptions_per_user_max = 0),
            ("does not know of", &|hub| hub.clients[&IN].topics = [topic("INFY")].into()),
            ("of alice: Some", &|hub| {
                let user = hub.users.get_mut(&user()).expect("it is there");
                user.topics.get_mut(&topic("TCS")).expect("it is wanted").upstream = Upstream::Off;
            }),
            ("nobody is heard", &|hub| hub.clients[&NOBODY].listens = Some(RouteId(1))),
            ("follows orders", &|hub| hub.clients[&NOBODY].orders = true),
            ("nobody for ever", &|hub| hub.timers.cancel(&TimerKey::Authenticate(NOBODY))),
            ("waits for ever", &|hub| hub.timers.cancel(&TimerKey::Request(IN))),
            ("the end of bob", &|hub| drop(hub.movers.insert("bob".into(), vec![NOBODY]))),
            ("alice does not move", &|hub| drop(hub.movers.insert(user(), vec![NOBODY]))),
            ("waits for nobody's end", &|hub| {
                let identity = Identity::trader(ALICE.into(), "other".into());
                let kind = CurrentKind::Move(identity);
                hub.clients[&NOBODY].current = Some(Current { request_id: None, kind });
            }),
            ("a stale session", &|hub| {
                hub.users.get_mut(&user()).expect("it is there").sessions[0].stale = true;
            }),
            ("does not wait for room", &|hub| {
                hub.users.get_mut(&user()).expect("it is there").homeless = [topic("TCS")].into();
            }),
            ("waits for room that is there", &|hub| {
                let user = hub.users.get_mut(&user()).expect("it is there");
                user.topics.get_mut(&topic("TCS")).expect("it is wanted").seat = None;
                user.sessions[0].topics = 0;
                user.homeless = [topic("TCS")].into();
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
