//! What administrators do to clients and users: the hub's part, in any order with what clients do.

use bytes::Bytes;
use proptest::prelude::*;
use tickgate::broker::{Answer as BrokerAnswer, BrokerEvent, Command, CommandKind, Done};
use tickgate::config::Config;
use tickgate::engine::{ChannelId, Effect, Event, Hub, HubOptions, Identity, Request};
use tickgate::protocol::{AdminAnswer, AdminCommand, Answer};
use tickgate::topic::{ClientId, Role, UserId};

/// A hub whose broker answers when it is told to.
struct Story {
    hub: Hub,
    now_ms: u64,
    commands: Vec<Command>,
    asked: Vec<(ClientId, u64, UserId, AdminCommand)>,
    answers: Vec<(u64, String)>,
    closes: Vec<(u64, u16)>,
    notices: Vec<Vec<u64>>,
}

impl Story {
    fn new() -> Self {
        let hub = Hub::new(HubOptions::new(&Config::default(), vec!["paper".into()], 1));
        let mut story = Self {
            hub,
            now_ms: 0,
            commands: Vec::new(),
            asked: Vec::new(),
            answers: Vec::new(),
            closes: Vec::new(),
            notices: Vec::new(),
        };
        story.tell(Event::Broker { broker: "paper".into(), event: BrokerEvent::Up });
        story
    }

    fn tell(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.hub.handle(self.now_ms, event, &mut effects);
        self.saw(effects);
    }

    fn saw(&mut self, effects: Vec<Effect>) {
        self.hub.check();
        for effect in effects {
            match effect {
                Effect::Deliver { client, answer: Some((answer, _)), .. } => {
                    let word = word(&answer);
                    // What a closing client would still be told, its shard drops.
                    if !self.closes.iter().any(|(closed, _)| *closed == client.0) {
                        self.answers.push((client.0, word));
                    }
                }
                Effect::Close { client, code, .. } => self.closes.push((client.0, code)),
                Effect::Command { command, .. } => self.commands.push(command),
                Effect::Administer { client, number, user, command } => {
                    self.asked.push((client, number, user, command));
                }
                Effect::Audience { .. } => {}
                Effect::Notice { clients, .. } => {
                    self.notices.push(clients.iter().map(|(client, _)| client.0).collect());
                }
                Effect::Deliver { answer: None, .. }
                | Effect::Detach { .. }
                | Effect::Interest { .. }
                | Effect::Served { .. }
                | Effect::Note(_) => {}
            }
        }
    }

    /// The broker does all that it was asked.
    fn broker_works(&mut self) {
        while !self.commands.is_empty() {
            let command = self.commands.remove(0);
            let done = match command.kind {
                CommandKind::Subscribe { depth, .. } => Done { depth: Some(depth) },
                CommandKind::Connect
                | CommandKind::Disconnect
                | CommandKind::Unsubscribe { .. }
                | CommandKind::UnsubscribeAll => Done::default(),
            };
            let answer = BrokerAnswer { id: command.id, result: Ok(done) };
            let event = BrokerEvent::Answer(answer);
            self.tell(Event::Broker { broker: "paper".into(), event });
        }
    }

    fn open(&mut self, id: u64) {
        self.tell(Event::Opened { client: ClientId(id), shard: 0, channel: ChannelId::BUILT_IN });
    }

    fn ask(&mut self, id: u64, request: Request) {
        self.tell(Event::Request { client: ClientId(id), request_id: None, request });
    }

    fn knock(&mut self, id: u64, user: &str, role: Role) {
        let identity = Identity { role, ..Identity::trader(user.into(), "paper".into()) };
        self.ask(id, Request::Authenticate(Ok(identity)));
    }

    fn enter(&mut self, id: u64, user: &str, role: Role) {
        self.open(id);
        self.knock(id, user, role);
        self.broker_works();
        assert_eq!(self.last(), (id, "auth".to_owned()));
    }

    fn last(&self) -> (u64, String) {
        self.answers.last().expect("an answer").clone()
    }

