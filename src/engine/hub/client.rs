//! Clients: who they are, what they hold, which request they are at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use indexmap::IndexSet;

use super::reject;
use super::user::{SessionState, User};
use super::{Effect, Hub, Note, TimerKey};
use crate::broker::BrokerError;
use crate::engine::{
    Change, ChannelId, CredentialUse, Identity, Orders, RESTARTING, Request, RouteId, ShardId,
};
use crate::marks::{ClientEvent, SessionEvent, mark};
use crate::protocol::{Answer, Reject, RequestId, RowOutcome};
use crate::topic::{ClientId, Instrument, Mode, Role, Topic, UserId};

/// One connection. Its requests are served one at a time, in order.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub shard: ShardId,
    /// When its handshake was done.
    pub since_ms: u64,
    /// By which way it has come.
    pub channel: ChannelId,
    pub auth: Auth,
    /// Everything it wants: waiting and held.
    pub topics: IndexSet<Topic>,
    pub orders: bool,
    /// The route on which it hears its channel's broadcasts.
    pub listens: Option<RouteId>,
    pub queue: VecDeque<(Option<RequestId>, Request)>,
    pub current: Option<Current>,
    /// Times that it was not let in.
    pub failures: u64,
    /// Administrators' commands that its role did not allow.
    pub forbidden: u64,
    /// What it may do, as whoever it is.
    pub role: Role,
    /// What it has come in by.
    pub credential: Option<CredentialUse>,
    /// A close is on its way; it is served no more.
    pub closing: bool,
}

/// As whom a client has come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Nobody,
    /// The credential was accepted; the broker session is not live yet.
    Joining(UserId),
    Joined(UserId),
}

/// A request that waits for the broker.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub request_id: Option<RequestId>,
    pub kind: CurrentKind,
}

#[derive(Clone, Debug)]
pub(super) enum CurrentKind {
    Authenticate,
    /// It comes in as this user when nothing of it is left at the broker where it was before.
    Move(Identity),
    /// An administrator's command of this number.
    Admin(u64),
    /// It becomes anonymous; what it has asked for waits in its queue.
    Enter,
    Subscribe {
        rows: Vec<Row>,
        waiting: BTreeMap<Topic, usize>,
        /// Topics that begin with the next tick instead of the last value.
        quiet: BTreeSet<Topic>,
    },
}

/// One entry of a subscribe.
#[derive(Clone, Debug)]
pub(super) enum Row {
    /// Its outcome is known.
    Done { exchange: std::sync::Arc<str>, symbol: std::sync::Arc<str>, outcome: RowOutcome },
    /// It waits for the broker.
    Waiting { instrument: Instrument, mode: Mode, depth: u32, interval_ms: u64 },
    /// It repeats an earlier entry of the same request.
    Repeats { row: usize, instrument: Instrument, mode: Mode },
}

impl Client {
    fn new(shard: ShardId, since_ms: u64, channel: ChannelId) -> Self {
        Self {
            shard,
            since_ms,
            channel,
            auth: Auth::Nobody,
            topics: IndexSet::new(),
            orders: false,
            listens: None,
            queue: VecDeque::new(),
            current: None,
            failures: 0,
            forbidden: 0,
            role: Role::Anonymous,
            credential: None,
            closing: false,
        }
    }

    /// The user it has authenticated as.
    pub const fn user(&self) -> Option<&UserId> {
        match &self.auth {
            Auth::Joined(user) => Some(user),
            Auth::Joining(_) | Auth::Nobody => None,
        }
    }

    /// The user it belongs to, authenticated or about to be.
    pub const fn attached(&self) -> Option<&UserId> {
        match &self.auth {
            Auth::Joined(user) | Auth::Joining(user) => Some(user),
            Auth::Nobody => None,
        }
    }

    /// The topics that its request waits for.
    pub fn waits_for(&self) -> Vec<Topic> {
        match &self.current {
            Some(Current { kind: CurrentKind::Subscribe { waiting, .. }, .. }) => {
                waiting.keys().cloned().collect()
            }
            Some(Current {
                kind:
                    CurrentKind::Authenticate
                    | CurrentKind::Move(_)
                    | CurrentKind::Admin(_)
                    | CurrentKind::Enter,
                ..
            })
            | None => Vec::new(),
        }
    }

