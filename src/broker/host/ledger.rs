//! Which gateway holds which session, and waits for which answer: no socket, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use super::super::wire::{command, milliseconds};
use super::super::{
    Answer, BrokerErrorCode, BrokerEvent, Command, CommandId, CommandKind, Done, Line, SessionId,
};
use super::effect::{Effect, answer, lost, refusal};
use super::entry::{Gateway, Outcome, Owner, Pending};
use super::{HostOptions, HostStats};
use crate::protocol::control::{
    FromHost, Hello, Op, Request, ToHost, VERSION, Welcome, decode_to_host,
};

/// Gateways that may be served at a time; a further one is not welcomed.
pub const GATEWAYS_MAX: usize = 64;
/// Sessions in all; further ones are refused.
pub const SESSIONS_MAX: usize = 100_000;
/// Requests of one gateway that may wait for the broker; further ones are refused.
pub const IN_FLIGHT_MAX: usize = 65_536;
/// Milliseconds that an answer may come after its deadline and still be passed on.
pub const LATE_MS: u64 = 5_000;
/// How long the broker may take to close a session whose gateway has gone.
const CLOSE_DEADLINE: Duration = Duration::from_secs(15);

/// The books of one host. `P` names a connection.
#[derive(Debug)]
pub(super) struct Ledger<P> {
    name: String,
    /// Random for each life of the host.
    instance: String,
    silence_ms: u64,
    gateways: BTreeMap<P, Gateway>,
    sessions: BTreeMap<Line, Owner<P>>,
    in_flight: BTreeMap<CommandId, Pending<P>>,
    /// When each of them is forgotten.
    forget: BTreeSet<(u64, CommandId)>,
    commands: u64,
    session_last: u64,
    stats: HostStats,
}

impl<P: Copy + Ord + Debug> Ledger<P> {
    pub(super) fn new(instance: String, options: &HostOptions, stats: HostStats) -> Self {
        Self {
            name: options.name.clone(),
            instance,
            silence_ms: milliseconds(options.gateway_silence).max(1),
            gateways: BTreeMap::new(),
            sessions: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            forget: BTreeSet::new(),
            commands: 0,
            session_last: 0,
            stats,
        }
    }

    /// A gateway said something.
    pub(super) fn received(
        &mut self,
        peer: P,
        bytes: &[u8],
        now_ms: u64,
        effects: &mut Vec<Effect<P>>,
    ) {
        if let Some(gateway) = self.gateways.get_mut(&peer) {
            gateway.heard_ms = now_ms;
        }
        match decode_to_host(bytes) {
            Ok(Some(ToHost::Hello(hello))) => self.hello(peer, hello, now_ms, effects),
            Ok(Some(ToHost::Request(request))) => self.request(peer, request, now_ms, effects),
            Ok(Some(ToHost::Ping { n })) => {
                // Whoever has not said hello shall find out by silence, and say it.
                if self.gateways.contains_key(&peer) {
                    effects.push(Effect::Send(peer, FromHost::Pong { n }));
                }
            }
            Ok(None) => self.stats.count(|counts| &mut counts.messages_unknown),
            Err(malformed) => {
                self.stats.count(|counts| &mut counts.messages_malformed);
                if let Some(id) = malformed.request_id {
                    let message = malformed.to_string();
                    effects.push(refusal(peer, id, BrokerErrorCode::Refused, &message));
                }
            }
        }
    }

    /// A connection is gone (or as good as gone).
    pub(super) fn left(&mut self, peer: P, effects: &mut Vec<Effect<P>>) {
        if self.gateways.remove(&peer).is_none() {
            return;
        }
        self.in_flight.retain(|id, pending| {
            let stays = pending.peer != peer;
            if !stays {
                self.forget.remove(&(pending.forget_ms, *id));
            }
            stays
        });
        let orphans: Vec<(Line, SessionId)> = self
            .sessions
            .iter()
            .filter(|(_, owner)| owner.peer == peer)
            .map(|(line, owner)| (line.clone(), owner.ours))
            .collect();
        for (line, session) in orphans {
            self.sessions.remove(&line);
            self.disconnect(line, session, effects);
        }
    }

    /// The broker said something.
    pub(super) fn broker(&mut self, event: BrokerEvent, effects: &mut Vec<Effect<P>>) {
        match event {
            BrokerEvent::Up => tracing::info!(host = self.name, "the broker can be reached"),
            BrokerEvent::Down { reason } => self.broker_down(&reason, effects),
            BrokerEvent::Answer(answer) => self.answered(answer, effects),
            BrokerEvent::SessionLost { user, session, reason } => {
                let of_user = self.sessions.range((user.clone(), 0)..=(user, u32::MAX));
                let lost = of_user.into_iter().find(|(_, owner)| owner.ours == session);
                if let Some(line) = lost.map(|(line, _)| line.clone()) {
                    self.lose(line, &reason, effects);
                }
            }
        }
    }

