//! What an adapter host knows and what it was told: no socket, no clock.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::protocol::control::{Answer, Event, Failure, FailureCode, FromHost, Op, Request};
use tickgate::topic::Topic;
use tickgate::zmtp::PeerId;

/// Kinds of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Open a session.
    Connect,
    /// Close a session.
    Disconnect,
    /// Publish a topic.
    Subscribe,
    /// Stop publishing a topic, or all.
    Unsubscribe,
}

/// How a request is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Done and answered.
    Serve,
    /// Not done, and answered with this failure.
    Fail(FailureCode),
    /// Neither done nor answered until the story says so.
    Hold,
    /// Done, and the answer kept back.
    Mute,
    /// Neither done nor answered, ever.
    Lose,
}

/// A request that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was asked.
    pub deed: Deed,
    /// The symbol, or the user for sessions.
    pub name: String,
    /// For whom.
    pub user: String,
    /// In which session.
    pub session: u64,
}

/// A host's knowledge.
pub(super) struct Book {
    /// Number of the present life; `None` between two.
    life: Option<u64>,
    lives: u64,
    sessions: BTreeMap<String, Session>,
    rules: BTreeMap<(Deed, String), Manner>,
    held: Vec<(PeerId, Request)>,
    kept: Vec<(PeerId, FromHost)>,
    outgoing: Vec<(PeerId, FromHost)>,
    pub(super) calls: Vec<Call>,
    pub(super) replaced: usize,
}

struct Session {
    peer: PeerId,
    number: u64,
    topics: BTreeSet<Topic>,
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            life: Some(1),
            lives: 1,
            sessions: BTreeMap::new(),
            rules: BTreeMap::new(),
            held: Vec::new(),
            kept: Vec::new(),
            outgoing: Vec::new(),
            calls: Vec::new(),
            replaced: 0,
        }
    }

    pub(super) const fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn instance(&self) -> String {
        format!("life-{}", self.lives)
    }

    pub(super) fn die(&mut self) {
        self.life = None;
        self.sessions.clear();
        self.held.clear();
        self.kept.clear();
        self.outgoing.clear();
    }

    pub(super) fn revive(&mut self) {
        self.lives += 1;
        self.life = Some(self.lives);
    }

    /// A peer starts afresh. There is one gateway, so whatever there is was its own.
    pub(super) fn greeted(&mut self, _peer: PeerId) {
        self.sessions.clear();
    }

    /// A peer has gone. Its sessions wait for its next hello, as the protocol wants it.
    pub(super) fn left(&mut self, peer: PeerId) {
        self.held.retain(|(from, _)| *from != peer);
        self.kept.retain(|(to, _)| *to != peer);
    }

    pub(super) fn asked(&mut self, peer: PeerId, request: Request) {
        let call = call(&request);
        let manner = self.rules.get(&(call.deed, call.name.clone())).copied();
        self.calls.push(call);
        self.treat(peer, request, manner.unwrap_or(Manner::Serve));
    }

    pub(super) fn set_rule(&mut self, deed: Deed, name: &str, manner: Manner) {
        let key = (deed, name.to_owned());
        match manner {
            Manner::Serve => self.rules.remove(&key),
            Manner::Fail(_) | Manner::Hold | Manner::Mute | Manner::Lose => {
                self.rules.insert(key, manner)
            }
        };
    }

    pub(super) fn release(&mut self, deed: Deed, name: &str, manner: &Manner) {
        let is_meant = |request: &Request| {
            let call = call(request);
            call.deed == deed && call.name == name
        };
        let (meant, rest) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, held)| is_meant(held));
        self.held = rest;
        let meant: Vec<(PeerId, Request)> = meant;
        assert!(!meant.is_empty(), "{deed:?} of {name} is not held: it may come yet");
        for (peer, request) in meant {
            self.treat(peer, request, *manner);
        }
    }

    pub(super) fn answer_late(&mut self) {
        self.outgoing.append(&mut self.kept);
    }

    pub(super) fn holds(&self, deed: Deed, name: &str) -> usize {
        let calls = self.held.iter().map(|(_, request)| call(request));
        calls.filter(|call| call.deed == deed && call.name == name).count()
    }

    pub(super) fn keeps(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn lose_session(&mut self, user: &str) {
        let Some(session) = self.sessions.remove(user) else { return };
        let lost = Event::SessionLost {
            user: user.into(),
            session: session.number,
            message: "the token has expired".into(),
        };
        self.say(session.peer, FromHost::Event(lost));
    }

    pub(super) fn sessions(&self) -> BTreeMap<String, BTreeSet<Topic>> {
        let sessions = self.sessions.iter();
        sessions.map(|(user, session)| (user.clone(), session.topics.clone())).collect()
    }

    pub(super) fn say(&mut self, peer: PeerId, message: FromHost) {
        self.outgoing.push((peer, message));
    }

    pub(super) fn take_outgoing(&mut self) -> Vec<(PeerId, FromHost)> {
        std::mem::take(&mut self.outgoing)
    }

    fn treat(&mut self, peer: PeerId, request: Request, manner: Manner) {
        let id = request.id;
        let answer = |result| FromHost::Answer(Answer { id, result });
        match manner {
            Manner::Serve => {
                let result = self.serve(peer, request);
                self.say(peer, answer(result));
            }
            Manner::Fail(code) => {
                let message = "the story says no".into();
                self.say(peer, answer(Err(Failure { code, message })));
            }
            Manner::Hold => self.held.push((peer, request)),
            Manner::Mute => {
                let result = self.serve(peer, request);
                self.kept.push((peer, answer(result)));
            }
            Manner::Lose => {}
        }
    }

    fn serve(&mut self, peer: PeerId, request: Request) -> Result<Option<u32>, Failure> {
        let user = request.user.to_string();
        let current = self.sessions.get_mut(&user);
        let current = current.filter(|held| held.peer == peer && held.number == request.session);
        match (request.op, current) {
            (Op::Connect, Some(_)) | (Op::Disconnect, None) => {}
            (Op::Connect, None) => {
                let session = Session { peer, number: request.session, topics: BTreeSet::new() };
                self.replaced += usize::from(self.sessions.insert(user, session).is_some());
            }
            (Op::Disconnect, Some(_)) => {
                self.sessions.remove(&user);
            }
            (Op::Subscribe { topic, depth }, Some(session)) => {
                session.topics.insert(topic);
                return Ok(Some(depth));
            }
            (Op::Unsubscribe { topic }, Some(session)) => {
                session.topics.remove(&topic);
            }
            (Op::UnsubscribeAll, Some(session)) => session.topics.clear(),
            (Op::Subscribe { .. } | Op::Unsubscribe { .. } | Op::UnsubscribeAll, None) => {
                let message = "no such session".into();
                return Err(Failure { code: FailureCode::NotConnected, message });
            }
        }
        Ok(None)
    }
}

fn call(request: &Request) -> Call {
    let user = request.user.to_string();
    let (deed, name) = match &request.op {
        Op::Connect => (Deed::Connect, user.clone()),
        Op::Disconnect => (Deed::Disconnect, user.clone()),
        Op::Subscribe { topic, .. } => (Deed::Subscribe, topic.instrument.symbol.to_string()),
        Op::Unsubscribe { topic } => (Deed::Unsubscribe, topic.instrument.symbol.to_string()),
        Op::UnsubscribeAll => (Deed::Unsubscribe, user.clone()),
    };
    Call { deed, name, user, session: request.session }
}
