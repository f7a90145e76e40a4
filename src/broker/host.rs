//! The host's end of the control protocol: serves any [`Broker`] to any number of gateways.

mod effect;
mod entry;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod outbox;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::counts::Counts;
use super::outlet::Outlet;
use super::timer::until;
use super::{Broker, BrokerEvent, Command};
use crate::protocol::control::MESSAGE_BYTES_MAX;
use crate::runtime::{Clock, Runtime, Task};
use crate::zmtp::{
    BadEndpoint, Message, Options, PeerId, Router, RouterEvent, StartError, parse_endpoint,
};
use effect::Effect;
use ledger::Ledger;
use outbox::{Outbox, RETRY_MS, Stuck};

pub use ledger::{GATEWAYS_MAX, IN_FLIGHT_MAX, LATE_MS, SESSIONS_MAX};
pub use outbox::WAITING_MAX;

/// Commands on their way to the broker.
const COMMANDS_MAX: usize = 1_024;
/// Commands that may wait for that before the gateways have to wait.
const COMMANDS_WAITING_MAX: usize = 1_024;
/// Events on their way from the broker.
const EVENTS_MAX: usize = 1_024;
/// How long the broker may take to close its sessions when the host stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What can be chosen about a host.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// What the host calls itself in its welcome, 1 to 256 bytes.
    pub name: String,
    /// Silence after which a gateway counts as gone and its sessions are closed. Several times
    /// the gateways' ping interval.
    pub gateway_silence: Duration,
    /// The connections underneath.
    pub zmtp: Options,
}

impl HostOptions {
    /// The usual times.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            gateway_silence: Duration::from_secs(60),
            zmtp: Options {
                frame_bytes_max: MESSAGE_BYTES_MAX,
                message_bytes_max: 2 * MESSAGE_BYTES_MAX,
                ..Options::default()
            },
        }
    }
}

/// What a host counts. Read it through [`Host::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCounts {
    /// Answers of the broker to commands that are unknown, answered already, or of a gateway
    /// that has gone.
    pub answers_unknown: u64,
    /// Commands that were forgotten without an answer.
    pub commands_unanswered: u64,
    /// Hellos beyond [`GATEWAYS_MAX`].
    pub gateways_refused: u64,
    /// Gateways given up for their silence.
    pub gateways_silent: u64,
    /// Gateways given up because they did not read.
    pub gateways_stuck: u64,
    /// Messages that are not of the control protocol.
    pub messages_malformed: u64,
    /// Messages of a later version of the control protocol.
    pub messages_unknown: u64,
    /// Requests of gateways that had not said hello.
    pub requests_before_hello: u64,
}

/// A handle to the counters of a host.
pub type HostStats = Counts<HostCounts>;

/// Why a host could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not `tcp://host:port`.
    #[error(transparent)]
    BadEndpoint(#[from] BadEndpoint),
    /// The address cannot be bound.
    #[error(transparent)]
    Bind(#[from] StartError),
}

/// A running host. Dropping it ends it at once; [`Host::stop`] lets the broker close first.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    stats: HostStats,
    stop: Option<oneshot::Sender<()>>,
    desk: Task,
    broker: Task,
}

/// Binds `listen` (`tcp://host:port`, port 0 chooses a free one) and serves `broker` there.
///
/// # Errors
///
/// Fails if the address cannot be understood or bound.
pub async fn serve<R: Runtime, B: Broker>(
    runtime: R,
    options: HostOptions,
    listen: &str,
    broker: B,
) -> Result<Host, ServeError> {
    let router = Router::bind(&runtime, options.zmtp.clone(), &parse_endpoint(listen)?).await?;
    let address = router.bound_addr();
    let stats = HostStats::default();
    let instance = format!("{:016x}", runtime.entropy());
    let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
    let (events_in, events) = mpsc::channel(EVENTS_MAX);
    let (stop, stopped) = oneshot::channel();
    let desk = Desk {
        router,
        ledger: Ledger::new(instance, &options, stats.clone()),
        outlet: Outlet::new(commands),
        outbox: Outbox::default(),
        stats: stats.clone(),
    };
    let broker = runtime.spawn("host_broker", broker.run(commands_out, events_in));
    let desk = runtime.spawn("host_desk", desk.run(events, stopped));
    Ok(Host { address, stats, stop: Some(stop), desk, broker })
}