    fn remove(
        &mut self,
        by: Option<u64>,
        user: &str,
        for_ms: Option<u64>,
    ) -> Result<usize, String> {
        let mut effects = Vec::new();
        let by = by.map(ClientId);
        let user = user.into();
        let removed = self.hub.remove_user(self.now_ms, by, &user, for_ms, &mut effects);
        self.saw(effects);
        removed.map_err(|reject| reject.message)
    }

    fn close(&mut self, by: Option<u64>, id: u64) -> Result<(), String> {
        let mut effects = Vec::new();
        let by = by.map(ClientId);
        let closed = self.hub.close_client(self.now_ms, by, ClientId(id), &mut effects);
        self.saw(effects);
        closed.map_err(|reject| reject.message)
    }

    fn broadcast(&mut self) -> usize {
        let mut effects = Vec::new();
        let reached = self.hub.broadcast(Bytes::from_static(b"frame"), &mut effects);
        self.saw(effects);
        reached
    }
}

/// The type of an answer, or the code of a refusal.
fn word(answer: &Answer) -> String {
    let json: serde_json::Value = serde_json::from_slice(&answer.to_json(None)).expect("JSON");
    json["code"].as_str().or(json["type"].as_str()).expect("a word").to_owned()
}

#[test]
fn only_administrators_may_administer() {
    for (role, expected) in [
        (Role::Anonymous, Some("FORBIDDEN")),
        (Role::Viewer, Some("FORBIDDEN")),
        (Role::Trader, Some("FORBIDDEN")),
        (Role::Analyst, Some("FORBIDDEN")),
        (Role::Admin, None),
        (Role::SuperAdmin, None),
    ] {
        let mut story = Story::new();
        story.open(1);
        story.ask(1, Request::Admin(AdminCommand::ListBlocks));
        assert_eq!(story.last().1, "NOT_AUTHENTICATED", "{role}");
        story.knock(1, "alice", role);
        story.broker_works();
        story.ask(1, Request::Admin(AdminCommand::ListBlocks));
        match expected {
            Some(code) => assert_eq!(story.last().1, code, "{role}"),
            None => assert_eq!(story.asked[0].3, AdminCommand::ListBlocks, "{role}"),
        }
        assert_eq!(story.asked.is_empty(), expected.is_some(), "{role}");
    }
}

#[test]
fn a_command_is_answered_in_its_turn_and_what_comes_behind_waits() {
    let mut story = Story::new();
    story.enter(1, "root", Role::Admin);
    story.ask(1, Request::Admin(AdminCommand::ListBlocks));
    story.ask(1, Request::SupportedBrokers);
    let before = story.answers.len();
    let (client, number, ..) = story.asked.remove(0);
    let result = Ok(AdminAnswer::Blocks { rows: Vec::new(), total: 0 });
    story.tell(Event::Administered { client, number: number + 1, result: result.clone() });
    assert_eq!(story.answers.len(), before, "that is the answer to something else");
    story.tell(Event::Administered { client, number, result: result.clone() });
    let words: Vec<_> = story.answers[before..].iter().map(|(_, word)| word.as_str()).collect();
    assert_eq!(words, ["admin", "supported_brokers"]);
    story.tell(Event::Administered { client, number, result });
    assert_eq!(story.answers.len(), before + 2, "it is answered once");
}

#[test]
fn a_command_that_is_not_carried_out_in_time_is_answered_all_the_same() {
    let mut story = Story::new();
    story.enter(1, "root", Role::Admin);
    story.ask(1, Request::Admin(AdminCommand::ListBlocks));
    story.now_ms = story.hub.next_deadline_ms().expect("a deadline");
    story.tell(Event::Timer);
    assert_eq!(story.last().1, "SERVER_ERROR");
    let (client, number, ..) = story.asked.remove(0);
    let count = story.answers.len();
    let result = Ok(AdminAnswer::Blocks { rows: Vec::new(), total: 0 });
    story.tell(Event::Administered { client, number, result });
    assert_eq!(story.answers.len(), count);
}