    pub fn close(
        &mut self,
        id: ClientId,
        code: u16,
        reason: &'static str,
        effects: &mut Vec<Effect>,
    ) {
        if !self.closing {
            self.closing = true;
            self.queue.clear();
            effects.push(Effect::Close { client: id, shard: self.shard, code, reason });
        }
    }

    fn is_authenticating(&self) -> bool {
        let kind = self.current.as_ref().map(|at| &at.kind);
        matches!(kind, Some(CurrentKind::Authenticate | CurrentKind::Enter))
    }
}

impl Hub {
    pub(super) fn client_opened(
        &mut self,
        id: ClientId,
        shard: ShardId,
        channel: ChannelId,
        effects: &mut Vec<Effect>,
    ) {
        self.client_meets(id, ClientEvent::Opened);
        self.totals.opened += u64::from(!id.is_own());
        let mut client = Client::new(shard, self.now_ms, channel);
        if self.draining {
            mark!(StopOpened);
            client.close(id, RESTARTING, "the gateway is restarting", effects);
        }
        let old = self.clients.insert(id, client);
        assert!(old.is_none(), "{id} was opened twice");
        self.arm_authentication(id);
        if self.rules_there(id).anonymous
            && let Some(route) = self.listen(id, effects)
        {
            let change = Change { add: vec![route], ..Change::default() };
            effects.push(Effect::Deliver { client: id, shard, change, answer: None });
        }
    }

    pub(super) fn client_closed(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        if !self.clients.contains_key(&id) {
            return;
        }
        self.client_meets(id, ClientEvent::Closed);
        self.totals.closed += u64::from(!id.is_own());
        self.moves_no_more(id);
        self.timers.cancel(&TimerKey::Authenticate(id));
        self.timers.cancel(&TimerKey::Request(id));
        self.leave(id, effects);
        self.stop_listening(id);
        let client = self.clients.swap_remove(&id).expect("it was just there");
        effects.push(Effect::Detach { client: id, shard: client.shard });
    }

    pub(super) fn request_arrived(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        request: Request,
    ) {
        self.request_meets(id, &request);
        let Some(client) = self.clients.get_mut(&id) else { return };
        mark!(ClientClosingAsks if client.closing);
        mark!(ClientQueues if client.current.is_some());
        if !client.closing {
            client.queue.push_back((request_id, request));
            self.work.clients.push_back(id);
        }
    }