impl Host {
    /// The address that was bound.
    #[must_use]
    pub const fn bound_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    #[must_use]
    pub fn stats(&self) -> HostStats {
        self.stats.clone()
    }

    /// Waits until the host ends by itself: its broker has returned or failed.
    pub async fn ended(&mut self) {
        if !self.desk.is_finished() {
            (&mut self.desk).await;
        }
    }

    /// Closes the socket, lets the broker close its sessions, and returns within a few seconds.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let ended = timeout(STOP_TIMEOUT, async {
            self.ended().await;
            if !self.broker.is_finished() {
                (&mut self.broker).await;
            }
        });
        if ended.await.is_err() {
            tracing::warn!("the broker did not close its sessions in time");
        }
    }
}

/// Between the gateways and the broker.
struct Desk {
    router: Router,
    ledger: Ledger<PeerId>,
    outlet: Outlet<Command>,
    outbox: Outbox,
    stats: HostStats,
}

impl Desk {
    /// Serves until it is stopped or the broker has ended; then the address is free again.
    async fn run(mut self, events: mpsc::Receiver<BrokerEvent>, stopped: oneshot::Receiver<()>) {
        self.serve(events, stopped).await;
        self.router.close().await;
    }

    async fn serve(
        &mut self,
        mut events: mpsc::Receiver<BrokerEvent>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let clock = Clock::start();
        let mut effects = Vec::new();
        loop {
            let retry_ms = (!self.outbox.is_empty()).then(|| clock.now_ms() + RETRY_MS);
            let due_ms = self.ledger.next_due_ms().into_iter().chain(retry_ms).min();
            let has_room = self.outlet.len() < COMMANDS_WAITING_MAX;
            tokio::select! {
                biased;
                // Stopped, or the handle is gone.
                _ = &mut stopped => return,
                () = self.outlet.drain(), if !self.outlet.is_empty() => {}
                event = events.recv() => match event {
                    Some(event) => self.ledger.broker(event, &mut effects),
                    None => {
                        tracing::error!("the broker has ended");
                        return;
                    }
                },
                event = self.router.recv(), if has_room => {
                    self.heard(event, &clock, &mut effects);
                }
                () = until(&clock, due_ms) => {}
            }
            self.outbox.retry(&self.router);
            self.ledger.passed(clock.now_ms(), &mut effects);
            self.carry_out(&mut effects);
        }
    }

    fn heard(&mut self, event: RouterEvent, clock: &Clock, effects: &mut Vec<Effect<PeerId>>) {
        match event {
            // A gateway introduces itself.
            RouterEvent::Joined(_) => {}
            RouterEvent::Left(peer) => {
                self.outbox.forget(peer);
                self.ledger.left(peer, effects);
            }
            RouterEvent::Message { peer, message } => match message.parts() {
                [body] => self.ledger.received(peer, body, clock.now_ms(), effects),
                _ => self.stats.count(|counts| &mut counts.messages_malformed),
            },
        }
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect<PeerId>>) {
        // A gateway that does not read makes effects of its own, but only once.
        while !effects.is_empty() {
            let mut stuck = Vec::new();
            for effect in effects.drain(..) {
                match effect {
                    Effect::Command(command) => self.outlet.push(command),
                    Effect::Send(peer, message) => {
                        let message = Message::single(message.encode());
                        match self.outbox.send(&self.router, peer, message) {
                            Ok(()) => {}
                            Err(Stuck) if stuck.contains(&peer) => {}
                            Err(Stuck) => stuck.push(peer),
                        }
                    }
                }
            }
            for peer in stuck {
                // It has missed an answer. Its pings stay unanswered until it starts afresh.
                self.stats.count(|counts| &mut counts.gateways_stuck);
                self.outbox.forget(peer);
                self.ledger.left(peer, effects);
            }
        }
    }
}
