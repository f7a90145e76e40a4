//! The gateway's end of the control protocol as a state machine: no socket, no clock.

use std::collections::{BTreeMap, BTreeSet};

use super::super::wire::{answer, milliseconds, request, unfit_name};
use super::super::{
    Answer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandId, SessionId,
};
use super::{RemoteOptions, RemoteStats};
use crate::marks::mark;
use crate::protocol::control::{
    Event, FromHost, Hello, ToHost, VERSION, Welcome, decode_from_host,
};

/// Commands that may wait for their answer at a time; further ones are refused.
pub const IN_FLIGHT_MAX: usize = 65_536;
/// Milliseconds that an answer may come after its deadline and still be passed on.
pub const LATE_MS: u64 = 5_000;
/// Milliseconds at least between a hello and the next one on the same connection.
pub const HELLO_PAUSE_MS: u64 = 1_000;

/// What the link wants done. In order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Send this to the host.
    Send(ToHost),
    /// Tell the gateway.
    Tell(BrokerEvent),
}

/// One gateway's conversation with one host.
#[derive(Debug)]
pub(super) struct Link {
    /// Random for each life of the gateway.
    gateway: String,
    times: Times,
    state: State,
    /// Number of the latest hello.
    hello: u64,
    /// When it was said.
    hello_ms: u64,
    /// When each command is forgotten.
    in_flight: BTreeMap<CommandId, u64>,
    /// The same by time.
    forget: BTreeSet<(u64, CommandId)>,
    ping: u64,
    stats: RemoteStats,
}

#[derive(Debug)]
struct Times {
    heartbeat_interval_ms: u64,
    heartbeat_timeout_ms: u64,
    welcome_timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection.
    Unlinked,
    /// The gateway waits before it says hello again; what the host says means nothing.
    Pausing { hello_at_ms: u64 },
    /// The latest hello has not been welcomed; the next is due then.
    Greeting { hello_at_ms: u64 },
    /// Welcomed.
    Up { instance: String, heard_ms: u64, ping_at_ms: u64 },
}

impl Link {
    pub(super) fn new(gateway: String, options: &RemoteOptions, stats: RemoteStats) -> Self {
        Self {
            gateway,
            times: Times {
                heartbeat_interval_ms: milliseconds(options.heartbeat_interval).max(1),
                heartbeat_timeout_ms: milliseconds(options.heartbeat_timeout).max(1),
                welcome_timeout_ms: milliseconds(options.welcome_timeout).max(HELLO_PAUSE_MS),
            },
            state: State::Unlinked,
            hello: 0,
            hello_ms: 0,
            in_flight: BTreeMap::new(),
            forget: BTreeSet::new(),
            ping: 0,
            stats,
        }
    }

    /// The connection is there.
    pub(super) fn linked(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        self.go_down("the connection was replaced", effects);
        self.say_hello(now_ms, effects);
    }

    /// The connection is gone.
    pub(super) fn unlinked(&mut self, reason: &str, effects: &mut Vec<Effect>) {
        self.go_down(reason, effects);
        self.state = State::Unlinked;
    }

    /// The host said something.
    pub(super) fn received(&mut self, bytes: &[u8], now_ms: u64, effects: &mut Vec<Effect>) {
        if let State::Up { heard_ms, .. } = &mut self.state {
            *heard_ms = now_ms;
        }
        match decode_from_host(bytes) {
            Ok(Some(FromHost::Welcome(welcome))) => self.welcomed(welcome, now_ms, effects),
            Ok(Some(FromHost::Answer(from_host))) => {
                let Some(forget_ms) = self.in_flight.remove(&CommandId(from_host.id)) else {
                    mark!(AnswerUnknown);
                    self.stats.count(|counts| &mut counts.answers_unknown);
                    return;
                };
                self.forget.remove(&(forget_ms, CommandId(from_host.id)));
                effects.push(Effect::Tell(BrokerEvent::Answer(answer(from_host))));
            }
            Ok(Some(FromHost::Event(event))) => self.happened(event, effects),
            Ok(Some(FromHost::Pong { .. })) => {}
            Ok(None) => self.stats.count(|counts| &mut counts.messages_unknown),
            Err(malformed) => {
                self.stats.count(|counts| &mut counts.messages_malformed);
                tracing::debug!(%malformed, "message from an adapter host dropped");
            }
        }
    }

    /// The gateway wants something.
    pub(super) fn command(&mut self, command: &Command, now_ms: u64, effects: &mut Vec<Effect>) {
        let refuse = |code, message: String| {
            let result = Err(BrokerError { code, message });
            Effect::Tell(BrokerEvent::Answer(Answer { id: command.id, result }))
        };
        if !self.is_up() {
            mark!(LinkDown);
            let message = "the adapter host cannot be reached".into();
            effects.push(refuse(BrokerErrorCode::NotConnected, message));
        } else if let Some(name) = unfit_name(command) {
            let message = format!("the {name} is empty or too long");
            effects.push(refuse(BrokerErrorCode::Refused, message));
        } else if self.in_flight.len() >= IN_FLIGHT_MAX {
            let message = format!("{IN_FLIGHT_MAX} commands wait for the adapter host");
            effects.push(refuse(BrokerErrorCode::Refused, message));
        } else {
            let request = request(command);
            let forget_ms = now_ms.saturating_add(request.deadline_ms).saturating_add(LATE_MS);
            self.in_flight.insert(command.id, forget_ms);
            self.forget.insert((forget_ms, command.id));
            effects.push(Effect::Send(ToHost::Request(request)));
        }
    }

