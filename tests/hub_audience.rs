//! Who hears a broadcast: where its frames are sent, and from when until when.

use tickgate::broker::{Answer, BrokerEvent, Done};
use tickgate::config::{ChannelAuth, ChannelEntry, ChannelKind, Config};
use tickgate::engine::{
    ChannelId, Effect, Event, Hub, HubOptions, Identity, Request, RouteId, ShardId,
};
use tickgate::topic::{ClientId, Role};

/// The channel of the broadcast.
const CHANNEL: ChannelId = ChannelId(1);

/// A hub with a broadcast, and what it tells of its audience and of who joins and leaves.
struct Hall {
    hub: Hub,
    told: Vec<String>,
    route: Option<RouteId>,
}

impl Hall {
    fn new(auth: ChannelAuth) -> Self {
        let mut config = Config::default();
        let entry = ChannelEntry::new("/c", ChannelKind::Broadcast);
        config.channel = vec![ChannelEntry { auth, topics: vec!["NSE:*".into()], ..entry }];
        let hub = Hub::new(HubOptions::new(&config, vec!["paper".into()], 1));
        let mut hall = Self { hub, told: Vec::new(), route: None };
        hall.tell(Event::Broker { broker: "paper".into(), event: BrokerEvent::Up });
        hall
    }

    fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.hub.handle(0, event, &mut effects);
            self.hub.check();
            for effect in effects {
                match effect {
                    Effect::Audience { channel: CHANNEL, route, shard, wanted } => {
                        assert!(self.route.is_none_or(|of_others| of_others == route || wanted));
                        self.route = Some(route);
                        self.told.push(format!("{shard} {}", if wanted { "on" } else { "off" }));
                    }
                    Effect::Deliver { client, change, .. } => {
                        let is_it = |route: &&RouteId| self.route == Some(**route);
                        let leaves = change.remove.iter().filter(is_it).map(|_| "leaves");
                        let joins = change.add.iter().filter(is_it).map(|_| "joins");
                        let words = leaves.chain(joins).map(|word| format!("{client} {word}"));
                        self.told.extend(words);
                    }
                    Effect::Command { broker, command } => {
                        let answer = Answer { id: command.id, result: Ok(Done::default()) };
                        events.push(Event::Broker { broker, event: BrokerEvent::Answer(answer) });
                    }
                    _ => {}
                }
            }
        }
    }

    fn open(&mut self, id: u64, shard: ShardId) -> Vec<String> {
        self.tell(Event::Opened { client: ClientId(id), shard, channel: CHANNEL });
        std::mem::take(&mut self.told)
    }

    fn enter(&mut self, id: u64, user: &str, role: Role) -> Vec<String> {
        let identity = Identity { role, ..Identity::trader(user.into(), "paper".into()) };
        let request = Request::Authenticate(Ok(identity));
        self.tell(Event::Request { client: ClientId(id), request_id: None, request });
        std::mem::take(&mut self.told)
    }

    fn leave(&mut self, id: u64) -> Vec<String> {
        self.tell(Event::Closed { client: ClientId(id) });
        std::mem::take(&mut self.told)
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_shard_is_an_audience_from_its_first_listener_to_its_last() {
    let mut hall = Hall::new(ChannelAuth::Message);
    for (id, shard) in [(1, 0), (2, 0), (3, 1)] {
        assert_eq!(hall.open(id, shard), NOTHING, "nobody hears anything yet");
    }
    assert_eq!(hall.enter(1, "alice", Role::Trader), ["0 on", "c1 joins"]);
    assert_eq!(hall.enter(2, "bob", Role::Trader), ["c2 joins"]);
    assert_eq!(hall.enter(3, "bob", Role::Trader), ["1 on", "c3 joins"]);
    assert_eq!(hall.leave(1), ["c1 leaves"]);
    assert_eq!(hall.leave(3), ["c3 leaves", "1 off"]);
    assert_eq!(hall.leave(2), ["c2 leaves", "0 off"]);
    let route = hall.route;
    hall.open(4, 0);
    assert_eq!(hall.enter(4, "alice", Role::Trader), ["0 on", "c4 joins"]);
    assert_ne!(hall.route, route, "a route's number is never used again");
}

#[test]
fn whoever_becomes_somebody_else_leaves_and_joins_and_the_shard_hears_on() {
    let mut hall = Hall::new(ChannelAuth::Message);
    for (id, shard, user) in [(1, 0, "alice"), (2, 1, "bob")] {
        hall.open(id, shard);
        hall.enter(id, user, Role::Trader);
    }
    assert_eq!(hall.enter(1, "alice", Role::Trader), NOTHING, "it hears on");
    let told = hall.enter(1, "bob", Role::Trader);
    assert_eq!(told, ["c1 leaves", "c1 joins"]);
}

#[test]
fn where_nobody_need_say_who_it_is_a_client_hears_at_once_and_as_whoever() {
    let mut hall = Hall::new(ChannelAuth::Anonymous);
    assert_eq!(hall.open(1, 0), ["0 on", "c1 joins"]);
    assert_eq!(hall.enter(1, "alice", Role::Trader), NOTHING);
    assert_eq!(hall.leave(1), ["0 off"]);
    hall.tell(Event::Drain);
    assert_eq!(hall.open(2, 0), NOTHING, "it is being closed");
}