    /// Starts a client's next requests, until one has to wait.
    pub(super) fn serve_next(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            if client.current.is_some() || client.closing {
                return;
            }
            let Some((request_id, request)) = client.queue.pop_front() else { return };
            self.totals.requests += 1;
            self.serve(id, request_id, request, effects);
        }
    }

    /// Attaches a client to the account that its credential named.
    pub(super) fn authenticate(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        identity: Result<Identity, Reject>,
        effects: &mut Vec<Effect>,
    ) {
        let identity = match identity.and_then(|identity| self.admit(id, identity)) {
            Ok(identity) => identity,
            Err(reject) => {
                self.note_turned_down(id, &reject, effects);
                self.answer(id, request_id, Answer::Rejected(reject), effects);
                return;
            }
        };
        if self.users.get(&identity.user).is_some_and(|user| user.broker != identity.broker) {
            self.wait_to_move(id, request_id, identity, effects);
        } else {
            self.enter(id, request_id, CurrentKind::Authenticate, identity, effects);
        }
    }

    /// Attaches a client to an account; `kind` says what is done once its session is live.
    pub(super) fn enter(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        kind: CurrentKind,
        identity: Identity,
        effects: &mut Vec<Effect>,
    ) {
        let client = self.clients.get_mut(&id).expect("the client exists");
        // With another role it starts anew: what it holds may be more than it may hold.
        if client.attached() != Some(&identity.user) || client.role != identity.role {
            mark!(ClientSwitches if !client.topics.is_empty());
            mark!(AnonymousSwitches if !client.topics.is_empty() && client.role == Role::Anonymous);
            self.leave(id, effects);
            self.join(id, &identity);
        }
        self.take_on(id, &identity);
        self.timers.cancel(&TimerKey::Authenticate(id));
        let client = self.clients.get_mut(&id).expect("the client exists");
        let enters = matches!(kind, CurrentKind::Enter);
        client.current = Some(Current { request_id, kind });
        self.timers.set(TimerKey::Request(id), self.now_ms + self.options.times.request_timeout_ms);
        let user = self.users.get_mut(&identity.user).expect("it was just joined");
        if user.is_live() {
            self.authentication_done(id, effects);
        } else {
            mark!(ClientRejoinsDead if matches!(self.clients[&id].auth, Auth::Joined(_)));
            // Anybody can become anonymous as often as it likes: a broker that fails is not asked
            // more often for that.
            if !enters {
                user.sessions[0].backoff.hurry();
            }
            self.work.sessions.insert((identity.user, 0));
        }
    }

    fn join(&mut self, id: ClientId, identity: &Identity) {
        self.session_meets(&identity.user, 0, SessionEvent::Joins);
        let now_ms = self.now_ms;
        let new = || User::new(identity.broker.clone(), now_ms);
        let user = self.users.entry(identity.user.clone()).or_insert_with(new);
        mark!(SessionWantedAgain if matches!(user.main().state, SessionState::Closing(_)));
        user.clients.insert(id);
        let sessions = user.sessions.len();
        self.work.sessions.extend((0..sessions).map(|at| (identity.user.clone(), at)));
        let client = self.clients.get_mut(&id).expect("the client exists");
        client.auth = Auth::Joining(identity.user.clone());
    }

    /// Takes everything from a client that it has as its user, order updates included (RC-011).
    pub(super) fn leave(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        let Some(user_id) = self.clients[&id].attached().cloned() else { return };
        self.session_meets(&user_id, 0, SessionEvent::Leaves);
        let client = &mut self.clients[&id];
        client.current = None;
        let mut change = Change::default();
        if std::mem::take(&mut client.orders) {
            change.orders = Orders::Stop;
        }
        let topics: Vec<Topic> = client.topics.iter().cloned().collect();
        let shard = client.shard;
        if !self.rules_there(id).anonymous {
            change.remove.extend(self.stop_listening(id));
        }
        for topic in &topics {
            change.remove.push(self.release_topic(&user_id, id, topic, effects));
        }
        if !change.is_empty() {
            effects.push(Effect::Deliver { client: id, shard, change, answer: None });
        }
        let client = self.clients.get_mut(&id).expect("the client exists");
        client.auth = Auth::Nobody;
        client.role = Role::Anonymous;
        client.credential = None;
        self.timers.cancel(&TimerKey::Expiry(id));
        let user = self.users.get_mut(&user_id).expect("a client's user exists");
        user.clients.swap_remove(&id);
        let sessions = user.sessions.len();
        self.work.sessions.extend((0..sessions).map(|at| (user_id.clone(), at)));
    }

    /// The user's session is live: a client that waits for it is in.
    pub(super) fn authentication_done(&mut self, id: ClientId, effects: &mut Vec<Effect>) {
        let client = self.clients.get_mut(&id).expect("a user's client exists");
        if !client.is_authenticating() {
            return;
        }
        let user_id = client.attached().expect("it is authenticating").clone();
        if matches!(client.auth, Auth::Joining(_)) {
            client.auth = Auth::Joined(user_id.clone());
            let (user, role) = (user_id.clone(), client.role);
            Self::note(effects, Note::Authenticated { client: id, user, role });
        }
        let add = self.listen(id, effects).into_iter().collect();
        let broker = self.users[&user_id].broker.clone();
        let answer = Answer::Authenticated { broker, user: user_id };
        self.finish_with(id, Change { add, ..Change::default() }, answer, effects);
    }

    /// The user's session cannot be had: a client that waits for it is told, and is nobody again
    /// unless it had come in before.
    pub(super) fn authentication_failed(
        &mut self,
        id: ClientId,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        let client = self.clients.get_mut(&id).expect("a user's client exists");
        if !client.is_authenticating() {
            return;
        }
        let joining = matches!(client.auth, Auth::Joining(_));
        let reject = reject::session(error);
        self.note_turned_down(id, &reject, effects);
        let client = self.clients.get_mut(&id).expect("a user's client exists");
        client.fail_what_waits_for_it();
        self.finish(id, Answer::Rejected(reject), effects);
        if joining {
            self.leave(id, effects);
            self.arm_authentication(id);
        }
    }
}