    /// Time has passed.
    pub(super) fn passed(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        while let Some((forget_ms, id)) = self.forget.first().copied() {
            if forget_ms > now_ms {
                break;
            }
            self.forget.remove(&(forget_ms, id));
            self.in_flight.remove(&id);
            self.stats.count(|counts| &mut counts.commands_unanswered);
        }
        match &mut self.state {
            State::Unlinked => {}
            State::Pausing { hello_at_ms } | State::Greeting { hello_at_ms } => {
                if *hello_at_ms <= now_ms {
                    self.say_hello(now_ms, effects);
                }
            }
            State::Up { heard_ms, ping_at_ms, .. } => {
                let silent_ms = now_ms.saturating_sub(*heard_ms);
                if silent_ms >= self.times.heartbeat_timeout_ms {
                    mark!(LinkSilent);
                    self.stats.count(|counts| &mut counts.heartbeats_missed);
                    self.go_down(&format!("the host was silent for {silent_ms} ms"), effects);
                    self.say_hello(now_ms, effects);
                } else if *ping_at_ms <= now_ms {
                    *ping_at_ms = now_ms + self.times.heartbeat_interval_ms;
                    self.ping += 1;
                    effects.push(Effect::Send(ToHost::Ping { n: self.ping }));
                }
            }
        }
    }

    /// When [`Link::passed`] has something to do.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        let state = match self.state {
            State::Unlinked => None,
            State::Pausing { hello_at_ms } | State::Greeting { hello_at_ms } => Some(hello_at_ms),
            State::Up { heard_ms, ping_at_ms, .. } => {
                Some(ping_at_ms.min(heard_ms.saturating_add(self.times.heartbeat_timeout_ms)))
            }
        };
        let forget = self.forget.first().map(|(forget_ms, _)| *forget_ms);
        state.into_iter().chain(forget).min()
    }

    /// Whether nobody waits for an answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
    }

    const fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    fn welcomed(&mut self, welcome: Welcome, now_ms: u64, effects: &mut Vec<Effect>) {
        if welcome.n.is_some_and(|n| n != self.hello) {
            // The host was slow, and has been greeted anew since.
            self.stats.count(|counts| &mut counts.welcomes_stale);
            return;
        }
        match &self.state {
            State::Unlinked | State::Pausing { .. } => {}
            State::Greeting { .. } if !welcome.is_compatible() => tracing::warn!(
                host = welcome.name,
                theirs = welcome.version,
                ours = VERSION,
                "an adapter host speaks another version of the control protocol"
            ),
            State::Greeting { .. } => {
                tracing::info!(
                    host = welcome.name,
                    instance = welcome.instance,
                    "host welcomed us"
                );
                let ping_at_ms = now_ms + self.times.heartbeat_interval_ms;
                let instance = welcome.instance;
                self.state = State::Up { instance, heard_ms: now_ms, ping_at_ms };
                effects.push(Effect::Tell(BrokerEvent::Up));
            }
            State::Up { instance, .. } => {
                let reason = if *instance == welcome.instance {
                    "the host welcomed the gateway again: it has lost its sessions"
                } else {
                    "the host was restarted"
                };
                self.go_down(reason, effects);
                let hello_at_ms = self.hello_ms.saturating_add(HELLO_PAUSE_MS);
                if hello_at_ms <= now_ms {
                    self.say_hello(now_ms, effects);
                } else {
                    // A host that welcomes twice each time is not answered in a tight loop.
                    self.state = State::Pausing { hello_at_ms };
                }
            }
        }
    }

    fn happened(&self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::SessionLost { user, session, message } => {
                if self.is_up() {
                    let (session, reason) = (SessionId(session), message);
                    effects.push(Effect::Tell(BrokerEvent::SessionLost { user, session, reason }));
                }
            }
        }
    }

    fn say_hello(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        mark!(LinkReplaced if self.hello > 0);
        self.hello += 1;
        self.hello_ms = now_ms;
        self.state = State::Greeting { hello_at_ms: now_ms + self.times.welcome_timeout_ms };
        effects.push(Effect::Send(ToHost::Hello(Hello {
            version: VERSION,
            gateway: self.gateway.clone(),
            n: self.hello,
        })));
    }

    /// Leaves [`State::Up`]; the caller enters the next state.
    fn go_down(&mut self, reason: &str, effects: &mut Vec<Effect>) {
        self.in_flight.clear();
        self.forget.clear();
        if self.is_up() {
            effects.push(Effect::Tell(BrokerEvent::Down { reason: reason.to_owned() }));
        }
    }
}