    /// Time has passed.
    pub(super) fn passed(&mut self, now_ms: u64, effects: &mut Vec<Effect<P>>) {
        while let Some((forget_ms, id)) = self.forget.first().copied() {
            if forget_ms > now_ms {
                break;
            }
            self.take(id);
            self.stats.count(|counts| &mut counts.commands_unanswered);
        }
        let silence_ms = self.silence_ms;
        let silent: Vec<P> = self
            .gateways
            .iter()
            .filter(|(_, gateway)| gateway.heard_ms.saturating_add(silence_ms) <= now_ms)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in silent {
            self.stats.count(|counts| &mut counts.gateways_silent);
            self.left(peer, effects);
        }
    }

    /// When [`Ledger::passed`] has something to do.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        let silent = self.gateways.values().map(|gateway| gateway.heard_ms);
        let silent = silent.min().map(|heard_ms| heard_ms.saturating_add(self.silence_ms));
        let forget = self.forget.first().map(|(forget_ms, _)| *forget_ms);
        silent.into_iter().chain(forget).min()
    }

    fn hello(&mut self, peer: P, hello: Hello, now_ms: u64, effects: &mut Vec<Effect<P>>) {
        // A fresh start: also for what the same gateway left behind on an older connection.
        let earlier: Vec<P> = self
            .gateways
            .iter()
            .filter(|(other, gateway)| **other == peer || gateway.id == hello.gateway)
            .map(|(other, _)| *other)
            .collect();
        for other in earlier {
            self.left(other, effects);
        }
        if hello.version == VERSION {
            if self.gateways.len() >= GATEWAYS_MAX {
                self.stats.count(|counts| &mut counts.gateways_refused);
                tracing::warn!(host = self.name, "a gateway beyond {GATEWAYS_MAX} is not welcome");
                return;
            }
            let gateway = Gateway { id: hello.gateway, heard_ms: now_ms, in_flight: 0 };
            self.gateways.insert(peer, gateway);
        }
        // To a gateway of another version the welcome says why nothing works.
        let welcome = Welcome {
            version: VERSION,
            name: self.name.clone(),
            instance: self.instance.clone(),
            n: Some(hello.n),
        };
        effects.push(Effect::Send(peer, FromHost::Welcome(welcome)));
    }

    fn request(&mut self, peer: P, request: Request, now_ms: u64, effects: &mut Vec<Effect<P>>) {
        let id = request.id;
        let Some(gateway) = self.gateways.get(&peer) else {
            self.stats.count(|counts| &mut counts.requests_before_hello);
            effects.push(refusal(peer, id, BrokerErrorCode::NotConnected, "say hello first"));
            return;
        };
        if gateway.in_flight >= IN_FLIGHT_MAX {
            let message = format!("{IN_FLIGHT_MAX} requests wait for the broker");
            effects.push(refusal(peer, id, BrokerErrorCode::Refused, &message));
            return;
        }
        let line = (request.user.clone(), request.connection);
        let held = self.sessions.get(&line).copied();
        let current = held.filter(|held| held.peer == peer && held.theirs == request.session);
        // A gateway that was refused a close, and then a connect, gets rid of the older session so.
        let older = held.filter(|held| held.peer == peer && held.theirs < request.session);
        let current = current.or(older.filter(|_| request.op == Op::Disconnect));
        let mut outcome = None;
        let session = match (&request.op, current) {
            (Op::Connect, Some(held)) => held.ours,
            (Op::Connect, None) => match self.open(peer, &request, held, effects) {
                Ok(session) => {
                    // A session of another gateway is from now on this one's to close.
                    let own = |held: Owner<P>| Owner {
                        peer,
                        theirs: if held.peer == peer { held.theirs } else { 0 },
                        ..held
                    };
                    outcome = Some(Outcome::Opens(line, session, held.map(own)));
                    session
                }
                Err(message) => {
                    effects.push(refusal(peer, id, BrokerErrorCode::Refused, &message));
                    return;
                }
            },
            (Op::Disconnect, Some(held)) => {
                outcome = Some(Outcome::Closes(line, held.ours));
                held.ours
            }
            (Op::Disconnect, None) => {
                effects.push(answer(peer, id, Ok(Done::default())));
                return;
            }
            (Op::Subscribe { .. } | Op::Unsubscribe { .. } | Op::UnsubscribeAll, Some(held)) => {
                held.ours
            }
            (Op::Subscribe { .. } | Op::Unsubscribe { .. } | Op::UnsubscribeAll, None) => {
                let message = format!("no session {} is open", request.session);
                effects.push(refusal(peer, id, BrokerErrorCode::NotConnected, &message));
                return;
            }
        };
        self.forward(peer, (request, outcome), session, now_ms, effects);
    }

    /// Makes `peer` the owner of the connection's session.
    fn open(
        &mut self,
        peer: P,
        request: &Request,
        held: Option<Owner<P>>,
        effects: &mut Vec<Effect<P>>,
    ) -> Result<SessionId, String> {
        match held {
            Some(held) if held.peer == peer && held.theirs > request.session => {
                return Err(format!("session {} is open already", held.theirs));
            }
            Some(held) if held.peer != peer => {
                let message = "another gateway opened a session of this user";
                effects.push(lost(held.peer, request.user.clone(), held.theirs, message));
            }
            Some(_) => {}
            None if self.sessions.len() >= SESSIONS_MAX => {
                return Err(format!("{SESSIONS_MAX} sessions are open"));
            }
            None => {}
        }
        self.session_last += 1;
        let ours = SessionId(self.session_last);
        let owner = Owner { peer, theirs: request.session, ours };
        self.sessions.insert((request.user.clone(), request.connection), owner);
        Ok(ours)
    }

    fn forward(
        &mut self,
        peer: P,
        (request, outcome): (Request, Option<Outcome<P>>),
        session: SessionId,
        now_ms: u64,
        effects: &mut Vec<Effect<P>>,
    ) {
        self.commands += 1;
        let ours = CommandId(self.commands);
        let theirs = request.id;
        let command = command(request, ours, session);
        let deadline_ms = milliseconds(command.deadline);
        let forget_ms = now_ms.saturating_add(deadline_ms).saturating_add(LATE_MS);
        self.in_flight.insert(ours, Pending { peer, id: theirs, forget_ms, outcome });
        self.forget.insert((forget_ms, ours));
        if let Some(gateway) = self.gateways.get_mut(&peer) {
            gateway.in_flight += 1;
        }
        effects.push(Effect::Command(command));
    }

    /// Closes a session for which nobody waits.
    fn disconnect(
        &mut self,
        (user, connection): Line,
        session: SessionId,
        effects: &mut Vec<Effect<P>>,
    ) {
        self.commands += 1;
        effects.push(Effect::Command(Command {
            id: CommandId(self.commands),
            user,
            connection,
            session,
            kind: CommandKind::Disconnect,
            deadline: CLOSE_DEADLINE,
            more: false,
        }));
    }

    fn answered(&mut self, from_broker: Answer, effects: &mut Vec<Effect<P>>) {
        let Some(pending) = self.take(from_broker.id) else {
            self.stats.count(|counts| &mut counts.answers_unknown);
            return;
        };
        let is = |line, ours| self.sessions.get(line).map(|now: &Owner<P>| now.ours) == Some(ours);
        match (pending.outcome, from_broker.result.is_ok()) {
            (Some(Outcome::Opens(line, ours, Some(before))), false) if is(&line, ours) => {
                self.sessions.insert(line, before);
            }
            (Some(Outcome::Opens(line, ours, None)), false)
            | (Some(Outcome::Closes(line, ours)), true)
                if is(&line, ours) =>
            {
                self.sessions.remove(&line);
            }
            (_, _) => {}
        }
        effects.push(answer(pending.peer, pending.id, from_broker.result));
    }

    fn broker_down(&mut self, reason: &str, effects: &mut Vec<Effect<P>>) {
        tracing::warn!(host = self.name, reason, "the broker cannot be reached");
        self.forget.clear();
        for gateway in self.gateways.values_mut() {
            gateway.in_flight = 0;
        }
        for pending in std::mem::take(&mut self.in_flight).into_values() {
            let code = BrokerErrorCode::NotConnected;
            effects.push(refusal(pending.peer, pending.id, code, reason));
            if let Some(Outcome::Opens(line, session, _)) = pending.outcome {
                // The broker may find the connect in its queue when it is back.
                self.disconnect(line, session, effects);
            }
        }
        let lines: Vec<Line> = self.sessions.keys().cloned().collect();
        for line in lines {
            self.lose(line, reason, effects);
        }
    }

    fn lose(&mut self, line: Line, reason: &str, effects: &mut Vec<Effect<P>>) {
        if let Some(owner) = self.sessions.remove(&line) {
            effects.push(lost(owner.peer, line.0, owner.theirs, reason));
        }
    }

    fn take(&mut self, id: CommandId) -> Option<Pending<P>> {
        let pending = self.in_flight.remove(&id)?;
        self.forget.remove(&(pending.forget_ms, id));
        if let Some(gateway) = self.gateways.get_mut(&pending.peer) {
            gateway.in_flight = gateway.in_flight.saturating_sub(1);
        }
        Some(pending)
    }
}