#[test]
fn what_comes_of_a_command_too_late_is_no_answer_to_the_next() {
    let mut story = Story::new();
    story.enter(1, "root", Role::Admin);
    story.ask(1, Request::Admin(AdminCommand::ListBlocks));
    story.now_ms = story.hub.next_deadline_ms().expect("a deadline");
    story.tell(Event::Timer);
    story.ask(1, Request::Admin(AdminCommand::ListBlocks));
    let count = story.answers.len();
    for at in 0..2 {
        let (client, number, ..) = story.asked[at];
        let result = Ok(AdminAnswer::Blocks { rows: Vec::new(), total: 0 });
        story.tell(Event::Administered { client, number, result });
        assert_eq!(story.answers.len(), count + at);
    }
}

#[test]
fn nobody_sends_away_those_who_may_do_more() {
    let mut story = Story::new();
    for (id, user, role) in [
        (1, "root", Role::Admin),
        (2, "peer", Role::Admin),
        (3, "boss", Role::SuperAdmin),
        (4, "lord", Role::SuperAdmin),
    ] {
        story.enter(id, user, role);
    }
    let above = Err("That is somebody whose role is above yours".to_owned());
    assert_eq!(story.close(Some(1), 3), above);
    assert_eq!(story.remove(Some(1), "boss", None), above.map(|()| 0));
    assert_eq!(story.close(Some(1), 2), Ok(()));
    assert_eq!(story.remove(Some(3), "lord", None), Ok(1));
    assert_eq!(story.close(Some(3), 1), Ok(()));
    assert_eq!(story.closes, [(2, 4403), (4, 4403), (1, 4403)]);
}

#[test]
fn nobody_locks_a_super_admin_out() {
    let mut story = Story::new();
    assert_eq!(story.remove(None, "boss", Some(60_000)), Ok(0));
    story.open(1);
    story.knock(1, "boss", Role::Admin);
    assert_eq!(story.last().1, "FORBIDDEN");
    story.enter(2, "boss", Role::SuperAdmin);
}

#[test]
fn whoever_is_removed_is_closed_wherever_it_is_and_nobody_else() {
    let mut story = Story::new();
    story.enter(1, "root", Role::Admin);
    story.enter(2, "alice", Role::Trader);
    story.open(3);
    // Its session is not there yet.
    story.knock(3, "carol", Role::Trader);
    story.open(4);
    assert_eq!(story.remove(Some(1), "carol", None), Ok(1));
    assert_eq!(story.remove(Some(1), "alice", None), Ok(1));
    assert_eq!(story.remove(Some(1), "alice", None), Ok(0), "it is being closed already");
    assert_eq!(story.remove(Some(1), "nobody", None), Ok(0));
    assert_eq!(story.closes, [(3, 4403), (2, 4403)]);
    story.broker_works();
    assert_eq!(story.last().0, 2, "whoever was removed is told nothing more");
    let itself = story.remove(Some(1), "root", Some(1));
    assert_eq!(itself, Err("You cannot remove your own user".to_owned()));
    assert_eq!(story.remove(None, "root", None), Ok(1), "this machine may");
}

#[test]
fn a_refused_user_does_not_get_in_until_its_time_is_over() {
    let mut story = Story::new();
    story.enter(1, "alice", Role::Trader);
    assert_eq!(story.remove(None, "alice", Some(1_000)), Ok(1));
    // Its key was found good before; it asks as if nothing had happened.
    for (at_ms, expected) in [(0, "FORBIDDEN"), (999, "FORBIDDEN"), (1_000, "auth")] {
        story.now_ms = at_ms;
        story.open(10 + at_ms);
        story.knock(10 + at_ms, "alice", Role::Trader);
        story.broker_works();
        assert_eq!(story.last(), (10 + at_ms, expected.to_owned()), "at {at_ms}");
    }
}

#[test]
fn a_refusal_can_be_ended() {
    let mut story = Story::new();
    assert_eq!(story.remove(None, "alice", Some(60_000)), Ok(0));
    assert_eq!(story.remove(None, "alice", None), Ok(0), "that says nothing about the refusal");
    story.open(1);
    story.knock(1, "alice", Role::Trader);
    assert_eq!(story.last().1, "FORBIDDEN");
    assert_eq!(story.remove(None, "alice", Some(0)), Ok(0));
    story.knock(1, "alice", Role::Trader);
    story.broker_works();
    assert_eq!(story.last().1, "auth");
}

