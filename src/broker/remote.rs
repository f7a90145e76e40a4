//! A broker in another process: the gateway's end of the control protocol.

mod link;
#[cfg(test)]
mod link_tests;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::counts::Counts;
use super::outlet::Outlet;
use super::timer::until;
use super::wire::milliseconds;
use super::{Broker, BrokerEvent, Command};
use crate::protocol::control::{MESSAGE_BYTES_MAX, ToHost};
use crate::runtime::{Clock, Runtime};
use crate::topic::BrokerName;
use crate::zmtp::{BadEndpoint, Dealer, DealerEvent, Message, Options, parse_endpoint};
use link::{Effect, Link};

pub use link::{HELLO_PAUSE_MS, IN_FLIGHT_MAX, LATE_MS};

/// Events that may wait for the gateway before the host and new commands have to wait.
const EVENTS_WAITING_MAX: usize = 4_096;
/// How long a host may leave its connection unread before the connection is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a gateway that does not take its events is asked whether it has gone.
const STALLED_CHECK_MS: u64 = 100;

/// What can be chosen about a remote broker.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The broker as the configuration names it, for the log.
    pub name: BrokerName,
    /// The host's control socket, `tcp://host:port`.
    pub address: String,
    /// Time between two pings.
    pub heartbeat_interval: Duration,
    /// Silence after which the host counts as dead.
    pub heartbeat_timeout: Duration,
    /// Time between two hellos to a host that does not welcome; at least [`HELLO_PAUSE_MS`].
    pub welcome_timeout: Duration,
    /// How long the answers to the last commands are waited for when the gateway stops.
    pub linger: Duration,
    /// The connection underneath.
    pub zmtp: Options,
}

impl RemoteOptions {
    /// The usual times.
    pub fn new(name: impl Into<BrokerName>, address: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            heartbeat_interval: Duration::from_secs(3),
            heartbeat_timeout: Duration::from_secs(10),
            welcome_timeout: Duration::from_secs(3),
            linger: Duration::from_secs(1),
            zmtp: Options {
                frame_bytes_max: MESSAGE_BYTES_MAX,
                message_bytes_max: 2 * MESSAGE_BYTES_MAX,
                ..Options::default()
            },
        }
    }
}

/// What a remote broker counts. Read it through [`Remote::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteCounts {
    /// Answers to commands that are unknown, answered already or long past their deadline.
    pub answers_unknown: u64,
    /// Commands that were forgotten without an answer.
    pub commands_unanswered: u64,
    /// Times the host was given up for its silence.
    pub heartbeats_missed: u64,
    /// Messages that are not of the control protocol.
    pub messages_malformed: u64,
    /// Messages of a later version of the control protocol.
    pub messages_unknown: u64,
    /// Connections given up because the host did not read.
    pub sends_stuck: u64,
    /// Welcomes to an earlier hello.
    pub welcomes_stale: u64,
}

/// A handle to the counters of a remote broker.
pub type RemoteStats = Counts<RemoteCounts>;

/// A broker behind an adapter host.
#[derive(Debug)]
pub struct Remote<R> {
    runtime: R,
    options: RemoteOptions,
    /// `host:port`.
    address: String,
    stats: RemoteStats,
}

impl<R: Runtime> Remote<R> {
    /// Names the host; [`Broker::run`] connects to it.
    ///
    /// # Errors
    ///
    /// Fails if the address is not `tcp://host:port`.
    pub fn new(runtime: R, options: RemoteOptions) -> Result<Self, BadEndpoint> {
        let address = parse_endpoint(&options.address)?;
        Ok(Self { runtime, options, address, stats: RemoteStats::default() })
    }

    /// What it counts, also while it runs.
    #[must_use]
    pub fn stats(&self) -> RemoteStats {
        self.stats.clone()
    }
}

impl<R: Runtime> Broker for Remote<R> {
    async fn run(self, mut commands: mpsc::Receiver<Command>, events: mpsc::Sender<BrokerEvent>) {
        let clock = Clock::start();
        let gateway = format!("{:016x}", self.runtime.entropy());
        let mut line = Line {
            dealer: self.dial(),
            link: Link::new(gateway, &self.options, self.stats.clone()),
            outlet: Outlet::new(events),
            remote: self,
        };
        let mut effects = Vec::new();
        let mut close_by_ms = None;
        loop {
            let has_room = line.outlet.len() < EVENTS_WAITING_MAX;
            let check_ms = (!has_room).then(|| clock.now_ms() + STALLED_CHECK_MS);
            let due_ms = line.link.next_due_ms().into_iter().chain(close_by_ms).chain(check_ms);
            tokio::select! {
                biased;
                () = line.outlet.drain(), if !line.outlet.is_empty() => {}
                command = commands.recv(), if has_room && close_by_ms.is_none() => match command {
                    Some(command) => line.link.command(&command, clock.now_ms(), &mut effects),
                    None => {
                        let linger_ms = milliseconds(line.remote.options.linger);
                        close_by_ms = Some(clock.now_ms().saturating_add(linger_ms));
                    }
                },
                event = line.dealer.recv(), if has_room => line.heard(event, &clock, &mut effects),
                () = until(&clock, due_ms.min()) => {}
            }
            if !has_room && commands.is_closed() {
                return;
            }
            line.link.passed(clock.now_ms(), &mut effects);
            line.carry_out(&mut effects).await;
            if let Some(close_by_ms) = close_by_ms
                && (line.link.is_quiet() || clock.now_ms() >= close_by_ms)
            {
                return;
            }
        }
    }
}

impl<R: Runtime> Remote<R> {
    fn dial(&self) -> Dealer {
        Dealer::connect(&self.runtime, self.options.zmtp.clone(), &self.address)
    }
}

/// A running remote broker.
struct Line<R> {
    remote: Remote<R>,
    dealer: Dealer,
    link: Link,
    outlet: Outlet<BrokerEvent>,
}

impl<R: Runtime> Line<R> {
    fn heard(&mut self, event: DealerEvent, clock: &Clock, effects: &mut Vec<Effect>) {
        match event {
            DealerEvent::Up => self.link.linked(clock.now_ms(), effects),
            DealerEvent::Down { reason } => self.link.unlinked(&reason, effects),
            DealerEvent::Message(message) => match message.parts() {
                [body] => self.link.received(body, clock.now_ms(), effects),
                _ => self.remote.stats.count(|counts| &mut counts.messages_malformed),
            },
        }
    }

    async fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        let mut stuck = false;
        for effect in effects.drain(..) {
            match effect {
                Effect::Tell(event) => {
                    if let BrokerEvent::Down { reason } = &event {
                        tracing::warn!(broker = %self.remote.options.name, reason, "broker down");
                    }
                    self.outlet.push(event);
                }
                Effect::Send(message) => {
                    stuck = stuck || !self.send(&message).await;
                }
            }
        }
        if stuck {
            self.remote.stats.count(|counts| &mut counts.sends_stuck);
            self.dealer = self.remote.dial();
            self.link.unlinked("the host does not read", effects);
            for effect in effects.drain(..) {
                match effect {
                    Effect::Tell(event) => self.outlet.push(event),
                    Effect::Send(_) => {}
                }
            }
        }
    }

    /// Whether the host takes messages.
    async fn send(&mut self, message: &ToHost) -> bool {
        let message = Message::single(message.encode());
        // Without a connection nothing is sent, and the socket is about to say so.
        timeout(SEND_TIMEOUT, self.dealer.send(message)).await.is_ok()
    }
}