#[test]
fn so_many_users_can_be_refused_and_no_more() {
    let mut story = Story::new();
    for number in 0..1_000 {
        assert_eq!(story.remove(None, &format!("u{number}"), Some(500)), Ok(0));
    }
    let full = story.remove(None, "one-more", Some(500));
    assert!(full.is_err_and(|why| why.starts_with("1000 users are refused already")));
    assert_eq!(story.remove(None, "u7", Some(900)), Ok(0), "it replaces the earlier one");
    story.now_ms = 500;
    assert_eq!(story.remove(None, "one-more", Some(500)), Ok(0), "the others are over");
}

#[test]
fn one_client_can_be_closed_but_not_by_itself() {
    let mut story = Story::new();
    story.enter(1, "root", Role::Admin);
    story.enter(2, "alice", Role::Trader);
    assert_eq!(story.close(Some(1), 1), Err("That is your own connection".to_owned()));
    assert_eq!(story.close(Some(1), 9), Err("There is no client 9".to_owned()));
    assert_eq!(story.close(Some(1), 2), Ok(()));
    assert_eq!(story.close(Some(1), 2), Err("There is no client 2".to_owned()));
    assert_eq!(story.closes, [(2, 4403)]);
}

#[test]
fn a_notice_reaches_whoever_has_authenticated() {
    let mut story = Story::new();
    story.enter(1, "root", Role::Admin);
    story.enter(2, "alice", Role::Trader);
    story.open(3);
    story.open(4);
    story.knock(4, "carol", Role::Trader);
    story.enter(5, "bob", Role::Viewer);
    story.close(None, 5).expect("it is here");
    story.commands.clear();
    assert_eq!(story.broadcast(), 3);
    assert_eq!(story.notices, [[1, 2, 4]], "carol came in with bob's commands");
}

#[test]
fn clients_are_listed_in_the_order_in_which_they_came() {
    let mut story = Story::new();
    for id in 1..=3 {
        story.enter(id, "alice", Role::Trader);
        story.now_ms += 10;
    }
    story.tell(Event::Closed { client: ClientId(1) });
    story.open(4);
    let (rows, total) = story.hub.list_clients(story.now_ms, None, None, 2);
    assert_eq!((rows[0].client, rows[0].age_ms), (ClientId(2), 20));
    assert_eq!((rows.len(), total), (2, 3));
    let alice = UserId::from("alice");
    assert_eq!(story.hub.list_clients(story.now_ms, Some(&alice), None, 9).1, 2);
    let among = [ClientId(3), ClientId(4)].into();
    let (rows, total) = story.hub.list_clients(story.now_ms, Some(&alice), Some(&among), 9);
    assert_eq!((rows[0].client, total), (ClientId(3), 1));
}

proptest! {
    /// However a removal falls between what clients and the broker do: once alice is refused, no
    /// client is hers that is not being closed, and none comes in as her.
    #[test]
    fn a_refused_user_is_out_in_any_order(steps in prop::collection::vec(0..6_u8, 1..40)) {
        let mut story = Story::new();
        let (mut next, mut refused) = (0, false);
        for step in steps {
            match step {
                0 => { next += 1; story.open(next); }
                1 | 2 if next > 0 => {
                    let user = if step == 1 { "alice" } else { "bob" };
                    story.knock(next, user, Role::Trader);
                }
                3 => story.broker_works(),
                4 if next > 0 => {
                    let client = ClientId(next.div_ceil(2));
                    story.tell(Event::Closed { client });
                }
                5 if !refused => {
                    story.remove(None, "alice", Some(1_000)).expect("there is room");
                    refused = true;
                }
                _ => {}
            }
            if refused {
                let alice = UserId::from("alice");
                let (rows, _) = story.hub.list_clients(0, Some(&alice), None, 100);
                for row in rows {
                    let closing = story.closes.iter().any(|(id, _)| *id == row.client.0);
                    prop_assert!(closing, "{} is in", row.client);
                }
            }
        }
    }
}
